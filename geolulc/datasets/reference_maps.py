"""The CORINE maps of BigEarthNet v2: a folder beside the archive, or a tar archive of it.

A plain tar is read in place. Of a compressed one, which holds its maps in an order of its own, the
wanted ones are copied into one file that workers read like a plain tar.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets.geotiffs import BandFile
from geolulc.datasets.tars import ForwardReader, is_plain_tar, is_tar, list_patches, read_members
from geolulc.errors import DatasetError
from geolulc.publishing import sync

_FOLDER: Final = "Reference_Maps"
_ROLE: Final = "reference"


@dataclass(frozen=True)
class MapPlace:
    """Where a patch's map is: a file, or bytes ``start`` … ``stop`` of the tar ``path``."""

    path: Path
    start: int = 0
    stop: int = 0

    def file(self, patch_name: str) -> BandFile | None:
        """The map; None where there is none. ``DatasetError`` for bytes that are no member."""
        if self.stop:
            return read_members(self.path, patch_name, self.start, self.stop).get(_ROLE)
        return self.path if self.path.is_file() else None


@dataclass(frozen=True)
class ReferenceMaps:
    """The maps of one archive: in a folder, or at ``places`` of a tar.

    ``names``: bytes, sorted; ``places``: int64 (maps, 2), start and stop.
    """

    path: Path
    names: NDArray[np.bytes_] | None = None
    places: NDArray[np.int64] | None = None

    def place(self, patch_name: str) -> MapPlace | None:
        """Where the map of a patch is, in a folder where it would be; None where there is none."""
        if self.names is None or self.places is None:
            tile = patch_name.rsplit("_", 2)[0]
            return MapPlace(self.path / tile / patch_name / f"{patch_name}_reference_map.tif")
        key = patch_name.encode()
        at = int(np.searchsorted(self.names, key))
        if at == len(self.names) or self.names[at] != key:
            return None
        start, stop = self.places[at].tolist()
        return MapPlace(self.path, start, stop)


def open_reference_maps(archive: Path, wanted: Iterable[str], spool: Path) -> ReferenceMaps:
    """The maps that lie beside ``archive``.

    Args:
        archive: folder or tar of the patches.
        wanted: names of the patches.
        spool: where a compressed tar's maps are copied; with ``spool.npz`` beside it, that was
            done by an earlier run.

    Raises:
        DatasetError: there are none, or their archive cannot be read.
    """
    folder = archive.parent / _FOLDER
    if folder.is_dir():
        return ReferenceMaps(folder)
    beside = sorted(archive.parent.glob(f"{_FOLDER}.*"))
    tar = next((path for path in beside if path.is_file() and is_tar(path)), None)
    if tar is None:
        raise DatasetError(
            folder,
            found="no such folder, nor a tar archive of this name",
            expected="the reference maps of BigEarthNet v2, beside the patches",
            remedy="Put Reference_Maps or Reference_Maps.tar.zst there, or do without "
            "--reference-maps.",
        )
    index = spool.with_name(f"{spool.name}.npz")
    if index.is_file():
        with np.load(index, allow_pickle=False) as arrays:
            return ReferenceMaps(spool, arrays["names"], arrays["places"])
    listed = list(list_patches(tar, set(wanted).__contains__))
    names = np.array([patch.name.encode() for patch in listed], np.bytes_)
    order = np.argsort(names)
    places = [(patch.start, patch.stop) for patch in listed]
    if not is_plain_tar(tar):
        with ForwardReader(tar) as reader:
            places = reader.copy(places, spool)
    names, ranges = names[order], np.array(places, np.int64).reshape(-1, 2)[order]
    if is_plain_tar(tar):
        return ReferenceMaps(tar, names, ranges)
    partial = index.with_name(f".{index.name}")
    np.savez(partial, names=names, places=ranges)
    sync(partial)
    partial.rename(index)
    return ReferenceMaps(spool, names, ranges)
