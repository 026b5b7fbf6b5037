"""What Numba is told about strategies: types of ``self``, markets, trades, fills and orders, arithmetic that never wraps, and machine code.

Imported when something must be compiled, never for code that is on disk already.
"""

# mypy: ignore-errors
# Numba has no types of its own, and reads the bodies of what stands here.

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from functools import cache
from types import CodeType, FunctionType

import llvmlite.binding as llvm
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils, errors
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing import signature
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, overload, overload_attribute, overload_method, register_model
from numba.np.arrayobj import make_array, populate_array

from fastcore.records import NO_PRICE, TERMS
from fastcore.strategies.compiled import LAYOUTS

OPTIONS = {"boundscheck": True, "error_model": "python"}
WORD = ir.IntType(64)
NUMBERS = (types.Float, types.Integer, types.Boolean, types.NoneType)
POST_ONLY = TERMS["post_only"]
EXACT = 1 << 53  # integers up to here are floats too
REFUSED = []  # what one of our own types had to say last, in plain words
# What compiled code may call besides ours: mathematics of the C library, and what LLVM makes of copies.
LIBRARY = set(
    "sqrt exp expm1 log log10 log1p log2 sin cos tan asin acos atan sinh cosh tanh atan2 fmod memset memcpy memmove".split()
)


class Allocates(Exception):
    """A function needs the run time of Numba: its name here, and that of what it needs."""


def refuse(text):
    """Raise what the user is told: Numba would bury it."""
    REFUSED.append(text)
    raise errors.TypingError(text)


# ---- types: pointers to structs ----


class Pointer(types.Opaque):
    """A pointer to a struct whose fields are at known offsets: name -> (kind, offset)."""

    def __init__(self, what, fields):
        self.what, self.fields = what, fields
        super().__init__(what)

    @property
    def key(self):
        return self.what, tuple(self.fields.items())


class Market(Pointer):
    """The handle of a market."""


class Fill(Pointer):
    """A fill of an own order."""


class Order(Pointer):
    """An own order; NULL stands for None."""


class Sequence_(types.Opaque):
    """The markets of a strategy (a pointer to it), or the levels of a side of a book (a pointer to the market)."""

    def __init__(self, what):
        self.what = what
        super().__init__(what)


class Statistic(types.Opaque):
    """A compiled object of ``fastcore``."""

    def __init__(self, what):
        self.what = what
        super().__init__(what)


for _kind in (Pointer, Market, Fill, Order, Sequence_, Statistic):
    register_model(_kind)(models.OpaqueModel)

KINDS = {"i8": types.int64, "f8": types.float64, "b1": types.boolean, "p": types.voidptr}
for _name in ("top", "held", "trade"):
    KINDS[_name] = Pointer(_name, LAYOUTS[_name])
KINDS["fill"] = Fill("fill", LAYOUTS["fill"])
KINDS["order"] = Order("order", LAYOUTS["order"])
MARKET = KINDS["market"] = Market("market", LAYOUTS["market"])
MARKETS, BIDS, ASKS = (Sequence_(name) for name in ("markets", "bids", "asks"))
for _name in ("PairZScore", "RollingZScore"):
    KINDS[_name] = Statistic(_name)


def type_of(kind):
    """Numba's type of the kind of a field."""
    if kind.startswith("array:"):
        _, item, ndim = kind.split(":")
        return types.Array(KINDS[item] if item != "b1" else types.boolean, int(ndim), "C")
    return KINDS[kind]


@infer_getattr
class PointerAttributes(AttributeTemplate):
    """Fields of structs."""

    key = Pointer

    def generic_resolve(self, typ, attr):
        if attr in typ.fields:
            return (
                MARKETS
                if attr == "markets"
                else Pointer("self", LAYOUTS["self"])
                if attr == "owner"
                else type_of(typ.fields[attr][0])
            )
        return None


def place(builder, pointer, offset, llvm_type):
    """Pointer to a field."""
    return builder.bitcast(cgutils.pointer_add(builder, pointer, offset), llvm_type.as_pointer())


@lower_getattr_generic(Pointer)
def load_field(context, builder, typ, value, attr):
    kind, offset = typ.fields[attr]
    if isinstance(typ, Order):
        raise_if(context, builder, cgutils.is_null(builder, value), AttributeError, "None is no order")
    if attr == "markets":
        return value
    if kind.startswith("array:"):
        typ = type_of(kind)
        array = make_array(typ)(context, builder)
        words = place(builder, value, offset, cgutils.intp_t)
        data, *shape = (builder.load(builder.gep(words, [cgutils.intp_t(i)])) for i in range(1 + typ.ndim))
        size = cgutils.intp_t(context.get_abi_sizeof(context.get_data_type(typ.dtype)))
        strides = [size]
        for length in shape[:0:-1]:
            strides.insert(0, builder.mul(strides[0], length))
        data = builder.inttoptr(data, context.get_data_type(typ.dtype).as_pointer())
        populate_array(array, data, shape, strides, size, None)
        return array._getvalue()
    if kind == "b1":
        return builder.icmp_unsigned("!=", builder.load(place(builder, value, offset, WORD)), WORD(0))
    return builder.load(place(builder, value, offset, context.get_value_type(load_type(kind, attr))))


