"""The subcommands: their names, a line each for ``pcsc --help``, and what they need installed."""

from __future__ import annotations

from typing import NamedTuple

# Of those that are not in pcsc_d2.cli.commands itself.
_FOLDERS = {
    **dict.fromkeys(("models", "weights"), "zoo"),
    **dict.fromkeys(("analyze", "benchmark"), "measure"),
    **dict.fromkeys(("annotations", "fiftyone"), "exchange"),
    **dict.fromkeys(("train-actionness", "train-segments", "fit-scores"), "afterwards"),
}


class Command(NamedTuple):
    """What is known of a subcommand without importing it.

    Attributes:
        summary: its line in ``pcsc --help``.
        extra: of ``pip install 'pcsc_d2[extra]'``, which brings what it needs.
    """

    summary: str
    extra: str

    @staticmethod
    def module(name: str) -> str:
        """The module of the subcommand of a name."""
        parts = ("pcsc_d2.cli.commands", _FOLDERS.get(name), name.replace("-", "_"))
        return ".".join(filter(None, parts))


COMMANDS: dict[str, Command] = {
    "detect": Command("find actions in your own videos", "detect"),
    "train": Command("train or evaluate a detector", "train"),
    "fit-scores": Command("fit late fusion or temperatures to a trained detector", "train"),
    "train-actionness": Command("teach a trained detector where actions begin and end", "train"),
    "train-segments": Command("teach both streams together how long actions last", "train"),
    "export": Command("make one file of a trained detector, for use without Detectron2", "train"),
    "evaluate": Command("score a trained detector, or an exported file, on a dataset", "train"),
    "models": Command("list the models by name, build one, or push one to the Hub", "train"),
    "tubes": Command("link, score, convert, show and average what any detector found", "report"),
    "annotations": Command("write what was detected, to be corrected and trained on", "train"),
    "fiftyone": Command("make a FiftyOne dataset of what was detected", "fiftyone"),
    "analyze": Command("count a model's parameters, FLOPs and activations by part", "train"),
    "benchmark": Command("time loading, training and evaluating on this machine", "train"),
    "features": Command("compute what training on frozen features looks at", "train"),
    "weights": Command("fetch Kinetics weights to start from", "detect"),
    "check": Command("look for what is wrong with datasets before training", "train"),
    "anchors": Command("see how well a config's anchors fit a dataset", "train"),
    "prepare": Command("lay out UCF101-24 or J-HMDB as they are distributed", "train"),
    "generate": Command("generate clips with known tubes", "train"),
    "flow": Command("compute optical flow ahead of training, or convert what you have", "train"),
    "experiments": Command("make the paper's comparisons", "train"),
    "demo": Command("generate clips, train on them and see what is found", "train"),
}
