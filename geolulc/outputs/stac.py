"""A STAC Item beside the map: what its files are, where they lie, what they come from.

STAC 1.1 with the extensions projection 2.0, raster 2.0, classification 2.0, processing 1.2 and
file 2.1. Hrefs are relative, so the files can be moved together.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pystac
import rasterio

from geolulc import __version__
from geolulc.errors import OutputError
from geolulc.grid import CellGrid
from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.nomenclature import NO_CLASS, LandCoverClass
from geolulc.outputs.cells import map_classes
from geolulc.outputs.footprint import footprint

_EXTENSION: Final = "https://stac-extensions.github.io/{}/schema.json"
EXTENSIONS: Final = tuple(
    _EXTENSION.format(name)
    for name in (
        "projection/v2.0.0",
        "raster/v2.0.0",
        "classification/v2.0.0",
        "processing/v1.2.0",
        "file/v2.1.0",
    )
)
_COG: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
_MEDIA_TYPES: Final = {
    ".tif": _COG,
    ".tiff": _COG,
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".fgb": "application/vnd.flatgeobuf",
    ".csv": "text/csv",
    ".png": "image/png",
    ".html": "text/html",
    ".qml": "application/xml",
    ".xml": "application/xml",
}
#: Part → title and roles of its asset.
_ASSETS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "probabilities": ("Probability of each class", ("data",)),
    "classes": ("Dominant class", ("data",)),
    "top3": ("The three most probable classes", ("data",)),
    "presence": ("Classes that reach their threshold", ("data",)),
    "uncertainty": ("Entropy, margin, valid and clear share", ("data", "uncertainty")),
    "observations": ("Number of observations", ("data",)),
    "confidence": ("Agreement of the observations on each class", ("data", "uncertainty")),
    "vectors": ("Regions of one dominant class", ("data",)),
    "vectors.cells": ("Cells with all probabilities", ("data",)),
    "vectors.summary": ("Areas by class", ("data",)),
    "picture": ("Quicklook with legend", ("overview",)),
    "report": ("Report", ("metadata",)),
}


@dataclass(frozen=True)
class ItemContent:
    """What an Item says of a map of one scene.

    Attributes:
        header: the map; its scene must have a ``sensing_time`` (ISO 8601).
        mapped_ha: hectares that it maps.
        what: what the map holds, up to the size of its cells.
        titles: of assets, where they are not those of a map of cells.
    """

    header: MapHeader
    mapped_ha: float
    what: str = "Probabilities and dominant class of land cover in cells"
    titles: Mapping[str, str] = field(default_factory=dict)


def write_item(
    path: Path,
    content: ItemContent,
    files: Mapping[str, Path],
    *,
    model: Mapping[str, Any] | None = None,
    model_file: str | None = None,
    source: str | None = None,
) -> None:
    """Write the Item of a map.

    Args:
        path: a new .json beside the files.
        content: the map.
        files: part → file, as in ``files.plan_outputs``; they are read for size and checksum.
        model: what ``geolulc.nets.describe_model`` says of the model.
        model_file: name of the model's Item beside this one.
        source: href of the product; without it the product's name stands in for it.

    Raises:
        OutputError: the scene has no usable sensing time.
    """
    header, scene = content.header, content.header.scene
    geometry, bbox = footprint(header.grid.tile)
    item = pystac.Item(
        id=item_id(header),
        geometry=geometry,
        bbox=bbox,
        datetime=sensing_time(header, path),
        properties=_properties(content),
        stac_extensions=list(EXTENSIONS),
    )
    add_assets(item, files, header, content.titles)
    product = source or f"{scene.get('name', 'unknown')}.SAFE"
    item.add_link(pystac.Link("derived_from", product, title=scene.get("name")))
    if model is not None and model_file is not None:
        item.add_link(
            pystac.Link(
                "derived_from",
                f"./{model_file}",
                media_type="application/geo+json",
                title=str(model.get("name", "model")),
                extra_fields={"mlm:name": model_name(model)},
            )
        )
    write_json(path, item)


def add_assets(
    item: pystac.Item,
    files: Mapping[str, Path],
    landcover_map: LandCoverMap | MapHeader,
    titles: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """An asset for each of ``files`` that people or programs open."""
    for part, (usual, roles) in _ASSETS.items():
        if part in files:
            title = titles.get(part, usual)
            item.add_asset(part, _asset(files[part], title, roles, part, landcover_map))


def item_id(landcover_map: LandCoverMap | MapHeader) -> str:
    """Scene and model in one word."""
    scene = landcover_map.scene.get("name", "scene")
    model = landcover_map.model.get("sha256", "")[:8] or landcover_map.model.get("name", "")
    stride = landcover_map.grid.stride
    return re.sub(r"[^A-Za-z0-9_-]+", "-", f"{scene}_LC{stride}_{model}").strip("_-")


def model_name(model: Mapping[str, Any]) -> str:
    """A model's name as the MLM extension wants it: a letter first, no blanks."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(model.get("name", "model"))).strip("-_.")
    return f"geolulc-{plain or 'model'}"


