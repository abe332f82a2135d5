"""The tags of a map's files, which describe the map: written here, read back here.

Maps of cells and of pixels have the same tags, except for a few that are named after the unit.
Only maps of cells have patches and thresholds, only maps of pixels masked classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from geolulc import __version__
from geolulc.grid import ALIGNMENT, LOCATED_CELLS, Extent, Grid, MapGrid, TileGrid
from geolulc.maps.header import MapHeader
from geolulc.maps.tally import ClassSummary, MapFigures
from geolulc.nomenclature import Nomenclature, nomenclature, nomenclature_of

#: The CRS that the map was written in, so that a file that is given another is not believed.
CRS_TAG: Final = "CRS"
#: Number of maps that a mosaic was made of; only mosaics have it.
MOSAIC: Final = "MOSAIC_MAPS"
#: Side of a pixel in metres; only maps of pixels have it.
PIXEL_SIZE_TAG: Final = "PIXEL_SIZE_M"
#: What the values of a cell are; only maps of cover fractions have it.
VALUES_TAG: Final = "VALUES"
#: Side of the coarsest pixel of the scene; only of other sensors than Sentinel-2.
_ALIGNMENT_TAG: Final = "ALIGNMENT_M"
_CELL_SIZE: Final = "STRIDE_M"
_FREQUENCIES: Final = "CLASS_FREQUENCIES"
_MOSAIC: Final = "MOSAIC_"
_SCENE: Final = "SCENE_"
_MODEL: Final = "MODEL_"


def map_tags(
    header: MapHeader, figures: MapFigures, summaries: Sequence[ClassSummary]
) -> dict[str, str]:
    """The tags that every raster and layer of a map carries."""
    grid, unit = header.grid, header.unit.many.upper()
    own = _pixel_tags(header) if header.exclusive else _cell_tags(header)
    areas = {s.land_cover.name: round(s.area_ha, 4) for s in summaries}
    shares = {"MEAN_VALID_SHARE": figures.mean_valid}
    if not header.exclusive:  # pixels that are not clear have no data
        shares["MEAN_CLEAR_SHARE"] = figures.mean_clear
    overflown = {f"OVERFLOWN_{unit}": str(figures.overflown)} if figures.overflown else {}
    return {
        "TIFFTAG_SOFTWARE": f"geolulc {__version__}",
        "GEOLULC_VERSION": __version__,
        "NOMENCLATURE": header.nomenclature.id,
        "NOMENCLATURE_TITLE": header.nomenclature.title,
        "CLASSES": _json(header.nomenclature.only(header.classes).as_mapping()["classes"]),
        **own,
        CRS_TAG: grid.extent.crs,
        "TILE_EXTENT": _json(grid.tile.bounds),
        **_alignment_tag(grid.tile),
        f"MAPPED_{unit}": str(figures.mapped),
        f"NODATA_{unit}": str(figures.cells - figures.mapped),
        **overflown,
        "MAPPED_AREA_HA": repr(figures.area_ha),
        "AREA_HA_BY_CLASS": _json({name: hectares for name, hectares in areas.items() if hectares}),
        "AREA_METHOD": header.unit.areas.words,
        **{name: f"{share:.6g}" for name, share in shares.items() if share is not None},
        **{_SCENE + key.upper(): str(value) for key, value in header.scene.items()},
        **{_MODEL + key.upper(): str(value) for key, value in header.model.items()},
    }


def _cell_tags(header: MapHeader) -> dict[str, str]:
    return {
        "THRESHOLDS": _json([round(float(t), 6) for t in header.presence_thresholds]),
        _CELL_SIZE: str(header.grid.cell),
        "PATCH_SIZE_M": str(header.patch_size or header.grid.cell),
        **({VALUES_TAG: header.unit.values} if header.fractions else {}),
        **({_FREQUENCIES: _json(list(header.frequencies))} if header.frequencies else {}),
        **({"MIN_CLEAR": f"{header.min_clear:.6g}"} if header.min_clear else {}),
    }


def _pixel_tags(header: MapHeader) -> dict[str, str]:
    return {
        PIXEL_SIZE_TAG: str(header.grid.cell),
        "EXTENT": _json([float(edge) for edge in header.grid.extent.bounds]),
        "MASKED_SCL": _json(list(header.masked_scl)),
    }


def _alignment_tag(tile: Extent) -> dict[str, str]:
    """Of scenes of other sensors than Sentinel-2."""
    unit = tile.alignment if isinstance(tile, TileGrid) else ALIGNMENT
    return {} if unit == ALIGNMENT else {_ALIGNMENT_TAG: str(unit)}


def header_of(tags: Mapping[str, str], crs: str) -> MapHeader:
    """The header of the map whose file has these tags and this CRS.

    Raises:
        KeyError, ValueError, TypeError, AttributeError: tags that ``map_tags`` does not write.
        GeolulcError: a grid or classes that geolulc does not know.
    """
    exclusive = PIXEL_SIZE_TAG in tags
    return MapHeader(
        grid=_pixel_grid(tags, crs) if exclusive else _cell_grid(tags, crs),
        classes=tuple(c["name"] for c in json.loads(tags["CLASSES"])),
        nomenclature=_nomenclature(tags),
        exclusive=exclusive,
        fractions=VALUES_TAG in tags,
        patch_size=None if exclusive else int(tags["PATCH_SIZE_M"]),
        thresholds=() if exclusive else tuple(json.loads(tags["THRESHOLDS"])),
        scene=scene_of(tags),
        model=model_of(tags),
        masked_scl=tuple(json.loads(tags["MASKED_SCL"])) if exclusive else (),
        frequencies=tuple(json.loads(tags.get(_FREQUENCIES, "[]"))),
        min_clear=float(tags.get("MIN_CLEAR", 0)),
    )


def _nomenclature(tags: Mapping[str, str]) -> Nomenclature:
    classes = json.loads(tags["CLASSES"])
    if "NOMENCLATURE_TITLE" not in tags:  # an older map, of a built-in one
        return nomenclature(tags["NOMENCLATURE"])
    title = tags["NOMENCLATURE_TITLE"]
    return nomenclature_of({"id": tags["NOMENCLATURE"], "title": title, "classes": classes})


def _cell_grid(tags: Mapping[str, str], crs: str) -> Grid:
    tile = _tile(tags, crs)
    cell, patch_size = int(tags[_CELL_SIZE]), int(tags["PATCH_SIZE_M"])
    if isinstance(tile, TileGrid) and cell not in LOCATED_CELLS:
        return MapGrid(tile, cell, patch_size).cells
    return Grid.over(tile, cell)


def _pixel_grid(tags: Mapping[str, str], crs: str) -> Grid:
    tile, size = _tile(tags, crs), int(tags[PIXEL_SIZE_TAG])
    extent = _extent(tags["EXTENT"], crs)
    grid = Grid(tile if extent.bounds == tile.bounds else extent, size, tile)
    places = *grid.inset, grid.extent.height, grid.extent.width
    known = not isinstance(tile, TileGrid) or tile.alignment % size == 0
    if not known or any(place % size for place in places):
        raise ValueError(f"pixels of {size} m at {places}")
    return grid


def _tile(tags: Mapping[str, str], crs: str) -> Extent:
    tile = _extent(tags["TILE_EXTENT"], crs)
    if MOSAIC in tags:
        return tile
    alignment = int(tags.get(_ALIGNMENT_TAG, ALIGNMENT))
    return TileGrid(tile.crs, tile.left, tile.top, tile.width, tile.height, alignment)


def _extent(text: str, crs: str) -> Extent:
    left, bottom, right, top = json.loads(text)
    return Extent(crs, left, top, round(right - left), round(top - bottom))


def scene_of(tags: Mapping[str, str]) -> dict[str, str]:
    """``MapHeader.scene``, from the tags of a file."""
    return _named(tags, _SCENE)


def model_of(tags: Mapping[str, str]) -> dict[str, str]:
    """``MapHeader.model``, from the tags of a file."""
    return _named(tags, _MODEL)


def mosaic_of(tags: Mapping[str, str]) -> dict[str, str]:
    """How a mosaic was made, from the tags of a file; {} of the map of a scene."""
    return _named(tags, _MOSAIC)


def _named(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {k.removeprefix(prefix).lower(): v for k, v in tags.items() if k.startswith(prefix)}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
