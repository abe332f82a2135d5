"""Which files a map consists of: names derive from the path of map.tif."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from geolulc.errors import ParameterError

#: Output → the parts it is made of, each with what follows the stem of ``--out``; the part named
#: like the output comes first, its sidecars after it.
_PARTS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "probabilities": {"probabilities": ".tif", "probabilities.style": ".qml"},
        "classes": {
            "classes": "_classes.tif",
            "classes.style": "_classes.qml",
            "classes.attributes": "_classes.tif.aux.xml",
        },
        "presence": {"presence": "_presence.tif", "presence.style": "_presence.qml"},
        "uncertainty": {"uncertainty": "_uncertainty.tif", "uncertainty.style": "_uncertainty.qml"},
        "vectors": {},  # by format, below
        "stac": {"stac": ".json", "stac.model": "_model.json"},
        "picture": {"picture": ".png"},
        "report": {"report": ".html"},
    }
)
#: What can be asked for.
OUTPUTS: Final = tuple(_PARTS)
#: What a map consists of unless something else is asked for.
DEFAULT_OUTPUTS: Final = tuple(name for name in OUTPUTS if name != "report")

#: Vector format → GDAL driver and ending.
VECTOR_FORMATS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "gpkg": ("GPKG", ".gpkg"),
        "parquet": ("Parquet", ".parquet"),
        "flatgeobuf": ("FlatGeobuf", ".fgb"),
    }
)


def plan_outputs(
    out: Path,
    outputs: Iterable[str] = DEFAULT_OUTPUTS,
    *,
    vector_format: str = "gpkg",
    cells: bool = True,
    model: bool = True,
) -> dict[str, Path]:
    """The files of ``outputs`` beside ``out``, which names map.tif.

    Nothing is read or written, so a caller can refuse before any work is done
    (``geolulc.staging.require_free``).

    Args:
        out: path of map.tif; ends in .tif.
        outputs: of ``OUTPUTS``.
        vector_format: of ``VECTOR_FORMATS``.
        cells: whether vectors in other formats than GeoPackage have a file of cells.
        model: whether the model is described too (``stac.model``).

    Returns:
        Part → path, map.tif last: its presence says that the others are complete. A part is
        named like its output; sidecars are called "classes.style" and so on.

    Raises:
        ParameterError: an unknown output or format, no output, or ``out`` does not end in .tif.
    """
    wanted = tuple(outputs)
    require_known(wanted, OUTPUTS, "outputs")
    require_known((vector_format,), VECTOR_FORMATS, "vector format")
    parts: dict[str, str] = {}
    for name in OUTPUTS:
        if name in wanted:
            parts |= vector_parts(vector_format, cells) if name == "vectors" else _PARTS[name]
    if not model:
        parts.pop("stac.model", None)
    return place_parts(Path(out), parts, main="probabilities")


def place_parts(out: Path, parts: Mapping[str, str], *, main: str) -> dict[str, Path]:
    """Part → path beside ``out``, from part → what follows its stem; ``main`` is ``out``, last.

    Raises:
        ParameterError: ``out`` does not end in .tif.
    """
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ParameterError(
            f"output {out}",
            found=f"the ending {out.suffix!r}",
            expected=".tif: it is a GeoTIFF, and the other files' names derive from it",
            remedy=f"Give {out.with_suffix('.tif')}, say.",
        )
    paths = {part: out.with_name(out.stem + suffix) for part, suffix in parts.items()}
    if main in paths:
        del paths[main]
        paths[main] = out
    return paths


def vector_parts(vector_format: str, cells: bool) -> dict[str, str]:
    """Parts of the output ``vectors`` with what follows the stem; of ``VECTOR_FORMATS``."""
    if vector_format == "gpkg":
        return {"vectors": ".gpkg"}
    # not "_classes": QGIS would take the raster's style for the polygons
    ending = VECTOR_FORMATS[vector_format][1]
    parts = {"vectors": "_polygons" + ending, "vectors.style": "_polygons.qml"}
    if cells:
        parts |= {"vectors.cells": "_cells" + ending, "vectors.cells.style": "_cells.qml"}
    return parts | {"vectors.summary": "_summary.csv"}


def require_known(found: tuple[str, ...], known: Iterable[str], what: str) -> None:
    """``ParameterError`` unless there is something in ``found``, and all of it is ``known``."""
    unknown = [name for name in found if name not in known]
    if unknown or not found:
        raise ParameterError(
            what,
            found=", ".join(map(repr, unknown)) or "none",
            expected=f"of {', '.join(known)}",
            remedy="Choose from these.",
        )
