"""Hostile calls: everything public, with arguments that nobody would give, from one thread or from two."""

from __future__ import annotations

import contextlib
import copy
import gc
import importlib
import inspect
import itertools
import os
import pickle
import pkgutil
import signal
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import fastcore
import hft
from fastcore import records
from fastcore.avellaneda import Quoter
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.risk import RiskLimits
from fastcore.sim.markouts import Markouts
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource
from fastcore.strategies.maker import MarketMaker
from fuzz.engine import Counts, Target
from hft.feeds.synthetic import generate_events

CALLS = 40  # of an input
SLOW_S = 5  # after so long a call is interrupted, as by Ctrl-C: the law is that it ends then
BYTES = 4 << 30  # of address space, so that an absurd capacity is a MemoryError here and not the end of the machine
NUMBERS = (0, 1, 2, 3, 7, 8, 64, 1000, -1, 2**15, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**53, 2**62, 2**63 - 1, 2**63)
NUMBERS += (-(2**63), 2**64 - 1, 2**64, 10**30)
FLOATS = (0.0, 1.0, 1.5, 0.9, -0.0, -1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "a", "AAPL", "a b", "..", "\0", "é" * 70, "x" * 5000, "2024-01-02", "yield", "both", "orders", "levels", "add", "buy", "%s{}")
DTYPES = ("f8", "i8", "u8", "u4", "i1", "S8", "O", "M8[ns]", "?", records.EVENT_DTYPE, records.TICK_DTYPE, records.QUOTE_DTYPE)
OPERATORS: tuple[Callable[[Any], Any], ...] = (
    len, repr, hash, bool, copy.copy, copy.deepcopy, pickle.dumps, lambda x: list(itertools.islice(iter(x), 5)),
    lambda x: x[0], lambda x: x[-1], lambda x: x["a"], lambda x: x[2**63], lambda x: 1 in x, lambda x: x == x, lambda x: x < x,
    lambda x: x.__enter__(), lambda x: x.__exit__(None, None, None), lambda x: x.__init__(), lambda x: memoryview(x),
)  # fmt: skip
# What calls an address that it is given, runs until it is told to stop, starts other programs, or ends this one.
LEFT_OUT = ("QueueModel", "function", "main", "run_forever", "serve", "Worker", "check_install")


# Not with two threads: what a writer of a store does in the middle of another's call is the matter of the stores.
ONE_THREAD = ("TickStore", "MemoryMappedDataStore", "DirectoryStore", "SymbolTable", "open_store")


class Interrupted(BaseException):
    """A call took long."""


def _interrupt(*_: Any) -> None:
    raise Interrupted


def catalogue() -> list[Any]:
    """Every public class and function."""
    found: dict[str, Any] = {}
    for package, without in ((fastcore, ("reference",)), (hft, ("cli", "bench"))):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            parts = module.name.split(".")
            if any(part.startswith("_") for part in parts) or set(parts) & set(without):
                continue
            with contextlib.suppress(ImportError):  # an extra that is not there
                loaded = importlib.import_module(module.name)
                for name in getattr(loaded, "__all__", ()):
                    thing = getattr(loaded, name, None)
                    if (inspect.isclass(thing) or inspect.isroutine(thing)) and name not in LEFT_OUT:  # an alias of a type is none of ours
                        found[f"{module.name}.{name}"] = thing
    return [found[name] for name in sorted(found)]


def a_run() -> Engine:
    """An engine at the beginning of a day: random arguments seldom come to one, and its parts share memory."""
    market, desk = Market(symbols=8), Desk(RiskLimits(10, 200, 10_000), symbols=8)
    simulator = Simulator(EventSource(generate_events(3_000, 1)), market, markouts=Markouts((5,)))
    simulator.open(0)
    desk.open(0)
    quoter = Quoter("avellaneda_stoikov", gamma=0.05, k=1.5, sigma=0.2, tick_size=1.0, inventory_limit=100)
    maker = MarketMaker(0, quoter, order_lots=1, time_left=100.0, ticks_per_price=1.0)
    return Engine(simulator, market, desk, {"maker": maker})


