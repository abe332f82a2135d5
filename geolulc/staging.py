"""Write beside, then rename: no reader ever sees a half-written file or folder.

Work goes into a hidden ``.NAME.partial-…`` folder beside the target (the same file system, so
that the last step is a rename). A crash leaves at most such a folder; the next run removes it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from geolulc.errors import OutputError

_MARK = ".partial-"
#: "s3://bucket/maps", of which a path keeps one slash, and GDAL's "/vsis3/bucket/maps".
_ELSEWHERE = re.compile(r"[A-Za-z][\w+.-]+:/|/vsi\w+/")
#: This file is in the hidden folder once the first rename has begun.
_PUBLISHING = ".publishing"
#: An empty file in the hidden folder: its mode is the one that the umask gives new files.
_PROBE = ".probe"


def require_file_system(path: Path) -> None:
    """``OutputError`` if ``path`` is in an object store, or another place that cannot rename.

    A half-written map must never look like a whole one.
    """
    if _ELSEWHERE.match(str(path)):
        raise OutputError(
            path,
            found="a place that is no file system",
            expected="a local or mounted folder",
            remedy="Write into a folder and copy it there: of a map, its .tif last.",
        )


def require_free(paths: Sequence[Path], *, overwrite: bool) -> None:
    """``OutputError`` if one of ``paths`` cannot be written: asked before any work is done.

    The leftovers of a killed run that wrote the same paths are removed first.
    """
    for path in paths:
        require_file_system(path)
    if paths:
        remove_leftovers([Path(path) for path in paths])
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(
                path,
                found="it exists",
                expected="a new path",
                remedy="Give another path, or --overwrite to replace it.",
            )
        parent = path.parent
        if not parent.is_dir():
            raise OutputError(
                path,
                found=f"no folder {parent}",
                expected="a folder to write into",
                remedy="Create the folder or give another path.",
            )
        if not os.access(parent, os.W_OK | os.X_OK) or _is_read_only(parent):
            raise OutputError(
                path,
                found=f"the folder {parent} is read-only",
                expected="a folder to write into",
                remedy="Change its permissions or give another path.",
            )


def _is_read_only(folder: Path) -> bool:
    # root passes os.access everywhere: look at the mode and the file system too
    flags = os.statvfs(folder).f_flag
    return bool(flags & os.ST_RDONLY) or not folder.stat().st_mode & 0o222


@contextlib.contextmanager
def staged(paths: Sequence[Path], *, overwrite: bool = False) -> Iterator[tuple[Path, ...]]:
    """Temporary paths for files or folders that appear together, under their names, at the end.

    The last of ``paths`` is the one whose presence says that all are complete: where it is
    replaced, the old one goes first and the new one comes last. Files get the permissions that the
    process gives new files, whatever the library that wrote them chose.

    Args:
        paths: the final paths, all in one folder.
        overwrite: replace what is there.

    Yields:
        One path for each of ``paths``, with the same name, in a hidden folder beside them.

    Raises:
        OutputError: a path exists (without ``overwrite``), its folder is missing or read-only,
            or the disk is full.
    """
    targets = [Path(p) for p in paths]
    require_free(targets, overwrite=overwrite)
    parent = targets[0].parent
    if any(t.parent != parent for t in targets):
        raise ValueError("staged paths must share one folder")
    name = targets[-1].name
    folder = Path(
        tempfile.mkdtemp(prefix=f".{name}{_MARK}", suffix=f"-{this_process()}", dir=parent)
    )
    try:
        try:
            yield tuple(folder / t.name for t in targets)
            _publish(folder, targets)
        except OSError as error:
            raise _as_output_error(targets[-1], error) from error
    finally:
        _retract(folder, targets)
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; replaces what is there."""
    with staged([path], overwrite=True) as (partial,):
        partial.write_text(text, encoding="utf-8")


def _publish(folder: Path, targets: Sequence[Path]) -> None:
    usual = _usual_mode(folder)
    for target in targets:
        written = folder / target.name
        for path in [*written.rglob("*"), written] if written.is_dir() else [written]:
            if path.is_file() and stat.S_IMODE(path.stat().st_mode) != usual:
                path.chmod(usual)
            sync(path)
    (folder / _PUBLISHING).touch()
    if targets[-1].exists() and len(targets) > 1:
        _remove(targets[-1])
    for target in targets:
        if target.is_dir():
            _remove(target)
        (folder / target.name).replace(target)
    sync(targets[-1].parent)


def _retract(folder: Path, targets: Sequence[Path]) -> None:
    """Remove the targets that have their names already, unless the last one has it too."""
    if (folder / _PUBLISHING).exists() and (folder / targets[-1].name).exists():
        for target in targets:
            if not (folder / target.name).exists():
                _remove(target)


def _usual_mode(folder: Path) -> int:
    """Permissions of new files, as the umask says; safetensors keeps its own to their owner."""
    probe = folder / _PROBE
    probe.touch()
    return stat.S_IMODE(probe.stat().st_mode)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk; some file systems sync no folders."""
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        if not path.is_dir():
            raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def this_process() -> str:
    """What names this process in the folders that it works in: "host-pid"."""
    return f"{socket.gethostname()}-{os.getpid()}"


def remove_leftovers(targets: Sequence[Path], gone: Sequence[str] = ()) -> None:
    """Remove the hidden folders of runs that were killed while they wrote ``targets``.

    A run was killed if its process ran on this host and does not run any more, or if its process
    ("host-pid", on any host) is among ``gone``. A run that was killed between its renames has left
    some files under their final names, but not the last one, which says that all are complete:
    these files are removed too.
    """
    last = targets[-1]
    for leftover in last.parent.glob(f".{_escaped(last.name)}{_MARK}*"):
        if not leftover.name.endswith(tuple(f"-{process}" for process in gone)):
            host, _, pid = leftover.name.rpartition("-")
            here = host.endswith(f"-{socket.gethostname()}") and pid.isdigit()
            if not here or is_alive(int(pid)):
                continue
        _retract(leftover, targets)
        shutil.rmtree(leftover, ignore_errors=True)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def is_alive(pid: int) -> bool:
    """Whether a process of this host runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _as_output_error(target: Path, error: OSError) -> OutputError:
    return OutputError(
        target,
        found=error.strerror or type(error).__name__,
        expected="to write the whole output",
        remedy="Free some space or give another path; nothing incomplete was left behind.",
    )
