# cython: freethreading_compatible=True
"""Strategies in Python: hooks of a plain class, called from the loop; prices and sizes in units of the instrument."""

from collections import namedtuple

cimport cython
from cpython.long cimport PyLong_AsDouble, PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.pystate cimport PyThreadState_Get
from cpython.ref cimport Py_XDECREF
from libc.math cimport NAN, fabs, floor, isfinite
from libc.stdint cimport int8_t, int64_t, uint32_t, uint64_t

from fastcore._integers cimport as_int64, int64_in
from fastcore.book cimport book_best_ask, book_best_bid, book_change_t, book_level_size, book_next_price, book_t, top_t
from fastcore.instruments cimport Instruments, instrument_price, instrument_ticks
from fastcore.market cimport market_book, market_trades
from fastcore.money cimport money_double, money_t
from fastcore.portfolio cimport position_average_price, position_net
from fastcore.records cimport (
    BUY, FLAG_CONTINUED, FLAG_HELD, FLAG_NOT_PRINTABLE, KIND_ACK, KIND_ADD, KIND_CANCEL, KIND_CLEAR, KIND_DELETE, KIND_DETAIL, KIND_EXECUTE,
    KIND_FILL, KIND_GAP, KIND_LEVEL, KIND_PULLED, KIND_REJECT, KIND_REPLACE, KIND_STATUS, KIND_SYSTEM, KIND_TRADE, MATCH_TOOK, NO_PRICE,
    NO_SIDE, NO_SYMBOL, RESULT_BAD_PRICE, RESULT_BAD_SIZE, RESULT_EXPIRED, RESULT_OFF_INCREMENT, RESULT_OFF_LOT, RESULT_OK, SELL, event_t,
    unlikely,
)
from fastcore.strategies.batches cimport Batch, batch_due, batch_put
from fastcore.strategies.quotes cimport QUOTE_NO_GRID, QUOTE_NO_SIZE, QUOTE_WANTED, quote_price, quote_side
from fastcore.strategies.rows cimport Recorder
from fastcore.strategy cimport (
    DESK_ORDERS, DESK_RUNGS, ON_BOOK, ON_EVENT, ON_INSTANT, ON_REPORT, ON_START, ON_STOP, ON_TIMER, ORDER_SENT, STRATEGY_ERROR,
    STRATEGY_OK, Strategy, context_t, fill_fee, fill_mid, order_works, own_order_t, strategy_on_t, strategy_t, want, want_amend, want_more,
    want_order, want_position, want_pull, want_quotes, want_timer,
)

from fastcore.errors import Result
from fastcore.records import FLAGS, order_terms

__all__ = ["Ahead", "Fill", "Handle", "Order", "PythonStrategy", "Snapshot", "Trade", "Working"]

Working = namedtuple("Working", "bid ask bid_size ask_size")
Working.__doc__ = "Own orders that the venue has: the best price of each side, None for none, and what is left of all of the side."
Ahead = namedtuple("Ahead", "bid ask")
Ahead.__doc__ = "Size ahead of the best own order of each side; None for none."
Snapshot = namedtuple(
    "Snapshot",
    "symbol time bid ask bid_size ask_size mid microprice spread two_sided age bids asks position average profit working queue_ahead",
)
Snapshot.__doc__ = "A copy of what a handle showed at a time (ns)."

cdef extern from *:
    """
    #include <structmember.h>

    /* The type of a handle inside of a hook about it: what is read most lies in plain slots, which CPython reads without a call. */
    static PyMemberDef fc_present_slots[6];
    static PyTypeObject fc_present = {PyVarObject_HEAD_INIT(NULL, 0) .tp_name = "fastcore.strategies.hooks.Handle"};
    static PyTypeObject *fc_handle;

    static void fc_present_slot(int i, const char *name, const char *doc, Py_ssize_t at)
    {
        PyMemberDef slot = {name, T_OBJECT_EX, at, READONLY, doc};
        fc_present_slots[i] = slot;
    }

    /* A price or size, NULL in the beginning; a float that nobody else holds is changed in place. */
    static int fc_slot_put(PyObject **slot, int there, double value)
    {
        PyObject *old = *slot;
        if (there && old != NULL && Py_REFCNT(old) == 1 && PyFloat_CheckExact(old)) {
            ((PyFloatObject *)old)->ob_fval = value;
            return 0;
        }
        *slot = there ? PyFloat_FromDouble(value) : Py_NewRef(Py_None);
        Py_XDECREF(old);
        return *slot == NULL ? -1 : 0;
    }

    static int fc_present_ready(PyObject *handle)
    {
        fc_handle = (PyTypeObject *)handle;
        fc_present.tp_doc = fc_handle->tp_doc;
        fc_present.tp_base = fc_handle;
        fc_present.tp_flags = Py_TPFLAGS_DEFAULT;
        fc_present.tp_members = fc_present_slots;
        return PyType_Ready(&fc_present);
    }

    #define fc_raised() (-1)    /* the error that is set already */

    /* Call a hook about a market with something more, or NULL; -1 with an exception. */
    static int fc_tell(PyObject *hook, PyObject *market, PyObject *what)
    {
        PyObject *arguments[4] = {NULL, NULL, market, what}, *result, *method = NULL;
        size_t n = 1 + (what != NULL);
        if (PyMethod_Check(hook)) {     /* without the bound method in between */
            method = hook;
            arguments[1] = PyMethod_GET_SELF(method);
            hook = PyMethod_GET_FUNCTION(method);
        }
    #ifndef Py_GIL_DISABLED     /* other threads may look at a handle while its slots change */
        Py_SET_TYPE(market, &fc_present);
    #endif
        result = PyObject_Vectorcall(hook, arguments + 2 - (method != NULL), (n + (method != NULL)) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        Py_SET_TYPE(market, fc_handle);
        if (result == NULL)
            return -1;
        Py_DECREF(result);
        return 0;
    }
    """
    void fc_present_slot(int i, const char* name, const char* doc, Py_ssize_t at)
    int fc_present_ready(object handle) except -1
    int fc_slot_put(PyObject** slot, bint there, double value) except -1
    int fc_tell(PyObject* hook, PyObject* market, PyObject* what) except -1
    int fc_raised() except -1

cdef extern from "Python.h":
    int METH_FASTCALL, METH_KEYWORDS

    ctypedef struct PyMethodDef:
        const char* ml_name
        void* ml_meth
        int ml_flags
        const char* ml_doc

    object PyCFunction_NewEx(PyMethodDef* method, object owner, PyObject* module)

