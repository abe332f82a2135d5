"""GDAL's raster attribute table and category names, in the .aux.xml beside a class raster.

GeoTIFF has no place for either that GDAL 3.10 and QGIS 3.22 read, so they go where GDAL itself
puts them (its "persistent auxiliary metadata"). Rows count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from geolulc.maps.tally import ClassSummary

_INTEGER, _REAL, _STRING = 0, 1, 2
#: Column, GDAL field type, GDAL usage (GFU_MinMax, GFU_Name, GFU_PixelCount, GFU_Red…, generic).
_COLUMNS: Final = (
    ("Value", _INTEGER, 5),
    ("Class", _STRING, 2),
    ("Count", _INTEGER, 1),
    ("Area_ha", _REAL, 0),
    ("Red", _INTEGER, 6),
    ("Green", _INTEGER, 7),
    ("Blue", _INTEGER, 8),
)


def attribute_table(summaries: Sequence[ClassSummary]) -> str:
    """The text of a .aux.xml: names of all codes from 0, and a row for each class."""
    dataset = Element("PAMDataset")
    band = SubElement(dataset, "PAMRasterBand", band="1")
    names = {s.land_cover.code: s.land_cover.name for s in summaries}
    categories = SubElement(band, "CategoryNames")
    for code in range(max(names) + 1):
        SubElement(categories, "Category").text = names.get(code, "No data" if code == 0 else "")
    table = SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for i, (name, kind, usage) in enumerate(_COLUMNS):
        column = SubElement(table, "FieldDefn", index=str(i))
        SubElement(column, "Name").text = name
        SubElement(column, "Type").text = str(kind)
        SubElement(column, "Usage").text = str(usage)
    for i, s in enumerate(summaries):
        row = SubElement(table, "Row", index=str(i))
        for value in (
            s.land_cover.code,
            s.land_cover.name,
            s.cells,
            f"{s.area_ha:.4f}",
            *s.land_cover.rgb,
        ):
            SubElement(row, "F").text = str(value)
    ElementTree.indent(dataset)
    return ElementTree.tostring(dataset, encoding="unicode") + "\n"
