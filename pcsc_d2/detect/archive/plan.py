"""How videos are looked at, as a value that can be sent to other processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pcsc_d2.detect.detector import ActionDetector, DetectOptions
from pcsc_d2.detect.profile import Profile
from pcsc_d2.layers.window_trunk import Sharing


@dataclass(frozen=True)
class Plan:
    """What a detector is made from.

    Attributes:
        model, options, device, dense, engine, precision: see ``ActionDetector``.
    """

    model: tuple[str, ...]
    options: DetectOptions
    device: str | None = None
    dense: Sharing | None = None
    engine: str | None = None
    precision: str = "float32"

    def detector(self, profile: Profile | None = None) -> ActionDetector:
        """The detector; see there for what is raised."""
        how = {"profile": profile, "engine": self.engine, "precision": self.precision}
        return ActionDetector(list(self.model), self.options, self.device, self.dense, **how)

    def settings(self, detector: ActionDetector) -> dict[str, Any]:
        """What results depend on besides the video, as JSON gives it back."""
        chosen = {k: v for k, v in asdict(self.options).items() if k != "batch"}
        chosen["classes"] = list(self.options.classes)
        versions = [
            [str(path.resolve()), path.stat().st_size, path.stat().st_mtime]
            for path in _files(self.model)
        ]
        dense = asdict(self.dense) if self.dense else None
        engine = str(detector.engine)
        return {"model": versions, "dense": dense, "options": chosen, "engine": engine}


def _files(model: Sequence[str]) -> list[Path]:
    paths = map(Path, model)
    return [q for p in paths for q in (sorted(p.glob("model_final.pth")) if p.is_dir() else [p])]
