"""All targets by name."""

from fuzz import (
    binance,
    books,
    calls,
    dbn,
    itch,
    kraken,
    lobster,
    mold,
    mutants,
    pcap,
    rings,
    soup,
    stores,
    table_styles,
    tables,
)
from fuzz.engine import Target

FORMATS = (itch, mold, soup, pcap, binance, kraken, lobster, dbn, tables, table_styles, books, stores, rings, calls)
TARGETS: dict[str, Target] = {target.name: target for format in FORMATS for target in format.TARGETS}
MUTANTS: dict[str, Target] = {target.name: target for target in mutants.TARGETS}
