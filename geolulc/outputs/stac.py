"""A STAC Item beside the map: its files, its place and its origin.

STAC 1.1 with the extensions projection 2.0, raster 2.0, classification 2.0, processing 1.2 and
file 2.1. Hrefs are relative, so the files can be moved together. Fields of projection,
classification and file are set by pystac's extensions; pystac has no processing, and of raster
only version 1, which is not that of STAC 1.1's bands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import antimeridian
import numpy as np
import pystac
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension

from geolulc import __version__
from geolulc.grid import Extent
from geolulc.maps.header import MapHeader
from geolulc.maps.tally import MapFigures
from geolulc.nomenclature import LandCoverClass
from geolulc.outputs.cautions import Caution
from geolulc.outputs.files import MapKind, outputs_of
from geolulc.outputs.story import Story
from geolulc.staging import file_sha256

#: Extensions that pystac does not declare itself.
_RASTER: Final = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
_PROCESSING: Final = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
_COG: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
#: Corners along a side of a footprint: the straight side of an extent is a curve in degrees.
_POINTS: Final = 8
_MEDIA_TYPES: Final = {
    ".tif": _COG,
    ".tiff": _COG,
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".fgb": "application/vnd.flatgeobuf",
    ".csv": "text/csv",
    ".png": "image/png",
    ".html": "text/html",
}


def write_item(
    files: Mapping[str, Path],
    header: MapHeader,
    figures: MapFigures,
    story: Story,
    folder: Path,
    warnings: Sequence[Caution] = (),
) -> None:
    """Write the Item of a map, of a scene or a mosaic.

    Args:
        files: part → file; "stac" is the Item, the others are read for size and checksum.
        header: the map.
        figures: its figures.
        story: the origin of the map.
        folder: where the files will lie.
        warnings: the map's cautions, which become the property "geolulc:cautions".

    Raises:
        OutputError: the scene has no usable sensing time.
    """
    facts = story.item(header, figures, files, folder)
    geometry, bbox = footprint(header.grid.extent)
    first, last = facts.times[0], facts.times[-1]
    instant = len(facts.times) == 1
    item = pystac.Item(
        id=facts.identifier,
        geometry=geometry,
        bbox=bbox,
        datetime=first if instant else None,
        start_datetime=None if instant else first,
        end_datetime=None if instant else last,
        properties={
            "title": facts.title,
            "description": facts.description,
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "gsd": header.grid.cell,
            "processing:level": "L4",
            "processing:software": {"geolulc": __version__},
            "processing:lineage": facts.lineage,
            "geolulc:cautions": [caution.text for caution in warnings],
            **facts.properties,
        },
        stac_extensions=[
            ProjectionExtension.get_schema_uri(),
            _RASTER,
            ClassificationExtension.get_schema_uri(),
            _PROCESSING,
            FileExtension.get_schema_uri(),
        ],
    )
    rows, columns = header.grid.shape
    cells = header.grid.transform
    right, bottom = cells @ (columns, rows)
    ProjectionExtension.ext(item).apply(
        code=header.grid.extent.crs,
        shape=[rows, columns],
        transform=list(cells)[:6],
        bbox=[cells.c, bottom, right, cells.f],
    )
    kind = MapKind.of(exclusive=header.exclusive, mosaic=story.mosaic)
    _add_assets(item, files, header, kind)
    for origin in facts.origins:
        fields = dict(origin.fields) or None
        link = pystac.Link(
            "derived_from", origin.href, origin.media_type, origin.title, extra_fields=fields
        )
        item.add_link(link)
    if facts.collection is not None:
        item.collection_id, name = facts.collection
        for relation in ("collection", "parent", "root"):
            item.add_link(pystac.Link(relation, f"./{name}", media_type="application/json"))
    write_json(files["stac"], item)


def class_objects(classes: tuple[LandCoverClass, ...]) -> list[Classification]:
    """``classification:classes``: code, machine name, title and colour of each class."""
    return [
        Classification.create(
            c.code,
            name=re.sub(r"[^A-Za-z0-9_-]+", "-", c.short.lower()).strip("-") or f"class-{c.code}",
            title=c.name,
            description=f"{c.name} (CORINE {', '.join(map(str, c.clc))})" if c.clc else c.name,
            color_hint=c.color[1:].upper(),
        )
        for c in classes
    ]


def checksum(path: Path) -> str:
    """SHA-256 of a file as a multihash in hexadecimal (code 12, length 20)."""
    return "1220" + file_sha256(path)


def write_json(path: Path, item: pystac.Item | pystac.Collection) -> None:
    """The Item or Collection as JSON, without a link to itself: it can be moved."""
    document = item.to_dict(include_self_link=False, transform_hrefs=False)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _add_assets(
    item: pystac.Item, files: Mapping[str, Path], header: MapHeader, kind: MapKind
) -> None:
    """An asset for each of ``files`` that people or programs open."""
    assets = {p: a for o in outputs_of(kind) for p, a in o.assets.items()}
    for part, described in assets.items():
        if part not in files:
            continue
        path = files[part]
        title = (header.exclusive and described.pixel_title) or described.title
        title = title.format(**asdict(header.unit))
        asset = pystac.Asset(
            f"./{path.name}",
            title[0].upper() + title[1:],
            media_type=_MEDIA_TYPES[path.suffix.lower()],
            roles=list(described.roles),
        )
        item.add_asset(part, asset)
        FileExtension.ext(asset).apply(checksum=checksum(path), size=path.stat().st_size)
        if asset.media_type == _COG:
            with rasterio.open(path) as dataset:
                bands = [_band(dataset, i) for i in range(1, dataset.count + 1)]
            asset.extra_fields |= {
                "raster:sampling": "area",
                "raster:spatial_resolution": header.grid.cell,
                "bands": bands,
            }
        if part == "classes":
            nothing = Classification.create(
                header.no_class,
                name="no-data",
                title="No data",
                description="No class: not enough valid pixels",
                nodata=True,
            )
            classes = [nothing, *class_objects(header.land_cover)]
            ClassificationExtension.ext(asset).apply(classes)


def _band(dataset: Any, band: int) -> dict[str, Any]:
    tags = dataset.tags(band)
    names = {"MINIMUM", "MAXIMUM", "MEAN", "STDDEV", "VALID_PERCENT"}
    statistics = {
        name.lower(): float(tags[f"STATISTICS_{name}"])
        for name in sorted(names)
        if f"STATISTICS_{name}" in tags
    }
    nodata = dataset.nodata
    found: dict[str, Any] = {
        "name": dataset.descriptions[band - 1],
        "data_type": dataset.dtypes[band - 1],
        "nodata": "nan" if nodata != nodata else int(nodata),
        "statistics": statistics,
    }
    if dataset.scales[band - 1] != 1:
        found["raster:scale"] = dataset.scales[band - 1]
        found["raster:offset"] = dataset.offsets[band - 1]
    return found


def footprint(extent: Extent) -> tuple[dict[str, Any], list[float]]:
    """Geometry of the extent in longitude and latitude (WGS 84), and its bounding box.

    One across the 180th meridian is a MultiPolygon, and its box has west > east
    (RFC 7946, 3.1.9 and 5.2).
    """
    ring = shapely.Polygon(np.column_stack(_outline(extent)).round(7))
    if np.ptp(ring.exterior.xy[0]) <= 180:
        return shapely.geometry.mapping(ring), list(ring.bounds)
    # the straight side of an extent is no great circle: it is cut as it is drawn
    both = antimeridian.fix_polygon(ring, great_circle=False)
    return shapely.geometry.mapping(both), antimeridian.bbox(both)


def _outline(extent: Extent) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t = np.linspace(0, 1, _POINTS)[:-1]
    o, e = np.zeros_like(t), np.ones_like(t)
    # counter-clockwise from the lower left corner
    x = extent.left + extent.width * np.concatenate([t, e, 1 - t, o])
    y = extent.top - extent.height + extent.height * np.concatenate([o, t, e, 1 - t])
    longitude, latitude = Transformer.from_crs(extent.crs, 4326, always_xy=True).transform(x, y)
    return np.asarray(longitude), np.asarray(latitude)
