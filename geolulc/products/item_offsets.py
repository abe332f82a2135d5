"""What to add to the digital numbers of a STAC Item's images: by where they lie, and by pixels.

Since baseline 04.00 products hold DN + 1000. Earth Search took the 1000 off in the bucket
``sentinel-cogs`` (but for some items of early 2022) and says otherwise in ``raster:bands`` and in
``earthsearch:boa_offset_applied`` (Element84/earth-search, issues 24, 41, 56, 66, 71). Its
collection ``sentinel-2-c1-l2a``, the Planetary Computer, Copernicus and AWS kept it. So collection
and bucket decide, not what the metadata say, and pixels confirm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.products.eopf import FIRST_WITH_OFFSET

SHIFTED: Final = -1000
_REMOVED: Final = re.compile(r"sentinel-cogs\b|sentinel-s2-l2a-cogs")
_KEPT: Final = re.compile(
    r"e84-earth-search-sentinel-data|sentinel2l2a01\.blob|planetarycomputer"
    r"|\beodata\b|dataspace\.copernicus|//sentinel-s2-l[12][ac]\b|\beopf\b|eodc\.eu|sentinel-2-c1-l2a"
)
_EARTH_SEARCH: Final = re.compile(r"earth-search\.aws\.element84\.com|element84")
_BASELINE: Final = re.compile(r"_N(\d\d)\.?(\d\d)(?:_|$|\.SAFE)")
#: Sen2Cor's image in natural colours: 1..255 for reflectance 0..0.3558, × 10,000.
_STEP: Final = 3558 / 254
_DARKEST, _BRIGHTEST = 5, 250
_ENOUGH: Final = 200
_NEAR: Final = 300


@dataclass(frozen=True)
class Rule:
    """What is known of an Item without its pixels.

    Attributes:
        baseline: "05.10", None where it is not said.
        removed: whether who keeps the images takes the 1000 off; None where it is not known.
    """

    baseline: str | None
    removed: bool | None

    @property
    def offset(self) -> int | None:
        """What the rule expects; None where it does not know."""
        if self.baseline is not None and self.baseline < FIRST_WITH_OFFSET:
            return 0
        if self.removed is None or (self.baseline is None and not self.removed):
            return None
        return 0 if self.removed else SHIFTED

    @property
    def is_certain(self) -> bool:
        """Whether pixels need not confirm it where they cannot."""
        old = self.baseline is not None and self.baseline < FIRST_WITH_OFFSET
        return old or self.removed is False


def rule_of(item: Mapping[str, Any], band_href: str) -> Rule:
    """The rule for the images of an Item, of which ``band_href`` is one."""
    removed = None
    for place in (band_href, *_places(item)):
        if _REMOVED.search(place):
            removed = True
        elif _KEPT.search(place):
            removed = False
        if removed is not None:
            break
    return Rule(baseline_of(item), removed)


def baseline_of(item: Mapping[str, Any]) -> str | None:
    """The processing baseline, by a property or by a name of the product."""
    properties = item.get("properties")
    said = properties if isinstance(properties, dict) else {}
    for key in ("s2:processing_baseline", "sentinel2:processing_baseline", "processing:version"):
        if re.fullmatch(r"\d\d\.\d\d", str(said.get(key, ""))):
            return str(said[key])
    for name in (
        said.get("s2:product_uri"),
        said.get("sentinel:product_id"),
        said.get("s2:granule_id"),
        said.get("eopf:datatake_id"),
        item.get("id"),
    ):
        if found := _BASELINE.search(str(name)):
            return f"{found[1]}.{found[2]}"
    return None


def _places(item: Mapping[str, Any]) -> Iterator[str]:
    """What else tells who keeps the images, the surest first."""
    properties = item.get("properties")
    said = properties if isinstance(properties, dict) else {}
    yield str(said.get("earthsearch:s3_path", ""))
    collection = str(item.get("collection", ""))
    yield collection
    links = item.get("links")
    hrefs = [str(link.get("href")) for link in links or () if isinstance(link, dict)]
    earth_search = any(_EARTH_SEARCH.search(href) for href in hrefs)
    if earth_search and collection == "sentinel-2-l2a":
        yield "sentinel-cogs"
    yield from hrefs


def offset_of_pixels(red: NDArray[Any], visual_red: NDArray[Any]) -> int | None:
    """The offset that the red band needs, by the red of the image in natural colours.

    Args:
        red: digital numbers of B04.
        visual_red: uint8 of the same ground and shape.

    Returns:
        0 or -1000; None where the two do not say.
    """
    there = (red > 0) & (visual_red >= _DARKEST) & (visual_red <= _BRIGHTEST)
    if np.count_nonzero(there) < _ENOUGH:
        return None
    shown = (visual_red[there].astype(float) - 1) * _STEP
    excess = float(np.median(red[there].astype(float) - shown))
    return next((-added for added in (0, -SHIFTED) if abs(excess - added) <= _NEAR), None)
