"""The rasters of a map, written together block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from geolulc.maps.encoding import ENCODINGS
from geolulc.maps.header import MapHeader
from geolulc.outputs.layers import Layer, RankedBlock, codes, confidence, everything
from geolulc.outputs.rasters import Band, RasterPlan, RasterWriter, scratch_raster, write_block
from geolulc.outputs.vectors import VectorSources


class MapRasters:
    """The layers of a map as files. Use as a context.

    Polygons are made from rasters too. Those that are no output are written into hidden files,
    which vanish with the folder in which a map is staged.
    """

    def __init__(
        self,
        header: MapHeader,
        layers: Mapping[str, Layer],
        targets: Mapping[str, Path],
        *,
        cells: bool,
    ) -> None:
        """``layers``: output → raster; ``cells``: each cell gets a polygon."""
        self._header, self._layers, self._targets = header, layers, targets
        self._writers: dict[str, RasterWriter] = {}
        self._scratch: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        if "vectors" in targets:
            self._values = {"classes": codes, "confidence": confidence}
            if cells:
                self._values["cells"] = everything
            for name in self._values.keys() & self._layers.keys():
                # of a mosaic of cells the confidence is another quantity
                if name == "classes" or header.exclusive:
                    del self._values[name]
        self._stack = ExitStack()

    def __enter__(self) -> MapRasters:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, cells: RankedBlock) -> None:
        """Write the next block into all rasters."""
        if not self._writers and not self._scratch:
            self._open(cells)
        row, column = cells.block.row, cells.block.column
        for name, writer in self._writers.items():
            writer.write(row, column, self._layers[name].values(cells))
        for name, scratch in self._scratch.items():
            write_block(scratch, row, column, self._values[name](cells))

    def _open(self, first: RankedBlock) -> None:
        for name, layer in self._layers.items():
            writer = RasterWriter(self._targets[name], layer.plan(first))
            self._writers[name] = self._stack.enter_context(writer)
        folder = next(iter(self._targets.values())).parent
        for name, values in self._values.items():
            made = values(first)
            encoded = name != "classes"
            nodata = ENCODINGS[made.dtype.name].nodata if encoded else self._header.no_class
            plan = RasterPlan(self._header.grid, [Band("")] * len(made), made.dtype.name, nodata)
            scratch = scratch_raster(folder / f".{name}.tif", plan)
            self._scratch[name] = self._stack.enter_context(scratch)

    @contextmanager
    def finished(
        self, tags: Mapping[str, str], thread: ThreadPoolExecutor
    ) -> Iterator[VectorSources | None]:
        """Make the files; meanwhile the context has the rasters that polygons are made from.

        These are finished first, the others in ``thread``.

        Raises:
            ValueError: no block was written.
        """
        if (self._layers or self._values) and not (self._writers or self._scratch):
            raise ValueError("a map without a block")
        for scratch in self._scratch.values():
            scratch.close()
        vectors = "vectors" in self._targets
        # without polygons to be made meanwhile a thread gains nothing, and takes memory of its own
        first = (
            self._writers.keys() & {"classes", "confidence"} if vectors else self._writers.keys()
        )
        for name in first:
            self._finish(name, tags)
        others = [thread.submit(self._finish, name, tags) for name in self._writers.keys() - first]
        yield self._sources if vectors else None
        for other in others:
            other.result()

    def _finish(self, name: str, tags: Mapping[str, str]) -> None:
        self._writers[name].finish({**tags, "GEOLULC_FILE": name})

    @property
    def _sources(self) -> VectorSources:
        paths = {name: Path(scratch.name) for name, scratch in self._scratch.items()}
        classes = paths.get("classes") or self._targets["classes"]
        return VectorSources(
            classes, paths.get("confidence") or self._targets["confidence"], paths.get("cells")
        )
