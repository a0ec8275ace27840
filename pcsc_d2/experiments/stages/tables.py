"""Tables and a picture of what the stages reach, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pcsc_d2.experiments.runs import TITLES
from pcsc_d2.experiments.stages.differences import alone
from pcsc_d2.experiments.tables import markdown, spread, write_report
from pcsc_d2.layers import STREAMS
from pcsc_d2.modeling.stages.outputs import MODES
from pcsc_d2.utils.files import atomic_write

Scores = dict[str, list[dict]]


def stage_table(scores: Scores, mode: str, column: str) -> list[list[str]]:
    """A row a stage, a column a variant, as the paper's Table 5."""
    last = max(_last_stage(runs) for runs in scores.values())
    return [
        [
            stage,
            *(
                spread(run["frame"].get(f"{mode}/{stage}", {}).get(column, np.nan) for run in runs)
                for runs in scores.values()
            ),
        ]
        for stage in range(last + 1)
    ]


def stream_table(scores: Scores, column: str) -> list[list[str]]:
    """A row a stream, a column a variant: what each finds by itself before any cooperation."""
    return [
        [
            stream,
            *(
                spread(run["frame"].get(f"{alone(stream)}/0", {}).get(column, np.nan) for run in of)
                for of in scores.values()
            ),
        ]
        for stream in STREAMS
    ]


def kind_table(scores: Scores, mode: str) -> list[list[str]]:
    """A row a variant, a column a kind of actor, at the last stage; no rows without kinds."""
    kinds = _kinds(scores)
    return [
        [
            TITLES[name],
            *(
                spread(run["frame"][f"{mode}/{_last_stage(runs)}"][f"AP50 {kind}"] for run in runs)
                for kind in kinds
            ),
        ]
        for name, runs in scores.items()
        if kinds
    ]


def recall_table(runs: list[dict]) -> list[list[str]]:
    """Recall at IoU 0.5 of one variant's proposals: a row a stage, stream and origin."""
    rows = runs[0]["recall"]
    kinds = list(next(iter(rows.values()), {}))
    return [
        [*row.split("/"), *(spread(run["recall"][row][kind] for run in runs) for kind in kinds)]
        for row in rows
    ]


def write_tables(scores: Scores, out: Path, dataset: str, differences: Sequence[str] = ()) -> str:
    """Write ``tables.md`` and ``tables.json``; the text of the former.

    Args:
        scores: variant -> the scores of each seed.
        out: the folder.
        dataset: what was scored.
        differences: headings and tables that come last.
    """
    titles = [TITLES[name] for name in scores]
    seeds = len(next(iter(scores.values())))
    parts = [f"# {dataset}: frame mAP in %, mean ± standard deviation of {seeds} seeds"]
    for mode in MODES:
        for column, iou in (("AP50", "0.5"), ("AP75", "0.75")):
            parts.append(f"## Stages put together by {mode}: frame mAP@{iou}")
            parts.append(markdown(stage_table(scores, mode, column), ["stage", *titles]))
        if _kinds(scores):
            parts.append(f"### By kind of actor, last stage, {mode}: frame mAP@0.5")
            parts.append(markdown(kind_table(scores, mode), ["", *_kinds(scores)]))
    for column, iou in (("AP50", "0.5"), ("AP75", "0.75")):
        parts.append(f"## Each stream alone, stage 0: frame mAP@{iou}")
        parts.append(markdown(stream_table(scores, column), ["stream", *titles]))
    for name, runs in scores.items():
        kinds = next(iter(runs[0]["recall"].values()), {})
        parts.append(f"## Recall of proposals at IoU 0.5: {TITLES[name]}")
        parts.append(markdown(recall_table(runs), ["stage", "stream", "origin", *kinds]))
    return write_report(out / "tables", [*parts, *differences], scores)


def draw_curves(scores: Scores, path: Path) -> None:
    """Frame mAP@0.5 by stage: a panel for each way of putting stages together."""
    # Lazily, since it is slow to import and training does not need it.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(MODES), figsize=(13, 4), sharey=True)
    for panel, mode in zip(axes, MODES):
        for name, runs in scores.items():
            stages = range(_last_stage(runs) + 1)
            values = [[r["frame"][f"{mode}/{s}"]["AP50"] for r in runs] for s in stages]
            mean, deviation = np.mean(values, axis=1), np.std(values, axis=1, ddof=len(runs) > 1)
            panel.errorbar(stages, mean, deviation, marker="o", capsize=3, label=TITLES[name])
        panel.set(
            title=mode, xlabel="stage", xticks=range(max(map(_last_stage, scores.values())) + 1)
        )
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("frame mAP@0.5 (%)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=len(scores))
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    with atomic_write(path) as file:
        figure.savefig(file, dpi=110, format="png")
    plt.close(figure)


def _last_stage(runs: list[dict]) -> int:
    return max(int(key.split("/")[1]) for key in runs[0]["frame"])


def _kinds(scores: Scores) -> list[str]:
    columns = next(iter(scores.values()))[0]["frame"]["union/0"]
    return [c.removeprefix("AP50 ") for c in columns if c.startswith("AP50 ")]
