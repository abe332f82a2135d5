"""Writes the files of a map, all or none: of cells or pixels, of a scene or a mosaic.

Blocks pass once. Each is ranked and counted once, and written into all rasters; nothing but a
sample of the cells is kept. Vectors, pages and the STAC Item are made from the rasters and from
the sums, so memory does not grow with the map.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import rasterio

from geolulc.delivery import deliver, present, waits
from geolulc.maps.coarser import Coarser
from geolulc.maps.encoding import ENCODINGS
from geolulc.maps.header import MapBlock, MapHeader, join_rows
from geolulc.maps.ranking import rank_classes
from geolulc.maps.tally import MapTotals, Tally
from geolulc.outputs.cautions import TAG, Caution, cautions, cautions_tag
from geolulc.outputs.files import MapKind
from geolulc.outputs.layers import DEPTH, RankedBlock, map_layers
from geolulc.outputs.map_rasters import MapRasters
from geolulc.outputs.model_item import write_model_item
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.rasters import ROWS, raster_memory, without_side_files
from geolulc.outputs.run_record import run_tag
from geolulc.outputs.stac import write_item
from geolulc.outputs.story import Story
from geolulc.outputs.tags import map_tags, scene_of
from geolulc.outputs.templates import fill
from geolulc.outputs.vectors import write_vectors
from geolulc.ownership import is_own_file
from geolulc.safe_texts import one_line
from geolulc.staging import staged

_DEFAULTS: Final = OutputOptions()
#: Files that GDAL, QGIS and SQLite leave beside a file; an old one would not fit a new file.
_SIDECARS: Final = (".aux.xml", ".ovr", ".msk", "-wal", "-shm", "-journal")


def write_map(
    header: MapHeader,
    blocks: Iterable[MapBlock],
    out: Path,
    *,
    story: Story,
    options: OutputOptions = _DEFAULTS,
    overwrite: int = 0,
) -> dict[str, Path]:
    """Write the files of a map beside each other; all appear at the end, map.tif last.

    Args:
        header: the map.
        blocks: its cells. Those of a scene are whole rows from top to bottom, in blocks of any
            heights; the files do not depend on these. Those of a mosaic are squares in any order;
            where there is none, there is no data. They are taken one by one and not kept.
        out: path of map.tif; the other names derive from it.
        story: the origin of the map.
        options: the outputs and their formats.
        overwrite: 1 to replace what geolulc wrote, 2 for any file. Files that an older map of
            this name has and the new one has not are removed: they would not belong to it.

    Returns:
        Part → its path, as ``OutputOptions.plan`` says.

    Raises:
        OutputError: a file exists (without ``overwrite``) or cannot be written.
        ParameterError: an unknown output, dtype or format, or one that this kind of map has not.
        ValueError: the blocks are not those of ``header``'s map. What ``blocks`` raises passes.
    """
    out = Path(out)
    header = replace(header, scene=_plain(header.scene), model=_plain(header.model))
    if options.coarser is not None:
        coarser = Coarser.of(header, options.coarser)
        header, blocks = coarser.header, coarser.blocks(blocks)
    writing = _Writing(header, story, options)
    paths = options.plan(
        out,
        exclusive=header.exclusive,
        mosaic=story.mosaic,
        model=story.model is not None,
        alone=story.alone,
        cells=writing.cells,
    )
    planned = list(paths.values())
    record = run_tag({**story.made_with, **options.record(writing.kind)})
    superseded = _stale_sidecars(planned)
    if overwrite:
        superseded |= _files_of(out) - set(planned)
    if waits(out) and _is_of(_tags_of(out), header, record):
        deliver(planned, superseded)
        return paths
    with (
        staged(planned, overwrite=overwrite, superseded=superseded) as temporary,
        raster_memory(),
    ):
        targets = dict(zip(paths, temporary, strict=True))
        totals = writing.write_layers(blocks, targets, record)
        writing.write_pages(totals, targets, out.parent)
    return paths


class _Writing:
    """The steps of ``write_map``.

    Attributes:
        kind: of the map.
        cells: whether each cell gets a polygon.
    """

    def __init__(self, header: MapHeader, story: Story, options: OutputOptions) -> None:
        self._header, self._story, self._options = header, story, options
        self.kind = MapKind.of(exclusive=header.exclusive, mosaic=story.mosaic)
        rows, columns = header.grid.shape
        self.cells = options.writes_cells(rows * columns, exclusive=header.exclusive)
        self._cautions: tuple[Caution, ...] = ()

    def write_layers(
        self, blocks: Iterable[MapBlock], targets: Mapping[str, Path], record: Mapping[str, str]
    ) -> MapTotals:
        """Write rasters, with styles and class table, and vectors; returns the map's figures.

        ``record``: the tag of what made the map.
        """
        header, tally = self._header, Tally(self._header)
        if not self._story.mosaic:
            blocks = whole_rows(header, blocks)
        # probabilities of pixels come in steps of 1/250
        encoding = ENCODINGS["uint8" if header.exclusive else self._options.dtype]
        layers = map_layers(self.kind, targets)
        with MapRasters(header, layers, targets, cells=self.cells) as rasters:
            for block in blocks:
                ranked = rank_classes(block.probabilities, DEPTH)
                tally.add(block, ranked)
                rasters.write(RankedBlock(header, block, ranked, encoding))
            totals = tally.totals
            story = self._story
            self._cautions = cautions(header, totals.figures, story.model, story.inherited)
            tags = {
                **map_tags(header, totals.figures, totals.summaries),
                **story.tags(totals.figures),
                **record,
                TAG: cautions_tag(self._cautions),
                "GEOLULC_FILES": json.dumps(sorted(path.name for path in targets.values())),
            }
            # the largest files are finished while polygons are made on one core
            with ThreadPoolExecutor(1) as thread, rasters.finished(tags, thread) as sources:
                if sources is not None:
                    write_vectors(
                        targets,
                        header,
                        sources,
                        totals.summaries,
                        tags,
                        min_area=self._options.least_area(exclusive=header.exclusive),
                        max_polygons=self._options.max_polygons,
                    )
        for name, layer in layers.items():
            targets[f"{name}.style"].write_text(layer.style(totals), encoding="utf-8")
        if "classes" in targets:
            table = fill("class_table.xml", summaries=totals.summaries)
            targets["classes.attributes"].write_text(table, encoding="utf-8")
        return totals

    def write_pages(self, totals: MapTotals, targets: Mapping[str, Path], folder: Path) -> None:
        """Write picture, report and STAC Items, as far as they are among ``targets``."""
        story = self._story
        # they bring matplotlib's figures, which would lie beside the blocks: 20 MB
        from geolulc.outputs.picture import write_picture
        from geolulc.outputs.report import write_report

        if "picture" in targets:
            write_picture(targets["picture"], totals, story.backdrop, self._cautions)
        if "report" in targets:
            names = sorted(path.name for part, path in targets.items() if part != "report")
            write_report(targets["report"], totals, story, names, self._cautions)
        if story.model is not None and "stac.model" in targets:
            write_model_item(targets["stac.model"], story.model, folder)
        if "stac" in targets:
            write_item(targets, self._header, totals.figures, story, folder, self._cautions)
        story.write_others(targets)


def whole_rows(header: MapHeader, blocks: Iterable[MapBlock]) -> Iterator[MapBlock]:
    """The cells of ``blocks`` in blocks of ``ROWS`` rows, the last one shorter.

    Whatever the heights of ``blocks``, what is made of the new ones is equal to the last bit.

    Raises:
        ValueError: a block does not hold all columns of the map, in the encoding of its kind,
            does not follow on the one before, or rows are missing at the end.
    """
    rows, columns = header.grid.shape
    waiting: list[MapBlock] = []
    held = done = 0
    for block in blocks:
        p = block.probabilities
        dtype = "uint8" if header.exclusive else "float32"
        expected = (len(header.classes), p.shape[1] if p.ndim == 3 else 0, columns)
        if p.shape != expected or p.dtype != dtype:
            raise ValueError(f"a block of {p.dtype} {p.shape}, not {dtype} {expected}")
        if block.row != done or block.column or done + p.shape[1] > rows:
            raise ValueError(
                f"a block of {p.shape[1]} rows from {block.row} after {done} of {rows}"
            )
        taken = 0
        while taken < p.shape[1]:
            count = min(ROWS - held, p.shape[1] - taken)
            waiting.append(block.part(slice(taken, taken + count)))
            taken, held, done = taken + count, held + count, done + count
            if held == ROWS or done == rows:
                yield waiting[0] if len(waiting) == 1 else join_rows(waiting)
                waiting, held = [], 0
        # whoever makes the blocks may use their arrays again
        waiting[-1:] = [join_rows([part]) for part in waiting[-1:]]
    if done != rows:
        raise ValueError(f"{done} rows of {rows}")


def _plain(facts: Mapping[str, str]) -> dict[str, str]:
    """Texts without control characters: they come from a product's or a model's metadata."""
    return {key: one_line(value) for key, value in facts.items()}


def _tags_of(path: Path) -> dict[str, str]:
    """The tags of a raster; {} of what is none."""
    try:
        with without_side_files(), rasterio.open(path) as dataset:
            return dict(dataset.tags())
    except rasterio.errors.RasterioIOError:
        return {}


def _is_of(tags: Mapping[str, str], header: MapHeader, record: Mapping[str, str]) -> bool:
    """Whether a file with ``tags`` is of the map that ``header`` and ``record`` describe."""
    scene = {name: str(value) for name, value in header.scene.items()}
    return tags.items() >= record.items() and scene_of(tags) == scene


def _files_of(out: Path) -> set[Path]:
    """The files that the tags of the map at ``out`` name, as far as they are there, and its own."""
    old = present(out)
    if old is None:
        return set()
    try:
        names = list(json.loads(_tags_of(old).get("GEOLULC_FILES", "[]")))
    except (ValueError, TypeError, RecursionError):
        return set()
    stem = out.stem
    # only names of the shape we write, so that no tag can point elsewhere
    return {
        path
        for name in names
        if isinstance(name, str)
        and name.startswith(stem)
        and Path(name).name == name
        and (found := present(path := out.with_name(name))) is not None
        and found.is_file()
        and is_own_file(found, [old])
    }


def _stale_sidecars(paths: Iterable[Path]) -> set[Path]:
    written = set(paths)
    return {
        sidecar
        for path in written
        if path.suffix.lower() in (".tif", ".tiff", ".gpkg")
        for ending in _SIDECARS
        if (sidecar := path.with_name(path.name + ending)) not in written and sidecar.is_file()
    }
