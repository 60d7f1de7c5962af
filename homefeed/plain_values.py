"""Plain values, as YAML and the command line give them, made into typed dataclasses and checked."""

import dataclasses
import difflib
import sys
import types
import typing
from typing import Any

import yaml

from homefeed.errors import ConfigError

_LARGEST = sys.float_info.max  # infinity is no setting
_MERGE = "tag:yaml.org,2002:merge"  # `<<`, which may stand twice
_LAST_SEED = 2**32 - 1
_MOST_LISTED = 16  # words that one line can hold; of more dotted keys it names the sections


def one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is one of the known; ``build`` adds the section's name."""
    if value not in known:
        raise ValueError(f"{key} is {value!r}; give {' or '.join(known)}")


def between(key: str, value: float, least: float, most: float | None = None) -> None:
    """Raise ValueError unless ``least`` ≤ value ≤ ``most``; ``build`` adds the section's name."""
    if not least <= value <= (_LARGEST if most is None else most):  # never true of a NaN
        bound = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"{key} is {value}; give {bound}")


def above(key: str, value: float, low: float, most: float | None = None) -> None:
    """Raise ValueError unless ``low`` < value ≤ ``most``, as ``between`` does."""
    if not low < value <= (_LARGEST if most is None else most):
        bound = f"more than {low}" if most is None else f"more than {low}, up to {most}"
        raise ValueError(f"{key} is {value}; give {bound}")


def below(key: str, value: float, least: float, high: float) -> None:
    """Raise ValueError unless ``least`` ≤ value < ``high``, as ``between`` does."""
    if not least <= value < high:
        raise ValueError(f"{key} is {value}; give {least} or more, and less than {high}")


def share(key: str, value: float, example: float) -> None:
    """Raise ValueError unless 0 < value < 1; the message gives an example."""
    if not 0 < value < 1:
        raise ValueError(f"{key} is {value}; give a share, such as {example}")


def seed_number(key: str, value: int) -> None:
    """Raise ValueError unless every generator of random numbers takes the seed."""
    between(key, value, 0, _LAST_SEED)


def require_count(key: str, value: int | None) -> None:
    """Raise ConfigError unless the key's value is 1 or more, or null: no bound."""
    if value is not None and value < 1:
        raise ConfigError(f"{key} is {value}; give 1 or more, or null for no bound")


class _OnceEachLoader(yaml.SafeLoader):
    """YAML as the standard has it: a key stands once in a mapping. PyYAML takes the last one."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            named = (key.tag, str(key.value))
            if named in seen and key.tag != _MERGE:
                problem = f"key {key.value!r} stands twice; keep one of the two"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add(named)
        return node


def read_yaml(text: str) -> Any:
    """The one document of ``text``; yaml.YAMLError, or ValueError for a date of no calendar."""
    return yaml.load(text, Loader=_OnceEachLoader)


def parse_assignment(text: str) -> dict[str, Any]:
    """``a.b=1`` → ``{"a.b": 1}``; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set needs key=value, found {text!r}; for example training.device=cpu")
    try:
        return {key.strip(): read_yaml(value)}
    except (yaml.YAMLError, ValueError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"the value of {text!r} is not YAML; quote it ({told})") from None


def suggestion(word: str, known: typing.Iterable[str]) -> str:
    """``; did you mean 'x'?`` or the known words, for an error message."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if len(known) > _MOST_LISTED:
        known = sorted({f"{key.partition('.')[0]}.*" if "." in key else key for key in known})
    return f"; known: {', '.join(known)}"


def flatten(layer: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries → dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in layer.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys → nested dictionaries."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def build(cls: type, values: dict[str, Any], prefix: str = "") -> Any:
    """Build a dataclass (nested ones too) from plain values, checking names and types."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    arguments = {}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"unknown key '{prefix}{key}'{suggestion(key, fields)}")
        arguments[key] = _convert(hints[key], value, f"{prefix}{key}")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ConfigError(f"{prefix.rstrip('.')}: {error}" if prefix else str(error)) from None


def _convert(kind: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{name} holds keys of its own, found {value!r}")
        return build(typing.cast(type, kind), value, f"{name}.")
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in inner:
            return None
        return _convert(next(k for k in inner if k is not type(None)), value, name)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name} must be a list, found {value!r}")
        if inner[-1] is Ellipsis:
            return tuple(_convert(inner[0], each, name) for each in value)
        return tuple(_convert(k, each, name) for k, each in zip(inner, value, strict=True))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{name} must be a mapping, found {value!r}")
        return {k: _convert(inner[1], each, f"{name}.{k}") for k, each in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):  # YAML reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            raise ConfigError(f"{name} must be a number, found {value!r}") from None
    if isinstance(kind, type) and (not isinstance(value, kind) or _is_bool_for_int(kind, value)):
        raise ConfigError(f"{name} must be of type {kind.__name__}, found {value!r}")
    return value


def _is_bool_for_int(kind: type, value: Any) -> bool:
    return kind is int and isinstance(value, bool)
