"""Classes of rasters that geolulc did not write: values, with GDAL's names and colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.shutil
from defusedxml import ElementTree
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window

from geolulc.analysis.consistency import require_small_blocks
from geolulc.errors import OutputError
from geolulc.nomenclature import LandCoverClass
from geolulc.safe_texts import one_line

#: Formats of strangers' rasters. Others of GDAL's are left out: a VRT, a web service or a pipeline
#: is a text that names other files and servers.
_DRIVERS: Final = (
    *("GTiff", "HFA", "GPKG", "AIG", "AAIGrid", "ENVI", "EHdr", "RST", "SAGA", "GRASSASCIIGrid"),
    *("ILWIS", "PCRaster", "RRASTER"),
)
#: A raster with more values is no classification.
_MOST_CLASSES: Final = 256
#: The highest code of a class.
_HIGHEST: Final = 65534
#: Colours of classes that have none, one after the other: ColorBrewer's Set3.
_COLORS: Final = (
    "#8dd3c7", "#ffffb3", "#bebada", "#fb8072", "#80b1d3", "#fdb462",
    "#b3de69", "#fccde5", "#d9d9d9", "#bc80bd", "#ccebc5", "#ffed6f",
)  # fmt: skip
#: Usages of columns of a raster attribute table: GDAL's GFU_MinMax, _Name, _Red, _Green, _Blue.
_VALUE, _NAME, _RED, _GREEN, _BLUE = "5", "2", "6", "7", "8"


@dataclass(frozen=True)
class Legend:
    """Names and colours of values, as far as a raster has them."""

    names: Mapping[int, str]
    colors: Mapping[int, str]

    def classes(self, values: Iterable[int]) -> tuple[LandCoverClass, ...]:
        """A class for each of ``values``; a value without a name, or with another's, is its own."""
        found: list[LandCoverClass] = []
        taken: set[str] = set()
        for i, value in enumerate(sorted(values)):
            name = one_line(self.names.get(value, ""))
            if not name or name in taken:
                name = str(value)
            taken.add(name)
            color = self.colors.get(value, _COLORS[i % len(_COLORS)])
            found.append(LandCoverClass(name, value, color))
        return tuple(found)


def open_single_band(path: Path) -> Any:
    """The rasterio dataset of a raster of one band with a place.

    Raises:
        OutputError: it is missing, no raster, or a raster of something else.
    """
    try:
        with rasterio.Env():  # which rasterio.open, that takes one driver, sets up too
            dataset = DatasetReader(str(path), driver=list(_DRIVERS))
    except RasterioError as error:
        raise _unfit(path, str(error)) from error
    require_small_blocks(path, dataset)
    found = ""
    if dataset.count != 1:
        found = f"{dataset.count} bands"
    elif dataset.crs is None:
        found = "no coordinate reference system"
    elif np.dtype(dataset.dtypes[0]).kind not in "uif":
        found = f"values of type {dataset.dtypes[0]}"
    if found:
        dataset.close()
        raise _unfit(path, found)
    return dataset


def values_of(dataset: Any, windows: Iterable[Window]) -> set[int]:
    """The values of a raster of classes, without its nodata.

    Raises:
        OutputError: there are fractions, or more values than classes can be.
    """
    found: set[int] = set()
    for window in windows:
        band, known = read_codes(dataset, window)
        values = band[known]
        if values.dtype.kind == "f" and (values != np.round(values)).any():
            raise _unfit(dataset.name, f"fractions ({values[values != np.round(values)][0]:g})")
        if values.dtype in (np.uint8, np.uint16):
            new = np.flatnonzero(np.bincount(values.ravel(), minlength=1))
        else:
            new = np.unique(values)
        found |= {int(value) for value in new}
        if len(found) > _MOST_CLASSES:
            raise _unfit(dataset.name, f"more than {_MOST_CLASSES} values")
        if found and not 0 <= min(found) <= max(found) <= _HIGHEST:
            raise _unfit(dataset.name, f"values from {min(found)} to {max(found)}")
    return found


def read_codes(dataset: Any, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values (rows, columns) of the only band, and whether they are data.

    Raises:
        OutputError: the file is damaged.
    """
    try:
        band = dataset.read(1, window=window)
        if dataset.nodata is None:
            known = dataset.read_masks(1, window=window) > 0
        else:
            known = ~np.isnan(band) if np.isnan(dataset.nodata) else band != dataset.nodata
    except RasterioError as error:
        raise _unfit(dataset.name, f"a damaged file ({error})") from error
    if band.dtype.kind == "f":
        known &= np.isfinite(band)
    return band, known


def legend_of(dataset: Any) -> Legend:
    """Names and colours from category names, an attribute table or a colour table.

    GDAL writes all of them into a VRT, whichever file or sidecar they come from; rasterio reads
    colours only.
    """
    with MemoryFile(ext=".vrt") as memory:
        rasterio.shutil.copy(dataset, memory.name, driver="VRT")
        band = ElementTree.fromstring(memory.read()).find("VRTRasterBand")
    names: dict[int, str] = {}
    colors: dict[int, str] = {}
    if band is None:
        return Legend(names, colors)
    for code, category in enumerate(band.findall("CategoryNames/Category")):
        names[code] = category.text or ""
    for code, entry in enumerate(band.findall("ColorTable/Entry")):
        colors[code] = _color(*(entry.get(f"c{i}", "0") for i in (1, 2, 3)))
    try:
        _add_table(band, names, colors)
    except (ValueError, IndexError, OverflowError) as error:
        raise _unfit(dataset.name, f"an attribute table that is none ({error})") from error
    return Legend(names, colors)


def _add_table(band: Any, names: dict[int, str], colors: dict[int, str]) -> None:
    """Names and colours from the raster attribute table, if there is one."""
    columns = {
        field.findtext("Usage", ""): int(field.get("index", "0"))
        for field in band.findall("GDALRasterAttributeTable/FieldDefn")
    }
    for row in band.findall("GDALRasterAttributeTable/Row"):
        cells = [cell.text or "" for cell in row.findall("F")]
        if _VALUE in columns and _NAME in columns:
            code = int(float(cells[columns[_VALUE]]))
            names[code] = cells[columns[_NAME]]
            if {_RED, _GREEN, _BLUE} <= columns.keys():
                colors[code] = _color(*(cells[columns[c]] for c in (_RED, _GREEN, _BLUE)))


def _color(*parts: str) -> str:
    return "#" + "".join(f"{min(max(int(float(part)), 0), 255):02x}" for part in parts)


def _unfit(path: object, found: str) -> OutputError:
    return OutputError(
        path,
        found=found,
        expected="a map of geolulc, or a raster of one band of whole numbers with a place: classes",
        remedy="Give the map, or a raster of its classes.",
    )
