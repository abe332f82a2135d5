"""Scenes in Python: a scene in, an ``xarray.DataArray`` out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  registers the accessor ``.rio``
import xarray

from geolulc.landcover_map import LandCoverMap
from geolulc.mapping.options import MapOptions
from geolulc.mapping.pixels import predict_pixels as predict_part
from geolulc.mapping.scene import predict_scene as predict_map
from geolulc.mapping.scene_run import Progress
from geolulc.nets import Model, load_checkpoint, shipped_model
from geolulc.products import Product, open_product


def open_scene(path: Path | str) -> Product:
    """The Sentinel-2 L2A product at ``path``, a ``.SAFE`` folder or a zip of one.

    Raises:
        ProductError: with the path, what was found, what was expected and the remedy.
    """
    return open_product(Path(path))


def predict_scene(
    scene: Product | Path | str,
    model: Model | Path | str | Sequence[Model | Path | str] | None = None,
    **options: Any,
) -> xarray.DataArray:
    """Land-cover probabilities of a scene as an array with coordinates and CRS.

    Args:
        scene: of ``open_scene``, or a path.
        model: a checkpoint (its path, a run folder, a shipped model's name, or loaded), or
            several of the same classes, whose probabilities are averaged; None: the shipped one.
        **options: of ``geolulc.mapping.MapOptions``: stride, resolution (320, 160 or 80 metres:
            answers placed inside patches), min_valid, aoi, device…; progress.

    Returns:
        float32 (class, y, x) in 0..1, NaN in nodata cells; x and y are the centres of the cells
        in metres, ``.rio.crs`` their CRS. Further coordinates: ``valid`` (y, x) and, where the
        product has a scene classification, ``clear`` (y, x), shares of the cell's patch;
        ``threshold`` (class).

    Raises:
        GeolulcError: the product, the model or an option cannot be used.

    Example:
        >>> probabilities = geolulc.predict_scene("S2B_….SAFE", stride=600)  # doctest: +SKIP
        >>> water = probabilities.sel({"class": "Inland waters"})  # doctest: +SKIP
        >>> water.rio.to_raster("water.tif")  # doctest: +SKIP
    """
    models = _loaded(shipped_model() if model is None else model)
    return to_data_array(predict_map(scene, models, **options))


def predict_pixels(
    scene: Product | Path | str,
    model: Model | Path | str | Sequence[Model | Path | str],
    *,
    progress: Progress | None = None,
    **options: Any,
) -> xarray.DataArray:
    """Land-cover probabilities of a part of a scene, a class a pixel, by pixel models.

    Args:
        scene: of ``open_scene``, or a path.
        model: as in ``predict_scene``, of pixels.
        progress: called with (windows done, windows in all).
        **options: of ``geolulc.mapping.MapOptions``: aoi (which part), resolution (10, 20 or 60
            metres), mask_scl, min_valid, device…

    Returns:
        float32 (class, y, x) in 0..1 with a sum of 1, NaN outside the area, under clouds and
        where there is no data; x and y are the centres of pixels in metres, ``.rio.crs`` their CRS.

    Raises:
        GeolulcError: the product, the model or an option cannot be used; or the part is too large
            for memory (``geolulc map`` writes any scene into files).

    Example:
        >>> water = geolulc.predict_pixels(  # doctest: +SKIP
        ...     "S2B_….SAFE", "pixels.safetensors", aoi="lake.gpkg"
        ... ).sel({"class": "Inland waters"})
    """
    found = predict_part(scene, _loaded(model), options=MapOptions(**options), progress=progress)
    header = found.header
    rows, columns = header.grid.shape
    transform = header.grid.transform
    array = xarray.DataArray(
        found.probabilities,
        dims=("class", "y", "x"),
        coords={
            "class": list(header.classes),
            "y": transform.f + transform.e * (np.arange(rows) + 0.5),
            "x": transform.c + transform.a * (np.arange(columns) + 0.5),
        },
        name="probability",
        attrs={
            "nomenclature": header.nomenclature,
            **{f"scene_{key}": value for key, value in header.scene.items()},
            **{f"model_{key}": value for key, value in header.model.items()},
        },
    )
    array = array.rio.write_crs(header.grid.tile.crs).rio.write_transform(transform)
    finished: xarray.DataArray = array.rio.write_nodata(np.nan)
    return finished


def _loaded(model: Model | Path | str | Sequence[Model | Path | str]) -> list[Model]:
    several = [model] if isinstance(model, (Model, Path, str)) else list(model)
    return [m if isinstance(m, Model) else load_checkpoint(Path(m)) for m in several]


def to_data_array(landcover_map: LandCoverMap) -> xarray.DataArray:
    """A map as ``xarray.DataArray`` (class, y, x): see ``predict_scene``."""
    grid = landcover_map.grid
    rows, columns = grid.shape
    half = grid.stride / 2
    coordinates: dict[str, Any] = {
        "class": list(landcover_map.classes),
        "y": grid.tile.top - half - grid.stride * np.arange(rows),
        "x": grid.tile.left + half + grid.stride * np.arange(columns),
        "valid": (("y", "x"), landcover_map.valid),
    }
    if landcover_map.clear is not None:
        coordinates["clear"] = (("y", "x"), landcover_map.clear)
    if landcover_map.thresholds:
        coordinates["threshold"] = ("class", np.array(landcover_map.thresholds, np.float32))
    array = xarray.DataArray(
        landcover_map.probabilities,
        dims=("class", "y", "x"),
        coords=coordinates,
        name="probability",
        attrs={
            "nomenclature": landcover_map.nomenclature,
            **{f"scene_{key}": value for key, value in landcover_map.scene.items()},
            **{f"model_{key}": value for key, value in landcover_map.model.items()},
        },
    )
    array = array.rio.write_crs(grid.tile.crs).rio.write_transform(grid.transform)
    finished: xarray.DataArray = array.rio.write_nodata(np.nan)
    return finished