def load_type(kind, attr):
    return types.voidptr if kind == "self" else type_of(kind)


@lower_setattr_generic(Pointer)
def store_field(context, builder, sig, args, attr):
    pointer, value = args
    kind, offset = sig.args[0].fields[attr]
    if kind == "b1":
        value = builder.zext(value, WORD)
    builder.store(value, place(builder, pointer, offset, value.type))


# ---- arithmetic: as Python's, or an error ----


def plain(typ):
    """A type without literal and without None."""
    typ = types.unliteral(typ)
    return typ.type if isinstance(typ, types.Optional) else typ


def whole(*kinds):
    return all(isinstance(kind, (types.Integer, types.Boolean)) for kind in kinds)


def raise_if(context, builder, condition, kind, text):
    with builder.if_then(condition, likely=False):
        context.call_conv.return_user_exc(builder, kind, (text,))


def arithmetic(operation, instruction=None):
    """An operator of two operands: whole numbers by an instruction that says whether it overflows, others as Numba has it."""

    @intrinsic
    def operate(typing, a, b):
        x, y = plain(a), plain(b)
        if instruction is not None and whole(x, y):
            sig = signature(types.int64, types.int64, types.int64)

            def compute(context, builder, args):
                both = getattr(builder, instruction)(*args)
                raise_if(
                    context, builder, builder.extract_value(both, 1), OverflowError, "a whole number must be in -2**63..2**63-1"
                )
                return builder.extract_value(both, 0)

        else:
            sig = typing.resolve_value_type(operation).get_call_type(typing, (x, y), {})

            def compute(context, builder, args):
                if whole(x, y) and operation in (operator.floordiv, operator.mod):
                    least = builder.and_(
                        *(builder.icmp_signed("==", v, v.type(n)) for v, n in zip(args, (-(1 << 63), -1), strict=True))
                    )
                    raise_if(context, builder, least, OverflowError, "a whole number must be in -2**63..2**63-1")
                return context.get_function(typing.resolve_value_type(operation), sig)(builder, args)

        def generate(context, builder, outer, args):
            if whole(x, y) and operation is operator.truediv:  # looked at as whole numbers, divided as floats
                numbers = [context.cast(builder, value, kind, types.int64) for value, kind in zip(args, (a, b), strict=True)]
                raise_if(
                    context,
                    builder,
                    inexact(builder, numbers),
                    OverflowError,
                    "whole numbers to divide must be in -2**53..2**53",
                )
            values = [
                context.cast(builder, value, kind, want) for value, kind, want in zip(args, (a, b), sig.args, strict=True)
            ]
            return compute(context, builder, values)

        return signature(sig.return_type, a, b), generate

    return operate


def inexact(builder, numbers):
    """Whether one of some whole numbers is none of float64."""
    beyond = [builder.icmp_unsigned(">", builder.add(n, n.type(EXACT)), n.type(2 * EXACT)) for n in numbers]
    return builder.or_(*beyond)


@intrinsic
def negate(typing, a):
    x = plain(a)
    if whole(x):

        def generate(context, builder, sig, args):
            both = builder.ssub_with_overflow(WORD(0), context.cast(builder, args[0], a, types.int64))
            raise_if(
                context, builder, builder.extract_value(both, 1), OverflowError, "a whole number must be in -2**63..2**63-1"
            )
            return builder.extract_value(both, 0)

        return types.int64(a), generate
    sig = typing.resolve_value_type(operator.neg).get_call_type(typing, (x,), {})

    def generate_plain(context, builder, outer, args):
        value = context.cast(builder, args[0], a, sig.args[0])
        return context.get_function(typing.resolve_value_type(operator.neg), sig)(builder, [value])

    return signature(sig.return_type, a), generate_plain


@intrinsic
def divide(typing, a, b):
    """A quotient of floats whose divisor is not 0."""
    return types.float64(types.float64, types.float64), lambda context, builder, sig, args: builder.fdiv(*args)


external_power = types.ExternalFunction("fc_power", types.float64(types.float64, types.float64))


def whole_power(a, b):
    if b < 0:
        raise ValueError("a whole number to a negative power is a float in Python: write it as one")
    if -1 <= a <= 1:
        return a if b % 2 else a * a if b else 1
    result = 1
    for _ in range(b):  # at most 63 rounds
        result = multiply(result, a)
    return result


def float_power(a, b):
    x, y = float(a), float(b)
    if x == 0.0 and y < 0.0 and not math.isinf(y):
        raise ZeroDivisionError("0.0 cannot be raised to a negative power")
    result = external_power(x, y)
    if math.isnan(result) and not (math.isnan(x) or math.isnan(y)):
        raise ValueError("a negative number to a fractional power is complex in Python")
    if math.isinf(result) and not (math.isinf(x) or math.isinf(y)):
        raise OverflowError("numerical result out of range")
    return result


