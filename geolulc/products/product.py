"""A Sentinel-2 product: its metadata, and where the image of each band lies."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from geolulc.bands import BANDS, RESOLUTIONS
from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.products.archive import Contents, Member, damaged, list_contents, open_member, reading
from geolulc.products.checksums import verify_members
from geolulc.products.images import require_image, resolution_of
from geolulc.products.metadata import Metadata, parse_metadata
from geolulc.staging import explained

_BLOCK: Final = 1 << 20
_NO_ROOM: Final = "Set TMPDIR to a folder with room, or unpack the zip and give the .SAFE folder."
#: (name, resolution) of all images that are used; of those of one name the first that is there.
_IMAGES: Final = (
    *((band.name, band.resolution) for band in BANDS),
    *(("SCL", 20), ("TCI", 10), ("TCI", 20), ("TCI", 60)),
)


@dataclass(frozen=True)
class Product(Metadata):
    """One product: what its metadata say, and its images, which were checked against them.

    Attributes:
        path: the folder or zip.
        images: file of each band at its native resolution (B01 at 60 m), of the scene
            classification ("SCL", 20 m) and the true-colour image ("TCI") where there is one.
        verify: ``unpacked`` compares images with the checksums that came with them.
    """

    path: Path
    images: Mapping[str, Member] = field(repr=False)
    verify: bool = True

    @property
    def band_files(self) -> Mapping[str, str]:
        """GDAL path of each band."""
        return {b.name: self.images[b.name].gdal_path for b in BANDS}

    @property
    def scl_file(self) -> str | None:
        """GDAL path of the scene classification, None where there is none."""
        return self.images["SCL"].gdal_path if "SCL" in self.images else None

    @property
    def packed(self) -> Mapping[str, Member]:
        """Images that a zip holds deflated; see ``unpacked``."""
        return {name: member for name, member in self.images.items() if member.packed}


def open_product(path: Path, *, verify: bool = True) -> Product:
    """The product at ``path``: a ``.SAFE`` folder, or a ``.zip`` of one, read in place.

    Every band file is checked: it is there, whole, and of the size, CRS and corner that the
    metadata state. (Those that a zip holds deflated are checked when they are unpacked.)
    Checksums are compared later, by ``unpacked``, unless ``verify`` is false.

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
            expected=_place(metadata, first.name, first.resolution),
            remedy="Download the whole product; all twelve bands are needed.",
        )
    for name, member in images.items():
        if not member.packed:
            require_image(name, member, metadata.grid)
    return Product(
        path=contents.path,
        **vars(metadata),
        images=MappingProxyType(images),
        verify=verify,
    )


def verify_product(product: Product) -> int:
    """Compare bands and scene classification with their checksums; how many have one.

    Those of a folder are in its ``manifest.safe``, those of a zip its own CRC-32. Deflated images
    are left out: ``unpacked`` compares them in any case.

    Raises:
        ProductError: an image is not as it was distributed, or the manifest is damaged.
    """
    images = [m for name, m in product.images.items() if name != "TCI" and not m.packed]
    return verify_members(product.path, images)


def describe_product(path: Path) -> dict[str, Any]:
    """A JSON-able description of a product from its metadata alone; images may be missing.

    Raises:
        ProductError: it is no product or its metadata cannot be used.
    """
    contents = list_contents(path)
    metadata = parse_metadata(contents)
    images = _find_images(contents, metadata)
    grid = metadata.grid
    return {
        "path": str(contents.path),
        **metadata.scene,
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
    """The product with every image readable in place, and as it was distributed.

    Images of a folder, or stored in a zip as Copernicus does, stay where they are and are
    compared with their checksums (``verify_product``). Deflated ones are inflated into a
    temporary folder (in ``folder``, default the system's), each at most twice as large as its
    raw pixels, and removed at the end.

    Raises:
        ProductError: an image is damaged, too large, or not of the product.
        OutputError: no room for the temporary files.
    """
    if product.verify:
        verify_product(product)
    if not product.packed:
        yield product
        return
    with tempfile.TemporaryDirectory(prefix="geolulc-", dir=folder) as temporary:
        images = dict(product.images)
        for name, member in product.packed.items():
            image = _inflate(member, Path(temporary) / f"{name}.jp2", product.grid, name)
            if name != "TCI":
                require_image(name, image, product.grid)
            images[name] = image
        yield replace(product, images=images)


def _find_images(contents: Contents, metadata: Metadata) -> dict[str, Member]:
    """Image of each band, "SCL" and "TCI": by the XML's list, else by the names in the granule."""
    images: dict[str, Member] = {}
    for name, resolution in _IMAGES:
        found = None if name in images else _find_image(contents, metadata, name, resolution)
        if found is not None:
            images[name] = found
    return images


def _place(metadata: Metadata, name: str, resolution: int) -> str:
    """Where the image of a band is expected."""
    folder = f"{metadata.granule}/IMG_DATA"
    if metadata.level == "L1C":
        return f"{folder}/*_{name}.jp2"
    return f"{folder}/R{resolution}m/*_{name}_{resolution}m.jp2"


def _find_image(
    contents: Contents, metadata: Metadata, name: str, resolution: int
) -> Member | None:
    if metadata.level == "L1C":
        if name == "TCI" and resolution != RESOLUTIONS[0]:
            return None
        ending = f"_{name}"
    else:
        ending = f"_{name}_{resolution}m"
    listed = {f"{image}.jp2" for image in metadata.listed if image.endswith(ending)}
    # a name that leads out of the product is in no list of its files
    found = [contents.members[image] for image in sorted(listed) if image in contents.members]
    if not found:
        # before baseline 02.07 some lie in IMG_DATA itself; macOS adds files that begin with ._
        pattern = re.compile(
            re.escape(f"{metadata.granule}/IMG_DATA/")
            + rf"(R{resolution}m/)?[^/.][^/]*{ending}\.jp2"
        )
        found = [contents.members[n] for n in sorted(contents.members) if pattern.fullmatch(n)]
    if len(found) > 1:
        raise ProductError(
            contents.path,
            found=f"{len(found)} images of {name}: {', '.join(m.name for m in found)}",
            expected="one",
            remedy="Remove the files that do not belong to the product.",
        )
    return found[0] if found else None


def _inflate(member: Member, target: Path, grid: TileGrid, name: str) -> Member:
    rows, columns = grid.shape(resolution_of(name, member))
    limit = 2 * rows * columns * (3 if name == "TCI" else 2) + _BLOCK
    if member.size > limit:
        raise damaged(member, f"{member.size:,} bytes, more than its pixels can need")
    with (
        explained(target.parent, _NO_ROOM),
        reading(member),
        open_member(member) as source,
        target.open("wb") as file,
    ):
        while block := source.read(_BLOCK):
            file.write(block)
            if file.tell() > limit:  # a stream may be longer than its zip says
                raise ValueError("more bytes than its pixels can need")
    return Member(member.name, target, target.stat().st_size)
