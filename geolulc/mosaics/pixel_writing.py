"""The files of a mosaic of pixels, all or none, from blocks as they are computed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import rasterio

from geolulc.mosaics.collection import write_mosaic_collection
from geolulc.mosaics.layers import observation_entries, observation_layer
from geolulc.mosaics.pixel_blocks import PixelBlock, PixelMosaic
from geolulc.mosaics.pixel_sources import PixelSource
from geolulc.mosaics.pixel_story import pixel_report_facts, pixel_story_tags
from geolulc.mosaics.rasters import CACHE, BlockRaster
from geolulc.mosaics.story import MosaicStory, write_mosaic_item
from geolulc.outputs.attribute_table import attribute_table
from geolulc.outputs.picture import write_picture
from geolulc.outputs.pixel_layers import (
    DEPTH,
    RASTERS,
    class_codes,
    raster_plan,
    raster_style,
    raster_values,
)
from geolulc.outputs.pixel_pages import TITLES
from geolulc.outputs.pixel_ranks import Ranking, rank_classes
from geolulc.outputs.pixel_sample import PixelSample, cell_header, pixel_figures
from geolulc.outputs.pixel_tags import pixel_tags
from geolulc.outputs.pixel_tallies import PixelTally
from geolulc.outputs.pixel_vectors import RegionLimits, write_pixel_vectors
from geolulc.outputs.qgis_styles import ramp_style
from geolulc.outputs.rasters import Layer
from geolulc.outputs.report import ReportContent, write_report
from geolulc.outputs.writing import explained, remove_superseded, superseded_files
from geolulc.pixel_map import FULL, PixelMapHeader
from geolulc.staging import staged

#: Pixels along a sheet, within which regions are made: at 10, 20 and 60 m whole squares of 1,200 m,
#: so that areas are those of the whole.
SHEET: Final = 8160
#: What polygons are made from; written for them alone where no one asks for it.
_POLYGON_SOURCES: Final = ("classes", "confidence")


def write_pixel_mosaic(
    mosaic: PixelMosaic,
    story: MosaicStory,
    sources: Sequence[PixelSource],
    paths: Mapping[str, Path],
    limits: RegionLimits,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the files of a mosaic of pixels beside each other; all appear at the end.

    Args:
        mosaic: the maps on their grid.
        story: what they are.
        sources: the maps, as ``story`` has them.
        paths: part → file, map.tif last, as ``MosaicOutput.plan_pixels`` gives them.
        limits: what regions become polygons, sheet by sheet.
        overwrite: replace what is there.
        progress: called with (done, total) blocks.

    Raises:
        OutputError: a file exists (without ``overwrite``) or cannot be written, or a map is
            damaged.
    """
    out = list(paths.values())[-1]
    superseded = superseded_files(out, paths.values()) if overwrite else set()
    with (
        staged(list(paths.values()), overwrite=overwrite) as temporary,
        explained(out),
        rasterio.Env(GDAL_CACHEMAX=CACHE),
        ExitStack() as stack,
    ):
        targets = dict(zip(paths, temporary, strict=True))
        rasters = _Rasters(mosaic.header, targets, stack)
        totals = _Totals(mosaic.header)
        places = len(mosaic.places())
        for done, block in enumerate(mosaic.blocks(), start=1):
            ranking = rank_classes(block.probabilities, DEPTH)
            rasters.write(block, ranking)
            totals.add(block, ranking)
            if progress is not None:
                progress(done, places)
        tags = {
            **pixel_tags(mosaic.header, totals.tally),
            **pixel_story_tags(story, sources, totals.unknown),
            "GEOLULC_FILES": json.dumps(sorted(path.name for path in targets.values())),
        }
        rasters.finish(tags)
        _write_styles(targets, mosaic.header, totals)
        if "vectors" in targets:
            found = {**targets, **rasters.paths}
            summaries = totals.tally.summaries()
            write_pixel_vectors(found, mosaic.header, summaries, limits, tags, sheet=SHEET)
        _write_pages(targets, story, sources, totals)
    remove_superseded(superseded, paths.values())


