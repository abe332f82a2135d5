"""Labels without pixels: a file that says where patches lie and which classes they have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets.entries import V2_NAME, read_metadata
from geolulc.datasets.legend import Legend
from geolulc.datasets.places import tile_corners
from geolulc.errors import DatasetError
from geolulc.grid import PATCH_SIZE


@dataclass(frozen=True)
class LabelFile:
    """The train split of a file like BigEarthNet v2's ``metadata.parquet``.

    Attributes:
        path: the file.
        labels: uint8 (n, C), 0 or 1.
        countries: of the patches, (n,).
        names: of the patches, (n,).
    """

    path: Path
    labels: NDArray[np.uint8]
    countries: NDArray[np.str_]
    names: NDArray[np.str_]

    @classmethod
    def read(cls, path: Path | str, legend: Legend) -> LabelFile:
        """Read ``path``; ``DatasetError`` for what is no such file, or of other classes."""
        table = read_metadata(Path(path))
        train = np.array(table["split"].to_pylist(), object) == "train"
        countries, names = (
            np.array(table[column].to_pylist(), object)[train].astype(str)
            for column in ("country", "patch_id")
        )
        return cls(Path(path), legend.multi_hot(table["labels"])[train], countries, names)

    @property
    def centres(self) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
        """CRS, x and y of the patches' centres, (n,) each, from their names.

        Raises:
            DatasetError: a name that is not of a v2 patch on a tile of BigEarthNet.
        """
        corners = tile_corners()
        found: list[tuple[str, float, float]] = []
        for name in self.names.tolist():
            match = V2_NAME.fullmatch(name)
            if match is None or match[2] not in corners:
                raise DatasetError(
                    self.path,
                    found=f"the patch {name!r}",
                    expected="names with a tile of BigEarthNet, such as S2A_MSIL2A_…_T33UUP_26_57",
                    remedy="Take the official metadata.parquet of BigEarthNet v2.",
                )
            crs, left, top = corners[match[2]]
            column, row = (int(part) + 0.5 for part in name.split("_")[-2:])
            found.append((crs, left + column * PATCH_SIZE, top - row * PATCH_SIZE))
        zones = np.array([zone for zone, _, _ in found], np.str_)
        x, y = np.array([place for _, *place in found], np.float64).reshape(-1, 2).T
        return zones, x, y

    def country_weights(self, wanted: NDArray[np.str_]) -> NDArray[np.float64]:
        """Weights (n,) of the patches that give countries their numbers in ``wanted`` (m,)."""
        names, number = np.unique(self.countries, return_inverse=True)
        there = np.array([np.count_nonzero(wanted == name) for name in names])
        return np.asarray((there / np.bincount(number))[number], np.float64)
