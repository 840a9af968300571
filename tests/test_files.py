"""Files that are whole or not there, and a disk that takes no more."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cgd_lightning.files import told_if_full, unfinished_of, whole
from cgd_lightning.folders import whole_folder


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EACCES])
def test_a_full_disk_alone_is_told_with_its_place_and_what_is_kept(code: int) -> None:
    fault = OSError(code, os.strerror(code))
    said = re.escape(os.strerror(code))
    with pytest.raises(OSError, match=said) as told, told_if_full("D", "what is finished is kept"):
        raise fault
    if code == errno.EACCES:
        assert told.value is fault
    else:
        assert (told.value.errno, told.value.filename) == (code, "D")
        assert told.value.strerror == f"{os.strerror(code)}; what is finished is kept"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(what, path) of all that is flushed or renamed."""
    found: list[tuple[str, str]] = []
    own = {name: getattr(os, name) for name in ("fsync", "replace", "rename")}

    def fsync(handle: int) -> None:
        found.append(("flush", os.readlink(f"/proc/self/fd/{handle}")))
        own["fsync"](handle)

    def renamed(name: str) -> Callable[[Path, Path], None]:
        def rename(one: Path, other: Path) -> None:
            found.append(("rename", f"{other}"))
            own[name](one, other)

        return rename

    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, renamed(name))
    return found


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="what is flushed is read in /proc"
)


@needs_proc
def test_a_file_is_on_the_disk_before_it_has_its_name_and_then_its_folder_is(
    done: list[tuple[str, str]], tmp_path: Path
) -> None:
    path = tmp_path / "x"
    with whole(path) as file:
        file.touch()
    assert done == [
        ("flush", f"{unfinished_of(path)}"),
        ("rename", f"{path}"),
        ("flush", f"{tmp_path}"),
    ]


@needs_proc
def test_all_in_a_folder_is_on_the_disk_before_it_has_its_name_and_then_its_parent_is(
    done: list[tuple[str, str]], tmp_path: Path
) -> None:
    with whole_folder(tmp_path / "x") as folder:
        (folder / "deep").mkdir()
        files = [folder / "one", folder / "deep/two"]
        for file in files:
            file.touch()
    assert set(done[:2]) == {("flush", f"{file}") for file in files}
    assert done[2:] == [("rename", f"{tmp_path / 'x'}"), ("flush", f"{tmp_path}")]


def test_an_error_leaves_what_was_there_and_no_half(tmp_path: Path) -> None:
    def half(error: type[BaseException]) -> None:
        with whole(tmp_path / "x") as file:
            file.write_text("half")
            raise error

    (tmp_path / "x").write_text("before")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            half(error)
        assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


def test_a_link_in_the_place_of_the_half_or_the_whole_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for place in (tmp_path / "x", unfinished_of(tmp_path / "x")):
        place.symlink_to(precious)
    with whole(tmp_path / "x") as file:
        file.write_text("new")
    assert precious.read_text() == "mine"
    assert not (tmp_path / "x").is_symlink()
    assert (tmp_path / "x").read_text() == "new"
