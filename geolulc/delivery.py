"""Outputs for object stores: made in a work folder, then uploaded, the main file last.

An object store cannot rename, but an object is there whole or not at all. So the object whose
presence says that all are complete goes first where it is replaced, and comes last: no reader
sees old and new together as one output. What was made stays in the work folder until it is
uploaded; a journal there says which uploads are complete, so that the next run goes on.

Within ``delivering`` a path in the work folder stands for an object. ``staging`` writes there as
anywhere, and asks these functions what is in the store; they take paths of file systems too.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from geolulc.cache import cache_folder
from geolulc.object_stores import Store, store_url
from geolulc.ownership import MARKER
from geolulc.publishing import identity

#: Folders of a work folder: what is being made, and copies of what the store has.
_MADE: Final = "made"
_FOUND: Final = "found"


@dataclass(frozen=True)
class Place:
    """A folder of an object store, and the work folder that stands for it.

    Attributes:
        url: of the folder: "s3://bucket/maps".
        work: the work folder.
    """

    url: str
    work: Path
    _copies: dict[Path, Path] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        return Place, (self.url, self.work)  # for another process

    @property
    def made(self) -> Path:
        """The folder whose files are uploaded."""
        return self.work / _MADE

    @property
    def found(self) -> Path:
        """The folder of copies of objects."""
        return self.work / _FOUND

    @functools.cached_property
    def store(self) -> Store:
        """The store, opened when it is first asked."""
        return Store(self.url)

    def url_of(self, path: Path) -> str:
        """The URL of a path in ``made``."""
        name = path.relative_to(self.made).as_posix()
        return self.url if name == "." else f"{self.url}/{name}"

    def journal_of(self, main: Path) -> Path:
        """Which files of the output ``main`` were uploaded; it is there until all are."""
        return self.work / f"{hashlib.sha256(self.url_of(main).encode()).hexdigest()}.journal"

    def is_done(self, done: Mapping[str, Any], path: Path) -> bool:
        """Whether ``path`` was uploaded, by its journal, and its object is still that one."""
        return path.name in done and done[path.name][1] == self.store.state(self.url_of(path))


_PLACES: ContextVar[tuple[Place, ...]] = ContextVar("_PLACES", default=())
#: Folder → URL, of all places that this process has known: errors are told when these are gone.
_NAMED: Final[dict[str, str]] = {}


@contextlib.contextmanager
def delivering(url: str) -> Iterator[Path]:
    """A path that stands for ``url``: what is written there is uploaded when it is complete.

    The path ends as the URL does. The work folder lies in the cache (``XDG_CACHE_HOME``) and goes
    when the context ends, unless something in it could not be uploaded.

    Raises:
        ParameterError: no URL of a store that can be written.
    """
    base, _, name = store_url(url).rpartition("/")
    key = hashlib.sha256(base.encode()).hexdigest()[:20]
    place = Place(base, cache_folder() / "outputs" / key)
    place.work.parent.mkdir(parents=True, exist_ok=True)
    with place.work.with_suffix(".lock").open("w") as lock, working([place]):
        fcntl.flock(lock, fcntl.LOCK_SH)
        for folder in (place.made, place.found):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            yield place.made / name
        finally:
            with contextlib.suppress(OSError):  # another run is at work on the same folder
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(place.found)
                if not any(place.work.glob("*.journal")):
                    shutil.rmtree(place.work)


@contextlib.contextmanager
def working(places: Sequence[Place]) -> Iterator[None]:
    """Within the context, paths in work folders of ``places`` stand for objects."""
    for place in places:
        _NAMED[str(place.made)] = _NAMED[str(place.found)] = place.url
    token = _PLACES.set((*_PLACES.get(), *places))
    try:
        yield
    finally:
        _PLACES.reset(token)


def at_work() -> tuple[Place, ...]:
    """The places of all contexts: what another process has to be told of."""
    return _PLACES.get()


def place_of(path: Path) -> Place | None:
    """The place in whose work folder ``path`` lies."""
    return next((place for place in _PLACES.get() if path.is_relative_to(place.made)), None)


def with_urls(text: object) -> str:
    """``text`` with URLs for the paths that stand for them."""
    told = str(text)
    for folder, url in _NAMED.items():
        told = told.replace(folder, url)
    return told


def present(path: Path, *, contents: bool = True, folder: bool = False) -> Path | None:
    """Where ``path`` can be read, if it is there: itself, or a copy of its object.

    Args:
        path: any path.
        contents: of an object: download it; else the copy is empty.
        folder: of a store: look for a folder, of which the copy has the names and the marker.
    """
    place = place_of(path)
    if place is None:
        return path if os.path.lexists(path) else None
    copy = place._copies.get(path)
    if copy is not None and (copy.stat().st_size or not contents):
        return copy
    url = place.url_of(path)
    found = place.store.look(url)
    if found is None or (found.get("type") == "directory") != folder:
        return None
    copy = place.found / path.relative_to(place.made)
    copy.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for name in place.store.names(url):
            (copy / name).touch()
        if (copy / MARKER).exists():
            place.store.get(f"{url}/{MARKER}", copy / MARKER)
        return copy
    if contents:
        place.store.get(url, copy)
    else:
        copy.write_bytes(b"")
    place._copies[path] = copy
    return copy


def listed(folder: Path) -> list[str]:
    """Sorted names of what is in ``folder``, of a file system or an object store."""
    place = place_of(folder)
    return sorted(
        (path.name for path in folder.iterdir())
        if place is None
        else place.store.names(place.url_of(folder))
    )


def is_delivered(path: Path, main: Path) -> bool:
    """Whether an earlier run uploaded ``path``, of the output ``main``, and not yet all of it."""
    place = place_of(path)
    return place is not None and place.is_done(_read(place.journal_of(main)), path)


def waits(main: Path) -> bool:
    """Whether an earlier run made ``main`` and all that belongs to it, but could not upload it."""
    place = place_of(main)
    return place is not None and main.exists() and place.journal_of(main).exists()


def deliver(targets: Sequence[Path], superseded: Iterable[Path] = ()) -> None:
    """Upload finished files that stand for objects: the last one last, and removed before.

    Uploads that an earlier run completed are not repeated. What is uploaded is removed here, but
    for the last one.

    Args:
        targets: files of one output, or one folder, whose marker comes last.
        superseded: objects that go when the new ones come.

    Raises:
        OutputError: the store cannot be reached, or does not take them.
    """
    main = targets[-1]
    place = place_of(main)
    if place is None:
        return
    journal = place.journal_of(main)
    done = _read(journal)
    _write(journal, done)
    files, last = list(targets[:-1]), main
    if main.is_dir():
        last = main / MARKER
        files = [path for path in sorted(main.iterdir()) if path != last]
        superseded = [main / name for name in place.store.names(place.url_of(main))]

    def is_done(path: Path) -> bool:
        own = path.name in done and done[path.name][0] == identity(path)
        return own and place.is_done(done, path)

    for path in (last, *superseded):
        if not is_done(path):
            place.store.remove(place.url_of(path))
    # files that say that they are geolulc's come first: they speak for the others
    for path in [*sorted(files, key=lambda p: p.suffix != last.suffix), last]:
        if not is_done(path):
            place.store.put(path, url := place.url_of(path))
            done[path.name] = [identity(path), place.store.state(url)]
            _write(journal, done)
    place._copies.clear()
    journal.unlink()
    for path in files:
        path.unlink()


def _read(journal: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(journal.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _write(journal: Path, done: Mapping[str, Any]) -> None:
    partial = journal.with_suffix(".partial")
    partial.write_text(json.dumps(done), encoding="utf-8")
    partial.replace(journal)
