"""Configuration: frozen typed structs, from TOML and the environment, validated with the path of what is wrong.

Order of precedence: command line, environment (``HFT_<SECTION>_<KEY>``), TOML file, default. The defaults of the market
maker suit a liquid share of some hundred USD. For other instruments read units (contracts, coins) for shares, and the quote
currency for USD.
"""

import contextlib
import datetime
import os
import re
import select
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from fastcore.money import Fees as Schedule

from .conditions import suggestion

if TYPE_CHECKING:
    from fastcore.instruments import Instrument
    from fastcore.risk import RiskLimits

MAX_BYTES = 1 << 20  # of a file
PIPE_SECONDS = 5.0  # until somebody has written the first byte of it

Form = TypeVar("Form", bound=msgspec.Struct)

Positive = Annotated[float, Meta(gt=0.0, lt=1e12)]
NotNegative = Annotated[float, Meta(ge=0.0, lt=1e12)]
Count = Annotated[int, Meta(ge=1, le=2**40)]
Rate = Annotated[int, Meta(ge=1, le=2**26)]
Seconds = Annotated[float, Meta(ge=0.0, le=1e9)]


BUILT_IN = ("avellaneda", "none")


def is_own(strategy: str) -> bool:
    """Say whether a name is that of a strategy of the user's own, not of one that comes with the package."""
    return ":" in strategy or strategy.endswith(".py")


class ConfigError(Exception):
    """A configuration file, or a value in it or in the environment, is not valid; says where."""


class Contradiction(ConfigError, ValueError):
    """Values that do not go together; says which keys."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: frozen, by keyword only, unknown keys are errors."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not -1e300 < value < 1e300:
                raise ValueError(f"{name} must be finite: {name}={value}")


class Run(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is run.

    Attributes
    ----------
    symbol : str, optional
        Chosen symbol; may be left out where the file lists only one.
    strategy : str
        ``avellaneda``, a market maker; ``none``, books only; or one of the user's own: ``FILE.py``, ``FILE.py:Class``, ``MODULE:Class``.
    parameters : dict of str to number or text
        Of a strategy of the user's own.
    store : str, optional
        Path of a tick store that receives the executions of the symbol.
    date : date, optional
        Day of the recording, for absolute times; by default the one in the name of the file, if any.
    sample_every : int
        Latencies of one message in so many; 1 every message, 0 none.
    curve_interval_s : float
        Distance of the points of the equity curve, exchange time.
    multiplier : float, optional
        Value of one unit (share, contract, coin) at a price of 1, where the data do not say: 50 for E-mini S&P 500 futures.
    skip_malformed : bool
        Count malformed messages and go on, instead of stopping with exit code 4.
    """

    symbol: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    strategy: Annotated[str, Meta(min_length=1, max_length=1024)] = "avellaneda"
    parameters: dict[str, int | float | str | bool] = {}
    store: str | None = None
    date: datetime.date | None = None
    sample_every: Annotated[int, Meta(ge=0, le=2**40)] = 256
    curve_interval_s: Annotated[float, Meta(ge=1e-3, le=86_400.0)] = 1.0
    multiplier: Positive | None = None
    skip_malformed: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parameters and not is_own(self.strategy):
            raise ValueError(f"parameters are those of a strategy of your own, {self.strategy} has none: {', '.join(self.parameters)}")
        if self.date is not None and not 1970 <= self.date.year <= 2261:
            raise ValueError(f"date must be in 1970-01-01..2261-12-31: date={self.date}")


