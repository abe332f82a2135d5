"""What to write of a map, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geolulc.grid import MapGrid
from geolulc.outputs.files import DEFAULT_OUTPUTS, plan_outputs

#: Up to so many cells a polygon for each is written unasked: a tile at 600 m has 33,489.
_FEW_CELLS: Final = 50_000


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Choices of ``geolulc map`` that concern its files.

    Attributes:
        outputs: of ``files.OUTPUTS``.
        dtype: of ``probabilities.ENCODINGS``.
        vector_format: of ``files.VECTOR_FORMATS``.
        cells: write a polygon for each cell; None where there are at most 50,000.
    """

    outputs: tuple[str, ...] = DEFAULT_OUTPUTS
    dtype: str = "float32"
    vector_format: str = "gpkg"
    cells: bool | None = None

    @property
    def backdrop(self) -> bool:
        """Whether an output shows the true-colour image."""
        return "picture" in self.outputs or "report" in self.outputs

    def writes_cells(self, grid: MapGrid) -> bool:
        """Whether a map on ``grid`` gets a polygon for each cell."""
        rows, columns = grid.shape
        return rows * columns <= _FEW_CELLS if self.cells is None else self.cells

    def plan(self, out: Path, *, cells: bool = True, model: bool = True) -> dict[str, Path]:
        """``files.plan_outputs`` with these options."""
        return plan_outputs(
            out, self.outputs, vector_format=self.vector_format, cells=cells, model=model
        )
