"""Lists of target patches to fine-tune with: read, so that others' subsets can be used again, and
written, so that others can use ours.

Read are ``DIR/REGION/SIZE_train.csv`` (or ``.txt``; a patch name a line, as the official lists) and
the files of the paper's code, ``DIR/REGION/SIZE_train_data.msgpack``: datadings, of which the keys
alone are read (github.com/0jaspreetsingh/LandUseLandCoverMultiLabelClassification, ``loader.py``:
``--chunk-size``). Written is the same layout, a folder for each seed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np
from datadings.index import SUFFIX_KEYS, SUFFIX_LEGACY_INDEX
from numpy.typing import NDArray

from geolulc.datasets import Store
from geolulc.datasets.entries import V2_NAME
from geolulc.datasets.lists import V1_NAME, read_names
from geolulc.errors import DatasetError
from geolulc.safe_texts import one_line
from geolulc.staging import explained, write_text
from geolulc.transfer.plan import subset
from geolulc.transfer.regions import Region

_FILE: Final = re.compile(r"(\d+)_train(_data)?\.(csv|txt|msgpack)")
#: All train patches of BigEarthNet v1 have 9 MB of names.
_LARGEST: Final = 64 << 20
_LOG: Final = logging.getLogger(__name__)
_NAME: Final = re.compile(f"{V1_NAME.pattern}|{V2_NAME.pattern}")
_REMEDY: Final = "Give the folder of REGION/SIZE_train.csv files."


def with_subsets(store: Store, regions: Mapping[str, Region], folder: Path) -> dict[str, Region]:
    """``regions``, with the subsets of their train splits that ``folder`` lists.

    A region without a folder of its name (in any case) keeps the subsets drawn by seed; a folder
    that is named like no region is passed over with a warning.

    Raises:
        DatasetError: no list at all; one that cannot be read, is of another length than its name
            says, or names a patch that is not in the region's train split.
    """
    of_region = {name.casefold(): name for name in regions}
    passed_over = []
    found = dict(regions)
    lists = 0
    position = {key: at for at, key in enumerate(store.keys)}
    for inner in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = of_region.get(inner.name.casefold())
        if name is None or not inner.is_dir():
            passed_over.append(inner.name)
            continue
        sizes: dict[int, NDArray[np.int64]] = {}
        for file in sorted(inner.iterdir()):
            if match := _FILE.fullmatch(file.name):
                sizes[int(match[1])] = _positions(file, int(match[1]), regions[name], position)
        lists += len(sizes)
        found[name] = replace(regions[name], subsets=sizes)
    if passed_over:
        _LOG.warning(
            "%s: passed over what is named like no region: %d, such as %s",
            folder,
            len(passed_over),
            one_line(passed_over[0]),
        )
    if not lists:
        raise DatasetError(
            folder,
            found="no list of target patches for any region",
            expected="REGION/SIZE_train.csv, or the paper's REGION/SIZE_train_data.msgpack",
            remedy=_REMEDY,
        )
    return found


def write_subsets(
    folder: Path, store: Store, region: Region, sizes: Iterable[int], seed: int
) -> None:
    """Write ``folder/seedS/REGION/SIZE_train.csv`` for each of ``sizes`` above 0."""
    place = folder / f"seed{seed}" / re.sub(r"[/\\\0]", "-", region.name)
    for size in sizes:
        if 0 < size <= len(region["train"]):
            names = [store.keys[at] for at in subset(region, size, seed).tolist()]
            with explained(place):
                place.mkdir(parents=True, exist_ok=True)
            write_text(place / f"{size}_train.csv", "\n".join([*names, ""]))


def _positions(
    file: Path, size: int, region: Region, position: Mapping[str, int]
) -> NDArray[np.int64]:
    names = _names(file)
    found = np.sort(np.array([position.get(name, -1) for name in names], np.int64))
    outside = ~np.isin(found, region["train"])
    if len(names) != size or len(set(names)) != size or outside.any():
        stranger = next((n for n in names if position.get(n, -1) not in region["train"]), None)
        raise DatasetError(
            file,
            found=f"{len(set(names))} patches" + (f", {stranger} among them" if stranger else ""),
            expected=f"{size} patches of the train split of {region.name} in the store",
            remedy="Prepare a store that holds them, or leave the file out.",
        )
    return found


def _names(file: Path) -> list[str]:
    try:
        if file.suffix != ".msgpack":
            return list(read_names(file, _NAME))
        keys = file.with_name(file.name + SUFFIX_KEYS)
        index = keys if keys.is_file() else file.with_name(file.name + SUFFIX_LEGACY_INDEX)
        # plain msgpack: datadings' own reader would unpickle what a stranger put there
        content: Any = msgpack.unpackb(_read(index), strict_map_key=False)
        return [str(key) for key in content]
    except (OSError, ValueError, TypeError, msgpack.UnpackException) as error:
        raise DatasetError(
            file,
            found=f"a list that cannot be read ({error})",
            expected="names of patches, or a datadings file with its index",
            remedy=_REMEDY,
        ) from error


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError("larger than any list of patches")
    return data
