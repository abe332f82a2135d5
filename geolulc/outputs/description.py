"""What a map is, from its file alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rasterio

from geolulc.errors import OutputError
from geolulc.outputs.tags import model_of, scene_of


def describe_map(path: Path) -> dict[str, Any]:
    """The story of a geolulc raster (probabilities or classes), JSON-able.

    Raises:
        OutputError: ``path`` is missing, no raster, or not written by geolulc.
    """
    path = Path(path)
    try:
        with rasterio.open(path) as dataset:
            tags = dataset.tags()
            if "GEOLULC_VERSION" not in tags:
                raise OutputError(
                    path,
                    found="a raster without geolulc's tags",
                    expected="a map written by geolulc",
                    remedy="Give the map.tif that geolulc map wrote.",
                )
            bands = [
                {
                    "name": name,
                    **{k.lower(): v for k, v in dataset.tags(i).items() if "STATISTICS" not in k},
                    "mean": _scaled_mean(dataset, i),
                }
                for i, name in enumerate(dataset.descriptions, start=1)
            ]
            west, south, east, north = dataset.bounds
            description: dict[str, Any] = {
                "kind": "map",
                "content": tags.get("GEOLULC_FILE", ""),
                "path": str(path),
                "geolulc_version": tags["GEOLULC_VERSION"],
                "crs": dataset.crs.to_string() if dataset.crs else None,
                "bounds": [west, south, east, north],
                "rows": dataset.height,
                "columns": dataset.width,
                "dtype": dataset.dtypes[0],
                "nodata": str(dataset.nodata),
                "stride_m": int(tags["STRIDE_M"]),
                "patch_size_m": int(tags["PATCH_SIZE_M"]),
                "tile_extent": json.loads(tags["TILE_EXTENT"]),
                "nomenclature": tags["NOMENCLATURE"],
                "thresholds": json.loads(tags["THRESHOLDS"]),
                "mapped_cells": int(tags["MAPPED_CELLS"]),
                "nodata_cells": int(tags["NODATA_CELLS"]),
                "mapped_area_ha": float(tags["MAPPED_AREA_HA"]),
                "area_method": tags["AREA_METHOD"],
                "mean_valid_share": float(tags["MEAN_VALID_SHARE"]),
                "mean_clear_share": _number(tags.get("MEAN_CLEAR_SHARE")),
                "scene": scene_of(tags),
                "model": model_of(tags),
                "bands": bands,
            }
            if "AREA_HA_BY_CLASS" in tags:
                description["area_ha_by_class"] = json.loads(tags["AREA_HA_BY_CLASS"])
            return description
    except (rasterio.errors.RasterioError, KeyError, ValueError) as error:
        raise OutputError(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="a map written by geolulc",
            remedy="Give the map.tif that geolulc map wrote.",
        ) from error


def _scaled_mean(dataset: Any, band: int) -> float | None:
    mean = dataset.tags(band).get("STATISTICS_MEAN")
    return None if mean is None else float(mean) * dataset.scales[band - 1]


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
