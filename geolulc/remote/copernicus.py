"""The Copernicus Data Space: Sentinel-2 products by place and date, or by name, through OData.

The catalogue is open; https://documentation.dataspace.copernicus.eu/APIs/OData.html. eodag and
cdsetool ask it too: the first brings its own settings, plugins and folders, neither bounds what it
is sent, compares checksums or resumes, and what remains is these two requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlsplit

import shapely
from shapely.geometry.base import BaseGeometry

from geolulc.errors import ParameterError, RemoteError
from geolulc.remote.client import Client

_NAME: Final = re.compile(
    r"S2[A-D]_MSI(?P<level>L1C|L2A)_(?P<time>\d{8}T\d{6})_N(?P<baseline>\d{4})_R\d{3}"
    r"_(?P<tile>T\d{2}[A-Z]{3})_\d{8}T\d{6}"
)
_TYPES: Final = MappingProxyType({"L2A": "S2MSI2A", "L1C": "S2MSI1C"})
_ID: Final = re.compile(r"[0-9A-Fa-f-]{8,64}")
_PAGE: Final = 100
#: Bytes of a product; they have 0.3 to 1.3 GB.
_LARGEST: Final = 10_000_000_000
#: Corners of the area that the catalogue is asked for; what it finds is compared with all of it.
_CORNERS: Final = 60
_ALGORITHMS: Final = ("MD5", "BLAKE3")


@dataclass(frozen=True)
class Service:
    """Where the catalogue, the products and the tokens of a service are: URLs without last /."""

    catalogue: str = "https://catalogue.dataspace.copernicus.eu/odata/v1"
    download: str = "https://download.dataspace.copernicus.eu/odata/v1"
    identity: str = "https://identity.dataspace.copernicus.eu"

    @classmethod
    def at(cls, url: str | None) -> Service:
        """The one at ``url`` with the same paths; that of Copernicus for None."""
        if url is None:
            return cls()
        return cls(f"{url.rstrip('/')}/odata/v1", f"{url.rstrip('/')}/odata/v1", url.rstrip("/"))


@dataclass(frozen=True)
class RemoteProduct:
    """A product as the catalogue describes it.

    Attributes:
        name: without ``.SAFE``.
        identity: by which it is downloaded.
        size: bytes of its zip.
        online: whether it can be downloaded at once.
        checksums: "MD5" or "BLAKE3" → hexadecimal.
        start: of the datatake, UTC.
        cloud: percent; None where it is not said.
        footprint: in degrees; None where it is not said.
    """

    name: str
    identity: str
    size: int
    online: bool
    checksums: Mapping[str, str] = field(repr=False)
    start: datetime
    cloud: float | None
    footprint: BaseGeometry | None = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """What ``geolulc search --json`` says of it."""
        return {
            "name": self.name,
            "start": self.start.isoformat(),
            "cloud_cover": self.cloud,
            "bytes": self.size,
            "online": self.online,
        }


def parse_dates(text: str) -> tuple[date, date]:
    """ "2024-06-01/2024-06-30" → first and last day; of a single one, both."""
    try:
        first, _, last = text.partition("/")
        days = date.fromisoformat(first), date.fromisoformat(last or first)
        if days[0] <= days[1]:
            return days
    except ValueError:
        pass
    raise ParameterError(
        f"dates {text}",
        found="no period of days",
        expected="FIRST/LAST as 2024-06-01/2024-06-30, or one day",
        remedy="Correct the dates.",
    )


def search_products(
    client: Client,
    area: BaseGeometry,
    dates: tuple[date, date],
    *,
    max_cloud: float = 100.0,
    level: str = "L2A",
    most: int = 1000,
    service: Service | None = None,
) -> list[RemoteProduct]:
    """Products whose footprint meets ``area``, by time; of a datatake that was processed again,
    the newest.

    Args:
        client: asks the catalogue.
        area: in degrees.
        dates: first and last day, UTC.
        max_cloud: percent of cloud at most.
        level: "L2A" or "L1C".
        most: products at most.
        service: None for Copernicus.

    Raises:
        RemoteError: the catalogue does not answer, or not as it should.
        ParameterError: more than ``most`` products.
    """
    first, last = dates
    kind = "OData.CSDL.{0}Attribute"
    attribute = f"Attributes/{kind}/any(att:att/Name eq '{{1}}' and att/{kind}/Value {{2}})"
    conditions = [
        "Collection/Name eq 'SENTINEL-2'",
        attribute.format("String", "productType", f"eq '{_TYPES[level]}'"),
        f"ContentDate/Start ge {first.isoformat()}T00:00:00.000Z",
        f"ContentDate/Start lt {(last + timedelta(days=1)).isoformat()}T00:00:00.000Z",
    ]
    if max_cloud < 100:
        conditions.append(attribute.format("Double", "cloudCover", f"le {max_cloud:.2f}"))
    questions = [
        " and ".join([*conditions, f"OData.CSDL.Intersects(area=geography'SRID=4326;{wkt}')"])
        for wkt in map(_outline, _sides(area))
    ]
    found: dict[tuple[str, ...], RemoteProduct] = {}
    for product in _ask(client, service or Service(), questions, most):
        named = _NAME.fullmatch(product.name)
        if named is None or named["level"] != level:
            continue
        if product.footprint is not None and not product.footprint.intersects(area):
            continue
        key = product.name[:3], named["time"], named["tile"]
        if key not in found or found[key].name < product.name:
            found[key] = product
    return sorted(found.values(), key=lambda product: (product.start, product.name))


def _sides(area: BaseGeometry) -> list[BaseGeometry]:
    """The area in parts none of which goes around the globe: on both sides of the 180th meridian
    it is two.
    """
    west, _, east, _ = area.bounds
    if east - west <= 180:
        return [area]
    halves = (shapely.box(0, -90, 180, 90), shapely.box(-180, -90, 0, 90))
    return [part for half in halves if not (part := area.intersection(half)).is_empty]


def _outline(area: BaseGeometry) -> str:
    """The WKT of a polygon of few corners around an area."""
    hull = area.convex_hull
    wide = 0.001
    while shapely.get_num_coordinates(hull) > _CORNERS:
        hull, wide = hull.simplify(wide), wide * 2
    return str(shapely.to_wkt(hull, rounding_precision=6)).replace(" (", "(")


def find_by_name(
    client: Client, name: str, *, level: str | None = None, service: Service | None = None
) -> RemoteProduct:
    """The product called ``name``, or of the same datatake and tile at another ``level``.

    Of several, that of the newest baseline.

    Raises:
        ParameterError: no name of a product.
        RemoteError: the catalogue has none, or does not answer as it should.
    """
    plain = name.removesuffix(".zip").removesuffix(".SAFE")
    named = _NAME.fullmatch(plain)
    if named is None:
        raise ParameterError(
            f"product {name}",
            found="no name of a Sentinel-2 product since December 2016",
            expected="one as S2B_MSIL2A_20240625T101031_N0510_R022_T32TPS_20240625T151031",
            remedy="Find names with geolulc search.",
        )
    exact = level in (None, named["level"])
    if exact:
        condition = f"Name eq '{plain}.SAFE'"
    else:
        start = f"{plain[:4]}MSI{level}_{named['time']}_"
        condition = f"startswith(Name,'{start}') and contains(Name,'_{named['tile']}_')"
    condition = f"Collection/Name eq 'SENTINEL-2' and {condition}"
    wanted = (level or named["level"], named["time"], named["tile"])
    found = []
    for product in _ask(client, service or Service(), [condition], _PAGE):
        other = _NAME.fullmatch(product.name)
        alike = other and (other["level"], other["time"], other["tile"]) == wanted
        if other and alike and (not exact or product.name == plain):
            found.append((other["baseline"], product.name, product))
    if not found:
        raise RemoteError(
            plain,
            found=f"no such product{f' of Level-{level[1:]}' if level else ''} in the catalogue",
            expected="one that the Copernicus Data Space has",
            remedy="Find names with geolulc search; reprocessed products have new names.",
        )
    return max(found, key=lambda entry: entry[:2])[2]


def _ask(
    client: Client, service: Service, conditions: Sequence[str], most: int
) -> Iterator[RemoteProduct]:
    """The products for which one of some conditions of OData holds; those of several, again."""
    count = 0
    for condition in conditions:
        for value in _pages(client, service, condition):
            count += 1
            if count > most:
                raise ParameterError(
                    "search",
                    found=f"more than {most:,} products",
                    expected="a smaller number",
                    remedy="Narrow area or dates, or raise --limit.",
                )
            yield _parse(service, value)


def _pages(client: Client, service: Service, condition: str) -> Iterator[Any]:
    """What the catalogue has by a condition, page by page."""
    url = (
        f"{service.catalogue}/Products?$filter={quote(condition)}"
        f"&$orderby={quote('ContentDate/Start asc')}&$top={_PAGE}&$expand=Attributes"
    )
    seen = {url}
    while True:
        answer = client.read_json(url)
        values = answer.get("value") if isinstance(answer, dict) else None
        if not isinstance(values, list):
            raise _unexpected(service, "an answer without a list of products")
        yield from values
        following = answer.get("@odata.nextLink")
        if not values or following is None:
            return
        if not isinstance(following, str) or following in seen:
            raise _unexpected(service, "pages that never end")
        if urlsplit(following)[:2] != urlsplit(service.catalogue)[:2]:
            raise _unexpected(service, f"a next page elsewhere: {following}")
        seen.add(following)
        url = following


def _parse(service: Service, value: Any) -> RemoteProduct:
    try:
        identity, name = str(value["Id"]), str(value["Name"]).removesuffix(".SAFE")
        size = int(value["ContentLength"])
        start = datetime.fromisoformat(str(value["ContentDate"]["Start"])).astimezone(UTC)
        attributes = {a["Name"]: a["Value"] for a in value.get("Attributes") or ()}
        cloud = attributes.get("cloudCover")
        cloud = None if cloud is None else float(cloud)
        sums = {
            str(entry["Algorithm"]): str(entry["Value"]).lower()
            for entry in value.get("Checksum") or ()
            if entry and entry.get("Algorithm") in _ALGORITHMS
        }
        place = value.get("GeoFootprint")
        footprint = None if place is None else shapely.geometry.shape(place)
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise _unexpected(
            service, f"a product without its facts ({type(error).__name__})"
        ) from None
    if not _ID.fullmatch(identity) or not 0 < size <= _LARGEST or len(name) > 200:
        raise _unexpected(service, f"a product {name} of {size:,} bytes, Id {identity}")
    return RemoteProduct(
        name, identity, size, bool(value.get("Online", True)), sums, start, cloud, footprint
    )


def _unexpected(service: Service, found: str) -> RemoteError:
    return RemoteError(
        service.catalogue,
        found=found,
        expected="products as the OData of the Copernicus Data Space describes them",
        remedy="Check the address of the service; try again later.",
    )
