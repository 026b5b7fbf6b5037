"""Every public class says how it is called: ``inspect.signature`` and the stub agree, and ``repr`` says what is in it.

Cython embeds no signature in the docstring of a class, so its first line has it, in the form that CPython takes apart.
"""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import FunctionType

import pytest

import fastcore
import hft
import hft.store
from hft.feeds import FORMATS, feed_class


def compiled_classes():
    """The public classes that the compiled modules define, by ``module.name``."""
    found = {}
    for package in ("fastcore", "fastcore.sim", "fastcore.wire", "fastcore.strategies"):
        try:
            place = importlib.import_module(package).__path__
        except ModuleNotFoundError:
            continue
        for info in pkgutil.iter_modules(place, f"{package}."):
            if Path(place[0], info.name.rpartition(".")[2] + ".pyi").is_file():
                module = importlib.import_module(info.name)
                for name, value in vars(module).items():
                    ours = isinstance(value, type) and value.__module__ == info.name and not name.startswith("_")
                    if ours and not issubclass(value, tuple | BaseException):  # those are plain Python
                        found[f"{info.name}.{name}"] = value
    return found


CLASSES = compiled_classes()
NONE = inspect.Parameter.empty


def described(arguments):
    """Names, kinds and defaults of the arguments of a stub, without the first; a default that is a constant, or ``...``."""
    rows = []
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [NONE] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    for argument, default in list(zip(positional, defaults, strict=True))[1:]:
        rows.append((argument.arg, "positional", default))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        rows.append((argument.arg, "keyword", default or NONE))
    assert arguments.kwarg is None, "a stub names every parameter"
    return [(name, kind, default if default is NONE else ast.literal_eval(default)) for name, kind, default in rows]


def stub_of(cls):
    """Arguments of the constructor in the stub."""
    path = Path(fastcore.__path__[0], *cls.__module__.split(".")[1:]).with_suffix(".pyi")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and function.name in ("__init__", "__new__"):
                    return described(function.args)
            return []
    raise AssertionError(f"no class {cls.__name__} in {path}")


@pytest.mark.parametrize("name", CLASSES)
def test_signature_of_a_class_is_the_one_of_its_stub(name):
    cls = CLASSES[name]
    wanted = stub_of(cls)
    found = []
    for parameter in inspect.signature(cls).parameters.values():
        kind = "keyword" if parameter.kind is parameter.KEYWORD_ONLY else "positional"
        found.append((parameter.name, kind, parameter.default))
    assert [row[:2] for row in found] == [row[:2] for row in wanted]
    for (_, _, ours), (argument, _, stub) in zip(found, wanted, strict=True):
        assert ... in (stub, ours) or ours == stub, argument


@pytest.mark.parametrize("name", CLASSES)
def test_help_of_a_class_begins_with_its_summary(name):
    text = inspect.getdoc(CLASSES[name])
    assert text
    assert "--" not in text.splitlines()[0]


PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name) for module in (hft, hft.feeds, hft.store) for name in module.__all__
} | {f"hft.feeds.{name}": feed_class(name) for name in FORMATS}


@pytest.mark.parametrize("name", [name for name, value in PUBLIC.items() if isinstance(value, type | FunctionType)])
def test_public_calls_of_hft_have_a_signature(name):
    if not (isinstance(PUBLIC[name], type) and issubclass(PUBLIC[name], Exception)):  # CPython gives those none
        inspect.signature(PUBLIC[name])


# Bases of other classes, and what stands in the body of one; two of the simulator that have none yet.
PLAIN = {
    *("fastcore.source.Source", "fastcore.strategy.Strategy", "hft.NativeStrategy", "hft.Param", "hft.Strategy", "hft.Symbol"),
    *("fastcore.sim.synthetic.SyntheticMarket", "fastcore.sim.venue.Venue"),
}


@pytest.mark.parametrize("name", [name for name, value in (CLASSES | PUBLIC).items() if isinstance(value, type) and "_bench" not in name])
def test_repr_says_what_is_in_it(name):
    assert ((CLASSES | PUBLIC)[name].__repr__ is object.__repr__) == (name in PLAIN)
