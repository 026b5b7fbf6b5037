# cython: freethreading_compatible=True
"""The one table of a run that says what the integers of each instrument mean: prices in ticks, sizes in lots.

The dense id of an instrument is its row: 0, 1, 2, ... in the order of addition. Feeds map wire ids to these ids once, where
they decode. A row never changes: what an integer means must not depend on when it is read.
"""

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

cimport cython
cimport numpy as cnp
import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from fastcore._guard cimport alone
from fastcore._integers cimport as_int64
from fastcore.records cimport NO_PRICE, NO_SYMBOL, RESULT_OK, load_acquire, store_release, unlikely
from fastcore.symbols cimport canonical, keys_add, keys_find, keys_free, keys_open, keys_reserve, padded_key, vector

from fastcore.errors import UnknownSymbolError

cnp.import_array()

__all__ = ["Instrument", "Instruments"]

cdef double DBL_MAX = 1.7976931348623157e308
cdef int64_t MAX_TICKS = 1 << 50


class Instrument(NamedTuple):
    """What the integers of an event mean for one symbol.

    Attributes
    ----------
    symbol : str
        1 to 64 bytes.
    tick_size : float
        Price of one tick, the smallest step that the feed can express; a positive decimal of at most 15 digits.
    lot_size : float
        Units of the instrument in one lot; likewise.
    increment_ticks : int, default 1
        The venue's minimum price increment, 1..2**31-1 ticks.
    low_increment_ticks, low_below_ticks : int, default 1 and 0
        The increment below a price of `low_below_ticks`, a multiple of both increments; 0 for one increment everywhere.
    multiplier : float, default 1
        Value of one unit of quantity at a price of 1, in `currency`; positive.
    currency : str, default ""
        Up to 8 ASCII letters or digits.
    venue : str, default ""
        Up to 16 printable ASCII characters.
    maker_fee_ticks, taker_fee_ticks : int, default 0
        Fees, in ticks for a lot, within +-2**20; a rebate is negative.
    kind : {"linear", "inverse"}, default "linear"
        A lot is worth its price, or, for a contract of one unit of `multiplier` that pays in the base currency, its inverse.
    signed_prices : bool, default False
        Prices may be 0 and negative: spreads, power, oil in April 2020. Not of an inverse contract.
    """

    symbol: str
    tick_size: float
    lot_size: float
    increment_ticks: int = 1
    low_increment_ticks: int = 1
    low_below_ticks: int = 0
    multiplier: float = 1.0
    currency: str = ""
    venue: str = ""
    maker_fee_ticks: int = 0
    taker_fee_ticks: int = 0
    kind: str = "linear"
    signed_prices: bool = False

    @property
    def unit_value(self):
        """Fraction: what a unit of money is worth, in `currency` and exactly.

        A unit is one tick times one lot; of an inverse contract a billionth of a lot per tick.
        """
        tick, lot = Fraction(repr(self.tick_size)), Fraction(repr(self.lot_size)) * Fraction(repr(self.multiplier))
        return lot / tick / 10**9 if self.kind == "inverse" else tick * lot


# The decimal of a float as integers that doubles hold exactly: (value, numerator, denominator).
cdef fraction(str name, value):
    cdef double number = positive(name, value)
    num, den = Decimal(repr(number)).as_integer_ratio()
    if num > 1 << 53 or den > 1 << 53:
        raise ValueError(f"{name} must be a decimal of at most 15 digits: {name}={value}")
    return number, num, den


cdef double positive(str name, value) except? -1.0:
    cdef double number = value
    if not (number > 0.0 and number <= DBL_MAX):
        raise ValueError(f"{name} must be positive and finite: {name}={value}")
    return number


cdef int64_t ranged(str name, value, int64_t low, int64_t high, str bounds) except? -1:
    cdef int64_t number = as_int64(value)
    if not low <= number <= high:
        raise ValueError(f"{name} must be in {bounds}: {name}={value}")
    return number


cdef int put_text(str name, value, char* out, Py_ssize_t size) except -1:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str: type={type(value).__name__}")
    if len(value) > size or not value.isascii() or not value.isprintable():
        raise ValueError(f"{name} must have up to {size} printable ASCII characters: {name}={value!r}")
    raw = value.encode()
    memset(out, 0, size)
    memcpy(out, PyBytes_AS_STRING(raw), len(raw))
    return 0


cdef str get_text(const char* text, Py_ssize_t size):
    return text[:size].rstrip(b"\0").decode("ascii")


