"""The kinds of products that can be mapped: one row of a table each.

A new kind is a class that is a ``Scene`` (``products/scene.py``), in a module of its own, and its
``Door`` here: opening, describing and lists of scenes follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from geolulc.products.eopf import describe_eopf, eopf_within, is_eopf, open_eopf
from geolulc.products.item_scene import describe_item, is_item, open_item
from geolulc.products.product import describe_product, open_product
from geolulc.products.refusals import PRODUCT_XML, require_no_offset
from geolulc.products.scene import Scene


class Description(Protocol):
    """Describes the product at a path."""

    def __call__(self, path: Path, *, verify: bool = False) -> dict[str, Any]:
        """A JSON-able description from metadata alone, with the scene's facts.

        ``verify``: open its images, and compare them with their checksums.

        Raises:
            ProductError: it cannot be used.
        """


@dataclass(frozen=True)
class Door:
    """A kind of product.

    Attributes:
        kind: its name in messages.
        recognises: whether a path looks like one, by its name and by the names of what lies in
            it; it need not be there.
        open: the scene at a path; ``ProductError`` with the reason and the remedy. It takes the
            keywords of ``open_scene`` that are its own.
        describe: says what lies at a path.
        within: the product that a path to it, or to one of its files, means, by names alone;
            None for none.
        keywords: of ``open_scene``: whether it may ask servers, whether its offset can be unknown.
    """

    kind: str
    recognises: Callable[[Path], bool]
    open: Callable[..., Scene]
    describe: Description
    within: Callable[[Path], Path | None]
    keywords: tuple[str, ...] = ()


def _is_safe(path: Path) -> bool:
    return path.name.lower().endswith((".safe", ".zip")) or any(path.glob("MTD_MSIL*.xml"))


def _safe_within(path: Path) -> Path | None:
    for folder in (path, *path.parents):
        if folder.suffix.upper() == ".SAFE":
            return folder
    if path.suffix.lower() == ".zip":
        return path
    return path.parent if path.name in PRODUCT_XML.values() else None


#: What no other recognises is for the last, which says why it is no product.
DOORS: Final = (
    Door("EOPF Zarr", is_eopf, open_eopf, describe_eopf, eopf_within, ("allow_internal",)),
    Door(
        "STAC Item", is_item, open_item, describe_item, lambda _: None, ("allow_internal", "offset")
    ),
    Door("Sentinel-2 product", _is_safe, open_product, describe_product, _safe_within),
)


def find_door(path: Path) -> Door | None:
    """The kind of product that ``path`` looks like; None for none."""
    return next((door for door in DOORS if door.recognises(path)), None)


def open_scene(
    path: Path | str, *, offset: int | None = None, allow_internal: bool = False
) -> Scene:
    """The scene at ``path``: Sentinel-2, Level-2A or Level-1C.

    Args:
        path: a ``.SAFE`` folder, a product in EOPF Zarr (also its URL), a zip of either, or a STAC
            Item of images of bands or of EOPF Zarr (a file, the folder that holds it, or its URL).
        offset: of an Item: what to add to its digital numbers, where that is not known.
        allow_internal: whether servers of this machine and its network may be asked.

    Raises:
        ProductError: with the path, what was found, what was expected and the remedy.
        RemoteError: a server does not answer as it should.
    """
    path = Path(path)
    door = find_door(path) or DOORS[-1]
    given = {"offset": offset, "allow_internal": allow_internal}
    if "offset" not in door.keywords:
        require_no_offset(door.kind, path, offset)
    return door.open(path, **{name: given[name] for name in door.keywords})


def describe_scene(path: Path) -> dict[str, Any]:
    """A JSON-able description of the scene at ``path``, from its metadata alone.

    Raises:
        ProductError: there is none, or its metadata cannot be used.
    """
    return (find_door(path) or DOORS[-1]).describe(path)


def scene_within(path: Path) -> Path | None:
    """The product that a path to it, or to one of its files, means; None for none."""
    return next((found for door in DOORS if (found := door.within(path)) is not None), None)
