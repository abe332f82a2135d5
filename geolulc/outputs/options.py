"""The choice of a map's outputs, and their formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geolulc.errors import ParameterError
from geolulc.outputs.files import (
    DTYPES,
    PIXEL_KINDS,
    VECTOR_FORMATS,
    MapKind,
    default_outputs,
    output_names,
    outputs_of,
    require_geotiff,
    require_known,
    vector_parts,
)

if TYPE_CHECKING:
    from geolulc.nomenclature import Nomenclature

#: Up to so many cells a polygon for each is written unasked: a tile at 600 m has 33,489.
_FEW_CELLS: Final = 50_000
#: Hectares of the smallest polygon of a map of pixels, unless another is asked for.
_PIXEL_MIN_AREA: Final = 0.5


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Choices of ``geolulc map`` and ``geolulc mosaic`` that concern their files.

    Attributes:
        outputs: names, of ``files.output_names``; None for the defaults of the kind of map.
        report: write the HTML page too.
        dtype: of ``files.DTYPES``; pixels are always uint8.
        vector_format: of ``files.VECTOR_FORMATS``.
        cells: write a polygon for each cell; None where there are at most 50,000.
        min_area: hectares that a polygon has at least; None for 0.5 in a map of pixels and 0 in
            one of cells.
        max_polygons: at most so many polygons; ``min_area`` is raised until they are.
        coarser: a nomenclature that holds the model's classes, whose classes are mapped instead.
    """

    outputs: tuple[str, ...] | None = None
    report: bool = False
    dtype: str = "float32"
    vector_format: str = "gpkg"
    cells: bool | None = None
    min_area: float | None = None
    max_polygons: int = 250_000
    coarser: Nomenclature | None = None

    def __post_init__(self) -> None:
        if self.min_area is not None and not 0 <= self.min_area < float("inf"):
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

    def chosen(self, kind: MapKind) -> tuple[str, ...]:
        """Names of the outputs of a map of this kind."""
        names = default_outputs(kind) if self.outputs is None else self.outputs
        return (*names, "report") if self.report and "report" not in names else names

    @property
    def backdrop(self) -> bool:
        """Whether an output shows the true-colour image."""
        return self.report or self.outputs is None or bool({"picture", "report"} & {*self.outputs})

    def writes_cells(self, count: int, *, exclusive: bool) -> bool:
        """Whether each of ``count`` cells gets a polygon."""
        if exclusive:
            return False
        return count <= _FEW_CELLS if self.cells is None else self.cells

    def least_area(self, *, exclusive: bool) -> float:
        """``min_area``, or the default of the kind of map."""
        if self.min_area is not None:
            return self.min_area
        return _PIXEL_MIN_AREA if exclusive else 0.0

    def record(self, kind: MapKind) -> dict[str, Any]:
        """These choices as far as they shape the files of a map of this kind; JSON-able."""
        chosen, exclusive = self.chosen(kind), kind in PIXEL_KINDS
        made: dict[str, Any] = {"outputs": sorted(chosen)}
        if self.coarser is not None:
            made["as"] = self.coarser.as_mapping()
        if "probabilities" in chosen and not exclusive:
            made["dtype"] = self.dtype
        if "vectors" in chosen:
            made["vector_format"] = self.vector_format
            made["min_area"] = self.least_area(exclusive=exclusive)
            made["max_polygons"] = self.max_polygons
            if self.cells is not None:
                made["cells"] = self.cells
        return made

    def plan(
        self,
        out: Path,
        *,
        exclusive: bool,
        mosaic: bool = False,
        model: bool = True,
        alone: bool = True,
        cells: bool = True,
    ) -> dict[str, Path]:
        """The files of a map beside ``out``, before any work is done.

        Nothing is read or written, so a caller can refuse early (``staging.require_free``).

        Args:
            out: path of map.tif; ends in .tif. The other names derive from it.
            exclusive: the classes of a cell exclude each other: a map of pixels.
            mosaic: the map is a mosaic.
            model: the model of a scene's map is known, and is described too ("stac.model").
            alone: a mosaic has a STAC Collection of its own ("stac.collection").
            cells: each cell gets a polygon, as ``writes_cells`` says.

        Returns:
            Part → path, map.tif last: its presence says that the others are complete.

        Raises:
            ParameterError: no output, an unknown one, one that this kind of map does not have, an
                unknown dtype or format, or ``out`` does not end in .tif.
        """
        kind, out = MapKind.of(exclusive=exclusive, mosaic=mosaic), Path(out)
        self._require_possible(kind, out, exclusive=exclusive)
        chosen = self.chosen(kind)
        parts: dict[str, str] = {}
        main = None
        for output in outputs_of(kind):
            if output.name in chosen:
                parts |= output.files(kind)
                main = output.name if kind in output.main else main
        if "vectors" in chosen:
            parts |= vector_parts(self.vector_format, cells=cells and not exclusive)
        if mosaic or not model:
            parts.pop("stac.model", None)
        if not mosaic or not alone:
            parts.pop("stac.collection", None)
        paths = {part: out.with_name(out.stem + ending) for part, ending in parts.items()}
        if main is not None:
            del paths[main]
            paths[main] = out
        return paths

    def _require_possible(self, kind: MapKind, out: Path, *, exclusive: bool) -> None:
        if exclusive and self.dtype == "uint16":
            raise ParameterError(
                "dtype uint16",
                found=kind.value,
                expected="uint8: its probabilities are in steps of 0.004",
                remedy="Leave --dtype out.",
            )
        if exclusive and self.cells:
            raise ParameterError(
                "cells",
                found=kind.value,
                expected="polygons of classes only: a tile has 120 million pixels",
                remedy="Leave --cells out.",
            )
        require_known(self.chosen(kind), output_names(kind), f"outputs of {kind.value}")
        require_known((self.dtype,), DTYPES, "dtype")
        require_known((self.vector_format,), VECTOR_FORMATS, "vector format")
        require_geotiff(out)
