"""Configs of others are data, by every way in."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("detectron2")

from pcsc_d2.cli import main
from pcsc_d2.model_zoo import config_names, get_config
from pcsc_d2.utils.trust import VARIABLE

CALLS = ("object/apply:os.mkdir", "object/new:os.mkdir", "object:os.mkdir", "name:os.mkdir")
SCHEMES = ("http", "https", "detectron2", "catalog", "file", "HTTP")


def hostile(seed: int, folder: Path) -> str:
    """A config that calls os.mkdir, somewhere among plain values or in one of its bases."""
    draw = random.Random(seed)
    call = f"!!python/{draw.choice(CALLS)} [{folder / 'made'}]"
    value = draw.choice([call, f"[1, {call}]", f"{{A: {call}}}", f"&x {call}", f"{{{call}: 1}}"])
    key = draw.choice(["X", "OUTPUT_DIR", "SOLVER", "_BASE_", "MODEL"])
    text = f"VERSION: 2\n{key}: {value}\n"
    for i in range(draw.randrange(3)):
        (folder / f"base{i}.yaml").write_text(text)
        text = f"_BASE_: {draw.choice(['', './', str(folder) + '/'])}base{i}.yaml\nSEED: 1\n"
    return text


@pytest.mark.parametrize("seed", range(40))
def test_configs_that_call_something(seed: int, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(hostile(seed, tmp_path))
    with pytest.raises(ValueError, match=rf"\.yaml.* asks for .*python.*{VARIABLE}=1") as error:
        get_config(tmp_path / "x.yaml")
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("many", [True, False])
def test_bases_are_local(
    scheme: str, many: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{scheme}://localhost:9/x.yaml"
    (tmp_path / "x.yaml").write_text(f"_BASE_: {[address] if many else address}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"x\.yaml is based on the address {address}.*{VARIABLE}"):
        get_config("x.yaml")


def bomb(levels: int) -> str:
    lines = ["A0: &a0 {x: 1}"]
    lines += [f"A{i}: &a{i} {{y: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("_BASE_: x.yaml", "leads to .* again"),
        ("_BASE_: y.yaml", r"y\.yaml: no such file, which .*x\.yaml names"),
        ("_BASE_: /dev/zero", "/dev/zero: no such file"),
        ("_BASE_: {a: 1}", "not the name of a file"),
        (bomb(10), "over 100000 values"),
        ("A: &a [*a]", "over 100000 values"),
        ("A: " + "[" * 5000, "cannot be read as YAML"),
        ("A: \x00", "cannot be read as YAML"),
        ("A: 1\n" * 300_000, "over 1 MiB"),
        ("- 1", "expected keys and values"),
        ("A: !b 1", "asks for !b"),
    ],
    ids=range(11),
)
def test_configs_that_are_none(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=reason) as error:
        get_config(tmp_path / "x.yaml")
    assert len(str(error.value).splitlines()) == 1


WAYS: dict[str, Callable[[str, str], list[str]]] = {
    "train": lambda config, _: ["train", "--config-file", config],
    "train on two GPUs": lambda config, _: ["train", "--num-gpus", "2", "--config-file", config],
    "train-actionness": lambda config, _: ["train-actionness", "--config-file", config],
    "export": lambda config, folder: ["export", "--config-file", config, "--out", f"{folder}/m.pt"],
    "flow": lambda config, _: ["flow", "compute", "--config-file", config],
    "detect": lambda config, folder: [
        *("detect", f"{folder}/v.mp4", "--out", f"{folder}/out"),
        *("--model", config, f"{folder}/model_final.pth"),
    ],
    "stages": lambda config, folder: [
        *("experiments", "stages", "--config-file", config, "--out", f"{folder}/out"),
        *("--dataset", "synthetic_pairs_test"),
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in(way: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.yaml").write_text(f"X: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]")
    (tmp_path / "model_final.pth").touch()
    (tmp_path / "v.mp4").touch()
    assert main(WAYS[way](str(tmp_path / "x.yaml"), str(tmp_path))) == 2
    assert not (tmp_path / "made").exists()
    said = capfd.readouterr().err.strip()
    assert said.startswith("error: ")
    assert f"{VARIABLE}=1" in said
    assert len(said.splitlines()) == 1


def test_trusted_configs_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    (tmp_path / "x.yaml").write_text("OUTPUT_DIR: !!python/object/apply:str [made]")
    assert get_config(tmp_path / "x.yaml").OUTPUT_DIR == "made"


def test_bases_and_merge_keys_of_plain_values(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.yaml").write_text("SOLVER: {<<: &a {MAX_ITER: 5}, GAMMA: 0.5}\n")
    (tmp_path / "sub" / "x.yaml").write_text("_BASE_: ['../base.yaml']\nSEED: 3\n")
    cfg = get_config(tmp_path / "sub" / "x.yaml")
    assert (cfg.SOLVER.MAX_ITER, cfg.SEED) == (5, 3)


def test_configs_of_the_package_are_plain() -> None:
    assert len(config_names()) > 10
    for name in config_names():
        get_config(name)
