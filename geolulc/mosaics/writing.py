"""A mosaic's files, all or none: rasters block by block, the rest from what these add up to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import rasterio

from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.mosaics.blocks import Mosaic, MosaicBlock
from geolulc.mosaics.collection import CollectionFile, write_mosaic_collection
from geolulc.mosaics.layers import confidence_layer, observation_entries, observation_layer
from geolulc.mosaics.options import MosaicOutput
from geolulc.mosaics.rasters import CACHE, BlockRaster
from geolulc.mosaics.sample import Sample
from geolulc.mosaics.story import MosaicStory, report_facts, story_tags, write_mosaic_item
from geolulc.mosaics.vectors import CellStore, write_sheets
from geolulc.outputs.attribute_table import attribute_table
from geolulc.outputs.cells import ClassSummary, map_classes, summarize_classes
from geolulc.outputs.class_raster import class_layer
from geolulc.outputs.figures import MapFigures, add_figures, add_summaries, figures_of
from geolulc.outputs.legends import (
    class_entries,
    count_entries,
    entropy_entries,
    probability_entries,
)
from geolulc.outputs.picture import write_picture
from geolulc.outputs.presence import presence_layer
from geolulc.outputs.probabilities import ENCODINGS, probability_layer
from geolulc.outputs.qgis_styles import paletted_style, ramp_style
from geolulc.outputs.rasters import Layer
from geolulc.outputs.report import ReportContent, write_report
from geolulc.outputs.tags import header_tags
from geolulc.outputs.uncertainty import uncertainty_layer
from geolulc.outputs.writing import explained, remove_superseded, superseded_files
from geolulc.staging import staged

#: Called with (done, total) blocks.
Progress = Callable[[int, int], None]

_LAYERS: Final[Mapping[str, Callable[[MosaicBlock], Layer]]] = {
    "classes": lambda block: class_layer(block.landcover_map),
    "presence": lambda block: presence_layer(block.landcover_map),
    "uncertainty": lambda block: uncertainty_layer(block.landcover_map),
    "observations": observation_layer,
    "confidence": confidence_layer,
}
#: Up to so many cells a polygon for each is written unasked, as of the map of a scene.
_FEW_CELLS: Final = 50_000


@dataclass
class _Totals:
    """What the blocks add up to."""

    figures: MapFigures
    summaries: tuple[ClassSummary, ...]
    most_observations: int = 0

    def add(self, block: MosaicBlock) -> None:
        made = block.landcover_map
        self.figures = add_figures(self.figures, figures_of(made))
        self.summaries = add_summaries(self.summaries, summarize_classes(made))
        self.most_observations = max(self.most_observations, int(block.count.max()))


def write_mosaic(
    mosaic: Mosaic,
    story: MosaicStory,
    out: Path,
    output: MosaicOutput,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Write the files of a mosaic beside each other; all appear at the end, map.tif last.

    Args:
        mosaic: the maps on their grid.
        story: what they are; one without a ``collection`` gets its own.
        out: path of map.tif; the other names derive from it.
        output: what to write.
        overwrite: replace what is there.
        progress: called after each block.

    Raises:
        OutputError: a file exists (without ``overwrite``) or cannot be written, or a map is
            damaged.
    """
    paths = output.plan(out, alone=story.collection is None)
    if "stac.collection" in paths:
        own = CollectionFile.of_mosaic(paths["stac.collection"])
        story = replace(story, collection=own)
    superseded = superseded_files(out, paths.values()) if overwrite else set()
    with (
        staged(list(paths.values()), overwrite=overwrite) as temporary,
        explained(list(paths.values())[-1]),
        rasterio.Env(GDAL_CACHEMAX=CACHE),
        ExitStack() as stack,
    ):
        targets = dict(zip(paths, temporary, strict=True))
        _write_files(mosaic, story, targets, output, stack, progress)
    remove_superseded(superseded, paths.values())
    return paths


