"""Write beside, then rename: exceptions, kills and full disks leave nothing that looks done."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from geolulc.errors import OutputError
from geolulc.staging import require_free, staged


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_files_appear_together_at_the_end(tmp_path: Path) -> None:
    with staged([tmp_path / "side.txt", tmp_path / "main.txt"]) as (side, main):
        side.write_text("s")
        main.write_text("m")
        assert "main.txt" not in names(tmp_path)
    assert names(tmp_path) == ["main.txt", "side.txt"]
    assert (tmp_path / "main.txt").read_text() == "m"


def test_an_exception_leaves_the_old_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "main.txt").write_text("old")
    with (
        pytest.raises(RuntimeError, match="half way"),
        staged([tmp_path / "main.txt"], overwrite=True) as (main,),
    ):
        main.write_text("half")
        raise RuntimeError("half way")
    assert names(tmp_path) == ["main.txt"]
    assert (tmp_path / "main.txt").read_text() == "old"


def test_neighbours_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what was written, and the folder's own names, is synced."""
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "big.tif").write_text("")
    (tmp_path / "others" / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    synced = []
    sync = os.fsync

    def recorded(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    with staged([tmp_path / "a", tmp_path / "a.store"]) as (file, store):
        file.write_text("a")
        store.mkdir()
        (store / "b").write_text("b")
    expected = [tmp_path / "a", tmp_path / "a.store" / "b", tmp_path / "a.store", tmp_path]
    assert synced == [path.stat().st_ino for path in expected]
    assert names(tmp_path) == ["a", "a.store", "broken", "others"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_files_are_for_those_whom_the_umask_allows(tmp_path: Path, umask: int, mode: int) -> None:
    """safetensors, for one, makes files that nobody else can read."""
    before = os.umask(umask)
    try:
        with staged([tmp_path / "a.store", tmp_path / "a"]) as (store, file):
            store.mkdir()
            for path in (store / "b", file):
                path.touch(mode=0o600)
    finally:
        os.umask(before)
    for path in (tmp_path / "a.store" / "b", tmp_path / "a"):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_disk_that_is_full_at_the_end_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(OutputError, match=r"main\.txt: found No space left on device"),
        staged([tmp_path / "main.txt"]) as (main,),
    ):
        main.write_text("m")
    assert names(tmp_path) == []


def test_a_rename_that_fails_takes_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renaming = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if target.name == "main.txt":
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return renaming(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with (
        pytest.raises(OutputError, match="Disk quota exceeded"),
        staged([tmp_path / "side.txt", tmp_path / "main.txt"]) as (side, main),
    ):
        side.write_text("s")
        main.write_text("m")
    assert names(tmp_path) == []


def test_folders_are_replaced_whole(tmp_path: Path) -> None:
    old = tmp_path / "a.store"
    old.mkdir()
    (old / "stale").write_text("")
    with staged([old], overwrite=True) as (new,):
        new.mkdir()
        (new / "fresh").write_text("")
    assert names(old) == ["fresh"]


def test_what_exists_is_not_overwritten_without_asking(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match=r"a: found it exists; .* --overwrite"):
        require_free([tmp_path / "a"], overwrite=False)
    require_free([tmp_path / "a"], overwrite=True)


def test_a_missing_or_read_only_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="found no folder"):
        require_free([tmp_path / "no" / "a"], overwrite=False)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="is read-only"):
        require_free([locked / "a"], overwrite=False)


def test_a_failing_write_says_so_in_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="a: found No space left on device"),
        staged([tmp_path / "a"]),
    ):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_a_killed_run_leaves_nothing_that_looks_complete_and_the_next_cleans_up(
    tmp_path: Path,
) -> None:
    script = (
        "import sys, time; from pathlib import Path; from geolulc.staging import staged\n"
        "with staged([Path(sys.argv[1]) / 'a']) as (a,):\n"
        "    a.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "a").exists()
    assert len(names(tmp_path)) == 1  # the hidden folder
    with staged([tmp_path / "a"]) as (a,):
        a.write_text("whole")
    assert names(tmp_path) == ["a"]


def test_work_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    with staged([tmp_path / "a"]) as (first,):
        first.write_text("first")
        with staged([tmp_path / "a"]) as (second,):
            second.write_text("second")
        assert first.read_text() == "first"
        (tmp_path / "a").unlink()
    assert (tmp_path / "a").read_text() == "first"


def test_killed_between_two_renames(tmp_path: Path) -> None:
    """What was published without its last file is not taken for somebody's file."""
    code = f"""
import os, signal
from pathlib import Path
from geolulc.staging import staged
rename = Path.replace
def last_breath(self, target):
    rename(self, target)
    os.kill(os.getpid(), signal.SIGKILL)
Path.replace = last_breath
folder = Path({str(tmp_path)!r})
with staged([folder / "side.txt", folder / "main.txt"]) as paths:
    for path in paths:
        path.write_text("x")
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "side.txt").exists()
    assert not (tmp_path / "main.txt").exists()
    require_free([tmp_path / "side.txt", tmp_path / "main.txt"], overwrite=False)
    assert names(tmp_path) == []