NOT_AN_ORDER = "orders are made by buy and sell of a market"
CAUSES = [(FLAGS[name], name) for name in ("at", "through", "hidden", "crossing", "took", "auction")]

# A number of Python; for an int without the float in between.
cdef inline double number(object x) except? -1:
    return PyLong_AsDouble(x) if PyLong_CheckExact(x) else <double> x


cdef enum:
    DEPTH = 10      # levels of `bids` and `asks`
    # Kinds of events that change whether a market can be quoted, and those that change its book, one bit each.
    NEWS_KINDS = 1 << KIND_STATUS | 1 << KIND_SYSTEM | 1 << KIND_GAP | 1 << KIND_CLEAR
    OWN_KINDS = 1 << KIND_ACK | 1 << KIND_FILL | 1 << KIND_REJECT | 1 << KIND_PULLED
    DEEP_KINDS = 1 << KIND_ADD | 1 << KIND_EXECUTE | 1 << KIND_CANCEL | 1 << KIND_DELETE | 1 << KIND_REPLACE | 1 << KIND_LEVEL | 1 << KIND_CLEAR


@cython.final
cdef class Trade:
    """Trade()\n--\n\n
    Trade()\n--\n
    An execution of the market: `price`, `size`, and `side`, +1 where the buyer came last, -1 the seller, 0 unknown."""

    cdef readonly double price, size
    cdef readonly int side

    def __repr__(self):
        return f"Trade(side={self.side:+d}, price={self.price:g}, size={self.size:g})"


@cython.final
cdef class Fill:
    """Fill()\n--\n\n
    Fill()\n--\n
    A fill of an own order: `side` (+1 bought, -1 sold), `price`, `size`, `fee` (in the currency of the market; a rebate is negative), `maker`,
    `cause` and `ahead` as in a result (None where nobody tells it), `mid` (middle of the best prices that were known before; None without two
    sides), and the id of the `order`."""

    cdef readonly double price, size, fee
    cdef readonly int side
    cdef readonly bint maker
    cdef readonly str cause
    cdef readonly object ahead, mid
    cdef readonly int64_t order

    def __repr__(self):
        return f"Fill(side={self.side:+d}, price={self.price:g}, size={self.size:g}, maker={self.maker}, order={self.order})"


@cython.final
cdef class Order:
    """Order()\n--\n\n
    Order()\n--\n
    An own order: that of `Handle.buy` and `Handle.sell` lives on, any other is what came of one of the wanted quotes.

    Attributes
    ----------
    id : int
        0 where a limit of ours refused one of the wanted quotes.
    side : int
        +1 buy, -1 sell.
    price : float or None
        None of a market order.
    size, filled : float
        In all, with what is filled; and that.
    state : {"sent", "working", "partly filled", "filled", "cancelled", "expired", "refused"}
    refused : bool
        The last message about it was refused: the order, or a cancel or move of it, which leaves it as it is.
    why : str
        The rule that refused, or because of which the venue took it out.
    """

    def __init__(self):
        raise TypeError(NOT_AN_ORDER)

    cdef Handle _market(self):
        if self._handle is None:
            raise TypeError(NOT_AN_ORDER)
        return self._handle

    @property
    def symbol(self):
        """Symbol of its market."""
        return self._market().symbol

    @property
    def left(self):
        """Size that is not filled."""
        return <double> (self._size_lots - self._filled_lots) * self._market()._row.lot_size

    @property
    def done(self):
        """Whether nothing of it can be filled any more."""
        return self.state in ("filled", "cancelled", "expired", "refused")

    # False, and counted, where there is nothing to change any more.
    cdef bint _changes(self, str what) except? False:
        self._market()._ready()
        if not self._single:
            raise RuntimeError(f"an order of wanted quotes is changed by quote and pull: symbol={self._handle.symbol} order={self.id}")
        if self.done:
            self._handle._owner._count(f"{what} of an order that is done")
            return False
        return True

    def cancel(self):
        """Take it out; while the order or a change of it is in flight, as soon as that is answered.

        Returns
        -------
        bool
            False where it is done already.
        """
        if not self._changes("cancel"):
            return False
        want_pull(self._handle._owner._c, self._handle.symbol_id, self.id)
        return True

    def move(self, price=None, size=None, *, price_ticks=None, size_lots=None):
        """Change its price, its size, or both; the newest wish is sent as soon as what is in flight is answered.

        The place in the queue stays where the price does and the size does not grow. What is refused leaves the order as it is, and is told
        by ``on_order``.

        Parameters
        ----------
        price : float, optional
            On the increment of the venue.
        size : float, optional
            In all, with what is filled: no more than that ends the order.
        price_ticks, size_lots : int, optional
            The same in whole numbers.

        Returns
        -------
        bool
            False where it is done already.
        """
        cdef int64_t ticks = NO_PRICE, lots = 0
        cdef int refusal = RESULT_OK
        if (price is None) + (price_ticks is None) + (size is None) + (size_lots is None) > 3 or (
            price is not None and price_ticks is not None or size is not None and size_lots is not None
        ):
            raise ValueError("a move must have a price, a size or both, each once")
        if not self._changes("move"):
            return False
        if price is not None or price_ticks is not None:
            ticks = self._handle._exact_price(price, price_ticks, &refusal)
        if refusal == RESULT_OK and (size is not None or size_lots is not None):
            lots = self._handle._exact_size(size, size_lots, &refusal)
        if refusal != RESULT_OK:
            self._handle._cannot(self, NO_SIDE, refusal)
        else:
            want_amend(self._handle._owner._c, self._handle.symbol_id, self.id, ticks, lots)
        return True

    def __repr__(self):
        return f"Order(id={self.id}, side={self.side:+d}, price={self.price}, size={self.size:g}, {self.state}{', ' + self.why if self.why else ''})"


