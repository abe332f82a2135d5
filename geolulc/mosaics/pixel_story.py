"""What a mosaic of pixels says of itself, where that is not what one of cells says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import reduce

from geolulc.mosaics.grids import MosaicGrid
from geolulc.mosaics.pixel_sources import EVIDENCE, PixelSource
from geolulc.mosaics.story import MosaicStory, mosaic_header, report_facts, story_tags
from geolulc.outputs.figures import MapFigures
from geolulc.pixel_map import PixelGrid, PixelMapHeader

_IN_WORDS = {
    "probabilities": "all probabilities",
    "top3": "the three most probable classes",
    "confidence": "the class and its probability",
}


def pixel_mosaic_header(
    name: str, sources: Sequence[PixelSource], grid: MosaicGrid
) -> PixelMapHeader:
    """The mosaic without its pixels; of scene classes, those are masked that all maps masked."""
    whole = mosaic_header(name, sources, grid)
    masked = reduce(set.intersection, (set(s.header.masked_scl) for s in sources))
    return PixelMapHeader(
        PixelGrid.of_tile(grid.cells.tile, grid.cells.stride),
        whole.classes,
        whole.nomenclature,
        whole.scene,
        whole.model,
        tuple(sorted(masked)),
    )


def pixel_story_tags(
    story: MosaicStory, sources: Sequence[PixelSource], unknown: float
) -> dict[str, str]:
    """Tags that only mosaics of pixels have.

    Args:
        story: where the mosaic comes from.
        sources: its maps.
        unknown: mean share of probability that the maps' files do not hold.
    """
    tags = story_tags(story)
    # maps of pixels have no shares: what is not clear or not valid is no data
    for name in ("MOSAIC_UNWEIGHTED_MAPS", "MOSAIC_LEAST_WEIGHT", "MOSAIC_CELLS"):
        tags.pop(name, None)
    return {
        **tags,
        "MOSAIC_PIXELS": "copied" if story.copied else "resampled",
        "MOSAIC_PROBABILITIES": json.dumps(used_evidence(sources)),
        "MOSAIC_UNKNOWN_SHARE": f"{unknown:.6g}",
        "MOSAIC_MASKED_SCL": json.dumps(sorted({s.header.masked_scl for s in sources})),
    }


def used_evidence(sources: Sequence[PixelSource]) -> dict[str, int]:
    """Raster → number of maps whose probabilities were read from it."""
    counts = Counter(s.evidence for s in sources)
    return {name: counts[name] for name in EVIDENCE if counts[name]}


def pixel_report_facts(
    story: MosaicStory, sources: Sequence[PixelSource], figures: MapFigures, unknown: float
) -> dict[str, object]:
    """The head of the page."""
    facts = report_facts(story, figures)
    rows, columns = story.grid.shape
    known = "; ".join(f"{_IN_WORDS[k]} of {n} maps" for k, n in used_evidence(sources).items())
    return {
        "Maps": facts["Maps"],
        "Probabilities": f"{known}; {unknown:.1%} of them unknown, taken as 0",
        "Sensed": facts["Sensed"],
        "Coordinate reference system": facts["Coordinate reference system"],
        "Pixels": f"{rows:,} × {columns:,} of {story.grid.stride} m, "
        f"{'copied' if story.copied else 'resampled'}",
        "Mapped": facts["Mapped"],
    }
