"""Strategies at compiled speed from the same class: ``hft.compiled`` has Numba compile the hooks.

The source of the hooks is read and rewritten a little before Numba sees it: whole numbers that would leave 64 bits raise, names are resolved,
``self.record`` and reasons become numbers. The machine code is kept on disk, by all that it depends on; a later start reads it and needs
neither Numba nor a compiler.
"""

from __future__ import annotations

import ast
import builtins
import copy
import ctypes
import hashlib
import inspect
import json
import linecache
import math
import os
import pickle
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from fastcore.instruments import Instrument
from fastcore.records import TERMS
from fastcore.strategies.compiled import CAUSES, FUNCTIONS, LAYOUTS, PROBLEMS, STATES, CompiledStrategy
from fastcore.strategies.hooks import Handle, PythonStrategy
from fastcore.zscore import PairZScore, RollingZScore

from .conditions import duration_ns, suggestion
from .config import ConfigError
from .strategy import StopRun, Strategy

__all__ = ["CompileError", "compiled"]

HOOKS = {"on_book": 2, "on_depth": 2, "on_trade": 3, "on_fill": 3, "on_order": 3}  # and their arguments
IN_PYTHON = ("on_start", "on_stop")
OPERATORS = {
    ast.Add: "_fc_add",
    ast.Sub: "_fc_sub",
    ast.Mult: "_fc_mult",
    ast.Div: "_fc_div",
    ast.FloorDiv: "_fc_floordiv",
    ast.Mod: "_fc_mod",
    ast.Pow: "_fc_pow",
}
NAMES = ("abs", "bool", "float", "int", "len", "max", "min", "range", "round")
# Of `math`: arguments, and whether a result out of range is an OverflowError.
MATH = dict.fromkeys("sqrt log log10 log1p log2 fabs sin cos tan asin acos atan tanh".split(), (1, False))
MATH |= dict.fromkeys(("exp", "expm1", "sinh", "cosh"), (1, True)) | dict.fromkeys(("atan2", "copysign"), (2, False))
MATH_WHOLE = {"trunc": 0, "floor": 1, "ceil": 2}
MATH_TESTS = ("isnan", "isinf", "isfinite")
METHODS = ("buy", "cancel", "imbalance", "move", "pull", "quote", "sell", "target", "update")  # of markets, orders, objects of fastcore
STRATEGY = "_fc_self"  # what a plain function takes besides its own arguments
TIMES = ("day", "ioc", "fok", "gtd")
RANDOM = {  # of self.random: its arguments, and what those stand for that are left out
    "random": (), "uniform": (None, None), "randint": (None, None), "randrange": (None, None), "gauss": (0.0, 1.0), "expovariate": (None,),
}  # fmt: skip
WORDS = {"state": STATES, "cause": CAUSES}  # attributes that are texts, and numbers in compiled hooks
LOOPS = ("markets", "bids", "asks")  # what a loop goes through, besides range()
REFUSED = {
    ast.List: "a list", ast.Dict: "a dictionary", ast.Set: "a set", ast.ListComp: "a list", ast.SetComp: "a set", ast.DictComp: "a dictionary",
    ast.GeneratorExp: "a generator", ast.Lambda: "a lambda", ast.JoinedStr: "an f-string", ast.FunctionDef: "a function in a function",
    ast.ClassDef: "a class", ast.Try: "try", ast.With: "with", ast.Yield: "yield", ast.YieldFrom: "yield", ast.Await: "await",
    ast.AsyncFunctionDef: "async", ast.Global: "global", ast.Nonlocal: "nonlocal", ast.Import: "import", ast.ImportFrom: "import",
    ast.Delete: "del", ast.Starred: "*", ast.LShift: "<<", ast.RShift: ">>", ast.MatMult: "@", ast.Match: "match", ast.NamedExpr: ":=",
}  # fmt: skip
OBJECTS = (PairZScore, RollingZScore)
Kind = TypeVar("Kind", bound=type[Strategy])


class CompileError(ConfigError):
    """A hook holds what is not compiled; says in which file and line."""


def compiled(strategy: Kind) -> Kind:
    """Return a class of the same name and parameters whose hooks are compiled by Numba when its run begins.

    Parameters
    ----------
    strategy : class derived from Strategy
        ``on_start`` and ``on_stop`` stay Python; ``docs/compiled.md`` says what the other hooks may hold, and what is equal.

    Returns
    -------
    class
        A subclass. May be used as a decorator.

    Raises
    ------
    CompileError
        If a hook holds what is not compiled: with file and line. What depends on types comes when a run begins.
    ConfigError
        If Numba is not installed: it comes with ``pip install 'hft-fastcore[numba]'``.

    Notes
    -----
    Machine code is kept in ``~/.cache/hft-fastcore`` (``XDG_CACHE_HOME``), a directory that only the user can read and write; otherwise nothing
    is kept. It can be deleted at any time.
    """
    if not (isinstance(strategy, type) and issubclass(strategy, Strategy)):
        raise TypeError(f"compiled takes a class derived from hft.Strategy: strategy={strategy!r}")
    _versions()
    program = Program(strategy)
    kept = {key: value for key, value in vars(strategy).items() if key in ("__doc__", "__module__", "__qualname__")}
    return type(strategy.__name__, (_Compiled, strategy), kept | {"_program": program})  # type: ignore[return-value]


