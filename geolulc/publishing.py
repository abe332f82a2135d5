"""Finished files get their names, all or none; what a crash in between leaves is taken back.

A journal in the hidden folder that holds the files says what is being published, and is on the
disk before the first rename: the next run of the same output settles it (``staging``).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from geolulc.errors import OutputError

#: In the hidden folder: what is being published, and what that replaces.
_JOURNAL, _OLD = ".publishing", ".old"
_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def publish(folder: Path, targets: Sequence[Path], replaced: Sequence[Path]) -> None:
    """Give the files their names; ``replaced`` are moved into ``folder`` first, the last first."""
    main = targets[-1]
    written = folder / main.name
    if len(targets) == 1 and written.is_file() and replaced == [main]:
        written.replace(main)  # at once: the old one or the new one
    else:
        identities = {t.name: identity(folder / t.name) for t in targets}
        journal = folder / _JOURNAL
        journal.write_text(json.dumps({"main": main.name, "new": identities}), encoding="utf-8")
        sync(journal)
        old = folder / _OLD
        old.mkdir()
        for path in sorted(set(replaced), key=lambda path: path != main):
            if os.path.lexists(path):
                path.rename(old / path.name)
        for target in targets:
            _name(folder / target.name, target)
    sync(main.parent)


def _name(written: Path, target: Path) -> None:
    """Rename, but over nothing: a run that ended in between is not replaced in silence."""
    try:
        written.rename(target) if written.is_dir() else os.link(written, target)
    except OSError as error:
        if error.errno in _NO_LINKS and not os.path.lexists(target):
            written.rename(target)
        elif error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, *_NO_LINKS):
            raise already_there(target, "it exists: it came while this run was at work") from error
        else:
            raise


def already_there(target: Path, found: str) -> OutputError:
    return OutputError(
        target, found=found, expected="a new path", remedy="Give another path; nothing was changed."
    )


def settle(folder: Path) -> None:
    """Remove a hidden folder; take a publication back first that did not come to its end."""
    try:
        journal = json.loads((folder / _JOURNAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        journal = {}  # it is on the disk before the first rename: nothing was published
    if journal:
        try:
            _take_back(folder, journal["main"], journal["new"])
        except OSError:
            return  # old files may be in it: the next run tries again
    shutil.rmtree(folder, ignore_errors=True)


def _take_back(folder: Path, main: str, new: Mapping[str, object]) -> None:
    """Remove new files that have their name, known by what they are, and bring the old ones back.

    Not where the last one has its name, and over nobody's files.
    """
    parent = folder.parent
    if not (folder / main).exists() or identity(parent / main) == new[main]:
        return
    for name, published in new.items():
        if identity(new_file := parent / name) == published:
            shutil.rmtree(new_file) if new_file.is_dir() else new_file.unlink()
    if not os.path.lexists(parent / main):
        for old in sorted((folder / _OLD).glob("*"), key=lambda path: path.name == main):
            if not os.path.lexists(parent / old.name):
                old.rename(parent / old.name)


def identity(path: Path) -> list[int] | None:
    """What a file keeps when it is renamed, and shares with no other."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    whole = [found.st_ino, found.st_size, found.st_mtime_ns]
    return whole[:1] if stat.S_ISDIR(found.st_mode) else whole


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