class _Rasters:
    """The rasters of a mosaic, written together block by block."""

    def __init__(
        self, header: PixelMapHeader, targets: Mapping[str, Path], stack: ExitStack
    ) -> None:
        folder = next(iter(targets.values())).parent
        hidden = {name: folder / f".{name}.tif" for name in _POLYGON_SOURCES}
        names = [name for name in (*RASTERS, "observations") if name in targets]
        if "vectors" in targets:
            names += [name for name in hidden if name not in targets]
        self.paths = {name: targets.get(name) or hidden[name] for name in names}
        cells = cell_header(header).grid
        self._rasters = {name: BlockRaster(path, cells) for name, path in self.paths.items()}
        for raster in self._rasters.values():
            stack.callback(raster.close)
        self._codes = class_codes(header)
        self._plans = {name: raster_plan(name, header) for name in RASTERS}

    def write(self, block: PixelBlock, ranking: Ranking) -> None:
        for name, raster in self._rasters.items():
            raster.write(block.row, block.column, self._layer(name, block, ranking))

    def _layer(self, name: str, block: PixelBlock, ranking: Ranking) -> Layer:
        if name == "observations":
            return observation_layer(block)
        plan = self._plans[name]
        values = raster_values(name, self._codes, block.probabilities, ranking)
        return Layer(values, plan.bands, plan.nodata, plan.overviews, plan.colors)

    def finish(self, tags: Mapping[str, str]) -> None:
        for name, raster in self._rasters.items():
            raster.finish({**tags, "GEOLULC_FILE": name})


class _Totals:
    """What the blocks add up to."""

    def __init__(self, header: PixelMapHeader) -> None:
        self.header = header
        self.tally = PixelTally(header)
        self.sample = PixelSample(header)
        self.most_observations = 0
        self._missing = 0

    def add(self, block: PixelBlock, ranking: Ranking) -> None:
        self.tally.add(block.row, block.probabilities, ranking, block.column)
        self.sample.add(block.row, block.probabilities, block.column)
        self.most_observations = max(self.most_observations, int(block.count.max()))
        total = block.probabilities.sum(axis=0, dtype=np.uint16)[ranking.mapped]
        self._missing += int((FULL - np.minimum(total, FULL)).sum(dtype=np.int64))

    @property
    def unknown(self) -> float:
        """Mean share of probability that is missing to 1."""
        return self._missing / FULL / max(self.tally.mapped_pixels, 1)


def _write_styles(targets: Mapping[str, Path], header: PixelMapHeader, totals: _Totals) -> None:
    summaries = totals.tally.summaries()
    for name in RASTERS:
        if name in targets:
            style = raster_style(name, header, summaries)
            targets[f"{name}.style"].write_text(style, encoding="utf-8")
    if "observations" in targets:
        style = ramp_style(observation_entries(totals.most_observations))
        targets["observations.style"].write_text(style, encoding="utf-8")
    if "classes" in targets:
        targets["classes.attributes"].write_text(attribute_table(summaries), encoding="utf-8")


def _write_pages(
    targets: Mapping[str, Path],
    story: MosaicStory,
    sources: Sequence[PixelSource],
    totals: _Totals,
) -> None:
    header, summaries = totals.header, totals.tally.summaries()
    sample = totals.sample.map()
    figures = pixel_figures(header, totals.tally, sample)
    if "picture" in targets:
        write_picture(
            targets["picture"],
            sample,
            summaries,
            figures=figures,
            cell=story.grid.stride,
        )
    if "report" in targets:
        names = sorted(path.name for part, path in targets.items() if part != "report")
        facts = pixel_report_facts(story, sources, figures, totals.unknown)
        write_report(
            targets["report"],
            ReportContent(sample, summaries, files=names, facts=facts, figures=figures),
        )
    if "stac" in targets:
        write_mosaic_item(targets["stac"], cell_header(header), story, targets, figures, TITLES)
    if "stac.collection" in targets and story.collection is not None:
        write_mosaic_collection(
            targets["stac.collection"], story.collection, story.grid, targets["stac"]
        )
