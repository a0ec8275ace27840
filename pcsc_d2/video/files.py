"""What a video is on disk: a file by its suffix, or a folder of frames."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", "")


def find_video(folder: Path, name: str) -> Path | None:
    """The file or folder of frames of a video, whatever its suffix.

    Raises:
        ValueError: a name that leaves the folder, as a hostile annotation file could hold.
    """
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ValueError(f"the annotated video '{name}' leaves {folder}; fetch the file again")
    for suffix in VIDEO_SUFFIXES:
        # with_suffix would cut names that hold a dot.
        path = folder / f"{name}{suffix}"
        if path.exists():
            return path
    return None


def video_name(path: Path) -> str:
    """``<class>/<name>`` of a video file or folder of frames."""
    name = path.name if path.suffix.lower() not in VIDEO_SUFFIXES[:-1] else path.stem
    return f"{path.parent.name}/{name}"