@cython.final
cdef class Handle:
    """Handle()\n--\n\n
    Handle()\n--\n
    The present of one market. Prices and sizes are in units of the instrument; None where there is no price.

    Attributes
    ----------
    symbol : str
    symbol_id : int

    Notes
    -----
    **Thread safety**: inside hooks of its strategy alone.
    """

    def __init__(self):
        raise TypeError("handles are made by a run")

    def __dealloc__(self):
        cdef int i
        for i in range(SLOTS):
            Py_XDECREF(self._slots[i])

    cdef const top_t* _top(self) except NULL:
        if self._owner is None or self._owner._c == NULL:   # a copy has no owner
            raise RuntimeError(f"a market is there inside hooks alone: symbol={self.symbol}")
        return &self._owner._c.tops[self.symbol_id]

    cdef object _price(self, int64_t ticks):
        return None if ticks == NO_PRICE else instrument_price(self._row, ticks)

    # Call a hook about it, with something more or NULL; the slots show the present.
    cdef int _tell(self, object hook, PyObject* what) except -1:
        cdef const top_t* top = &self._owner._c.tops[self.symbol_id]
        cdef int64_t held = self._owner._c.positions[self.symbol_id].position_lots
        if top.bid != self._shown.bid:
            fc_slot_put(&self._slots[0], top.bid != NO_PRICE, instrument_price(self._row, top.bid))
        if top.ask != self._shown.ask:
            fc_slot_put(&self._slots[1], top.ask != NO_PRICE, instrument_price(self._row, top.ask))
        if top.bid_size != self._shown.bid_size:
            fc_slot_put(&self._slots[2], True, <double> top.bid_size * self._row.lot_size)
        if top.ask_size != self._shown.ask_size:
            fc_slot_put(&self._slots[3], True, <double> top.ask_size * self._row.lot_size)
        if held != self._shown_lots:
            fc_slot_put(&self._slots[4], True, <double> held * self._row.lot_size)
        self._shown, self._shown_lots = top[0], held
        return fc_tell(<PyObject*> hook, <PyObject*> self, what)

    @property
    def bid(self):
        """Best bid."""
        return self._price(self._top().bid)

    @property
    def ask(self):
        """Best ask."""
        return self._price(self._top().ask)

    @property
    def bid_size(self):
        """Size at the best bid."""
        return <double> self._top().bid_size * self._row.lot_size

    @property
    def ask_size(self):
        """Size at the best ask."""
        return <double> self._top().ask_size * self._row.lot_size

    @property
    def bid_ticks(self):
        """Best bid in ticks; None without one."""
        cdef int64_t ticks = self._top().bid
        return None if ticks == NO_PRICE else ticks

    @property
    def ask_ticks(self):
        """Best ask in ticks; None without one."""
        cdef int64_t ticks = self._top().ask
        return None if ticks == NO_PRICE else ticks

    @property
    def two_sided(self):
        """Whether the market trades with both best prices there, neither crossed nor locked, and its book is not stale."""
        cdef const top_t* top = self._top()
        cdef const book_t* book
        if top.bid == NO_PRICE or top.ask == NO_PRICE or top.bid >= top.ask:
            return False
        book = market_book(self._owner._c.market, self.symbol_id)
        return market_trades(self._owner._c.market, self.symbol_id) and not book.stale

    @property
    def mid(self):
        """Middle of the best prices; None without both."""
        cdef const top_t* top = self._top()
        if top.bid == NO_PRICE or top.ask == NO_PRICE:
            return None
        return 0.5 * instrument_price(self._row, top.bid + top.ask)

    @property
    def microprice(self):
        """Best prices weighted by the size on the other side; None without both."""
        cdef const top_t* top = self._top()
        cdef double b = <double> top.bid_size, a = <double> top.ask_size
        if top.bid == NO_PRICE or top.ask == NO_PRICE or not a + b > 0.0:
            return None
        return (instrument_price(self._row, top.bid) * a + instrument_price(self._row, top.ask) * b) / (a + b)

    @property
    def spread(self):
        """Best ask minus best bid; None without both."""
        cdef const top_t* top = self._top()
        if top.bid == NO_PRICE or top.ask == NO_PRICE:
            return None
        return instrument_price(self._row, top.ask - top.bid) if top.ask > top.bid else -instrument_price(self._row, top.bid - top.ask)

    @property
    def age(self):
        """Seconds since a best price or size last changed; infinite before the first."""
        self._top()
        return 1e-9 * <double> (self._owner.now - self._changed_ns) if self._changed_ns else float("inf")

    @property
    def position(self):
        """What is held, negative where short: by this strategy, where several share an account."""
        self._top()
        return <double> self._owner._c.positions[self.symbol_id].position_lots * self._row.lot_size

    @property
    def account_position(self):
        """What all strategies of the account hold together."""
        self._top()
        return <double> self._owner._c.account[self.symbol_id].position_lots * self._row.lot_size

    @property
    def average(self):
        """Average price of what is held; None when flat."""
        self._top()
        if self._owner._c.positions[self.symbol_id].position_lots == 0:
            return None
        return position_average_price(&self._owner._c.positions[self.symbol_id]) * self._row.tick_size

    @property
    def profit(self):
        """Profit after fees in the currency of the instrument, at the middle of the best prices; None without it while something is held."""
        cdef const top_t* top = self._top()
        cdef int64_t mark = NO_PRICE
        cdef money_t profit
        if top.bid != NO_PRICE and top.ask != NO_PRICE:
            mark = top.bid + top.ask >> 1
        if not position_net(&self._owner._c.positions[self.symbol_id], mark, &profit):
            return None
        return money_double(profit) / 1e9 * self._unit_value

    @property
    def working(self):
        """Own orders that the venue has: best prices `bid` and `ask`, None for none, and `bid_size` and `ask_size`, what is left in all."""
        cdef const own_order_t* o
        cdef double bid_size = 0.0, ask_size = 0.0
        bid, ask = self._best_own(BUY), self._best_own(SELL)
        for number in self._unfinished():
            o = &self._owner._c.orders[<int> number]
            if o.side == BUY:
                bid_size += <double> (o.size_lots - o.filled_lots) * self._row.lot_size
            else:
                ask_size += <double> (o.size_lots - o.filled_lots) * self._row.lot_size
        return Working(
            None if bid is None else self._price(self._owner._c.orders[<int> bid].price_ticks),
            None if ask is None else self._price(self._owner._c.orders[<int> ask].price_ticks), bid_size, ask_size,
        )

    @property
    def queue_ahead(self):
        """Size ahead of the best own order of each side, `bid` and `ask`: what was there when the venue took it, at most what is shown
        there now; None without an order."""
        return Ahead(self._ahead(BUY), self._ahead(SELL))

    def snapshot(self):
        """Return a copy of what it shows now, as a `Snapshot`."""
        return Snapshot(
            self.symbol, self._owner.now, self.bid, self.ask, self.bid_size, self.ask_size, self.mid, self.microprice, self.spread,
            self.two_sided, self.age, self.bids, self.asks, self.position, self.average, self.profit, self.working, self.queue_ahead,
        )

    # Places of own orders of this market that the venue has.
    cdef list _unfinished(self):
        self._top()
        cdef const context_t* c = self._owner._c
        cdef int i
        return [
            i for i in range(DESK_ORDERS)
            if order_works(&c.orders[i]) and c.orders[i].symbol_id == self.symbol_id and c.orders[i].state != ORDER_SENT
            and c.orders[i].price_ticks != NO_PRICE and c.orders[i].owner == c.owner
        ]

    cdef object _best_own(self, int8_t side):
        cdef const own_order_t* orders = self._owner._c.orders if self._top() != NULL else NULL
        cdef int best = -1, i
        for number in self._unfinished():
            i = number
            if orders[i].side == side and (best < 0 or side * (orders[i].price_ticks - orders[best].price_ticks) > 0):
                best = i
        return None if best < 0 else best

    cdef object _ahead(self, int8_t side):
        number = self._best_own(side)
        if number is None:
            return None
        cdef const own_order_t* o = &self._owner._c.orders[<int> number]
        cdef int64_t shown = book_level_size(market_book(self._owner._c.market, self.symbol_id), side, o.price_ticks)
        return <double> min(o.ahead_lots, shown) * self._row.lot_size

    @property
    def tick(self):
        """The venue's increment at the present price."""
        cdef const top_t* top = self._top()
        cdef bint low = top.bid != NO_PRICE and top.bid < self._row.low_below_ticks
        return instrument_price(self._row, self._row.low_increment_ticks if low else self._row.increment_ticks)

    @property
    def lot(self):
        """The smallest size."""
        self._top()
        return self._row.lot_size

    cdef tuple _levels(self, int8_t side):
        self._top()
        cdef const book_t* book = market_book(self._owner._c.market, self.symbol_id)
        cdef int64_t price
        rows = []
        if book != NULL:
            price = book_best_bid(book) if side == BUY else book_best_ask(book)
            while price != NO_PRICE and len(rows) < DEPTH:
                rows.append((instrument_price(self._row, price), <double> book_level_size(book, side, price) * self._row.lot_size))
                price = book_next_price(book, side, price)
        return tuple(rows)

    @property
    def bids(self):
        """Up to ten levels (price, size), best first."""
        return self._levels(BUY)

    @property
    def asks(self):
        """Up to ten levels (price, size), best first."""
        return self._levels(SELL)

    def imbalance(self, levels=1):
        """Return (bid size - ask size) / (bid size + ask size) over so many levels, 1..10; None without any size."""
        levels = int64_in(levels, "levels", 1, DEPTH)
        bids, asks = (sum(size for _, size in self._levels(side)[:levels]) for side in (BUY, SELL))
        return (bids - asks) / (bids + asks) if bids + asks else None

    # Take one side of a wanted quote into its place: NO_PRICE where there is none.
    cdef int _side(self, object price, object size, int side, int level) except -1:
        cdef int place = 2 * level + (side == SELL), result
        cdef double p, s
        self._ticks[place] = NO_PRICE
        if price is None:
            return 0
        p, s = number(price), number(size)
        if p != p or s != s:
            raise ValueError(f"price and size must be numbers: {'ask' if side == SELL else 'bid'}={price} size={size}")
        result = quote_side(self._row, self._top(), p, s, side, &self._ticks[place], &self._lots[place])
        if unlikely(result != QUOTE_WANTED):
            self._owner._count(
                "no price on the grid" if result == QUOTE_NO_GRID else "no size" if result == QUOTE_NO_SIZE
                else f"under the lot of {self._row.lot_size:g}"
            )
        return 0

    def quote(self, bid=None, ask=None, size=None, *, bid_size=None, ask_size=None, bids=None, asks=None):
        """Say which quotes are wanted from now on; compiled code keeps, sends, replaces or cancels what that needs.

        Parameters
        ----------
        bid, ask : float, optional
            Prices; None for no quote on that side. Bids are rounded down and asks up to the increment of the venue, and both are held
            back behind the other side of the market.
        size : float
            Of both; rounded down to whole lots.
        bid_size, ask_size : float, optional
            Of one side.
        bids, asks : sequence of (float, float), optional
            In their place: up to 16 quotes (price, size) a side, in any order; the sizes of one price are added.
        """
        if bids is not None or asks is not None:
            if bid is not None or ask is not None or size is not None or bid_size is not None or ask_size is not None:
                raise ValueError("quotes must be those of bid, ask and size, or those of bids and asks")
            self._top()
            self._begin()
            self._ladder(bids or (), BUY)
            self._ladder(asks or (), SELL)
        else:
            self._top()
            self._begin()
            self._side(bid, size if bid_size is None else bid_size, BUY, 0)
            self._side(ask, size if ask_size is None else ask_size, SELL, 0)
        self._touch()

    cdef int _ladder(self, object quotes, int side) except -1:
        cdef int level
        if len(quotes) > DESK_RUNGS:
            raise ValueError(f"quotes of a side must be at most {DESK_RUNGS}: {'asks' if side == SELL else 'bids'}={len(quotes)}")
        for level, (price, size) in enumerate(quotes):
            self._side(price, size, side, level)
        if len(quotes) > self._rungs:
            self._rungs = len(quotes)
        return 0

    def quote_ticks(self, bid=None, ask=None, lots=None, *, bid_lots=None, ask_lots=None):
        """`quote` in whole ticks and lots; off the increment of the venue bids are rounded down and asks up."""
        cdef int side, place
        cdef const top_t* top = self._top()
        self._begin()
        for side, price, size in ((BUY, bid, lots if bid_lots is None else bid_lots), (SELL, ask, lots if ask_lots is None else ask_lots)):
            if price is None:
                continue
            place = side == SELL
            if as_int64(size) < 1:
                self._owner._count("no size")
                continue
            self._ticks[place] = quote_price(self._row, top, instrument_price(self._row, as_int64(price)), side)
            self._lots[place] = size
            if self._ticks[place] == NO_PRICE:
                self._owner._count("no price on the grid")
        self._touch()

    def pull(self, str why=""):
        """Want no quotes; `why` is counted in the result."""
        self._top()
        if why:
            self._owner._count(why)
        self._begin()
        self._touch()

    # Nothing is wanted, until it is said.
    cdef void _begin(self) noexcept:
        cdef int i
        for i in range(2 * self._rungs):
            self._ticks[i] = NO_PRICE
        self._rungs = 1
        self._wanted = True

    # Commands may be added: inside of hooks that have a time, while there is room.
    cdef int _ready(self) except -1:
        self._top()
        self._on_thread()
        if not self._owner._begun:
            raise RuntimeError(f"orders need a time: send them inside of hooks behind on_start: symbol={self.symbol}")
        if self._owner._c.n >= self._owner._c.room:
            raise RuntimeError(f"an instant holds at most {self._owner._c.room} commands: commands={self._owner._c.n}")
        return 0

    # Ticks of a price that must be on the increment of the venue; else the code of the rule, and its words.
    cdef int64_t _exact_price(self, object price, object price_ticks, int* refusal) except? -1:
        cdef int64_t ticks, step
        cdef double p = 0.0
        if price_ticks is not None:
            ticks, given = as_int64(price_ticks), f"price_ticks={price_ticks}"
            p = instrument_price(self._row, ticks)
        else:
            p, given = price, f"price={price}"
            if p != p:
                raise ValueError(f"a price must be a number: price={price}")
            ticks = instrument_ticks(self._row, p)
        if not isfinite(p) or (p <= 0.0 and not self._row.signed_prices):
            refusal[0] = RESULT_BAD_PRICE
            self._owner._rule = f"a price must be positive and finite: {given}"
            return NO_PRICE
        step = self._row.increment_ticks
        if p < instrument_price(self._row, self._row.low_below_ticks):
            step = self._row.low_increment_ticks
        if ticks == NO_PRICE or ticks % step:
            refusal[0] = RESULT_OFF_INCREMENT
            self._owner._rule = f"a price must be a multiple of {instrument_price(self._row, step):g}: {given}"
        return ticks

    # Lots of a size that must be a whole number of them; else the code of the rule, and its words.
    cdef int64_t _exact_size(self, object size, object size_lots, int* refusal) except? -1:
        cdef double x
        if size_lots is not None:
            x, given = as_int64(size_lots), f"size_lots={size_lots}"
        else:
            x, given = size / self._row.lot_size, f"size={size}"
        if x != x:
            raise ValueError(f"a size must be a number: size={size}")
        if not 0.0 < x < 1e15:
            refusal[0] = RESULT_BAD_SIZE
            self._owner._rule = f"a size must be positive and below 1e15 lots: {given}"
            return 0
        if fabs(x - floor(x + 0.5)) > 1e-6:
            refusal[0] = RESULT_OFF_LOT
            self._owner._rule = f"a size must be a multiple of {self._row.lot_size:g}: {given}"
        return <int64_t> floor(x + 0.5)

    # What cannot be said in ticks and lots is refused through the queue of events, like all else.
    cdef int _cannot(self, Order order, int8_t side, int refusal) except -1:
        cdef event_t* e = want(self._owner._c, self.symbol_id, KIND_REJECT, side)
        order._rule = self._owner._rule
        e.price = NO_PRICE
        e.size = order._size_lots
        e.order_id = order.id
        e.match_id = refusal
        return 0

    cdef Order _send(self, int8_t side, object size, object price, str tif, bint post_only, object until, object ticks, object lots):
        cdef Order order = Order.__new__(Order)
        cdef PythonStrategy owner = self._owner
        cdef int refusal = RESULT_OK
        cdef int64_t price_ticks = NO_PRICE
        if (size is None) == (lots is None) or (price is not None and ticks is not None):
            raise ValueError("an order must have a size, and a price or none, each once")
        terms = order_terms(
            "market" if price is None and ticks is None else "limit", tif, post_only=post_only, expiry_ns=0 if until is None else until
        )
        self._ready()
        owner._watch()
        if price is not None or ticks is not None:
            price_ticks = self._exact_price(price, ticks, &refusal)
        order._handle = self
        order._single = True
        order.side, order.tif, order.post_only = side, tif, post_only
        order.price = self._price(price_ticks) if refusal == RESULT_OK else price if ticks is None else None
        if refusal == RESULT_OK:
            order._size_lots = self._exact_size(size, lots, &refusal)
        order.size = size if lots is None else <double> order._size_lots * self._row.lot_size
        order.state, order.why = "sent", ""
        if refusal == RESULT_OK:
            order.id = want_order(owner._c, self.symbol_id, side, price_ticks, order._size_lots, terms)
        else:
            order.id = owner._c.next_order_id[0]
            owner._c.next_order_id[0] += 1
            self._cannot(order, side, refusal)
        owner._orders[order.id] = order
        return order

    def buy(self, size=None, price=None, str tif="day", *, bint post_only=False, until=None, price_ticks=None, size_lots=None):
        """Send an order to buy. What comes of it, a refusal too, is told by ``on_order`` and stands in the order.

        Parameters
        ----------
        size : float
            A whole number of lots; any other is refused.
        price : float, optional
            On the increment of the venue; any other is refused. None: a market order, whose rest is pulled.
        tif : {"day", "ioc", "fok", "gtd"}, default "day"
            How long it waits: the whole day; not at all; not at all, and only filled in full; until a time.
        post_only : bool, default False
            Refused by the venue where it would trade on arrival.
        until : int, optional
            Of "gtd": ns since 1970; its low eight bits are cut off.
        price_ticks, size_lots : int, optional
            In the place of price and size, whole numbers.

        Returns
        -------
        Order
        """
        return self._send(BUY, size, price, tif, post_only, until, price_ticks, size_lots)

    def sell(self, size=None, price=None, str tif="day", *, bint post_only=False, until=None, price_ticks=None, size_lots=None):
        """Send an order to sell: see `buy`."""
        return self._send(SELL, size, price, tif, post_only, until, price_ticks, size_lots)

    def target(self, position, cross_after=None):
        """Say which position is wanted from now on; the newest wish counts, and the same one again changes nothing.

        One order for what is missing waits at the best price of its side, and follows that. Fills of other orders count: they change what is
        missing.

        Parameters
        ----------
        position : float or None
            Negative where short; rounded towards 0 to whole lots. None: none in particular, and the order is cancelled.
        cross_after : str, optional
            A duration such as ``"2s"``: what is still missing so long after the wish moves to the best price of the other side; ``"0s"`` at
            once. None: never.
        """
        cdef double x
        cdef int64_t lots = NO_PRICE, after = -1
        self._ready()
        if position is not None:
            x = position / self._row.lot_size
            if not -1e15 < x < 1e15:
                raise ValueError(f"a position must be a number of less than 1e15 lots: position={position}")
            lots = <int64_t> (x + 1e-6 if x > 0.0 else x - 1e-6)  # a millionth of a lot is noise of binary fractions
            if lots == 0 and x != 0.0:
                self._owner._count(f"position under the lot of {self._row.lot_size:g}")
        if cross_after is not None:
            after = self._owner._ns(cross_after)
        want_position(self._owner._c, self.symbol_id, lots, after)

    cdef int _on_thread(self) except -1:
        if unlikely(PyThreadState_Get() != self._owner._thread):
            raise RuntimeError(f"a strategy may want something inside hooks alone, and not on a thread of its own: symbol={self.symbol}")
        return 0

    # Something of it waits for the end of the instant.
    cdef int _touch(self) except -1:
        self._on_thread()
        if not self._listed:
            self._listed = True
            self._owner._touched[self._owner._waiting] = self
            self._owner._waiting += 1
        return 0

    def __repr__(self):
        if self._owner is None or self._owner._c == NULL:
            return f"Handle({self.symbol})"
        return f"Handle({self.symbol}, bid={self.bid}, ask={self.ask}, position={self.position:g})"


