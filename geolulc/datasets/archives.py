"""BigEarthNet archives: which version it is and which patches it has, as folder or as tar."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from geolulc.datasets.entries import (
    V1,
    V2,
    V2_NAME,
    Entry,
    Metadata,
    Place,
    describe_v1,
    find_metadata,
)
from geolulc.datasets.ground import BLOCK_SIZE, BLOCKS
from geolulc.datasets.lists import V1_NAME, Lists, find_lists
from geolulc.datasets.tars import is_tar
from geolulc.datasets.tars import list_patches as list_members
from geolulc.datasets.unlabelled import UNLABELLED_DATASET, list_patches
from geolulc.errors import DatasetError
from geolulc.progress import Progress

__all__ = ["Archive", "Lists", "open_archive"]

_NO_PATCHES: Final = (
    "neither patch folders (S2A_MSIL2A_20170613T101031_87_48) nor tile folders "
    "(S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP)"
)


@dataclass(frozen=True)
class Archive:
    """A BigEarthNet archive: where it is, its version, its patches in the order of reading.

    ``origin`` says where split, snow, cloud, country and season come from. ``unknown`` is the
    number of patches that the metadata of v2 do not know: those with snow and cloud have a file
    of their own, which not everybody has. ``absent`` says which patches the lists of v1 name that
    are not here (``PatchLists.without``). ``level``: of processing, "L1C" or "L2A".
    """

    root: Path
    dataset: str
    entries: tuple[Entry, ...]
    origin: dict[str, str]
    unknown: int = 0
    absent: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    level: str = "L2A"

    @property
    def is_tar(self) -> bool:
        """Whether its patches lie in one tar file."""
        return self.dataset != UNLABELLED_DATASET and self.root.is_file()


def open_source(path: Path, split: str) -> Archive:
    """A scene or a stack of GeoTIFFs as an archive of patches without labels.

    ``split`` is that of all its patches, or "blocks".

    Raises:
        DatasetError, ProductError: it cannot be used.
    """
    how = f"blocks of {BLOCK_SIZE // 1000} km" if split == BLOCKS else f"all to {split}"
    level, entries = list_patches(path, split)
    return Archive(path, UNLABELLED_DATASET, entries, {"splits": how}, level=level)


def open_archive(path: Path, lists: Lists, listing: Progress | None = None) -> Archive:
    """Recognise an archive and list its patches.

    ``listing`` is called with (bytes read, bytes in all) of a tar archive.

    Raises:
        DatasetError: not a BigEarthNet archive, or its lists or metadata are missing or broken.
    """
    if path.is_dir():
        return _open_folder(path, lists)
    if path.is_file() and is_tar(path):
        return _open_tar(path, lists, listing)
    found = "a file of another kind" if path.exists() else "no such file or folder"
    raise _not_an_archive(path, found)


def _open_folder(path: Path, lists: Lists) -> Archive:
    for root in (path, path / "BigEarthNet-v1.0"):
        if names := [n for n in _folders(root) if _version_of(n) == V1]:
            patches = ((n, n) for n in names)
            return _describe(root, V1, patches, lists)
    for root in (path, path / "BigEarthNet-S2"):
        if tiles := [t for t in _folders(root) if _version_of(f"{t}_00_00") == V2]:
            inside = ((t, n) for t in tiles for n in _folders(root / t))
            patches = ((n, f"{t}/{n}") for t, n in inside if _version_of(n) == V2)
            return _describe(root, V2, patches, lists)
    raise _not_an_archive(path, _NO_PATCHES)


def _open_tar(path: Path, lists: Lists, listing: Progress | None) -> Archive:
    patches = [
        (patch.name, (patch.start, patch.stop))
        for patch in list_members(path, lambda name: bool(_version_of(name)), listing)
    ]
    versions = {_version_of(name) for name, _ in patches}
    if len(versions) != 1:
        raise _not_an_archive(path, _NO_PATCHES)
    return _describe(path, versions.pop(), patches, lists)


def _describe(
    root: Path, dataset: str, patches: Iterable[tuple[str, Place]], lists: Lists
) -> Archive:
    describe: Callable[[str, Place], Entry | None]
    absent = {}
    patches = list(patches)
    if dataset == V1:
        of_v1 = find_lists(root, lists)
        origin = dict(of_v1.origin)
        describe = functools.partial(describe_v1, lists=of_v1)
        absent = of_v1.without(name for name, _ in patches)
    else:
        metadata = Metadata(find_metadata(root, lists.metadata))
        origin = {"metadata": metadata.origin}
        describe = metadata.describe
    described = [describe(name, place) for name, place in patches]
    entries = tuple(entry for entry in described if entry)
    if lists.blocks:
        # known where a patch lies once it is read
        entries = tuple(replace(entry, split=BLOCKS) for entry in entries)
        origin["splits"] = f"blocks of {BLOCK_SIZE // 1000} km"
    return Archive(root, dataset, entries, origin, len(described) - len(entries), absent)


def _version_of(name: str) -> str:
    """The version whose patches are named so; "" for no patch's name."""
    return V1 if V1_NAME.fullmatch(name) else V2 if V2_NAME.fullmatch(name) else ""


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        return sorted(e.name for e in entries if e.is_dir())


def _not_an_archive(path: Path, found: str) -> DatasetError:
    return DatasetError(
        path,
        found=found,
        expected="an archive of BigEarthNet (BigEarthNet-v1.0, BigEarthNet-S2)",
        remedy="Give the archive's folder, or its .tar, .tar.gz or .tar.zst.",
    )
