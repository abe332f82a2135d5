"""Write beside, then rename: no reader ever sees a half-written file or folder.

Files of an object store are made in a work folder in the same way, and then uploaded
(``delivery``).

Work goes into a hidden ``.NAME.partial-…`` folder beside the target (the same file system, so
that the last step is a rename). A crash leaves at most such a folder; the next run of the same
output removes it, and first brings back the files that a crash between two renames left there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import socket
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from geolulc.delivery import deliver, is_delivered, place_of, present
from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.ownership import ANY, OWN, mark, require_replaceable, require_unread
from geolulc.publishing import already_there, publish, settle, sync

_MARK: Final = ".partial-"
#: "s3://bucket/maps", of which a path keeps one slash, and GDAL's "/vsis3/bucket/maps".
_ELSEWHERE: Final = re.compile(r"[A-Za-z][\w+.-]+:/|/vsi\w+/")
#: In the hidden folder: how files are made.
_PROBE: Final = ".probe"
#: Libraries whose errors are no OSError where they cannot write.
_WRITERS: Final = {"pyarrow", "pyogrio", "rasterio", "safetensors", "safetensors_rust", "sqlite3"}
_NO_ROOM: Final = "Free some space or give another path; nothing incomplete was left behind."
_NOT_ROOM: Final = "Give another path, or another format; nothing incomplete was left behind."
_FULL: Final = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
#: What libraries say of them.
_SAID: Final = re.compile(
    r"os error (27|28|122)\b|no space left|file too large|quota|disk (is )?full", re.IGNORECASE
)
#: Bytes that are written to see whether there is room.
_TRIAL: Final = 1 << 20


def require_file_system(path: Path | str) -> None:
    """``OutputError`` if ``path`` is in an object store, or another place that cannot rename.

    A half-written map must never look like a whole one.
    """
    if _ELSEWHERE.match(str(path)):
        raise OutputError(
            path,
            found="a place that is no file system",
            expected="a local or mounted folder",
            remedy="Write into a folder and copy it there; maps and tables may go to s3://….",
        )


def require_free(paths: Sequence[Path], *, overwrite: int, kind: str = "") -> None:
    """``OutputError`` if one of ``paths`` cannot be written: asked before any work is done.

    What a run left that was killed while it wrote the same paths goes first. Nothing is replaced
    that the run reads (``ownership.reading``). With ``overwrite`` 1 only what geolulc wrote is
    replaced, with 2 any file; a folder only if geolulc made it, as ``kind`` where that is given.
    """
    for path in paths:
        require_file_system(path)
        require_named(path)
        _require_short(path)
    if paths:
        remove_leftovers([Path(path) for path in paths])
        require_unread(paths)
    _require_replaceable(paths, overwrite, kind)
    for path in paths:
        with explained(path):
            _require_folder(path)


def _require_replaceable(paths: Sequence[Path], overwrite: int, kind: str) -> None:
    """``OutputError`` if what is there of ``paths`` may not be replaced."""
    there = {}
    for path in paths:
        with explained(path):
            if not is_delivered(path, paths[-1]):
                there[path] = present(path, contents=overwrite == OWN, folder=bool(kind))
    found = [path for path in there.values() if path is not None]
    for path in found:
        with explained(path):
            require_replaceable(path, overwrite, kind, found)


def require_folder(out: Path, name: str, what: str) -> None:
    """Refuse, before any work, an ``out`` that cannot become the folder of ``what``.

    ``name``: of a file that will be written there.
    """
    if out.suffix.lower() in (".tif", ".tiff") or out.is_file():
        raise ParameterError(
            f"output {out}",
            found=f"a file for {what}",
            expected="a folder, which gets a file of each",
            remedy=f"Give {out.with_suffix('')}, say.",
        )
    require_free([out / name if out.is_dir() else out], overwrite=ANY)


def _require_folder(path: Path) -> None:
    parent = path.parent
    if not parent.is_dir():
        found, remedy = f"no folder {parent}", "Create the folder or give another path."
    elif not os.access(parent, os.W_OK | os.X_OK) or _is_read_only(parent):
        found = f"the folder {parent} is read-only"
        remedy = "Change its permissions or give another path."
    else:
        return
    raise OutputError(path, found=found, expected="a folder to write into", remedy=remedy)


def require_named(path: Path) -> None:
    """``OutputError`` for the folder one is in, the one above, or the root: they have no name."""
    if path.name in ("", ".."):
        raise OutputError(
            path,
            found="a folder that is there, without a name of its own",
            expected="the name of a new file or folder",
            remedy="Add a name to the path.",
        )


def _require_short(path: Path) -> None:
    """Also with what is added to the name while the file is written."""
    folder = path.with_name(_hidden(path.name) + "x" * 8 + f"-{this_process()}")
    try:
        (folder / path.name).lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OutputError(
                path,
                found=f"a name of {len(os.fsencode(path.name))} bytes",
                expected="some 50 fewer than the file system takes, as writing adds to it",
                remedy="Give a shorter name.",
            ) from error


def _is_read_only(folder: Path) -> bool:
    # root passes os.access everywhere: look at the mode and the file system too
    flags = os.statvfs(folder).f_flag
    return bool(flags & os.ST_RDONLY) or not folder.stat().st_mode & 0o222


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold the output ``path`` for one run, from before its work to its end.

    Raises:
        OutputError: another run has it, on this machine or another one that shares the folder; or
            the path has no name.
    """
    require_named(path)
    _require_folder(path)
    lock = path.with_name(f".{path.name}.lock")
    with explained(path):
        handle = _lock(lock)
    if handle is None:
        raise OutputError(
            path,
            found="another run at work on it",
            expected="one run an output",
            remedy="Wait until it ends, or give another path.",
        )
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _lock(path: Path) -> int | None:
    """A handle of the locked file, None where another process has locked it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:  # a file system without locks
            return handle
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)  # the run that had it removed the file in between


@contextlib.contextmanager
def staged(
    paths: Sequence[Path],
    *,
    overwrite: int = 0,
    kind: str = "",
    superseded: Collection[Path] = (),
) -> Iterator[tuple[Path, ...]]:
    """Temporary paths for files or folders that appear together, under their names, at the end.

    The last of ``paths`` is the one whose presence says that all are complete: where it is
    replaced, the old one goes first and the new one comes last. Killed in between, the next run
    finds the old ones and brings them back. Files get the permissions that the process gives new
    files, whatever the library that wrote them chose.

    Args:
        paths: the final paths, all in one folder.
        overwrite: 1 to replace what geolulc wrote, 2 for any file; else what has come since is an
            error at the end too.
        kind: what folders among them are, for their marker: only such a folder is replaced.
        superseded: old files, in the same folder, that go when the new ones come, in any case.

    Yields:
        One path for each of ``paths``, with the same name, in a hidden folder beside them.

    Raises:
        OutputError: a path exists (without ``overwrite``), is a folder that geolulc did not make,
            its folder is missing or read-only, or the disk is full.
    """
    targets = [Path(p) for p in paths]
    require_free(targets, overwrite=overwrite, kind=kind)
    require_unread(superseded)
    parent = targets[0].parent
    if any(t.parent != parent for t in [*targets, *superseded]):
        raise ValueError("staged paths must share one folder")
    with explained(targets[-1]):
        folder = Path(
            tempfile.mkdtemp(
                prefix=_hidden(targets[-1].name), suffix=f"-{this_process()}", dir=parent
            )
        )
    try:
        with explained(targets[-1]):  # while what fills the disk is there
            yield tuple(folder / t.name for t in targets)
            _complete(folder, targets, kind)
            if overwrite or place_of(targets[-1]):  # others may have come since
                _require_replaceable(targets, overwrite, kind)
            # in a work folder lies at most what could not be uploaded
            again = overwrite or place_of(targets[-1])
            publish(folder, targets, [*(targets if again else ()), *superseded])
            deliver(targets, superseded)
    except OutputError as error:
        if not error.subject.startswith(f"{folder}{os.sep}"):
            raise
        found, expected = error.found, error.expected
        raise OutputError(
            targets[-1], found=found, expected=expected, remedy=error.remedy
        ) from error
    finally:
        settle(folder)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; replaces what is there."""
    with staged([path], overwrite=ANY) as (partial,):
        partial.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def explained(path: Path, remedy: str = _NO_ROOM) -> Iterator[None]:
    """What the system, or a library that writes files, says of a full disk, as ``OutputError``.

    ``remedy``: of a full disk; what else keeps a file from being written is told without it.
    """
    try:
        yield
    except GeolulcError:
        raise
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        known = library in _WRITERS and not isinstance(error, ValueError | TypeError)
        if not known and not isinstance(error, OSError):
            raise
        reason = error.strerror if isinstance(error, OSError) else None
        words = f"{type(error).__name__}: {error}"
        raise OutputError(
            path,
            found=reason or words,
            expected="to write the whole output",
            remedy=remedy if _is_full(path.parent, error) else _NOT_ROOM,
        ) from error


