"""Memory does not grow with the scene, and what is not needed any more is let go."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import torch
from made_nets import make_net
from made_product import make_product, position_bands, random_bands

from geolulc.bands import BAND_NAMES, GROUPS, RESOLUTIONS
from geolulc.grid import TileGrid
from geolulc.mapping.inference import Ensemble
from geolulc.mapping.strips import StripReader
from geolulc.mapping.window_inference import cut
from geolulc.mapping.windows import WindowGrid
from geolulc.mapping.workers import Workers
from geolulc.nets import Model
from geolulc.products import Product, open_product

WIDTH = 1200


def rows_of(product: Product) -> WindowGrid:
    """Rows of 1200 m, of which the last of each tile may be shorter."""
    return WindowGrid(product.grid, 1200, 0, 0)


class TestStrips:
    def test_hold_the_pixels_of_their_rows(self, tmp_path):
        """Rows of tiles are used again for others; the last row of tiles is shorter."""
        bands = position_bands(WIDTH, 14_400)
        product = open_product(make_product(tmp_path, bands))
        with (
            Workers(2) as workers,
            product.opened(BAND_NAMES) as images,
            StripReader(images, GROUPS, rows_of(product), workers) as reader,
        ):
            assert len(reader.rows) == 12
            for row in reader.rows:
                strip = reader.read(row)
                for r in RESOLUTIONS:
                    lines = slice(row * 1200 // r, (row + 1) * 1200 // r)
                    expected = np.stack([bands[name][lines] for name in GROUPS[r]])
                    np.testing.assert_array_equal(strip.dn[r], expected)

    def test_memory_does_not_grow_with_the_scene(self, tmp_path):
        peaks = []
        for height in (14_400, 43_200):
            folder = tmp_path / str(height)
            product = open_product(make_product(folder, random_bands(WIDTH, height)))
            tracemalloc.start()
            with (
                Workers(2) as workers,
                product.opened(BAND_NAMES) as images,
                StripReader(images, GROUPS, rows_of(product), workers, memory=1) as reader,
            ):
                for row in reader.rows:
                    reader.read(row)
                peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.2 * peaks[0]


def test_a_window_does_not_hold_its_strip():
    tile = TileGrid("EPSG:32632", 0, 0, 15_000, 15_000)
    windows = WindowGrid(tile, 4800, 480, 60)
    shapes = {r: (len(GROUPS[r]), windows.side // r, 15_000 // r) for r in RESOLUTIONS}
    dn = {r: np.ones(shape, np.uint16) for r, shape in shapes.items()}
    for column in range(windows.shape[1]):
        for resolution, part in cut(dn, windows, 1, column).items():
            assert part.shape[1:] == (windows.side // resolution,) * 2
            assert not np.shares_memory(part, dn[resolution])


def test_the_weights_before_folding_are_let_go():
    model = Model(make_net().eval())
    before = convolutions()
    gc.disable()
    try:
        ensemble = Ensemble([model], torch.device("cpu"))
        after = convolutions()
    finally:
        gc.enable()
    own = sum(isinstance(x, torch.nn.Conv2d) for x in model.net.modules())
    assert ensemble.classes == model.net.classes
    assert after - before == own


def convolutions() -> int:
    return sum(issubclass(type(x), torch.nn.Conv2d) for x in gc.get_objects())