class _Compiled(Strategy):
    """What a compiled class does otherwise than the class that it comes from."""

    _program: Program
    _native: CompiledStrategy | None = None

    def _begin(self, markets: Mapping[int, Instrument], seed: int = 0) -> Any:
        self._native = None
        python = super()._begin(markets, seed)
        program = self._program
        self._decoded = 0
        self._native = CompiledStrategy(
            python,
            program.hooks,
            self._prepare,
            self._explain,
            every=program.periods,
            room=40 * len(program.attributes),
            texts=program.texts,
            columns=program.columns,
            orders=program.sends,
        )
        return self._native

    def _prepare(self, native: CompiledStrategy, begins: bool) -> None:
        """Behind on_start: attributes become fields, and the code is loaded; in front of on_stop: fields become attributes."""
        if not begins:
            self._fetch()
            return
        self._fields, values = self._program.layout(self, native)
        native.attributes = values
        if self._program.draws:
            native.random = self.random.getstate()
        code = load(self._program, self._fields)
        native.load(*code.functions(self._program), code)

    def _fetch(self) -> None:
        """Bring attributes and reasons to what the compiled code has made of them."""
        native = self._native
        if native is None or not native.ready or self._core is None:
            return
        held = native.attributes
        for name, (kind, offset) in self._fields.items():
            if kind in ("f8", "i8", "b1"):
                value = np.frombuffer(held, "f8" if kind == "f8" else "i8", 1, offset)[0].item()
                self.__dict__[name] = bool(value) if kind == "b1" else value
            elif kind == "order":
                self.__dict__[name] = native.order(int.from_bytes(held[offset : offset + 8], "little"))
        if self._program.draws:
            self.random.setstate(native.random)
        self._core.reasons.update(native.reasons)

    def _told(self, name: str) -> Any:
        """Rows or lines, with those that the compiled code has added since somebody last looked."""
        native, told = self._native, self.__dict__
        rows = None if native is None or not native.ready else native.records()
        if native is None or rows is None or len(rows) == self._decoded:
            return told[name]
        rows, self._decoded = rows[self._decoded :], len(rows)
        symbols = {handle.symbol_id: handle.symbol for handle in self.markets} | {-1: ""}
        kinds, first, which = np.unique(rows[["site", "symbol_id"]], return_index=True, return_inverse=True)
        order = np.argsort(first)  # columns come in the order of their first rows
        kinds, which = kinds[order], np.argsort(order)[which]
        whats = [self._program.rows[site] for site in kinds["site"].tolist()]
        lines = np.array([isinstance(what, (str, Line)) for what in whats])[which]
        for row in rows[lines]:
            what = self._program.rows[int(row["site"])]
            told["_log"].append((int(row["time"]), what.text(row["values"], native, symbols) if isinstance(what, Line) else what))
        keys = [("", *what) if isinstance(what, tuple) else ("",) for what in whats]
        keys = [(symbols[symbol_id], *key[1:]) for symbol_id, key in zip(kinds["symbol_id"].tolist(), keys, strict=True)]
        rows, which = rows[~lines], which[~lines]
        counts = np.array([len(key) - 1 for key in keys])[which]
        values = rows["values"][np.arange(rows["values"].shape[1]) < counts[:, None]]
        told["_records"].add_many(rows["time"], keys, which, values)
        return told[name]

    _records = property(lambda self: self._told("_records"), lambda self, rows: self.__dict__.update(_records=rows))
    _log = property(lambda self: self._told("_log"), lambda self, lines: self.__dict__.update(_log=lines))

    def record(self, market: Handle | None = None, **columns: float) -> None:
        """As it is in Python, behind the rows of compiled hooks."""
        super().record(market, **columns)

    def _running(self) -> PythonStrategy:
        self._fetch()
        return super()._running()

    def _explain(self, site: int, error: int, problem: int, text: int, values: tuple[float, float]) -> NoReturn:
        """Raise what a failed hook stands for, as if Python had been there."""
        self._fetch()
        if problem == PROBLEMS["stop"]:
            raise StopRun(self._program.texts[text])
        told: BaseException = RuntimeError("it failed without a word")
        if error:
            data = ctypes.cast(error, ctypes.POINTER(ctypes.c_void_p))[0]
            size = ctypes.cast(error, ctypes.POINTER(ctypes.c_int32))[2]
            kind, arguments, _ = pickle.loads(ctypes.string_at(data, size))  # written by Numba into code of ours
            told = kind(*(arguments or ()))
        told = problem_of(problem, text, values) or told
        file, line, name = self._program.sites[site]
        # A frame of that file and line is what people, debuggers and hft.strategy.failure look for.
        code = compile("\n" * (line - 1) + "raise error", file, "exec").replace(co_name=name)
        exec(code, {"error": told})
        raise AssertionError


def problem_of(problem: int, text: int, values: tuple[float, float]) -> Exception | None:
    """What a problem that a function of ours had is in Python."""
    name = {number: name for name, number in PROBLEMS.items()}.get(problem)
    side = "asks" if text else "bids"
    problems: dict[str | None, Exception] = {
        "number": ValueError(f"price and size must be numbers: {side[:-1]}={values[0]} size={values[1]}"),
        "room": RuntimeError("an instant holds at most 1024 commands"),
        "time": RuntimeError("after() needs a time: call it inside of hooks behind on_start"),
        "price": ValueError("a price must be a number: price=nan"),
        "size": ValueError("a size must be a number: size=nan"),
        "position": ValueError(f"a position must be a number of less than 1e15 lots: position={values[0]}"),
        "terms": ValueError("terms must agree: of type, tif, post_only and until"),
        "quoted": RuntimeError(f"an order of wanted quotes is changed by quote and pull: order={text}"),
        "rungs": ValueError(f"quotes of a side must be at most 16: {side}=17"),
        "nested": RuntimeError("a ladder is built inside of another"),
        "range": ValueError("empty range for random numbers"),
    }
    return problems.get(name)


class Line:
    """A line of the log: an f-string whose values compiled code writes down, and Python formats."""

    def __init__(self, parts: list[str | tuple[str, str, str]]) -> None:
        self.parts = parts  # texts, and (attribute, conversion, format) of values

    def __repr__(self) -> str:
        return f"Line({self.parts})"

    @property
    def values(self) -> int:
        return sum(isinstance(part, tuple) for part in self.parts)

    def text(self, row: npt.NDArray[np.float64], native: CompiledStrategy, symbols: Mapping[int, str]) -> str:
        words = iter(row.tolist()), iter(row.view(np.int64).tolist())
        out = []
        for part in self.parts:
            if isinstance(part, str):
                out.append(part)
                continue
            attribute, conversion, form = part
            (_, kind), (number, whole), (given, _) = (tuple(map(next, words)) for _ in range(3))
            value: Any = (None, number, whole, bool(whole), symbols.get(int(whole)))[kind] if kind < 5 else native.why(whole, given)
            if attribute in WORDS:
                value = WORDS[attribute][value]
            out.append(format(repr(value) if conversion == "r" else str(value) if conversion == "s" else value, form))
        return "".join(out)


# ---- what is compiled: the source of a class ----


class Function:
    """A function of the source: its syntax, rewritten, and what its names stand for."""

    def __init__(self, function: FunctionType, name: str, method: bool) -> None:
        self.function, self.name, self.method = function, name, method
        self.file = function.__code__.co_filename
        self.names: dict[str, Any] = {}  # of the namespace that it is compiled in
        self.tree = _source(function)
        self.code: CodeType
        self.text = ""
        self.calls: dict[str, ast.AST] = {}  # functions of ours, where it first calls them

    def refuse(self, node: ast.AST, what: str) -> NoReturn:
        raise CompileError(f"{self.file}:{getattr(node, 'lineno', self.tree.lineno)}: {what}")


