"""STAC Collections: over a mosaic, or over those of several periods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pystac

from geolulc import __version__
from geolulc.delivery import listed, present
from geolulc.errors import OutputError
from geolulc.maps.header import MapHeader
from geolulc.outputs.stac import footprint, write_json
from geolulc.ownership import OWN
from geolulc.staging import staged

COLLECTION_NAME: Final = "collection.json"
_JSON: Final = "application/json"
_GEOJSON: Final = "application/geo+json"
#: The provider of the data that maps are made from, and the terms of their use.
_PROVIDER: Final = "European Union, Copernicus programme"
_PROVIDER_URL: Final = "https://www.copernicus.eu"
_TERMS: Final = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"


@dataclass(frozen=True)
class CollectionFile:
    """Identifier and file name of a Collection that Items beside it belong to."""

    identifier: str
    name: str = COLLECTION_NAME

    @classmethod
    def of_mosaic(cls, path: Path) -> CollectionFile:
        """The Collection of a single mosaic, whose file is ``path``."""
        return cls(path.stem, path.name)

    @classmethod
    def of_folder(cls, folder: Path) -> CollectionFile:
        """The Collection of the mosaics of periods in ``folder``."""
        return cls(folder.resolve().name)


def write_mosaic_collection(
    path: Path, collection: CollectionFile, header: MapHeader, item: Path
) -> None:
    """Write the Collection of a single mosaic, whose Item is written already.

    Args:
        path: where to write.
        collection: its name and identifier.
        header: the mosaic.
        item: the Item; it will lie beside the Collection.
    """
    document = _document(item)
    write_json(
        path,
        _collection(
            collection,
            header,
            {item.name: document},
            title=f"{document['properties']['title']}",
            description=f"A mosaic of land cover in {header.unit.many} of {header.grid.cell} m",
        ),
    )


def write_period_collection(
    folder: Path, header: MapHeader, by: str, *, overwrite: int = OWN
) -> Path | None:
    """Write ``folder``/collection.json over the Items of mosaics that lie there, by name.

    Args:
        folder: where the mosaics lie.
        header: one of them; all have its grid.
        by: what a mosaic stands for: "month", "season" or "year".
        overwrite: 2 to replace a file of others too.

    Returns:
        The file; None where there is no Item.

    Raises:
        OutputError: it cannot be written, or an Item cannot be read.
    """
    collection = CollectionFile.of_folder(folder)
    items = {}
    names = listed(folder)
    for name in names:
        # a JSON file without a mosaic beside is another's, whatever is in it
        beside = name.endswith(".json") and f"{name.removesuffix('.json')}.tif" in names
        path = present(folder / name) if beside else None
        item = {} if path is None else _document(path)
        if item.get("collection") == collection.identifier:
            items[name] = item
    if not items:
        return None
    document = _collection(
        collection,
        header,
        items,
        title=f"Land cover by {by}: {collection.identifier}",
        description=f"Land cover by {by}: {len(items)} mosaics in {header.unit.many} of "
        f"{header.grid.cell} m on one grid",
    )
    target = folder / collection.name
    with staged([target], overwrite=overwrite) as (temporary,):
        write_json(temporary, document)
    return target


def _collection(
    collection: CollectionFile,
    header: MapHeader,
    items: Mapping[str, dict[str, Any]],
    *,
    title: str,
    description: str,
) -> pystac.Collection:
    """The Collection of ``items``, file name → document, which lie beside it."""
    times = [
        [datetime.fromisoformat(item["properties"][f"{end}_datetime"]) for end in ("start", "end")]
        for item in items.values()
    ]
    whole = [min(t[0] for t in times), max(t[1] for t in times)]
    grid = header.grid
    _, bbox = footprint(grid.extent)
    document = pystac.Collection(
        id=collection.identifier,
        description=f"{description}, written by geolulc {__version__}. Contains modified "
        "Copernicus Sentinel data.",
        title=title,
        keywords=["land cover", "sentinel-2", "mosaic"],
        license="other",
        providers=[
            pystac.Provider(
                _PROVIDER,
                "Sentinel-2 Level-2A products",
                [pystac.ProviderRole.PRODUCER, pystac.ProviderRole.LICENSOR],
                _PROVIDER_URL,
            )
        ],
        extent=pystac.Extent(
            pystac.SpatialExtent([list(bbox)]),
            pystac.TemporalExtent([whole, *times] if len(times) > 1 else [whole]),
        ),
        summaries=pystac.Summaries({"gsd": [grid.cell], "proj:code": [grid.extent.crs]}),
    )
    document.add_link(pystac.Link("root", f"./{collection.name}", media_type=_JSON))
    document.add_link(
        pystac.Link("license", _TERMS, title="Terms of the Sentinel data that maps are made from")
    )
    for name, item in items.items():
        label = item["properties"].get("title", name)
        document.add_link(pystac.Link("item", f"./{name}", media_type=_GEOJSON, title=label))
    return document


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="a STAC Item",
            remedy="Remove it, or move it to another folder.",
        ) from error
    return document if isinstance(document, dict) else {}
