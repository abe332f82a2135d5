"""Write beside, then rename: exceptions, kills and full disks leave nothing that looks done."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pyogrio.errors import DataSourceError, FieldError

from geolulc.errors import OutputError
from geolulc.ownership import ANY, kind_of
from geolulc.staging import claimed, explained, require_free, staged


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
        staged([tmp_path / "main.txt"], overwrite=ANY) as (main,),
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
    journal = synced.pop(3)
    assert synced == [path.stat().st_ino for path in expected]
    assert journal not in synced
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
    linking = os.link

    def link(path: Path, target: Path) -> None:
        if target.name == "main.txt":
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        linking(path, target)

    monkeypatch.setattr(os, "link", link)
    with (
        pytest.raises(OutputError, match="Disk quota exceeded"),
        staged([tmp_path / "side.txt", tmp_path / "main.txt"]) as (side, main),
    ):
        side.write_text("s")
        main.write_text("m")
    assert names(tmp_path) == []


def test_folders_are_replaced_whole(tmp_path: Path) -> None:
    old = tmp_path / "a.store"
    for content in ("stale", "fresh"):
        with staged([old], overwrite=ANY, kind="store") as (new,):
            new.mkdir()
            (new / content).write_text("")
    assert names(old) == [".geolulc.json", "fresh"]
    assert kind_of(old) == "store"


def test_what_exists_is_not_overwritten_without_asking(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match=r"a: found it exists; .* --overwrite"):
        require_free([tmp_path / "a"], overwrite=False)
    require_free([tmp_path / "a"], overwrite=ANY)


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


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (FieldError("no such column"), False),
        (DataSourceError("sqlite3_exec failed: database or disk is full"), True),
    ],
)
def test_only_a_full_disk_needs_space(tmp_path: Path, error: Exception, full: bool) -> None:
    with pytest.raises(OutputError, match="nothing incomplete") as caught, staged([tmp_path / "a"]):
        raise error
    assert ("Free some space" in str(caught.value)) == full
    assert list(tmp_path.iterdir()) == []


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


#: Writes a set, or replaces one; is killed before the n-th change of a name on the disk.
KILLED = """
import os, signal, sys
from pathlib import Path
from geolulc.staging import staged
folder, left = Path(sys.argv[1]), int(sys.argv[2])
sides = [folder / name for name in sys.argv[3].split(",")]
old = [folder / name for name in sys.argv[4].split(",") if name]
def count(event, _):
    global left
    if event in ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
with staged([*sides, folder / "main"], overwrite=2 * bool(old), superseded=old) as paths:
    for path in paths:
        path.write_text("new")
    sys.addaudithook(count)
