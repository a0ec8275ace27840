"""Models of the Hugging Face Hub: ``hf://owner/name``, ``hf://owner/name@revision``.

What is fetched first is written down, the commit and the file's SHA-256, and from then on this and
nothing else is taken, without asking the network: who can push to a repository cannot change what
runs here. Another commit is taken where it is named. Files lie in huggingface_hub's cache.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pcsc_d2.utils.cache import cache_folder
from pcsc_d2.utils.extras import missing_package
from pcsc_d2.utils.files import file_digest, write_json
from pcsc_d2.utils.parsing import reading
from pcsc_d2.utils.text import one_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

SCHEME = "hf://"
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_SUFFIXES = (".pt", ".onnx")
_COMMIT, _DIGEST = re.compile(r"[0-9a-f]{40}"), re.compile(r"(?:[0-9a-f]{64})?")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository as it was when it was first fetched.

    Attributes:
        commit: 40 digits.
        name: in the repository.
        sha256: of its content; empty where nobody has told.
    """

    commit: str
    name: str
    sha256: str

    def __post_init__(self) -> None:
        fine = _COMMIT.fullmatch(self.commit) and _DIGEST.fullmatch(self.sha256)
        if not fine or Path(self.name).name != self.name:
            raise ValueError(f"{self} cannot be")


def hub_model(address: str) -> Path:
    """The model's file, fetched where it is not there yet.

    Raises:
        ValueError: no such address, nothing there, no network and not fetched before, another
            content than it had, or huggingface_hub is not installed; one line.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"{address}: expected hf://owner/name or hf://owner/name@revision")
    hub, known = _hub(address), _pins().get(address)
    with _one_line(address):
        wanted = known or _look_up(hub, match[1], match[2])
        path = _fetch(hub, match[1], wanted)
    digest = file_digest(path)
    if wanted.sha256 not in ("", digest):
        raise ValueError(
            f"{address}: {wanted.name} is not what it was (sha256 {digest[:12]}, expected "
            f"{wanted.sha256[:12]}): remove {path}, which is fetched again then"
        )
    if known is None:
        pins = _pins() | {address: replace(wanted, sha256=digest)}
        write_json(_pin_file(), {address: asdict(pin) for address, pin in pins.items()})
        logger.warning(
            "%s: commit %s, sha256 %s, which is taken from now on", address, wanted.commit, digest
        )
    return path


def _hub(needed_by: str) -> HfApi:
    """The Hub, or what HF_ENDPOINT names in its place; ValueError where its library is missing."""
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise ValueError(missing_package(error, needed_by, "hub") or error) from None
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


@contextmanager
def _one_line(address: str) -> Iterator[None]:
    """Errors, which come from the library, its transport or the system, as one line."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(address):
            raise
        raise ValueError(f"{address}: {one_line(error)}") from None
    except Exception as error:
        reason = one_line(error) or type(error).__name__
        raise ValueError(f"{address}: cannot be fetched ({reason})") from None


def _look_up(hub: HfApi, repository: str, revision: str | None) -> HubFile:
    """Commit and name of the model's file; the Hub tells the digest of large files only."""
    about = hub.model_info(repository, revision=revision, files_metadata=True)
    models = [f for f in about.siblings or [] if f.rfilename.endswith(_SUFFIXES)]
    if len(models) != 1:
        names = ", ".join(f.rfilename for f in models) or "none"
        raise ValueError(f"expected one file {' or '.join(_SUFFIXES)} there, found {names}")
    [model] = models
    return HubFile(about.sha, model.rfilename, (model.lfs or {}).get("sha256") or "")


def _fetch(hub: HfApi, repository: str, wanted: HubFile) -> Path:
    about = {"repo_id": repository, "filename": wanted.name, "revision": wanted.commit}
    with suppress(Exception):  # not there, or not whole: the next line fetches it
        return Path(hub.hf_hub_download(**about, local_files_only=True))
    return Path(hub.hf_hub_download(**about))


def _pin_file() -> Path:
    return cache_folder("hub") / "pins.json"


def _pins() -> dict[str, HubFile]:
    """Address -> file; what this program has not written is passed over."""
    try:
        with reading(_pin_file(), "pins"):
            content = json.loads(_pin_file().read_text(encoding="utf-8"))
            return {address: HubFile(**about) for address, about in content.items()}
    except FileNotFoundError:
        return {}


def push_model(
    file: Path, repository: str, card: str, private: bool = False, message: str = ""
) -> str:
    """Put a model and its card into a repository, in one commit.

    Args:
        file: ``.pt`` or ``.onnx``.
        repository: ``owner/name``; it is made where it is not there.
        card: the text of its README.md.
        private: whether a new repository is.
        message: of the commit.

    Returns:
        The address with the commit.

    Raises:
        ValueError: no such name, not logged in, or the Hub refuses it; one line.
    """
    address = f"{SCHEME}{repository}"
    if _ADDRESS.fullmatch(address) is None:
        raise ValueError(f"{repository}: expected owner/name")
    hub = _hub("pcsc models push")
    from huggingface_hub import CommitOperationAdd

    parts = {f"model{file.suffix}": str(file), "README.md": card.encode()}
    with _one_line(address):
        hub.create_repo(repository, private=private, exist_ok=True)
        made = hub.create_commit(
            repository,
            [CommitOperationAdd(name, content) for name, content in parts.items()],
            commit_message=message or f"{file.name} by pcsc models push",
        )
    return f"{address}@{made.oid}"
