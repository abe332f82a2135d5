"""One scene → land cover: decoding, inference and what lies between, overlapped."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.grid import MapGrid
from geolulc.landcover_map import LandCoverMap
from geolulc.mapping.devices import choose_device
from geolulc.mapping.inference import Ensemble, NetworkStrip
from geolulc.mapping.shares import clear_share, valid_share
from geolulc.mapping.strips import StripReader
from geolulc.mapping.workers import Workers
from geolulc.nets import Model
from geolulc.products import Product, open_product, unpacked

Progress = Callable[[int, int], None]

#: Inference comes before decoding: it frees the memory that decoding ahead takes.
_INFERENCE: Final = 0


def predict_scene(
    scene: Product | Path | str,
    model: Model | Sequence[Model],
    *,
    stride: int = 1200,
    min_valid: float = 0.5,
    mask_scl: Sequence[int] = (),
    device: str = "auto",
    threads: int | None = None,
    batch_size: int | None = None,
    tta: bool = False,
    progress: Progress | None = None,
) -> LandCoverMap:
    """Land cover of a Sentinel-2 L2A scene.

    Every JP2 tile is decoded once, whatever the stride; decoding and inference share the cores.

    Args:
        scene: a product, or the path of one.
        model: the model, or several of the same classes, whose probabilities are averaged.
        stride: side of a cell in metres, a multiple of 120 up to the model's patch (1200).
        min_valid: cells with a smaller share of valid pixels in their patch become nodata (NaN).
        mask_scl: scene classification codes whose share makes ``clear``; empty: not read.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        threads: threads for decoding and, on a CPU, inference; None: the cores there are.
        batch_size: patches in a batch; None: by device and threads.
        tta: average over the eight flips and quarter turns (eight times the inference).
        progress: called with (cells done, cells in all).

    Returns:
        Probabilities float32 (class, row, column) in 0..1, NaN in nodata cells, with the valid
        and clear share of each cell.

    Raises:
        ProductError: the product cannot be used.
        ParameterError: an argument is out of range.
    """
    models = [model] if isinstance(model, Model) else list(model)
    if not models:
        raise ParameterError("model", found="none", expected="at least one", remedy="Give one.")
    if not 0 <= min_valid <= 1:
        raise ParameterError(
            "min-valid", found=min_valid, expected="a share in 0..1", remedy="The default is 0.5."
        )
    product = scene if isinstance(scene, Product) else open_product(Path(scene))
    grid = MapGrid(product.grid, stride, models[0].net.patch_size)
    threads = max(1, threads or len(os.sched_getaffinity(0)))
    chosen = choose_device(device)
    ensemble = Ensemble(models, chosen, offsets=product.offsets, test_time_augmentation=tta)
    on_cpu = chosen.type == "cpu"
    size = batch_size or (min(32, max(8, 64 // threads)) if on_cpu else 512)
    with ExitStack() as stack:
        ready = stack.enter_context(unpacked(product))
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        if on_cpu:
            # one thread a batch, as many batches as threads: no thread waits for another
            torch.set_num_threads(1)
        decoders = stack.enter_context(Workers(threads))
        networks = decoders if on_cpu else stack.enter_context(Workers(1))
        reader = StripReader(ready, grid, decoders, scl=bool(mask_scl))
        return _Mapper(grid, ensemble, reader, networks, product, models).run(
            size, min_valid, mask_scl, progress
        )


class _Mapper:
    """The loop over rows of cells, with a bounded number of batches under way."""

    def __init__(
        self,
        grid: MapGrid,
        ensemble: Ensemble,
        reader: StripReader,
        networks: Workers,
        product: Product,
        models: Sequence[Model],
    ) -> None:
        self._grid, self._ensemble, self._reader = grid, ensemble, reader
        self._networks, self._product, self._models = networks, product, models
        shape = (len(ensemble.classes), *grid.shape)
        self._probabilities = np.full(shape, np.nan, np.float32)
        self._under_way: deque[tuple[int, NDArray[np.intp], Future[NDArray[np.float32]]]] = deque()

    def run(
        self,
        batch_size: int,
        min_valid: float,
        mask_scl: Sequence[int],
        progress: Progress | None,
    ) -> LandCoverMap:
        grid = self._grid
        valid = np.zeros(grid.shape, np.float32)
        clear = np.zeros(grid.shape, np.float32)
        lefts = np.array([grid.patch_left(column) for column in range(grid.shape[1])])
        has_scl = False
        for row in self._reader.rows:
            strip = self._reader.read(row)
            valid[row] = valid_share(strip.dn, lefts, grid.patch_size)
            if strip.scl is not None:
                has_scl = True
                clear[row] = clear_share(strip.scl, lefts, grid.patch_size, mask_scl)
            columns = np.flatnonzero((valid[row] >= min_valid) & (valid[row] > 0))
            if columns.size:
                strips = self._ensemble.prepare(strip.dn)
                for batch in np.array_split(columns, -(-columns.size // batch_size)):
                    self._submit(row, batch, strips, lefts)
            if progress is not None:
                progress((row + 1) * grid.shape[1], grid.shape[0] * grid.shape[1])
        while self._under_way:
            self._collect()
        return LandCoverMap(
            grid=grid,
            classes=self._ensemble.classes,
            nomenclature=self._ensemble.nomenclature,
            probabilities=self._probabilities,
            valid=valid,
            clear=clear if has_scl else None,
            thresholds=self._ensemble.thresholds,
            scene=self._product.scene,
            model={
                "name": " + ".join(m.name for m in self._models),
                "sha256": " ".join(m.sha256 for m in self._models),
            },
        )

    def _submit(
        self,
        row: int,
        columns: NDArray[np.intp],
        strips: list[NetworkStrip],
        lefts: NDArray[np.int64],
    ) -> None:
        while len(self._under_way) >= 2 * len(self._networks):
            self._collect()
        task = partial(self._ensemble.probabilities, strips, lefts[columns].tolist())
        future = self._networks.submit(_INFERENCE, f"inference on row {row}", task)
        self._under_way.append((row, columns, future))

    def _collect(self) -> None:
        row, columns, future = self._under_way.popleft()
        self._probabilities[:, row, columns] = self._networks.result(future).T
