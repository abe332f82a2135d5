"""A Sentinel-2 L2A product: its metadata, and where the image of each band lies."""

from __future__ import annotations

import contextlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final

from geolulc.bands import BANDS, band
from geolulc.errors import OutputError, ProductError
from geolulc.grid import TileGrid
from geolulc.products.archive import Contents, Member, damaged, list_contents
from geolulc.products.images import require_image
from geolulc.products.metadata import Metadata, parse_metadata

_BLOCK: Final = 1 << 20
_SCL: Final = ("SCL", 20)
_TCI: Final = (("TCI", 10), ("TCI", 20), ("TCI", 60))


@dataclass(frozen=True)
class Product(Metadata):
    """One L2A product: what its metadata say, and its images, which were checked against them.

    Attributes:
        path: the folder or zip.
        band_files: GDAL path of each band at its native resolution (B01 at 60 m).
        scl_file: GDAL path of the scene classification at 20 m, None where there is none.
        tci_file: GDAL path of the true-colour image, None where there is none.
        packed: images that a zip holds deflated; see ``unpacked``.
    """

    path: Path
    band_files: Mapping[str, str]
    scl_file: str | None = None
    tci_file: str | None = None
    packed: Mapping[str, Member] = field(default_factory=dict, repr=False)

    @property
    def scene(self) -> Mapping[str, str]:
        """Where a map comes from, for ``LandCoverMap.scene``."""
        return {
            "name": self.name,
            "platform": self.platform,
            "sensing_time": self.sensing_time.isoformat(),
            "baseline": self.baseline,
            "tile": self.tile_id,
        }


def open_product(path: Path) -> Product:
    """The product at ``path``: a ``.SAFE`` folder, or a ``.zip`` of one, read in place.

    Every band file is checked: it is there, whole, and of the size, CRS and corner that the
    metadata state. (Those that a zip holds deflated are checked when they are unpacked.)

    Raises:
        ProductError: with the path, what was found, what was expected and the remedy.
    """
    contents = list_contents(path)
    metadata = parse_metadata(contents)
    images = _find_images(contents, metadata)
    missing = [b for b in BANDS if b.name not in images]
    if missing:
        first = missing[0]
        raise ProductError(
            contents.path,
            found=f"no image of {', '.join(b.name for b in missing)}",
            expected=f"{metadata.granule}/IMG_DATA/R{first.resolution}m/"
            f"*_{first.name}_{first.resolution}m.jp2",
            remedy="Download the whole product; all twelve bands are needed.",
        )
    for name, member in images.items():
        if not member.packed:
            _require(name, member, metadata.grid)
    return Product(
        path=contents.path,
        **vars(metadata),
        packed=MappingProxyType({n: m for n, m in images.items() if m.packed}),
        **_files({name: member.gdal_path for name, member in images.items()}),
    )


def describe_product(path: Path) -> dict[str, Any]:
    """A JSON-able description of a product from its metadata alone; images may be missing.

    Raises:
        ProductError: it is no L2A product or its metadata cannot be used.
    """
    contents = list_contents(path)
    metadata = parse_metadata(contents)
    images = _find_images(contents, metadata)
    grid = metadata.grid
    return {
        "path": str(contents.path),
        "name": metadata.name,
        "platform": metadata.platform,
        "sensing_time": metadata.sensing_time.isoformat(),
        "baseline": metadata.baseline,
        "tile": metadata.tile_id,
        "crs": grid.crs,
        "left": grid.left,
        "top": grid.top,
        "width_m": grid.width,
        "height_m": grid.height,
        "offsets": dict(metadata.offsets),
        "quantification": metadata.quantification,
        "bands": [b.name for b in BANDS if b.name in images],
        "missing_bands": [b.name for b in BANDS if b.name not in images],
        "scene_classification": "SCL" in images,
        "true_colour": "TCI" in images,
        "megabytes": round(sum(m.size for m in contents.members.values()) / 1e6, 1),
    }