@njit(**OPTIONS)
def math_power(a, b):
    x, y = float(a), float(b)
    result = external_power(x, y)
    bad = math.isnan(result) and not (math.isnan(x) or math.isnan(y))
    if bad or (x == 0.0 and y < 0.0 and not math.isinf(y)):
        raise ValueError("math domain error")
    if math.isinf(result) and not (math.isinf(x) or math.isinf(y)):
        raise OverflowError("math range error")
    return result


def power(a, b):
    """``a ** b``; compiled alone."""


@overload(power, jit_options=OPTIONS)
def compile_power(a, b):
    return whole_power if whole(plain(a), plain(b)) else float_power


def magnitude(x):
    """``abs`` of a number; compiled alone."""


@overload(magnitude, jit_options=OPTIONS)
def compile_magnitude(x):
    if whole(plain(x)):
        return lambda x: negate(x) if x < 0 else negate(negate(x))
    return lambda x: abs(x)


def to_whole(x, how):
    """``int``, ``math.floor``, ``math.ceil`` and ``round`` of a number; compiled alone."""


@overload(to_whole, jit_options=OPTIONS)
def compile_to_whole(x, how):
    if whole(plain(x)):
        return lambda x, how: negate(negate(x))

    def convert(x, how):
        y = float(x)
        if math.isnan(y):
            raise ValueError("cannot convert float NaN to integer")
        if not -9.2e18 < y < 9.2e18:
            raise OverflowError("a whole number must be in -9.2e18..9.2e18")
        if how == 1:
            return math.floor(y)
        if how == 2:
            return math.ceil(y)
        return round(y) if how == 3 else int(y)

    return convert


def mathematical(function, count, infinite):
    """A function of ``math`` that raises what Python raises; `infinite`: a result out of range is an OverflowError."""

    def judge(result, x, y):
        if math.isnan(result) and not (math.isnan(x) or math.isnan(y)):
            raise ValueError("math domain error")
        if math.isinf(result) and not (math.isinf(x) or math.isinf(y)):
            if infinite:
                raise OverflowError("math range error")
            raise ValueError("math domain error")
        return result

    judge = njit(**OPTIONS)(judge)
    if count == 1:
        return njit(**OPTIONS)(lambda x: judge(function(float(x)), float(x), 0.0))
    return njit(**OPTIONS)(lambda x, y: judge(function(float(x), float(y)), float(x), float(y)))


def keep_order(context, builder, sig, args):
    """An order as an attribute: one that stays, or NULL."""
    kind, order = sig.args[1], args[1]
    null = ir.Constant(cgutils.voidptr_t, None)
    if isinstance(kind, types.NoneType):
        return null
    if isinstance(kind, types.Optional):
        optional = context.make_helper(builder, kind, order)
        order = builder.select(cgutils.as_bool_bit(builder, optional.valid), optional.data, null)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(cgutils.voidptr_t, [cgutils.voidptr_t]), "fc_keep"
    )
    return builder.call(function, [order])


@intrinsic
def keep(typing, old, new):
    """What an attribute becomes: of its type."""
    x, y = types.unliteral(old), plain(new)
    numbers = (types.Integer, types.Boolean)
    if isinstance(x, Order) and isinstance(y, (Order, types.NoneType)):
        return signature(x, old, new), keep_order
    good = x == y and not isinstance(x, types.Array)
    good = good or (isinstance(x, types.Float) and isinstance(y, (types.Float, *numbers)))
    good = good or (isinstance(x, types.Integer) and isinstance(y, numbers))
    if not good:
        names = {"float64": "float", "int64": "int", "none": "None", "bool": "bool"}
        had, has = (
            names.get(str(kind), "array" if isinstance(kind, types.Array) else getattr(kind, "what", str(kind)))
            for kind in (x, y)
        )
        refuse(f"an attribute keeps the type that it has behind on_start, here {had}: it cannot become {has}")
    return signature(x, old, new), lambda context, builder, sig, args: context.cast(builder, args[1], new, x)


# ---- what hooks call ----


def external(name, result, *arguments):
    return types.ExternalFunction(name, result(*arguments))


I8, F8, P = types.int64, types.float64, types.voidptr
ORDER = KINDS["order"]
two_sided = external("fc_two_sided", I8, P)
quote = external("fc_quote", I8, P, I8, F8, I8, F8, F8, F8)
pull = external("fc_pull", types.void, P, I8)
average = external("fc_average", F8, P)
tick = external("fc_tick", F8, P)
levels = external("fc_levels", I8, P, I8)
level_price = external("fc_level_price", F8, P, I8, I8)
level_size = external("fc_level_size", F8, P, I8, I8)
imbalance = external("fc_imbalance", F8, P, I8)
call_after = external("fc_after", I8, P, I8, I8)
start_ladder = external("fc_ladder", I8, P)
add_rung = external("fc_rung", I8, P, I8, I8, F8, F8)
finish_ladder = external("fc_ladder_done", types.void, P)
want_target = external("fc_target", I8, P, I8, F8, I8)
send = external("fc_send", ORDER, P, I8, I8, F8, I8, I8, F8, I8, I8, I8)
cancel = external("fc_cancel", I8, P)
move = external("fc_move", I8, P, I8, F8, I8, I8, F8, I8)
order_left = external("fc_order_left", F8, P)
order_done = external("fc_order_done", I8, P)
same_order = external("fc_same", I8, P, P)
draw = external("fc_draw", F8, P)
draw_below = external("fc_draw_below", I8, P, I8)
draw_normal = external("fc_draw_normal", F8, P)
pair_update = external("fc_pair_update", F8, P, F8, F8)
zscore_update = external("fc_zscore_update", F8, P, F8)


