"""The journal of a run in a directory: what it was given, what passed between it and its venue, and how it ended.

``run.json`` says what was run: the files with their hashes, the configuration, instruments, seeds, the build. ``events.ticks`` is a tick store
of own messages, reports, timers and controls as they happened, each in it before what it causes leaves. ``controls.jsonl`` says what
the controls were (``hft.controls``). The same inputs, configuration, controls and build give the same events again, byte for byte:
`compare` says whether, or where first not. A run that was killed has no end in ``run.json``, and its durable events must be the
beginning of those of the rerun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

import fastcore
from fastcore import __version__
from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument
from fastcore.journal import Journal
from fastcore.records import EVENT_DTYPE, NO_PRICE, kind_name

from .config import ConfigError
from .controls import Control
from .feeds._streams import is_stream

RUN, EVENTS, CONTROLS = "run.json", "events.ticks", "controls.jsonl"
VERSION = 1  # of what is in the directory
CAUSE_BITS = 56  # of `seq`: the number of the cause, and above it whose a report is


@cache
def build_id() -> str:
    """Return the version and a hash of the compiled modules."""
    import hashlib

    digest = hashlib.sha256()
    place = Path(fastcore.__file__).parent
    for path in sorted(place.rglob("*.so")) + sorted(place.rglob("*.pyd")):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{__version__}+{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class Inputs:
    """What determines a run.

    Attributes
    ----------
    command : {"replay", "demo", "backtest"}
    files : list of dict
        ``path``, and in a journal ``bytes`` and ``sha256`` of each.
    arguments : dict
        Of the command, beyond files and configuration.
    config : dict
        The whole configuration.
    build : str
        In a journal, the version that ran and a hash of its compiled modules.
    version : int
        Of the journal.
    instruments : list of dict
        As the run had them.
    seeds : dict of str to int or text
    """

    command: str
    files: list[dict[str, Any]]
    arguments: dict[str, Any]
    config: dict[str, Any]
    build: str = ""
    version: int = VERSION
    instruments: list[dict[str, Any]] = field(default_factory=list)
    seeds: dict[str, int | str] = field(default_factory=dict)


class Recording:
    """A journal that is being written.

    Attributes
    ----------
    journal : Journal
        For the engine.
    inputs : Inputs
    """

    def __init__(self, directory: Path, inputs: Inputs, journal: Journal) -> None:
        self.directory, self.inputs, self.journal = directory, inputs, journal

    def stamp(self, instruments: Iterable[Instrument], **seeds: int | str) -> None:
        """Write down what the run was given, before it begins."""
        self.inputs = replace(self.inputs, instruments=[instrument._asdict() for instrument in instruments], seeds=seeds)
        _write(self.directory / RUN, asdict(self.inputs))

    def control(self, what: dict[str, Any]) -> None:
        """Write a control down, before it is done."""
        with open(self.directory / CONTROLS, "a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")
            file.flush()
            os.fsync(file.fileno())


def identify(path: Path) -> dict[str, Any]:
    """Return path, length and hash of a file."""
    import hashlib

    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": str(path.resolve()), "bytes": path.stat().st_size, "sha256": digest}


@contextmanager
def record(directory: Path, inputs: Inputs) -> Iterator[Recording]:
    """Write a journal: the directory must be new or empty, and what was run is durable before anything is sent."""
    from fastcore.tickstore import TickStore

    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ConfigError(f"the directory of a journal must be new or empty: {directory}")
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"the directory of a journal must be a directory: {directory}") from None
    for file in inputs.files:
        if is_stream(Path(file["path"])):
            raise ConfigError(f"a journal needs files that can be read again: {file['path']}")
    inputs = replace(inputs, build=build_id(), files=[identify(Path(file["path"])) for file in inputs.files])
    _write(directory / RUN, asdict(inputs))
    with TickStore(directory / EVENTS, "a", EVENT_DTYPE) as store:
        recording = Recording(directory, inputs, Journal(store))
        yield recording
        store.flush()
        _write(directory / RUN, asdict(recording.inputs) | {"events": len(store)})


def _write(path: Path, what: dict[str, Any]) -> None:
    """Replace a file by a whole one that is durable."""
    new = path.with_suffix(".new")
    with open(new, "w", encoding="utf-8") as file:
        json.dump(what, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(directory: Path) -> tuple[Inputs, int | None, npt.NDArray[np.void]]:
    """Return the inputs of a journal, the number of its events where it came to its end, and the durable events.

    Raises
    ------
    CorruptDataError
        If a part is missing or damaged.
    """
    from fastcore.tickstore import TickStore

    try:
        what = json.loads((directory / RUN).read_text("utf-8"))
        if what.get("version") != VERSION:
            raise CorruptDataError(f"a journal must be of version {VERSION}: {directory}: version={what.get('version')}")
        ended = what.pop("events", None)
        inputs = Inputs(**what)
    except FileNotFoundError:
        raise CorruptDataError(f"a journal must have {RUN}: {directory}") from None
    except CorruptDataError:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptDataError(f"{RUN} of a journal must be what a run wrote: {directory}: {error}") from None
    with TickStore(directory / EVENTS) as store:
        if store.dtype != EVENT_DTYPE:
            raise CorruptDataError(f"{EVENTS} of a journal must hold events: {directory}: dtype={store.dtype}")
        events = store.records().copy()
    if ended is not None and ended != len(events):
        raise CorruptDataError(f"a journal must hold all events of its run: {directory}: events={ended} stored={len(events)}")
    return inputs, ended, events


def read_planned(directory: Path) -> list[Control]:
    """Return the controls of a journal, for a rerun; a last line that was not written to its end is none."""
    path = directory / CONTROLS
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    try:
        return [msgspec.json.decode(line, type=Control) for line in lines]
    except msgspec.DecodeError as error:
        raise CorruptDataError(f"{CONTROLS} of a journal must be what a run wrote: {directory}: {error}") from None


def check_files(files: Sequence[dict[str, Any]]) -> None:
    """Refuse files that are not those of the run."""
    for file in files:
        path = Path(file["path"])
        if not path.exists():
            raise CorruptDataError(f"a file of the run is missing: {path}")
        if path.stat().st_size != file["bytes"] or identify(path)["sha256"] != file["sha256"]:
            raise CorruptDataError(f"a file of the run must be as it was (sha256 {file['sha256'][:12]}...): {path}")


@dataclass(frozen=True)
class Comparison:
    """Whether a rerun was the same.

    Attributes
    ----------
    events : int
        That were compared.
    whole : bool
        The run came to its end; else its durable beginning was compared.
    difference : str
        The first one, in words; empty where there is none.
    """

    events: int
    whole: bool
    difference: str


def compare_stamps(then: Inputs, now: Inputs) -> str:
    """Return in words what a rerun was given otherwise; empty where nothing."""
    for was, is_ in zip_longest(then.instruments, now.instruments):
        if was != is_:
            return f"instrument\n  then: {was}\n  now:  {is_}"
    return "" if then.seeds == now.seeds else f"seeds\n  then: {then.seeds}\n  now:  {now.seeds}"


def compare(ended: int | None, then: npt.NDArray[np.void], now: npt.NDArray[np.void]) -> Comparison:
    """Compare the events of a journal with those of its rerun."""
    n = min(len(then), len(now))
    unlike = then[:n].view("V64") != now[:n].view("V64")
    if unlike.any():
        i = int(unlike.argmax())
        return Comparison(i, ended is not None, f"event {i:,}\n  then: {words(then[i])}\n  now:  {words(now[i])}")
    if len(now) < len(then) or (ended is not None and len(now) > len(then)):
        more, name = (then, "then") if len(then) > n else (now, "now")
        return Comparison(n, ended is not None, f"event {n:,} is {name} alone: {words(more[n])}")
    return Comparison(n, ended is not None, "")


def words(event: np.void) -> str:
    """Return an own event in words."""
    kind, side = kind_name(int(event["kind"])), {1: " buy", -1: " sell"}.get(int(event["side"]), "")
    price = "" if event["price"] == NO_PRICE else f" at {event['price']:,} ticks"
    last = f", {event['match_id']}" if event["match_id"] else ""
    cause, owner = int(event["seq"]) & (1 << CAUSE_BITS) - 1, int(event["seq"]) >> CAUSE_BITS
    whose = f", strategy {owner}" if owner else ""  # by its place in the order of their names
    return f"{kind}{side} {event['size']:,} lots{price}, order {event['order_id']}{last}, at {event['local_ns']:,} ns, cause {cause:,}{whose}"
