"""What a map is, from its file alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geolulc.outputs.pixel_tags import PIXEL_SIZE_TAG
from geolulc.outputs.reading import opened_map
from geolulc.outputs.tags import model_of, mosaic_of, scene_of


def describe_map(path: Path) -> dict[str, Any]:
    """The story of a raster of a geolulc map, or of a comparison of two, JSON-able.

    Raises:
        OutputError: ``path`` is missing, no raster, or not written by geolulc.
    """
    path = Path(path)
    with opened_map(path) as dataset:
        tags = dataset.tags()
        west, south, east, north = dataset.bounds
        raster = {
            "content": tags["GEOLULC_FILE"],
            "path": str(path),
            "geolulc_version": tags["GEOLULC_VERSION"],
            "crs": dataset.crs.to_string() if dataset.crs else None,
            "bounds": [west, south, east, north],
            "rows": dataset.height,
            "columns": dataset.width,
            "dtype": dataset.dtypes[0],
            "nodata": str(dataset.nodata),
        }
        bands = [_band(dataset, i) for i in range(1, dataset.count + 1)]
        if tags["GEOLULC_FILE"] == "change":
            story = {
                "kind": "change",
                **raster,
                "before": _origin(_prefixed(tags, "BEFORE_")),
                "after": _origin(_prefixed(tags, "AFTER_")),
                "compared_area_ha": float(tags["COMPARED_AREA_HA"]),
                "agreement": float(tags["AGREEMENT"]),
            }
        else:
            figures = _pixel_figures if PIXEL_SIZE_TAG in tags else _figures
            story = {"kind": "map", **raster, **_origin(tags), **figures(tags)}
            if mosaic := mosaic_of(tags):
                story["mosaic"] = mosaic
        return {**story, "area_method": tags["AREA_METHOD"], "bands": bands}


def _origin(tags: Mapping[str, str]) -> dict[str, Any]:
    return {"scene": scene_of(tags), "model": model_of(tags)}


def _figures(tags: Mapping[str, str]) -> dict[str, Any]:
    names = [c["name"] for c in json.loads(tags["CLASSES"])]
    return {
        "stride_m": int(tags["STRIDE_M"]),
        "patch_size_m": int(tags["PATCH_SIZE_M"]),
        "tile_extent": json.loads(tags["TILE_EXTENT"]),
        "nomenclature": tags["NOMENCLATURE"],
        "thresholds": dict(zip(names, json.loads(tags["THRESHOLDS"]), strict=True)),
        "mapped_cells": int(tags["MAPPED_CELLS"]),
        "nodata_cells": int(tags["NODATA_CELLS"]),
        "mean_valid_share": _share(tags, "MEAN_VALID_SHARE"),
        "mean_clear_share": _share(tags, "MEAN_CLEAR_SHARE"),
        "mapped_area_ha": float(tags["MAPPED_AREA_HA"]),
        "area_ha_by_class": json.loads(tags.get("AREA_HA_BY_CLASS", "{}")),
        "files": json.loads(tags.get("GEOLULC_FILES", "[]")),
    }


def _pixel_figures(tags: Mapping[str, str]) -> dict[str, Any]:
    return {
        "pixel_size_m": int(tags[PIXEL_SIZE_TAG]),
        "tile_extent": json.loads(tags["TILE_EXTENT"]),
        "nomenclature": tags["NOMENCLATURE"],
        "masked_scl": json.loads(tags["MASKED_SCL"]),
        "mapped_pixels": int(tags["MAPPED_PIXELS"]),
        "nodata_pixels": int(tags["NODATA_PIXELS"]),
        "mapped_area_ha": float(tags["MAPPED_AREA_HA"]),
        "area_ha_by_class": json.loads(tags["AREA_HA_BY_CLASS"]),
        "files": json.loads(tags.get("GEOLULC_FILES", "[]")),
    }


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