@intrinsic
def raw(typing, pointer):
    return types.voidptr(pointer), lambda context, builder, sig, args: args[0]


@intrinsic
def market_at(typing, markets, i):
    def generate(context, builder, sig, args):
        first = builder.load(place(builder, args[0], LAYOUTS["self"]["_handles"][1], cgutils.voidptr_t))
        return cgutils.pointer_add(builder, first, builder.mul(args[1], WORD(LAYOUTS["market"][""][1])))

    return MARKET(markets, types.int64), generate


@intrinsic
def market_count(typing, markets):
    def generate(context, builder, sig, args):
        return builder.load(place(builder, args[0], LAYOUTS["self"]["_count"][1], WORD))

    return types.int64(markets), generate


def levels_of(side):
    @intrinsic
    def get(typing, market):
        return side(market), lambda context, builder, sig, args: args[0]

    return get


bids_of, asks_of = levels_of(BIDS), levels_of(ASKS)


@overload(len)
def compile_len(x):
    if isinstance(x, Sequence_):
        if x.what == "markets":
            return lambda x: market_count(x)
        side = 1 if x.what == "bids" else -1
        return lambda x: levels(raw(x), side)
    return None


@overload(operator.getitem, jit_options=OPTIONS)
def compile_getitem(x, i):
    if not isinstance(x, Sequence_) or not isinstance(i, types.Integer):
        return None
    if x.what == "markets":

        def market(x, i):
            count = market_count(x)
            if not -count <= i < count:
                raise IndexError("tuple index out of range")
            return market_at(x, i if i >= 0 else i + count)

        return market
    side = 1 if x.what == "bids" else -1

    def level(x, i):
        count = levels(raw(x), side)
        if not -count <= i < count:
            raise IndexError("tuple index out of range")
        at = i if i >= 0 else i + count
        return level_price(raw(x), side, at), level_size(raw(x), side, at)

    return level


@overload(operator.eq)
def compile_equal(a, b):
    if (isinstance(a, Market) and isinstance(b, Market)) or (isinstance(a, Order) and isinstance(b, Order)):
        return lambda a, b: a is b
    return None


@lower_builtin(operator.is_, Order, types.NoneType)
def order_is_none(context, builder, sig, args):
    return cgutils.is_null(builder, args[0])


@lower_builtin(operator.is_, types.NoneType, Order)
def none_is_order(context, builder, sig, args):
    return cgutils.is_null(builder, args[1])


@lower_builtin(operator.is_, Order, Order)
def order_is_order(context, builder, sig, args):
    kind = ir.FunctionType(WORD, [cgutils.voidptr_t, cgutils.voidptr_t])
    same = builder.call(cgutils.get_or_insert_function(builder.module, kind, "fc_same"), args)
    return builder.icmp_unsigned("!=", same, WORD(0))


@njit
def price_of(m, ticks):
    return divide(float(ticks) * m.tick_num, m.tick_den)


def attribute(name):
    """Register an attribute of markets: a function of the market."""

    def register(function):
        overload_attribute(Market, name)(lambda m: function)
        return function

    return register


@attribute("bid")
def market_bid(m):
    return None if m.top.bid == NO_PRICE else price_of(m, m.top.bid)


@attribute("ask")
def market_ask(m):
    return None if m.top.ask == NO_PRICE else price_of(m, m.top.ask)


@attribute("bid_ticks")
def market_bid_ticks(m):
    return None if m.top.bid == NO_PRICE else m.top.bid


@attribute("ask_ticks")
def market_ask_ticks(m):
    return None if m.top.ask == NO_PRICE else m.top.ask


@attribute("bid_size")
def market_bid_size(m):
    return float(m.top.bid_size) * m.lot


@attribute("ask_size")
def market_ask_size(m):
    return float(m.top.ask_size) * m.lot


@attribute("two_sided")
def market_two_sided(m):
    return two_sided(raw(m)) != 0


@attribute("mid")
def market_mid(m):
    top = m.top
    return None if top.bid == NO_PRICE or top.ask == NO_PRICE else 0.5 * price_of(m, top.bid + top.ask)


@attribute("microprice")
def market_microprice(m):
    top = m.top
    b, a = float(top.bid_size), float(top.ask_size)
    if top.bid == NO_PRICE or top.ask == NO_PRICE or not a + b > 0.0:
        return None
    return divide(price_of(m, top.bid) * a + price_of(m, top.ask) * b, a + b)


@attribute("spread")
def market_spread(m):
    top = m.top
    if top.bid == NO_PRICE or top.ask == NO_PRICE:
        return None
    return price_of(m, top.ask - top.bid) if top.ask > top.bid else -price_of(m, top.bid - top.ask)