"""


@pytest.mark.parametrize("old", ["", "gone,side"], ids=["nothing", "a set"])
def test_killed_at_any_step_there_is_the_old_set_or_the_new_one(tmp_path: Path, old: str) -> None:
    before = {
        **{name: "old" for name in old.split(",") if name},
        **({"main": "old"} if old else {}),
    }
    seen = set()
    for step in range(60):
        folder = tmp_path / str(step)
        folder.mkdir()
        for name, content in before.items():
            (folder / name).write_text(content)
        arguments = [str(folder), str(step), "more,side", old]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
        after = dict.fromkeys(("main", "more", "side"), "new")
        if (folder / "main").exists():  # whoever sees it sees a whole set
            there = {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}
            assert there in (before, after)
        require_free([folder / "main"], overwrite=ANY)
        there = {p.name: p.read_text() for p in folder.iterdir()}
        assert there in (before, after)
        seen.add(there.get("main"))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert done.returncode == 0
    assert seen == {before.get("main"), "new"}


def test_a_stale_leftover_takes_no_finished_files(tmp_path: Path) -> None:
    """Its files were made anew since: they have the names, but are others."""
    folder = tmp_path / "run"
    folder.mkdir()
    for step in range(60):
        subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(step), "side", ""], check=False
        )
        if (folder / "side").exists():
            break
        shutil.rmtree(folder)
        folder.mkdir()
    assert not (folder / "main").exists()
    (folder / "side").unlink()
    for name in ("side", "main"):
        (folder / name).write_text("finished")
    with pytest.raises(OutputError, match="it exists"):
        require_free([folder / "side", folder / "main"], overwrite=False)
    assert {p.name: p.read_text() for p in folder.iterdir()} == {
        "side": "finished",
        "main": "finished",
    }


def test_leftovers_of_others_are_left_alone(tmp_path: Path) -> None:
    link = tmp_path / f".a.partial-abcdefgh-{os.uname().nodename}-999999"
    (tmp_path / "precious").mkdir()
    link.symlink_to(tmp_path / "precious")
    (tmp_path / f".a.partial-notes-{os.uname().nodename}-999999").mkdir()
    require_free([tmp_path / "a"], overwrite=False)
    assert len(names(tmp_path)) == 3


class TestFolders:
    @pytest.mark.parametrize("link", [False, True])
    def test_of_others_are_never_removed(self, tmp_path: Path, link: bool) -> None:
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "config.toml").write_text("")
        (precious / "photo.jpg").write_text("")
        target = tmp_path / "a"
        target.symlink_to(precious) if link else precious.rename(target)
        for kind in ("", "run"):
            with pytest.raises(OutputError, match="geolulc removes no folder of others"):
                require_free([target], overwrite=ANY, kind=kind)
        assert names(target) == ["config.toml", "photo.jpg"]

    def test_are_not_replaced_by_a_file(self, tmp_path: Path) -> None:
        with staged([tmp_path / "a"], kind="report") as (report,):
            report.mkdir()
            (report / "report.md").touch()
        with (
            pytest.raises(OutputError, match="a folder where a file is to be written"),
            staged([tmp_path / "a"], overwrite=ANY) as (file,),
        ):
            file.write_text("x")
        assert names(tmp_path / "a") == [".geolulc.json", "report.md"]
        assert names(tmp_path) == ["a"]

    def test_are_replaced_by_their_kind_only(self, tmp_path: Path) -> None:
        with staged([tmp_path / "a"], kind="store") as (store,):
            store.mkdir()
        require_free([tmp_path / "a"], overwrite=ANY, kind="store")
        with pytest.raises(OutputError, match="something that is no report"):
            require_free([tmp_path / "a"], overwrite=ANY, kind="report")

    @pytest.mark.parametrize(
        ("kind", "contents"),
        [
            ("report", ["evaluation.json", "report.md", "worst.png"]),
            ("store", ["manifest.json", "index.parquet", "shard-00000"]),
            ("experiment", ["manifest.json", "runs"]),
            (
                "experiment",
                [
                    "manifest.json",
                    "runs",
                    "subsets",
                    "report.md",
                    "runs.csv",
                    "classes.csv",
                    "runs.json",
                    "matrix_ap_macro_mask+prior.png",
                ],
            ),
            ("run", ["config.toml", "model.safetensors", "history.csv", "class_ap.png"]),
        ],
    )
    def test_of_before_the_marker_are_known_by_their_contents(
        self, tmp_path: Path, kind: str, contents: list[str]
    ) -> None:
        for name in contents:
            (tmp_path / name).touch()
        assert kind_of(tmp_path) == kind
        (tmp_path / "thesis.txt").touch()
        assert kind_of(tmp_path) is None

    @pytest.mark.parametrize(
        "marker", ["", "[]", "{}", '{"kind": "run", "version": 9}', "[" * 9999]
    )
    def test_with_a_marker_that_says_nothing(self, tmp_path: Path, marker: str) -> None:
        (tmp_path / ".geolulc.json").write_text(marker)
        assert kind_of(tmp_path) is None

    def test_that_are_empty_are_free(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        require_free([tmp_path / "a"], overwrite=ANY, kind="run")


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(OutputError, match="full: found neither a file nor a folder"):
        require_free([Path("/dev/full")], overwrite=ANY)


@pytest.mark.parametrize("name", ["k" * 235, "k" * 300, "é" * 120])
def test_names_too_long_once_something_is_added(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="Give a shorter name"):
        require_free([tmp_path / f"{name}.tif"], overwrite=False)


def test_the_second_run_to_end_does_not_replace_the_first(tmp_path: Path) -> None:
    paths = [tmp_path / "side", tmp_path / "main"]
    with (
        pytest.raises(OutputError, match="side: found it exists: it came while this run was"),
        staged(paths) as second,
    ):
        with staged(paths) as first:
            for path in first:
                path.write_text("first")
        for path in second:
            path.write_text("second")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"side": "first", "main": "first"}


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    for overwrite in (0, ANY):
        with staged([tmp_path / "a", tmp_path / "b"], overwrite=overwrite) as paths:
            for path in paths:
                path.write_text(str(overwrite))
    with (
        pytest.raises(OutputError, match="it came while this run was at work"),
        staged([tmp_path / "c"]) as (late,),
    ):
        late.write_text("")
        (tmp_path / "c").write_text("first")
    assert [p.read_text() for p in sorted(tmp_path.iterdir())] == ["2", "2", "first"]


def test_what_is_superseded_goes_when_the_new_set_comes(tmp_path: Path) -> None:
    for name in ("a.html", "a.tif"):
        (tmp_path / name).write_text("old")
    with staged([tmp_path / "a.tif"], overwrite=ANY, superseded=[tmp_path / "a.html"]) as (new,):
        new.write_text("new")
        assert names(tmp_path)[-2:] == ["a.html", "a.tif"]
    assert names(tmp_path) == ["a.tif"]


def test_one_run_an_output(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with claimed(path):
        with pytest.raises(OutputError, match="another run at work on it"), claimed(path):
            pass
        assert names(tmp_path) == [".a.lock"]
    with claimed(path), claimed(tmp_path / "b"):
        pass
    assert names(tmp_path) == []
    (tmp_path / ".a.lock").touch()  # of a run that was killed
    with claimed(path):
        pass
    assert names(tmp_path) == []


def test_a_library_that_finds_the_disk_full(tmp_path: Path) -> None:
    import sqlite3

    with pytest.raises(OutputError, match="OperationalError: database or disk is full"):  # noqa: SIM117
        with explained(tmp_path):
            raise sqlite3.OperationalError("database or disk is full")
    with pytest.raises(KeyError), explained(tmp_path):
        raise KeyError("a bug stays one")


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_folder_without_a_name_of_its_own_is_no_output(place: str) -> None:
    for ask in (claimed(Path(place)), staged([Path(place)])):
        with pytest.raises(OutputError, match="without a name of its own"), ask:
            raise AssertionError("begun")