# Put what is given into a row: the fields of Instrument behind the symbol, None for one to be left as it is.
cdef int put_fields(instrument_t* m, tuple fields) except -1:
    tick, lot, increment, low_increment, low_below, multiplier, currency, venue, maker_fee, taker_fee, kind, signed = fields
    if tick is not None:
        m.tick_size, m.tick_num, m.tick_den = fraction("tick_size", tick)
    if lot is not None:
        m.lot_size = fraction("lot_size", lot)[0]
    if increment is not None:
        m.increment_ticks = <int32_t> ranged("increment_ticks", increment, 1, 0x7FFFFFFF, "1..2**31-1")
    if low_increment is not None:
        m.low_increment_ticks = <int32_t> ranged("low_increment_ticks", low_increment, 1, 0x7FFFFFFF, "1..2**31-1")
    if low_below is not None:
        m.low_below_ticks = ranged("low_below_ticks", low_below, 0, MAX_TICKS, "0..2**50")
    if multiplier is not None:
        m.multiplier = positive("multiplier", multiplier)
    if currency is not None:
        put_text("currency", currency, m.currency, sizeof(m.currency))
        if currency and not currency.isalnum():
            raise ValueError(f"currency must have letters and digits only: currency={currency!r}")
    if venue is not None:
        put_text("venue", venue, m.venue, sizeof(m.venue))
    if maker_fee is not None:
        m.maker_fee_ticks = ranged("maker_fee_ticks", maker_fee, -(1 << 20), 1 << 20, "-2**20..2**20")
    if taker_fee is not None:
        m.taker_fee_ticks = ranged("taker_fee_ticks", taker_fee, -(1 << 20), 1 << 20, "-2**20..2**20")
    if kind is not None:
        if kind not in ("linear", "inverse"):
            raise ValueError(f"kind must be linear or inverse: kind={kind}")
        m.inverse = kind == "inverse"
    if signed is not None:
        if not isinstance(signed, bool):
            raise TypeError(f"signed_prices must be bool: type={type(signed).__name__}")
        m.signed_prices = signed
    if m.inverse and m.signed_prices:
        raise ValueError("prices of an inverse contract must be positive: kind=inverse, signed_prices=True")
    if m.low_below_ticks % m.increment_ticks or m.low_below_ticks % m.low_increment_ticks:
        raise ValueError(
            "low_below_ticks must be a multiple of both increments: "
            f"low_below_ticks={m.low_below_ticks}, increment_ticks={m.increment_ticks}, "
            f"low_increment_ticks={m.low_increment_ticks}"
        )
    return 0


cdef object instrument_of(str name, const instrument_t* m):
    return Instrument(
        name, m.tick_size, m.lot_size, m.increment_ticks, m.low_increment_ticks, m.low_below_ticks, m.multiplier,
        get_text(m.currency, sizeof(m.currency)), get_text(m.venue, sizeof(m.venue)), m.maker_fee_ticks, m.taker_fee_ticks,
        "inverse" if m.inverse else "linear", bool(m.signed_prices),
    )


# Venues may send any eight bytes: what is no text is read as latin-1.
cdef str key_name(uint64_t key):
    raw = (<uint64_t> key).to_bytes(8, "little").rstrip(b" ")
    try:
        return canonical(raw)[0]
    except ValueError:
        return raw.decode("latin-1")


cdef uint32_t append(instruments_t* s, const instrument_t* m) noexcept nogil:
    cdef uint64_t i = s.count
    if i >= s.capacity or keys_reserve(&s.keys) != RESULT_OK:
        return NO_SYMBOL
    s.rows[i] = m[0]
    store_release(&s.count, i + 1)  # before the key: whoever finds the id may use it at once
    if m.key:
        keys_add(&s.keys, m.key, <uint32_t> i)
    return <uint32_t> i


cdef uint32_t instruments_add(instruments_t* s, uint64_t key, const instrument_t* fields) noexcept nogil:
    cdef instrument_t m
    cdef uint32_t found = keys_find(&s.keys, key)
    if found != NO_SYMBOL or key == 0:
        return found
    m = fields[0]
    m.key = key
    return append(s, &m)


