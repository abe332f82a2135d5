"""Lists of products: a text file with a path a line, or a STAC ItemCollection of local products."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from geolulc.errors import ProductError
from geolulc.products.doors import scene_within
from geolulc.products.item_assets import is_read_in_place
from geolulc.remote.files import remote_url
from geolulc.text_files import TextFiles

#: Assets that are looked at first, as CDSE, stactools and others name them; then all others.
_ASSETS: Final = (
    *("product", "Product", "PRODUCT", "safe-manifest", "safe_manifest"),
    *("product-metadata", "product_metadata"),
)
_LISTS: Final = TextFiles(
    ProductError,
    "a list of scenes, a text file",
    "Give products (.SAFE or .zip), a .txt with a path a line, or a STAC ItemCollection of local "
    "products.",
    most=1 << 30,  # an item of Sentinel-2 has some 20 kB
)
_STAC: Final = (".json", ".geojson")


def list_products(paths: Sequence[Path]) -> list[Path]:
    """``paths`` with the lists among them replaced by what they list, in order.

    A ``.txt`` has a path a line, relative to its own folder; blank lines and lines that begin
    with # say nothing. A ``.json`` or ``.geojson`` is a STAC ItemCollection (or one Item) of images
    of bands, anywhere, of EOPF Zarr on servers, or of local products; ``find_product`` says where.
    Whether the products are there is asked when they are opened.

    Raises:
        ProductError: a list that cannot be read, lists nothing, or lists what is not local.
    """
    products: list[Path] = []
    for path in paths:
        if remote_url(path) is not None:
            products.append(path)
        elif path.suffix.lower() == ".txt" and not path.is_dir():
            products.extend(_read_lines(path))
        elif path.suffix.lower() in _STAC and not path.is_dir():
            products.extend(_read_items(path))
        else:
            products.append(path)
    return products


def _read_lines(path: Path) -> list[Path]:
    listed = _LISTS.paths(path)
    for line in listed:
        if "://" in line:
            raise _LISTS.unusable(path, line, "a path of a product a line")
    return [path.parent / line for line in listed]


def _read_items(path: Path) -> list[Path]:
    expected = "a STAC ItemCollection: a FeatureCollection of Items"
    try:
        content = json.loads(_LISTS.text(path))
    except (ValueError, RecursionError) as error:
        raise _LISTS.unusable(path, f"no JSON ({error})", expected) from None
    if not isinstance(content, dict):
        raise _LISTS.unusable(path, f"a {type(content).__name__}", expected)
    items = [content] if content.get("type") == "Feature" else content.get("features")
    if not isinstance(items, list):
        raise _LISTS.unusable(path, f"the type {content.get('type')!r}", expected)
    if not items:
        raise _LISTS.unusable(path, "no item in it", expected)
    products = []
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise _LISTS.unusable(
                path, f"feature {number} is a {type(item).__name__}", "a STAC Item"
            )
        if is_read_in_place(item):  # read where they lie: products/item_scene.py
            products.append(path if items == [content] else path / str(number))
        else:
            products.append(find_product(item, path))
    return products


def find_product(item: Mapping[str, Any], source: Path) -> Path:
    """The local product that a STAC Item describes.

    It is the folder that ends in ``.SAFE``, or the ``.zip``, in the first href that has one, or
    the folder of an ``MTD_MSIL2A.xml`` or ``MTD_MSIL1C.xml``. The assets product, safe-manifest
    and product-metadata are asked first (also with _ for -), then the others in their order, then
    the self link. Hrefs are ``file://`` URLs, absolute paths, or relative to the Item's self link
    where that is local, else to the folder of ``source``.

    Raises:
        ProductError: there is none, or it is not local.
    """
    name = f"{source}, item {item.get('id', '')}"
    assets, links = item.get("assets"), item.get("links")
    assets = assets if isinstance(assets, dict) else {}
    ordered = [assets[key] for key in _ASSETS if key in assets]
    ordered += [asset for key, asset in assets.items() if key not in _ASSETS]
    own = next((link for link in _hrefs(links) if link.get("rel") == "self"), None)
    base, own_href = source.parent, "" if own is None else str(own["href"])
    if own_href and (local := _local(own_href, base)) is not None:
        base = local.parent
    remote = ""
    hrefs = [(str(asset["href"]), base) for asset in _hrefs(ordered)]
    for href, beside in [*hrefs, (own_href, source.parent)]:
        local = _local(href, beside) if href else source
        if local is None:
            remote = remote or href
        elif (product := scene_within(local)) is not None:
            return product
    if remote:
        raise ProductError(
            name,
            found=f"only what is not local, as {remote}",
            expected="a product on this file system: a path or a file:// URL",
            remedy="Download the products; list the files.",
        )
    raise ProductError(
        name,
        found="no href of a product",
        expected="one that holds NAME.SAFE, NAME.zip or MTD_MSIL2A.xml",
        remedy="Give the products themselves, or a .txt with a path a line.",
    )


def _hrefs(entries: object) -> Iterator[Mapping[str, Any]]:
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("href"), str):
            yield entry


def _local(href: str, base: Path) -> Path | None:
    """The path that ``href`` means, None for what is elsewhere or nothing."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return None
    if "\0" in href or parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    path = unquote(parts.path) if parts.scheme else href
    return None if "\0" in path else base / path
