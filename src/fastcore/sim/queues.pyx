# cython: freethreading_compatible=True
"""Queue models: where own orders are taken to stand on data by level.

When a level shrinks by c lots that did not trade, with b lots behind and a ahead of our order, p of them are taken to have stood behind:
a becomes min(a - (1 - p) c + min(b - p c, 0), what is left of the level). Sources: R. Rigtorp, "Estimating order queue position" (2013),
for p = f(b) / (f(b) + f(a)); the documentation of hftbacktest for f(b) / f(b + a).
"""

cimport cython
from libc.math cimport llrint, log1p, pow
from libc.stdint cimport int64_t, uintptr_t

from fastcore._integers cimport as_uint64

__all__ = ["QueueModel"]


cdef double queue_behind(const queue_t* q, double back, double front) noexcept nogil:
    # The share of those who leave that stood behind us.
    cdef double b, f
    if q.model == QUEUE_FUNCTION:
        b = q.function(back, front, q.state)
        return 0.0 if not b > 0.0 else 1.0 if b > 1.0 else b
    if q.model == QUEUE_POWER:
        b, f = pow(back, q.exponent), pow(front, q.exponent)
    else:
        b, f = log1p(back), log1p(front)
    if q.model == QUEUE_LOG_2:
        f = log1p(back + front) - b
    return 1.0 if b + f == 0.0 else b / (b + f)


cdef int64_t queue_share(const queue_t* q, int64_t ahead_lots, double* part, int64_t before_lots, int64_t after_lots) noexcept nogil:
    cdef double front = <double> ahead_lots + part[0], back, left, p
    cdef int64_t whole
    if ahead_lots >= before_lots:
        part[0] = 0.0
        return queue_ahead(q, ahead_lots, after_lots)   # nobody is behind
    back = <double> before_lots - front
    left = <double> (before_lots - after_lots)
    p = queue_behind(q, back if back > 0.0 else 0.0, front if front > 0.0 else 0.0)
    front -= (1.0 - p) * left
    if back < p * left:
        front += back - p * left
    if front > <double> after_lots:
        front = <double> after_lots
    if front < 0.0:
        front = 0.0
    whole = llrint(front)
    part[0] = front - <double> whole
    return whole


@cython.final
cdef class QueueModel:
    """QueueModel(model="risk-averse", exponent=1.0)\n--\n\n
    QueueModel(model='risk-averse', exponent=1.0)\n--\n
    What is thought of the place of an own order where the data show levels only.

    Parameters
    ----------
    model : {"risk-averse", "power", "log", "log-2"}, default "risk-averse"
        Who is taken to have left when a level shrinks without a trade. "risk-averse": those behind us as long as that can be, so that no
        fill is early. "power": behind us the share f(back) / (f(back) + f(front)) with f(x) = x**exponent; "log": with f(x) = ln(1 + x);
        "log-2": the share f(back) / f(back + front).
    exponent : float, default 1.0
        Of "power", in (0, 100].

    Attributes
    ----------
    model : str

    Notes
    -----
    **Thread safety**: immutable.
    """

    def __cinit__(self, str model="risk-averse", double exponent=1.0):
        models = {"risk-averse": QUEUE_RISK_AVERSE, "power": QUEUE_POWER, "log": QUEUE_LOG, "log-2": QUEUE_LOG_2}
        if model not in models:
            raise ValueError(f"model must be one of {', '.join(models)}: model={model}")
        if not 0.0 < exponent <= 100.0:
            raise ValueError(f"exponent must be positive and at most 100: exponent={exponent}")
        self.model = model
        self._q.model = models[model]
        self._q.exponent = exponent

    @staticmethod
    def function(address, state=0, keep=None):
        """Return the model of a compiled function.

        Parameters
        ----------
        address : int
            Of a C function ``double share(double back, double front, void *state)``, as ``numba.cfunc(...).address`` has it: the share
            of those who leave that stood behind us; what is outside of 0..1 is taken for the nearer end.
        state : int, default 0
            Address that the function is called with.
        keep : object, optional
            What must live as long as the model.

        Returns
        -------
        QueueModel
        """
        if not address:
            raise ValueError(f"address must be that of a function: address={address}")
        cdef QueueModel out = QueueModel()
        out.model = "function"
        out._q.model = QUEUE_FUNCTION
        out._q.function = <queue_function_t> <uintptr_t> as_uint64(address)
        out._q.state = <void*> <uintptr_t> as_uint64(state)
        out._keep = keep
        return out

    def share_behind(self, double back_lots, double front_lots):
        """Return the share of those who leave that is taken to have stood behind us; None for "risk-averse", which has none."""
        return None if self._q.model == QUEUE_RISK_AVERSE else queue_behind(&self._q, back_lots, front_lots)

    def __repr__(self):
        return f"QueueModel({self.model}{f', {self._q.exponent:g}' if self.model == 'power' else ''})"
