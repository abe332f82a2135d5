"""Patches of any origin → a store. Those of BigEarthNet have ``prepare``, which can be resumed."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from geolulc.datasets.assembly import REPLACED, complete_store, publish_store
from geolulc.datasets.legend import Legend
from geolulc.datasets.patch import BIGEARTHNET, Patch, PatchLayout
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
    layout: PatchLayout = BIGEARTHNET,
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
        layout: of all patches: the sensor and their size.
        level: processing level of the products that patches were cut from: "L1C" or "L2A".
        sources: ``dataset``, ``name`` and ``origin`` of what they were cut from.
        left_out: asked when all patches are read: reason → number of what was left out.
        labelling: asked then too: how labels were made (JSON-able).
        overwrite: replace ``out``.

    Raises:
        DatasetError: no patch; one of another shape than the layout's; a label that is not of the
            nomenclature; a key twice.
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
            shards = _write_shards(folder, patches, layout)
            manifest = complete_store(
                folder,
                shards,
                legend,
                layout=layout,
                level=level,
                archives=sources,
                left_out=left_out(),
                labelling=labelling() if labelling else None,
            )
            publish_store(folder, out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _write_shards(folder: Path, patches: Iterable[Patch], layout: PatchLayout) -> int:
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
            _require_layout(patch, layout)
            yield patch

    number, unique = 0, each_once()
    for first in unique:
        some = itertools.chain([first], itertools.islice(unique, _SHARD_SIZE - 1))
        write_shard(folder, number, some, skip_broken=False, advance=lambda: None, layout=layout)
        number += 1
    if not number:
        raise DatasetError(
            folder.name,
            found="no patch",
            expected="at least one",
            remedy="Give other scenes, or other labels.",
        )
    return number


def _require_layout(patch: Patch, layout: PatchLayout) -> None:
    found = {r: (group.dtype.name, group.shape) for r, group in patch.dn.items()}
    expected = {r: ("uint16", shape) for r, shape in layout.shapes.items()}
    reference = layout.reference_shape if patch.reference is None else patch.reference.shape
    if found != expected or reference != layout.reference_shape:
        told = ", ".join(f"{shape} of {r} m" for r, (_, shape) in found.items())
        wanted = ", ".join(f"{shape} of {r} m" for r, shape in layout.shapes.items())
        raise DatasetError(
            patch.key,
            found=f"arrays {told}, reference map {reference}",
            expected=f"uint16 {wanted}, reference map {layout.reference_shape}",
            remedy="Cut patches as the layout says.",
        )