def calls_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Seeds."""
    return [struct.pack("<Q", random.randrange(2**64)) for _ in range(4)]


class Caller:
    """Makes calls, and keeps what comes of them as arguments and victims of later ones."""

    def __init__(self, random: Random, things: list[Any]) -> None:
        self.random, self.things = random, things
        self.kept: list[Any] = []
        self.counts = {"calls": 0, "raised": 0}
        self.trace = "FASTCORE_FUZZ_TRACE" in os.environ

    def array(self) -> Any:
        random = self.random
        dtype = np.dtype(random.choice(DTYPES))
        shape: tuple[int, ...] = random.choice(((0,), (1,), (5,), (64,), (1000,), (3, 4), (2, 0), ()))
        if dtype.hasobject:
            return np.full(shape, None)
        size = int(np.prod(shape)) * dtype.itemsize
        kind = random.randrange(4)
        data = bytes(size) if kind == 0 else random.randbytes(size) if kind == 1 else bytes([random.randrange(4)]) * size
        array = np.frombuffer(bytearray(data), dtype).reshape(shape) if size else np.empty(shape, dtype)
        if dtype == records.EVENT_DTYPE and kind > 1 and array.ndim:
            array["kind"] = random.randrange(20)
            array["price"] = array["size"] = array["order_id"] = np.arange(array.size).reshape(shape) + random.choice((0, 1, 2**62))
            array["side"], array["symbol_id"] = random.choice((1, -1)), random.choice((0, 1, 2**32 - 1))
        if random.random() < 0.1 and array.ndim:
            array = array[::-1]
        if random.random() < 0.1:
            array.setflags(write=False)
        return array

    def value(self, name: str = "", depth: int = 0) -> Any:
        random = self.random
        choice = random.random()
        if self.kept and choice < 0.15:
            return random.choice(self.kept)
        if name in ("events", "out", "quotes", "rows", "data", "prices", "ids", "values", "x") and choice < 0.7:
            return self.array() if name != "data" or choice < 0.4 else random.randbytes(random.randrange(200))
        if choice < 0.45:
            return random.choice(NUMBERS)
        if choice < 0.55:
            return random.choice(FLOATS)
        if choice < 0.65:
            return random.choice(TEXTS)
        if choice < 0.70:
            return random.choice((random.randbytes(random.randrange(100)), bytearray(20), memoryview(bytes(8)), b"AAPL    "))
        if choice < 0.82:
            return self.array()
        if choice < 0.92 or depth > 2:
            return random.choice((None, True, False, len, int, self.things[0], 1j, Path("file"), range(5), np.int64(3), np.float64("nan")))
        items = [self.value("", depth + 1) for _ in range(random.randrange(4))]
        return random.choice((list, tuple, lambda x: dict(enumerate(x)), iter))(items)

    def arguments(self, thing: Any) -> tuple[list[Any], dict[str, Any]]:
        random = self.random
        try:
            parameters = list(inspect.signature(thing).parameters.values())
        except (TypeError, ValueError):
            return [self.value() for _ in range(random.randrange(4))], {}
        positional, named = [], {}
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.name == "self":
                continue
            if parameter.name in ("timeout", "seconds"):  # a wait for ever is what was asked for
                named[parameter.name] = 0.002
            elif parameter.default is parameter.empty or random.random() < 0.25:
                sane = parameter.default not in (parameter.empty, None) and random.random() < 0.5
                value = parameter.default if sane else self.value(parameter.name)
                if parameter.kind is parameter.KEYWORD_ONLY or (named and parameter.kind is not parameter.POSITIONAL_ONLY):
                    named[parameter.name] = value
                else:
                    positional.append(value)
            elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                named.setdefault("", None)  # what follows goes by name
        named.pop("", None)
        return positional, named

    def attempt(self, what: Callable[..., Any], /, *positional: Any, **named: Any) -> Any:
        self.counts["calls"] += 1
        if self.trace:
            texts = []
            for thing in (getattr(what, "__qualname__", "?"), positional, named):
                with contextlib.suppress(Exception):
                    texts.append(f"{thing!s:.300}")
            print(*texts, file=sys.stderr, flush=True)
        try:
            return what(*positional, **named)
        except (AssertionError, SystemError):  # a structure is broken; a call failed without saying why
            raise
        except (Exception, Interrupted):
            self.counts["raised"] += 1
            return None

    def step(self) -> None:
        random = self.random
        if not self.kept or random.random() < 0.25:
            thing = a_run if random.random() < 0.05 else random.choice(self.things)
            if inspect.isclass(thing) and random.random() < 0.1:
                made = self.attempt(thing.__new__, thing)
            else:
                positional, named = self.arguments(thing)
                made = self.attempt(thing, *positional, **named)
            if made is not None:
                self.kept = [*self.kept[-11:], made]
            return
        victim = random.choice(self.kept)
        if random.random() < 0.15:
            self.attempt(random.choice(OPERATORS), victim)
            return
        if isinstance(victim, np.ndarray):  # what comes of a view is NumPy's own
            if victim.nbytes and victim.flags.writeable and not victim.dtype.hasobject:
                self.attempt(victim.fill, random.choice((0, 1, -1, 255, True)))
            return
        if isinstance(victim, dict | list) and random.random() < 0.5:
            self.attempt(victim.clear)
            return
        names = [name for name in dir(victim) if not name.startswith("_") and name not in LEFT_OUT]
        if not names or not type(victim).__module__.startswith(("fastcore", "hft")):
            return
        name = random.choice(names)
        member = self.attempt(getattr, victim, name)
        if callable(member):
            positional, named = self.arguments(member)
            member = self.attempt(member, *positional, **named)
        elif random.random() < 0.1:
            self.attempt(setattr, victim, name, self.value(name))
        if member is not None and member is not getattr(type(victim), name, None):  # what a class has belongs to all
            self.kept = [*self.kept[-11:], member]


THINGS: list[Any] = []


def _prepare() -> None:
    THINGS.extend(catalogue())
    signal.signal(signal.SIGALRM, _interrupt)
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def calls_check(data: bytes, folder: Path) -> Counts:
    """Every call returns or raises an exception, within its time, and none breaks a structure or closes what is not its own."""
    if not THINGS:
        _prepare()
    random = Random(data)
    before = os.getcwd()
    os.chdir(folder)
    callers = [Caller(random, THINGS)]
    failures: list[BaseException] = []
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            signal.setitimer(signal.ITIMER_REAL, SLOW_S, SLOW_S)
            if random.random() < 0.3:  # two threads with the same objects
                for _ in range(CALLS // 2):
                    callers[0].step()
                things = [thing for thing in THINGS if thing.__name__ not in ONE_THREAD]
                callers[0].things = things
                callers[0].kept = [thing for thing in callers[0].kept if type(thing).__name__ not in ONE_THREAD]
                callers.append(Caller(Random(data + b"2"), things))
                callers[1].kept = callers[0].kept

                def other() -> None:
                    try:
                        for _ in range(CALLS // 2):
                            callers[1].step()
                    except BaseException as error:
                        failures.append(error)

                thread = threading.Thread(target=other)
                thread.start()
                try:
                    for _ in range(CALLS // 2):
                        callers[0].step()
                finally:
                    thread.join()
            else:
                for _ in range(CALLS):
                    callers[0].step()
    except Interrupted:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for caller in callers:
            caller.kept.clear()
        os.chdir(before)
        gc.collect()
        gc.freeze()  # what is left by now, modules above all, is not looked through again
        for left in sorted(folder.rglob("*"), reverse=True):
            left.rmdir() if left.is_dir() else left.unlink()
    for failure in failures:
        if not isinstance(failure, Interrupted):
            raise failure
    for descriptor in range(3):  # a number that is taken for a path would be closed
        os.fstat(descriptor)
    return {name: sum(caller.counts[name] for caller in callers) for name in callers[0].counts}


TARGETS = (
    (Target("calls", calls_corpus, calls_check, lambda data: [data], iterations=150, patience_s=300.0, bounded=False),)
    if sys.platform == "linux" and "san" not in os.environ.get("LD_PRELOAD", "")
    else ()
)
