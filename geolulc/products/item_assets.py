"""Which files an Item's assets are: images of bands, a store of Zarr, and where these lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from geolulc.bands import BANDS, band
from geolulc.errors import ProductError
from geolulc.products.scene import AEROSOL, CLASSIFICATION, TRUE_COLOUR
from geolulc.remote.files import remote_url

#: Keys of assets beside the band's own name: of Earth Search and stactools.
_COMMON: Final = MappingProxyType(
    {
        "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05",
        "rededge2": "B06", "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09",
        "swir16": "B11", "swir22": "B12", "scl": CLASSIFICATION, "visual": TRUE_COLOUR,
        "aot": AEROSOL,
    }
)  # fmt: skip
_BUCKET: Final = re.compile(r"s3://([a-z0-9.-]+)/")
#: Buckets of S3 that are open to all, by their region.
_PUBLIC: Final = MappingProxyType(
    {"sentinel-cogs": "us-west-2", "e84-earth-search-sentinel-data": "us-west-2"}
)
#: A store of Zarr, of an address in it.
_STORE: Final = re.compile(r"[^?#]*?\.zarr(?=[/?]|$)")
IMAGE: Final = re.compile(r"\.(tiff?|jp2)$", re.IGNORECASE)


def is_read_in_place(item: Mapping[str, Any]) -> bool:
    """Whether an Item has images of bands, or a store of Zarr on a server, among its assets."""
    return "B04" in images_of(item) or remote_url(store_of(item) or "") is not None


def images_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Href of the image of each band at its native resolution, and of SCL, AOT and TCI."""
    assets = item.get("assets")
    found: dict[str, str] = {}
    for key, asset in assets.items() if isinstance(assets, dict) else ():
        href = asset.get("href") if isinstance(asset, dict) else None
        if not isinstance(href, str) or not IMAGE.search(_path_of(href)):
            continue
        for name in [b.name for b in BANDS] + [CLASSIFICATION, TRUE_COLOUR, AEROSOL]:
            native = 10 if name in (TRUE_COLOUR, AEROSOL) else 20
            native = band(name).resolution if name.startswith("B") else native
            if key in (name, f"{name}_{native}m") or _COMMON.get(key) == name:
                found.setdefault(name, href)
    return found


def store_of(item: Mapping[str, Any]) -> str | None:
    """Href of the store of Zarr that an Item's assets name, or lie in."""
    assets = item.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        href = asset.get("href") if isinstance(asset, dict) else None
        if isinstance(href, str) and (found := _STORE.match(href)):
            return found[0] + "".join(href.partition("?")[1:])  # with its signature
    return None


def _path_of(href: str) -> str:
    try:
        return urlsplit(href).path
    except ValueError:
        return ""


def resolved(href: str, base: Path | str, path: Path | str) -> str:
    """A URL, or a path on this file system, which only Items of this file system may name."""
    expected = "images by HTTP(S) or in a public bucket, or beside an Item of this file system"
    remedy = "Fetch the product by its name with geolulc fetch."
    if "\0" in href:
        raise ProductError(path, found="an href that is none", expected=expected, remedy=remedy)
    target = urljoin(base, href) if isinstance(base, str) else href
    if (bucket := _BUCKET.match(target)) is not None and bucket[1] in _PUBLIC:
        target = (
            f"https://{bucket[1]}.s3.{_PUBLIC[bucket[1]]}.amazonaws.com/{target[bucket.end() :]}"
        )
    scheme = urlsplit(target).scheme.lower()
    if scheme in ("http", "https"):
        return target
    if isinstance(base, str) or scheme not in ("", "file") or href.startswith("/vsi"):
        raise ProductError(path, found=f"the href {target}", expected=expected, remedy=remedy)
    local = unquote(urlsplit(target).path) if scheme else target
    return str(base / local)
