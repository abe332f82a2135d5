"""Why a path is no product that can be read: the true reason of each, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from types import MappingProxyType
from typing import Final

from geolulc.errors import ParameterError, ProductError

#: The file that makes a folder a product in the compact format (since 2016), by its level.
PRODUCT_XML: Final = MappingProxyType({"L2A": "MTD_MSIL2A.xml", "L1C": "MTD_MSIL1C.xml"})
_EITHER_XML: Final = " or ".join(PRODUCT_XML.values())
#: A product has some 200 files.
_MOST_MEMBERS: Final = 100_000
EXPECTED: Final = "a Sentinel-2 product: a .SAFE folder or a .zip of one"
UNPACK: Final = "Unpack it and give the .SAFE folder."
_WHOLE: Final = "Give the .SAFE folder that it belongs to."
_ANSWER: Final = "Log in where it comes from and download the product again."
#: What a file that is no zip begins with, what it is, and the remedy.
_OTHER_FILES: Final = (
    (rb"\Z", "an empty file", "Download it again."),
    (rb".{257}ustar", "a tar archive", UNPACK),
    (
        rb"\x1f\x8b|BZh|7z\xbc\xaf|Rar!|\xfd7zXZ|\x28\xb5\x2f\xfd",
        "an archive of another format than zip",
        UNPACK,
    ),
    (rb"\0\0\0\x0cjP|\xff\x4f\xff\x51|II\*\0|MM\0\*|\x89PNG", "a single image", _WHOLE),
    (rb"(\xef\xbb\xbf)?\s*(<!DOCTYPE|<!doctype|<html)", "a web page", _ANSWER),
    (rb"(\xef\xbb\xbf)?\s*\{", "JSON, as a server answers", _ANSWER),
    (rb"(\xef\xbb\xbf)?\s*<", "an XML file", _WHOLE),
    (rb"", "a file of another kind", "Give the .SAFE folder or zip of a product."),
)


def no_zip(path: Path, error: Exception) -> ProductError:
    """Why a file is no zip, by what it begins with: most are no broken downloads."""
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK"):
        found = f"not a whole zip ({error})"
        remedy = "Download it again; a download that stopped early looks like this."
    else:
        found, remedy = next(
            said for magic, *said in _OTHER_FILES if re.match(magic, start, re.DOTALL)
        )
    return ProductError(path, found=found, expected=EXPECTED, remedy=remedy)


def hostile(path: Path, found: str) -> ProductError:
    """A zip that would write where it should not."""
    return ProductError(
        path,
        found=found,
        expected="a zip as Copernicus distributes it: plain files in one folder",
        remedy="Download it from the source again; do not unpack this one.",
    )


def require_few(path: Path, count: int) -> None:
    """``ProductError`` for more files than products have."""
    if count > _MOST_MEMBERS:
        raise ProductError(
            path,
            found=f"more than {_MOST_MEMBERS:,} files",
            expected="a product of a few hundred files",
            remedy="Give the .SAFE folder or zip of one product.",
        )


def not_a_product(path: Path, names: list[str], products: Collection[object] = ()) -> ProductError:
    """Why files of these ``names``, with these ``products`` among them, are not one product."""
    expected, remedy = EXPECTED, "Give the .SAFE folder itself."
    folders = sorted(name for name in names if name.endswith((".SAFE", ".zip")))
    if products:
        found, expected = f"{len(products)} products", "one product"
        remedy = "Give each .SAFE folder by itself, or a .txt with a path a line."
    elif any("_MTD_SAFL2A_" in name for name in names):
        found = "the product format of before December 2016"
        expected = f"the compact format ({_EITHER_XML})"
        remedy = "Download the reprocessed product (Collection 1)."
    else:
        found = f"no {_EITHER_XML}"
        if folders:
            inside = path.is_file()
            remedy = f"Unpack it and give {folders[0]}." if inside else f"Give {path / folders[0]}."
    return ProductError(path, found=found, expected=expected, remedy=remedy)


def require_no_offset(kind: str, path: Path | str, offset: int | None) -> None:
    """``ParameterError`` for an ``offset`` that is given of a product that says its own."""
    if offset is not None:
        raise ParameterError(
            f"offset {offset}",
            found=f"a {kind}, {path}, which says its own",
            expected="an Item of a collection whose offset is not known",
            remedy="Leave --offset out.",
        )