@cache
def _parsed(text: str) -> dict[int, ast.FunctionDef]:
    """Functions of a source by their first line, decorators included."""
    return {
        min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]): node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }


def _source(function: FunctionType) -> ast.FunctionDef:
    code = function.__code__
    text = "".join(linecache.getlines(code.co_filename, function.__globals__))
    try:
        node = _parsed(text).get(code.co_firstlineno)
    except SyntaxError:
        node = None
    if node is None or node.name != code.co_name:
        raise CompileError(
            f"{code.co_filename}:{code.co_firstlineno}: the source of {code.co_name} is not there, or has changed"
        )
    return copy.deepcopy(node)  # it will be rewritten


class Program:
    """The hooks of a class, rewritten: what is compiled, with the tables that its numbers point into.

    Attributes
    ----------
    functions : dict of str to Function
        Methods and plain functions that the hooks reach.
    entries : list of (symbol, function, hook)
        What is called from outside: hooks, then timers.
    attributes : dict of str to (Function, node)
        Attributes of self that hooks use, where they do so first.
    sites : list of (file, line, function)
        Statements by number.
    texts : list of str
        Reasons by number.
    rows : dict of int to tuple of str, str or Line
        Columns, or a line of the log, by the number of the statement.
    stored : set of str
        Attributes that hooks set.
    sends, draws : bool
        Whether hooks send orders of their own or keep any, and whether they draw random numbers.
    """

    def __init__(self, strategy: type[Strategy]) -> None:
        self.strategy = strategy
        self.functions: dict[str, Function] = {}
        self.attributes: dict[str, tuple[Function, ast.AST]] = {}
        self.sites: list[tuple[str, int, str]] = [("", 1, "")]
        self.texts: list[str] = []
        self.rows: dict[int, tuple[str, ...] | str | Line] = {}
        self.stored: set[str] = set()
        self.sends = self.draws = False
        self.delayed: list[str] = []  # methods that timers call once, by number behind the periods
        self.helpers: dict[FunctionType, str] = {}
        self._left: list[Function] = []
        self.hooks = [name for name in HOOKS if self.method(name) is not None]
        every = [name for name in dir(strategy) if hasattr(getattr(strategy, name), "_every_ns")]
        for name in dir(strategy):
            if hasattr(method := getattr(strategy, name), "_batch"):
                place = f"{method.__code__.co_filename}:{method.__code__.co_firstlineno}"
                raise CompileError(f"{place}: {name}: hooks for many events at once are not compiled")
        self.periods = [getattr(strategy, name)._every_ns for name in every]
        self.timed = every
        for name in (*self.hooks, *every):
            self.need(name)
        while self._left:
            Rewriter(self, self._left.pop()).run()
        for function in self.functions.values():
            self.refuse_circles(function, [])
        timers = [*every, *self.delayed]
        self.entries = [(f"hft_{name}", f"_m_{name}", name) for name in self.hooks]
        self.entries += [(f"hft_timer_{i}", f"_m_{name}", "") for i, name in enumerate(timers)]
        widths = [3 * row.values if isinstance(row, Line) else 0 if isinstance(row, str) else len(row) for row in self.rows.values()]
        self.columns = max(widths) if widths else None
        self.text = "\n".join(f"{name}\n{function.text}" for name, function in sorted(self.functions.items()))

    def method(self, name: str) -> FunctionType | None:
        """The function of a method of the user's, or None."""
        for parent in self.strategy.__mro__:
            if parent is Strategy or parent is _Compiled:
                return None
            if isinstance(function := vars(parent).get(name), FunctionType):
                return function
        return None

    def need(self, name: str) -> None:
        """Have a method compiled too."""
        function = self.method(name)
        if function is not None and f"_m_{name}" not in self.functions:
            self._left.append(Function(function, f"_m_{name}", True))
            self.functions[f"_m_{name}"] = self._left[-1]

    def refuse_circles(self, function: Function, above: list[Function]) -> None:
        """A function that calls itself could leave the stack."""
        for name, node in function.calls.items():
            if self.functions[name] in [*above, function]:
                function.refuse(node, "a function that calls itself is not compiled")
            self.refuse_circles(self.functions[name], [*above, function])

    def helper(self, function: FunctionType) -> str:
        """Have a plain function compiled too; returns its name there."""
        if function not in self.helpers:
            name = self.helpers[function] = f"_g{len(self.helpers)}_{function.__name__}"
            self._left.append(Function(function, name, False))
            self.functions[name] = self._left[-1]
        return self.helpers[function]

    def site(self, function: Function, line: int) -> int:
        self.sites.append((function.file, line, function.function.__name__))
        return len(self.sites) - 1

    def text_number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)

    def layout(self, strategy: Strategy, native: CompiledStrategy) -> tuple[dict[str, tuple[str, int]], bytes]:
        """Return kind and offset of each attribute that hooks use, and their bytes."""
        fields: dict[str, tuple[str, int]] = {}
        words: list[bytes] = []
        for name, (function, node) in sorted(self.attributes.items()):
            missing = object()
            value = getattr(strategy, name, missing)
            if value is missing:
                where = f"set it in on_start, so that its type is known: self.{name}"
                function.refuse(node, f"{where}{suggestion(name, [*vars(strategy), 'markets', 'now'])}")
            offset = 8 * len(words)
            if isinstance(value, (bool, np.bool_)):
                kind, parts = "b1", [int(value).to_bytes(8, "little")]
            elif isinstance(value, (int, np.int64)):
                if not -(1 << 63) <= value < 1 << 63:
                    function.refuse(node, f"a whole number must be in -2**63..2**63-1: self.{name}={value}")
                kind, parts = "i8", [int(value).to_bytes(8, "little", signed=True)]
            elif isinstance(value, float):
                kind, parts = "f8", [np.float64(value).tobytes()]
            elif value is None and name in self.stored and self.sends:
                kind, parts = "order", [bytes(8)]  # there is none yet
            elif isinstance(value, Handle):
                kind, parts = "market", [native.market_address(value.symbol_id).to_bytes(8, "little")]
            elif isinstance(value, OBJECTS):
                if getattr(value, "log", False):
                    function.refuse(node, f"PairZScore with log=True is not compiled: self.{name}")
                kind, parts = type(value).__name__, [id(value).to_bytes(8, "little")]
            elif isinstance(value, np.ndarray):
                kinds = {np.dtype("f8"): "f8", np.dtype("i8"): "i8", np.dtype("?"): "b1"}
                good = value.dtype in kinds and 1 <= value.ndim <= 4 and value.flags.c_contiguous and value.flags.writeable
                if not good:
                    rule = "an array must be writable, contiguous, of float64, int64 or bool, and have 1..4 dimensions"
                    function.refuse(node, f"{rule}: self.{name} has {value.dtype}, {value.ndim} dimensions")
                kind = f"array:{kinds[value.dtype]}:{value.ndim}"
                parts = [int(word).to_bytes(8, "little") for word in (value.ctypes.data, *value.shape)]
            else:
                what = "None" if value is None else f"of type {type(value).__name__}"
                rule = "attributes of compiled hooks are floats, ints, bools, arrays, markets, orders (None in the beginning), "
                rule += "PairZScore and RollingZScore"
                function.refuse(node, f"{rule}: self.{name} is {what}")
            fields[name] = (kind, offset)
            words += parts
        return fields, b"".join(words)