@attribute("age")
def market_age(m):
    return 1e-9 * float(m.owner.now - m.changed_ns) if m.changed_ns else math.inf


@attribute("position")
def market_position(m):
    return float(m.held.lots) * m.lot


@attribute("account_position")
def market_account_position(m):
    return float(m.account.lots) * m.lot


@attribute("average")
def market_average(m):
    return None if m.held.lots == 0 else average(raw(m))


@attribute("tick")
def market_tick(m):
    return tick(raw(m))


@attribute("bids")
def market_bids(m):
    return bids_of(m)


@attribute("asks")
def market_asks(m):
    return asks_of(m)


@overload_attribute(Fill, "ahead")
def fill_ahead(fill):
    return lambda fill: None if math.isnan(fill._ahead) else fill._ahead


@overload_attribute(Fill, "mid")
def fill_mid(fill):
    return lambda fill: None if math.isnan(fill._mid) else fill._mid


@overload_attribute(Order, "price")
def order_price(order):
    return lambda order: order.limit if order.priced else None


@overload(bool)
def compile_bool(x):
    return (lambda x: x is not None) if isinstance(x, Order) else None


@intrinsic
def there(typing, order):
    """The address of an order that is not None."""

    def generate(context, builder, sig, args):
        raise_if(context, builder, cgutils.is_null(builder, args[0]), AttributeError, "None is no order")
        return args[0]

    return P(order), generate


@overload_attribute(Order, "left", jit_options=OPTIONS)
def compile_left(order):
    return lambda order: order_left(there(order))


@overload_attribute(Order, "done", jit_options=OPTIONS)
def compile_done(order):
    return lambda order: order_done(there(order)) != 0


@overload_method(Order, "cancel", jit_options=OPTIONS)
def compile_cancel(order):
    def take_out(order):
        done = cancel(there(order))
        if done < 0:
            raise RuntimeError("an order of wanted quotes is changed by quote and pull")
        return done != 0

    return take_out


@overload_method(Order, "move", jit_options=OPTIONS)
def compile_move(order, price=None, size=None, price_ticks=None, size_lots=None):
    def change(order, price=None, size=None, price_ticks=None, size_lots=None):
        price_how, p = units(price)
        size_how, s = units(size)
        ticks_how, ticks = whole_units(price_ticks)
        lots_how, lots = whole_units(size_lots)
        if (price_how != 0 and ticks_how != 0) or (size_how != 0 and lots_how != 0):
            raise ValueError("a move must have a price, a size or both, each once")
        done = move(there(order), price_how + ticks_how, p, ticks, size_how + lots_how, s, lots)
        if done < 0:
            raise ValueError("a move must have a price, a size or both, each once")
        return done != 0

    return change


def single(side):
    """``m.buy`` or ``m.sell``; `tif` is the number of the word."""

    def compile_single(m, size=None, price=None, tif=0, post_only=False, until=None, price_ticks=None, size_lots=None):
        def order(m, size=None, price=None, tif=0, post_only=False, until=None, price_ticks=None, size_lots=None):
            price_how, p = units(price)
            size_how, s = units(size)
            ticks_how, ticks = whole_units(price_ticks)
            lots_how, lots = whole_units(size_lots)
            _, expiry = whole_units(until)
            if (price_how != 0 and ticks_how != 0) or (size_how != 0) == (lots_how != 0):
                raise ValueError("an order must have a size, and a price or none, each once")
            terms = tif | (POST_ONLY if post_only else 0)
            made = send(raw(m), side, price_how + ticks_how, p, ticks, size_how + lots_how, s, lots, terms, expiry)
            if made is None:
                raise ValueError("an order that cannot be")
            return made

        return order

    return compile_single


overload_method(Market, "buy", jit_options=OPTIONS)(single(1))
overload_method(Market, "sell", jit_options=OPTIONS)(single(-1))


@overload_method(Market, "target", jit_options=OPTIONS)
def compile_target(m, position, cross_after=-1):
    def want(m, position, cross_after=-1):
        has_position, x = given(position)
        if want_target(raw(m), has_position != 0.0, x, cross_after) != 0:
            raise ValueError("a position must be a number of less than 1e15 lots")

    return want


def begin_ladder(m):
    """Rungs follow; compiled alone."""


@overload(begin_ladder, jit_options=OPTIONS)
def compile_begin_ladder(m):
    if not isinstance(m, Market):
        refuse("quotes are wanted of a market")

    def begin(m):
        if start_ladder(raw(m)) != 0:
            raise RuntimeError("a ladder inside of another")

    return begin


def rung(m, side, price, size):
    """One of them; compiled alone."""


@overload(rung, jit_options=OPTIONS)
def compile_rung(m, side, price, size):
    def add(m, side, price, size):
        has_price, p = given(price)
        has_size, s = given(size)
        if has_price != 0.0 and has_size == 0.0:
            raise TypeError("must be real number, not NoneType")
        if add_rung(raw(m), side, has_price != 0.0, p, s) != 0:
            raise ValueError("quotes of a side must be at most 16, of numbers")

    return add


@njit(**OPTIONS)
def end_ladder(m):
    finish_ladder(raw(m))


