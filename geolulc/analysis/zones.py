"""Land cover by zone: districts, catchments, fields. Cells are split at borders by area."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import pandas
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from rasterio.windows import Window, bounds

from geolulc.analysis.map_file import MapFile, open_main, sibling
from geolulc.analysis.zone_columns import distinct_names
from geolulc.analysis.zone_files import ENDINGS, read_zones, write_zones
from geolulc.maps.areas import ground_areas
from geolulc.maps.encoding import ENCODINGS
from geolulc.nomenclature import Nomenclature
from geolulc.outputs.layer_files import require_ending
from geolulc.outputs.rasters import raster_memory
from geolulc.outputs.tables import class_column
from geolulc.ownership import reading
from geolulc.polygons.checks import require_places, require_polygons
from geolulc.polygons.placement import Placement, polygons_of, zone_areas
from geolulc.progress import Progress
from geolulc.staging import claimed, require_free

#: A zone counts as wholly mapped from this share on: its outline is only so exact.
_WHOLE: Final = 0.999


def summarize_map(
    map_path: Path,
    zones_path: Path,
    out: Path | None = None,
    *,
    layer: str | None = None,
    coarser: Nomenclature | None = None,
    overwrite: int = 0,
    progress: Progress | None = None,
) -> Any:
    """``summarize_zones`` of zones from a file and, where ``out`` is given, into a file.

    Args:
        map_path: a map.tif, of cells or of pixels.
        zones_path: polygons in a file of ``polygons.formats.FORMATS``; ``layer`` where there are
            several.
        out: a new .gpkg (layer "zones"), .parquet, .fgb or, without geometry, .csv.
        layer: layer of ``zones_path``.
        coarser: as of ``summarize_zones``.
        overwrite: 1 to replace ``out`` if geolulc wrote it, 2 in any case.
        progress: called with (done, total) zones, as far as the map has been read.

    Returns:
        The GeoDataFrame.

    Raises:
        OutputError: ``map_path`` is not a map, or ``out`` exists or cannot be written.
        ParameterError: the zones cannot be used, or ``out`` has another ending.
    """
    with ExitStack() as stack:
        stack.enter_context(reading([map_path, zones_path]))
        if out is not None:
            require_ending(out, ENDINGS)
            require_free([out], overwrite=overwrite)
        open_main(map_path, coarser).close()  # refused before a large file of zones is read
        if out is not None:
            stack.enter_context(claimed(out))
        zones = read_zones(zones_path, layer)
        found = summarize_zones(map_path, zones, coarser=coarser, progress=progress)
        if out is not None:
            write_zones(found, out, overwrite=overwrite)
    return found


def summarize_zones(
    map_path: Path,
    zones: Any,
    *,
    coarser: Nomenclature | None = None,
    progress: Progress | None = None,
) -> Any:
    """Area and probability of every class in every zone.

    Windows of the map are read once, from top to bottom: memory does not grow with the map.

    Args:
        map_path: a map.tif, of cells or of pixels.
        zones: GeoDataFrame of polygons or multipolygons, in any CRS.
        coarser: a nomenclature that holds the map's classes; the columns are of its classes.
        progress: called with (done, total) zones, as far as the map has been read.

    Returns:
        The zones, with their own columns (one that has a name below gets "_zone" appended) and:

        - ``status``: "mapped" (99.9 % of it or more), "partly mapped", "no data" (on the map, but
          no cell of it has probabilities), "outside" (of the map), "empty" (no geometry);
        - ``zone_ha``: the zone's area on the ellipsoid, NaN where its CRS has no coordinates for a
          part of it; ``mapped_ha``: the part of it that is
          mapped; ``mapped_share``: their ratio;
        - ``dominant``: the class with the largest area, None without any;
        - ``ha_…`` for each class: area of the cells, or parts of cells, where it is the most
          probable class; of a map of cover fractions the sum of fraction × area;
        - ``share_…`` for each class: ``ha_…`` as a share of ``mapped_ha``, NaN without any;
        - ``p_…`` for each class of a map of cells: its mean probability over ``mapped_ha``, NaN
          without any; of a coarser class that of the most probable of its classes; of cover
          fractions it would be ``share_…``;
        - ``mean_probability``: the mean over ``mapped_ha`` of the probability of each cell's most
          probable class, or of the fraction of the most extensive one; of a map of pixels where
          map_confidence.tif lies beside map.tif, and the classes are the map's own.

        Areas are hectares on the ground (``maps.areas``); the ``ha_…`` add up to ``mapped_ha``.
        Its ``attrs`` are the map's tags (product, model, …).

    Raises:
        OutputError: ``map_path`` is not the map.tif of a map, or is damaged.
        ParameterError: the zones have no CRS, or are not polygons.
    """
    require_places(zones, "zones")
    require_polygons(zones, "zones")
    with ExitStack() as stack:
        stack.enter_context(raster_memory())
        map_file = stack.enter_context(open_main(map_path, coarser))
        asked = map_file.header.exclusive and coarser is None
        confidence = sibling(map_file, "confidence") if asked else None
        if confidence is not None:
            stack.enter_context(confidence)
        placement = Placement(zones.crs, map_file.header.grid.extent)
        parts = np.array([placement.polygons(zone) for zone in zones.geometry] or [], dtype=object)
        sums = _ZoneSums(map_file, confidence, parts)
        windows = list(map_file.windows())
        for i, window in enumerate(windows, start=1):
            sums.add(window)
            if progress is not None:
                progress(len(zones) * i // len(windows), len(zones))
        known = confidence is not None or not map_file.header.exclusive
        columns = _columns(zones, sums, map_file, confident=known)
        return _with_columns(zones, columns, map_file.tags)


class _ZoneSums:
    """Sums over the cells of each zone: hectares of each class, and probabilities × hectares."""

    def __init__(
        self, map_file: MapFile, confidence: MapFile | None, parts: NDArray[np.object_]
    ) -> None:
        """``parts``: the zones' parts on the map, polygons in its CRS."""
        self._map, self._confidence, self.parts = map_file, confidence, parts
        classes = map_file.header.land_cover
        self.areas = np.zeros((len(parts), len(classes)))
        self.expected = np.zeros((len(parts), len(classes)))
        if map_file.header.fractions:
            self.areas = self.expected
        self.confident = np.zeros(len(parts))
        self._position = map_file.header.positions
        self._tree = shapely.STRtree(parts)
        shapely.prepare(parts)

    def add(self, window: Window) -> None:
        """Count the cells of a window."""
        header = self._map.header
        box = shapely.box(*bounds(window, header.grid.transform))
        zones = np.sort(self._tree.query(box, predicate="intersects"))
        if not len(zones):
            return
        # exactextract sees the whole cells of the last row and column
        method, cells = header.unit.areas, window.toslices()
        areas = ground_areas(header.grid, method, *cells, whole=True).ravel()
        position = self._position[self._map.codes(window)].ravel()
        shares, confidence = None, None
        if not header.exclusive:
            shares = self._map.shares(window).reshape(len(header.classes), -1)
            confidence = shares.max(axis=0)
        elif self._confidence is not None:
            confidence = self._confidence.values(window).ravel() * ENCODINGS["uint8"].scale
        raster = NumPyRasterSource(np.zeros((window.height, window.width), np.uint8), *box.bounds)
        for zone in zones:
            inside, coverage = _coverage(self.parts[zone], box, raster, areas.size)
            mapped = position[inside] >= 0
            inside, coverage = inside[mapped], coverage[mapped]
            hectares = coverage * areas[inside]
            if confidence is not None:
                self.confident[zone] += float(hectares @ confidence[inside])
            if shares is not None:
                self.expected[zone] += shares[:, inside].astype(np.float64) @ hectares
            if not header.fractions:
                self.areas[zone] += np.bincount(
                    position[inside], weights=hectares, minlength=len(header.classes)
                )


