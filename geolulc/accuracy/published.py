"""The estimates of a map in the files beside it: its STAC Item and its page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from geolulc.accuracy.report import estimate_tables, headline
from geolulc.outputs.stac import checksum
from geolulc.outputs.templates import fill
from geolulc.ownership import OWN
from geolulc.staging import staged

#: Property of the STAC Item.
PROPERTY: Final = "geolulc:accuracy"
#: Where the page of a map has its estimates, with the marks around them.
_PLACE: Final = re.compile("(<!-- estimates -->).*?(<!-- /estimates -->)", re.DOTALL)
_ASSET: Final = "report"
#: End of the name of a raster of classes that lies beside the map.tif of its map.
_CLASSES: Final = "_classes"


def publish(
    map_path: Path, result: Mapping[str, Any], figures: Mapping[str, Any]
) -> dict[str, Path]:
    """Write the estimates into map.html and map.json, where a map has these; both or none.

    Those of map_classes.tif go there too where map.json lists it, and say whose they are.

    Args:
        map_path: the map.tif, or the map_classes.tif beside it.
        result: of the assessment, as accuracy.json holds it.
        figures: those of ``result`` that the Item holds.

    Returns:
        The files that were written: "page", "stac".

    Raises:
        OutputError: a file cannot be written, or is not geolulc's.
    """
    main = map_path
    document = _item(main.with_suffix(".json"), map_path)
    if document is None and map_path.stem.endswith(_CLASSES):
        whole = map_path.with_stem(map_path.stem.removesuffix(_CLASSES))
        if (document := _item(whole.with_suffix(".json"), map_path)) is not None:
            main = whole
    subject = "" if main == map_path else map_path.name
    page, item = (main.with_suffix(ending) for ending in (".html", ".json"))
    texts: dict[str, tuple[Path, str]] = {}
    if (found := _text(page)) is not None and _PLACE.search(found):
        section = fill(
            "section.html",
            room="accuracy",
            subject=subject,
            result=result,
            headline=headline(result),
            tables=estimate_tables(result),
        )
        texts["page"] = page, _PLACE.sub(lambda m: m[1] + section + m[2], found, count=1)
    if document is not None:
        points = figures["points"]["used"]
        words = f"{subject} estimated from a sample of {points} points".lstrip()
        said = f"{words}; ci95 is half of the 95 % interval"
        document["properties"][PROPERTY] = {"words": said, **figures}
        texts["stac"] = item, ""
    if not texts:
        return {}
    with staged([path for path, _ in texts.values()], overwrite=OWN) as temporary:
        targets = dict(zip(texts, temporary, strict=True))
        if "page" in targets:
            targets["page"].write_text(texts["page"][1], encoding="utf-8")
        if document is not None:
            asset = document.get("assets", {}).get(_ASSET)
            if "page" in targets and asset is not None:
                page_file = targets["page"]
                asset["file:checksum"] = checksum(page_file)
                asset["file:size"] = page_file.stat().st_size
            text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
            targets["stac"].write_text(text, encoding="utf-8")
    return {name: path for name, (path, _) in texts.items()}


def _text(path: Path) -> str | None:
    """The text of a file; None where there is none to read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _item(path: Path, map_path: Path) -> dict[str, Any] | None:
    """The STAC Item of a map that geolulc made; None where there is none, or it is of another."""
    try:
        document = json.loads(_text(path) or "")
        assets = document["assets"].values()
        (size,) = (a["file:size"] for a in assets if a["href"] == f"./{map_path.name}")
        known = "geolulc" in document["properties"]["processing:software"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return dict(document) if known and size == map_path.stat().st_size else None
