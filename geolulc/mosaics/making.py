"""Combine maps into one mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from geolulc.analysis.map_file import open_map
from geolulc.errors import ParameterError
from geolulc.mosaics.blocks import Mosaic
from geolulc.mosaics.collection import CollectionFile
from geolulc.mosaics.grids import MosaicGrid, choose_grid
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.sources import MapSource, are_pixels, find_maps, read_sources, require_alike
from geolulc.mosaics.story import MosaicStory
from geolulc.outputs.files import MapKind
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.tags import MOSAIC
from geolulc.outputs.writing import write_map
from geolulc.ownership import reading
from geolulc.progress import Progress
from geolulc.safe_texts import one_line
from geolulc.staging import claimed, require_free


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
    """The maps that ``paths`` name, all alike; an older mosaic at ``out`` is not one of them.

    Raises:
        GeolulcError: nothing there, a file that is no map, or maps that do not fit together.
    """
    sources = read_sources(p for p in find_maps(paths) if not _is_older(p, out))
    require_alike(sources, mixed_models=options.mixed_models)
    return sources


def make_mosaic(
    paths: Sequence[Path],
    out: Path,
    options: MosaicOptions,
    output: OutputOptions,
    *,
    overwrite: int = 0,
    progress: Progress | None = None,
) -> MosaicResult:
    """Combine the maps that ``paths`` name into the files of ``out``, its map.tif.

    Raises:
        GeolulcError: whatever is wrong with the maps, the options or the output.
    """
    # refused before all maps are read
    planned = output.plan(out, exclusive=are_pixels(paths), mosaic=True)
    require_free(list(planned.values()), overwrite=overwrite)
    sources = open_sources(paths, out, options)
    story = story_of(sources, choose_grid(sources, options), out, options)
    return combine_sources(story, out, output, overwrite=overwrite, progress=progress)


def story_of(
    sources: Sequence[MapSource],
    grid: MosaicGrid,
    out: Path,
    options: MosaicOptions,
    shared: CollectionFile | None = None,
) -> MosaicStory:
    """Where the mosaic ``out`` comes from; it is called as its file."""
    return MosaicStory(one_line(out.stem), sources, grid, options, shared)


def combine_sources(
    story: MosaicStory,
    out: Path,
    output: OutputOptions,
    *,
    overwrite: int = 0,
    progress: Progress | None = None,
) -> MosaicResult:
    """``make_mosaic`` of maps that are known already, on a grid that is chosen."""
    header, sources = story.header, story.sources
    if header.exclusive:
        _require_possible(story, output)
    mosaic = Mosaic(sources, story.grid, header, story.options)
    blocks = mosaic.blocks(out.parent, progress)
    with reading(p for s in sources for p in (s.path, s.path_beside)), claimed(out):
        files = write_map(header, blocks, out, story=story, options=output, overwrite=overwrite)
    return MosaicResult(
        files, len(sources), story.unweighted, story.models, story.grid.copied, header.exclusive
    )


def _is_older(path: Path, out: Path) -> bool:
    """Whether ``path`` is an older mosaic that the one at ``out`` is to replace."""
    if path.resolve() != out.resolve():
        return False
    with open_map(path) as raster:
        return MOSAIC in raster.tags


def _require_possible(story: MosaicStory, output: OutputOptions) -> None:
    """``ParameterError`` unless maps of pixels have all that the options ask for."""
    if story.options.min_weight is not None:
        raise ParameterError(
            "smallest weight",
            found="maps of pixels, which are clear and valid or have no data",
            expected="no such limit",
            remedy="Leave --min-weight out.",
        )
    without = [s for s in story.sources if s.beside != "probabilities"]
    if without and "probabilities" in output.chosen(MapKind.PIXEL_MOSAIC):
        raise ParameterError(
            without[0].path,
            found=f"a map without {without[0].path.stem}_probabilities.tif",
            expected="all probabilities of all maps, to write those of the mosaic",
            remedy="Leave probabilities out of the --outputs, or map the scenes with them.",
        )
