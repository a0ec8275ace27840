"""The page of an output folder; of an archive, pages of some hundred videos and an index to search.

A page is written again when one of its videos changed. The videos are in the order of their
folders, in which a job does them too, so that few pages change from one time to the next.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcsc_d2.detect.archive.journal import Journal, Place
from pcsc_d2.detect.archive.layout import JOURNAL, PAGE, PAGES
from pcsc_d2.detect.page import counted, write_page
from pcsc_d2.detect.results import VIDEO, Summary, partly_done
from pcsc_d2.pages import render_page
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.leftovers import locked

_TEMPLATE = Path(__file__).with_name("index.html")
PER_PAGE = 200
# Of a video, what the index can search: its best tubes of each class.
_TUBES_OF_A_CLASS = 3
# Lines of what could not be done.
_MOST_PROBLEMS = 200


@dataclass
class _Written:
    """What is known of a page that has been written.

    Attributes:
        places: where its videos' lines were.
        is_last: whether no page follows.
        folders: of its videos.
        labels: tubes of each class.
        problems: of its videos.
        models: that found them.
    """

    places: list[Place]
    is_last: bool
    folders: list[str]
    labels: Counter[str]
    problems: list[str]
    models: set[str]


class PageWriter:
    """Writes the page of all videos, of this and other jobs.

    Args:
        out: the output folder.
        journal: what is done.
    """

    def __init__(self, out: Path, journal: Journal) -> None:
        self._out, self._journal = out, journal
        self._written: list[_Written] = []

    def write(self, whole: bool) -> None:
        """Write what has changed since this object wrote it last.

        Args:
            whole: write all, and wait for another job that is writing; else leave it to that.

        Raises:
            OSError: it cannot be written.
        """
        with locked(self._out / JOURNAL / "page.lock", wait=whole) as is_ours:
            if is_ours:
                self._journal.refresh()
                self._write(sorted(self._journal.done), whole)

    def _write(self, folders: list[str], whole: bool) -> None:
        if len(folders) <= PER_PAGE:
            problems = self._journal.problems()
            videos = dict(self._summaries(folders))
            problems += [partly_done(v.video, v.problem) for v in videos.values() if v.problem]
            write_page(self._out / PAGE, videos, problems)
            return
        parts = [folders[i : i + PER_PAGE] for i in range(0, len(folders), PER_PAGE)]
        del self._written[len(parts) :]
        for number, part in enumerate(parts):
            places = [self._journal.done[folder] for folder in part]
            is_last = number + 1 == len(parts)
            before = self._written[number] if number < len(self._written) else None
            if whole or before is None or (before.places, before.is_last) != (places, is_last):
                page = self._write_part(number, part, is_last)
                self._written[number : number + 1] = [page]
        for path in (self._out / PAGES).glob("*.*"):
            if path.stem.isdecimal() and int(path.stem) > len(parts):
                path.unlink(missing_ok=True)
        self._write_index(len(folders))

    def _summaries(self, folders: Sequence[str]) -> Iterator[tuple[str, Summary]]:
        for folder in folders:
            summary = self._journal.summary(folder)
            if summary is not None:
                yield folder, summary

    def _write_part(self, number: int, folders: list[str], is_last: bool) -> _Written:
        videos = dict(self._summaries(folders))
        name = self._out / PAGES / _file(number)
        others = {"search all": f"../{PAGE}"}
        if number:
            others["previous page"] = f"{_file(number - 1)}.html"
        if not is_last:
            others["next page"] = f"{_file(number + 1)}.html"
        write_page(name.with_suffix(".html"), videos, [], "../", others)
        rows = [[folder, *_searchable(video)] for folder, video in videos.items()]
        with atomic_write(name.with_suffix(".js"), "w") as file:
            file.write(f"archivePage({json.dumps(_file(number))}, {json.dumps(rows)});\n")
        return _Written(
            [self._journal.done[folder] for folder in folders],
            is_last,
            folders,
            Counter(tube["label"] for video in videos.values() for tube in video.tubes),
            [partly_done(v.video, v.problem) for v in videos.values() if v.problem],
            {video.model for video in videos.values()},
        )

    def _write_index(self, count: int) -> None:
        labels = sum((page.labels for page in self._written), Counter())
        problems = self._journal.problems()
        problems += [problem for page in self._written for problem in page.problems]
        models = sorted(set().union(*(page.models for page in self._written)))
        found = f"{counted(labels.total(), 'tube')} in {counted(count, 'video')}."
        page = render_page(
            _TEMPLATE,
            title="Detections",
            lead=" ".join([found, *models]),
            problems=problems[:_MOST_PROBLEMS],
            problem_count=len(problems),
            pages=[_described(number, page) for number, page in enumerate(self._written)],
            folder=PAGES,
            videos=count,
            labels=sorted(labels),
            files={"video": VIDEO},
        )
        with atomic_write(self._out / PAGE, "w") as file:
            file.write(page)


def _file(number: int) -> str:
    return f"{number + 1:04d}"


def _described(number: int, page: _Written) -> dict[str, Any]:
    return {"file": _file(number), "first": page.folders[0], "last": page.folders[-1]}


def _searchable(video: Summary) -> tuple[float, list[list[Any]]]:
    """Seconds, and label, score and start in the annotated video of the best tubes."""
    count: Counter[str] = Counter()
    best = []
    for tube in sorted(video.tubes, key=lambda tube: -tube["score"]):
        count[tube["label"]] += 1
        if count[tube["label"]] <= _TUBES_OF_A_CLASS:
            start = round(tube["start"] - video.start, 2)
            best.append([tube["label"], round(tube["score"], 2), start])
    return round(video.end - video.start, 2), best
