"""Two overlapping products of one landscape, mapped apart and put together: no seam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_nets import make_net
from made_product import make_product, random_bands

from geolulc.bands import BANDS
from geolulc.mapping import MapOptions, map_scenes
from geolulc.mosaics import MosaicOptions, MosaicOutput, make_mosaic
from geolulc.nets import Model
from geolulc.outputs import read_map
from geolulc.outputs.options import OutputOptions

WIDTH, HEIGHT, STRIDE = 7_200, 2_400, 240
FEW = ("probabilities", "uncertainty")


def cut(folder: Path, tile: str, first: int, last: int) -> Path:
    """The landscape from ``first`` to ``last`` metres from its left, as a product."""
    whole = random_bands(WIDTH, HEIGHT)
    bands = {b.name: whole[b.name][:, first // b.resolution : last // b.resolution] for b in BANDS}
    return make_product(folder, bands, tile=tile, ulx=600_000 + first)


def test_two_products_cut_from_one_landscape(tmp_path: Path) -> None:
    scenes = [
        cut(tmp_path, "32TPS", 0, WIDTH),
        cut(tmp_path, "32TQS", 0, 4_800),
        cut(tmp_path, "32TRS", 2_400, WIDTH),
    ]
    model = Model(make_net().eval(), name="made", sha256="0" * 64)
    options = MapOptions(stride=STRIDE, device="cpu", threads=1, mask_scl=frozenset())
    results = map_scenes(scenes, tmp_path / "maps", [model], options, output=OutputOptions(FEW))
    whole, *parts = [result.files["probabilities"] for result in results]
    out = tmp_path / "mosaic.tif"
    output = MosaicOutput((*FEW, "observations"))
    assert make_mosaic(parts, out, MosaicOptions(), output).copied
    found, expected = read_map(out).probabilities, read_map(whole).probabilities
    # what the rule is for: near their inner edges the parts saw other ground than the whole did
    west = read_map(parts[0]).probabilities
    assert np.abs(west[:, :, -2:] - expected[:, :, 18:20]).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-6)
