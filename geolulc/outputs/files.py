"""The outputs of a map and their files: one table. Names derive from the path of map.tif.

A new output is a row here. The row of a raster names its ``layers.Layer``, which is loaded when
such a raster is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from geolulc.errors import ParameterError
from geolulc.staging import require_named


class MapKind(Enum):
    """The kinds of maps, by their outputs; the value is the name of the kind."""

    CELLS = "a map of cells"
    PIXELS = "a map of pixels"
    CELL_MOSAIC = "a mosaic of cells"
    PIXEL_MOSAIC = "a mosaic of pixels"

    @classmethod
    def of(cls, *, exclusive: bool, mosaic: bool) -> MapKind:
        """The kind of a map: the classes of a pixel exclude each other."""
        if mosaic:
            return cls.PIXEL_MOSAIC if exclusive else cls.CELL_MOSAIC
        return cls.PIXELS if exclusive else cls.CELLS


_CELLS: Final = frozenset({MapKind.CELLS, MapKind.CELL_MOSAIC})
#: Kinds whose classes exclude each other.
PIXEL_KINDS: Final = frozenset({MapKind.PIXELS, MapKind.PIXEL_MOSAIC})
_MOSAICS: Final = frozenset({MapKind.CELL_MOSAIC, MapKind.PIXEL_MOSAIC})
_ALL: Final = _CELLS | PIXEL_KINDS


@dataclass(frozen=True, slots=True)
class Asset:
    """A file in a STAC Item.

    Attributes:
        title: of any map; ``{value}``, ``{values}`` and ``{first}`` in it are words of its unit.
        pixel_title: the title in a map of pixels, if it differs.
        roles: of the asset.
    """

    title: str
    pixel_title: str | None = None
    roles: tuple[str, ...] = ("data",)


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a map.

    Attributes:
        name: of the output, and of the first part that it is made of; a sidecar is called
            "classes.style", say.
        kinds: the kinds of maps that can have it.
        default: the kinds that have it unless outputs are chosen.
        main: the kinds of which it is the map.tif.
        parts: part → the end of its file name, after the stem of map.tif; None for a raster.
        sidecars: of a raster: part → the end of its file name, after the raster's name up to .tif.
        assets: part → its STAC asset.
        layer: "module:name" of the ``Layer`` of a raster.
    """

    name: str
    kinds: frozenset[MapKind] = _ALL
    default: frozenset[MapKind] = _ALL
    main: frozenset[MapKind] = frozenset()
    parts: Mapping[str, str] | None = None
    sidecars: Mapping[str, str] = field(default_factory=dict)
    assets: Mapping[str, Asset] = field(default_factory=dict)
    layer: str = ""

    def files(self, kind: MapKind) -> dict[str, str]:
        """Part → the end of its file name, after the stem of map.tif."""
        if self.parts is not None:
            return dict(self.parts)
        stem = "" if kind in self.main else f"_{self.name}"
        return {self.name: f"{stem}.tif"} | {
            f"{self.name}.{part}": stem + ending for part, ending in self.sidecars.items()
        }


def _raster(
    name: str,
    asset: Asset,
    kinds: frozenset[MapKind] = _ALL,
    default: frozenset[MapKind] = _ALL,
    main: frozenset[MapKind] = frozenset(),
    layer: str = "",
    **sidecars: str,
) -> Output:
    """The row of a raster; ``layer`` is that of its name in ``layers`` by default."""
    beside = {"style": ".qml", **sidecars}
    layer = layer or f"{_LAYERS}:{name.upper()}"
    return Output(name, kinds, default, main, None, beside, {name: asset}, layer)