def _write_files(
    mosaic: Mosaic,
    story: MosaicStory,
    targets: Mapping[str, Path],
    output: MosaicOutput,
    stack: ExitStack,
    progress: Progress | None,
) -> None:
    header = mosaic.header
    layers = dict(_LAYERS) | {
        "probabilities": lambda block: probability_layer(
            block.landcover_map, ENCODINGS[output.dtype]
        )
    }
    rasters = {name: BlockRaster(targets[name], header.grid) for name in layers if name in targets}
    for raster in rasters.values():
        stack.callback(raster.close)
    store = None
    if "vectors" in targets:
        scratch = targets["vectors"].with_suffix(".cells.tif")
        store = CellStore(scratch, header, cells=_writes_cells(header, output))
        stack.callback(store.close)
    sample = Sample(header)
    totals = _nothing(header)
    places = mosaic.places()
    scratch = next(iter(targets.values())).parent
    for done, block in enumerate(mosaic.blocks(scratch), start=1):
        for name, raster in rasters.items():
            raster.write(block.row, block.column, layers[name](block))
        if store is not None:
            store.write(block)
        sample.add(block)
        totals.add(block)
        if progress is not None:
            progress(done, len(places))
    rows, columns = header.grid.shape
    # those of blocks that no map reaches count too
    totals.figures = replace(totals.figures, cells=rows * columns)
    tags = {
        **header_tags(header, totals.figures),
        **story_tags(story),
        "GEOLULC_FILES": json.dumps(sorted(path.name for path in targets.values())),
        "AREA_HA_BY_CLASS": json.dumps(
            {s.land_cover.name: round(s.area_ha, 4) for s in totals.summaries if s.cells},
            ensure_ascii=False,
        ),
    }
    for name, raster in rasters.items():
        raster.finish({**tags, "GEOLULC_FILE": name})
    _write_styles(targets, header, totals)
    if store is not None:
        cells = _writes_cells(header, output)
        write_sheets(targets["vectors"], store, header, totals.summaries, tags, cells=cells)
        store.close()
    _write_pages(targets, sample.made(), story, totals)
    if "stac" in targets:
        write_mosaic_item(targets["stac"], header, story, targets, totals.figures)
    if "stac.collection" in targets and story.collection is not None:
        write_mosaic_collection(
            targets["stac.collection"], story.collection, story.grid, targets["stac"]
        )


def _nothing(header: MapHeader) -> _Totals:
    summaries = tuple(
        ClassSummary(c, 0, 0.0, 0.0, 0.0, float("nan"), float("nan"), 0)
        for c in map_classes(header)
    )
    return _Totals(MapFigures(), summaries)


def _writes_cells(header: MapHeader, output: MosaicOutput) -> bool:
    rows, columns = header.grid.shape
    return rows * columns <= _FEW_CELLS if output.cells is None else output.cells


def _write_styles(targets: Mapping[str, Path], header: MapHeader, totals: _Totals) -> None:
    expected = [s.expected_area_ha for s in totals.summaries]
    shown = 1 + expected.index(max(expected))
    styles = {
        "probabilities": ramp_style(probability_entries(), band=shown),
        "classes": paletted_style(class_entries(map_classes(header))),
        "presence": ramp_style(count_entries(), discrete=True),
        "uncertainty": ramp_style(entropy_entries()),
        "observations": ramp_style(observation_entries(totals.most_observations)),
        "confidence": ramp_style(probability_entries(), band=shown),
    }
    for part, style in styles.items():
        if part in targets:
            targets[part + ".style"].write_text(style, encoding="utf-8")
    if "classes" in targets:
        table = attribute_table(totals.summaries)
        targets["classes.attributes"].write_text(table, encoding="utf-8")


def _write_pages(
    targets: Mapping[str, Path], sample: LandCoverMap, story: MosaicStory, totals: _Totals
) -> None:
    summaries: Sequence[ClassSummary] = totals.summaries
    if "picture" in targets:
        write_picture(
            targets["picture"],
            sample,
            summaries,
            figures=totals.figures,
            cell=story.grid.stride,
        )
    if "report" in targets:
        names = sorted(path.name for part, path in targets.items() if part != "report")
        facts = report_facts(story, totals.figures)
        write_report(
            targets["report"],
            ReportContent(sample, summaries, files=names, facts=facts, figures=totals.figures),
        )