@overload_method(Market, "imbalance", jit_options=OPTIONS)
def compile_imbalance(m, levels=1):
    def get(m, levels=1):
        value = imbalance(raw(m), levels)
        if m.owner._problem != 0:
            raise ValueError("levels must be in 1..10")
        return None if math.isnan(value) else value

    return get


@intrinsic
def given(typing, x):
    """Whether something is not None, and its value as a float."""
    kind = types.unliteral(x.value if isinstance(x, types.Omitted) else x) if not isinstance(x, types.Omitted) else types.none
    if not isinstance(plain(kind), NUMBERS):
        refuse(f"a price or size must be a number: it is {getattr(kind, 'what', kind)}")
    result = types.UniTuple(types.float64, 2)

    def generate(context, builder, sig, args):
        one, zero = (ir.DoubleType()(v) for v in (1.0, 0.0))
        if isinstance(kind, types.NoneType):
            pair = zero, zero
        elif isinstance(kind, types.Optional):
            optional = context.make_helper(builder, kind, args[0])
            valid = cgutils.as_bool_bit(builder, optional.valid)
            number = context.cast(builder, optional.data, kind.type, types.float64)
            pair = builder.select(valid, one, zero), builder.select(valid, number, zero)
        else:
            pair = one, context.cast(builder, args[0], kind, types.float64)
        return cgutils.pack_array(builder, pair)

    return signature(result, x), generate


def a_price(typing, x, whole_only):
    """How a price or size is given, and the number: a float, or an int of ticks or lots."""
    kind = types.none if isinstance(x, types.Omitted) and x.value is None else types.unliteral(x)
    number = plain(kind)
    if not isinstance(number, (types.Integer, types.NoneType) if whole_only else (types.Float, types.Integer, types.NoneType)):
        refuse(f"a price or size must be a {'whole ' * whole_only}number: it is {getattr(kind, 'what', kind)}")
    wanted = I8 if whole_only else F8
    how = 3 if whole_only else 2 if isinstance(number, types.Integer) else 1

    def generate(context, builder, sig, args):
        zero = context.get_constant(wanted, 0)
        if isinstance(kind, types.NoneType):
            pair = WORD(0), zero
        elif isinstance(kind, types.Optional):
            optional = context.make_helper(builder, kind, args[0])
            valid = cgutils.as_bool_bit(builder, optional.valid)
            value = context.cast(builder, optional.data, number, wanted)
            pair = builder.select(valid, WORD(how), WORD(0)), builder.select(valid, value, zero)
        else:
            pair = WORD(how), context.cast(builder, args[0], kind, wanted)
        return context.make_tuple(builder, sig.return_type, pair)

    return signature(types.Tuple((I8, wanted)), x), generate


@intrinsic
def units(typing, x):
    return a_price(typing, x, False)


@intrinsic
def whole_units(typing, x):
    return a_price(typing, x, True)


@overload_method(Market, "quote", jit_options=OPTIONS)
def compile_quote(m, bid=None, ask=None, size=None, bid_size=None, ask_size=None):
    def want(m, bid=None, ask=None, size=None, bid_size=None, ask_size=None):
        has_bid, buy = given(bid)
        has_ask, sell = given(ask)
        has_size, both = given(size)
        has_bid_size, buy_size = given(bid_size)
        has_ask_size, sell_size = given(ask_size)
        if has_bid_size == 0.0:
            has_bid_size, buy_size = has_size, both
        if has_ask_size == 0.0:
            has_ask_size, sell_size = has_size, both
        if (has_bid != 0.0 and has_bid_size == 0.0) or (has_ask != 0.0 and has_ask_size == 0.0):
            raise TypeError("must be real number, not NoneType")
        if quote(raw(m), has_bid != 0.0, buy, has_ask != 0.0, sell, buy_size, sell_size) != 0:
            raise ValueError("price and size must be numbers")

    return want


@overload_method(Market, "pull")
def compile_pull(m, why=-1):
    return lambda m, why=-1: pull(raw(m), why)


@overload_method(Statistic, "update")
def compile_update(statistic, a, b=0.0):
    if statistic.what == "PairZScore":
        return lambda statistic, a, b=0.0: pair_update(raw(statistic), a, b)
    return lambda statistic, a, b=0.0: zscore_update(raw(statistic), a)


def new_row(context, builder, pointer, site, symbol_id):
    """Where the values of a row go."""
    kind = ir.FunctionType(ir.DoubleType().as_pointer(), [cgutils.voidptr_t, WORD, WORD])
    row = builder.call(cgutils.get_or_insert_function(builder.module, kind, "fc_record"), [pointer, site, symbol_id])
    raise_if(context, builder, cgutils.is_null(builder, row), RuntimeError, "an instant records at most 4096 rows")
    return row


