"""The regions of a store: countries, seasons, tiles, or polygons of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geolulc.datasets import SPLITS, Store
from geolulc.errors import DatasetError, ParameterError, require_one_of
from geolulc.polygons.checks import require_polygons
from geolulc.polygons.placement import full_turn, wrap
from geolulc.polygons.reading import read_layers

#: Columns of a store's index that can name regions, in place of polygons.
REGION_COLUMNS: Final = ("country", "season", "tile")


@dataclass(frozen=True)
class Region:
    """Patches that lie together.

    Attributes:
        name: of the country, season, tile or polygon.
        positions: split → positions in the store, int64, ascending.
        subsets: size → positions of the train split that lists say to fine-tune with.
    """

    name: str
    positions: Mapping[str, NDArray[np.int64]]
    subsets: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)

    def __getitem__(self, split: str) -> NDArray[np.int64]:
        return self.positions[split]

    def identity(self) -> str:
        """A hash of which patches of a store these are."""
        digest = hashlib.sha256()
        for split in SPLITS:
            digest.update(f"{split} {len(self[split])} ".encode())
            digest.update(self[split].astype("<i8").tobytes())
        for size, positions in sorted(self.subsets.items()):
            digest.update(f"subset {size} ".encode())
            digest.update(positions.astype("<i8").tobytes())
        return digest.hexdigest()[:12]


def find_regions(
    store: Store, by: str = "country", *, polygons: Path | None = None, column: str | None = None
) -> dict[str, Region]:
    """The regions of ``store`` by name, sorted; patches in no split or no region are in none.

    Args:
        store: the store.
        by: "country", "season" or "tile".
        polygons: a vector file with the regions, in place of ``by``; a patch belongs to the
            polygon that its centre lies in, and polygons of one name are one region.
        column: of the file, with the names; None for the first one that holds text.

    Raises:
        ParameterError: no such column of regions, or a file that cannot be used.
        DatasetError: no patch has a region; a patch lies in two.
    """
    if polygons is not None:
        names = _polygon_of(store, polygons, column)
    else:
        remedy = "Use one of these, or a file of polygons."
        require_one_of("column", by, REGION_COLUMNS, remedy=remedy)
        names = np.array([name or "" for name in store.column(by)], dtype=object)
    own = {split: store.split(split) for split in SPLITS}
    found = sorted(set(names.tolist()) - {""})
    if not found:
        raise DatasetError(
            store.path,
            found=f"no patch with a {by if polygons is None else 'polygon around it'}",
            expected="patches whose region is known",
            remedy="Choose other regions, or prepare the store with its metadata.",
        )
    return {
        name: Region(name, {split: at[names[at] == name] for split, at in own.items()})
        for name in found
    }


def _polygon_of(store: Store, path: Path, column: str | None) -> NDArray[np.object_]:
    """The name of the polygon around each patch's centre; "" where there is none."""
    names = np.full(len(store), "", dtype=object)
    crs = np.array(store.column("crs"))
    left = np.array(store.column("left")) + store.layout.size / 2
    top = np.array(store.column("top")) - store.layout.size / 2
    for polygons, labels, own in _read_polygons(path, column):
        tree = shapely.STRtree(polygons)
        for code in sorted(set(crs.tolist())):
            rows = np.flatnonzero(crs == code)
            projection = Transformer.from_crs(CRS.from_user_input(code), own, always_xy=True)
            points = shapely.points(*projection.transform(left[rows], top[rows]))
            inside, polygon = tree.query(points, predicate="within")
            for row, name in zip(rows[inside].tolist(), labels[polygon].tolist(), strict=True):
                if names[row] not in ("", name):
                    raise DatasetError(
                        path,
                        found=f"the patch {store.keys[row]} in both {names[row]!r} and {name!r}",
                        expected="polygons that do not overlap",
                        remedy="Cut the polygons, or choose another column of names.",
                    )
                names[row] = name
    return names


def _read_polygons(
    path: Path, column: str | None
) -> list[tuple[NDArray[Any], NDArray[np.object_], Any]]:
    """The valid polygons of each layer, their names and their CRS."""
    layers = list(read_layers(path, str(path)).values())
    plain = layers[0].drop(columns=layers[0].geometry.name)
    texts = [str(name) for name in plain if pd.api.types.is_string_dtype(plain[name])]
    if column is None and not texts:
        raise ParameterError(
            path,
            found="no column of text",
            expected="a vector file of named polygons",
            remedy="Say which column names them.",
        )
    chosen = column or texts[0]
    found = []
    for frame in layers:
        require_polygons(frame, str(path))
        if chosen not in frame.drop(columns=frame.geometry.name):
            require_one_of("column", chosen, texts)
            raise ParameterError(
                path,
                found=f"a layer without the column {chosen}",
                expected="it in all layers that hold polygons",
                remedy="Save the layer of the regions as a file of its own.",
            )
        missing = frame[chosen].isna() | frame.geometry.isna() | frame.geometry.is_empty
        named = frame[~missing]
        turn = full_turn(frame.crs)
        polygons = [wrap(shapely.make_valid(p), turn) for p in named.geometry]
        names = named[chosen].astype(str).to_numpy(object)
        found.append((np.array(polygons, dtype=object), names, frame.crs))
    return found