class _Rung(ast.stmt):
    """A quote of a ladder among the statements of a loop."""

    _fields = ()

    def __init__(self, market: str, side: int, quote: ast.expr) -> None:
        super().__init__()
        self.market, self.side, self.quote = market, side, quote


class Rewriter(ast.NodeTransformer):
    """Rewrites one function: see the module's docstring."""

    def __init__(self, program: Program, function: Function) -> None:
        self.program, self.function = program, function
        tree = function.tree
        arguments = tree.args
        if arguments.vararg or arguments.kwarg or arguments.posonlyargs or not (arguments.args or not function.method):
            function.refuse(tree, "arguments must be plain: no *args, no **kwargs, no /")
        if isinstance(function.function.__dict__.get("__wrapped__"), FunctionType):
            function.refuse(tree, "a decorated function is not compiled")
        wanted = HOOKS.get(function.name[3:], 1 if function.name[3:] in program.timed else None) if function.method else None
        if wanted is not None and len(arguments.args) - len(arguments.defaults) != wanted:
            function.refuse(tree, f"{function.name[3:]} must take {wanted - 1} arguments besides self")
        self.own = arguments.args[0].arg if function.method else None
        if not function.method:  # it may loop, too
            arguments.args.insert(0, ast.arg(STRATEGY))
        self.strategy = ast.Name(self.own or STRATEGY, ast.Load())
        self.locals = set(function.function.__code__.co_varnames)
        closure = inspect.getclosurevars(function.function)
        self.known = {**vars(builtins), **function.function.__globals__, **closure.nonlocals}
        self.given = {**function.function.__globals__, **closure.nonlocals}
        self.temporaries = 0

    def run(self) -> None:
        function, tree = self.function, self.function.tree
        tree.decorator_list, tree.returns, tree.name = [], None, function.name
        for argument in (*tree.args.args, *tree.args.kwonlyargs):
            argument.annotation = None
        for default in (*tree.args.defaults, *filter(None, tree.args.kw_defaults)):
            if not isinstance(default, ast.Constant):
                function.refuse(default, "a default must be a constant")
        tree.body = self.block(tree.body)
        module = ast.fix_missing_locations(ast.Module([tree], []))
        outer = compile(module, function.file, "exec")
        function.code = next(c for c in outer.co_consts if isinstance(c, CodeType))
        constants = sorted((name, repr(value)) for name, value in function.names.items())
        function.text = f"{ast.unparse(tree)}\n{constants}"

    # ---- pieces ----

    def temporary(self) -> str:
        self.temporaries += 1
        return f"_fc_t{self.temporaries}"

    def call(self, name: str, *arguments: ast.expr, at: ast.AST) -> ast.Call:
        return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), list(arguments), []), at)

    def is_self(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and self.own is not None and node.id == self.own

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Statements, each behind the note which one it is."""
        out: list[ast.stmt] = []
        for statement in statements:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            if self.own is not None and not isinstance(statement, (ast.Pass, ast.Break, ast.Continue)):
                site = ast.Constant(self.program.site(self.function, statement.lineno))
                target = ast.Attribute(ast.Name(self.own, ast.Load()), "_site", ast.Store())
                out.append(ast.copy_location(ast.Assign([target], site), statement))
            new = self.visit(statement)
            out += new if isinstance(new, list) else [new]
        return out or [ast.Pass()]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if (what := REFUSED.get(type(node))) is not None:
            self.function.refuse(node, f"{what} is not compiled")
        return super().generic_visit(node)

    # ---- statements ----

    def visit_If(self, node: ast.If) -> ast.AST:
        node.test, node.body = self.visit(node.test), self.block(node.body)
        node.orelse = self.block(node.orelse) if node.orelse else []
        return node

    def round(self, body: list[ast.stmt], at: ast.stmt) -> list[ast.stmt]:
        """What is done in each round of a loop."""
        return [ast.copy_location(ast.Expr(self.call("_fc_poll", self.strategy, at=at)), at), *self.block(body)]

    def visit_While(self, node: ast.While) -> ast.AST:
        node.test, node.body = self.visit(node.test), self.round(node.body, node)
        node.orelse = self.block(node.orelse) if node.orelse else []
        return node

    def visit_For(self, node: ast.For) -> Any:
        if isinstance(node.iter, ast.Attribute) and node.iter.attr in LOOPS:
            place, series = self.temporary(), self.temporary()
            first = ast.copy_location(ast.Assign([ast.Name(series, ast.Store())], self.visit(node.iter)), node)
            item = ast.Subscript(ast.Name(series, ast.Load()), ast.Name(place, ast.Load()), ast.Load())
            taken = ast.copy_location(ast.Assign([node.target], item), node)
            count = self.call("len", ast.Name(series, ast.Load()), at=node)
            loop = ast.For(
                ast.Name(place, ast.Store()), self.call("range", count, at=node), [taken, *self.round(node.body, node)], []
            )
            loop.orelse = self.block(node.orelse) if node.orelse else []
            return [first, ast.copy_location(loop, node)]
        if not (isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name) and node.iter.func.id == "range"):
            self.function.refuse(node, f"a loop goes through range() or {', '.join('.' + name for name in LOOPS)}")
        node.target, node.iter, node.body = self.visit(node.target), self.visit(node.iter), self.round(node.body, node)
        node.orelse = self.block(node.orelse) if node.orelse else []
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        value = self.visit(node.value)
        if len(node.targets) == 1:
            return self.assign(node.targets[0], value, node)
        name = self.temporary()
        out: list[ast.stmt] = [ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), node)]
        for target in node.targets:
            out += self.assign(target, ast.Name(name, ast.Load()), node)
        return out

    def assign(self, target: ast.expr, value: ast.expr, at: ast.stmt) -> list[ast.stmt]:
        if isinstance(target, ast.Tuple) and not all(isinstance(item, ast.Name) for item in target.elts):
            names = [self.temporary() for _ in target.elts]
            first: ast.expr = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
            out: list[ast.stmt] = [ast.copy_location(ast.Assign([first], value), at)]
            for item, name in zip(target.elts, names, strict=True):
                out += self.assign(item, ast.Name(name, ast.Load()), at)
            return out
        if isinstance(target, ast.Attribute):
            if not self.is_self(target.value):
                self.function.refuse(target, f"only attributes of self can be set: .{target.attr}")
            self.attribute(target.attr, target)
            self.program.stored.add(target.attr)
            present = ast.Attribute(ast.Name(self.own or "", ast.Load()), target.attr, ast.Load())
            value = self.call("_fc_keep", present, value, at=at)
        elif isinstance(target, ast.Subscript):
            target = self.visit(target)
        return [ast.copy_location(ast.Assign([target], value), at)]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.assign(node.target, self.visit(node.value), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if isinstance(node.target, ast.Subscript) and any(isinstance(part, ast.Call) for part in ast.walk(node.target)):
            self.function.refuse(node, "an index that is changed in place must hold no call")
        present: Any = ast.parse(ast.unparse(node.target), mode="eval").body
        for part in ast.walk(present):
            ast.copy_location(part, node)
        whole = ast.copy_location(ast.BinOp(present, node.op, node.value), node)
        return self.assign(node.target, self.visit(whole), node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        raised = node.exc
        call = raised if isinstance(raised, ast.Call) else None
        name = call.func if call else raised
        kind = getattr(builtins, name.id, None) if isinstance(name, ast.Name) else None
        constant = call is None or (not call.keywords and all(isinstance(a, ast.Constant) for a in call.args))
        if node.cause is not None or not (isinstance(kind, type) and issubclass(kind, Exception)) or not constant:
            self.function.refuse(node, "raise takes an exception of Python with constant arguments")
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.test = self.visit(node.test)
        if node.msg is not None and not isinstance(node.msg, ast.Constant):
            self.function.refuse(node, "what an assert says must be a constant")
        return node

    # ---- ladders: m.quote(bids=[(price, size), ...]) as statements ----

    def visit_Expr(self, node: ast.Expr) -> Any:
        return self.ladder(node.value, node) if self.is_ladder(node.value) else self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> Any:
        if node.value is None or not self.is_ladder(node.value):
            return self.generic_visit(node)
        return [*self.ladder(node.value, node), ast.copy_location(ast.Return(ast.Constant(None)), node)]

    def is_ladder(self, node: ast.expr) -> bool:
        named = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "quote"
        return named and any(keyword.arg in ("bids", "asks") for keyword in node.keywords)  # type: ignore[attr-defined]

    def ladder(self, node: Any, at: ast.stmt) -> list[ast.stmt]:
        if node.args or any(keyword.arg not in ("bids", "asks") for keyword in node.keywords):
            self.function.refuse(node, "quotes must be those of bid, ask and size, or those of bids and asks")
        market = self.temporary()
        out: list[ast.stmt] = [ast.Assign([ast.Name(market, ast.Store())], self.visit(node.func.value))]
        out.append(ast.Expr(self.call("_fc_ladder", ast.Name(market, ast.Load()), at=at)))
        for keyword in sorted(node.keywords, key=lambda keyword: keyword.arg == "asks"):
            out += self.rungs(market, int(keyword.arg == "asks"), keyword.value, at)
        out.append(ast.Expr(self.call("_fc_ladder_done", ast.Name(market, ast.Load()), at=at)))
        return [ast.copy_location(statement, at) for statement in out]

    def rungs(self, market: str, side: int, quotes: ast.expr, at: ast.stmt) -> list[ast.stmt]:
        """Statements that add the quotes of a side."""
        if isinstance(quotes, ast.Constant) and quotes.value is None:
            return []
        if isinstance(quotes, ast.IfExp):
            both = [self.rungs(market, side, part, at) or [ast.Pass()] for part in (quotes.body, quotes.orelse)]
            return [ast.copy_location(ast.If(self.visit(quotes.test), *both), at)]
        if isinstance(quotes, (ast.List, ast.Tuple)):
            return [self.rung(market, side, quote, at) for quote in quotes.elts]
        if not isinstance(quotes, (ast.ListComp, ast.GeneratorExp)) or len(quotes.generators) != 1:
            self.function.refuse(quotes, "quotes of a side are written where they are wanted: [(price, size), ...]")
        (loop,) = quotes.generators
        names = {part.id for part in ast.walk(loop.target) if isinstance(part, ast.Name)}
        renamed = {name: self.temporary() for name in names}  # they live in the list alone
        for part in [*ast.walk(loop.target), *ast.walk(quotes.elt), *(part for test in loop.ifs for part in ast.walk(test))]:
            if isinstance(part, ast.Name) and part.id in renamed:
                part.id = renamed[part.id]
        self.locals |= set(renamed.values())
        body: ast.stmt = ast.For(loop.target, loop.iter, [_Rung(market, side, quotes.elt)], [])
        for test in loop.ifs:
            body.body = [ast.If(test, body.body, [])]  # type: ignore[attr-defined]
        for part in ast.walk(body):
            ast.copy_location(part, at)
        made = self.visit(body)
        return made if isinstance(made, list) else [made]

    def visit__Rung(self, node: _Rung) -> ast.stmt:
        return self.rung(node.market, node.side, node.quote, node)

    def rung(self, market: str, side: int, quote: ast.expr, at: ast.stmt) -> ast.stmt:
        if not isinstance(quote, ast.Tuple) or len(quote.elts) != 2:
            self.function.refuse(quote, "a quote of a ladder is a pair: (price, size)")
        price, size = (self.visit(part) for part in quote.elts)
        added = self.call("_fc_rung", ast.Name(market, ast.Load()), ast.Constant(side), price, size, at=at)
        return ast.copy_location(ast.Expr(added), at)

    # ---- expressions ----

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        left = node.left
        if len(node.ops) == 1 and isinstance(left, ast.Attribute) and left.attr in WORDS and not self.is_self(left.value):
            known, (other,) = WORDS[left.attr], node.comparators
            texts = other.elts if isinstance(other, (ast.Tuple, ast.List, ast.Set)) else [other]
            if not isinstance(node.ops[0], (ast.Eq, ast.NotEq, ast.In, ast.NotIn)):
                self.function.refuse(node, f".{left.attr} is compared by ==, !=, in and not in")
            numbers: list[ast.expr] = []
            for item in texts:
                word = self.constant(item)
                if word not in known:
                    self.function.refuse(item, f".{left.attr} is never {word!r}{suggestion(word, known)}")
                numbers.append(ast.Constant(known.index(word)))
            node.left = ast.copy_location(ast.Attribute(self.visit(left.value), f"_{left.attr}", ast.Load()), left)
            node.comparators = [numbers[0] if other is texts[0] else ast.Tuple(numbers, ast.Load())]
            return node
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, int) and not -(1 << 63) <= node.value < 1 << 63:
            self.function.refuse(node, f"a whole number must be in -2**63..2**63-1: {node.value}")
        if node.value is not None and not isinstance(node.value, (bool, int, float)):
            self.function.refuse(node, f"{type(node.value).__name__} is not compiled: {node.value!r}")
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        left, right = self.visit(node.left), self.visit(node.right)
        name = OPERATORS.get(type(node.op))
        if name is None:
            if type(node.op) in REFUSED:
                self.function.refuse(node, f"{REFUSED[type(node.op)]} is not compiled")
            node.left, node.right = left, right
            return node
        return self.call(name, left, right, at=node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.USub):
            if isinstance(node.operand, ast.Constant) and isinstance(node.operand.value, (int, float)):
                return ast.copy_location(ast.Constant(-node.operand.value), node)
            return self.call("_fc_neg", self.visit(node.operand), at=node)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Store) or node.id in self.locals:
            return node
        self.named(node, self.resolve(node))
        return node

    def resolve(self, node: ast.Name) -> Any:
        if node.id not in self.known:
            self.function.refuse(node, f"name {node.id} is not defined")
        return self.known[node.id]

    def named(self, node: ast.AST, value: Any) -> None:
        """Take the value of a global name as a constant."""
        name = node.id if isinstance(node, ast.Name) else ""
        if name not in self.given and name in NAMES:
            return
        numbers = (bool, int, float)
        if not (
            isinstance(value, numbers)
            or (isinstance(value, tuple) and value and all(isinstance(item, numbers) for item in value))
        ):
            self.function.refuse(
                node, f"a global name stands for a number, a tuple of numbers or a function: {name} is {type(value).__name__}"
            )
        self.function.names[name] = value

    def attribute(self, name: str, node: ast.AST) -> None:
        """An attribute of self that is a field."""
        kind = getattr(self.program.strategy, name, None)
        if isinstance(kind, property) or (callable(kind) and not isinstance(kind, type)) or name.startswith("_"):
            self.function.refuse(node, f"self.{name} is not compiled")
        self.program.attributes.setdefault(name, (self.function, node))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if self.is_self(node.value):
            if node.attr not in ("markets", "now"):
                if node.attr in ("random", "parameters"):
                    self.function.refuse(node, f"self.{node.attr} is not compiled")
                self.attribute(node.attr, node)
            return node
        if isinstance(node.value, ast.Name) and node.value.id not in self.locals:
            value = self.resolve(node.value)
            if isinstance(value, ModuleType):
                found = getattr(value, node.attr, None)
                if not isinstance(found, float):
                    self.function.refuse(node, f"{node.value.id}.{node.attr} is not compiled")
                # Spelt out: NaN and infinity have no literal.
                name = f"_fc_{value.__name__}_{node.attr}"
                self.function.names[name] = found
                return ast.copy_location(ast.Name(name, ast.Load()), node)
        if node.attr.startswith("_"):
            self.function.refuse(node, f".{node.attr} is not compiled")
        if node.attr in (*WORDS, "why", "symbol"):
            where = "to be compared with constants" if node.attr in WORDS else "in lines of the log"
            self.function.refuse(node, f".{node.attr} is a text: it is there {where}")
        node.value = self.visit(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if any(keyword.arg is None for keyword in node.keywords) or any(isinstance(a, ast.Starred) for a in node.args):
            self.function.refuse(node, "* and ** are not compiled in calls")
        function = node.func
        if isinstance(function, ast.Attribute):
            if self.is_self(function.value):
                return self.own_call(node, function.attr)
            if isinstance(function.value, ast.Attribute) and self.is_self(function.value.value) and function.value.attr == "random":
                return self.random_call(node, function.attr)
            if (
                isinstance(function.value, ast.Name)
                and function.value.id not in self.locals
                and isinstance(module := self.resolve(function.value), ModuleType)
            ):
                return self.module_call(node, module, function.attr)
            if function.attr not in METHODS:
                self.function.refuse(node, f".{function.attr}() is not compiled{suggestion(function.attr, METHODS)}")
            if function.attr == "pull":
                self.reason(node)
            elif function.attr in ("buy", "sell"):
                self.program.sends = True
                self.worded(node, "tif", 2, self.time)
            elif function.attr == "target":
                self.worded(node, "cross_after", 1, self.duration)
            function.value = self.visit(function.value)
            return self.arguments(node)
        if not isinstance(function, ast.Name) or function.id in self.locals:
            self.function.refuse(node, "only functions with a name can be called")
        value = self.resolve(function)
        if isinstance(value, FunctionType):
            name = self.program.helper(value)
            self.function.calls.setdefault(name, node)
            self.arguments(node)
            return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), [self.strategy, *node.args], node.keywords), node)
        if value is not getattr(builtins, function.id, None) or function.id not in NAMES:
            self.function.refuse(node, f"{function.id}() is not compiled")
        self.arguments(node)
        if function.id == "abs":
            function.id = "_fc_abs"
        if function.id in ("int", "round"):
            if len(node.args) != 1 or node.keywords:
                self.function.refuse(node, f"{function.id}() takes one argument here")
            return self.call("_fc_whole", node.args[0], ast.Constant(3 if function.id == "round" else 0), at=node)
        if function.id in ("min", "max") and (len(node.args) < 2 or node.keywords):
            self.function.refuse(node, f"{function.id}() takes two or more numbers here")
        return node

    def arguments(self, node: ast.Call) -> ast.Call:
        node.args = [self.visit(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        return node

    def reason(self, node: ast.Call) -> None:
        """The text of ``m.pull`` as a number."""
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if len(given) > 1 or any(keyword.arg != "why" for keyword in node.keywords):
            self.function.refuse(node, "pull() takes one reason")
        texts = [self.constant(item) for item in given]
        node.keywords, node.args = [], [ast.Constant(self.program.text_number(text)) for text in texts if text]

    def constant(self, node: ast.AST) -> str:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            self.function.refuse(node, "a text must be a constant here")
        return node.value

    def worded(self, node: ast.Call, name: str, place: int, number: Callable[[ast.AST], int]) -> None:
        """An argument that is a text, as a number."""
        if len(node.args) > place:
            node.args[place] = ast.Constant(number(node.args[place]))
        for keyword in node.keywords:
            if keyword.arg == name:
                keyword.value = ast.Constant(number(keyword.value))

    def time(self, node: ast.AST) -> int:
        word = self.constant(node)
        if word not in TIMES:
            self.function.refuse(node, f"tif must be day, ioc, fok or gtd: tif={word}")
        return TERMS[word]

    def duration(self, node: ast.AST) -> int:
        if isinstance(node, ast.Constant) and node.value is None:
            return -1
        try:
            return duration_ns(self.constant(node))
        except ValueError as error:
            self.function.refuse(node, str(error))

    def random_call(self, node: ast.Call, name: str) -> ast.AST:
        if name not in RANDOM:
            self.function.refuse(node, f"self.random.{name}() is not compiled{suggestion(name, RANDOM)}")
        defaults = RANDOM[name]
        given = self.arguments(node).args
        if name == "randrange" and len(given) == 1:
            given = [ast.Constant(0), *given]
        if node.keywords or len(given) > len(defaults) or None in defaults[len(given) :]:
            self.function.refuse(node, f"self.random.{name}() takes {len(defaults)} arguments here")
        given += [ast.Constant(value) for value in defaults[len(given) :]]
        self.program.draws = True
        return self.call(f"_fc_random_{name}", ast.Name(self.own or "", ast.Load()), *given, at=node)

    def line(self, node: ast.JoinedStr, at: ast.Call) -> ast.AST:
        """A line of the log with values in it."""
        parts: list[str | tuple[str, str, str]] = []
        values: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(str(part.value))
                continue
            assert isinstance(part, ast.FormattedValue)
            form = part.format_spec
            if form is not None and not all(isinstance(piece, ast.Constant) for piece in getattr(form, "values", ())):
                self.function.refuse(node, "a format must be a constant here")
            text = "" if form is None else "".join(piece.value for piece in form.values)  # type: ignore[attr-defined]
            value, attribute = part.value, getattr(part.value, "attr", "")
            if attribute in (*WORDS, "why", "symbol") and not self.is_self(value.value):  # type: ignore[attr-defined]
                inner = self.visit(value.value)  # type: ignore[attr-defined]
                value = ast.copy_location(ast.Attribute(inner, f"_{attribute}", ast.Load()), value) if attribute in WORDS else inner
            else:
                value, attribute = self.visit(value), ""
            if part.conversion == ord("a"):
                self.function.refuse(node, "!a is not compiled")
            parts.append((attribute, "" if part.conversion < 0 else chr(part.conversion), text))
            values.append(value)
        number = self.program.site(self.function, at.lineno)
        self.program.rows[number] = Line(parts)
        return self.call(
            "_fc_line", ast.Name(self.own or "", ast.Load()), ast.Constant(number), ast.Tuple(values, ast.Load()), at=at
        )

    def module_call(self, node: ast.Call, module: ModuleType, name: str) -> ast.AST:
        known = name in MATH or name in MATH_WHOLE or name in MATH_TESTS or name == "pow"
        if module is not math or not known:
            close = suggestion(name, [*MATH, *MATH_WHOLE, *MATH_TESTS, "pow"]) if module is math else ""
            self.function.refuse(node, f"{module.__name__}.{name}() is not compiled{close}")
        wanted = MATH[name][0] if name in MATH else 2 if name == "pow" else 1
        if node.keywords or len(node.args) != wanted:
            self.function.refuse(node, f"math.{name}() takes {wanted} argument{'s' * (wanted > 1)} here")
        arguments = self.arguments(node).args
        if name == "pow":
            return self.call("_fc_math_pow", *arguments, at=node)
        if name in MATH_WHOLE:
            return self.call("_fc_whole", arguments[0], ast.Constant(MATH_WHOLE[name]), at=node)
        return self.call(f"_fc_{name}", *arguments, at=node)

    def own_call(self, node: ast.Call, name: str) -> ast.AST:
        own = ast.Name(self.own or "", ast.Load())
        if name == "record":
            return self.record(node)
        if name in ("log", "stop"):
            if len(node.args) != 1 or node.keywords:
                self.function.refuse(node, f"{name}() takes one text")
            if name == "log" and isinstance(node.args[0], ast.JoinedStr):
                return self.line(node.args[0], node)
            text = self.constant(node.args[0])
            if name == "stop":
                return self.call("_fc_stop", own, ast.Constant(self.program.text_number(text)), at=node)
            number = self.program.site(self.function, node.lineno)
            self.program.rows[number] = text
            return self.call("_fc_record", own, ast.Constant(number), ast.Constant(None), ast.Tuple([], ast.Load()), at=node)
        if name == "after":
            return self.after(node)
        if name in IN_PYTHON:
            self.function.refuse(node, f"{name} stays Python: compiled hooks cannot call it")
        if self.program.method(name) is None:
            hint = (
                ": keep the market in an attribute in on_start"
                if name == "market"
                else suggestion(name, dir(self.program.strategy))
            )
            self.function.refuse(node, f"self.{name}() is not compiled{hint}")
        self.program.need(name)
        self.function.calls.setdefault(f"_m_{name}", node)
        self.arguments(node)
        return ast.copy_location(ast.Call(ast.Name(f"_m_{name}", ast.Load()), [own, *node.args], node.keywords), node)

    def record(self, node: ast.Call) -> ast.AST:
        if len(node.args) > 1 or any(keyword.arg == "market" for keyword in node.keywords):
            self.function.refuse(node, "record() takes a market, and values by name")
        self.arguments(node)
        number = self.program.site(self.function, node.lineno)
        self.program.rows[number] = tuple(keyword.arg or "" for keyword in node.keywords)
        market = node.args[0] if node.args else ast.Constant(None)
        values = ast.Tuple([keyword.value for keyword in node.keywords], ast.Load())
        return self.call("_fc_record", ast.Name(self.own or "", ast.Load()), ast.Constant(number), market, values, at=node)

    def after(self, node: ast.Call) -> ast.AST:
        if len(node.args) != 2 or node.keywords:
            self.function.refuse(node, "after() takes a duration and a method")
        try:
            delay = duration_ns(self.constant(node.args[0]))
        except ValueError as error:
            self.function.refuse(node, str(error))
        method = node.args[1]
        if not (isinstance(method, ast.Attribute) and self.is_self(method.value) and self.program.method(method.attr)):
            self.function.refuse(node, "after() takes a method of self")
        self.program.need(method.attr)
        if method.attr not in self.program.delayed:
            self.program.delayed.append(method.attr)
        number = len(self.program.timed) + self.program.delayed.index(method.attr)
        return self.call("_fc_after", ast.Name(self.own or "", ast.Load()), ast.Constant(delay), ast.Constant(number), at=node)


# ---- machine code: made once, kept on disk ----


class Code:
    """Machine code in memory."""

    def __init__(self, data: bytes) -> None:
        import llvmlite.binding as llvm

        _symbols()
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        self.engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self.engine.finalize_object()

    def functions(self, program: Program) -> tuple[dict[str, int], list[int]]:
        """Addresses of hooks by name, and of timers."""
        addresses = [self.engine.get_function_address(symbol) for symbol, _, _ in program.entries]
        count = len(program.hooks)
        return dict(zip(program.hooks, addresses[:count], strict=True)), addresses[count:]


@cache
def _symbols() -> None:
    """Make the functions of ours known to code that is loaded."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name, address in FUNCTIONS.items():
        llvm.add_symbol(name, address)


def _machine() -> Any:
    import llvmlite.binding as llvm

    return llvm.Target.from_default_triple().create_target_machine(codemodel="large", reloc="pic")


@cache
def _versions() -> str:
    """Versions of what makes machine code."""
    try:
        return f"{version('numba')} {version('llvmlite')} {sys.version}"
    except PackageNotFoundError as error:
        raise ConfigError(f"hft.compiled needs Numba ({error.name} is missing): pip install 'hft-fastcore[numba]'") from None


def key(program: Program, fields: Mapping[str, tuple[str, int]]) -> str:
    """Return the name of the code of a program: a hash of all that it depends on."""
    import llvmlite.binding as llvm

    own = hashlib.sha256(
        b"".join(Path(__file__).with_name(name).read_bytes() for name in ("compiling.py", "_numba.py"))
    ).hexdigest()
    cpu = f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    parts = [
        own,
        _versions(),
        cpu,
        json.dumps(LAYOUTS, sort_keys=True),
        json.dumps(fields, sort_keys=True),
        repr(program.entries),
        program.text,
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


_loaded: dict[str, Code] = {}


def load(program: Program, fields: Mapping[str, tuple[str, int]]) -> Code:
    """Return the code of a program: that of an earlier run of this process, from disk, or compiled now."""
    name = key(program, fields)
    if name not in _loaded:
        directory = cache_directory()
        data = None if directory is None else fetch(directory / name)
        if data is None:
            data = build(program, fields)
            if directory is not None:
                keep(directory / name, data)
        _loaded[name] = Code(data)
    return _loaded[name]


def build(program: Program, fields: Mapping[str, tuple[str, int]]) -> bytes:
    """Compile a program with Numba."""
    _symbols()
    from numba.core.errors import NumbaError

    from . import _numba

    functions = {}
    for name, function in program.functions.items():
        namespace = {"__name__": function.function.__module__} | function.names
        functions[name] = (function.code, namespace, function.function.__defaults__)
    try:
        return _numba.machine_code(functions, program.entries, fields, helpers())
    except _numba.Allocates as error:
        function = program.functions[error.args[0]]
        function.refuse(
            function.tree,
            f"{function.function.__name__} allocates ({error.args[1]}), which hooks must not: arrays are made in on_start",
        )
    except NumbaError as error:
        raise CompileError(explained(program, error, _numba.REFUSED)) from None
    except Exception as error:
        raise CompileError(f"{explained(program, error, [])} (a fault of Numba or of hft: {type(error).__name__})") from error


def helpers() -> dict[str, Any]:
    """What rewritten functions call."""
    from . import _numba

    return _numba.helpers(tuple((name, *how) for name, how in MATH.items()), MATH_TESTS)  # type: ignore[no-any-return]


def explained(program: Program, error: Exception, refused: list[str]) -> str:
    """What an error of Numba says, with the file and line of the user's."""
    files = {function.file for function in program.functions.values()}
    text = str(error)
    places = re.findall(r'File "([^"]+)", line (\d+)|at (\S+) \((\d+)\)', text)
    found = [
        (name, line or other_line)
        for file, line, other, other_line in places
        for name in files
        if name == (file or other) or (file and name.endswith(os.sep + file.lstrip("./\\")))
    ]
    loc = getattr(error, "loc", None)
    if loc is not None and loc.filename in files:
        found = [(loc.filename, loc.line)]
    reasons = re.findall(r"(?:Unknown attribute|Cannot unify|Cannot infer|expected|>>>) .*", text)
    place = ":".join(map(str, found[0])) if found else program.strategy.__name__
    return f"{place}: {refused[-1] if refused else reasons[-1].replace('>>>', 'not compiled:') if reasons else text}"


def cache_directory() -> Path | None:
    """Return the directory of machine code, made where it is not there; None unless it is ours alone."""
    home = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None)
    try:
        directory = (Path(home) if home else Path.home() / ".cache") / "hft-fastcore"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except (OSError, RuntimeError):
        return None
    if not stat.S_ISDIR(status.st_mode):
        return None
    if sys.platform != "win32" and (status.st_uid != os.getuid() or status.st_mode & 0o077):
        return None
    return directory


def fetch(path: Path) -> bytes | None:
    """Return what was kept; None where it is not there, not whole, or not ours."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if sys.platform != "win32" and (status.st_uid != os.getuid() or status.st_mode & 0o022):
                return None
            data = file.read()
    except OSError:
        return None
    return data[32:] if hashlib.sha256(data[32:]).digest() == data[:32] else None


def keep(path: Path, data: bytes) -> None:
    """Keep code on disk; where that fails, the next start compiles again."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.replace(name, path)
    except OSError:
        return