class MarketMaker(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Avellaneda-Stoikov quotes with a rolling horizon.

    Attributes
    ----------
    risk_aversion_per_usd : float
        gamma: how strongly the inventory (in orders) moves the quotes.
    fill_decay_per_usd : float
        k: how fast the rate of fills decays with the distance from the middle price.
    horizon_s : float
        Time over which inventory is a risk.
    order_shares : int
        Size of every order, and the unit in which inventory is counted.
    inventory_limit_shares : int
        No bid at this position and above, no ask at its negative and below.
    min_spread_usd : float
        Floor of the quoted spread.
    mid_move_usd : float, optional
        Quotes stay until the middle price has moved by more than this; not set, every change of the best prices or sizes counts.
    volatility_usd_per_sqrt_s : float
        Volatility of the middle price until the estimate has its first return.
    volatility_half_life_s : float
        Half-life of the estimate; 0 keeps the value above.
    volatility_interval_s : float
        Distance of the prices that the estimate uses.
    """

    risk_aversion_per_usd: Positive = 0.5
    fill_decay_per_usd: Positive = 10.0
    horizon_s: Positive = 60.0
    order_shares: Count = 100
    inventory_limit_shares: Count = 1_000
    min_spread_usd: NotNegative = 0.02
    mid_move_usd: NotNegative | None = None
    volatility_usd_per_sqrt_s: Positive = 0.02
    volatility_half_life_s: NotNegative = 300.0
    volatility_interval_s: Annotated[float, Meta(ge=1e-3, le=86_400.0)] = 1.0


class Conversion(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Currencies of a run: what its limits and the sums of its reports are in. Accounts stay in the currencies of their instruments.

    Attributes
    ----------
    currency : str, optional
        By default that of the first instrument.
    rates : dict of str to float or str
        What one of another currency costs in `currency`; or the symbol of an instrument of the run whose middle price says so.
    """

    currency: Annotated[str, Meta(max_length=8)] | None = None
    rates: dict[str, Positive | str] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.currency in self.rates:
            raise ValueError(f"rates must be those of other currencies: currency={self.currency!r}")


class SymbolLimits(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one instrument, in the place of those for all; as in `Limits`.

    Attributes
    ----------
    enabled : bool
    margin : float
        Share of the value that buying power must cover.
    """

    max_order_shares: Count | None = None
    max_position_shares: Annotated[int, Meta(ge=0, le=2**40)] | None = None
    price_collar_usd: NotNegative | None = None
    min_order_shares: Positive | None = None
    order_multiple_shares: Positive | None = None
    last_trade_collar_usd: NotNegative | None = None
    max_order_value_usd: NotNegative | None = None
    repeat_s: Seconds | None = None
    stale_s: Seconds | None = None
    feed_lag_s: Seconds | None = None
    require_trading: bool | None = None
    require_increment: bool | None = None
    refuse_crossed: bool | None = None
    prevent_self_trade: bool | None = None
    short_sale: Literal["above_bid", "held"] | None = None
    enabled: bool | None = None
    margin: NotNegative | None = None


class Group(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exposure of several instruments in the worst case.

    Attributes
    ----------
    symbols : list of str
        Each in one group at most.
    max_gross_value_usd, max_net_value_usd : float, optional
        By magnitude and by sign.
    """

    symbols: list[str]
    max_gross_value_usd: NotNegative | None = None
    max_net_value_usd: NotNegative | None = None


# Limits in units of an instrument, as what `fastcore.risk` takes in lots and in ticks.
LOTS = {
    "max_order_shares": "max_order_lots", "max_position_shares": "max_position_lots", "min_order_shares": "min_order_lots",
    "order_multiple_shares": "lot_multiple",
}  # fmt: skip
TICKS = {"price_collar_usd": "collar_ticks", "last_trade_collar_usd": "last_collar_ticks"}
# What must not exceed what, beside what ``fastcore.risk`` finds in lots.
ORDERED = (
    ("min_order_shares", "max_order_shares"), ("order_multiple_shares", "max_order_shares"), ("max_order_value_usd", "max_gross_value_usd"),
    ("max_net_value_usd", "max_gross_value_usd"), ("messages_per_second", "messages_per_minute"),
)  # fmt: skip


def _refuse_contradiction(limits: Section) -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(limits)}
    for low, high in ORDERED:
        a, b = (getattr(limits, name, None) for name in (low, high))
        if a is not None and b is not None and a > b:
            said = (f"{name}={value}" + " (the default)" * (value == defaults[name]) for name, value in ((low, a), (high, b)))
            raise Contradiction(f"{low} must not exceed {high}: {' '.join(said)}")


class Limits(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pre-trade limits, and the loss that stops a run. Amounts of money are in the currency of `Conversion`.

    Attributes
    ----------
    max_order_shares : int, optional
        Of one order.
    max_position_shares : int, optional
        In the worst case, with all open orders of a side filled.
    price_collar_usd : float, optional
        Largest distance of an order from the middle price.
    max_loss_usd : float, optional
        A loss of an instrument beyond it, in its own currency, or one that cannot be computed, pulls all orders and ends the run with
        exit code 5.
    min_order_shares : float, optional
        Smallest order.
    order_multiple_shares : float, optional
        What the size of every order must be a multiple of.
    last_trade_collar_usd : float, optional
        Largest distance of an order from the last trade.
    max_order_value_usd : float, optional
        Of one order.
    max_gross_value_usd : float, optional
        Of all positions by magnitude, with all open orders of a side filled.
    max_net_value_usd : float, optional
        Of all positions by sign, with all open orders of a side filled.
    buying_power_usd : float, optional
        What all positions and open orders may be worth, beside the profit so far.
    max_realised_loss_usd : float, optional
        A loss on closed positions beyond it pulls all orders and refuses new ones; the run goes on, as after the next three.
    max_unrealised_loss_usd : float, optional
        The same of the loss on what is held.
    max_day_loss_usd : float, optional
        The same of both since the day began.
    max_drawdown_usd : float, optional
        The same of the distance from the highest profit so far.
    messages_per_second : int, optional
        Orders, replacements and cancels; cancels always pass.
    messages_per_minute : int, optional
        The same in any minute.
    orders_per_trade : int, optional
        Messages for each of our fills, and one more.
    max_open_orders : int, optional
        At one time.
    max_fills_per_minute : int, optional
        More of them pull all orders and refuse new ones.
    repeat_s : float, optional
        An order like the last one of that side within this time is refused.
    stale_s : float, optional
        Age of market data beyond which, or behind missing messages, orders are refused.
    feed_lag_s : float, optional
        Time of data from the venue to us beyond which orders are refused.
    clock_error_s : float, optional
        An order is refused that comes before the one before it, or while market data come from further ahead of our clock.
    require_trading : bool
        Refuse orders while the instrument does not trade.
    require_increment : bool
        Refuse prices off the increment of the venue.
    refuse_crossed : bool
        Refuse orders while the book is crossed, locked or one-sided.
    prevent_self_trade : bool
        Refuse orders that would meet one of our own.
    short_sale : {"above_bid", "held"}, optional
        Sales of more than is held: ``held`` refuses all, ``above_bid`` those at the best bid or below.
    kill_switch : str, optional
        File that stops all orders when another process says so.
    groups : dict of str to Group
        Exposure of several instruments: ``{index = {symbols = ["ESM4"], max_gross_value_usd = 1e6}}``.
    symbols : dict of str to SymbolLimits
        Limits of single instruments, in the place of those for all: ``{ESM4 = {max_order_shares = 5}}``.

    Notes
    -----
    docs/risk.md says what each of them does; all are off by default but the first three.
    """

    max_order_shares: Count | None = 1_000
    max_position_shares: Annotated[int, Meta(ge=0, le=2**40)] | None = 1_200
    price_collar_usd: NotNegative | None = 2.0
    max_loss_usd: NotNegative | None = None
    min_order_shares: Positive | None = None
    order_multiple_shares: Positive | None = None
    last_trade_collar_usd: NotNegative | None = None
    max_order_value_usd: NotNegative | None = None
    max_gross_value_usd: NotNegative | None = None
    max_net_value_usd: NotNegative | None = None
    buying_power_usd: NotNegative | None = None
    max_realised_loss_usd: NotNegative | None = None
    max_unrealised_loss_usd: NotNegative | None = None
    max_day_loss_usd: NotNegative | None = None
    max_drawdown_usd: NotNegative | None = None
    messages_per_second: Rate | None = None
    messages_per_minute: Rate | None = None
    orders_per_trade: Count | None = None
    max_open_orders: Annotated[int, Meta(ge=0, le=2**40)] | None = None
    max_fills_per_minute: Rate | None = None
    repeat_s: Seconds | None = None
    stale_s: Seconds | None = None
    feed_lag_s: Seconds | None = None
    clock_error_s: Seconds | None = None
    require_trading: bool = False
    require_increment: bool = False
    refuse_crossed: bool = False
    prevent_self_trade: bool = False
    short_sale: Literal["above_bid", "held"] | None = None
    kill_switch: str | None = None
    groups: dict[str, Group] = {}
    symbols: dict[str, SymbolLimits] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_contradiction(self)
        for group in self.groups.values():
            _refuse_contradiction(group)
        members = [name for group in self.groups.values() for name in group.symbols]
        twice = {name for name in members if members.count(name) > 1}
        if twice:
            raise ValueError(f"an instrument must be in one group at most: symbol={min(twice)!r}")

    def build(self, markets: "Mapping[int, Instrument]", conversion: Conversion) -> "RiskLimits":
        """Return them as the run of some instruments takes them.

        Parameters
        ----------
        markets : mapping of int to Instrument
            By dense id; at least one.

        Raises
        ------
        ConfigError
            If limits are said of an instrument that is not in the run.
        ValueError
            If a limit is out of range, or contradicts another.
        """
        from fastcore.risk import KillSwitch, RiskLimits

        group_of = {symbol: name for name, group in self.groups.items() for symbol in group.symbols}
        known = [instrument.symbol for instrument in markets.values()]
        for symbol in [*group_of, *self.symbols]:
            if symbol not in known:
                raise ConfigError(f"limits must be those of an instrument of the run ({', '.join(known)}): symbol={symbol!r}")
        first = next(iter(markets.values()))
        account = ("max_loss_usd", "kill_switch", "groups", "symbols")
        settings = {name: getattr(self, name) for name in self.__struct_fields__ if name not in account}
        limits = RiskLimits(
            **_in_integers(settings, first),
            currency=conversion.currency,
            kill_switch=KillSwitch(self.kill_switch),
            rates=conversion.rates,
            groups={name: (group.max_gross_value_usd, group.max_net_value_usd) for name, group in self.groups.items()},
        )
        in_units = {name: settings[name] for name in (*LOTS, *TICKS)}
        for row, instrument in markets.items():
            special = self.symbols.get(instrument.symbol, SymbolLimits())
            own = {name: value for name in special.__struct_fields__ if (value := getattr(special, name)) is not None}
            if (instrument.tick_size, instrument.lot_size) != (first.tick_size, first.lot_size):
                own = in_units | own
            own = _in_integers(own, instrument)
            if instrument.symbol in group_of:
                own["group"] = group_of[instrument.symbol]
            if own:
                limits.change(symbol_id=row, by="start", **own)
        limits.audit.clear()
        return limits


def _in_integers(settings: Mapping[str, Any], instrument: "Instrument") -> dict[str, Any]:
    """Limits as ``fastcore.risk`` takes them: lots, ticks and nanoseconds."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name in LOTS or name in TICKS:
            unit = instrument.lot_size if name in LOTS else instrument.tick_size
            required = name in ("max_order_shares", "max_position_shares", "price_collar_usd")
            found[LOTS.get(name) or TICKS[name]] = round(value / unit) if value is not None else "off" if required else None
        elif name.endswith("_s"):
            found[name.removesuffix("s") + "ns"] = None if value is None else round(value * 1e9)
        else:
            found[name.removesuffix("_usd")] = value
    return found


class Fees(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What fills cost, exactly as written; a rebate is negative.

    Attributes
    ----------
    maker_fee : str or float
        Of fills of orders that waited: ``"0.02%"`` or ``"2bps"`` of the value, or USD per share (``0.00295``).
    taker_fee : str or float
        The same of orders that took.
    maker_usd_per_share : float
        `maker_fee` in USD per share; not both.
    taker_usd_per_share : float
        `taker_fee` in USD per share; not both.
    order_fee_usd : float
        Once for each order that is filled.
    tiers : list of (float, str or float, str or float)
        Traded value in USD from which other fees hold: maker, taker.
    """

    maker_fee: str | float = 0.0
    taker_fee: str | float = 0.0
    maker_usd_per_share: Annotated[float, Meta(gt=-100.0, lt=100.0)] = 0.0
    taker_usd_per_share: Annotated[float, Meta(gt=-100.0, lt=100.0)] = 0.0
    order_fee_usd: float = 0.0
    tiers: tuple[tuple[Positive, str | float, str | float], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for fee, per_share in (("maker_fee", "maker_usd_per_share"), ("taker_fee", "taker_usd_per_share")):
            if getattr(self, fee) != 0.0 and getattr(self, per_share) != 0.0:
                raise ValueError(f"{fee} and {per_share} must not both be given: {fee}={getattr(self, fee)}")
        self.schedule()

    def schedule(self) -> Schedule:
        """Return the fees as ``fastcore.money.Fees``."""
        maker, taker = self.maker_fee or self.maker_usd_per_share, self.taker_fee or self.taker_usd_per_share
        return Schedule(maker, taker, self.order_fee_usd, self.tiers).checked()


class Traded(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the data do not say of an instrument.

    Attributes
    ----------
    multiplier : float, optional
        Value of one unit (share, contract, coin) at a price of 1: 50 for E-mini S&P 500 futures.
    currency : str, optional
        Of its prices, or, for an inverse contract, what it pays in.
    kind : {"linear", "inverse"}, optional
    signed_prices : bool, optional
        Prices may be 0 and negative.
    fees : Fees, optional
        In the place of those for all.
    """

    multiplier: Positive | None = None
    currency: Annotated[str, Meta(max_length=8)] | None = None
    kind: Literal["linear", "inverse"] | None = None
    signed_prices: bool | None = None
    fees: Fees | None = None

    def of(self, instrument: "Instrument") -> "Instrument":
        """Return an instrument with what is said here."""
        names = ("multiplier", "currency", "kind", "signed_prices")
        return instrument._replace(**{name: value for name in names if (value := getattr(self, name)) is not None})


class Latency(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Latencies: a duration such as 250us; of orders and responses also normal(300us, 50us) or lognormal(300us, 50us).

    Attributes
    ----------
    feed : str
        From the venue to us, for market events; ``recorded``, with an offset such as ``recorded-1.27s``, takes the times at which
        the data say that they were received.
    order : str
        From us to the venue.
    response : str
        From the venue to us, for what came of orders.
    """

    feed: str = "0"
    order: str = "0"
    response: str = "0"

    def __post_init__(self) -> None:
        from . import conditions

        conditions.feed(self.feed)
        conditions.latency(self.order)
        conditions.latency(self.response)


class Venue(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the simulated venue assumes.

    Attributes
    ----------
    queue : str
        Place of own orders on data by level: ``risk-averse``, ``power:N``, ``log:1``, ``log:2``. On data by order it is exact.
    """

    queue: str = "risk-averse"

    def __post_init__(self) -> None:
        from . import conditions

        conditions.queue(self.queue)


class Quotes(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How wanted quotes and positions become messages.

    Attributes
    ----------
    min_rest : str
        An order is not moved before it has rested for so long, a duration such as 50ms; pulls pass.
    requote_ticks : int
        Nor for a change of the wanted price below so many ticks; 1: for any.
    """

    min_rest: str = "0"
    requote_ticks: Annotated[int, Meta(ge=1, le=2**40)] = 1

    def __post_init__(self) -> None:
        from . import conditions

        conditions.duration_ns(self.min_rest)


class Config(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All sections of a configuration file.

    Attributes
    ----------
    instruments : dict of str to Traded
        What the data do not say, by symbol: ``{ESM4 = {multiplier = 50, currency = "USD"}}``.
    """

    run: Run = Run()
    market_maker: MarketMaker = MarketMaker()
    limits: Limits = Limits()
    fees: Fees = Fees()
    conversion: Conversion = Conversion()
    latency: Latency = Latency()
    venue: Venue = Venue()
    quotes: Quotes = Quotes()
    instruments: dict[str, Traded] = {}


# Suits hft.feeds.synthetic: one cent of spread and little volatility.
SYNTHETIC: dict[str, dict[str, Any]] = {
    "market_maker": {"risk_aversion_per_usd": 0.2, "fill_decay_per_usd": 200.0, "horizon_s": 10.0, "min_spread_usd": 0.01}
}


def load(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    given: Mapping[str, Mapping[str, Any]] | None = None,
    **run: Any,
) -> Config:
    """Read a configuration.

    Parameters
    ----------
    path : Path, optional
        TOML file.
    environment : mapping, optional
        ``HFT_<SECTION>_<KEY>`` in it override the file; ``os.environ`` by default.
    defaults : mapping, optional
        Sections with values that stand in for the defaults of the structs.
    given : mapping, optional
        Sections with values from the command line; None where not given.
    **run
        Those of the section ``run``.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        With the file or variable, the rule, and the path of the key.
    """
    sections: dict[str, dict[str, Any]] = {name: dict(values) for name, values in (defaults or {}).items()}
    if path is not None:
        file, _ = written(path, Config)
        check_layer(file, Config, f"{path}: ", strict=True)
        for name, values in file.items():
            sections.setdefault(name, {}).update(values)
    for section, struct in _sections().items():
        for key in struct.__struct_fields__:
            variable = f"HFT_{section}_{key}".upper()
            text = (os.environ if environment is None else environment).get(variable)
            if text:
                sections.setdefault(section, {})[key] = text
                check_layer({key: text}, struct, f"environment variable {variable}: ")
    for name, values in (*(given or {}).items(), ("run", run)):
        sections.setdefault(name, {}).update({key: value for key, value in values.items() if value is not None})
    return convert(sections, Config)


def read(path: Path, *forms: type[Form]) -> tuple[dict[str, Any], Form]:
    """Read a TOML file as the one of some structs that its keys fit best, and say what is wrong with it.

    Returns
    -------
    written : dict
        What stands in the file.
    meant : Form
        The struct, with defaults.
    """
    values, form = written(path, *forms)
    return values, convert(values, form, f"{path}: ", strict=True)


def written(path: Path, *forms: type[Form]) -> tuple[dict[str, Any], type[Form]]:
    """Return what stands in a TOML file, and the one of some structs that its keys fit best."""
    import tomllib

    try:
        values = tomllib.loads(_text(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: sections must lie within each other a few times, not a thousand") from None

    def fits(form: type[Form]) -> int:
        meant = form()
        own = {name: isinstance(getattr(meant, name), (Section, dict)) for name in form.__struct_fields__}
        return sum(isinstance(value, dict) == own.get(name) for name, value in values.items())

    return values, max(forms, key=fits)


def check_layer(values: Mapping[str, Any], form: type[Form], where: str, *, strict: bool = False) -> None:
    """Refuse what is wrong whatever else is said; values that do not go together may still be others."""
    with contextlib.suppress(Contradiction):
        convert(values, form, where, strict=strict)


def convert(values: Mapping[str, Any], form: type[Form], where: str = "", *, strict: bool = False) -> Form:
    """Return the struct that values make; an unknown key is an error that names the one that may have been meant."""
    try:
        return msgspec.convert(values, form, strict=strict)
    except msgspec.ValidationError as error:
        told = str(error)
        if unknown := re.match(r"Object contains unknown field `(.*?)`(?: - at `\$\.(\w+)`)?", told):
            key, section = unknown.groups()
            sections = _sections(form)
            known = sections.get(section, form).__struct_fields__
            elsewhere = [name for name, struct in sections.items() if name != section and key in struct.__struct_fields__]
            hint = f"; it is a key of [{elsewhere[0]}]" if elsewhere else suggestion(key, known)
            place = f" in [{section}]" if section else ""
            told = f"there is no key {key}{place}{hint or '; there are ' + ', '.join(known)}"
        raise (Contradiction if isinstance(error.__cause__, Contradiction) else ConfigError)(where + told) from None


def variables() -> list[str]:
    """Return the names of the environment variables that stand for keys."""
    return [f"HFT_{section}_{key}".upper() for section, struct in _sections().items() for key in struct.__struct_fields__]


def _text(path: Path) -> str:
    """Text of a file, or of what a pipe delivers."""
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            if not select.select([file], [], [], PIPE_SECONDS)[0]:
                raise ValueError(f"a pipe must have a writer within {PIPE_SECONDS:g} s")
            os.set_blocking(file.fileno(), True)
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"a configuration must have at most {MAX_BYTES} bytes")
    return raw.decode()


def _sections(form: type[msgspec.Struct] = Config) -> dict[str, type[Section]]:
    return {
        field.name: field.type
        for field in msgspec.structs.fields(form)
        if isinstance(field.type, type) and issubclass(field.type, Section)
    }
