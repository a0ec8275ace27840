"""What tests of models that are tried in a process of their own share."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The processes that were started to try a file."""
    from pcsc_d2.models import trial

    words: list[list[str]] = []
    run = subprocess.run

    def noted(command: list[str], **options: object) -> subprocess.CompletedProcess:
        words.append(command)
        return run(command, **options)

    monkeypatch.setattr(trial.subprocess, "run", noted)
    return words
