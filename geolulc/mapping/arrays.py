"""Scenes in Python: a scene in, an ``xarray.DataArray`` out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  registers the accessor ``.rio``
import xarray

from geolulc.errors import ParameterError
from geolulc.mapping.scene import predict_scene as predict_map
from geolulc.maps.header import LandCoverMap
from geolulc.nets import Model, load_checkpoint, shipped_model
from geolulc.products import Scene, array_scene


def predict_scene(
    scene: Scene | Path | str | xarray.Dataset | Mapping[Any, Any],
    model: Model | Path | str | Sequence[Model | Path | str] | None = None,
    **options: Any,
) -> xarray.DataArray:
    """Land-cover probabilities of a scene as an array with coordinates and CRS.

    Args:
        scene: of ``open_scene``, or a path; or arrays by the names of their bands: an
            ``xarray.Dataset``, or a mapping of ``xarray.DataArray`` or numpy arrays.
        model: a checkpoint (its path, a run folder, a shipped model's name, or loaded), or
            several of one kind and of the same classes, whose probabilities are averaged; None:
            the shipped one, of pixels where ``resolution`` is 10, 20 or 60. A model of pixels
            gives a class a pixel.
        **options: of ``geolulc.mapping.MapOptions``: aoi (which part), stride, resolution (320,
            160 or 80 metres with a model of patches: answers placed inside patches; 10, 20 or 60
            with one of pixels), min_valid, mask_scl, device…; progress. Of arrays, also those of
            ``array_scene``: offset (which must be given), crs and transform (of numpy arrays),
            nodata, level…

    Returns:
        float32 (class, y, x) in 0..1, NaN where there is no data; x and y are the centres of the
        cells in metres, ``.rio.crs`` their CRS. Further coordinates of a map of cells: ``valid``
        (y, x) and, where the product has a scene classification, ``clear`` (y, x), shares of the
        cell's patch; ``threshold`` (class). The probabilities of a pixel add up to 1; it has no
        data outside the area and under clouds.

    Raises:
        GeolulcError: the product, the model or an option cannot be used; or the part is too large
            for memory (``geolulc map`` writes any scene into files).

    Example:
        >>> probabilities = geolulc.predict_scene("S2B_….SAFE", stride=600)  # doctest: +SKIP
        >>> water = probabilities.sel({"class": "Inland waters"})  # doctest: +SKIP
        >>> water.rio.to_raster("water.tif")  # doctest: +SKIP
        >>> bands = {"B02": b02, "B03": b03}  # …  # doctest: +SKIP
        >>> geolulc.predict_scene(  # doctest: +SKIP
        ...     bands, offset=-1000, crs=32632, transform=(10, 0, 600_000, 0, -10, 5_200_020)
        ... )
    """
    found = shipped_model(options.get("resolution")) if model is None else model
    several = [found] if isinstance(found, (Model, Path, str)) else list(found)
    models = [m if isinstance(m, Model) else load_checkpoint(Path(m)) for m in several]
    if isinstance(scene, Mapping):
        own = options.keys() & inspect.signature(array_scene).parameters.keys()
        scene = _scene_of(scene, **{name: options.pop(name) for name in own})
    return to_data_array(predict_map(scene, models, **options))


def _scene_of(arrays: Mapping[Any, Any], **options: Any) -> Scene:
    if "offset" not in options:
        raise ParameterError(
            "offset",
            found="none",
            expected="what makes digital numbers 1/10000 of reflectance",
            remedy="Give offset=-1000 for Sentinel-2 since baseline 04.00, offset=0 for products "
            "before it and for those that are harmonised.",
        )
    return array_scene(arrays, **options)


#: The older name for maps of pixels.
predict_pixels = predict_scene


def to_data_array(landcover_map: LandCoverMap) -> xarray.DataArray:
    """A map as ``xarray.DataArray`` (class, y, x): see ``predict_scene``."""
    header, block = landcover_map.header, landcover_map.block
    transform = header.grid.transform
    rows, columns = header.grid.shape
    coordinates: dict[str, Any] = {
        "class": list(header.classes),
        "y": transform.f + transform.e * (np.arange(rows) + 0.5),
        "x": transform.c + transform.a * (np.arange(columns) + 0.5),
    }
    for name, layer in (("valid", block.valid), ("clear", block.clear)):
        if layer is not None:
            coordinates[name] = (("y", "x"), layer)
    if header.thresholds:
        coordinates["threshold"] = ("class", np.array(header.thresholds, np.float32))
    array = xarray.DataArray(
        block.shares,
        dims=("class", "y", "x"),
        coords=coordinates,
        name="probability",
        attrs={
            "nomenclature": header.nomenclature.id,
            **{f"scene_{key}": value for key, value in header.scene.items()},
            **{f"model_{key}": value for key, value in header.model.items()},
        },
    )
    array = array.rio.write_crs(header.grid.extent.crs).rio.write_transform(transform)
    finished: xarray.DataArray = array.rio.write_nodata(np.nan)
    return finished
