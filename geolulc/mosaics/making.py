"""Maps → one mosaic, or one a period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from geolulc.errors import one_line
from geolulc.mosaics.blocks import Mosaic
from geolulc.mosaics.collection import CollectionFile
from geolulc.mosaics.grids import MosaicGrid, choose_grid
from geolulc.mosaics.options import MosaicOptions, MosaicOutput
from geolulc.mosaics.pixel_making import combine_pixel_sources
from geolulc.mosaics.pixel_sources import PixelSource, holds_pixels, read_pixel_source
from geolulc.mosaics.sources import MapSource, find_maps, read_sources, require_alike
from geolulc.mosaics.story import MosaicStory, mosaic_header
from geolulc.mosaics.writing import Progress, write_mosaic
from geolulc.staging import require_free


@dataclass(frozen=True)
class MosaicResult:
    """A mosaic that was made.

    Attributes:
        files: part → path.
        maps: number of maps it is made of.
        unweighted: of those, the ones without valid and clear shares: they weigh 1.
        models: number of models that made them.
        copied: whether cells were copied, not resampled.
        pixels: whether it is a mosaic of maps of pixels.
    """

    files: dict[str, Path] = field(default_factory=dict)
    maps: int = 0
    unweighted: int = 0
    models: int = 1
    copied: bool = True
    pixels: bool = False


def open_sources(paths: Sequence[Path], out: Path, options: MosaicOptions) -> list[MapSource]:
    """The maps that ``paths`` name, all alike; ``out`` itself, an older mosaic, is none.

    Raises:
        GeolulcError: nothing there, a file that is no map, or maps that do not fit together.
    """
    found = [p for p in find_maps(paths) if p.resolve() != out.resolve()]
    sources = read_sources(found, read_pixel_source if holds_pixels(found) else None)
    require_alike(sources, mixed_models=options.mixed_models)
    return sources


def make_mosaic(
    paths: Sequence[Path],
    out: Path,
    options: MosaicOptions,
    output: MosaicOutput,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> MosaicResult:
    """Combine the maps that ``paths`` name into the files of ``out``, its map.tif.

    Raises:
        GeolulcError: whatever is wrong with the maps, the options or the output.
    """
    # refused before anything is read
    plan = output.plan_pixels if holds_pixels(paths) else output.plan
    require_free(list(plan(out).values()), overwrite=overwrite)
    sources = open_sources(paths, out, options)
    grid = choose_grid(sources, options)
    return combine_sources(
        sources, grid, out, options, output, overwrite=overwrite, progress=progress
    )


def tell(
    sources: Sequence[MapSource], grid: MosaicGrid, out: Path, options: MosaicOptions
) -> MosaicStory:
    """What the mosaic ``out`` of ``sources`` says of itself."""
    return MosaicStory(one_line(out.stem), out.parent, grid.cells, grid.copied, options, sources)


def combine_sources(
    sources: Sequence[MapSource],
    grid: MosaicGrid,
    out: Path,
    options: MosaicOptions,
    output: MosaicOutput,
    *,
    overwrite: bool = False,
    collection: CollectionFile | None = None,
    progress: Progress | None = None,
) -> MosaicResult:
    """``make_mosaic`` of maps that are known already, on a grid that is chosen.

    ``collection``: the STAC Collection that the mosaic shares with others; None for its own.
    """
    story = replace(tell(sources, grid, out, options), collection=collection)
    models = len({s.model.get("sha256", "") for s in sources})
    pixels = [s for s in sources if isinstance(s, PixelSource)]
    if pixels:
        files = combine_pixel_sources(
            pixels, grid, story, out, output, overwrite=overwrite, progress=progress
        )
        return MosaicResult(files, len(sources), 0, models, grid.copied, pixels=True)
    header = mosaic_header(story.name, sources, grid)
    mosaic = Mosaic(sources, grid, header, options)
    files = write_mosaic(mosaic, story, out, output, overwrite=overwrite, progress=progress)
    return MosaicResult(files, len(sources), story.unweighted, models, grid.copied)
