"""The models by name: what they are, what they reach, and the commands that build them.

``models.json`` is the one place of all that. A model that was built is in the user's cache folder;
the one that ships is in the package.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from pcsc_d2.assets import SHIPPED, SHIPPED_MODEL
from pcsc_d2.model_zoo.hub import SCHEME, hub_model
from pcsc_d2.utils.cache import cache_folder

_FILE = Path(__file__).with_name("models.json")


@dataclass(frozen=True)
class ZooModel:
    """A model by name; figures that nobody has measured are None.

    Attributes:
        name: what ``--model`` takes.
        config: its config, by name.
        start: the weights that it starts from.
        data: what it is trained on.
        minutes: that ``pcsc models build`` takes on the machine.
        machine: in words.
        frame_50: frame mAP at 0.5, in percent, as the following.
        video_20, video_50, video_75: video mAP at these thresholds.
        video: video mAP over 0.5 to 0.95.
        clips: test clips that the scores are from.
        megabytes: of the exported file.
        sha256: of the exported file that has these scores.
        commands: what builds it, without the word ``pcsc``; ``{trunk}`` is ``trunk``,
            ``{folder}`` is ``work``, ``{run}`` that of its last training, ``{file}`` the exported
            file.
    """

    name: str
    config: str
    start: str
    data: str
    minutes: float | None
    machine: str
    frame_50: float | None
    video_20: float | None
    video_50: float | None
    video_75: float | None
    video: float | None
    clips: int | None
    megabytes: float | None
    sha256: str
    commands: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it is built, there or not."""
        return cache_folder("models") / self.name

    @property
    def work(self) -> Path:
        """What its commands write to, but for the file: other commands have another folder, so
        that no training goes on from one by other settings."""
        return self.folder / _digest(c for c in self.commands if not c.startswith("export "))

    @property
    def trunk(self) -> Path:
        """What models share that train their flow trunk by the same commands."""
        trained = (c for c in self.commands if "OUTPUT_DIR {trunk}/" in c)
        return self.folder.parent / f"flow-trunk-{_digest(trained)}"

    @property
    def run(self) -> Path:
        """The folder of its last training, with config.yaml and model_final.pth."""
        return self.work / "run"

    @property
    def file(self) -> Path:
        """Its exported file, there or not."""
        return SHIPPED_MODEL if self.name == SHIPPED else self.folder / f"{self.name}.pt"


def _digest(commands: Iterable[str]) -> str:
    return hashlib.sha256(repr([*commands]).encode()).hexdigest()[:8]


def zoo_models() -> dict[str, ZooModel]:
    """All models by name, in the order of the table."""
    about = json.loads(_FILE.read_text(encoding="utf-8"))
    names = [field.name for field in fields(ZooModel)]
    models = [ZooModel(**{n: each[n] for n in names}) for each in about]
    return {model.name: model for model in models}


def get_model(name: str) -> ZooModel:
    """The model of a name; ValueError lists those there are."""
    known = zoo_models()
    if name not in known:
        raise ValueError(f"no model is named {name}; there are {', '.join(known)}")
    return known[name]


def model_files(model: Sequence[str | Path]) -> list[Path]:
    """What ``--model`` says as files: a name becomes the exported file of that model.

    An address ``hf://owner/name`` becomes the file that is fetched from there, see ``hub``.

    Raises:
        ValueError: that model is not built yet, or cannot be fetched; it says what to do.
    """
    words = [str(word) for word in model]
    if len(words) == 1 and words[0].startswith(SCHEME):
        return [hub_model(words[0])]
    if len(words) != 1 or Path(words[0]).exists() or words[0] not in zoo_models():
        return [Path(word) for word in words]
    file = get_model(words[0]).file
    if not file.is_file():
        raise ValueError(f"{words[0]} is not built yet: run pcsc models build {words[0]}")
    return [file]


def training_run(model: str | Path) -> Path:
    """The folder of a training run, or of the last one of the model of a name.

    Raises:
        ValueError: there is no such folder, or that model is not built yet.
    """
    folder = Path(model)
    if not folder.exists() and str(model) in zoo_models():
        folder = get_model(str(model)).run
        if not (folder / "model_final.pth").is_file():
            raise ValueError(f"{model} is not built here: run pcsc models build {model}")
    if not (folder / "config.yaml").is_file():
        raise ValueError(f"{model}: no training run's folder (no config.yaml in it)")
    return folder


def table() -> str:
    """The models and what builds them, in Markdown, as docs/pages/models.md has it."""
    heads = ["model", "config", "starts from", "trained on", "minutes", "frame 0.5", "video 0.2"]
    heads += ["0.5", "0.75", "0.5:0.95", "test clips", "MB", "sha256"]
    rows = [heads, ["---"] * len(heads), *map(_row, zoo_models().values())]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    for model in zoo_models().values():
        commands = [f"pcsc {command}" for command in model.commands]
        lines += ["", f"`pcsc models build {model.name}` runs", "", "```text", *commands, "```"]
    return "\n".join(lines)


def _row(model: ZooModel) -> list[str]:
    scores = (model.frame_50, model.video_20, model.video_50, model.video_75, model.video)
    minutes = _number(model.minutes, 0) + (f", {model.machine}" if model.machine else "")
    return [
        f"`{model.name}`",
        f"`{model.config}`",
        model.start,
        model.data,
        minutes,
        *(_number(score, 1) for score in scores),
        _number(model.clips, 0),
        _number(model.megabytes, 1),
        f"`{model.sha256[:12]}`" if model.sha256 else "",
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
