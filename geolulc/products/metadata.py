"""The metadata in a product's two XML files: name, time, grid, offsets. No pixels are read.

Elements are matched by local name: the namespace changes with the format's version, and
comparing versions has cost others the radiometric offset. Level-2Ap, the pilot of 2017 and early
2018 (baselines 02.05 and 02.06), adds ``_2A`` to some names and puts ``L2A_`` before others.
The XML comes from a stranger: no entities, no document types, bounded sizes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from geolulc.bands import BANDS, RESOLUTIONS
from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.products.archive import Contents, list_contents
from geolulc.products.refusals import PRODUCT_XML

_LARGEST_XML: Final = 32_000_000
#: Reflectance × this = DN + offset. Networks work in this unit (products/radiometry.py).
QUANTIFICATION: Final = 10_000
#: Edge of a Sentinel-2 tile in metres: 10,980 pixels of 10 m.
LARGEST_TILE: Final = 109_800
#: UTM and polar northings end before 10,000 km.
_FARTHEST: Final = 10_000_000
_LONGEST_TEXT: Final = 300
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
        sun_zenith: mean zenith angle of the sun in degrees; None where it is not said.
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
    sun_zenith: float | None

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
        sun_zenith=_sun_zenith(tile),
    )


class Document:
    """One XML file, asked by local names."""

    def __init__(self, contents: Contents, name: str) -> None:
        self._subject = str(contents.members[name])
        data = contents.read(name, _LARGEST_XML)
        try:
            self._root: Element = fromstring(data, forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
            raise self.error(
                f"damaged XML ({type(error).__name__}: {error})",
                "well-formed metadata of Sentinel-2",
                "Download the product again.",
            ) from error

    def error(
        self, found: str, expected: str, remedy: str = "Use the original XML."
    ) -> ProductError:
        return ProductError(self._subject, found=found, expected=expected, remedy=remedy)

    def all(self, *names: str, within: Element | None = None) -> Iterator[Element]:
        """Elements of these local names, in document order."""
        for element in (self._root if within is None else within).iter():
            if isinstance(element.tag, str) and element.tag.rpartition("}")[2] in names:
                yield element

    def text(self, *names: str, within: Element | None = None) -> str:
        """The text of the first such element; ``ProductError`` where it is absent or empty."""
        for element in self.all(*names, within=within):
            if text := (element.text or "").strip():
                if len(text) > _LONGEST_TEXT:
                    raise self.error(f"{names[0]} {text}", "a short text")
                return text
        raise self.error(f"no {names[0]}", "the metadata of Sentinel-2")

    def number(self, name: str, within: Element | None = None) -> int:
        return self.integer(name, self.text(name, within=within))

    def integer(self, name: str, text: str) -> int:
        """A whole number, also as Sentinel-2 writes some of them: "10000.0"."""
        try:
            value = float(text)
            if value != int(value):
                raise ValueError
        except (ValueError, OverflowError):
            raise self.error(f"{name} {text!r}", "a whole number") from None
        return int(value)


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


def _sun_zenith(tile: Document) -> float | None:
    for element in tile.all("Mean_Sun_Angle"):
        text = tile.text("ZENITH_ANGLE", within=element)
        try:
            angle = float(text)
        except ValueError:
            angle = math.nan
        if not 0 <= angle <= 180:
            raise tile.error(f"ZENITH_ANGLE {text!r}", "degrees from 0 to 180")
        return angle
    return None


def _at(tile: Document, name: str, resolution: int) -> Element:
    for element in tile.all(name):
        if element.get("resolution") == str(resolution):
            return element
    raise tile.error(f"no {name} of {resolution} m", "sizes and corners at 10, 20 and 60 m")
