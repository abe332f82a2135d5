"""The STAC Collection over the mosaics of several periods."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pystac

from geolulc import __version__
from geolulc.errors import OutputError
from geolulc.grid import CellGrid
from geolulc.outputs.footprint import footprint
from geolulc.staging import staged

COLLECTION_NAME: Final = "collection.json"
_JSON: Final = "application/json"
_GEOJSON: Final = "application/geo+json"


def link_collection(item: pystac.Item, identifier: str) -> None:
    """Say in an Item that it belongs to the Collection beside it."""
    item.collection_id = identifier
    for relation in ("collection", "parent", "root"):
        item.add_link(pystac.Link(relation, f"./{COLLECTION_NAME}", media_type=_JSON))


def write_collection(folder: Path, grid: CellGrid, by: str) -> Path:
    """Write ``folder``/collection.json over the Items of mosaics that lie there, by name.

    Raises:
        OutputError: it cannot be written, or an Item cannot be read.
    """
    identifier = folder.resolve().name
    items = {}
    for path in sorted(folder.glob("*.json")):
        document = _document(path)
        if document.get("collection") == identifier and path.with_suffix(".tif").is_file():
            items[path.name] = document
    times = [
        [datetime.fromisoformat(item["properties"][f"{end}_datetime"]) for end in ("start", "end")]
        for item in items.values()
    ]
    _, bbox = footprint(grid.tile)
    whole = [min(t[0] for t in times), max(t[1] for t in times)] if times else [None, None]
    collection = pystac.Collection(
        id=identifier,
        description=f"Land cover by {by}: {len(items)} mosaics in cells of {grid.stride} m on one "
        f"grid, written by geolulc {__version__}.",
        title=f"Land cover by {by}: {identifier}",
        keywords=["land cover", "sentinel-2", "mosaic"],
        license="other",
        extent=pystac.Extent(
            pystac.SpatialExtent([list(bbox)]),
            pystac.TemporalExtent([whole, *times] if len(times) > 1 else [whole]),
        ),
        summaries=pystac.Summaries({"gsd": [grid.stride], "proj:code": [grid.tile.crs]}),
    )
    collection.add_link(pystac.Link("root", f"./{COLLECTION_NAME}", media_type=_JSON))
    for name, item in items.items():
        title = item["properties"].get("title", name)
        collection.add_link(pystac.Link("item", f"./{name}", media_type=_GEOJSON, title=title))
    document = collection.to_dict(include_self_link=False, transform_hrefs=False)
    target = folder / COLLECTION_NAME
    with staged([target], overwrite=True) as (temporary,):
        text = json.dumps(document, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return target


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="a STAC Item",
            remedy="Remove it, or move it to another folder.",
        ) from error
    return document if isinstance(document, dict) else {}
