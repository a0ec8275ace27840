"""``ModelInfo`` as the JSON text inside an exported file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pcsc_d2.models.info import ModelInfo

FORMAT = 3

Made = TypeVar("Made")


def to_json(info: ModelInfo) -> str:
    """The text, of the newest format."""
    return json.dumps({"format": FORMAT, **asdict(info)}, indent=1)


def from_json(text: str | bytes) -> ModelInfo:
    """What the text says; format 2, which had no linking and no flow bound, is read too.

    Raises:
        ValueError: not JSON, of another format, or a value that is absent, of another type or
            impossible; the line goes on after the file's name.
    """
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its metadata is no JSON ({error})") from None
    version = about.pop("format", None) if isinstance(about, dict) else None
    if version not in (2, FORMAT):
        raise ValueError(f"of another format than 2 and {FORMAT}; export the model again")
    return _made(ModelInfo, _from_format_2(about) if version == 2 else about, "metadata")


def _from_format_2(about: Mapping[str, Any]) -> dict[str, Any]:
    window, threshold = about.get("actionness_window", 0), about.get("actionness_threshold", 0.0)
    return {**about, "refine": {"threshold": threshold, "window": window} if window else None}


def _made(kind: type[Made], about: object, name: str) -> Made:
    """A dataclass from the values of its fields; others are passed over."""
    if not isinstance(about, dict):
        raise ValueError(f"its {name} is {about!r}, not an object")
    required = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING]
    missing = [key for key in required if key not in about]
    if missing:
        raise ValueError(f"its metadata does not say its {', '.join(missing)}")
    hints = get_type_hints(kind)
    given = {key: _typed(about[key], hint, key) for key, hint in hints.items() if key in about}
    return kind(**given)


def _typed(value: Any, kind: Any, name: str) -> Any:
    """A value as a type annotation has it."""
    inner = get_args(kind)
    if is_dataclass(kind):
        return _made(kind, value, name)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_typed(each, inner[0], name) for each in value)
    if type(None) in inner:
        return None if value is None else _typed(value, inner[0], name)
    # True is no number here, and neither is NaN.
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    if kind is not float and type(value) is kind:
        return value
    raise ValueError(f"its {name} is {value!r}, not of type {getattr(kind, '__name__', kind)}")
