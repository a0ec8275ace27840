"""``hf://owner/name``, with the real library, against a hub on this machine."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from pcsc_d2.cli import main
from pcsc_d2.model_zoo.hub import HubFile, hub_model, push_model
from pcsc_d2.model_zoo.models import model_files

FIRST, SECOND = "1" * 40, "2" * 40


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Hub:
    """A hub with one repository, o/m.

    Attributes:
        commits: commit -> file -> content.
        head: the commit that "main" names.
        told: the digest that it tells of every file, in place of the true one.
        asked: paths that were asked for.
    """

    commits: dict[str, dict[str, bytes]]
    head: str = FIRST
    told: str = ""
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(handler.path.partition("?")[0])
        self.asked.append(path)
        if self.down:
            handler.close_connection = True
            handler.connection.close()
        elif path.startswith("/api/models/o/m"):
            self._info(handler, path.rpartition("/")[2])
        elif path.startswith("/o/m/resolve/"):
            commit, _, name = path.removeprefix("/o/m/resolve/").partition("/")
            self._file(handler, commit, self.commits[commit][name])
        else:
            handler.send_response(404)
            handler.send_header("X-Error-Code", "RepoNotFound")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

    def _info(self, handler: BaseHTTPRequestHandler, revision: str) -> None:
        commit = revision if revision in self.commits else self.head
        siblings = [
            {"rfilename": name, "size": len(content), "lfs": self._lfs(content)}
            for name, content in self.commits[commit].items()
        ]
        about = {"id": "o/m", "modelId": "o/m", "sha": commit, "siblings": siblings}
        about |= {"private": False, "tags": [], "downloads": 0, "likes": 0}
        body = json.dumps(about).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _lfs(self, content: bytes) -> dict[str, object]:
        told = self.told or digest(content)
        return {"sha256": told, "size": len(content), "pointerSize": 130}

    def _file(self, handler: BaseHTTPRequestHandler, commit: str, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("X-Repo-Commit", commit)
        handler.send_header("ETag", f'"{digest(content)}"')
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    constants = pytest.importorskip("huggingface_hub.constants")
    here = Hub({FIRST: {"model.pt": b"first", "README.md": b"#"}, SECOND: {"model.pt": b"other"}})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            here.answer(self)

        def do_HEAD(self) -> None:
            here.answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    yield here
    server.shutdown()
    server.server_close()


def test_the_first_commit_is_kept_and_needs_no_network_again(hub: Hub, tmp_path: Path) -> None:
    path = hub_model("hf://o/m")
    assert (path.name, path.read_bytes()) == ("model.pt", b"first")
    pins = json.loads((tmp_path / "cache" / "hub" / "pins.json").read_text())
    assert pins == {"hf://o/m": {"commit": FIRST, "name": "model.pt", "sha256": digest(b"first")}}
    hub.head, hub.down, asked = SECOND, True, len(hub.asked)
    assert model_files(["hf://o/m"]) == [path]
    assert not [path for path in hub.asked[asked:] if "o/m" in path]
    hub.down = False
    assert hub_model(f"hf://o/m@{SECOND}").read_bytes() == b"other"
    assert hub_model("hf://o/m").read_bytes() == b"first"


def test_what_was_removed_is_fetched_again_as_it_was(hub: Hub) -> None:
    path = hub_model("hf://o/m")
    path.resolve().unlink()
    path.unlink()
    hub.head = SECOND
    assert hub_model("hf://o/m").read_bytes() == b"first"


def test_a_file_that_changed_is_not_taken(hub: Hub) -> None:
    path = hub_model("hf://o/m")
    path.resolve().write_bytes(b"worse")
    with pytest.raises(ValueError, match=r"hf://o/m: model.pt is not what it was .* remove "):
        hub_model("hf://o/m")


def test_a_file_that_is_not_what_the_hub_tells(hub: Hub) -> None:
    hub.told = "0" * 64
    with pytest.raises(ValueError, match=r"hf://o/m: model.pt is not what it was"):
        hub_model("hf://o/m")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b""}, "expected one file .pt or .onnx there, found none"),
        ({"a.pt": b"", "b.onnx": b""}, "found a.pt, b.onnx"),
        ({"deep/model.pt": b""}, "cannot be"),
    ],
)
def test_repositories_without_a_model(hub: Hub, files: dict[str, bytes], message: str) -> None:
    hub.commits[FIRST] = files
    with pytest.raises(ValueError, match=message) as error:
        hub_model("hf://o/m")
    assert str(error.value).startswith("hf://o/m: ")


@pytest.mark.parametrize("address", ["hf://m", "hf://o/m/x", "hf://o/m@", "hf:///m"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="expected hf://owner/name"):
        hub_model(address)


def test_what_cannot_be_reached_is_one_line(hub: Hub, tmp_path: Path, capsys) -> None:
    words = ["detect", "a.mp4", "--out", str(tmp_path / "out"), "--model"]
    assert main([*words, "hf://o/other"]) == 2
    hub.down = True
    assert main([*words, "hf://o/m"]) == 2
    one, two = capsys.readouterr().err.splitlines()
    assert one.startswith("error: hf://o/other: cannot be fetched (")
    assert two.startswith("error: hf://o/m: cannot be fetched (")


def test_without_the_library_it_is_said(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    words = ["detect", "a.mp4", "--out", str(tmp_path / "out"), "--model", "hf://o/m"]
    assert main(words) == 2
    assert "pip install 'pcsc_d2[hub]'" in capsys.readouterr().err


@pytest.mark.parametrize("planted", ["{", "[]", '{"hf://o/m": {"commit": "x"}}'])
def test_planted_pins_are_refused(tmp_path: Path, monkeypatch, planted: str) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path))
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "pins.json").write_text(planted)
    with pytest.raises(ValueError, match=r"pins\.json: cannot be read as pins"):
        hub_model("hf://o/m")


def test_a_pin_names_no_other_folder() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        HubFile(FIRST, "../model.pt", "")


def test_pushing_is_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("huggingface_hub")
    (tmp_path / "any.pt").write_bytes(b"weights")
    calls: list[tuple] = []

    class Made:
        oid = SECOND

    def commit(self: object, repository: str, operations: list, **about: str) -> Made:
        calls.append((repository, {o.path_in_repo: o.path_or_fileobj for o in operations}, about))
        return Made()

    monkeypatch.setattr(library.HfApi, "create_commit", commit)
    monkeypatch.setattr(library.HfApi, "create_repo", lambda self, name, **how: calls.append(how))
    assert push_model(tmp_path / "any.pt", "o/m", "# card", True) == f"hf://o/m@{SECOND}"
    how, (repository, files, about) = calls
    assert how == {"private": True, "exist_ok": True}
    assert (repository, files["README.md"]) == ("o/m", b"# card")
    assert files["model.pt"] == str(tmp_path / "any.pt")
    assert about == {"commit_message": "any.pt by pcsc models push"}
    with pytest.raises(ValueError, match="expected owner/name"):
        push_model(tmp_path / "any.pt", "m", "")
