"""A Sentinel-2 product: its metadata, and where the image of each band lies."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from geolulc.bands import BANDS, RESOLUTIONS
from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.products.archive import Contents, Member, damaged, list_contents, open_member, reading
from geolulc.products.checksums import verify_members
from geolulc.products.cloud_mask import CLOUDS, Jp2CloudMask
from geolulc.products.decoding import Jp2Image
from geolulc.products.images import CLOUD_MASK, is_cloud_mask, require_image, resolution_of
from geolulc.products.metadata import Metadata, parse_metadata
from geolulc.products.scene import (
    AEROSOL,
    CLASSIFICATION,
    TRUE_COLOUR,
    Image,
    require_images,
    scene_description,
)
from geolulc.staging import explained

_BLOCK: Final = 1 << 20
_NO_ROOM: Final = "Set TMPDIR to a folder with room, or unpack the zip and give the .SAFE folder."
#: (name, resolution) of all images that are used; of those of one name the first that is there.
_IMAGES: Final = (
    *((band.name, band.resolution) for band in BANDS),
    (CLASSIFICATION, 20),
    *((TRUE_COLOUR, resolution) for resolution in RESOLUTIONS),
    *((AEROSOL, resolution) for resolution in reversed(RESOLUTIONS)),
)
#: Images that most runs have no use for: looked at when they are opened.
_SELDOM: Final = (TRUE_COLOUR, AEROSOL)


@dataclass(frozen=True)
class Product(Metadata):
    """One product, a ``Scene``: what its metadata say, and its images, checked against them.

    Attributes:
        path: the folder or zip.
        images: file of each band that is there at its native resolution (B01 at 60 m), of the
            scene classification ("SCL", 20 m; Level-1C's mask of clouds), the true-colour image
            ("TCI") and the aerosol optical depth ("AOT").
    """

    path: Path
    images: Mapping[str, Member] = field(repr=False)

    @property
    def facts(self) -> Mapping[str, str]:
        """Those of its metadata, and where its clouds are from."""
        mask = self.images.get(CLASSIFICATION)
        of_mask = mask is not None and is_cloud_mask(mask)
        return {**super().facts, **({"clouds": CLOUDS} if of_mask else {})}

    @property
    def band_files(self) -> Mapping[str, str]:
        """GDAL path of each band."""
        return {b.name: self.images[b.name].gdal_path for b in BANDS if b.name in self.images}

    @contextlib.contextmanager
    def opened(
        self, names: Collection[str], *, verify: bool = True
    ) -> Iterator[Mapping[str, Image]]:
        """These images, readable in place and as they were distributed: see ``Scene``.

        Those of a folder, or stored in a zip as Copernicus does, stay where they are and are
        compared with their checksums (``verify_product``). Deflated ones are inflated into a
        temporary folder, each at most twice as large as its raw pixels, and removed at the end.
        """
        require_images(self, names)
        if verify:
            verify_product(self, names)
        with contextlib.ExitStack() as stack:
            members = {name: self.images[name] for name in names}
            if any(member.packed for member in members.values()):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geolulc-")))
                for name, member in members.items():
                    if member.packed:
                        members[name] = _inflate(member, folder / f"{name}.jp2", self.grid, name)
            for name, member in members.items():
                if name in _SELDOM or self.images[name].packed:
                    require_image(name, member, self.grid)
            yield {name: _image(name, member) for name, member in members.items()}


def open_product(path: Path) -> Product:
    """The product at ``path``: a ``.SAFE`` folder, or a ``.zip`` of one, read in place.

    Every band file that is there is checked: it is whole, and of the size, CRS and corner that the
    metadata state. (Those that a zip holds deflated are checked when they are unpacked, and
    checksums are compared when they are opened.)

    Raises:
        ProductError: with the path, what was found, what was expected and the remedy.
    """
    contents = list_contents(path)
    metadata = parse_metadata(contents)
    images = _find_images(contents, metadata)
    if not any(band.name in images for band in BANDS):
        raise ProductError(
            contents.path,
            found="no image of a band",
            expected=f"JPEG 2000 files in {metadata.granule}/IMG_DATA",
            remedy="Download the whole product.",
        )
    for name, member in images.items():
        if not member.packed and name not in _SELDOM:
            require_image(name, member, metadata.grid)
    return Product(path=contents.path, **vars(metadata), images=MappingProxyType(images))


def verify_product(product: Product, names: Collection[str] | None = None) -> int:
    """Compare images with their checksums; how many have one.

    Those of a folder are in its ``manifest.safe``, those of a zip its own CRC-32. Deflated images
    are left out: they are compared when they are inflated.

    Args:
        product: of ``open_product``.
        names: of images; None: all but the true-colour image.

    Raises:
        ProductError: an image is not as it was distributed, or the manifest is damaged.
    """
    if names is None:
        names = [name for name in product.images if name != TRUE_COLOUR]
    images = [product.images[name] for name in names]
    return verify_members(product.path, [image for image in images if not image.packed])


def describe_product(path: Path, *, verify: bool = False) -> dict[str, Any]:
    """A JSON-able description of a product from its metadata alone; images may be missing.

    ``verify``: open its images, and compare them with their checksums.

    Raises:
        ProductError: it is no product, its metadata cannot be used, or an image is damaged.
    """
    contents = list_contents(path)
    metadata = parse_metadata(contents)
    images = _find_images(contents, metadata)
    product = Product(path=contents.path, **vars(metadata), images=images)
    return {
        **scene_description(product),
        "quantification": metadata.quantification,
        "megabytes": round(sum(m.size for m in contents.members.values()) / 1e6, 1),
        **({"images_verified": verify_product(open_product(path))} if verify else {}),
    }


def _image(name: str, member: Member) -> Jp2Image:
    kind = Jp2CloudMask if is_cloud_mask(member) else Jp2Image
    return kind.at(member.gdal_path, resolution_of(name, member))


def _find_images(contents: Contents, metadata: Metadata) -> dict[str, Member]:
    """Image of each band, "SCL" and "TCI": by the XML's list, else by the names in the granule."""
    images: dict[str, Member] = {}
    for name, resolution in _IMAGES:
        found = None if name in images else _find_image(contents, metadata, name, resolution)
        if found is not None:
            images[name] = found
    return images


def _find_image(
    contents: Contents, metadata: Metadata, name: str, resolution: int
) -> Member | None:
    if metadata.level == "L1C":
        if name == TRUE_COLOUR and resolution != RESOLUTIONS[0]:
            return None
        if name == CLASSIFICATION:
            return contents.members.get(f"{metadata.granule}/{CLOUD_MASK}")
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
    limit = 2 * rows * columns * (3 if name == TRUE_COLOUR else 2) + _BLOCK
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
