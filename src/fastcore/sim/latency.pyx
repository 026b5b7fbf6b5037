# cython: freethreading_compatible=True
"""Latencies of a connection: constant, normal, log-normal, or interpolated from recorded ones.

Random ones are drawn one message ahead, so that the arrival of the next message is bounded before anything is sent, from a stream that
the name of the connection seeds (splitmix64, Box-Muller).
"""

import numpy as np

cimport cython
cimport numpy as cnp
from libc.math cimport cos, exp, log, sqrt
from libc.stdint cimport int64_t, uint64_t

from fastcore._integers cimport as_int64

cnp.import_array()

__all__ = ["Latency"]

cdef int64_t LONGEST_NS = <int64_t> 1 << 60


cdef uint64_t latency_random(latency_t* l) noexcept nogil:
    cdef uint64_t z
    l.rng += <uint64_t> 0x9E3779B97F4A7C15
    z = l.rng
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    return z ^ (z >> 31)


cdef void latency_draw(latency_t* l) noexcept nogil:
    cdef double u = ((latency_random(l) >> 11) + 1) * 2.0 ** -53    # (0, 1]
    cdef double v = (latency_random(l) >> 11) * 2.0 ** -53
    cdef double x = l.mean + l.deviation * sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v)
    if l.model == LATENCY_LOG_NORMAL:
        x = exp(x)
    l.next_ns = 0 if x < 0.0 else LONGEST_NS if x > <double> LONGEST_NS else <int64_t> (x + 0.5)


cdef int64_t latency_next(latency_t* l, int64_t sent_ns) noexcept nogil:
    cdef int64_t delay
    cdef double share
    cdef size_t i
    if l.model != LATENCY_ROWS:
        delay = l.next_ns
        latency_draw(l)
        return delay
    while l.row + 1 < l.rows and l.times[l.row + 1] <= sent_ns:
        l.row += 1
    i = l.row
    if sent_ns <= l.times[i] or i + 1 == l.rows:
        return l.delays[i]
    share = <double> (sent_ns - l.times[i]) / <double> (l.times[i + 1] - l.times[i])
    return l.delays[i] + <int64_t> (share * <double> (l.delays[i + 1] - l.delays[i]))


@cython.final
cdef class Latency:
    """Latency(mean_ns=0, deviation_ns=0, *, log=False)\n--\n\n
    Latency(mean_ns=0, deviation_ns=0, *, log=False)\n--\n
    How long messages of one direction of a connection take.

    Parameters
    ----------
    mean_ns : int, default 0
        Mean of the delay in ns, 0..2**60.
    deviation_ns : int, default 0
        Standard deviation of a normal distribution, 0..2**60; 0 is a constant. Draws below 0 are taken for 0.
    log : bool, default False
        The distribution is log-normal, of the same mean and deviation.

    Attributes
    ----------
    model : {"constant", "normal", "log-normal", "recorded"}
    mean_ns, deviation_ns : int

    Notes
    -----
    **Thread safety**: immutable.
    """

    def __cinit__(self, mean_ns=0, deviation_ns=0, *, log=False):
        cdef int64_t mean = as_int64(mean_ns), deviation = as_int64(deviation_ns)
        for name, value in (("mean_ns", mean), ("deviation_ns", deviation)):
            if not 0 <= value <= LONGEST_NS:
                raise ValueError(f"{name} must be in 0..{LONGEST_NS}: {name}={value}")
        if log and deviation and not mean:
            raise ValueError(f"mean_ns of a log-normal latency must be positive: mean_ns={mean_ns}")
        self.mean_ns = self._l.next_ns = mean
        self.deviation_ns = deviation
        self.model = "constant" if deviation == 0 else "log-normal" if log else "normal"
        self._l.model = LATENCY_CONSTANT if deviation == 0 else LATENCY_LOG_NORMAL if log else LATENCY_NORMAL
        self._l.mean = <double> mean
        self._l.deviation = <double> deviation
        if self._l.model == LATENCY_LOG_NORMAL:
            self._l.deviation = sqrt(_log(1.0 + (<double> deviation / <double> mean) ** 2))
            self._l.mean = _log(<double> mean) - 0.5 * self._l.deviation * self._l.deviation

    @staticmethod
    def recorded(times_ns, delays_ns):
        """Return the latency that was recorded, interpolated by the time at which a message is sent.

        Parameters
        ----------
        times_ns : array_like of int64, shape (n,)
            When the messages were sent, ascending, n >= 1. Before the first and after the last the delay stays as it was there.
        delays_ns : array_like of int64, shape (n,)
            How long they took, 0..2**60.

        Returns
        -------
        Latency
        """
        times, delays = (np.array(values) for values in (times_ns, delays_ns))
        for name, values in (("times_ns", times), ("delays_ns", delays)):
            if values.dtype.kind not in "iu" or values.ndim != 1 or len(values) == 0 or len(values) != len(times):
                raise ValueError(
                    f"{name} must be integers, one for each time and at least one: dtype={values.dtype} shape={values.shape}"
                )
        if (np.diff(times) <= 0).any():
            raise ValueError("times_ns must be ascending")
        if delays.min() < 0 or delays.max() > LONGEST_NS:
            raise ValueError(f"delays_ns must be in 0..{LONGEST_NS}: least={delays.min()} most={delays.max()}")
        cdef Latency out = Latency(int(delays.mean()), 0)
        out.model = "recorded"
        out.deviation_ns = int(delays.std())
        out._times, out._delays = times.astype(np.int64), delays.astype(np.int64)
        out._l.model = LATENCY_ROWS
        out._l.times = <const int64_t*> cnp.PyArray_DATA(out._times)
        out._l.delays = <const int64_t*> cnp.PyArray_DATA(out._delays)
        out._l.rows = len(times)
        out._l.next_ns = delays.min()
        return out

    def delays(self, times_ns, connection="venue.order"):
        """Return how long messages take that are sent at these times.

        Parameters
        ----------
        times_ns : array_like of int64, shape (n,)
            Ascending.
        connection : str, default "venue.order"
            Name of the direction of the connection, which seeds the draws.

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        cdef cnp.int64_t[:] times = np.array(times_ns, np.int64)
        cdef cnp.int64_t[:] out = np.empty(len(times), np.int64)
        cdef latency_t l = self.begin(connection)
        cdef Py_ssize_t i
        for i in range(times.shape[0]):
            out[i] = l.next_ns if l.model == LATENCY_CONSTANT else latency_next(&l, times[i])
        return np.asarray(out)

    # The state of one direction of a connection, which must not outlive this object.
    cdef latency_t begin(self, str connection):
        cdef latency_t l = self._l
        cdef uint64_t seed = <uint64_t> 0xCBF29CE484222325     # FNV-1a
        cdef unsigned char byte
        for byte in connection.encode():
            seed = (seed ^ byte) * <uint64_t> 0x100000001B3
        l.rng = seed
        if l.model == LATENCY_NORMAL or l.model == LATENCY_LOG_NORMAL:
            latency_draw(&l)
        return l

    def __repr__(self):
        spread = f", deviation {self.deviation_ns} ns" if self.deviation_ns else ""
        return f"Latency({self.model}, mean {self.mean_ns} ns{spread})"


cdef double _log(double x):     # `log` is an argument above
    return log(x)