_LAYERS: Final = "geolulc.outputs.layers"
_UNSURE: Final = ("data", "uncertainty")
#: All outputs, in the order in which they are shown.
OUTPUTS: Final[tuple[Output, ...]] = (
    # all probabilities of a tile at 10 m are 2.3 GB before compression: only when asked for
    _raster("probabilities", Asset("{value} of each class"), default=_CELLS, main=_CELLS),
    _raster(
        "classes",
        Asset("{first} class", "Class of each pixel"),
        main=PIXEL_KINDS,
        attributes=".tif.aux.xml",
    ),
    _raster("presence", Asset("Classes that reach their threshold"), _CELLS),
    _raster(
        "uncertainty",
        Asset("Entropy, margin, valid and clear share", roles=_UNSURE),
        _CELLS,
    ),
    _raster(
        "domain",
        Asset("Distance from the spectra of the training", roles=_UNSURE),
        _ALL - _MOSAICS,
        default=frozenset(),
    ),
    _raster("observations", Asset("Number of observations"), _MOSAICS),
    _raster(
        "confidence",
        Asset("Agreement of the observations on each class", roles=_UNSURE),
        _MOSAICS & _CELLS,
        layer=f"{_LAYERS}:AGREEMENT",
    ),
    _raster("confidence", Asset("Probability of the class", roles=_UNSURE), PIXEL_KINDS),
    _raster("top3", Asset("The three most probable classes"), PIXEL_KINDS),
    Output(
        "vectors",
        parts={},  # by format, see ``vector_parts``
        assets={
            "vectors": Asset("Regions of one {first} class", "Regions of one class"),
            "vectors.cells": Asset("Cells with all {values}"),
            "vectors.summary": Asset("Cells by most probable class", "Areas by class"),
        },
    ),
    Output(
        "stac",
        parts={
            "stac": ".json",
            "stac.model": "_model.json",
            "stac.collection": "_collection.json",
        },
    ),
    Output(
        "picture",
        parts={"picture": ".png"},
        assets={"picture": Asset("Quicklook with legend", roles=("overview",))},
    ),
    Output(
        "report",
        default=frozenset(),
        parts={"report": ".html"},
        assets={"report": Asset("Report", roles=("metadata",))},
    ),
)
#: Encodings of probabilities, those of ``maps.encoding.ENCODINGS``.
DTYPES: Final = ("float32", "uint16", "uint8")
#: Vector format → ending of its files.
VECTOR_FORMATS: Final[Mapping[str, str]] = MappingProxyType(
    {"gpkg": ".gpkg", "parquet": ".parquet", "flatgeobuf": ".fgb"}
)


def outputs_of(kind: MapKind) -> tuple[Output, ...]:
    """The rows of ``OUTPUTS`` that maps of a kind can have."""
    return tuple(output for output in OUTPUTS if kind in output.kinds)


def output_names(*kinds: MapKind) -> tuple[str, ...]:
    """Names of the outputs that maps of one of ``kinds`` can have."""
    return tuple(dict.fromkeys(o.name for o in OUTPUTS if o.kinds & set(kinds)))


def default_outputs(kind: MapKind) -> tuple[str, ...]:
    """Names of the outputs that a map has unless others are asked for."""
    return tuple(o.name for o in outputs_of(kind) if kind in o.default)


def vector_parts(vector_format: str, *, cells: bool) -> dict[str, str]:
    """Part of the output ``vectors`` → the end of its file name, after the stem of map.tif."""
    ending = VECTOR_FORMATS[vector_format]
    if vector_format == "gpkg":
        return {"vectors": ending}
    # not "_classes": QGIS would take the raster's style for the polygons
    parts = {"vectors": "_polygons" + ending, "vectors.style": "_polygons.qml"}
    if cells:
        parts |= {"vectors.cells": "_cells" + ending, "vectors.cells.style": "_cells.qml"}
    return parts | {"vectors.summary": "_summary.csv"}


def require_known(found: tuple[str, ...], known: Iterable[str], subject: str) -> None:
    """``ParameterError`` unless ``found`` has names, and all of them are ``known``."""
    unknown = [name for name in found if name not in known]
    if unknown or not found:
        raise ParameterError(
            subject,
            found=", ".join(map(repr, unknown)) or "none",
            expected=f"of {', '.join(known)}",
            remedy="Choose from these.",
        )


def require_geotiff(out: Path) -> None:
    """``ParameterError`` unless ``out`` ends in .tif or .tiff; ``OutputError`` without a name."""
    require_named(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ParameterError(
            f"output {out}",
            found=f"the ending {out.suffix!r}",
            expected=".tif: it is a GeoTIFF, and the other files' names derive from it",
            remedy=f"Give {out.with_suffix('.tif')}, say.",
        )
