"""Configuration: frozen typed structs, from TOML and the environment, validated with the path of what is wrong.

Order of precedence: command line, environment (``HFT_<SECTION>_<KEY>``), TOML file, default. The defaults of the market
maker suit a liquid share of some hundred USD. For other instruments read units (contracts, coins) for shares, and the quote
currency for USD.
"""

import datetime
import os
import select
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

TICKS_PER_USD = 10_000  # ITCH prices
MAX_BYTES = 1 << 20  # of a file
PIPE_SECONDS = 5.0  # until somebody has written the first byte of it

Positive = Annotated[float, Meta(gt=0.0, lt=1e12)]
NotNegative = Annotated[float, Meta(ge=0.0, lt=1e12)]
Count = Annotated[int, Meta(ge=1, le=2**40)]


BUILT_IN = ("avellaneda", "none")


def is_own(strategy: str) -> bool:
    """Say whether a name is that of a strategy of the user's own, not of one that comes with the package."""
    return ":" in strategy or strategy.endswith(".py")


class ConfigError(Exception):
    """A configuration file, or a value in it or in the environment, is not valid; says where."""


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
    skip_malformed: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
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
    volatility_usd_per_sqrt_s: Positive = 0.02
    volatility_half_life_s: NotNegative = 300.0
    volatility_interval_s: Annotated[float, Meta(ge=1e-3, le=86_400.0)] = 1.0


class Limits(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pre-trade limits, and the loss that stops a run.

    Attributes
    ----------
    max_order_shares : int
    max_position_shares : int
        In the worst case, with all open orders of a side filled.
    price_collar_usd : float
        Largest distance of an order from the middle price.
    max_loss_usd : float, optional
        A loss beyond it pulls all orders and ends the run with exit code 5.
    """

    max_order_shares: Count = 1_000
    max_position_shares: Annotated[int, Meta(ge=0, le=2**40)] = 1_200
    price_collar_usd: NotNegative = 2.0
    max_loss_usd: NotNegative | None = None


class Fees(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fees per share, whole multiples of 0.0001 USD; a rebate is negative.

    Attributes
    ----------
    maker_usd_per_share, taker_usd_per_share : float
        For fills of orders that waited, and of orders that took.
    """

    maker_usd_per_share: Annotated[float, Meta(gt=-100.0, lt=100.0)] = 0.0
    taker_usd_per_share: Annotated[float, Meta(gt=-100.0, lt=100.0)] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.__struct_fields__:
            ticks = getattr(self, name) * TICKS_PER_USD
            if abs(ticks - round(ticks)) > 1e-6:
                raise ValueError(f"{name} must be a whole multiple of {1 / TICKS_PER_USD} USD: {name}={getattr(self, name)}")


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


class Config(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All sections of a configuration file: ``[run]``, ``[market_maker]``, ``[limits]``, ``[fees]``, ``[latency]``, ``[venue]``."""

    run: Run = Run()
    market_maker: MarketMaker = MarketMaker()
    limits: Limits = Limits()
    fees: Fees = Fees()
    latency: Latency = Latency()
    venue: Venue = Venue()


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
        import tomllib

        try:
            written = tomllib.loads(_text(path))
            msgspec.convert(written, Config)
            for name, values in written.items():
                sections.setdefault(name, {}).update(values)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: {error}") from None
        except RecursionError:
            raise ConfigError(f"{path}: sections must lie within each other a few times, not a thousand") from None
    for section, struct in _sections().items():
        for key in struct.__struct_fields__:
            variable = f"HFT_{section}_{key}".upper()
            text = (os.environ if environment is None else environment).get(variable)
            if text:
                sections.setdefault(section, {})[key] = text
                try:
                    msgspec.convert({key: text}, struct, strict=False)
                except msgspec.ValidationError as error:
                    raise ConfigError(f"environment variable {variable}: {error}") from None
    for name, values in (*(given or {}).items(), ("run", run)):
        sections.setdefault(name, {}).update({key: value for key, value in values.items() if value is not None})
    try:
        return msgspec.convert(sections, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from None


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


def _sections() -> dict[str, type[Section]]:
    return {field.name: field.type for field in msgspec.structs.fields(Config)}
