"""Config files of others are data: YAML that builds no objects, on bases that are local files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from pcsc_d2.utils.text import one_line
from pcsc_d2.utils.trust import require_trust

_BASE = "_BASE_"
_MOST_BYTES = 1 << 20
# Aliases let a few lines stand for any number of values.
_MOST_VALUES = 100_000
_MOST_BASES = 32
# Tags of the keys "<<" and "=", which are gone before anything is built.
_MERGES = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")


def check_config_file(path: str | os.PathLike[str]) -> None:
    """Look through a config and its bases before Detectron2 reads them.

    Raises:
        ValueError: not a local file, not YAML, it builds Python objects, it is based on itself or
            on an address, or it is larger than configs are.
    """
    _check(Path(os.path.abspath(path)), ())


def _check(path: Path, above: tuple[Path, ...]) -> None:
    if len(above) == _MOST_BASES or path.resolve() in above:
        raise ValueError(f"{above[0]}: its {_BASE} leads to {path} again, or over too many files")
    if not path.is_file():
        raise ValueError(f"{path}: no such file, which {above[-1]} names as {_BASE}")
    for base in _bases(path, _root(path)):
        if "://" in base:
            require_trust(path, f"is based on the address {base}, and bases are local files")
        else:
            _check(path.parent / os.path.expanduser(base), (*above, path.resolve()))


def _root(path: Path) -> yaml.Node | None:
    """What a file holds, with nothing built of it."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path}: a config of over {_MOST_BYTES >> 20} MiB")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as YAML ({one_line(error)})") from None
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise ValueError(f"{path}: expected keys and values")
    if root is not None:
        _check_values(path, root)
    return root


def _check_values(path: Path, root: yaml.Node) -> None:
    """Refuse tags of Python's, cycles, and more values than configs have."""
    known = {*yaml.SafeLoader.yaml_constructors, *_MERGES}
    left = _MOST_VALUES
    waiting = [root]
    while waiting:
        node = waiting.pop()
        left -= 1
        if left < 0:
            raise ValueError(f"{path}: a config of over {_MOST_VALUES} values")
        if node.tag not in known:
            require_trust(path, f"asks for {node.tag}, and a config is plain values")
        waiting += _children(node)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _bases(path: Path, root: yaml.Node | None) -> list[str]:
    """The files that a config is based on, as it names them."""
    values = [value for key, value in root.value if key.value == _BASE] if root else []
    nodes = [n for v in values for n in (v.value if isinstance(v, yaml.SequenceNode) else [v])]
    if not all(isinstance(node, yaml.ScalarNode) for node in nodes):
        raise ValueError(f"{path}: its {_BASE} is not the name of a file")
    return [node.value for node in nodes]
