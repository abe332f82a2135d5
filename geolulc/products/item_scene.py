"""A STAC Item whose assets are images of the bands (COG or JPEG 2000): a scene, read in place."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np

from geolulc.bands import BANDS, SENTINEL2, Sensor, band
from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.products.cog import CogImage
from geolulc.products.directions import Direction, direction
from geolulc.products.eopf import EopfProduct, describe_eopf_product, open_eopf
from geolulc.products.item_assets import IMAGE, images_of, resolved, store_of
from geolulc.products.item_offsets import baseline_of, offset_of_pixels, rule_of
from geolulc.products.metadata import LARGEST_TILE, UTM
from geolulc.products.refusals import require_no_offset
from geolulc.products.scene import (
    AEROSOL,
    CLASSIFICATION,
    TRUE_COLOUR,
    Image,
    require_images,
    scene_description,
)
from geolulc.remote.client import Client
from geolulc.remote.files import RemoteFile, remote_url
from geolulc.text_files import TextFiles

_JSON: Final = (".json", ".geojson")
_TILE: Final = re.compile(r"(?:_T|MGRS-)(\d{1,2}[A-Z]{3})(?:_|$|\.)")
_AT_ONCE: Final = 8
_FILES: Final = TextFiles(
    ProductError, "a STAC Item", "Give the Item as its catalogue has it.", most=1 << 28
)
#: Pixels a side of the pictures by which an offset is confirmed.
_LOOKED_AT: Final = 256


def is_item(path: Path) -> bool:
    """Whether a path looks like an Item: a file, one in a list, a folder with one, a URL."""
    if remote_url(path) is not None:
        return True
    return (
        path.suffix.lower() in _JSON or _listed_in(path) is not None or _in_folder(path) is not None
    )


@dataclass(frozen=True)
class ItemScene:
    """The images of an Item: a ``Scene``; made by ``open_item``."""

    path: Path | str
    name: str
    grid: TileGrid
    level: str
    images: Mapping[str, str] = field(repr=False)
    offsets: Mapping[str, int]
    sun: Direction | None
    views: Mapping[str, Direction]
    facts: Mapping[str, str]
    client: Client = field(repr=False)
    sensor: ClassVar[Sensor] = SENTINEL2

    @property
    def received(self) -> int:
        """Bytes that servers sent so far."""
        return self.client.received

    @contextlib.contextmanager
    def opened(
        self, names: Collection[str], *, verify: bool = True
    ) -> Iterator[Mapping[str, Image]]:
        """These images, each on the ground of the others: see ``Scene``. No checksums come."""
        require_images(self, names)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            futures = {
                name: threads.submit(_open_image, self.client, self.images[name], name)
                for name in names
            }
            images = {name: future.result() for name, future in futures.items()}
        for name, image in images.items():
            _require_place(image, name, self.grid)
        yield images


def open_item(
    path: Path | str, *, offset: int | None = None, allow_internal: bool = False
) -> ItemScene | EopfProduct:
    """The scene of an Item: a file, ``LIST.json/NUMBER``, a folder that holds one, or a URL.

    It consists of images of bands, or is a product in EOPF Zarr.

    Only heads of images are read, and pictures of two where the offset must be confirmed.

    Args:
        path: where the Item is.
        offset: what to add to digital numbers; None: what is known of the collection, confirmed.
        allow_internal: whether servers of this machine and its network may be asked.

    Raises:
        ProductError: no Item of Sentinel-2 with images of bands, or images that disagree, or an
            offset that is not known.
        RemoteError: a server does not answer, or an address that may not be asked.
    """
    client = Client(allow_internal=allow_internal)
    path = remote_url(path) or Path(path)
    item, base = _read(path, client)
    hrefs = {name: resolved(href, base, path) for name, href in images_of(item).items()}
    if "B04" not in hrefs and (store := store_of(item)) is not None:
        require_no_offset("product in EOPF Zarr", path, offset)
        return open_eopf(resolved(store, base, path), client=client)
    if "B04" not in hrefs:
        raise _error(
            path, "no image of the red band among its assets", "an Item of Sentinel-2 Level-2A",
            "Give the Item of a product, with its assets.",
        )  # fmt: skip
    red = _open_image(client, hrefs["B04"], "B04")
    grid = _grid(red, item, path)
    properties = item["properties"]
    name = str(properties.get("s2:product_uri") or item.get("id")).removesuffix(".SAFE")
    level = "L1C" if "MSIL1C" in name or "l1c" in str(item.get("collection")).lower() else "L2A"
    found = offset if offset is not None else _offset(client, item, hrefs, red, path)
    baseline = baseline_of(item)
    bands = [b.name for b in BANDS if b.name in hrefs]
    sun, view = _directions(properties)
    tile = _TILE.search(name) or _TILE.search(str(properties.get("grid:code", "")))
    return ItemScene(
        path=path,
        name=re.sub(r"[^\w.-]", "_", name)[:200] or "item",
        grid=grid,
        level=level,
        images=MappingProxyType(hrefs),
        offsets=MappingProxyType(dict.fromkeys(bands, found)),
        sun=sun,
        views=MappingProxyType({} if view is None else dict.fromkeys(bands, view)),
        facts=MappingProxyType(
            {
                "name": name,
                "platform": str(properties.get("platform", "")).title()[:20],
                "sensing_time": _time(properties, path),
                **({} if baseline is None else {"baseline": baseline}),
                **({} if tile is None else {"tile": tile[1].rjust(5, "0")}),
                **({} if level == "L2A" else {"level": level}),
            }
        ),
        client=client,
    )


def describe_item(path: Path, *, verify: bool = False) -> dict[str, Any]:
    """What ``describe_scene`` says of an Item; with ``verify`` all its images are opened.

    Raises:
        ProductError, RemoteError: as ``open_item``.
    """
    scene = open_item(path)
    if isinstance(scene, EopfProduct):
        return describe_eopf_product(scene, path, verify=verify)
    if verify:
        with scene.opened(list(scene.images)):
            pass
    return {**scene_description(scene), "path": str(path)}


def _listed_in(path: Path) -> Path | None:
    parent = path.parent
    return parent if path.name.isdecimal() and parent.suffix.lower() in _JSON else None


def _in_folder(path: Path) -> Path | None:
    if not path.is_dir():
        return None
    files = list(path.iterdir())
    found = [file for file in files if file.suffix.lower() in _JSON]
    return found[0] if len(found) == 1 and any(IMAGE.search(f.name) for f in files) else None


def _read(path: Path | str, client: Client) -> tuple[Mapping[str, Any], Path | str]:
    """The Item, and what its hrefs are relative to: a folder, or a URL."""
    url = remote_url(path)
    base: Path | str
    if url is not None:
        item, base = client.read_json(url), url
    else:
        path = Path(path)
        source = _listed_in(path) or (_in_folder(path) or path)
        try:
            item, base = json.loads(_FILES.text(source)), source.parent
            if source == path.parent:
                item = item["features"][int(path.name)]
        except (ValueError, RecursionError, LookupError, TypeError) as error:
            raise _FILES.unusable(path, f"no JSON of an Item ({error})") from None
    if not isinstance(item, dict) or item.get("type") != "Feature":
        kind = item.get("type") if isinstance(item, dict) else type(item).__name__
        raise _FILES.unusable(path, f"the type {kind!r}")
    if not isinstance(item.get("properties"), dict):
        raise _FILES.unusable(path, "no properties")
    return item, base


def _open_image(client: Client, place: str, name: str) -> CogImage:
    remote = RemoteFile(client, place) if place.startswith(("http://", "https://")) else None
    resolution = 10 if name in (TRUE_COLOUR, AEROSOL) else 20
    image = CogImage.of(
        place, band(name).resolution if name.startswith("B") else resolution, remote
    )
    # 10 m at the Planetary Computer, 20 m at Earth Search
    return replace(image, resolution=round(image.transform.a)) if name == AEROSOL else image


def _grid(red: CogImage, item: Mapping[str, Any], path: Path | str) -> TileGrid:
    """The ground of the red band; the Item's CRS where the image has none."""
    properties = item["properties"]
    said = {
        f"EPSG:{str(properties[key]).upper().removeprefix('EPSG:')}"
        for key in ("proj:epsg", "proj:code")
        if properties.get(key) is not None
    } | ({red.crs} if red.crs else set())
    if len(said) != 1 or not UTM.fullmatch(crs := next(iter(said))):
        raise _error(
            path, f"the CRS {', '.join(sorted(said)) or 'none'}", "one UTM zone everywhere",
            "Give the Item of an unmodified product.",
        )  # fmt: skip
    rows, columns = red.tiling.shape
    left, top = red.transform.c, red.transform.f
    if left != int(left) or top != int(top):
        raise _error(path, f"the corner ({left}, {top})", "whole metres", "Give another Item.")
    if max(rows, columns) * 10 > LARGEST_TILE:
        raise _error(
            path, f"{rows:,} × {columns:,} pixels", f"at most a tile of {LARGEST_TILE:,} m",
            "Give the Item of one tile.",
        )  # fmt: skip
    return TileGrid(crs, int(left), int(top), columns * 10, rows * 10)