@contextlib.contextmanager
def unpacked(product: Product, *, folder: Path | None = None) -> Iterator[Product]:
    """The product with every image readable in place.

    Nothing happens to a folder or to a zip that stores its images, as distributed. Deflated
    images are inflated into a temporary folder (in ``folder``, default the system's), each at
    most twice as large as its raw pixels, and removed at the end.

    Raises:
        ProductError: an image is damaged, too large, or not of the product.
        OutputError: no room for the temporary files.
    """
    if not product.packed:
        yield product
        return
    with tempfile.TemporaryDirectory(prefix="geolulc-", dir=folder) as temporary:
        files = {**product.band_files}
        files |= {"SCL": product.scl_file} if product.scl_file else {}
        files |= {"TCI": product.tci_file} if product.tci_file else {}
        for name, member in product.packed.items():
            image = _inflate(member, Path(temporary) / f"{name}.jp2", product.grid, name)
            _require(name, image, product.grid)
            files[name] = image.gdal_path
        yield replace(product, packed={}, **_files(files))


def _files(paths: Mapping[str, str]) -> dict[str, Any]:
    return {
        "band_files": MappingProxyType({b.name: paths[b.name] for b in BANDS}),
        "scl_file": paths.get("SCL"),
        "tci_file": paths.get("TCI"),
    }


def _find_images(contents: Contents, metadata: Metadata) -> dict[str, Member]:
    """Image of each band, "SCL" and "TCI": by the XML's list, else by the names in the granule."""
    images = {}
    for b in BANDS:
        if member := _find_image(contents, metadata, b.name, b.resolution):
            images[b.name] = member
    if member := _find_image(contents, metadata, *_SCL):
        images["SCL"] = member
    for kind in _TCI:
        if member := _find_image(contents, metadata, *kind):
            images["TCI"] = member
            break
    return images


def _find_image(
    contents: Contents, metadata: Metadata, name: str, resolution: int
) -> Member | None:
    ending = f"_{name}_{resolution}m"
    listed = {image for image in metadata.images if image.endswith(ending)}
    for image in listed:
        # a name that leads out of the product is in no list of its files
        if member := contents.members.get(f"{image}.jp2"):
            return member
    pattern = re.compile(
        re.escape(f"{metadata.granule}/IMG_DATA/R{resolution}m/") + f"[^/]+{ending}\\.jp2"
    )
    found = [member for path, member in contents.members.items() if pattern.fullmatch(path)]
    if len(found) > 1:
        raise ProductError(
            contents.path,
            found=f"{len(found)} images of {name}: {', '.join(m.name for m in found)}",
            expected="one",
            remedy="Remove the files that do not belong to the product.",
        )
    return found[0] if found else None


def _kind(name: str) -> tuple[int, str, int]:
    """(resolution, dtype, components) of an image."""
    if name == "SCL":
        return _SCL[1], "uint8", 1
    return band(name).resolution, "uint16", 1


def _require(name: str, member: Member, grid: TileGrid) -> None:
    if name != "TCI":  # only a backdrop of pictures: looked at when it is drawn
        resolution, dtype, components = _kind(name)
        require_image(member, grid, resolution, dtype=dtype, components=components)


def _inflate(member: Member, target: Path, grid: TileGrid, name: str) -> Member:
    rows, columns = grid.shape(10 if name == "TCI" else _kind(name)[0])
    limit = 2 * rows * columns * (3 if name == "TCI" else 2) + _BLOCK
    if member.size > limit:
        raise damaged(member, f"{member.size:,} bytes, more than its pixels can need")
    try:
        with zipfile.ZipFile(member.path) as archive, archive.open(str(member.inside)) as source:
            _copy(source, target, limit)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise damaged(member, error) from error
    except OSError as error:
        raise OutputError(
            target.parent,
            found=error.strerror or type(error).__name__,
            expected=f"room to unpack {member.name}",
            remedy="Set TMPDIR to a folder with room, or unpack the zip and give the .SAFE folder.",
        ) from error
    return Member(member.name, target, target.stat().st_size)


def _copy(source: IO[bytes], target: Path, limit: int) -> None:
    """Copies at most ``limit`` bytes: a deflated stream may be longer than its zip says."""
    with target.open("wb") as file:
        while block := source.read(_BLOCK):
            limit -= len(block)
            if limit < 0:
                raise ValueError("more bytes than its pixels can need")
            file.write(block)
