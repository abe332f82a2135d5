"""A mosaic for each month, season or year, all on one grid, and a STAC Collection over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from geolulc.analysis.map_file import open_map
from geolulc.delivery import present
from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.mosaics.collection import COLLECTION_NAME, CollectionFile, write_period_collection
from geolulc.mosaics.grids import choose_grid
from geolulc.mosaics.making import MosaicResult, combine_sources, open_sources, story_of
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.sources import MapSource
from geolulc.mosaics.story import MosaicStory
from geolulc.outputs.files import MapKind
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.run_record import require_same_run, run_of
from geolulc.outputs.tags import mosaic_of
from geolulc.ownership import OWN
from geolulc.progress import NamedProgress, silent
from geolulc.staging import require_folder, require_free

#: What a mosaic can stand for.
PERIODS: Final = ("month", "season", "year")
_SEASONS: Final = ("DJF", "MAM", "JJA", "SON")


@dataclass(frozen=True)
class PeriodResult:
    """A period and its mosaic, ``skipped`` where it was there already; or the ``error``."""

    period: str
    mosaic: MosaicResult = field(default_factory=MosaicResult)
    skipped: bool = False
    error: GeolulcError | None = None


def period_of(time: datetime, by: str) -> str:
    """The name of the period of a time, by its date in UTC: "2020-02", "2020-DJF" or "2020".

    Seasons are meteorological: December, January and February are one, and belong to the year
    of their January.
    """
    time = time.astimezone(UTC)
    if by == "month":
        return f"{time:%Y-%m}"
    if by == "season":
        year = time.year + (time.month == 12)
        return f"{year}-{_SEASONS[time.month % 12 // 3]}"
    return f"{time:%Y}"


def make_mosaics(
    paths: Sequence[Path],
    out: Path,
    options: MosaicOptions,
    output: OutputOptions,
    by: str,
    *,
    overwrite: int = 0,
    progress: NamedProgress = silent,
) -> list[PeriodResult]:
    """Combine the maps of each period into ``out``/PERIOD.tif, from the first to the last.

    All have one grid, that of all maps, so that they can be compared. A period that is there,
    made of the same maps in the same way, is skipped; one that fails does not keep the others
    from being made. ``out``/collection.json is a STAC Collection of those that are there.

    Args:
        paths: as ``make_mosaic``.
        out: a folder, made where its parent exists.
        options: how to combine.
        output: what to write.
        by: of ``PERIODS``.
        overwrite: make all of them again.
        progress: called with a period's name; the context gives its progress function.

    Raises:
        GeolulcError: what is wrong with the maps, the options or the folder.
    """
    if by not in PERIODS:
        raise ParameterError(
            f"period {by!r}",
            found="no such period",
            expected=f"one of {', '.join(PERIODS)}",
            remedy="Use one of these.",
        )
    require_folder(out, COLLECTION_NAME, "the mosaics of several periods")
    if out.is_dir():
        require_free([out / COLLECTION_NAME], overwrite=max(overwrite, OWN))
    sources = open_sources(paths, out, options)
    grid = choose_grid(sources, options)
    groups: dict[str, list[MapSource]] = {}
    for source in sorted(sources, key=lambda s: s.time):
        groups.setdefault(period_of(source.time, by), []).append(source)
    out.mkdir(exist_ok=True)
    results = []
    shared = CollectionFile.of_folder(out)
    for period, members in groups.items():
        target = out / f"{period}.tif"
        story = story_of(members, grid, target, options, shared)
        try:
            if not overwrite and (there := present(target)) is not None:
                results.append(PeriodResult(period, _existing(there, story, output), skipped=True))
                continue
            with progress(period) as report:
                # files of ours without their map.tif are of a run that was killed
                again = max(overwrite, OWN)
                mosaic = combine_sources(story, target, output, overwrite=again, progress=report)
            results.append(PeriodResult(period, mosaic))
        except GeolulcError as error:
            results.append(PeriodResult(period, error=error))
    header = story_of(sources, grid, out, options).header
    if "stac" in output.chosen(MapKind.of(exclusive=header.exclusive, mosaic=True)):
        write_period_collection(out, header, by, overwrite=max(overwrite, OWN))
    return results


def _existing(target: Path, story: MosaicStory, output: OutputOptions) -> MosaicResult:
    """The mosaic that is there; ``OutputError`` unless it is the one that would be made."""
    with open_map(target) as raster:
        content, made, run = raster.content, mosaic_of(raster.tags), run_of(raster.tags)
    number = len(story.sources)
    if run:
        kind = MapKind.of(exclusive=story.header.exclusive, mosaic=True)
        require_same_run(target, run, {**story.made_with, **output.record(kind)})
    elif made.get("digest") != story.digest:  # of an older version
        raise OutputError(
            target,
            found=f"a mosaic of {made.get('maps', 'unknown')} maps, made of others or otherwise",
            expected=f"one of these {number} maps with these options",
            remedy="Remove it or give another folder, or --overwrite to make all of them again.",
        )
    return MosaicResult(
        {content: target}, number, copied=story.grid.copied, pixels=story.header.exclusive
    )
