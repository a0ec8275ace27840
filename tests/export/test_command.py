"""The command, and files that are not what they should be."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from pcsc_d2 import cli
from pcsc_d2.export import ModelError, ModelInfo, load_archive
from pcsc_d2.models.loading import load_model
from pcsc_d2.models.onnx.file import load_onnx
from pcsc_d2.runtime import Engine
from tests.disks import small_files
from tests.tiny import tiny_config

INFO = ModelInfo(tuple("abcd"), clip_length=8, min_size=64, max_size=400, flow_method="dis")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    cfg = tiny_config(["DATASETS.TEST", ("synthetic_easy_test",)])
    torch.manual_seed(0)
    model = build_model(cfg)
    (folder / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
    torch.save({"model": model.state_dict()}, folder / "model_final.pth")
    return folder


def main(arguments: list[str]) -> int:
    return cli.main(["export", *arguments])


def run(folder: Path, out: Path, *more: str) -> int:
    weights = ["MODEL.WEIGHTS", str(folder / "model_final.pth")]
    return main(["--config-file", str(folder / "config.yaml"), "--out", str(out), *more, *weights])


def test_writes_a_file_that_says_what_it_is(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "model.pt"
    assert run(checkpoint, out, "--note", "a trial") == 0
    said = capsys.readouterr().out
    assert str(out) in said
    assert "4 classes" in said
    network, info = load_archive(out)
    assert asdict(info) == asdict(INFO) | {
        "labels": ("red-sway", "green-sway", "blue-bounce", "blue-twist"),
        "note": "a trial",
    }
    boxes, scores, classes, actionness, *more = network(
        torch.zeros(1, 3, 8, 64, 80, dtype=torch.uint8), torch.zeros(1, 2, 8, 64, 80)
    )[0]
    assert boxes.shape == (len(scores), 4)
    assert len(classes) == len(scores) > 0
    assert [len(column) for column in (actionness, *more)] == [0, 0, 0]
    assert [p.name for p in out.parent.iterdir()] == ["model.pt"]


def test_writes_an_onnx_file(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    out = tmp_path / "new" / "model.onnx"
    assert run(checkpoint, out, "--note", "a trial", "--size", "64x80", "--one-clip") == 0
    assert f"{out}: " in capsys.readouterr().out
    network, info = load_onnx(out, Engine("onnxruntime"))
    assert asdict(info) == asdict(INFO) | {
        "labels": ("red-sway", "green-sway", "blue-bounce", "blue-twist"),
        "note": "a trial",
    }
    clips = torch.zeros(2, 3, 8, 64, 80, dtype=torch.uint8), torch.zeros(2, 2, 8, 64, 80)
    for boxes, scores, classes, actionness in network(*clips):
        assert boxes.shape == (len(scores), 4)
        assert len(classes) == len(scores) > 0
        assert len(actionness) == 0
    assert [p.name for p in out.parent.iterdir()] == ["model.onnx"]


def test_onnx_files_need_onnx_runtime(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pcsc_d2.runtime.choice.find_spec", lambda _: None)
    assert run(checkpoint, tmp_path / "model.onnx") == 2
    said = "error: engine onnxruntime is not installed: pip install 'pcsc_d2[onnx]'\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--size", "64x80"], "--size and --one-clip are for ONNX files; give --format onnx"),
        (["--labels", "a,b"], "2 labels for 4 classes"),
        (["MODEL.I3D.WIDTH", "0.125"], "cannot be loaded into the network of its config"),
        (["MODEL.NOTHING", "1"], "config.yaml"),
        (["TEST.TUBES.GAP", "0"], "gap is 0; at least 1"),
    ],
)
def test_bad_input_is_one_line(
    more: list[str],
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(checkpoint, tmp_path / "model.pt", *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_weights_have_to_be_named(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config-file", str(checkpoint / "config.yaml")]
    assert main([*config, "MODEL.WEIGHTS", ""]) == 2
    assert "which weights?" in capsys.readouterr().err
    assert main([*config, "MODEL.WEIGHTS", "absent.pth"]) == 2
    assert "absent.pth: no such file" in capsys.readouterr().err
    assert main(["--config-file", "absent.yaml"]) == 2
    assert "absent.yaml: no such file" in capsys.readouterr().err


class Identity(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def scripted(about: dict | list | None) -> bytes:
    file = io.BytesIO()
    extra = {} if about is None else {"pcsc_d2.json": json.dumps(about)}
    torch.jit.save(torch.jit.script(Identity()), file, _extra_files=extra)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a model", "not a model that pcsc export wrote"),
        (b"", "not a model that pcsc export wrote"),
        (scripted(None), "a TorchScript file, but not one"),
        (scripted({"format": 99}), "of another format than 2 and 3"),
        (scripted({"format": 3, "labels": []}), "does not say its clip_length"),
        (scripted({"format": 3, **asdict(INFO), "device": "cuda"}), "exported to run on cuda"),
        (scripted({"format": 3, **asdict(INFO), "clip_length": "8"}), "its clip_length is '8'"),
        (scripted([]), "of another format"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        load_archive(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_classes_that_no_dataset_names(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An exported file and a checkpoint name them alike."""
    for name in ("config.yaml", "model_final.pth"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("synthetic_easy_test", "never_registered"))
    assert run(tmp_path, tmp_path / "model.pt", "DATASETS.TRAIN", "()") == 0
    assert "no dataset of the config names its 4 classes" in caplog.text
    labels = load_archive(tmp_path / "model.pt")[1].labels
    assert labels == ("class 0", "class 1", "class 2", "class 3")
    config.write_text(config.read_text().replace("- jhmdb_split1_train", ""))
    assert load_model([tmp_path], "cpu").info.labels == labels


def test_the_datasets_names_are_known_in_a_process_of_its_own() -> None:
    code = """
import pcsc_d2.export.checkpoint
from detectron2.data import MetadataCatalog
print(len(MetadataCatalog.get("jhmdb_split1_test").thing_classes))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["21"]


def test_no_file() -> None:
    with pytest.raises(ModelError, match=r"absent\.pt: no such file"):
        load_archive("absent.pt")


@pytest.mark.parametrize("name", ["model.pt", "model.onnx"])
def test_full_disk_is_one_line_and_leaves_the_old_file(
    checkpoint: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name.endswith(".onnx"):
        pytest.importorskip("onnx")
    out = tmp_path / name
    out.write_bytes(b"old")
    with small_files(20_000):
        assert run(checkpoint, out) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f"error: {out}: ")
    assert "file too large" in line or "is the disk full?" in line
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert out.read_bytes() == b"old"
