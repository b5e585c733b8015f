"""Writes plain data as TOML, which the standard library only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def written(data: Mapping[str, Any]) -> str:
    """A document that reads back as this data: tables one level deep, what is deeper on the line of its key.

    TOML has no null: a key without a value is left out, as if nobody had set it.
    """
    plain = {key: value for key, value in data.items() if value is not None}
    tables = {key: value for key, value in plain.items() if _is_tables(value)}
    parts = ["".join(_lines({key: value for key, value in plain.items() if key not in tables}))]
    for key, value in tables.items():
        if isinstance(value, Mapping):
            parts.append(f"[{_key(key)}]\n" + "".join(_lines(value)))
        else:
            parts += [f"[[{_key(key)}]]\n" + "".join(_lines(one)) for one in value]
    return "\n".join(part for part in parts if part)


def _is_tables(value: Any) -> bool:
    lists = isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)
    return isinstance(value, Mapping) or lists


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if value is not None]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(line.rstrip("\n") for line in _lines(value))
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        # A string of JSON is one of TOML, but for the one sign that only TOML wants to see escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value) if isinstance(value, float) else json.dumps(value)
