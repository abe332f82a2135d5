"""What to write of a map, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geolulc.errors import ParameterError
from geolulc.grid import CellGrid
from geolulc.outputs.files import DEFAULT_OUTPUTS, plan_outputs
from geolulc.outputs.pixel_files import DEFAULT_PIXEL_OUTPUTS, plan_pixel_outputs

#: Up to so many cells a polygon for each is written unasked: a tile at 600 m has 33,489.
_FEW_CELLS: Final = 50_000


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Choices of ``geolulc map`` that concern its files.

    Attributes:
        outputs: of ``files.OUTPUTS``; of a map at pixel precision, of
            ``pixel_files.PIXEL_OUTPUTS``, where the default stands for that map's own.
        dtype: of ``probabilities.ENCODINGS``; pixels are always uint8.
        vector_format: of ``files.VECTOR_FORMATS``.
        cells: write a polygon for each cell; None where there are at most 50,000.
        min_area: hectares that a polygon of a map at pixel precision has at least.
        max_polygons: at most so many polygons; ``min_area`` is raised until they are.
    """

    outputs: tuple[str, ...] = DEFAULT_OUTPUTS
    dtype: str = "float32"
    vector_format: str = "gpkg"
    cells: bool | None = None
    min_area: float = 0.5
    max_polygons: int = 250_000

    def __post_init__(self) -> None:
        if not 0 <= self.min_area < float("inf"):
            raise ParameterError(
                "min-area",
                found=f"{self.min_area} ha",
                expected="hectares, 0 or more",
                remedy="Use 0.5, say; 0 keeps every pixel.",
            )
        if self.max_polygons < 1:
            raise ParameterError(
                "max-polygons",
                found=self.max_polygons,
                expected="at least 1",
                remedy="Use 250000, say, or leave vectors out of the outputs.",
            )

    @property
    def backdrop(self) -> bool:
        """Whether an output shows the true-colour image."""
        return "picture" in self.outputs or "report" in self.outputs

    @property
    def pixel_outputs(self) -> tuple[str, ...]:
        """``outputs`` of a map at pixel precision: its own defaults in place of the others'."""
        if self.outputs == DEFAULT_OUTPUTS:
            return DEFAULT_PIXEL_OUTPUTS
        if set(self.outputs) == {*DEFAULT_OUTPUTS, "report"}:
            return (*DEFAULT_PIXEL_OUTPUTS, "report")
        return self.outputs

    def writes_cells(self, grid: CellGrid) -> bool:
        """Whether a map on ``grid`` gets a polygon for each cell."""
        rows, columns = grid.shape
        return rows * columns <= _FEW_CELLS if self.cells is None else self.cells

    def plan(self, out: Path, *, cells: bool = True, model: bool = True) -> dict[str, Path]:
        """``files.plan_outputs`` with these options."""
        return plan_outputs(
            out, self.outputs, vector_format=self.vector_format, cells=cells, model=model
        )

    def plan_pixels(self, out: Path, *, model: bool = True) -> dict[str, Path]:
        """``pixel_files.plan_pixel_outputs`` with these options.

        Raises:
            ParameterError: an option that only maps of cells have.
        """
        if self.dtype == "uint16":
            raise ParameterError(
                "dtype uint16",
                found="a map at pixel precision",
                expected="uint8: its probabilities are in steps of 0.004",
                remedy="Leave --dtype out.",
            )
        if self.cells:
            raise ParameterError(
                "cells",
                found="a map at pixel precision",
                expected="polygons of classes only: a tile has 120 million pixels",
                remedy="Leave --cells out.",
            )
        return plan_pixel_outputs(
            out, self.pixel_outputs, vector_format=self.vector_format, model=model
        )
