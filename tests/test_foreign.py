"""Function pointers of somebody else as strategies: what they see is the documented layout, what they want is done."""

import ctypes

import numpy as np
import pytest

from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SIDE, QUOTE_DTYPE, SELL
from fastcore.risk import RiskLimits
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource
from fastcore.strategies.foreign import (
    CHANGE_DTYPE,
    CONTEXT_DTYPE,
    CONTEXT_VERSION,
    HOOKS,
    POSITION_DTYPE,
    STRATEGY_DTYPE,
    TOP_DTYPE,
    ForeignStrategy,
)

ON = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def at(address, dtype, count=1):
    """The records at an address, as a view."""
    return np.frombuffer((ctypes.c_char * (dtype.itemsize * count)).from_address(address), dtype)


def adds(*rows):
    """Rows (time, order id, side, price, size)."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for event, (time, order_id, side, price, size) in zip(out, rows, strict=True):
        event["exch_ns"], event["order_id"], event["kind"] = time, order_id, KINDS["add"]
        event["side"], event["price"], event["size"] = side, price, size
    return out


EVENTS = adds((1000, 1, BUY, 990, 50), (2000, 2, SELL, 1010, 60), (3000, 3, BUY, 995, 70), (4000, 4, SELL, 990, 200))


def run(strategy):
    market, desk = Market(symbols=4), Desk(RiskLimits(1000, 1000, 1000), symbols=4)
    simulator = Simulator(EventSource(EVENTS), market)
    desk.open(0)
    simulator.open(0)
    engine = Engine(simulator, market, desk, {"foreign": strategy})
    engine.run()
    engine.stop()
    return engine


def quote(context, bid, ask, lots):
    """Append wanted quotes to the outbox, as ``want_quotes`` does."""
    c = at(context, CONTEXT_DTYPE)[0]
    out = at(int(c["out"]), QUOTE_DTYPE, int(c["room"]))
    event = out[int(c["n"])]
    event["seq"], event["exch_ns"], event["local_ns"] = c["cause"], c["now_ns"], c["now_ns"]
    event["symbol_id"], event["kind"], event["side"], event["flags"] = 0, KINDS["quote"], NO_SIDE, FLAGS["own"]
    event["bid"], event["ask"], event["bid_size"], event["ask_size"] = bid, ask, lots, lots
    c["n"] += 1


def test_function_sees_the_documented_layouts_and_its_quotes_are_sent():
    seen, state = [], np.zeros(2, np.int64)
    names = {number: name for name, number in HOOKS.items()}

    def on(strategy, context, hook, event, change):
        own, c = at(strategy, STRATEGY_DTYPE)[0], at(context, CONTEXT_DTYPE)[0]
        top, position = at(int(c["tops"]), TOP_DTYPE)[0], at(int(c["positions"]), POSITION_DTYPE)[0]
        assert (c["size"], c["version"]) == (CONTEXT_DTYPE.itemsize, CONTEXT_VERSION)
        assert own["symbol_id"] == 0
        at(int(own["state"]), np.dtype(np.int64))[0] += 1
        kind = at(event, EVENT_DTYPE)[0]["kind"] if event else None
        changed = at(change, CHANGE_DTYPE)[0] if hook == HOOKS["event"] else {"price": None}
        prices = int(top["bid"]), int(top["ask"])
        seen.append((names[hook], int(c["now_ns"]), kind, changed["price"], *prices, int(position["position_lots"])))
        if hook == HOOKS["book"] and top["ask"] != NO_PRICE and top["bid"] != NO_PRICE and top["bid"] < top["ask"]:
            quote(context, top["bid"], top["ask"], 10)
        return 0

    function = ON(on)
    strategy = ForeignStrategy(function, 0, HOOKS, kinds=["add"], reports=["fill"], state=state)
    del function
    engine = run(strategy)
    add, fill = KINDS["add"], KINDS["fill"]
    assert [row for row in seen if row[0] not in ("instant", "report")] == [
        ("start", 0, None, None, NO_PRICE, NO_PRICE, 0),
        ("event", 1000, add, 990, 990, NO_PRICE, 0),
        ("book", 1000, add, None, 990, NO_PRICE, 0),
        ("event", 2000, add, 1010, 990, 1010, 0),
        ("book", 2000, add, None, 990, 1010, 0),
        ("event", 3000, add, 995, 995, 1010, 0),
        ("book", 3000, add, None, 995, 1010, 0),
        ("event", 4000, add, 990, 995, 990, 10),
        ("book", 4000, add, None, 995, 990, 10),
        ("stop", 4000, None, None, 995, 990, 10),
    ]
    assert [row for row in seen if row[0] == "report"] == [("report", 4000, fill, None, 995, 990, 10)]
    assert state.tolist() == [len(seen), 0]
    assert engine.desk.position(0).position_lots == 10
    assert strategy.symbol_ids == (0,)


def test_compiled_function_of_numba_quotes():
    numba = pytest.importorskip("numba")
    from numba import carray, types
    from numba.extending import intrinsic

    @intrinsic
    def pointer(typing, address):
        return types.voidptr(types.uint64), lambda context, builder, sig, args: builder.inttoptr(
            args[0], context.get_value_type(types.voidptr)
        )

    context_t, top_t, quote_t = (types.CPointer(numba.from_dtype(dtype)) for dtype in (CONTEXT_DTYPE, TOP_DTYPE, QUOTE_DTYPE))
    kind, own = KINDS["quote"], FLAGS["own"]

    @numba.cfunc(types.int32(types.voidptr, context_t, types.int32, types.voidptr, types.voidptr))
    def on(strategy, context, hook, event, change):
        c = carray(context, 1)[0]
        top = carray(pointer(c.tops), 1, TOP_DTYPE)[0]
        if top.bid != NO_PRICE and top.ask != NO_PRICE and top.bid < top.ask:
            out = carray(pointer(c.out), c.room, QUOTE_DTYPE)[c.n]
            out.seq, out.exch_ns, out.local_ns, out.symbol_id = c.cause, c.now_ns, c.now_ns, 0
            out.kind, out.side, out.flags = kind, 0, own
            out.bid, out.ask, out.bid_size, out.ask_size = top.bid, top.ask, 10, 10
            c.n += 1
        return 0

    engine = run(ForeignStrategy(on, [0]))
    assert engine.desk.position(0).position_lots == 10
    assert run(ForeignStrategy(on.address, [0])).reports().tobytes() == engine.reports().tobytes()
    assert ForeignStrategy(on.ctypes, 0).address == on.address


def test_pointer_of_cffi_is_its_address():
    ffi = pytest.importorskip("cffi").FFI()
    assert ForeignStrategy(ffi.cast("int (*)(void *)", 1 << 20), 0).address == 1 << 20


def test_another_status_than_done_ends_the_run():
    for status, rule in ((1, "has no room to make"), (2, "must return 0"), (-7, "must return 0")):
        function = ON(lambda *_, status=status: status)
        with pytest.raises(RuntimeError, match=rule):
            run(ForeignStrategy(function, 0))


@pytest.mark.parametrize(
    ("arguments", "error", "rule"),
    [
        ((None, 0), TypeError, "on must be a C function pointer"),
        ((True, 0), TypeError, "on must be a C function pointer"),
        ((print, 0), TypeError, "on must be a C function pointer"),
        ((0, 0), ValueError, "on must be the address of a function: on=0"),
        ((-8, 0), ValueError, "on must be the address of a function"),
        ((4095, 0), ValueError, "on must be the address of a function"),
        ((1 << 64, 0), ValueError, "on must be the address of a function"),
        ((ctypes.cast(0, ON), 0), ValueError, "on must be the address of a function: on=0"),
        ((1 << 20, -1), ValueError, "symbol_id must be in"),
        ((1 << 20, ()), ValueError, "symbol_ids must not be empty"),
        ((1 << 20, 0, ["on_book"]), ValueError, "hooks must be among report, event, book"),
    ],
)
def test_what_is_no_function_or_no_name_is_refused(arguments, error, rule):
    with pytest.raises(error, match=rule):
        ForeignStrategy(*arguments)
    with pytest.raises(ValueError, match=r"kinds must be among .*: kinds=ad"):
        ForeignStrategy(1 << 20, 0, kinds=["ad"])
    with pytest.raises(ValueError, match="state must be a writable contiguous array"):
        ForeignStrategy(1 << 20, 0, state=np.zeros((2, 2))[:, 0])
