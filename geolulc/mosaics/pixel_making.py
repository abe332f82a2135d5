"""Maps of pixels → one mosaic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from geolulc.errors import ParameterError
from geolulc.mosaics.collection import CollectionFile
from geolulc.mosaics.grids import MosaicGrid
from geolulc.mosaics.options import MosaicOptions, MosaicOutput
from geolulc.mosaics.pixel_blocks import PixelMosaic
from geolulc.mosaics.pixel_sources import PixelSource
from geolulc.mosaics.pixel_story import pixel_mosaic_header
from geolulc.mosaics.pixel_writing import write_pixel_mosaic
from geolulc.mosaics.story import MosaicStory
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.pixel_vectors import RegionLimits


def combine_pixel_sources(
    sources: Sequence[PixelSource],
    grid: MosaicGrid,
    story: MosaicStory,
    out: Path,
    output: MosaicOutput,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Combine maps of pixels on a grid that is chosen into the files of ``out``: part → path.

    A ``story`` without a ``collection`` gets its own.

    Raises:
        ParameterError: an option or output that these maps do not have.
        OutputError: a file exists (without ``overwrite``) or cannot be written, or a map is
            damaged.
    """
    paths = output.plan_pixels(out, alone=story.collection is None)
    if "stac.collection" in paths:
        story = replace(story, collection=CollectionFile.of_mosaic(paths["stac.collection"]))
    _require_possible(sources, story.options, output)
    header = pixel_mosaic_header(story.name, sources, grid)
    write_pixel_mosaic(
        PixelMosaic(sources, grid, header, story.options),
        story,
        sources,
        paths,
        RegionLimits(output.min_area, OutputOptions().max_polygons),
        overwrite=overwrite,
        progress=progress,
    )
    return paths


def _require_possible(
    sources: Sequence[PixelSource], options: MosaicOptions, output: MosaicOutput
) -> None:
    if options.min_weight is not None:
        raise ParameterError(
            "smallest weight",
            found="maps of pixels, which are clear and valid or have no data",
            expected="no such limit",
            remedy="Leave --min-weight out.",
        )
    without = [s for s in sources if s.evidence != "probabilities"]
    if "probabilities" in output.pixel_outputs and without:
        raise ParameterError(
            without[0].path,
            found=f"a map without {without[0].path.stem}_probabilities.tif",
            expected="all probabilities of all maps, to write those of the mosaic",
            remedy="Leave probabilities out of the --outputs, or map the scenes with them.",
        )
