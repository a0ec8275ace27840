"""Hostile files that hold models, settings and what is made of them."""

from __future__ import annotations

import functools
import io
import json
import random
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tests.hostile import inputs
from tests.hostile.base import CANARY, Base, Family, Work, written

METADATA = {
    "format": 3, "labels": ["a", "b"], "clip_length": 8, "min_size": 64, "max_size": 100,
    "flow_method": "dis", "flow_bound": 20.0, "link": {}, "refine": None, "device": "cpu",
}  # fmt: skip
CONFIG = """_BASE_: {base}
MODEL:
  ROI_HEADS:
    NUM_CLASSES: 4
SOLVER:
  MAX_ITER: 4
  STEPS: [2, 3]
OUTPUT_DIR: out
"""


def metadata(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    from pcsc_d2.models.metadata import from_json

    text = inputs.json_text(METADATA, rng)

    def read() -> None:
        try:
            from_json(text)
        except ValueError as error:  # the archive's reader puts the name before it
            raise ValueError(f"{folder / 'pcsc_d2.json'}: {error}") from None

    return folder / "pcsc_d2.json", read


def onnx_files(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    from pcsc_d2.models.onnx.file import load_onnx
    from pcsc_d2.runtime import COMPILERS, Engine, is_installed
    from tests.hostile import onnx_graphs

    about = json.dumps(METADATA).encode()
    about = inputs.json_text(METADATA, rng) if rng.random() < 0.3 else about
    model = onnx_graphs.good_model(about.decode("utf-8", "replace"))
    if rng.random() < 0.7:
        onnx_graphs.change(model, rng)
    data = model.SerializeToString()
    path = written(folder / "m.onnx", inputs.damaged(data, rng) if rng.random() < 0.3 else data)
    engine = Engine(rng.choice([name for name in COMPILERS if is_installed(name)]))
    return path, lambda: load_onnx(path, engine)


@functools.cache
def _exported() -> bytes:
    import torch

    from pcsc_d2.export import save_archive
    from pcsc_d2.models.info import ModelInfo
    from tests.models.test_exported import BrightBox

    network = torch.jit.freeze(torch.jit.script(BrightBox().eval()), preserved_attrs=["window"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.pt")
        save_archive(network, ModelInfo(("a", "b"), 4, 48, 200, "dis_fast"), path)
        return path.read_bytes()


def exported(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    from pcsc_d2.models.archive import load_archive

    change = rng.choice([inputs.changed_zip, inputs.damaged, _changed_code])
    path = written(folder / "m.pt", change(_exported(), rng))
    return path, lambda: load_archive(path)


def _changed_code(data: bytes, rng: random.Random) -> bytes:
    """With other code, nested without end at times, and checksums that are right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            lines = old.read(name).splitlines(keepends=True)
            if name.endswith(".py"):
                place, other = rng.randrange(len(lines)), rng.choice(lines)
                nested = lines[place].replace(b"(", b"(" * 100_000, 1)
                lines[place] = rng.choice([b"", other, other + lines[place], nested])
            new.writestr(name, b"".join(lines))
    return out.getvalue()


def checkpoints(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    import torch

    from pcsc_d2.utils.weights import load_tensors

    file = io.BytesIO()
    content = {"model": {"a.weight": torch.ones(3, 4)}, "iteration": 3, "other": [1.5, "x"]}
    torch.save(content, file, _use_new_zipfile_serialization=rng.random() < 0.8)
    data = file.getvalue()
    if rng.random() < 0.3:
        data = inputs.pickled(content | {"bomb": inputs.Bomb(CANARY)}, rng)
    elif zipfile.is_zipfile(io.BytesIO(data)) and rng.random() < 0.5:
        data = inputs.changed_zip(data, rng)
    else:
        data = inputs.damaged(data, rng)
    path = written(folder / "w.pth", data)
    return path, lambda: load_tensors(path)


def configs(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    from pcsc_d2.model_zoo import get_config, get_config_file

    lines = CONFIG.format(base=get_config_file("custom.yaml")).splitlines()
    values = (
        "!!python/object/apply:os.mkdir [ran.mp4]", "{a: 1}", "[[1]]", "&a [*a, *a]", "-1", ".nan",
        "1e400", "'x'", "~", "http://127.0.0.1:9/x.yaml", "../../../etc/passwd", "2026-01-01",
    )  # fmt: skip
    for _ in range(rng.choice([1, 2])):
        place = rng.randrange(len(lines))
        key = lines[place].split(":")[0]
        lines[place] = f"{key}: {rng.choice(values)}"
    data = "\n".join(lines).encode()
    path = written(folder / "c.yaml", inputs.damaged(data, rng) if rng.random() < 0.4 else data)
    return path, lambda: get_config(path)


def feature_maps(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    from pcsc_d2.data.feature_store import FeatureStore, fill

    store, video = FeatureStore(folder), written(folder / "a.mp4", base.videos[".mp4"])
    clip = {"flow_key": "a", "file_name": str(video), "frame_index": 1}
    import torch

    with store.create(clip, False, 2, {"c3": (2, 3, 4)}) as records:
        fill(records, [1, 2], {"c3": torch.ones(2, 2, 3, 4)}, 0)
    path = store.path(clip, False)
    data = path.read_bytes()
    if rng.random() < 0.3:
        file = io.BytesIO()
        other = rng.choice([np.zeros(3), np.zeros((2, 2), "O"), np.zeros(2, [("frame", "<i4")])])
        np.save(file, other, allow_pickle=True)
        data = file.getvalue()
    path.write_bytes(inputs.damaged(data, rng) if rng.random() < 0.8 else data)

    def read() -> None:
        if store.holds([clip], False):
            store.read(clip, False)

    return path, read


def model_families() -> dict[str, Family]:
    """Those that can be read here, by name."""
    known = [metadata, checkpoints, exported]
    known += [onnx_files] if find_spec("onnx") and find_spec("onnxruntime") else []
    known += [configs, feature_maps] if find_spec("detectron2") else []
    return {family.__name__: family for family in known}
