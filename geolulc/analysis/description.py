"""The description of a map, from one of its rasters alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from geolulc.analysis.assessed import read_record
from geolulc.analysis.map_file import open_map, open_raster, refusing
from geolulc.errors import ParameterError
from geolulc.maps.header import MapHeader
from geolulc.nomenclature import Nomenclature
from geolulc.outputs.cautions import Caution, cautions_of
from geolulc.outputs.run_record import run_of
from geolulc.outputs.tags import PIXEL_SIZE_TAG, VALUES_TAG, model_of, mosaic_of, scene_of


def describe_map(path: Path, coarser: Nomenclature | None = None) -> dict[str, Any]:
    """A raster of a geolulc map, or of a comparison of two maps, in figures that JSON can hold.

    Areas are counted. "accuracy" has the estimates of ``geolulc assess``, if the map was assessed.

    Args:
        path: the raster.
        coarser: a nomenclature that holds the map's classes; the areas are added up by its classes.

    Raises:
        OutputError: ``path`` is missing, no raster, or not written by geolulc.
        ParameterError: ``coarser`` does not hold a class, or ``path`` is a comparison.
    """
    path, header = Path(path), None
    with refusing(path), open_raster(path) as dataset:
        tags = dataset.tags()
        content = tags["GEOLULC_FILE"]
        west, south, east, north = dataset.bounds
        raster = {
            "content": content,
            "path": str(path),
            "geolulc_version": tags["GEOLULC_VERSION"],
            "crs": dataset.crs.to_string() if dataset.crs else None,
            "bounds": [west, south, east, north],
            "rows": dataset.height,
            "columns": dataset.width,
            "dtype": dataset.dtypes[0],
            "nodata": str(dataset.nodata),
        }
        if content == "change":
            figures = {
                "before": _origin(_prefixed(tags, "BEFORE_")),
                "after": _origin(_prefixed(tags, "AFTER_")),
                "compared_area_ha": float(tags["COMPARED_AREA_HA"]),
                "agreement": float(tags["AGREEMENT"]),
            }
        else:
            with open_map(path) as found:  # its tags must agree with the raster
                header = found.header
            figures = {**_origin(tags), **_figures(tags)}
            if mosaic := mosaic_of(tags):
                figures["mosaic"] = mosaic
            if run := run_of(tags):
                figures["made_with"] = run
        if (assessed := read_record(path)) is not None:
            figures["accuracy"] = assessed
        description = {
            "kind": "change" if content == "change" else "map",
            **raster,
            **figures,
            "cautions": [caution.text for caution in cautions_of(tags)],
            "area_method": tags["AREA_METHOD"],
            "bands": [_band(dataset, i) for i in range(1, dataset.count + 1)],
        }
    if coarser is None:
        return description
    if header is None:
        raise ParameterError(
            path,
            found="a comparison of two maps",
            expected="a map, to add up its areas by other classes",
            remedy="Compare the maps by these classes: geolulc compare --as.",
        )
    return description | _coarser_areas(header, description["area_ha_by_class"], coarser)


def read_cautions(files: Iterable[Path]) -> tuple[Caution, ...]:
    """The cautions of the map to which ``files`` belong.

    From a raster among them, or else a GeoPackage; () without one.

    Raises:
        OutputError: the file was not written by geolulc.
    """
    by_suffix = {path.suffix.lower(): path for path in files}
    raster = by_suffix.get(".tif", by_suffix.get(".tiff"))
    if raster is not None:
        with refusing(raster), open_raster(raster) as dataset:
            return cautions_of(dataset.tags())
    if (vectors := by_suffix.get(".gpkg")) is not None:
        import pyogrio

        with refusing(vectors):
            return cautions_of(pyogrio.read_info(vectors, layer="summary")["layer_metadata"] or {})
    return ()


def _origin(tags: Mapping[str, str]) -> dict[str, Any]:
    return {"scene": scene_of(tags), "model": model_of(tags)}


def _figures(tags: Mapping[str, str]) -> dict[str, Any]:
    """The figures of a whole map; some exist only for maps of cells, or only for maps of pixels."""
    place = {"tile_extent": json.loads(tags["TILE_EXTENT"]), "nomenclature": tags["NOMENCLATURE"]}
    areas = {
        "mapped_area_ha": float(tags["MAPPED_AREA_HA"]),
        "area_ha_by_class": json.loads(tags.get("AREA_HA_BY_CLASS", "{}")),
        "files": json.loads(tags.get("GEOLULC_FILES", "[]")),
    }
    if PIXEL_SIZE_TAG in tags:
        return {
            "pixel_size_m": int(tags[PIXEL_SIZE_TAG]),
            **place,
            "masked_scl": json.loads(tags["MASKED_SCL"]),
            "mapped_pixels": int(tags["MAPPED_PIXELS"]),
            "nodata_pixels": int(tags["NODATA_PIXELS"]),
            **areas,
        }
    names = [c["name"] for c in json.loads(tags["CLASSES"])]
    values = {"values": tags[VALUES_TAG]} if VALUES_TAG in tags else {}
    return {
        **values,
        "stride_m": int(tags["STRIDE_M"]),
        "patch_size_m": int(tags["PATCH_SIZE_M"]),
        **place,
        "thresholds": dict(zip(names, json.loads(tags["THRESHOLDS"]), strict=True)),
        "mapped_cells": int(tags["MAPPED_CELLS"]),
        "nodata_cells": int(tags["NODATA_CELLS"]),
        "mean_valid_share": _share(tags, "MEAN_VALID_SHARE"),
        "mean_clear_share": _share(tags, "MEAN_CLEAR_SHARE"),
        **areas,
    }


def _coarser_areas(
    header: MapHeader, areas: Mapping[str, float], coarser: Nomenclature
) -> dict[str, Any]:
    """Areas by coarser class: those of its classes together."""
    held = dict(zip(header.classes, coarser.holders(header.land_cover), strict=True))
    found: dict[str | None, float] = {}
    for name, hectares in areas.items():
        found[held[name]] = found.get(held[name], 0.0) + hectares
    loose = found.pop(None, 0.0)
    largest = sorted(found.items(), key=lambda item: -item[1])
    return {"shown_as": coarser.id, "area_ha_by_class": dict(largest), "other_area_ha": loose}


def _share(tags: Mapping[str, str], name: str) -> float | None:
    return float(tags[name]) if name in tags else None


def _band(dataset: Any, band: int) -> dict[str, Any]:
    tags = dataset.tags(band)
    mean = tags.get("STATISTICS_MEAN")
    return {
        "name": dataset.descriptions[band - 1],
        "mean": None if mean is None else float(mean) * dataset.scales[band - 1],
        **{k.lower(): v for k, v in tags.items() if not k.startswith("STATISTICS_")},
    }


def _prefixed(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {k.removeprefix(prefix): v for k, v in tags.items() if k.startswith(prefix)}
