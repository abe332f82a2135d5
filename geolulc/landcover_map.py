"""What mapping hands to outputs: probabilities on a map grid, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import CellGrid


@dataclass(frozen=True)
class MapHeader:
    """A map without its cells: attributes as in ``LandCoverMap``."""

    grid: CellGrid
    classes: tuple[str, ...]
    nomenclature: str
    thresholds: tuple[float, ...] = ()
    scene: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LandCoverMap:
    """Land cover over one scene.

    Attributes:
        grid: the cells; its ``crs`` and ``transform`` place them on the ground.
        classes: names of the first axis of ``probabilities``, as in ``nomenclature``.
        nomenclature: "ben19" or "clc43".
        probabilities: float32 (class, row, column) in 0..1; NaN in every class of a nodata cell.
        valid: float32 (row, column): share of the cell's patch in which all bands have data.
        clear: the same shape: share of the patch that no masked SCL class covers; None where the
            scene classification was not used or is absent.
        thresholds: a class is present in a cell where its probability reaches this.
        scene: what the map was made from: "name", "sensing_time", "baseline", "platform", "tile"…
        model: what made it: "name", "sha256"…
    """

    grid: CellGrid
    classes: tuple[str, ...]
    nomenclature: str
    probabilities: NDArray[np.float32]
    valid: NDArray[np.float32]
    clear: NDArray[np.float32] | None = None
    thresholds: tuple[float, ...] = ()
    scene: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, str] = field(default_factory=dict)

    @property
    def header(self) -> MapHeader:
        """All but the cells."""
        return MapHeader(
            self.grid, self.classes, self.nomenclature, self.thresholds, self.scene, self.model
        )

    def __post_init__(self) -> None:
        shape = (len(self.classes), *self.grid.shape)
        if self.probabilities.shape != shape:
            raise ValueError(f"probabilities have shape {self.probabilities.shape}, not {shape}")
        for name in ("valid", "clear"):
            layer = getattr(self, name)
            if layer is not None and layer.shape != self.grid.shape:
                raise ValueError(f"{name} has shape {layer.shape}, not {self.grid.shape}")
        if len(self.thresholds) not in (0, len(self.classes)):
            raise ValueError(f"{len(self.thresholds)} thresholds for {len(self.classes)} classes")
