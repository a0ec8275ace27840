"""Every number that a command takes refuses what no number of its kind can be."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module

import pytest

from pcsc_d2.cli import main
from pcsc_d2.cli.arguments import number, whole
from pcsc_d2.cli.registry import COMMANDS

ABSURD = ("nan", "inf", "-inf", "1e400", "-1e30", "1" + "0" * 30, "x", "")


def parsers(command: str) -> Iterator[argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(prog="pcsc")
    try:
        import_module(module_of(command)).add_arguments(parser)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    waiting = [parser]
    while waiting:
        parser = waiting.pop()
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += action.choices.values()


def module_of(command: str) -> str:
    return COMMANDS[command].module(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_numbers_of_every_command_have_bounds(command: str) -> None:
    for parser in parsers(command):
        for action in parser._actions:
            if action.choices is not None or not callable(action.type):
                continue
            assert action.type not in (int, float), f"{command} {action.option_strings}"
            made = getattr(action.type, "__qualname__", "")
            if not made.startswith(("whole", "number")):
                continue
            for text in ABSURD:
                with pytest.raises(argparse.ArgumentTypeError, match="is no"):
                    action.type(text)


@pytest.mark.parametrize("text", ["0", "4", "2.5", "1e1"])
def test_whole_numbers_of_a_range(text: str) -> None:
    with pytest.raises(
        argparse.ArgumentTypeError, match=f"'{text}' is no whole number from 1 to 3"
    ):
        whole(1, 3)(text)


def test_a_line_that_cannot_be_read_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["absent"], ["tubes"], ["tubes", "link"], ["check", "--threads", "0"]):
        assert main(words) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert line.endswith(" --help)")


def test_numbers_within_their_range() -> None:
    assert (whole(1, 3)("3"), number(0)("2.5"), number(0, 1)("1")) == (3, 2.5, 1.0)
    with pytest.raises(argparse.ArgumentTypeError, match="of 0 or more"):
        number(0)("-1")