def _require_place(image: CogImage, name: str, grid: TileGrid) -> None:
    shape, transform = grid.shape(image.resolution), grid.transform(image.resolution)
    kind = np.dtype(np.uint8 if name in (CLASSIFICATION, TRUE_COLOUR) else np.uint16)
    layers = 3 if name == TRUE_COLOUR else 1
    for fits, found, expected in (
        (image.tiling.shape == shape, f"{image.tiling.shape} pixels", f"{shape}"),
        (image.dtype == kind, f"{image.dtype}", f"{kind}"),
        (image.count == layers, f"{image.count} bands", f"{layers}"),
        (image.nodata in (None, 0), f"nodata {image.nodata}", "0 or none"),
        (image.crs in (None, grid.crs), f"CRS {image.crs}", grid.crs),
        (image.transform.almost_equals(transform), f"{tuple(image.transform)[:6]}",
         f"{tuple(transform)[:6]}"),
    ):  # fmt: skip
        if not fits:
            raise _error(
                image, found, f"{expected}, as of {name} on the ground of B04",
                "Use images as their catalogue has them.",
            )  # fmt: skip


def _offset(
    client: Client, item: Mapping[str, Any], hrefs: Mapping[str, str], red: CogImage, path: Any
) -> int:
    """By collection and bucket, confirmed on pixels; ``ProductError`` where neither decides."""
    rule = rule_of(item, hrefs["B04"])
    if rule.offset == 0 and rule.is_certain:
        return 0
    seen = None
    if TRUE_COLOUR in hrefs:
        picture = _open_image(client, hrefs[TRUE_COLOUR], TRUE_COLOUR)
        rows, columns = (slice(0, n) for n in red.tiling.shape)
        if picture.tiling.shape == red.tiling.shape and picture.count == 3:
            size = min(_LOOKED_AT, *red.tiling.shape)
            seen = offset_of_pixels(
                *(image.shrunk(rows, columns, (size, size))[0] for image in (red, picture))
            )
    if rule.is_certain and seen in (None, rule.offset) and rule.offset is not None:
        return rule.offset
    if not rule.is_certain and seen is not None:
        return seen
    said = {None: "do not say", 0: "look as if it were off", -1000: "look as if it were in"}[seen]
    raise _error(
        path,
        f"an offset that is not known: collection {item.get('collection')!r}, baseline "
        f"{rule.baseline or 'unknown'}, and the pixels {said}",
        "a collection whose rule is known, or pixels that decide",
        "Say it: --offset -1000 for digital numbers as ESA has them since baseline 04.00, "
        "--offset 0 for harmonised ones.",
    )


def _time(properties: Mapping[str, Any], path: Path | str) -> str:
    text = str(properties.get("datetime") or properties.get("start_datetime"))
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise _error(path, f"datetime {text!r}", "a time", "Correct the Item.") from None


def _directions(properties: Mapping[str, Any]) -> tuple[Direction | None, Direction | None]:
    """To the sun and to the satellite: of the Planetary Computer's fields, or of STAC's."""
    high = properties.get("view:sun_elevation")
    zenith = 90 - high if isinstance(high, int | float) else None
    sun = (
        properties.get(f"s2:mean_solar_{name}", other)
        for name, other in (("zenith", zenith), ("azimuth", properties.get("view:sun_azimuth")))
    )
    view = (properties.get(f"view:{name}") for name in ("incidence_angle", "azimuth"))
    return direction(*sun), direction(*view)


def _error(subject: Any, found: str, expected: str, remedy: str) -> ProductError:
    return ProductError(subject, found=found, expected=expected, remedy=remedy)