@cython.final
cdef class Instruments:
    """Instruments(instruments=(), *, capacity=1000000, tick_size=0.0001, lot_size=1.0, increment_ticks=1, \
low_increment_ticks=1, low_below_ticks=0, multiplier=1.0, currency="", venue="", maker_fee_ticks=0, taker_fee_ticks=0, kind="linear", \
signed_prices=False)\n--\n\n
    Keep what the integers of each instrument mean; the dense id of an instrument is its row.

    Parameters
    ----------
    instruments : iterable of Instrument, str or bytes
        The first rows.
    capacity : int, default 1,000,000
        Rows that fit, 1..2**31-1. Address space is reserved for all of them (112 bytes each), memory is used only by those that
        exist, and nothing moves.
    tick_size, lot_size : float, default 0.0001 and 1
    increment_ticks, low_increment_ticks, low_below_ticks : int, default 1, 1 and 0
    multiplier : float, default 1
    currency, venue : str, default ""
    maker_fee_ticks, taker_fee_ticks : int, default 0
    kind, signed_prices : str and bool, default "linear" and False
        What holds for every instrument of which nothing else is said, as `Instrument` has them. A decoder that reads symbols
        from the wire says what a tick, a lot and the increments are.

    Raises
    ------
    TypeError, ValueError
        If a field or a symbol is not valid, or if one symbol is given two meanings.
    OverflowError
        If the instruments exceed `capacity`.

    Notes
    -----
    Trailing spaces, and the trailing NULs of NumPy's ``S`` arrays, are padding of a symbol.

    **Thread safety**: one thread adds, a decoder that was given this table among them; any number of threads look up meanwhile
    and see either the state before or the state after.
    """

    def __cinit__(
        self, instruments=(), *, capacity=1_000_000, tick_size=0.0001, lot_size=1.0, increment_ticks=1, low_increment_ticks=1,
        low_below_ticks=0, multiplier=1.0, currency="", venue="", maker_fee_ticks=0, taker_fee_ticks=0, kind="linear",
        signed_prices=False,
    ):
        cdef instruments_t* s
        self._names = []
        self._ids = {}
        s = self._t = <instruments_t*> calloc(1, sizeof(instruments_t))
        if s == NULL:
            raise MemoryError("no memory for an instrument table")
        s.capacity = ranged("capacity", capacity, 1, 0x7FFFFFFF, "1..2**31-1")
        fields = (
            tick_size, lot_size, increment_ticks, low_increment_ticks, low_below_ticks, multiplier, currency, venue,
            maker_fee_ticks, taker_fee_ticks, kind, signed_prices,
        )
        for name, field in zip(Instrument._fields[1:], fields, strict=True):
            if field is None:
                raise TypeError(f"the defaults of a table must be given: {name}=None")
        put_fields(&s.defaults, fields)
        # calloc maps pages of zeros that cost nothing before they are touched.
        s.rows = <instrument_t*> calloc(s.capacity, sizeof(instrument_t))
        if s.rows == NULL or keys_open(&s.keys) != RESULT_OK:
            raise MemoryError(f"no memory for an instrument table: capacity={capacity}")

    def __init__(
        self, instruments=(), *, capacity=1_000_000, tick_size=0.0001, lot_size=1.0, increment_ticks=1, low_increment_ticks=1,
        low_below_ticks=0, multiplier=1.0, currency="", venue="", maker_fee_ticks=0, taker_fee_ticks=0, kind="linear",
        signed_prices=False,
    ):
        if isinstance(instruments, (str, bytes, Instrument)):
            raise TypeError(f"instruments must be an iterable of instruments, not one: instruments={instruments!r}")
        for instrument in instruments:
            self.add(instrument)

    def __dealloc__(self):
        if self._t != NULL:
            keys_free(&self._t.keys)
            free(self._t.rows)
            free(self._t)

    # Names of all rows.
    cdef list _known(self):
        cdef uint64_t count = load_acquire(&self._t.count)
        cdef uint64_t i
        if <uint64_t> len(self._names) < count:
            with cython.critical_section(self):
                for i in range(len(self._names), count):
                    name = key_name(self._t.rows[i].key)
                    self._ids.setdefault(name, i)
                    self._names.append(name)
        return self._names

    cdef int64_t _require(self, symbol_id) except -1:
        cdef int64_t i = as_int64(symbol_id)
        if not 0 <= i < len(self):
            raise UnknownSymbolError(f"symbol_id must be in 0..{len(self) - 1}: symbol_id={symbol_id}")
        return i

    # Id of a symbol without padding, or None.
    cdef object _find(self, bytes raw):
        cdef uint32_t found
        self._known()
        if len(raw) > 8:
            return self._ids.get(raw.decode("utf-8", "replace"))
        found = keys_find(&self._t.keys, padded_key(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))) if raw else NO_SYMBOL
        return None if found == NO_SYMBOL else found

    def add(
        self, symbol, *, tick_size=None, lot_size=None, increment_ticks=None, low_increment_ticks=None, low_below_ticks=None,
        multiplier=None, currency=None, venue=None, maker_fee_ticks=None, taker_fee_ticks=None, kind=None, signed_prices=None,
    ):
        """Add an instrument; return its id, the old one where it is known already.

        Parameters
        ----------
        symbol : str, bytes or Instrument
            1..64 printable bytes; up to eight bytes give it a wire key. An `Instrument` brings its fields along.
        tick_size, lot_size, increment_ticks, low_increment_ticks, low_below_ticks, multiplier, currency, venue, maker_fee_ticks, \
taker_fee_ticks, kind, signed_prices : optional
            As `Instrument` has them. Those not given are the defaults of the table, or what the `Instrument` says.

        Returns
        -------
        int

        Raises
        ------
        TypeError, ValueError
            If the symbol or a field is not valid, or if the symbol is known with another meaning.
        OverflowError
            If `capacity` instruments exist.
        """
        cdef instrument_t m
        cdef uint64_t i
        cdef uint32_t new_id = NO_SYMBOL
        memset(&m, 0, sizeof(m))
        m = self._t.defaults
        fields = (
            tick_size, lot_size, increment_ticks, low_increment_ticks, low_below_ticks, multiplier, currency, venue,
            maker_fee_ticks, taker_fee_ticks, kind, signed_prices,
        )
        if isinstance(symbol, Instrument):
            fields = tuple([theirs if ours is None else ours for ours, theirs in zip(fields, symbol[1:], strict=True)])
            symbol = symbol[0]
        put_fields(&m, fields)
        name, raw = canonical(symbol)
        if PyBytes_GET_SIZE(raw) <= 8:
            m.key = padded_key(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
        with cython.critical_section(self):
            alone(&self._busy)
            known = self._find(raw)
            if known is None:
                new_id = append(self._t, &m)
                if new_id != NO_SYMBOL:
                    self._names.append(name)
                    self._ids[name] = new_id
        if known is None:
            if new_id == NO_SYMBOL:
                raise OverflowError(f"capacity must hold every instrument: capacity={self.capacity}, symbol={name!r}")
            return new_id
        i = known
        if memcmp(&m, &self._t.rows[i], sizeof(m)):
            raise ValueError(
                f"an instrument must keep its meaning: known={instrument_of(name, &self._t.rows[i])}, "
                f"given={instrument_of(name, &m)}"
            )
        return known

    def id_of(self, symbol):
        """Return the id of a symbol, None where it is unknown.

        Parameters
        ----------
        symbol : str or bytes
            Padded or not.

        Returns
        -------
        int or None

        Raises
        ------
        TypeError
            If `symbol` is neither str nor bytes.
        """
        if isinstance(symbol, str):
            self._known()
            return self._ids.get(symbol.rstrip(" "))
        if not isinstance(symbol, bytes):
            raise TypeError(f"symbol must be str or bytes: type={type(symbol).__name__}")
        return self._find(symbol.rstrip(b" \0"))

    def __getitem__(self, symbol_id):
        """Return the `Instrument` of an id.

        Raises
        ------
        UnknownSymbolError
            A KeyError, if no instrument has the id.
        """
        cdef int64_t i = self._require(symbol_id)
        return instrument_of(self._known()[i], &self._t.rows[i])

    def __len__(self):
        return <Py_ssize_t> load_acquire(&self._t.count)

    def __iter__(self):
        """Iterate over the instruments by id."""
        for i in range(len(self)):
            yield self[i]

    def __contains__(self, symbol):
        return isinstance(symbol, (str, bytes)) and self.id_of(symbol) is not None

    def __repr__(self):
        names = self._known()
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        return f"Instruments({len(self)} instruments{': ' if shown else ''}{shown})"

    @property
    def symbols(self):
        """list of str: all symbols by id."""
        return list(self._known())

    @property
    def defaults(self):
        """Instrument: what holds where nothing else is said; its symbol is empty."""
        return instrument_of("", &self._t.defaults)

    @property
    def capacity(self):
        """int: instruments that fit."""
        return self._t.capacity

    def price_to_ticks(self, symbol_id, double price):
        """Convert a price to ticks, exactly.

        Parameters
        ----------
        symbol_id : int
        price : float
            Positive (any sign where the instrument has signed prices), finite, within 2**50 ticks, and on the grid: within a millionth of a tick (or two units in the last
            place, where those are larger) of a whole number of ticks.

        Returns
        -------
        int

        Raises
        ------
        UnknownSymbolError, ValueError
        """
        cdef int64_t i = self._require(symbol_id)
        cdef int64_t ticks
        ticks = instrument_ticks(&self._t.rows[i], price)
        if ticks == NO_PRICE:
            self._refuse_price(i, price)
        return ticks

    cdef int _refuse_price(self, int64_t symbol_id, double price) except -1:
        cdef const instrument_t* m = &self._t.rows[symbol_id]
        cdef double tick = m.tick_size
        where = f"price={price}, tick_size={tick}, symbol_id={symbol_id}"
        if not (price > 0.0 and price <= DBL_MAX) and not (m.signed_prices and -DBL_MAX <= price <= DBL_MAX):
            raise ValueError(f"price must be positive and finite: {where}")
        if abs(price) * m.tick_den / m.tick_num >= <double> MAX_TICKS + 0.5:
            raise ValueError(f"price must be within 2**50 ticks: {where}")
        raise ValueError(f"price must be a multiple of the tick size: {where}")

    cdef int _refuse_ticks(self, int64_t symbol_id, int64_t ticks) except -1:
        low = "-2**50" if self._t.rows[symbol_id].signed_prices else "1"
        raise ValueError(f"ticks must be in {low}..2**50: ticks={ticks}, symbol_id={symbol_id}")

    def ticks_to_price(self, symbol_id, ticks):
        """Convert ticks to the price: the float nearest to the exact decimal, as if it had been typed.

        Where `ticks` times the numerator of the tick size exceeds 2**53 the last place may differ by one.

        Parameters
        ----------
        symbol_id : int
        ticks : int
            1..2**50, or -2**50..2**50 where prices are signed.

        Returns
        -------
        float

        Raises
        ------
        UnknownSymbolError, ValueError
        """
        cdef int64_t i = self._require(symbol_id), n = as_int64(ticks)
        if not (-MAX_TICKS if self._t.rows[i].signed_prices else 1) <= n <= MAX_TICKS:
            self._refuse_ticks(i, n)
        return instrument_price(&self._t.rows[i], n)

    def prices_to_ticks(self, ids, prices):
        """Convert many prices to ticks, exactly; as `price_to_ticks`.

        Parameters
        ----------
        ids : int or array of int, shape (n,)
        prices : array of float64, shape (n,)

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        cdef cnp.ndarray p = vector(prices, "prices", cnp.NPY_FLOAT64, -1)
        cdef Py_ssize_t n = p.shape[0], i
        cdef cnp.ndarray a = self._index(ids, n)
        cdef cnp.ndarray out = np.empty(n, np.int64)
        cdef const int64_t* index = <const int64_t*> cnp.PyArray_DATA(a)
        cdef const double* price = <const double*> cnp.PyArray_DATA(p)
        cdef int64_t* ticks = <int64_t*> cnp.PyArray_DATA(out)
        for i in range(n):
            ticks[i] = instrument_ticks(&self._t.rows[index[i]], price[i])
            if unlikely(ticks[i] == NO_PRICE):
                self._refuse_price(index[i], price[i])
        return out

    def ticks_to_prices(self, ids, ticks):
        """Convert many numbers of ticks to prices; as `ticks_to_price`.

        Parameters
        ----------
        ids : int or array of int, shape (n,)
        ticks : array of int64, shape (n,)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        cdef cnp.ndarray k = vector(ticks, "ticks", cnp.NPY_INT64, -1)
        cdef Py_ssize_t n = k.shape[0], i
        cdef cnp.ndarray a = self._index(ids, n)
        cdef cnp.ndarray out = np.empty(n, np.float64)
        cdef const int64_t* index = <const int64_t*> cnp.PyArray_DATA(a)
        cdef const int64_t* tick = <const int64_t*> cnp.PyArray_DATA(k)
        cdef double* price = <double*> cnp.PyArray_DATA(out)
        for i in range(n):
            if unlikely(not (-MAX_TICKS if self._t.rows[index[i]].signed_prices else 1) <= tick[i] <= MAX_TICKS):
                self._refuse_ticks(index[i], tick[i])
            price[i] = instrument_price(&self._t.rows[index[i]], tick[i])
        return out

    cdef object _index(self, ids, Py_ssize_t n):
        # Checked ids as int64, one for each of n rows.
        cdef cnp.ndarray a
        cdef const int64_t* index
        cdef Py_ssize_t i
        if isinstance(ids, int):
            return np.full(n, self._require(ids), np.int64)
        a = vector(ids, "ids", cnp.NPY_INT64, n)
        index = <const int64_t*> cnp.PyArray_DATA(a)
        for i in range(n):
            if unlikely(<uint64_t> index[i] >= load_acquire(&self._t.count)):
                self._require(index[i])
        return a
