"""The configs that come with the package, by name, in Detectron2's manner.

cfg = model_zoo.get_config("jhmdb/pcsc.yaml")
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pcsc_d2.utils.text import one_line
from pcsc_d2.utils.trust import trusted

if TYPE_CHECKING:
    from detectron2.config import CfgNode

# In an installed package, and in a checkout (or an editable install of it).
_PLACES = tuple(above / "configs" for above in Path(__file__).parents[1:3])


def config_names() -> list[str]:
    """Names of all configs, such as ``jhmdb/pcsc.yaml``."""
    folder = _folder()
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml"))


def lazy_config_names() -> list[str]:
    """Names of the LazyConfigs, such as ``jhmdb/pcsc.py``, which build the models of the configs
    of the same names."""
    return [n for n in (f"{name[:-5]}.py" for name in config_names()) if (_folder() / n).is_file()]


def get_config_file(name: str) -> str:
    """The path of a config's file, or of a LazyConfig's; ValueError lists the known names."""
    if name not in config_names() and name not in lazy_config_names():
        raise ValueError(
            f"no config of the package is named {name}; there are {', '.join(config_names())}"
        )
    return str(_folder() / name)


def find_config(config: str | os.PathLike[str]) -> Path:
    """A config's file, or the one of that name in the package; ValueError lists the known names."""
    path = Path(config)
    if path.is_file():
        return path
    try:
        return Path(get_config_file(path.as_posix()))
    except ValueError as error:
        raise ValueError(f"{path}: no such file, and {error}") from None


def get_config(config: str | os.PathLike[str], options: Sequence[object] = ()) -> CfgNode:
    """A config, to be changed and built from.

    Args:
        config: a name, or a file of one's own.
        options: KEY, VALUE, ... on top of it.

    Raises:
        ValueError: no such config, a key or value that it cannot have, or it would run code.
    """
    from detectron2.config import get_cfg

    from pcsc_d2 import add_pcsc_config
    from pcsc_d2.model_zoo.config_files import check_config_file
    from pcsc_d2.model_zoo.config_values import check_values

    path = find_config(config)
    if path.suffix == ".py":
        raise ValueError(f"{path}: is a LazyConfig, which Detectron2's LazyConfig.load reads")
    check_config_file(path)
    cfg = get_cfg()
    add_pcsc_config(cfg)
    usual = cfg.clone()
    doing = "is no config of this version"
    try:
        # An absolute path, as the names of bases are joined to its folder.
        cfg.merge_from_file(os.path.abspath(path), allow_unsafe=trusted())
        doing = "cannot be changed as the end of the line says"
        _merge_options(cfg, options)
        doing = "has, with the end of the line, a value that cannot be"
        check_values(cfg, usual)
    except Exception as error:  # YAML, unknown keys and wrong types each raise their own
        raise ValueError(f"{path}: {doing} ({one_line(error)})") from error
    return cfg


def _merge_options(cfg: CfgNode, options: Sequence[object]) -> None:
    """Detectron2's ``merge_from_list``, whose errors do not always name the key."""
    if len(options) % 2:
        raise ValueError(f"KEY and VALUE go in pairs, and {options[-1]} is alone")
    for key, value in zip(options[::2], options[1::2]):
        try:
            cfg.merge_from_list([key, value])
        except Exception as error:  # it raises of any kind
            raise ValueError(f"{key}: {one_line(error)}") from error


def _folder() -> Path:
    return next((place for place in _PLACES if place.is_dir()), _PLACES[0])
