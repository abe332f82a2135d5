"""Products of Sentinel-2 as EOPF Zarr: the digital numbers of the SAFE, in chunks.

Layout and attributes as the EOPF sample service and the CPM (versions 2 and 3) write them; the
SAFE of the same product gives the same map. https://cpm.pages.eopf.copernicus.eu
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from geolulc.bands import BANDS, RESOLUTIONS, SENTINEL2, Sensor
from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.products.cloud_mask import CLOUDS, ZarrCloudMask
from geolulc.products.directions import Direction
from geolulc.products.eopf_directions import sun_of, views_of
from geolulc.products.metadata import LARGEST_TILE, QUANTIFICATION, UTM
from geolulc.products.scene import (
    AEROSOL,
    CLASSIFICATION,
    Image,
    require_images,
    scene_description,
)
from geolulc.products.zarr_arrays import MARKS, Store
from geolulc.products.zarr_images import ZarrImage
from geolulc.products.zarr_on_server import OnServer
from geolulc.remote.client import Client
from geolulc.remote.files import remote_url

_REFLECTANCE: Final = "measurements/reflectance"
_CLASSES: Final = "conditions/mask/l2a_classification/r20m/scl"
_CLOUDS: Final = "conditions/mask/l1c_classification/r60m/b00"
_AEROSOL: Final = "quality/atmosphere/r{}m/aot"
_NAME: Final = re.compile(
    r"(S2[A-Z])_MSI(L1C|L2A)_\d{8}T\d{6}_N(\d\d)(\d\d)_R\d{3}_T(\d\d[A-Z]{3})_\d{8}T\d{6}"
)
#: Products of this baseline and later hold DN + 1000 (products/radiometry.py).
FIRST_WITH_OFFSET: Final = "04.00"
_DRIFT: Final = 1e-6
_ENDINGS: Final = (".zarr", ".zarr.zip")
_REMEDY: Final = "Get the product again, or its SAFE."


@dataclass(frozen=True)
class EopfProduct:
    """A product in EOPF Zarr: a ``Scene``; made by ``open_eopf``."""

    path: Path | str
    name: str
    grid: TileGrid
    level: str
    images: Mapping[str, ZarrImage] = field(repr=False)
    offsets: Mapping[str, int]
    sun: Direction | None
    views: Mapping[str, Direction]
    facts: Mapping[str, str]
    client: Client | None = field(default=None, repr=False)
    sensor: ClassVar[Sensor] = SENTINEL2

    @property
    def received(self) -> int:
        """Bytes that a server sent so far."""
        return 0 if self.client is None else self.client.received

    @contextlib.contextmanager
    def opened(
        self, names: Collection[str], *, verify: bool = True
    ) -> Iterator[Mapping[str, Image]]:
        """These images: see ``Scene``. There are no checksums but those of a zip."""
        require_images(self, names)
        yield {name: self.images[name] for name in names}


def is_eopf(path: Path) -> bool:
    """Whether a path looks like a store of Zarr."""
    url = remote_url(path)
    if (urlsplit(url).path if url else path.name).rstrip("/").lower().endswith(_ENDINGS):
        return True
    return any((path / mark).is_file() for mark in MARKS)


def eopf_within(path: Path) -> Path | None:
    """The store that a path leads to, or into: by its name."""
    named = (at for at in (path, *path.parents) if at.name.lower().endswith(_ENDINGS))
    return next(named, None)


def open_eopf(
    path: Path | str, *, allow_internal: bool = False, client: Client | None = None
) -> EopfProduct:
    """The product in the store at ``path``: a folder, a zip, or a folder on a server.

    Args:
        path: also a URL; only its metadata are read.
        allow_internal: whether servers of this machine and its network may be asked.
        client: that asks in place of a new one.

    Raises:
        ProductError: none there, one of another flavour, or one that contradicts itself.
        RemoteError: a server does not answer as it should.
    """
    if (url := remote_url(path)) is not None:
        if urlsplit(url).path.lower().endswith(".zip"):
            raise ProductError(
                url, found="a zip on a server", expected="a store of Zarr as a folder (.zarr)",
                remedy="Download it, and give the local zip.",
            )  # fmt: skip
        client = client or Client(allow_internal=allow_internal)
        return _Reader(Store.of(OnServer(client, url)), url, client).product()
    path = Path(path)
    if not path.exists():
        raise ProductError(
            path, found="nothing there", expected="a product in EOPF Zarr", remedy="Check the path."
        )
    return _Reader(Store.at(path), path).product()


def describe_eopf(path: Path, *, verify: bool = False) -> dict[str, Any]:
    """What ``describe_scene`` says of a product: from its metadata, and with ``verify`` its chunks.

    Raises:
        ProductError, RemoteError: as ``open_eopf``; with ``verify``, a damaged chunk.
    """
    return describe_eopf_product(open_eopf(path), path, verify=verify)


def describe_eopf_product(product: EopfProduct, path: Path, *, verify: bool) -> dict[str, Any]:
    """``describe_eopf`` of a product that is open, found by ``path``."""
    counts = {}
    if verify:
        there = sum(
            image.array.read(row, column) is not None
            for image in product.images.values()
            for row in range(image.tiling.counts[0])
            for column in range(image.tiling.counts[1])
        )
        counts = {"chunks_verified": there}
    described = scene_description(product)
    return {**described, "path": str(path), "quantification": QUANTIFICATION, **counts}


class _Reader:
    """Reads what a store says of itself, each fact from all places that have it."""

    def __init__(self, store: Store, path: Path | str, client: Client | None = None) -> None:
        self._client = client
        self._store, self._path, self._keys = store, path, store.keys
        root = store.attributes("")
        self._stac = _mapping(root, "stac_discovery")
        self._said = _mapping(self._stac, "properties")
        self._other = _mapping(root, "other_metadata")

    def product(self) -> EopfProduct:
        """The whole product."""
        arrays = {
            b.name: (f"{_REFLECTANCE}/r{b.resolution}m/{b.name.lower()}", b.resolution)
            for b in BANDS
        }
        found = {name: self._image(*place, np.uint16) for name, place in arrays.items()}
        bands = {name: image for name, image in found.items() if image is not None}
        name = str(self._stac.get("id", "")).removesuffix(".SAFE").removesuffix(".zarr")
        named = _NAME.fullmatch(name)
        if not bands or named is None:
            raise self._error(
                f"no {_REFLECTANCE}/r10m/b02" if not bands else f"the id {name!r}",
                "a product of Sentinel-2 in EOPF Zarr, with stac_discovery and reflectance",
                "Give the .zarr folder of a Level-2A or Level-1C product.",
            )
        extents = {
            self._extent(arrays[band][0], image): f"{arrays[band][0]}"
            for band, image in bands.items()
        }
        level = named[2]
        others = {CLASSIFICATION: self._image(_CLASSES, 20, np.uint8)}
        if level == "L1C" and (mask := self._image(_CLOUDS, 60, np.uint8)) is not None:
            others[CLASSIFICATION] = ZarrCloudMask(**vars(mask))
        for resolution in RESOLUTIONS:
            path = _AEROSOL.format(resolution)
            others[AEROSOL] = self._image(path, resolution, np.uint16) or others.get(AEROSOL)
        images = {**bands, **{name: image for name, image in others.items() if image is not None}}
        if len(extents) != 1:
            raise self._error(
                "; ".join(f"{path} {place}" for place, path in extents.items()),
                "the same ground in all bands",
            )
        grid = TileGrid(self._crs(arrays[band][0] for band in bands), *next(iter(extents)))
        for image in images.values():
            if image.tiling.shape != grid.shape(image.resolution):
                raise self._error(
                    f"{image.array.path} of {image.tiling.shape} pixels",
                    f"{grid.shape(image.resolution)}, as the other bands",
                )
        baseline = f"{named[3]}.{named[4]}"
        offsets = {band: self._offset(arrays[band][0], baseline) for band in bands}
        return EopfProduct(
            path=self._path,
            name=name,
            grid=grid,
            level=level,
            images=MappingProxyType(images),
            offsets=MappingProxyType(offsets),
            sun=sun_of(self._other),
            views=MappingProxyType(views_of(self._store, bands)),
            facts=MappingProxyType(
                {
                    "name": name,
                    "platform": f"Sentinel-{named[1][1:]}",
                    "sensing_time": self._time(),
                    "baseline": baseline,
                    "tile": named[5],
                    **({} if level == "L2A" else {"level": level}),
                    **({"clouds": CLOUDS} if level == "L1C" and CLASSIFICATION in images else {}),
                }
            ),
            client=self._client,
        )

    def _image(self, path: str, resolution: int, kind: type[np.generic]) -> ZarrImage | None:
        array = self._store.array(path)
        if array is None:
            return None
        if array.dtype.kind == "f":
            raise self._error(
                f"{path} as {array.dtype}, reflectance",
                f"digital numbers ({np.dtype(kind)}), as EOPF has them",
                "This is the GeoZarr flavour: give the EOPF product, or its arrays × 10,000 to "
                "geolulc.products.array_scene in Python.",
            )
        if array.dtype.newbyteorder("=") != np.dtype(kind) or len(array.shape) != 2:
            raise self._error(
                f"{path} of {array.dtype} and shape {array.shape}",
                f"rows and columns of {np.dtype(kind)}",
            )
        return ZarrImage(array, resolution, np.dtype(kind))

    def _extent(self, path: str, image: ZarrImage) -> tuple[int, int, int, int]:
        """Left, top, width and height in metres."""
        size = image.resolution
        rows, columns = image.array.shape
        places = []
        said = self._store.attributes(path).get("proj:transform")
        if said is not None:
            numbers = said[:6] if isinstance(said, list) and len(said) in (6, 9) else []
            if not all(_finite(n) for n in numbers) or not numbers:
                raise self._error(f"proj:transform {said!r} of {path}", "six or nine numbers")
            a, b, left, d, e, top = numbers
            if (a, b, d, e) != (size, 0, 0, -size):
                raise self._error(
                    f"pixels of {a:g} m × {e:g} m in {path}", f"{size} m × {-size} m, north up"
                )
            places.append((left, top))
        group = path.rpartition("/")[0]
        x, y = (self._axis(f"{group}/{name}") for name in "xy")
        if x is not None and y is not None:
            if (len(x), len(y)) != (columns, rows):
                raise self._error(f"{len(x)} x and {len(y)} y of {path}", f"{columns} and {rows}")
            for axis, step in ((x, size), (y, -size)):
                if not np.array_equal(axis, axis[0] + step * np.arange(len(axis))):
                    raise self._error(f"x or y in {group} of uneven steps", f"steps of {size} m")
            places.append((float(x[0]) - size / 2, float(y[0]) + size / 2))
        if not places or any(place != places[0] for place in places):
            raise self._error(
                f"the corners {places} of {path}" if places else f"no place of {path}",
                "one place, by proj:transform or by x and y",
            )
        left, top = places[0]
        if left != int(left) or top != int(top) or max(abs(left), abs(top)) > 1e7:
            raise self._error(f"the corner ({left}, {top}) of {path}", "whole metres of UTM")
        if max(rows, columns) * size > LARGEST_TILE:
            raise self._error(
                f"{rows:,} × {columns:,} pixels in {path}", f"at most a tile of {LARGEST_TILE:,} m"
            )
        return int(left), int(top), columns * size, rows * size

    def _axis(self, path: str) -> NDArray[Any] | None:
        array = self._store.array(path)
        if array is None or len(array.shape) != 1:
            return None
        parts = [array.read(number) for number in range(-(-array.shape[0] // array.chunk[0]))]
        if any(part is None for part in parts):
            return None
        return np.concatenate([part for part in parts if part is not None])[: array.shape[0]]

    def _crs(self, paths: Iterator[str]) -> str:
        """Of every place that names it."""
        said = {}
        for where, mapping in (
            ("other_metadata", self._other),
            ("stac_discovery", self._said),
            *((path, self._store.attributes(path)) for path in paths),
        ):
            for key in ("horizontal_CRS_code", "horizontal_crs_code", "proj:code", "proj:epsg"):
                if (value := mapping.get(key)) is not None:
                    said[f"{where} {key}"] = f"EPSG:{str(value).upper().removeprefix('EPSG:')}"
        codes = set(said.values())
        if len(codes) != 1 or not UTM.fullmatch(code := next(iter(codes))):
            found = ", ".join(f"{where} {code}" for where, code in list(said.items())[:4])
            raise self._error(
                f"the CRS {found}" if said else "no CRS",
                "one UTM zone (EPSG:32601 to 32660, 32701 to 32760) everywhere",
            )
        return code

    def _offset(self, path: str, baseline: str) -> int:
        attributes = self._store.attributes(path)
        inner = _mapping(attributes, "_eopf_attrs")
        scale, added = (
            attributes.get(key, inner.get(key)) for key in ("scale_factor", "add_offset")
        )
        shifted = baseline >= FIRST_WITH_OFFSET
        if added is None and not shifted:
            return 0
        fits = _finite(scale) and _finite(added) and abs(scale * QUANTIFICATION - 1) < _DRIFT
        offset = round(added / scale) if fits else 0
        exact = fits and abs(added / scale - offset) < 1e-3 and abs(offset) <= 32767
        if not exact or (offset != 0) != shifted:
            raise self._error(
                f"scale_factor {scale}, add_offset {added} of {path} at baseline {baseline}",
                f"{1 / QUANTIFICATION:g} and an offset, which products have since "
                f"{FIRST_WITH_OFFSET} and not before",
                "Give the SAFE of the product.",
            )
        return offset

    def _time(self) -> str:
        text = self._said.get("start_datetime") or self._said.get("datetime")
        try:
            time = datetime.fromisoformat(str(text))
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
        except (ValueError, OverflowError):
            raise self._error(f"start_datetime {text!r}", "a time") from None

    def _error(self, found: str, expected: str, remedy: str = _REMEDY) -> ProductError:
        return ProductError(self._path, found=found, expected=expected, remedy=remedy)


def _mapping(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
