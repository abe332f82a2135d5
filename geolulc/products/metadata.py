"""The metadata in a product's two XML files: name, time, grid, offsets, angles. No pixels are read.

Level-2Ap, the pilot of 2017 and early 2018 (baselines 02.05 and 02.06), adds ``_2A`` to some names
and puts ``L2A_`` before others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final
from xml.etree.ElementTree import Element

from geolulc.bands import BANDS, RESOLUTIONS, SENTINEL2, Sensor
from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.products.archive import Contents, list_contents
from geolulc.products.directions import Direction, direction
from geolulc.products.documents import Document
from geolulc.products.refusals import PRODUCT_XML

#: Reflectance × this = DN + offset. Networks work in this unit (products/radiometry.py).
QUANTIFICATION: Final = SENTINEL2.scale
#: Edge of a Sentinel-2 tile in metres: 10,980 pixels of 10 m.
LARGEST_TILE: Final = 109_800
#: UTM and polar northings end before 10,000 km.
_FARTHEST: Final = 10_000_000
_TILE_XML: Final = re.compile(r"GRANULE/([^/.][^/]*)/MTD_TL\.xml")
#: Zones of UTM on WGS 84.
UTM: Final = re.compile(r"EPSG:32[67](0[1-9]|[1-5]\d|60)")
_TILE_ID: Final = re.compile(r"_T(\d\d[A-Z]{3})(?:_|$)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")


@dataclass(frozen=True)
class Metadata:
    """A product as its XML describes it.

    Attributes:
        name: ``PRODUCT_URI`` without ``.SAFE``.
        platform: "Sentinel-2A".
        sensing_time: start of the datatake, UTC.
        baseline: "05.10".
        tile_id: "32TPS".
        grid: the ground it covers.
        level: "L2A" (surface reflectance) or "L1C" (at the top of the atmosphere).
        offsets: ``BOA_ADD_OFFSET`` or ``RADIO_ADD_OFFSET`` by band name, 0 where the product has
            no list (before baseline 04.00).
        quantification: 10000: (DN + offset) / quantification is reflectance.
        listed: ``IMAGE_FILE`` entries, relative to the product, without suffix.
        granule: the folder of the one granule.
        sun: where it stands, the mean over the tile; None where it is not said.
        views: where the satellite is seen from the ground, the mean over the tile, by band; of
            those alone of which it is said.
    """

    name: str
    platform: str
    sensing_time: datetime
    baseline: str
    tile_id: str
    grid: TileGrid
    level: str
    offsets: Mapping[str, int]
    quantification: int
    listed: tuple[str, ...]
    granule: str
    sun: Direction | None
    views: Mapping[str, Direction]
    sensor: ClassVar[Sensor] = SENTINEL2

    @property
    def facts(self) -> Mapping[str, str]:
        """Where a map comes from, for ``MapHeader.scene``."""
        return {
            "name": self.name,
            "platform": self.platform,
            "sensing_time": self.sensing_time.isoformat(),
            "baseline": self.baseline,
            "tile": self.tile_id,
            # said of those that are not the usual ones
            **({} if self.level == "L2A" else {"level": self.level}),
        }


def read_metadata(path: Path) -> Metadata:
    """The metadata of the product at ``path`` (folder or zip), whether or not its images exist.

    Raises:
        ProductError: not a product, several granules, or XML that is damaged or lacks what mapping
            needs.
    """
    return parse_metadata(list_contents(path))


def parse_metadata(contents: Contents) -> Metadata:
    """``read_metadata`` of files already listed."""
    level = contents.level
    product = Document(contents, PRODUCT_XML[level])
    said, expected = product.text("PROCESSING_LEVEL"), f"Level-{level[1:]}"
    if not said.startswith(expected):
        raise product.error(f"PROCESSING_LEVEL {said}", expected, "Download the product again.")
    granules = sorted(match[1] for name in contents.members if (match := _TILE_XML.fullmatch(name)))
    listed = len({id_ for e in product.all("Granule") if (id_ := e.get("granuleIdentifier"))})
    if len(granules) > 1 or listed > 1:
        raise product.error(
            f"{max(len(granules), listed)} granules",
            "one granule (tile)",
            "Give products of one tile each, as they are distributed since December 2016.",
        )
    if not granules:
        raise product.error(
            "no GRANULE/*/MTD_TL.xml beside it", "one granule", "Download the product again."
        )
    granule = f"GRANULE/{granules[0]}"
    tile = Document(contents, f"{granule}/MTD_TL.xml")
    name = product.text("PRODUCT_URI", "PRODUCT_URI_2A").removesuffix(".SAFE")
    if not _NAME.fullmatch(name):
        raise product.error(f"PRODUCT_URI {name!r}", "a product name")
    tile_id = _TILE_ID.search(tile.text("TILE_ID", "TILE_ID_2A")) or _TILE_ID.search(name)
    return Metadata(
        name=name,
        platform=product.text("SPACECRAFT_NAME"),
        sensing_time=_time(product),
        baseline=product.text("PROCESSING_BASELINE"),
        tile_id=tile_id[1] if tile_id else "",
        grid=_grid(tile),
        level=level,
        offsets=MappingProxyType(_offsets(product, level)),
        quantification=_quantification(product, level),
        listed=tuple(
            (element.text or "").strip().removeprefix("./").removesuffix(".jp2")
            for kind in ("IMAGE_FILE", "IMAGE_FILE_2A")
            for element in product.all(kind)
        ),
        granule=granule,
        sun=_sun(tile),
        views=MappingProxyType(_views(tile)),
    )


def _time(product: Document) -> datetime:
    text = product.text("DATATAKE_SENSING_START")
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise product.error(f"DATATAKE_SENSING_START {text!r}", "a time") from None


def _quantification(product: Document, level: str) -> int:
    name = "BOA_QUANTIFICATION_VALUE" if level == "L2A" else "QUANTIFICATION_VALUE"
    value = product.integer(name, product.text(name, f"L2A_{name}"))
    if value != QUANTIFICATION:
        raise product.error(
            f"{name} {value}",
            f"{QUANTIFICATION}, as in every product so far",
            "Rescale the bands to 1/10000 reflectance and correct the XML.",
        )
    return value


def _offsets(product: Document, level: str) -> dict[str, int]:
    name = "BOA_ADD_OFFSET" if level == "L2A" else "RADIO_ADD_OFFSET"
    by_id: dict[int, int] = {}
    for element in product.all(name):
        band_id = product.integer("band_id", element.get("band_id", ""))
        value = product.integer(name, (element.text or "").strip())
        if abs(value) > 32767 or by_id.setdefault(band_id, value) != value:
            raise product.error(
                f"{name} {value} of band_id {band_id}",
                "one offset a band, as a 16-bit number",
            )
    if not by_id:
        return {band.name: 0 for band in BANDS}
    missing = [band.name for band in BANDS if band.band_id not in by_id]
    if missing:
        raise product.error(
            f"no {name} for {', '.join(missing)}",
            "an offset for every band, or none at all",
        )
    return {band.name: by_id[band.band_id] for band in BANDS}


def _grid(tile: Document) -> TileGrid:
    crs = tile.text("HORIZONTAL_CS_CODE").upper()
    if not UTM.fullmatch(crs):
        raise tile.error(
            f"HORIZONTAL_CS_CODE {crs}", "a UTM zone (EPSG:32601 to 32660, 32701 to 32760)"
        )
    places = set()
    for resolution in RESOLUTIONS:
        size = _at(tile, "Size", resolution)
        position = _at(tile, "Geoposition", resolution)
        steps = tile.number("XDIM", position), tile.number("YDIM", position)
        if steps != (resolution, -resolution):
            raise tile.error(
                f"pixels of {steps} m at resolution {resolution}",
                f"({resolution}, {-resolution})",
            )
        places.add(
            (
                tile.number("ULX", position),
                tile.number("ULY", position),
                tile.number("NCOLS", size) * resolution,
                tile.number("NROWS", size) * resolution,
            )
        )
    if len(places) != 1:
        raise tile.error(
            f"{len(places)} extents (left, top, width, height): {sorted(places)}",
            "the same ground at 10, 20 and 60 m",
            "Use an unmodified product.",
        )
    left, top, width, height = places.pop()
    if max(width, height) > LARGEST_TILE or max(abs(left), abs(top)) > _FARTHEST:
        raise tile.error(
            f"an extent of {width:,} m × {height:,} m at ({left:,}, {top:,})",
            f"at most a tile of {LARGEST_TILE:,} m, at a place on the Earth",
        )
    try:
        return TileGrid(crs, left, top, width, height)
    except ProductError as error:
        raise tile.error(error.found, error.expected, error.remedy) from error


def _sun(tile: Document) -> Direction | None:
    for element in tile.all("Mean_Sun_Angle"):
        found = _direction(tile, element)
        if found is None:
            text = tile.text("ZENITH_ANGLE", within=element)
            raise tile.error(f"ZENITH_ANGLE {text!r}", "degrees from 0 to 180")
        return found
    return None


def _views(tile: Document) -> dict[str, Direction]:
    """Angles of NaN, which products have of bands that saw nothing, are left out."""
    names = {str(band.band_id): band.name for band in BANDS}
    found = {}
    for element in tile.all("Mean_Viewing_Incidence_Angle"):
        name, view = names.get(element.get("bandId", "")), _direction(tile, element)
        if name is not None and view is not None:
            found[name] = view
    return {name: found[name] for name in names.values() if name in found}


def _direction(tile: Document, element: Element) -> Direction | None:
    said = {
        e.tag.rpartition("}")[2]: (e.text or "").strip()
        for e in tile.all("ZENITH_ANGLE", "AZIMUTH_ANGLE", within=element)
    }
    return direction(said.get("ZENITH_ANGLE"), said.get("AZIMUTH_ANGLE"))


def _at(tile: Document, name: str, resolution: int) -> Element:
    for element in tile.all(name):
        if element.get("resolution") == str(resolution):
            return element
    raise tile.error(f"no {name} of {resolution} m", "sizes and corners at 10, 20 and 60 m")
