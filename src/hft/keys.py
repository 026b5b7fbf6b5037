"""Every key of a configuration - its type, default, unit, range and meaning - as the structs say them, in TOML and in tables.

Types, ranges and defaults are those of the fields, meanings those of the docstrings, units those of the names (``horizon_s``).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from .config import Config, Section

__all__ = ["Key", "keys_of", "markdown", "toml"]

WIDTH = 100
UNITS = {
    "_usd_per_sqrt_s": "USD per square root of a second",
    "_usd_per_share": "USD per share",
    "_per_usd": "1/USD",
    "_usd": "USD",
    "_shares": "shares",
    "_s": "s",
    "_per_second": "1/s",
    "_per_minute": "1/min",
}
NAMES: dict[type, str] = {
    inspect.BoolType: "true or false",
    inspect.DateType: "date",
    inspect.DictType: "table",
    inspect.FloatType: "number",
    inspect.IntType: "whole number",
    inspect.StrType: "text",
}


class Key(NamedTuple):
    """A key: name, type in words, unit and range where there are any, default as TOML writes it (None: not set), meaning."""

    name: str
    type: str
    unit: str
    range: str
    default: str | None
    doc: str

    @property
    def facts(self) -> str:
        """Type, unit and range in one line."""
        return ", ".join(filter(None, (self.type, self.unit, self.range)))


def keys_of(section: type[msgspec.Struct]) -> list[Key]:
    """Return the keys of a struct, in its order."""
    meanings = _meanings(section)
    found = []
    for field in inspect.type_info(section).fields:  # type: ignore[attr-defined]
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        unit = next((unit for end, unit in UNITS.items() if field.name.endswith(end)), "")
        found.append(Key(field.name, _name(field.type), unit, _range(field.type), _toml(default), meanings[field.name]))
    return found


def toml(values: Mapping[str, Any] | None = None, form: type[msgspec.Struct] = Config) -> str:
    """Return a file with every key: what is in `values`, else the default; what is not set by default is commented out.

    Parameters
    ----------
    values : mapping, optional
        Of `form`, sections as mappings.
    form : type
        ``hft.config.Config``, or a struct of keys alone such as ``hft.project.Project``.
    """
    values = values or {}
    return "\n".join(_lines(form, values, "")).strip() + "\n"


def _lines(form: type[msgspec.Struct], values: Mapping[str, Any], path: str) -> Iterator[str]:
    types = {field.name: field.type for field in inspect.type_info(form).fields}  # type: ignore[attr-defined]
    tables = [name for name, type_ in types.items() if isinstance(type_, inspect.DictType | inspect.StructType)]
    keys = {key.name: key for key in keys_of(form)}
    for name, key in keys.items():
        if name in tables:
            continue
        yield from _comment(key.doc)
        yield from _comment(key.facts)
        value = _toml(values[name]) if name in values else key.default
        yield f"# {name} =" if value is None else f"{name} = {value}"
        yield ""
    for name in tables:
        type_, inner = types[name], values.get(name, {})
        yield from _comment(keys[name].doc)
        yield f"[{path}{name}]"
        if isinstance(type_, inspect.StructType):
            yield ""
            yield from _lines(type_.cls, inner, f"{path}{name}.")
        else:
            yield from (f"{key} = {_toml(value)}" for key, value in inner.items())
            yield ""


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False)


def markdown(form: type[msgspec.Struct] = Config) -> str:
    """Return the keys as tables, a heading for each section."""
    types = {field.name: field.type for field in inspect.type_info(form).fields}  # type: ignore[attr-defined]
    lines: list[str] = []
    keys = [key for key in keys_of(form) if not isinstance(types[key.name], inspect.StructType)]
    if keys:
        lines += ["| key | type, unit, range | default | meaning |", "| --- | --- | --- | --- |"]
        for key in keys:
            default = "" if key.default is None else f"`{key.default}`"
            lines.append("| " + " | ".join((f"`{key.name}`", key.facts, default, key.doc.replace("|", r"\|"))) + " |")
    for name, type_ in types.items():
        if isinstance(type_, inspect.StructType):
            lines += ["", f"### `[{name}]`", "", _summary(type_.cls), "", markdown(type_.cls).rstrip()]
    return "\n".join(lines) + "\n"


def _summary(section: type) -> str:
    return cleandoc(section.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def _meanings(section: type[msgspec.Struct]) -> dict[str, str]:
    """Texts of the docstring; of a section of sections, the first sentence of each."""
    types = {field.name: field.type for field in msgspec.structs.fields(section)}
    found = {name: _summary(type_) for name, type_ in types.items() if isinstance(type_, type) and issubclass(type_, Section)}
    body = cleandoc(section.__doc__ or "").partition("Attributes\n----------\n")[2].partition("\n\n")[0]
    for head, text in re.findall(r"^(\w[^\n]*?) : [^\n]*\n((?: +[^\n]*\n?)*)", body, re.MULTILINE):
        meaning = " ".join(text.split()).replace("``", "`")
        found |= dict.fromkeys(re.split(r", *", head), meaning)
    return dict.fromkeys(types, "") | found


def _name(type_: inspect.Type) -> str:
    if isinstance(type_, inspect.UnionType):
        return " or ".join(_name(part) for part in type_.types if not isinstance(part, inspect.NoneType))
    if isinstance(type_, inspect.LiteralType):
        return " or ".join(f'"{value}"' for value in type_.values)
    if isinstance(type_, inspect.ListType | inspect.VarTupleType):
        return f"list of {_name(type_.item_type)}"
    if isinstance(type_, inspect.TupleType):
        return f"[{', '.join(_name(part) for part in type_.item_types)}]"
    return NAMES.get(type(type_), "table")


def _range(type_: inspect.Type) -> str:
    if isinstance(type_, inspect.UnionType):
        return "".join(_range(part) for part in type_.types)
    if isinstance(type_, inspect.StrType) and type_.max_length is not None:
        return f"{type_.min_length or 0} to {type_.max_length} characters"
    bounds = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
    given = [(sign, getattr(type_, name, None)) for name, sign in bounds]
    return " and ".join(f"{sign} {_number(bound)}" for sign, bound in given if bound is not None)


def _number(value: float) -> str:
    power = int(value).bit_length() - 1
    if isinstance(value, int) and power >= 20 and value == 1 << power:
        return f"2^{power}"
    return f"{value:g}".replace("e+0", "e").replace("e+", "e") if abs(value) >= 1e9 else f"{value:,}".removesuffix(".0")


def _toml(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(str(_toml(item)) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return str(value)
