"""How maps become one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geolulc.errors import ParameterError
from geolulc.outputs.files import DEFAULT_OUTPUTS, OUTPUTS, plan_outputs, require_known
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.pixel_files import DEFAULT_PIXEL_OUTPUTS, PIXEL_OUTPUTS

#: How the observations of a cell become one.
COMBINATIONS: Final = ("mean", "median", "max", "latest")
#: Output of mosaics only → its parts and what follows the stem of ``--out``.
_OWN_PARTS: Final = {
    "observations": {
        "observations": "_observations.tif",
        "observations.style": "_observations.qml",
    },
    "confidence": {"confidence": "_confidence.tif", "confidence.style": "_confidence.qml"},
}
#: A mosaic of its own has a STAC Collection; those of periods share one.
_COLLECTION: Final = {"stac.collection": "_collection.json"}
#: What can be asked for.
MOSAIC_OUTPUTS: Final = (*OUTPUTS, *_OWN_PARTS)
#: What a mosaic consists of unless something else is asked for.
DEFAULT_MOSAIC_OUTPUTS: Final = (*DEFAULT_OUTPUTS, *_OWN_PARTS)
#: What can be asked for of a mosaic of pixels, whose confidence is that of a map of pixels.
PIXEL_MOSAIC_OUTPUTS: Final = (*PIXEL_OUTPUTS, "observations")
#: Least valid × clear share of an observation that is not averaged with others.
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True)
class MosaicOptions:
    """Choices of ``geolulc mosaic`` that concern the values.

    Attributes:
        combine: of ``COMBINATIONS``.
        crs: of the mosaic; None for the maps' own, or EPSG:3035 in Europe where these differ.
        cell_size: side of a cell in metres; None for the maps' own.
        min_weight: an observation whose valid × clear share is below this is left out; None for
            0 with "mean", where weights tell them apart, and 0.5 otherwise.
        mixed_models: accept maps made by different models.
    """

    combine: str = "mean"
    crs: str | None = None
    cell_size: int | None = None
    min_weight: float | None = None
    mixed_models: bool = False

    def __post_init__(self) -> None:
        if self.combine not in COMBINATIONS:
            raise ParameterError(
                f"combination {self.combine!r}",
                found="no such combination",
                expected=f"one of {', '.join(COMBINATIONS)}",
                remedy="Use one of these.",
            )
        if self.cell_size is not None and self.cell_size < 1:
            raise ParameterError(
                "cell size",
                found=f"{self.cell_size} m",
                expected="whole metres, at least 1",
                remedy="Leave it out for the maps' own.",
            )
        if self.min_weight is not None and not 0 <= self.min_weight <= 1:
            raise ParameterError(
                "smallest weight",
                found=self.min_weight,
                expected="a share, 0 to 1",
                remedy="Use 0.5, say.",
            )

    @property
    def least_weight(self) -> float:
        """``min_weight``, or what stands for None."""
        if self.min_weight is not None:
            return self.min_weight
        return 0.0 if self.combine == "mean" else _HALF


@dataclass(frozen=True, slots=True)
class MosaicOutput:
    """Choices of ``geolulc mosaic`` that concern its files.

    Attributes:
        outputs: of ``MOSAIC_OUTPUTS``; of a mosaic of pixels, of ``PIXEL_MOSAIC_OUTPUTS``, where
            the default stands for that mosaic's own.
        dtype: of ``probabilities.ENCODINGS``.
        cells: write a polygon for each cell; None where there are at most 50,000.
        min_area: hectares that a polygon of a mosaic of pixels has at least.
    """

    outputs: tuple[str, ...] = DEFAULT_MOSAIC_OUTPUTS
    dtype: str = "float32"
    cells: bool | None = None
    min_area: float = 0.5

    def plan(self, out: Path, *, alone: bool = True) -> dict[str, Path]:
        """Part → path, as ``files.plan_outputs``; map.tif last.

        Args:
            out: of map.tif.
            alone: the mosaic is not one of several that have a STAC Collection together.

        Raises:
            ParameterError: an unknown output.
        """
        require_known(self.outputs, MOSAIC_OUTPUTS, "outputs of a mosaic of cells")
        common = [name for name in self.outputs if name in OUTPUTS]
        paths = plan_outputs(out, common or ("probabilities",), model=False)
        last = paths.pop("probabilities", None)
        own = dict(_OWN_PARTS)
        if alone:
            own["stac"] = _COLLECTION
        for name, parts in own.items():
            if name in self.outputs:
                paths |= {part: out.with_name(out.stem + end) for part, end in parts.items()}
        if last is not None and "probabilities" in self.outputs:
            paths["probabilities"] = last
        return paths

    @property
    def pixel_outputs(self) -> tuple[str, ...]:
        """``outputs`` of a mosaic of pixels: its own defaults in place of the others'."""
        own = (*DEFAULT_PIXEL_OUTPUTS, "observations")
        if self.outputs == DEFAULT_MOSAIC_OUTPUTS:
            return own
        if set(self.outputs) == {*DEFAULT_MOSAIC_OUTPUTS, "report"}:
            return (*own, "report")
        return self.outputs

    def plan_pixels(self, out: Path, *, alone: bool = True) -> dict[str, Path]:
        """``plan`` of a mosaic of pixels.

        Raises:
            ParameterError: an unknown output, or an option that only mosaics of cells have.
        """
        wanted = self.pixel_outputs
        require_known(wanted, PIXEL_MOSAIC_OUTPUTS, "outputs of a mosaic of pixels")
        common = tuple(name for name in wanted if name in PIXEL_OUTPUTS) or ("classes",)
        options = OutputOptions(common, self.dtype, cells=self.cells, min_area=self.min_area)
        paths = options.plan_pixels(out, model=False)
        if wanted == ("observations",):
            paths = {}
        own = dict(_OWN_PARTS["observations"] if "observations" in wanted else {})
        if alone and "stac" in wanted:
            own |= _COLLECTION
        return {part: out.with_name(out.stem + end) for part, end in own.items()} | paths