def sensing_time(landcover_map: LandCoverMap | MapHeader, path: Path) -> datetime:
    """When the scene was sensed, in UTC."""
    text = landcover_map.scene.get("sensing_time", "")
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise OutputError(
            path.name,
            found=f"a scene with the sensing time {text!r}",
            expected="an ISO 8601 time: a STAC Item must say when",
            remedy="Leave stac out of the outputs, or give the scene's sensing_time.",
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def class_objects(classes: tuple[LandCoverClass, ...]) -> list[dict[str, Any]]:
    """``classification:classes``: code, machine name, title and colour of each class."""
    return [
        {
            "value": c.code,
            "name": re.sub(r"[^A-Za-z0-9_-]+", "-", c.short.lower()).strip("-"),
            "title": c.name,
            "description": f"{c.name} (CORINE {', '.join(map(str, c.clc))})",
            "color_hint": c.color[1:].upper(),
        }
        for c in classes
    ]


def relative_href(path: Path, folder: Path) -> str:
    """``path`` as seen from ``folder``; its URI where there is no way between them."""
    try:
        href = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_uri()
    return href if href.startswith(".") else f"./{href}"


def checksum(path: Path) -> str:
    """SHA-256 of a file as a multihash in hexadecimal (code 12, length 20)."""
    with path.open("rb") as file:
        return "1220" + hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, item: pystac.Item | pystac.Collection) -> None:
    """The Item or Collection as JSON, without a link to itself: it can be moved."""
    document = item.to_dict(include_self_link=False, transform_hrefs=False)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _properties(content: ItemContent) -> dict[str, Any]:
    header, grid = content.header, content.header.grid
    scene, model = header.scene, header.model
    name = scene.get("name", "a scene")
    properties: dict[str, Any] = {
        "title": f"Land cover of {name}",
        "description": f"{content.what} of {grid.stride} m; {content.mapped_ha:.0f} ha mapped.",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "gsd": grid.stride,
        **projection(grid),
        "processing:level": "L4",
        "processing:software": {"geolulc": __version__},
        "processing:lineage": f"{name} → geolulc {__version__}, model "
        f"{model.get('name', 'unknown')} (sha256 {model.get('sha256', 'unknown')})",
    }
    if "platform" in scene:
        properties["platform"] = scene["platform"].lower()
    return properties


def projection(grid: CellGrid) -> dict[str, Any]:
    """The fields of the projection extension."""
    rows, columns = grid.shape
    left, top = grid.tile.left, grid.tile.top
    return {
        "proj:code": grid.tile.crs,
        "proj:shape": [rows, columns],
        "proj:transform": list(grid.transform)[:6],
        "proj:bbox": [left, top - rows * grid.stride, left + columns * grid.stride, top],
    }


def _asset(
    path: Path,
    title: str,
    roles: tuple[str, ...],
    part: str,
    landcover_map: LandCoverMap | MapHeader,
) -> pystac.Asset:
    extra: dict[str, Any] = {"file:size": path.stat().st_size, "file:checksum": checksum(path)}
    media_type = _MEDIA_TYPES[path.suffix.lower()]
    if media_type == _COG:
        extra |= _raster_fields(path, part, landcover_map)
    return pystac.Asset(
        f"./{path.name}",
        title=title,
        media_type=media_type,
        roles=list(roles),
        extra_fields=extra,
    )


def _raster_fields(
    path: Path, part: str, landcover_map: LandCoverMap | MapHeader
) -> dict[str, Any]:
    with rasterio.open(path) as dataset:
        bands = [_band(dataset, i) for i in range(1, dataset.count + 1)]
    fields: dict[str, Any] = {
        "raster:sampling": "area",
        "raster:spatial_resolution": landcover_map.grid.stride,
        "bands": bands,
    }
    if part == "classes":
        classes = class_objects(map_classes(landcover_map))
        nothing = {"value": NO_CLASS, "name": "no-data", "title": "No data", "nodata": True}
        fields["classification:classes"] = [
            {**nothing, "description": "No class: not enough valid pixels"},
            *classes,
        ]
    return fields


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