def _is_full(folder: Path, error: Exception) -> bool:
    """Whether ``error`` is for want of space: SQLite and GDAL often say something else then."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    if _SAID.search(str(error)):
        return True
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(_TRIAL))
    except OSError as failed:
        return failed.errno in _FULL
    return False


def _complete(folder: Path, targets: Sequence[Path], kind: str) -> None:
    """Have what was written on the disk, with the usual permissions; folders with their marker."""
    probe = folder / _PROBE  # as the umask says; safetensors keeps its files to their owner
    probe.touch()
    usual = stat.S_IMODE(probe.stat().st_mode)
    for target in targets:
        written = folder / target.name
        if written.is_dir() and kind:
            mark(written, kind)
        if target.is_dir() and not written.is_dir():
            raise already_there(target, "a folder where a file is to be written")
        for path in [*written.rglob("*"), written] if written.is_dir() else [written]:
            if path.is_file() and stat.S_IMODE(path.stat().st_mode) != usual:
                path.chmod(usual)
            sync(path)


def this_process() -> str:
    """What names this process in the folders that it works in: "host-pid"."""
    return f"{socket.gethostname()}-{os.getpid()}"


def _hidden(name: str) -> str:
    return f".{name}{_MARK}"


def remove_leftovers(targets: Sequence[Path], gone: Sequence[str] = ()) -> None:
    """Remove the hidden folders of runs that were killed while they wrote ``targets``.

    A run was killed if its process ran on this host and does not run any more, or if its process
    ("host-pid", on any host) is among ``gone``. What such a run had published goes, and the files
    that it was to replace come back, unless the last one, which says that all are complete, has
    its name.
    """
    last = targets[-1]
    pattern = re.compile(re.escape(_hidden(last.name)) + r"\w{8}-(.+)-(\d+)")
    for leftover in last.parent.glob(".*"):
        found = pattern.fullmatch(leftover.name)
        if found is None or leftover.is_symlink() or leftover.stat().st_uid != os.geteuid():
            continue  # another user's could name any file as one that it has published
        here = found[1] == socket.gethostname()
        if f"{found[1]}-{found[2]}" in gone or (here and not is_alive(int(found[2]))):
            settle(leftover)


def is_alive(pid: int) -> bool:
    """Whether a process of this host runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