@intrinsic
def record(typing, self, site, market, values):
    """Add a row: number of the statement, market or None, a tuple of values."""
    if not isinstance(market, (Market, types.NoneType)):
        refuse("record() takes a market, and values by name")
    if not all(isinstance(plain(kind), NUMBERS[:-1]) for kind in values.types):
        refuse("record() takes numbers")

    def generate(context, builder, sig, args):
        numbers = [
            context.cast(
                builder, context.cast(builder, builder.extract_value(args[3], i), kind, plain(kind)), plain(kind), types.float64
            )
            for i, kind in enumerate(values.types)
        ]
        symbol_id = WORD(-1)
        if isinstance(market, Market):
            symbol_id = load_field(context, builder, market, args[2], "symbol_id")
        row = new_row(context, builder, args[0], context.cast(builder, args[1], site, types.int64), symbol_id)
        for i, number in enumerate(numbers):
            builder.store(number, builder.gep(row, [ir.IntType(32)(i)]))
        return context.get_dummy_value()

    return types.none(self, site, market, values), generate


@intrinsic
def line(typing, self, site, values):
    """Add a line: number of the statement, and what stands in its text, three words each: kind and two of the value."""

    def words(context, builder, kind, value):
        if isinstance(kind, types.Optional):
            optional = context.make_helper(builder, kind, value)
            valid = cgutils.as_bool_bit(builder, optional.valid)
            return [builder.select(valid, word, WORD(0)) for word in words(context, builder, kind.type, optional.data)]
        if isinstance(kind, types.NoneType):
            return [WORD(0)] * 3
        if isinstance(kind, Market):
            return [WORD(4), load_field(context, builder, kind, value, "symbol_id"), WORD(0)]
        if isinstance(kind, Order):
            given = builder.bitcast(load_field(context, builder, kind, value, "_given"), WORD)
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(WORD, [cgutils.voidptr_t]), "fc_why")
            return [WORD(5), builder.call(function, [value]), given]
        if isinstance(kind, types.Float):
            return [WORD(1), builder.bitcast(context.cast(builder, value, kind, F8), WORD), WORD(0)]
        return [WORD(3 if isinstance(kind, types.Boolean) else 2), context.cast(builder, value, kind, I8), WORD(0)]

    for kind in values.types:
        if not isinstance(plain(kind), (*NUMBERS, Market, Order)):
            refuse("a line of the log holds numbers, .symbol, .why, .state and .cause")

    def generate(context, builder, sig, args):
        parts = [(types.unliteral(kind), builder.extract_value(args[2], i)) for i, kind in enumerate(values.types)]
        parts = [(kind, context.cast(builder, value, old, kind)) for (kind, value), old in zip(parts, values.types, strict=True)]
        found = [word for kind, value in parts for word in words(context, builder, kind, value)]
        row = new_row(context, builder, args[0], context.cast(builder, args[1], site, I8), WORD(-1))
        for i, word in enumerate(found):
            builder.store(builder.bitcast(word, ir.DoubleType()), builder.gep(row, [ir.IntType(32)(i)]))
        return context.get_dummy_value()

    return types.none(self, site, values), generate


# ---- self.random: what random.Random does in Python, on its generator ----


@njit(**OPTIONS)
def uniform(self, a, b):
    return plus(a, multiply(minus(b, a), draw(raw(self))))


@njit(**OPTIONS)
def randrange(self, start, stop):
    width = minus(stop, start)
    if width <= 0:
        raise ValueError("empty range for randrange()")
    return plus(start, draw_below(raw(self), width))


@njit(**OPTIONS)
def expovariate(self, rate):
    return divide_by(-math.log(1.0 - draw(raw(self))), rate)


RANDOM = {
    "random": (0, njit(lambda self: draw(raw(self)))),
    "uniform": (2, uniform),
    "randrange": (2, randrange),
    "randint": (2, njit(**OPTIONS)(lambda self, a, b: randrange(self, a, plus(b, 1)))),
    "gauss": (2, njit(**OPTIONS)(lambda self, mu, sigma: plus(mu, multiply(draw_normal(raw(self)), sigma)))),
    "expovariate": (1, expovariate),
}


@intrinsic
def poll(typing, self):
    """In each round of a loop: now and then somebody must look at signals, or a loop without an end could not be interrupted."""

    def generate(context, builder, sig, args):
        counter = place(builder, args[0], LAYOUTS["self"]["_polls"][1], WORD)
        left = builder.sub(builder.load(counter), WORD(1))
        builder.store(left, counter)
        with builder.if_then(builder.icmp_signed("<=", left, WORD(0)), likely=False):
            kind = ir.FunctionType(WORD, [cgutils.voidptr_t])
            stop = builder.call(cgutils.get_or_insert_function(builder.module, kind, "fc_poll"), [args[0]])
            raise_if(context, builder, builder.icmp_signed("!=", stop, WORD(0)), RuntimeError, "interrupted")
        return context.get_dummy_value()

    return types.none(self), generate


def after(self, delay_ns, method):
    """``self.after``; compiled alone."""


@overload(after, jit_options=OPTIONS)
def compile_after(self, delay_ns, method):
    def wait(self, delay_ns, method):
        if call_after(raw(self), delay_ns, method) != 0:
            raise RuntimeError("after() needs a time, and room among the timers")

    return wait


def stop(self, text):
    """``self.stop``; compiled alone."""


