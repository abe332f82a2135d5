"""What a mosaic says of itself: in tags, in its STAC Item and on its page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pystac

from geolulc import __version__
from geolulc.grid import CellGrid
from geolulc.landcover_map import MapHeader
from geolulc.mosaics.collection import CollectionFile, link_collection
from geolulc.mosaics.grids import MosaicGrid
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.sources import MapSource
from geolulc.outputs.figures import MapFigures
from geolulc.outputs.footprint import footprint
from geolulc.outputs.stac import EXTENSIONS, add_assets, projection, relative_href, write_json
from geolulc.outputs.tags import MOSAIC

#: So many names of maps at most stand in the tags of every file; the STAC Item links to all.
_MOST_NAMED: Final = 1000


@dataclass(frozen=True)
class MosaicStory:
    """Where a mosaic comes from.

    Attributes:
        name: what it is called.
        folder: where its files will lie, for relative links.
        grid: its cells.
        copied: whether cells were copied, not resampled.
        options: how maps were combined.
        sources: the maps.
        collection: the STAC Collection it belongs to.
    """

    name: str
    folder: Path
    grid: CellGrid
    copied: bool
    options: MosaicOptions
    sources: Sequence[MapSource]
    collection: CollectionFile | None = None

    @property
    def times(self) -> tuple[datetime, datetime]:
        """When the first and the last scene were sensed, in UTC."""
        times = [s.time.astimezone(UTC) for s in self.sources]
        return min(times), max(times)

    @property
    def unweighted(self) -> int:
        """Number of maps without valid and clear shares, which weigh 1."""
        return sum(s.quality is None for s in self.sources)

    @property
    def digest(self) -> str:
        """SHA-256 of all that the values depend on: maps, grid, options."""
        o = self.options
        tile = self.grid.tile
        place = [tile.crs, tile.left, tile.top, tile.width, tile.height, self.grid.stride]
        text = json.dumps(
            [
                sorted((s.digest, s.quality is not None) for s in self.sources),
                place,
                o.combine,
                o.least_weight,
            ]
        )
        return hashlib.sha256(text.encode()).hexdigest()


def mosaic_header(name: str, sources: Sequence[MapSource], grid: MosaicGrid) -> MapHeader:
    """The mosaic without its cells: classes in the order of the first map's.

    Thresholds of different models are averaged, as their probabilities are.
    """
    first = sources[0]
    times = sorted(s.time.astimezone(UTC) for s in sources)
    by_model = {s.model.get("sha256", ""): s for s in sources}
    models = {sha256: source.model for sha256, source in by_model.items()}
    days = " to ".join(dict.fromkeys(f"{t:%Y-%m-%d}" for t in (times[0], times[-1])))
    number = f"{len(sources)} map{'s' if len(sources) > 1 else ''}"
    scene = {
        "name": f"{name}: {number}, {days}",
        "start_time": _iso(times[0]),
        "end_time": _iso(times[-1]),
        "platform": ", ".join(sorted({s.scene.get("platform", "unknown") for s in sources})),
        "tile": _few(sorted({s.scene.get("tile", "unknown") for s in sources})),
    }
    model = dict(first.model)
    if len(models) > 1:
        model = {
            "name": _few(sorted({m.get("name", "unknown") for m in models.values()})),
            "sha256": _few(sorted(models)),
        }
    thresholds = _mean_thresholds(first.classes, [by_model[sha256] for sha256 in sorted(by_model)])
    return MapHeader(grid.cells, first.classes, first.nomenclature, thresholds, scene, model)


def _mean_thresholds(classes: tuple[str, ...], models: Sequence[MapSource]) -> tuple[float, ...]:
    """Of ``models``, a map of each; those without thresholds are left out."""
    known = [dict(zip(m.classes, m.thresholds, strict=True)) for m in models if m.thresholds]
    return tuple(sum(one[c] for one in known) / len(known) for c in classes) if known else ()


def story_tags(story: MosaicStory) -> dict[str, str]:
    """Tags that only mosaics have."""
    names = [s.scene.get("name", s.path.stem) for s in story.sources[:_MOST_NAMED]]
    return {
        MOSAIC: str(len(story.sources)),
        "MOSAIC_COMBINE": story.options.combine,
        "MOSAIC_LEAST_WEIGHT": f"{story.options.least_weight:g}",
        "MOSAIC_UNWEIGHTED_MAPS": str(story.unweighted),
        "MOSAIC_CELLS": "copied" if story.copied else "resampled",
        "MOSAIC_MODELS": str(len({s.model.get("sha256", "") for s in story.sources})),
        "MOSAIC_SCENES": json.dumps(names, ensure_ascii=False),
        "MOSAIC_DIGEST": story.digest,
    }


def report_facts(story: MosaicStory, figures: MapFigures) -> dict[str, object]:
    """The head of the page."""
    first, last = story.times
    rows, columns = story.grid.shape
    weights = "valid × clear share"
    if story.unweighted:
        weights += f"; {story.unweighted} maps without them weigh 1"
    return {
        "Maps": f"{len(story.sources)}, combined by {story.options.combine}",
        "Weights": weights,
        "Sensed": f"{_iso(first)} to {_iso(last)}",
        "Coordinate reference system": story.grid.tile.crs,
        "Cells": f"{rows} × {columns} of {story.grid.stride} m, "
        f"{'copied' if story.copied else 'resampled'}",
        "Mapped": f"{figures.area_ha:,.0f} ha",
    }


def write_mosaic_item(
    path: Path,
    header: MapHeader,
    story: MosaicStory,
    files: Mapping[str, Path],
    figures: MapFigures,
    titles: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the STAC Item: its time is an interval, and it derives from every map.

    ``titles`` are those of assets that hold something else than in a mosaic of cells.
    """
    geometry, bbox = footprint(story.grid.tile)
    first, last = story.times
    item = pystac.Item(
        id=story.name,
        geometry=geometry,
        bbox=bbox,
        datetime=None,
        start_datetime=first,
        end_datetime=last,
        properties=_properties(header, story, figures),
        stac_extensions=list(EXTENSIONS),
    )
    add_assets(item, files, header, titles)
    for source in story.sources:
        document = source.path.with_suffix(".json")
        there = document if document.is_file() else source.path
        item.add_link(
            pystac.Link(
                "derived_from",
                relative_href(there, story.folder),
                media_type="application/geo+json" if there is document else "image/tiff",
                title=source.scene.get("name", source.path.stem),
            )
        )
    if story.collection is not None:
        link_collection(item, story.collection)
    write_json(path, item)


def _properties(header: MapHeader, story: MosaicStory, figures: MapFigures) -> dict[str, Any]:
    model = header.model
    return {
        "title": f"Land cover: {story.name}",
        "description": f"{len(story.sources)} maps combined by {story.options.combine} in cells of "
        f"{story.grid.stride} m; {figures.area_ha:.0f} ha mapped.",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "gsd": story.grid.stride,
        **projection(story.grid),
        "processing:level": "L4",
        "processing:software": {"geolulc": __version__},
        "processing:lineage": f"{len(story.sources)} maps → geolulc {__version__}, "
        f"{story.options.combine}; model {model.get('name', 'unknown')} "
        f"(sha256 {model.get('sha256', 'unknown')})",
    }


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])} … ({len(names)})"


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
