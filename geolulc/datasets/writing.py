"""Patches of any origin → a store. Those of BigEarthNet have ``prepare``, which can be resumed."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from geolulc.datasets.assembly import REPLACED, complete_store, publish_store
from geolulc.datasets.legend import Legend
from geolulc.datasets.patch import Patch
from geolulc.datasets.shards import PARTS_FOLDER, write_shard
from geolulc.errors import DatasetError
from geolulc.nomenclature import Nomenclature
from geolulc.ownership import mark
from geolulc.staging import claimed, explained, require_free

_SHARD_SIZE: Final = 512


def write_store(
    out: Path,
    patches: Iterable[Patch],
    nomenclature: Nomenclature,
    *,
    level: str = "L2A",
    sources: Sequence[Mapping[str, Any]] = (),
    left_out: Callable[[], Mapping[str, int]] = dict,
    labelling: Callable[[], Mapping[str, Any]] | None = None,
    overwrite: int = 0,
) -> dict[str, Any]:
    """Write ``patches`` as the store ``out``; its manifest.

    Patches hold names of ``nomenclature`` in ``labels`` and its codes in ``reference``, where
    ``legend.UNLABELLED`` is a pixel without a label; both may be missing: a store without labels.

    Args:
        out: the store's folder.
        patches: read one after another; each key once.
        nomenclature: the classes.
        level: processing level of the products that patches were cut from: "L1C" or "L2A".
        sources: ``dataset``, ``name`` and ``origin`` of what they were cut from.
        left_out: asked when all patches are read: reason → number of what was left out.
        labelling: asked then too: how labels were made (JSON-able).
        overwrite: replace ``out``.

    Raises:
        DatasetError: no patch; a label that is not of the nomenclature; a key twice.
        ParameterError: more classes than a store can hold.
        OutputError: ``out`` exists or cannot be written, or another run is writing it.
    """
    legend = Legend(nomenclature)
    require_free([out], overwrite=overwrite, kind="store")
    folder = out.parent / f".{out.name}.writing"
    with claimed(out), explained(out):
        emptied = folder, out.with_name(REPLACED.format(out.name))
        require_free(emptied, overwrite=True, kind="store")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            mark(folder, "store")
            (folder / PARTS_FOLDER).mkdir()
            shards = _write_shards(folder, patches)
            manifest = complete_store(
                folder,
                shards,
                legend,
                level=level,
                archives=sources,
                left_out=left_out(),
                labelling=labelling() if labelling else None,
            )
            publish_store(folder, out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _write_shards(folder: Path, patches: Iterable[Patch]) -> int:
    """Write all shards; their number."""
    seen: set[str] = set()

    def each_once() -> Iterator[Patch]:
        for patch in patches:
            if patch.key in seen:
                raise DatasetError(
                    patch.key,
                    found="a patch of that name twice",
                    expected="each name once",
                    remedy="Give each scene once.",
                )
            seen.add(patch.key)
            yield patch

    number, unique = 0, each_once()
    for first in unique:
        some = itertools.chain([first], itertools.islice(unique, _SHARD_SIZE - 1))
        write_shard(folder, number, some, skip_broken=False, advance=lambda: None)
        number += 1
    if not number:
        raise DatasetError(
            folder.name,
            found="no patch",
            expected="at least one",
            remedy="Give other scenes, or other labels.",
        )
    return number
