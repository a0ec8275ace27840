"""From a config and its weights to an exported file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pcsc_d2.export.comparison import TOLERANCE, difference
from pcsc_d2.export.tracing import to_network
from pcsc_d2.models.archive import load_archive, save_archive
from pcsc_d2.models.describe import describe
from pcsc_d2.models.info import ModelError
from pcsc_d2.models.trained import load_trained, read_config


def export(
    config: Path,
    options: Sequence[str],
    out: Path,
    note: str = "",
    labels: Sequence[str] | None = None,
) -> str:
    """Write the file, and say what it is in a line or two.

    Args:
        config: a config file.
        options: KEY, VALUE pairs that override it; MODEL.WEIGHTS names the checkpoint.
        out: the file to write.
        note: what the model is, for people.
        labels: class names; None takes them from the metadata of the config's datasets, or, where
            those do not know them, "class 0" and so on (see ``describe``).

    Raises:
        ModelError: no such config or weights, labels of another number than the classes, or the
            network does not answer as the model does.
    """
    cfg = read_config(config, options)
    model = load_trained(cfg)
    info = describe(cfg, model, note, labels)
    partial = out.with_name(f"{out.name}.unchecked")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_archive(to_network(model, info.clip_length), info, partial)
        reached = difference(model, load_archive(partial, info.device)[0], info)
        if reached > TOLERANCE:
            raise ModelError(f"{out}: not written: it would answer {reached:.1e} off the model")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    megabytes = out.stat().st_size / 1e6
    return f"{out}: {megabytes:.1f} MB, {len(info.labels)} classes, {reached:.1e} off the model"
