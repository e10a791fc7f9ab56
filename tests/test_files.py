"""Files are replaced whole or not at all, and only regular files are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grs_evo.errors import StorageError
from grs_evo.files import is_folder, is_there, open_plain, read_file, sync_to_disk, write_whole


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def refuse() -> None:
        raise StorageError("not yours")

    with pytest.raises(StorageError, match="not yours"):
        write_whole(path, b"new", refuse)
    monkeypatch.setattr("grs_evo.files._holds", lambda *_: False)
    with pytest.raises(StorageError, match="other bytes than were written"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StorageError, match="cannot be written"):
        write_whole(tmp_path / "none" / "file", b"new")


def test_regular_files_alone_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    (tmp_path / "link").symlink_to(path)
    assert read_file(path) == read_file(tmp_path / "link") == b"content"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name, kind in (("pipe", OSError), ("endless", OSError), (".", IsADirectoryError), ("no", FileNotFoundError)):
        with pytest.raises(kind):
            read_file(tmp_path / name)
    os.close(open_plain(tmp_path / "new", os.O_RDWR | os.O_CREAT))
    assert read_file(tmp_path / "new") == b""


def test_what_cannot_be_asked_for_is_not_there(tmp_path: Path) -> None:
    long = tmp_path / ("n" * 300)
    for path in (long, long / "a", Path("a\0b"), tmp_path / "no"):
        assert not is_folder(path)
        assert not is_there(path)
    assert is_folder(tmp_path)
    assert is_there(tmp_path)


def test_files_and_folders_are_flushed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sync_to_disk(tmp_path / "file")
    sync_to_disk(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_to_disk(tmp_path / "no")
