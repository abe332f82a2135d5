"""The files of a map at pixel precision, from strips as they are computed; all or none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from geolulc.outputs.attribute_table import attribute_table
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.picture import Backdrop
from geolulc.outputs.pixel_layers import DEPTH, RASTERS, LayerWriters, raster_style
from geolulc.outputs.pixel_pages import PageContent, write_pages
from geolulc.outputs.pixel_ranks import rank_classes
from geolulc.outputs.pixel_rasters import whole_blocks
from geolulc.outputs.pixel_sample import PixelSample, pixel_figures
from geolulc.outputs.pixel_tags import pixel_tags
from geolulc.outputs.pixel_tallies import PixelTally
from geolulc.outputs.pixel_vectors import RegionLimits, write_pixel_vectors
from geolulc.outputs.rasters import raster_memory
from geolulc.outputs.writing import explained, plain_facts, remove_superseded, superseded_files
from geolulc.pixel_map import PixelMapHeader, PixelStrip
from geolulc.staging import staged

_DEFAULTS: Final = OutputOptions()
#: What polygons are made from; written for them alone where no one asks for it.
_SOURCES: Final = frozenset({"classes", "confidence"})


def write_pixel_map(
    header: PixelMapHeader,
    strips: Iterable[PixelStrip],
    out: Path,
    *,
    options: OutputOptions = _DEFAULTS,
    overwrite: bool = False,
    backdrop: Backdrop | None = None,
    model: Mapping[str, Any] | None = None,
    source: Path | None = None,
) -> dict[str, Path]:
    """Write the files of a map beside each other; all appear at the end, map.tif last.

    Strips are taken one by one and not kept: a tile at 10 m with 19 classes passes in less than
    a gigabyte. The files do not depend on the strips' heights.

    Args:
        header: all of the map but its pixels.
        strips: its pixels, from top to bottom.
        out: path of map.tif, which holds the classes; the other names derive from it.
        options: what to write, and how.
        overwrite: replace what is there, as in ``write_map``.
        backdrop: a true-colour image for picture and report, as in ``write_map``.
        model: what ``geolulc.nets.describe_model`` says of the model, for STAC and report.
        source: the product, for STAC's link to it.

    Returns:
        Part → its path, as in ``pixel_files.plan_pixel_outputs``.

    Raises:
        OutputError: a file exists (without ``overwrite``) or cannot be written.
        ParameterError: an unknown output or format, or an option that only maps of cells have.
        ValueError: the strips are not those of ``header``'s map. What ``strips`` raises passes.
    """
    out = Path(out)
    paths = options.plan_pixels(out, model=model is not None)
    superseded = superseded_files(out, paths.values()) if overwrite else set()
    header = replace(header, scene=plain_facts(header.scene), model=plain_facts(header.model))
    with (
        staged(list(paths.values()), overwrite=overwrite) as temporary,
        explained(list(paths.values())[-1]),
        raster_memory(),
    ):
        targets = dict(zip(paths, temporary, strict=True))
        pixels = _Pixels(header)
        _write_layers(pixels, strips, targets, options)
        write_pages(targets, pixels.content(backdrop, model, source, out.parent))
    remove_superseded(superseded, paths.values())
    return paths


class _Pixels:
    """What is known of the pixels once they have passed."""

    def __init__(self, header: PixelMapHeader) -> None:
        self.header = header
        self.tally = PixelTally(header)
        self.sample = PixelSample(header)

    def content(
        self,
        backdrop: Backdrop | None,
        model: Mapping[str, Any] | None,
        source: Path | None,
        folder: Path,
    ) -> PageContent:
        sample = self.sample.map()
        figures = pixel_figures(self.header, self.tally, sample)
        summaries = self.tally.summaries()
        return PageContent(self.header, sample, summaries, figures, backdrop, model, source, folder)


def _write_layers(
    pixels: _Pixels,
    strips: Iterable[PixelStrip],
    targets: Mapping[str, Path],
    options: OutputOptions,
) -> None:
    """Rasters with their styles, and vectors."""
    header, tally = pixels.header, pixels.tally
    folder = next(iter(targets.values())).parent
    hidden = {name: folder / f".{name}.tif" for name in _SOURCES if "vectors" in targets}
    rasters = {
        name: targets.get(name) or hidden[name]
        for name in RASTERS
        if name in targets or name in hidden
    }
    with LayerWriters(header, rasters, folder) as writers, ThreadPoolExecutor(1) as thread:
        for block in whole_blocks(header, strips):
            ranking = rank_classes(block.probabilities, DEPTH)
            tally.add(block.row, block.probabilities, ranking)
            pixels.sample.add(block.row, block.probabilities)
            writers.append(block.probabilities, ranking)
        tags = pixel_tags(header, tally)
        tags["GEOLULC_FILES"] = json.dumps(sorted(path.name for path in targets.values()))
        for name in [n for n in rasters if n in _SOURCES]:
            writers.finish(name, tags)
        # the largest files, while polygons are made on one core
        others = [thread.submit(writers.finish, n, tags) for n in rasters if n not in _SOURCES]
        if "vectors" in targets:
            limits = RegionLimits(options.min_area, options.max_polygons)
            write_pixel_vectors({**targets, **rasters}, header, tally.summaries(), limits, tags)
        for other in others:
            other.result()
    summaries = tally.summaries()
    for name in targets.keys() & rasters.keys():
        style = raster_style(name, header, summaries)
        targets[f"{name}.style"].write_text(style, encoding="utf-8")
    if "classes" in targets:
        targets["classes.attributes"].write_text(attribute_table(summaries), encoding="utf-8")