cdef int _present() except -1:
    cdef Handle h = Handle.__new__(Handle)
    cdef Py_ssize_t at = <char*> h._slots - <char*> <PyObject*> h
    fc_present_slot(0, "bid", "Best bid.", at)
    fc_present_slot(1, "ask", "Best ask.", at + sizeof(void*))
    fc_present_slot(2, "bid_size", "Size at the best bid.", at + 2 * sizeof(void*))
    fc_present_slot(3, "ask_size", "Size at the best ask.", at + 3 * sizeof(void*))
    fc_present_slot(4, "position", "What is held, negative where short.", at + 4 * sizeof(void*))
    return fc_present_ready(Handle)

_present()


# A result code in words.
cdef str _words(int64_t code):
    return Result(code).name.lower().replace("_", " ") if code else ""


cdef int python_on(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) noexcept:
    cdef PythonStrategy s = <PythonStrategy> (<python_t*> strategy).owner
    cdef int failed
    if hook == ON_INSTANT and s._begun and s._batches is None and s._waiting == 0:
        return STRATEGY_OK
    s._c = c
    s._thread = PyThreadState_Get()
    s.now = c.now_ns
    # As if it could not fail: what a try costs here would be a tenth of an empty hook.
    failed = (<strategy_on_t> <void*> python_take)(strategy, c, hook, e, change)
    if failed:
        s._keep_error()
    s._c = NULL
    return STRATEGY_ERROR if failed else STRATEGY_OK


