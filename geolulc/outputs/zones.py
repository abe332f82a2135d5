"""Land cover by zone: districts, catchments, fields. Cells are split at borders by area."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import geopandas
import numpy as np
import pandas
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer

from geolulc.errors import ParameterError
from geolulc.grid import Extent
from geolulc.landcover_map import LandCoverMap
from geolulc.nomenclature import LandCoverClass
from geolulc.outputs.areas import SQUARE_METRES_PER_HECTARE, whole_cell_areas
from geolulc.outputs.cells import dominant_index, map_classes, mapped_cells
from geolulc.outputs.tables import class_column
from geolulc.outputs.tags import map_tags

#: Called with (done, total) zones.
Progress = Callable[[int, int], None]

#: Straight edges of zones are cut into this many parts across the tile before they are projected:
#: 110 m for a Sentinel-2 tile, so a projected edge is off by less than a millimetre.
_PARTS_ACROSS: Final = 1000
#: A zone counts as wholly mapped from this share on: its outline is only so exact.
_WHOLE: Final = 0.999


def summarize_zones(
    landcover_map: LandCoverMap, zones: Any, *, progress: Progress | None = None
) -> Any:
    """Area and mean probability of every class in every zone.

    Args:
        landcover_map: the map.
        zones: GeoDataFrame of polygons or multipolygons, in any CRS.
        progress: called after each zone.

    Returns:
        The zones, with their own columns (one that has a name below gets "_zone" appended) and:

        - ``status``: "mapped" (99.9 % of it or more), "partly mapped", "no data" (on the tile, but
          no cell of it has probabilities), "outside" (of the tile), "empty" (no geometry);
        - ``zone_ha``: the zone's area on the ellipsoid; ``mapped_ha``: the part of it that is
          mapped; ``mapped_share``: their ratio;
        - ``dominant``: the class with the largest area, None without any;
        - ``ha_…`` for each class: area of the cells, or parts of cells, where it is dominant;
        - ``p_…`` for each class: its mean probability over ``mapped_ha``, NaN without any.

        Areas are hectares on the ground (``areas.py``); the ``ha_…`` add up to ``mapped_ha``. Its
        ``attrs`` are the map's tags (product, model, …).

    Raises:
        ParameterError: the zones have no CRS, or are not polygons.
    """
    require_polygons(zones)
    placement = Placement(zones.crs, landcover_map.grid.tile)
    classes = map_classes(landcover_map)
    statistics = _Statistics(landcover_map)
    areas = np.zeros((len(zones), len(classes)))
    means = np.full((len(zones), len(classes)), np.nan)
    status = []
    zone_areas = ground_areas(zones)
    for i, zone in enumerate(zones.geometry):
        part = placement.of(zone)
        areas[i], means[i] = statistics.of(part)
        status.append(zone_status(zone, part, areas[i].sum(), zone_areas[i]))
        if progress is not None:
            progress(i + 1, len(zones))
    columns = area_columns(classes, zone_areas, areas)
    columns |= {class_column("p_", c): means[:, i] for i, c in enumerate(classes)}
    return zone_table(zones, {"status": status, **columns}, map_tags(landcover_map))


def area_columns(
    classes: Sequence[LandCoverClass],
    zone_areas: NDArray[np.float64],
    areas: NDArray[np.float64],
) -> dict[str, Any]:
    """Columns from hectares of each zone, and of each class in it: float64 (zone, class)."""
    mapped = areas.sum(axis=1)
    largest = areas.argmax(axis=1) if len(areas) else np.zeros(0, np.intp)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(zone_areas > 0, mapped / zone_areas, 0.0)
    columns: dict[str, Any] = {
        "zone_ha": zone_areas,
        "mapped_ha": mapped,
        "mapped_share": np.minimum(share, 1.0),
        "dominant": [
            classes[k].name if total else None for k, total in zip(largest, mapped, strict=True)
        ],
    }
    return columns | {class_column("ha_", c): areas[:, i] for i, c in enumerate(classes)}


def zone_table(zones: Any, columns: Mapping[str, Any], tags: Mapping[str, str]) -> Any:
    """``zones`` with ``columns``; their own of such a name get "_zone" appended."""
    own = zones.rename(columns={c: f"{c}_zone" for c in zones.columns if c in columns})
    added = pandas.DataFrame(columns, index=zones.index)
    found = geopandas.GeoDataFrame(
        pandas.concat([own, added], axis=1), geometry=own.geometry.name, crs=zones.crs
    )
    found.attrs = dict(tags)
    return found


class _Statistics:
    """Class areas and mean probabilities of polygons in the map's CRS."""

    def __init__(self, landcover_map: LandCoverMap) -> None:
        grid = landcover_map.grid
        rows, columns = grid.shape
        left, top = grid.tile.left, grid.tile.top
        self._raster = NumPyRasterSource(
            np.zeros(grid.shape, np.uint8),
            left,
            top - rows * grid.stride,
            left + columns * grid.stride,
            top,
        )
        self._classes = len(landcover_map.classes)
        self._p = landcover_map.probabilities.reshape(self._classes, -1).astype(np.float64)
        self._dominant = dominant_index(landcover_map).ravel()
        self._mapped = mapped_cells(landcover_map).ravel()
        self._areas = whole_cell_areas(grid).ravel()

    def of(self, polygon: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Hectares where each class is dominant, and each class's mean probability."""
        nothing = np.zeros(self._classes), np.full(self._classes, np.nan)
        if polygon.is_empty:
            return nothing
        feature = {"type": "Feature", "geometry": shapely.geometry.mapping(polygon)}
        (found,) = exact_extract(self._raster, [feature], ["cell_id", "coverage"])
        cells = np.asarray(found["properties"]["cell_id"], np.intp)
        coverage = np.asarray(found["properties"]["coverage"], np.float64)
        mapped = self._mapped[cells]
        cells, coverage = cells[mapped], coverage[mapped]
        weights = coverage * self._areas[cells]
        total = weights.sum()
        if not total:
            return nothing
        areas = np.bincount(self._dominant[cells], weights=weights, minlength=self._classes)
        return np.asarray(areas, np.float64), self._p[:, cells] @ weights / total


class Placement:
    """Zones of one CRS onto an extent."""

    def __init__(self, crs: Any, tile: Extent) -> None:
        extent = (tile.left, tile.top - tile.height, tile.left + tile.width, tile.top)
        self._tile = shapely.box(*extent)
        self._transformer = Transformer.from_crs(crs, tile.crs, always_xy=True)
        geographic = CRS.from_user_input(crs).is_geographic
        self._near = _neighbourhood(self._transformer, extent, geographic)
        west, south, east, north = self._near.bounds
        # on both sides of the 180th meridian the box is as wide as the world
        across = north - south if self._near.geom_type == "MultiPolygon" else east - west
        self._step = max(across, north - south) / _PARTS_ACROSS

    def of(self, zone: Any) -> Any:
        """The part of a zone that lies on the tile, as a polygon in the tile's CRS."""
        if zone is None or zone.is_empty:
            return shapely.Polygon()
        # cut first: far from its zone a transverse Mercator projection has no values
        part = _polygons(shapely.intersection(_polygons(shapely.make_valid(zone)), self._near))
        if part.is_empty:
            return part
        fine = shapely.segmentize(part, self._step)
        projected = _transformed(fine, self._transformer)
        return _polygons(shapely.intersection(shapely.make_valid(projected), self._tile))


def _transformed(geometry: Any, transformer: Transformer) -> Any:
    return shapely.transform(
        geometry, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
    )


def _neighbourhood(
    transformer: Transformer, extent: tuple[float, float, float, float], geographic: bool
) -> Any:
    """A box around the tile's ``extent`` in the zones' CRS; two across the 180th meridian."""
    west, south, east, north = transformer.transform_bounds(
        *extent, densify_pts=51, direction="INVERSE"
    )
    if geographic and west > east:
        margin = 0.05 * (360 - west + east)
        return shapely.MultiPolygon(
            [
                shapely.box(west - margin, south - margin, 180, north + margin),
                shapely.box(-180, south - margin, east + margin, north + margin),
            ]
        )
    margin = 0.05 * max(east - west, north - south)
    return shapely.box(west - margin, south - margin, east + margin, north + margin)


def _polygons(geometry: Any) -> Any:
    """The polygons of a geometry; lines and points, which have no area, are left out."""
    parts = shapely.get_parts(geometry)
    if any(shapely.get_type_id(parts) > 3):
        parts = shapely.get_parts(parts)
    polygons = parts[shapely.get_type_id(parts) == 3]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(list(polygons))


def ground_areas(zones: Any) -> NDArray[np.float64]:
    """Hectares of the zones on their ellipsoid (Karney 2013, through PROJ's geodesics)."""
    crs = CRS.from_user_input(zones.crs)
    ellipsoid = crs.ellipsoid
    geod = (
        Geod(ellps="WGS84")
        if ellipsoid is None
        else Geod(a=ellipsoid.semi_major_metre, b=ellipsoid.semi_minor_metre)
    )
    step = 0.01 if crs.is_geographic else 1000.0
    geographic = crs.geodetic_crs or CRS.from_epsg(4326)
    transformer = Transformer.from_crs(crs, geographic, always_xy=True)
    areas = np.zeros(len(zones))
    for i, zone in enumerate(zones.geometry):
        if zone is None or zone.is_empty:
            continue
        fine = shapely.segmentize(_polygons(shapely.make_valid(zone)), step)
        placed = _transformed(fine, transformer)
        areas[i] = sum(
            abs(geod.geometry_area_perimeter(shapely.geometry.polygon.orient(part))[0])
            for part in shapely.get_parts(placed)
        )
    return areas / SQUARE_METRES_PER_HECTARE


def zone_status(zone: Any, part: Any, mapped: float, whole: float) -> str:
    """What is known of a zone: its ``part`` on the map, hectares mapped and as a ``whole``."""
    if zone is None or zone.is_empty:
        return "empty"
    if part.is_empty:
        return "outside"
    if not mapped:
        return "no data"
    return "mapped" if mapped >= _WHOLE * whole else "partly mapped"


def require_polygons(zones: Any) -> None:
    """``ParameterError`` unless ``zones`` are polygons that say where they are."""
    if zones.crs is None:
        raise ParameterError(
            "zones",
            found="no coordinate reference system",
            expected="zones that say where they are",
            remedy="Set the CRS of the file (in QGIS: Layer, Set CRS) and save it.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = {str(k) for k in zones.geom_type.dropna().unique()}
    wrong = kinds - {"Polygon", "MultiPolygon", "GeometryCollection"}
    if wrong:
        raise ParameterError(
            "zones",
            found=f"geometries of type {', '.join(sorted(wrong))}",
            expected="polygons",
            remedy="Give a layer of polygons; buffer points or lines first.",
        )
