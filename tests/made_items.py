"""STAC Items of COGs of a SAFE's images, as four catalogues have them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from geolulc.products import Product, image_settings, open_image, open_product

COMMON = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1",
    "B06": "rededge2", "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09",
    "B11": "swir16", "B12": "swir22", "SCL": "scl", "TCI": "visual",
}  # fmt: skip
EARTH_SEARCH = "https://earth-search.aws.element84.com/v1/collections/sentinel-2-l2a"


def write_item(
    safe: Path,
    folder: Path,
    *,
    collection: str = "sentinel-2-c1-l2a",
    links: tuple[str, ...] = (),
    removed: bool = False,
    visual: bool = True,
    common: bool = True,
    properties: Mapping[str, Any] | None = None,
    names: Collection[str] | None = None,
    block: int = 64,
) -> Path:
    """``folder/item.json`` and a COG of each image beside it.

    Args:
        safe: the product.
        folder: what is made.
        collection: of the Item.
        links: their hrefs.
        removed: whether DN have no offset any more, as in ``sentinel-cogs``.
        visual: whether there is an image in natural colours.
        common: names of assets as Earth Search has them, else as the Planetary Computer has them.
        properties: changes those of the Item.
        names: of the bands; None for all.
        block: pixels a side of a block.
    """
    folder.mkdir(parents=True)
    product = open_product(safe)
    assets: dict[str, Any] = {}
    arrays = _pixels(product, removed, names)
    if visual:
        arrays["TCI"] = _natural_colours(product)
    for name, data in arrays.items():
        write_cog(folder / f"{name}.tif", data, product, block)
        assets[COMMON[name] if common else name.replace("TCI", "visual")] = {
            "href": f"./{name}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        }
    seen = product.views.get("B04")
    view = {"view:incidence_angle": seen.zenith, "view:azimuth": seen.azimuth} if seen else {}
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": product.name,
        "collection": collection,
        "geometry": None,
        "links": [{"rel": "collection", "href": href} for href in links],
        "properties": {
            "datetime": product.sensing_time.isoformat(),
            "platform": product.platform.lower(),
            "proj:epsg": int(product.grid.crs.rpartition(":")[2]),
            "s2:product_uri": f"{product.name}.SAFE",
            "s2:processing_baseline": product.baseline,
            "s2:mean_solar_zenith": product.sun.zenith,
            "s2:mean_solar_azimuth": product.sun.azimuth,
            **view,
            "earthsearch:boa_offset_applied": not removed,
            **(properties or {}),
        },
        "assets": assets,
    }
    (folder / "item.json").write_text(json.dumps(item))
    return folder / "item.json"


def _pixels(
    product: Product, removed: bool, names: Collection[str] | None
) -> dict[str, NDArray[Any]]:
    found = {}
    for name in COMMON if names is None else [*names, "SCL"]:
        if name in product.images and name != "TCI":
            with image_settings(), open_image(product.images[name].gdal_path) as image:
                data = image.read()
            if removed and name != "SCL":
                kept = np.maximum(data.astype(int) + product.offsets[name], 1)
                data = np.where(data == 0, 0, kept).astype(np.uint16)
            found[name] = data
    return found


def _natural_colours(product: Product) -> NDArray[np.uint8]:
    layers = []
    for name in ("B04", "B03", "B02"):
        with image_settings(), open_image(product.images[name].gdal_path) as image:
            dn = image.read(1).astype(float)
        reflectance = np.maximum(dn + product.offsets[name], 0)
        layers.append(np.where(dn == 0, 0, np.clip(1 + reflectance * 254 / 3558, 1, 255)))
    return np.rint(layers).astype(np.uint8)


def write_cog(path: Path, data: NDArray[Any], product: Product, block: int = 64) -> None:
    grid = product.grid
    resolution = grid.width // data.shape[2]
    with rasterio.open(
        path, "w", driver="GTiff", count=len(data), height=data.shape[1], width=data.shape[2],
        dtype=data.dtype, crs=grid.crs, transform=grid.transform(resolution), tiled=True,
        blockxsize=block, blockysize=block, compress="deflate", predictor=2, nodata=0,
    ) as image:  # fmt: skip
        image.write(data)
        image.build_overviews([2], Resampling.average)