@overload(stop, jit_options=OPTIONS)
def compile_stop(self, text):
    def end(self, text):
        self._problem = stopping
        self._text = text
        raise RuntimeError("stopped")

    from fastcore.strategies.compiled import PROBLEMS

    stopping = PROBLEMS["stop"]
    return end


HELPERS = {
    "_fc_add": (plus := arithmetic(operator.add, "sadd_with_overflow")),
    "_fc_sub": (minus := arithmetic(operator.sub, "ssub_with_overflow")),
    "_fc_mult": (multiply := arithmetic(operator.mul, "smul_with_overflow")),
    "_fc_div": (divide_by := arithmetic(operator.truediv)),
    "_fc_floordiv": arithmetic(operator.floordiv),
    "_fc_mod": arithmetic(operator.mod),
    "_fc_pow": power,
    "_fc_math_pow": math_power,
    "_fc_neg": negate,
    "_fc_abs": magnitude,
    "_fc_whole": to_whole,
    "_fc_keep": keep,
    "_fc_record": record,
    "_fc_after": after,
    "_fc_stop": stop,
    "_fc_line": line,
    "_fc_poll": poll,
    "_fc_ladder": begin_ladder,
    "_fc_rung": rung,
    "_fc_ladder_done": end_ladder,
}


@cache
def helpers(mathematics, tests):
    """What rewritten functions call: ours, and of ``math`` (name, arguments, whether out of range is an OverflowError) and tests."""
    made = {f"_fc_{name}": mathematical(getattr(math, name), *how) for name, *how in mathematics}
    drawn = {f"_fc_random_{name}": function for name, (_, function) in RANDOM.items()}
    return HELPERS | made | drawn | {f"_fc_{name}": getattr(math, name) for name in tests}


# ---- machine code ----


@intrinsic
def guarded(typing, function, self, market, what):
    """Call a hook; 1 where it raised, and `error` of the strategy points to what."""
    wanted = tuple(kind for kind in (self, market, what) if kind != types.voidptr)
    inner = function.get_call_type(typing, wanted, {})

    def generate(context, builder, sig, args):
        result = function.dispatcher.get_compile_result(inner)
        context.add_linking_libs([result.library])
        values = [value for value, kind in zip(args[1:], (self, market, what), strict=True) if kind != types.voidptr]
        status, _ = context.call_internal_no_propagate(builder, result.fndesc, inner, values)
        with builder.if_then(status.is_error, likely=False):
            info = builder.bitcast(status.excinfoptr, cgutils.voidptr_t)
            builder.store(info, place(builder, args[1], LAYOUTS["self"]["_error"][1], info.type))
        return builder.zext(status.is_error, ir.IntType(32))

    return types.int32(function, self, market, what), generate


ARGUMENTS = {
    "on_book": (MARKET, P),
    "on_depth": (MARKET, P),
    "on_trade": (MARKET, KINDS["trade"]),
    "on_fill": (MARKET, KINDS["fill"]),
    "on_order": (MARKET, KINDS["order"]),
}


def machine_code(
    functions: Mapping[str, tuple[CodeType, dict[str, object], tuple[object, ...] | None]],
    entries: Sequence[tuple[str, str, str]],
    fields: Mapping[str, tuple[str, int]],
    known: Mapping[str, object],
) -> bytes:
    """Compile functions, and return the object code of some of them.

    Parameters
    ----------
    functions : mapping of str to (code, namespace, defaults)
        By the name that they call each other by.
    entries : sequence of (symbol, function, hook)
        What is called from outside.
    fields : mapping of str to (kind, offset)
        Attributes of ``self``.
    known : mapping
        ``helpers``.
    """
    REFUSED.clear()
    base = LAYOUTS["self"][""][1]
    layout = dict(LAYOUTS["self"], markets=("self", 0)) | {
        name: (kind, base + offset) for name, (kind, offset) in fields.items()
    }
    self_type = Pointer("self", layout)
    compiled: dict[str, object] = {}
    for name, (code, namespace, defaults) in functions.items():
        compiled[name] = njit(**OPTIONS)(FunctionType(code, namespace, code.co_name, defaults))
    for _, namespace, _ in functions.values():
        namespace.update(known | compiled)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, reloc="pic", codemodel="large"
    )
    module = llvm.parse_assembly("")
    for symbol, name, hook in entries:
        market, what = ARGUMENTS.get(hook, (P, P))
        hook_function = compiled[name]

        def entry(self, market, what):
            return guarded(hook_function, self, market, what)  # noqa: B023  used at once

        code = cfunc(types.int32(self_type, market, what), **OPTIONS)(entry)
        part = llvm.parse_assembly(code.inspect_llvm().replace("{ noinline }", "{ alwaysinline }"))  # the hook itself into what is called
        for function in part.functions:
            if function.name == code.native_name:
                function.name = symbol
            elif not function.is_declaration:
                function.linkage = llvm.Linkage.internal
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
        builder.getModulePassManager().run(part, builder)
        for function in part.functions:
            if function.is_declaration and not function.name.startswith(("llvm.", "fc_")) and function.name not in LIBRARY:
                raise Allocates(name, function.name)
        module.link_in(part)
    return machine.emit_object(module)
