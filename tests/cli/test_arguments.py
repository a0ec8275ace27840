"""Names and a config's keys share a command line."""

from __future__ import annotations

import argparse

import pytest

from pcsc_d2.cli.arguments import Names, add_options


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--datasets", nargs="+", action=Names, metavar="NAME")
    parser.add_argument("--num-gpus", type=int, default=1)
    add_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "names", "options"),
    [
        ("--datasets a_train UCF_test MODEL.DEVICE cpu", "a_train UCF_test", "MODEL.DEVICE cpu"),
        ("--datasets a OUTPUT_DIR o SEED 3", "a", "OUTPUT_DIR o SEED 3"),
        ("--datasets a -- MODEL.DEVICE cpu", "a", "MODEL.DEVICE cpu"),
        ("--datasets a b --num-gpus 2 SEED 3", "a b", "SEED 3"),
        ("--datasets a SEED 3 --num-gpus 2", "a", "SEED 3"),
        ("SEED 3 --datasets a", "a", "SEED 3"),
        ("--datasets a", "a", ""),
    ],
)
def test_names_end_where_keys_begin(words: str, names: str, options: str) -> None:
    args = parsed(*words.split())
    assert (args.datasets, args.opts) == (names.split(), options.split())
    assert args.num_gpus == (2 if "--num-gpus" in words else 1)


def test_no_names(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parsed("--datasets", "SEED", "3")
    assert capsys.readouterr().err.endswith("--datasets: expected at least one NAME\n")


def test_lines_do_not_share_options() -> None:
    assert parsed("SEED", "3").opts == ["SEED", "3"]
    assert parsed().opts == []
