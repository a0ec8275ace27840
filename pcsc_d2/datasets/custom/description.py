"""What ``dataset.json`` says about one's own data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path

from pcsc_d2.datasets.custom.rows import plain_name, plain_text
from pcsc_d2.utils.parsing import reading
from pcsc_d2.video.decoding import DECODING_RULES, DecodingRule

DESCRIPTION = "dataset.json"


@dataclass(frozen=True)
class Description:
    """What ``dataset.json`` can say; each may be left out.

    Attributes:
        labels: classes in the order of their numbers; empty takes the annotations' own order
            (JSON: by id), or alphabetical.
        splits: name -> names or patterns (``train/*``) of its videos.
        decoding: how frames are counted, see ``video.decoding``.
        first_frame: the number of a video's first frame in CSV, 1 or 0.
        max_gap: boxes of a track at most so many frames apart are interpolated between; 1 does
            not. CVAT's always are.
        label_attribute: of CVAT, the attribute that is the class; None takes the track's label.
    """

    labels: tuple[str, ...] = ()
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    decoding: DecodingRule = "coded"
    first_frame: int = 1
    max_gap: int = 1
    label_attribute: str | None = None

    def __post_init__(self) -> None:
        for name, kind in (("labels", (list, tuple)), ("splits", Mapping)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name}: expected a {'list' if name == 'labels' else 'mapping'}")
        object.__setattr__(self, "labels", tuple(map(plain_text, self.labels)))
        for split, videos in self.splits.items():
            if not isinstance(videos, (list, tuple)) or not all(isinstance(v, str) for v in videos):
                raise ValueError(f"split '{split}': expected a list of names or patterns")
        if self.decoding not in DECODING_RULES:
            raise ValueError(f"decoding '{self.decoding}': expected one of {DECODING_RULES}")
        if self.first_frame not in (0, 1):
            raise ValueError(f"first_frame {self.first_frame}: expected 0 or 1")
        if not isinstance(self.max_gap, int) or self.max_gap < 1:
            raise ValueError(f"max_gap {self.max_gap}: expected a whole number from 1 on")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: a name is there twice, or differs in the Unicode form only")

    @classmethod
    def load(cls, path: Path) -> Description:
        """Read a ``dataset.json``; ValueError names the file and the key."""
        with reading(path, "the description of a dataset"):
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            if not isinstance(content, dict):
                raise ValueError("expected a JSON object")
            known = [f.name for f in fields(cls)]
            unknown = sorted(set(content) - set(known))
            if unknown:
                raise ValueError(f"unknown key '{unknown[0]}'; there are {', '.join(known)}")
            return cls(**content)

    def videos_of(self, split: str, names: Sequence[str]) -> list[str]:
        """The videos of a split; ValueError where there is no such split, or none is of it."""
        if split not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise ValueError(f"there is no split '{split}' in {DESCRIPTION}, which has {known}")
        patterns = [plain_name(pattern) for pattern in self.splits[split]]
        found = [n for n in names if any(n == p or fnmatchcase(n, p) for p in patterns)]
        if not found:
            raise ValueError(f"split '{split}': no annotated video is named by {patterns[:3]}")
        return found
