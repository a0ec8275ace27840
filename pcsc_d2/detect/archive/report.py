"""How a job went, video by video and in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pcsc_d2.detect.page import counted

# Videos, and problems, that the report has a line for.
_LINES, _MOST_PROBLEMS = 20, 50


class Outcome(NamedTuple):
    """What became of a video.

    Attributes:
        name: of the video, for people.
        state: done now; done before, by an earlier job or another one meanwhile; or failed.
        labels: how many tubes of each class there are.
        problem: a line about it, or empty.
    """

    name: str
    state: Literal["done", "before", "failed"]
    labels: Mapping[str, int]
    problem: str = ""


@dataclass
class Report:
    """How a job went.

    Attributes:
        done: how many videos were done now.
        before: how many were done before.
        problems: a line for each video that could not be done, or only in part.
        tubes: of the first videos by name, how many tubes of each class were found.
        more_videos, more_tubes: how many there are besides those.
    """

    done: int = 0
    before: int = 0
    problems: list[str] = field(default_factory=list)
    tubes: dict[str, Counter[str]] = field(default_factory=dict)
    more_videos: int = 0
    more_tubes: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a video."""
        self.done += outcome.state == "done"
        self.before += outcome.state == "before"
        if outcome.problem:
            self.problems.append(outcome.problem)
        if outcome.state == "failed":
            return
        classes = Counter(outcome.labels)
        if len(self.tubes) < _LINES:
            self.tubes[outcome.name] = classes
        else:
            self.more_videos += 1
            self.more_tubes += classes.total()

    def lines(self) -> Iterator[str]:
        """What was found where, a video a line up to a number; then counts and problems."""
        for name, classes in self.tubes.items():
            found = ", ".join(f"{label} {count}" for label, count in classes.most_common())
            yield f"{name}: {counted(classes.total(), 'tube')}{f' ({found})' if found else ''}"
        if self.more_videos:
            yield f"{counted(self.more_videos, 'more video')}: {counted(self.more_tubes, 'tube')}"
        counts = f"{self.done} done"
        if self.before:
            counts += f", {self.before} were done before"
        if self.problems:
            counts += f", {len(self.problems)} with problems:"
        yield counts
        yield from (f"  {problem}" for problem in self.problems[:_MOST_PROBLEMS])
        if len(self.problems) > _MOST_PROBLEMS:
            yield f"  and {len(self.problems) - _MOST_PROBLEMS} more, on the page"
