"""The rows of ``pcsc experiments ablate``: each differs from a config with stages in one line.

A row is trained, or it is another way of using the weights of one that is.
"""

from __future__ import annotations

from dataclasses import dataclass

REFERENCE = "reference"
BASELINE = "baseline"
_COOPERATION = "MODEL.COOPERATION."
_LEARNED_FUSIONS = ("class_weights", "fully_connected")


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        title: in the table.
        options: KEY, VALUE, ... on top of the config.
        of: the row whose weights it uses; "" trains its own.
        fitted: by ``pcsc fit-scores``, on top of those weights.
        own_start: its stage 0 is not that of the others, as it sees other clips.
    """

    title: str
    options: tuple[str, ...] = ()
    of: str = ""
    fitted: bool = False
    own_start: bool = False


def _cooperation(key: str, value: object) -> tuple[str, ...]:
    return (_COOPERATION + key, str(value))


def _rows() -> dict[str, Row]:
    rows = {REFERENCE: Row("as configured")}
    for k in (4, 8, 16, 32):
        options = ("INPUT.CLIP_LENGTH", str(k))
        rows[f"clip_{k}"] = Row(f"clips of {k} frames", options, own_start=True)
    for x in (0.1, 0.2, 0.4, 0.5):
        rows[f"cross_nms_{x:g}"] = Row(f"cross NMS {x:g}", _cooperation("NMS_THRESH_CROSS", x))
    for x in (0.0, 0.01, 0.1, 0.2):
        rows[f"score_cut_{x:g}"] = Row(
            f"proposals over {x:g}", _cooperation("SCORE_THRESH", x), of=REFERENCE
        )
    for n in range(1, 7):
        rows[f"stages_{n}"] = Row(f"{n} stage{'s' * (n > 1)}", _cooperation("NUM_STAGES", n))
    rows["own_streams"] = Row("control: own stream", _cooperation("OWN_STREAM_CONTROL", True))
    rows["flow_first"] = Row("flow goes first", _cooperation("FIRST_STREAM", "flow"))
    rows["refined_messages"] = Row("refined messages", _cooperation("REFINED_MESSAGES", True))
    rows["shared_heads"] = Row("shared heads", _cooperation("SHARED_HEADS", True))
    # A fusion would take their place.
    unfused = ("MODEL.FUSION.NAME", "")
    for mode in ("union", "within_streams", "average", "last_two"):
        options = (*_cooperation("OUTPUT", mode), *unfused)
        rows[mode] = Row(f"stages by {mode}", options, of=REFERENCE)
    options = (*_cooperation("CALIBRATED", True), *unfused)
    rows["calibrated"] = Row("calibrated scores", options, of=REFERENCE, fitted=True)
    return rows | _fusions("fused", "stages", REFERENCE) | _baselines()


def _baselines() -> dict[str, Row]:
    bare = (*_cooperation("NUM_STAGES", 0), *_cooperation("IMAGE_MESSAGES", False))
    return {BASELINE: Row("baseline", bare)} | _fusions("fusion", "baseline", BASELINE)


def _fusions(prefix: str, title: str, of: str) -> dict[str, Row]:
    """A row for each late fusion, on the weights of another row."""
    return {
        f"{prefix}_{name}": Row(
            f"{title}, {name.replace('_', ' ')} fusion",
            ("MODEL.FUSION.NAME", f"{name.title().replace('_', '')}Fusion"),
            of=of,
            fitted=name in _LEARNED_FUSIONS,
        )
        for name in ("average", "boost", *_LEARNED_FUSIONS)
    }


ROWS: dict[str, Row] = _rows()
"""Name of a row to what it is."""


def with_needed(names: list[str]) -> list[str]:
    """The rows of some names, the reference first, with those whose weights they use.

    Raises:
        ValueError: there is no such row.
    """
    for name in names:
        if name not in ROWS:
            raise ValueError(f"no ablation '{name}'; there are {', '.join(ROWS)}")
    needed = [REFERENCE]
    for name in names:
        needed += [x for x in (ROWS[name].of, name) if x]
    return list(dict.fromkeys(needed))
