"""The EOPF Zarr of a SAFE, written by zarr-python in the layouts of EOPF."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray

from geolulc.bands import BANDS
from geolulc.products import Product, image_settings, open_image, open_product

ANGLES = ("azimuth", "zenith")
MASKS = ("scl", "b00", "aot")
CHUNK = {10: 70, 20: 50, 60: 11}


def write_zarr(
    safe: Path,
    path: Path,
    *,
    version: int = 2,
    consolidated: bool = True,
    chunks: Mapping[int, int] = CHUNK,
    compressor: str = "blosc",
    dtype: str = "uint16",
    attributes: Mapping[str, Any] | None = None,
    of_bands: Mapping[str, Any] | None = None,
    root: Mapping[str, Any] | None = None,
    names: Collection[str] | None = None,
) -> Path:
    """The twin of a product as ``path``, a folder or a ``.zarr.zip``.

    Args:
        safe: the product.
        path: what is made.
        version: of Zarr.
        consolidated: metadata in one file too.
        chunks: their side by resolution.
        compressor: "blosc", "zstd", "gzip" or "".
        dtype: of bands.
        attributes: changes those of ``other_metadata``; None removes one.
        of_bands: the same of bands.
        root: the same of the properties of ``stac_discovery``.
        names: of the bands; None for all.
    """
    product = open_product(safe)
    folder = path.with_suffix("") if path.suffix == ".zip" else path
    store = zarr.storage.LocalStore(folder)
    grid = product.grid
    group = zarr.create_group(store, zarr_format=version)
    properties = {
        "platform": product.platform.lower(),
        "start_datetime": product.sensing_time.isoformat(),
        "proj:epsg": int(grid.crs.rpartition(":")[2]),
    }
    other = {
        "horizontal_CRS_code": grid.crs,
        **{
            f"mean_sun_{name}_angle_in_deg_for_all_bands_all_detectors": getattr(product.sun, name)
            for name in ANGLES
        },
    }
    group.attrs.update(
        {
            "stac_discovery": {
                "id": f"{product.name}.SAFE",
                "properties": changed(properties, root),
            },
            "other_metadata": changed(other, attributes),
        }
    )
    for where, name, resolution, data in _pixels(product, names):
        said = {
            "proj:transform": [*grid.transform(resolution)],
            "proj:epsg": properties["proj:epsg"],
        }
        if name not in MASKS:
            said |= {
                "scale_factor": 1e-4,
                "add_offset": next(iter(product.offsets.values())) / 10_000,
            }
        array = _array(
            group,
            f"{where}/{name}",
            data if name in MASKS or dtype == "uint16" else data.astype(dtype) / 10_000,
            chunks[resolution],
            version,
            compressor,
        )
        array.attrs.update(changed(said, of_bands if name not in MASKS else None))
        for axis, start, step, count in (
            ("x", grid.left, resolution, data.shape[1]),
            ("y", grid.top, -resolution, data.shape[0]),
        ):
            if f"{where}/{axis}" not in group:
                centres = start + step / 2 + step * np.arange(count)
                _array(group, f"{where}/{axis}", centres.astype("i8"), count, version, compressor)
    _write_views(group, product, version, compressor)
    if consolidated:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # version 3 has no words for it yet
            zarr.consolidate_metadata(store)
    if folder != path:
        shutil.make_archive(str(folder), "zip", folder)
        shutil.rmtree(folder)
    return path


def _write_views(group, product: Product, version: int, compressor: str) -> None:
    angles = [[getattr(view, name) for name in ANGLES] for view in product.views.values()]
    arrays = {
        "band": np.array([name.lower() for name in product.views], "<U3"),
        "angle": np.array(ANGLES, "<U7"),
        "mean_viewing_incidence_angles": np.array(angles),
    }
    for name, data in arrays.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # labels are no data type of version 3 yet
            _array(group, f"conditions/geometry/{name}", data, data.shape, version, compressor)


def changed(said: dict[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {k: v for k, v in {**said, **(changes or {})}.items() if v is not None}


def _pixels(
    product: Product, names: Collection[str] | None
) -> Iterator[tuple[str, str, int, NDArray[Any]]]:
    """(group, name, resolution, pixels) of each array."""
    places = [
        (f"measurements/reflectance/r{b.resolution}m", b.name, b.resolution)
        for b in BANDS
        if names is None or b.name in names
    ]
    for where, name, resolution in [
        *places,
        ("conditions/mask/l2a_classification/r20m", "SCL", 20),
        ("quality/atmosphere/r60m", "AOT", 60),
    ]:
        if name in product.images and not (name == "SCL" and product.level == "L1C"):
            with image_settings(), open_image(product.images[name].gdal_path) as source:
                yield where, name.lower(), resolution, source.read(1)
    if "SCL" in product.images and product.level == "L1C":
        with image_settings(), open_image(product.images["SCL"].gdal_path) as source:
            bits = (source.read() * np.array([1, 2, 4], np.uint8)[:, None, None]).sum(axis=0)
        yield "conditions/mask/l1c_classification/r60m", "b00", 60, bits.astype(np.uint8)


def _array(group, path, data, chunk, version, compressor):
    kinds = {"blosc": "Blosc", "zstd": "Zstd", "gzip": "GZip"}
    if not compressor:
        compressors = None
    elif version == 2:
        compressors = getattr(numcodecs, kinds[compressor])()
    else:
        compressors = getattr(zarr.codecs, f"{compressor.capitalize()}Codec")()
    return group.create_array(
        path,
        data=data,
        chunks=chunk if isinstance(chunk, tuple) else (chunk,) * data.ndim,
        compressors=compressors,
        fill_value={"f": float("nan"), "U": ""}.get(data.dtype.kind, 0),
    )