def _coverage(
    part: Any, box: shapely.Polygon, raster: NumPyRasterSource, count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The cells of a window in which a zone's ``part`` lies, and the share of each that it covers.

    ``box`` is the ground of the window, and ``raster`` has its ``count`` cells, row by row.
    """
    if shapely.contains_properly(part, box):
        return np.arange(count), np.ones(count)
    if not shapely.covers(box, part):
        part = polygons_of(shapely.intersection(part, box))
    if not shapely.area(part):
        return np.zeros(0, np.intp), np.zeros(0)
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(part)}
    (found,) = exact_extract(raster, [feature], ["cell_id", "coverage"])
    cells = found["properties"]
    return np.asarray(cells["cell_id"], np.intp), np.asarray(cells["coverage"], np.float64)


def _columns(zones: Any, sums: _ZoneSums, map_file: MapFile, *, confident: bool) -> dict[str, Any]:
    """The columns that ``summarize_zones`` adds."""
    classes = map_file.header.land_cover
    mapped = sums.areas.sum(axis=1)
    whole = zone_areas(zones)
    largest = sums.areas.argmax(axis=1) if len(zones) else np.zeros(0, np.intp)
    with np.errstate(invalid="ignore", divide="ignore"):
        mapped_share = np.where(whole > 0, np.minimum(mapped / whole, 1.0), 0.0)
        shares, means = sums.areas / mapped[:, None], sums.expected / mapped[:, None]
        certain = sums.confident / mapped
    columns: dict[str, Any] = {
        "status": [
            _status(zone, part, *hectares)
            for zone, part, *hectares in zip(zones.geometry, sums.parts, mapped, whole, strict=True)
        ],
        "zone_ha": whole,
        "mapped_ha": mapped,
        "mapped_share": mapped_share,
        "dominant": [
            classes[k].name if total else None for k, total in zip(largest, mapped, strict=True)
        ],
    }
    columns |= {class_column("ha_", c): sums.areas[:, i] for i, c in enumerate(classes)}
    columns |= {class_column("share_", c): shares[:, i] for i, c in enumerate(classes)}
    if not map_file.header.adds_up:
        columns |= {class_column("p_", c): means[:, i] for i, c in enumerate(classes)}
    if confident:
        columns["mean_probability"] = certain
    return columns


def _status(zone: Any, part: Any, mapped: float, whole: float) -> str:
    """How much of a zone is known: of its ``part`` on the map, hectares mapped and as a whole."""
    if zone is None or zone.is_empty:
        return "empty"
    if part.is_empty:
        return "outside"
    if not mapped:
        return "no data"
    return "mapped" if mapped >= _WHOLE * whole else "partly mapped"


def _with_columns(zones: Any, columns: Mapping[str, Any], tags: Mapping[str, str]) -> Any:
    """``zones`` with ``columns``; their own of such a name, in any case, get "_zone" appended."""
    own = zones.drop(columns=zones.geometry.name)
    added = pandas.DataFrame(columns, index=zones.index)
    known = {name.lower() for name in columns}
    names = [f"{name}_zone" if str(name).lower() in known else name for name in own.columns]
    own.columns = distinct_names(names, columns)
    table = pandas.concat([own, added], axis=1)
    (geometry,) = distinct_names([zones.geometry.name], table.columns)
    found = geopandas.GeoDataFrame(
        table.assign(**{geometry: zones.geometry.to_numpy()}), geometry=geometry, crs=zones.crs
    )
    found.attrs = dict(tags)
    return found