cdef object record(object strategy, PyObject** arguments, Py_ssize_t count, PyObject* names):
    cdef PythonStrategy s = <PythonStrategy> strategy
    cdef tuple columns = () if names == NULL else <tuple> names
    if count > 1:
        raise TypeError(f"record() takes a market, and values by name: arguments={count}")
    if columns is not s._recorder._names and "market" in columns:   # the names of the row before are known to be good
        if count:
            raise TypeError("record() got multiple values for argument 'market'")
        values = {name: <object> arguments[i] for i, name in enumerate(columns)}
        market = values.pop("market")
        return s._recorder.add(s.now, "" if market is None else market.symbol, values)
    s._recorder.row(s.now, <object> arguments[0] if count else None, columns, arguments + count)


cdef PyMethodDef RECORD
RECORD.ml_name = "record"
RECORD.ml_meth = <void*> record
RECORD.ml_flags = METH_FASTCALL | METH_KEYWORDS
RECORD.ml_doc = "record(market=None, **columns)\nAdd a row to the result."


cdef int python_take(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) except -1:
    return (<PythonStrategy> (<python_t*> strategy).owner)._take(hook, e, change)


@cython.final
cdef class PythonStrategy(Strategy):
    """PythonStrategy(hooks, markets, every=(), duration=None)\n--\n\n
    PythonStrategy(hooks, markets, every=(), duration=None)\n--\n
    A strategy in Python, as a run takes it; ``hft.Strategy`` is what people write.

    Parameters
    ----------
    hooks : mapping of str to callable
        ``on_start()``, ``on_book(market)``, ``on_depth(market)``, ``on_trade(market, trade)``, ``on_fill(market, fill)``,
        ``on_order(market, order)``, ``on_stop()``; those that are not there are never called.
    markets : mapping of int to Instrument
        Dense ids, and what their integers mean.
    every : iterable of (callable, int)
        What is called at each multiple of so many ns of our clock, at least 1,000.
    duration : callable, optional
        Reads the durations of `Handle.target`: returns ns. By default they are numbers of ns.

    Attributes
    ----------
    markets : tuple of Handle
    now : int
        Our clock, ns.
    reasons : dict of str to int
        Why wanted quotes were not sent, with counts.

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, hooks, markets, every=(), duration=None):
        cdef Handle handle
        cdef int i
        cdef python_t* p = &self._p
        unknown = set(hooks) - {"on_start", "on_book", "on_depth", "on_trade", "on_fill", "on_order", "on_stop"}
        if unknown:
            raise ValueError(f"hooks must be those of a strategy: {', '.join(sorted(unknown))}")
        self._instruments = Instruments(markets.values())
        self.reasons = {}
        self._orders, self._durations, self._duration = {}, {}, int if duration is None else duration
        self._timers, self._free, self._every, self._by_id = [], [], [], []
        names = ("on_start", "on_stop", "on_book", "on_depth", "on_trade", "on_fill", "on_order")
        self._start, self._stop, self._book, self._depth, self._trade, self._fill, self._order = (hooks.get(name) for name in names)
        handles = []
        for symbol_id, instrument in markets.items():
            if not 0 <= as_int64(symbol_id) < <int64_t> 1 << 24:
                raise ValueError(f"symbol_id must be in 0..{(1 << 24) - 1}: symbol_id={symbol_id}")
            handle = Handle.__new__(Handle)
            handle._owner = self
            handle.symbol_id = symbol_id
            handle._row = &self._instruments._t.rows[len(handles)]
            handle.symbol = instrument.symbol
            handle._rungs = DESK_RUNGS
            handle._begin()     # and what a ladder does not reach stays without a price
            handle._wanted = False
            handle._shown.bid = handle._shown.ask = NO_PRICE    # as the slots begin
            for i in range(SLOTS):
                fc_slot_put(&handle._slots[i], i > 1, 0.0)
            handle._unit_value = float(instrument.unit_value)
            handles.append(handle)
            self._by_id.extend([None] * (handle.symbol_id + 1 - len(self._by_id)))
            self._by_id[handle.symbol_id] = handle
        if not handles:
            raise ValueError("markets must not be empty")
        self.markets = tuple(handles)
        self._touched = [None] * len(handles)   # one that grew and shrank would free and allocate in each instant
        self.symbol_ids = tuple(handle.symbol_id for handle in handles)
        for method, period in every:
            if as_int64(period) < 1_000:
                raise ValueError(f"a period must be at least 1,000 ns: period={period}")
            self._every.append((method, as_int64(period)))
        p.owner = <void*> self
        p.base.on = <strategy_on_t> <void*> python_on
        p.base.symbol_id = NO_SYMBOL if len(handles) > 1 else handle.symbol_id
        p.base.hooks = 1 << ON_BOOK | 1 << ON_INSTANT | 1 << ON_TIMER | 1 << ON_START | 1 << ON_STOP
        if self._book is not None:
            p.base.kinds |= NEWS_KINDS
        if self._trade is not None:
            p.base.kinds |= 1 << KIND_TRADE | 1 << KIND_EXECUTE
        if self._depth is not None:
            p.base.kinds |= DEEP_KINDS
        if p.base.kinds:
            p.base.hooks |= 1 << ON_EVENT
        if self._fill is not None or self._order is not None:
            p.base.hooks |= 1 << ON_REPORT
        if self._fill is not None:
            p.base.reports |= 1 << KIND_FILL | 1 << KIND_DETAIL
        if self._order is not None:
            p.base.reports |= OWN_KINDS
        self.python = True
        self._strategy = &p.base

    def collect(self, batches):
        """Fill batches (``strategies.batches.Batch``) with the events of the markets, before the run begins."""
        if self._begun:
            raise RuntimeError("batches are given before a run begins")
        self._batches = list(batches) or None
        if self._batches is not None:
            self._p.base.kinds = ~(<uint64_t> 0)
            self._p.base.hooks |= 1 << ON_EVENT

    def recording(self, Recorder recorder not None):
        """Return ``record(market=None, **columns)``, which adds a row to the recorder: as a function of C, and without a dictionary."""
        self._recorder = recorder
        return PyCFunction_NewEx(&RECORD, self, NULL)

    # A reason for which quotes were not sent.
    cdef int _count(self, str why) except -1:
        self.reasons[why] = self.reasons.get(why, 0) + 1
        return 0

    # An order is sent by itself: whatever comes of it counts from now on.
    cdef void _watch(self) noexcept:
        self._p.base.hooks |= 1 << ON_REPORT
        self._p.base.reports |= OWN_KINDS
        self._c.reports |= OWN_KINDS

    cdef int64_t _ns(self, str text) except? -1:
        ns = self._durations.get(text)
        if ns is None:
            ns = self._durations[text] = int64_in(self._duration(text), "duration", 0, <int64_t> 1 << 60)
        return ns

    cdef Handle _handle(self, uint32_t symbol_id):
        return self._by_id[symbol_id] if symbol_id < len(self._by_id) else None

    # The error that a hook has left.
    cdef int _keep_error(self) noexcept:
        try:
            fc_raised()
        except BaseException as error:
            self._error = error
        return 0

    # At the first moment that has a time: the clocks of `every`.
    cdef int _begin(self) except -1:
        self._begun = True
        for method, period in self._every:
            self._timers.append((method, period))
            want_timer(self._c, self.now - self.now % period + period, len(self._timers) - 1)
        return 0

    def after(self, delay_ns, method):
        """Call a method once, so many ns from now, 0..2**60."""
        cdef int64_t delay = as_int64(delay_ns)
        if not 0 <= delay <= <int64_t> 1 << 60:
            raise ValueError(f"delay_ns must be in 0..{1 << 60}: delay_ns={delay_ns}")
        if self._c == NULL or not self._begun:
            raise RuntimeError("after() needs a time: call it inside of hooks behind on_start")
        if self._c.room - self._c.n < 2:
            raise RuntimeError(f"an instant holds at most {self._c.room} commands: commands={self._c.n}")
        number = self._free.pop() if self._free else len(self._timers)
        self._timers[number:number + 1] = [(method, 0)]
        want_timer(self._c, self.now + delay, number)

    cdef int _take(self, int hook, const void* event, const void* changed) except -1:
        cdef const event_t* e = <const event_t*> event
        cdef const book_change_t* c = <const book_change_t*> changed
        cdef Handle handle
        if hook == ON_BOOK and self._begun:     # what comes most
            handle = self._handle(e.symbol_id)
            if handle is not None:
                handle._changed_ns = self.now
                handle._news = False
                if self._book is not None:
                    handle._tell(self._book, NULL)
            return 0
        if hook == ON_START:
            if self._start is not None:
                self._start()
            return 0
        if hook == ON_STOP:
            if self._batches is not None:
                for batch in self._batches:
                    (<Batch> batch)._deliver()
            if self._stop is not None:
                self._stop()
            return 0
        if not self._begun:     # the first moment that has a time
            self._begin()
            return self._take(hook, event, changed)
        if hook == ON_EVENT:
            self._happened(e, c)
        elif hook == ON_REPORT:
            self._report(e, c)
        elif hook == ON_TIMER:
            method, period = self._timers[e.order_id]
            if period:
                want_timer(self._c, e.exch_ns + period, e.order_id)
            else:
                self._timers[e.order_id] = None
                self._free.append(e.order_id)
            method()
        elif hook == ON_INSTANT:
            self._flush()
        return 0

    cdef int _happened(self, const void* event, const void* changed) except -1:
        cdef const event_t* e = <const event_t*> event
        cdef const book_change_t* c = <const book_change_t*> changed
        cdef Handle handle
        cdef Trade trade
        if NEWS_KINDS >> (e.kind & 63) & 1:
            for handle in self.markets:
                if e.symbol_id == handle.symbol_id or e.symbol_id == NO_SYMBOL or e.kind == KIND_SYSTEM:
                    handle._news = True
                    handle._touch()
        handle = self._handle(e.symbol_id)
        if handle is None:
            return 0
        if self._batches is not None:
            for batch in self._batches:
                batch_put(<Batch> batch, e)
        if self._depth is not None and DEEP_KINDS >> (e.kind & 63) & 1:
            handle._deep = True
            handle._touch()
        if self._trade is not None and (e.kind == KIND_TRADE or e.kind == KIND_EXECUTE) and not e.flags & FLAG_NOT_PRINTABLE:
            trade = Trade.__new__(Trade)
            trade.price = instrument_price(handle._row, c.price if e.price == NO_PRICE else e.price)
            trade.size = <double> e.size * handle._row.lot_size
            trade.side = -(c.side if c.side else e.side)
            handle._tell(self._trade, <PyObject*> trade)
        return 0

    cdef int _report(self, const void* event, const void* changed) except -1:
        cdef const event_t* e = <const event_t*> event
        cdef const book_change_t* c = <const book_change_t*> changed
        cdef Handle handle = self._handle(e.symbol_id)
        cdef Fill fill
        cdef Order order = None
        cdef double ahead = NAN, mid
        if handle is None:
            return 0
        if e.kind == KIND_DETAIL:
            ahead, e = ahead_units(e.price, handle._row.lot_size), &self._fill_event
        elif e.kind == KIND_FILL and e.flags & FLAG_CONTINUED and self._fill is not None:
            self._fill_event = e[0]
            return 0
        order = self._orders.get(e.order_id) if self._orders else None
        if order is not None:
            self._came(order, e)
        elif e.flags & FLAG_HELD:
            return 0    # a change of an order of which we were told meanwhile that it is done
        if e.kind == KIND_FILL and self._fill is not None:
            fill = Fill.__new__(Fill)
            fill.side, fill.order, fill.maker = e.side, e.order_id, e.match_id != MATCH_TOOK
            fill.price = instrument_price(handle._row, e.price)
            fill.size = <double> e.size * handle._row.lot_size
            fill.ahead = ahead if ahead == ahead else None
            fill.fee = fill_fee(c) * handle._unit_value
            mid = fill_mid(c)
            fill.mid = mid * handle._row.tick_num / handle._row.tick_den if mid == mid else None
            fill.cause = ""
            for flag, name in CAUSES:
                if e.flags & <int> flag:
                    fill.cause = name
            handle._tell(self._fill, <PyObject*> fill)
        if self._order is not None:
            if order is None:
                order = self._quoted(handle, e)
            handle._tell(self._order, <PyObject*> order)
        return 0

    # What a report says about an order that was sent by itself.
    cdef int _came(self, Order order, const void* event) except -1:
        cdef const event_t* e = <const event_t*> event
        cdef const own_order_t* o = &self._c.orders[e.order_id & (DESK_ORDERS - 1)]
        cdef double lot = order._handle._row.lot_size
        order.refused, order.why = e.kind == KIND_REJECT, ""
        if e.kind == KIND_ACK:
            order.state = "partly filled" if order._filled_lots else "working"
            order.price = order._handle._price(e.price)
            order._size_lots = e.size
            order.size = <double> e.size * lot
        elif e.kind == KIND_FILL:
            order._filled_lots += e.size
            order.filled = <double> order._filled_lots * lot
            order.state = "filled" if order._filled_lots >= order._size_lots else "partly filled"
        elif e.kind == KIND_PULLED:
            order.state = "expired" if e.match_id == RESULT_EXPIRED else "cancelled"
            order.why = _words(e.match_id)
        else:
            order.why = _words(e.match_id)
            if e.flags & FLAG_HELD and order._rule is not None:
                order.why, order._rule = f"{order.why}: {order._rule}", None
            if order.state == "sent" and e.side != NO_SIDE:
                order.state = "refused"
        if order.done and (o.id != order.id or not order_works(o)):
            del self._orders[order.id]
        return 0

    # What a report says about one of the wanted quotes.
    cdef Order _quoted(self, Handle handle, const void* event):
        cdef const event_t* e = <const event_t*> event
        cdef const own_order_t* o = &self._c.orders[e.order_id & (DESK_ORDERS - 1)]
        cdef Order order = Order.__new__(Order)
        order._handle, order.tif = handle, "day"
        order.id, order.side = e.order_id, e.side
        order.price = handle._price(e.price)
        order._size_lots = e.size
        if e.order_id and o.id == e.order_id:
            order._size_lots, order._filled_lots = o.size_lots, o.filled_lots
        order.size = <double> e.size * handle._row.lot_size
        order.filled = <double> order._filled_lots * handle._row.lot_size
        order.state = {KIND_ACK: "working", KIND_FILL: "filled", KIND_REJECT: "refused", KIND_PULLED: "cancelled"}[e.kind]
        if e.kind == KIND_FILL and order._filled_lots < order._size_lots:
            order.state = "partly filled"
        order.refused = e.kind == KIND_REJECT
        order.why = _words(e.match_id) if order.refused else ""
        return order

    # The instant is over: what waits for that.
    cdef int _flush(self) except -1:
        cdef Handle handle
        cdef int i = 0, level
        while i < self._waiting:    # hooks may want quotes of others
            handle = self._touched[i]
            if handle._news:
                handle._news = False
                if self._book is not None:
                    handle._tell(self._book, NULL)
            if handle._deep:
                handle._deep = False
                handle._tell(self._depth, NULL)
            i += 1
        if self._batches is not None:
            for batch in self._batches:
                if batch_due(<Batch> batch):
                    (<Batch> batch)._deliver()
        for i in range(self._waiting):
            handle = self._touched[i]
            handle._listed = False
            if handle._wanted:
                if self._c.n + handle._rungs > self._c.room:
                    raise RuntimeError(f"an instant holds at most {self._c.room} commands: commands={self._c.n}")
                want_quotes(self._c, handle.symbol_id, handle._ticks[0], handle._ticks[1], handle._lots[0], handle._lots[1])
                for level in range(2, 2 * handle._rungs, 2):
                    want_more(
                        self._c, handle.symbol_id, handle._ticks[level], handle._ticks[level + 1], handle._lots[level],
                        handle._lots[level + 1],
                    )
                handle._wanted = False
        self._waiting = 0
        return 0

    cdef int fail(self) except -1:
        error, self._error = self._error, None
        raise error

    def __repr__(self):
        return f"PythonStrategy({', '.join(handle.symbol for handle in self.markets)})"
