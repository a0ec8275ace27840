"""An exported file holds a network and nothing that touches files, addresses or other code."""

from __future__ import annotations

import io
import linecache
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pcsc_d2.models import archive
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.metadata import to_json
from pcsc_d2.utils.trust import VARIABLE

INFO = ModelInfo(("a",), clip_length=4, min_size=0, max_size=64, flow_method="dis")
# What a method can be made to do; of "{path}", "made" in the test's folder. What is not used in
# the end is no part of the file.
HOSTILE = {
    "from_file": "x = x + torch.from_file('{path}', True, 16).sum()",
    "save": "torch.ops.aten.save(x, '{path}')",
    "print": "print('{path}')",
    "raise": "raise ValueError('{path}')",
    "warn": "warnings.warn('{path}')",
    "strided": "x = torch.as_strided(x, [1], [1], 1 << 40)",
    "resize": "x = x.resize_([1 << 40])",
    "seed": "torch.manual_seed(3)",
    "file reader": "x = x + torch.ops.image.read_file('{path}').sum()",
}
PLACES = {
    "forward": "    def forward(self, x: torch.Tensor):\n        {call}\n        return x\n",
    "a branch of a loop": (
        "    def forward(self, x: torch.Tensor):\n        for i in range(x.shape[0]):\n"
        "            if i > 7:\n                {call}\n        return x\n"
    ),
    "another method": (
        "    def forward(self, x: torch.Tensor):\n        return x\n"
        "    @torch.jit.export\n    def other(self, x: torch.Tensor):\n        {call}\n"
        "        return x\n"
    ),
    "a method that is called": (
        "    def forward(self, x: torch.Tensor):\n        return self.inner(x)\n"
        "    def inner(self, x: torch.Tensor):\n        {call}\n        return x\n"
    ),
}


@pytest.fixture(autouse=True)
def loaded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``tests/models/test_trial.py`` looks at would take seconds for each file."""
    monkeypatch.setattr(archive, "require_harmless", lambda *_: None)
    monkeypatch.setattr(archive, "remember", lambda _: None)


def scripted(source: str, folder: Path) -> torch.jit.ScriptModule:
    """A module of a class body; TorchScript wants the source in a file."""
    head = "import warnings\nimport torch\n\n\nclass Made(torch.nn.Module):\n"
    (folder / "source.py").write_text(head + source)
    names: dict = {"__name__": "source"}
    exec(compile((folder / "source.py").read_text(), folder / "source.py", "exec"), names)
    linecache.checkcache()
    return torch.jit.script(names["Made"]())


def write(network: torch.jit.ScriptModule, path: Path) -> Path:
    torch.jit.save(network, path, _extra_files={archive.METADATA: to_json(INFO)})
    return path


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_operators(kind: str, place: str, tmp_path: Path) -> None:
    call = HOSTILE[kind].format(path=tmp_path / "made")
    try:
        network = scripted(PLACES[place].replace("{call}", call), tmp_path)
    except (RuntimeError, AttributeError) as error:
        pytest.skip(f"no TorchScript: {str(error).splitlines()[0]}")
    path = write(network, tmp_path / "model.pt")
    with pytest.raises(ModelError, match=rf"model\.pt uses .*::.*{VARIABLE}=1") as error:
        archive.load_archive(path)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "made").exists()


RESTORED = """
    def forward(self, x: torch.Tensor):
        return x

    @torch.jit.export
    def __getstate__(self):
        return (1, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]):
        self.training = torch.from_file('{path}', True, 16).numel() > 0
"""


def test_code_that_runs_while_a_file_is_loaded(tmp_path: Path) -> None:
    network = scripted(RESTORED.replace("{path}", str(tmp_path / "made")), tmp_path)
    path = write(network, tmp_path / "model.pt")
    with pytest.raises(ModelError, match=r"model\.pt runs code while it is loaded"):
        archive.load_archive(path)
    assert not (tmp_path / "made").exists()
    torch.jit.load(path)  # as it does unless the file is looked at first
    assert (tmp_path / "made").exists()


def plain(folder: Path) -> Path:
    network = scripted("    def forward(self, x: torch.Tensor):\n        return x + 1\n", folder)
    return write(torch.jit.freeze(network.eval()), folder / "plain.pt")


def rewritten(
    path: Path, change: Callable[[str, bytes], bytes], more: dict[str, bytes] | None = None
) -> Path:
    """The archive with its parts changed, and others besides."""
    data = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(data) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, content in (more or {}).items():
            new.writestr(f"{old.namelist()[0].split('/')[0]}/{name}", content)
    return path


@pytest.mark.parametrize(
    "asked",
    ["posix\nsystem", "__torch__.torch\nclasses.torchvision.Video", "torch.jit\nload", "a\nb"],
)
def test_pickles_that_ask_for_others(asked: str, tmp_path: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        return b"\x80\x02c" + asked.encode() + b"\n)R." if name.endswith("data.pkl") else data

    path = rewritten(plain(tmp_path), change)
    with pytest.raises(ModelError, match=r"plain\.pt asks for .*, which is no tensor"):
        archive.load_archive(path)


def test_files_that_unfold_to_far_more(tmp_path: Path) -> None:
    path = rewritten(plain(tmp_path), lambda _, data: data, {"data/9": bytes(100 << 20)})
    with pytest.raises(ModelError, match=r"plain\.pt: .*unfold to much more"):
        archive.load_archive(path)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_files(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    path = plain(tmp_path)
    data = bytearray(path.read_bytes())
    for _ in range(draw.randint(1, 30)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path.write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])
    said = ""
    try:
        archive.load_archive(path)
    except ModelError as error:
        said = str(error)
    assert said == "" or ("plain.pt" in said and len(said.splitlines()) == 1)


def test_trusted_files_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "    def forward(self, x: torch.Tensor):\n        return x.sin()\n"
    path = write(scripted(source, tmp_path), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="uses aten::sin"):
        archive.load_archive(path)
    monkeypatch.setenv(VARIABLE, "1")
    assert archive.load_archive(path)[0](torch.zeros(1)).item() == 0
