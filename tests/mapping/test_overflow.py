"""Finite weights whose numbers are too large for float32: said, and never a probability."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import torch
from made_nets import make_net
from made_pixel_nets import RED, Itself, make_pixel_model, without
from made_product import Means, flat_bands, make_model, make_product

from geolulc.errors import CheckpointError, ParameterError
from geolulc.mapping import MapOptions, map_scenes, predict_scene
from geolulc.nets import Model
from geolulc.outputs.options import OutputOptions

OPTIONS = MapOptions(device="cpu", mask_scl=())
BRIGHT = 9000


def bright(quarters: int):
    """Bands of 2400 m, of which so many quarters are bright."""
    bands = flat_bands()
    for quarter in range(quarters):
        row, column = divmod(quarter, 2)
        side = len(bands["B04"]) // 2
        bands["B04"][row * side :, column * side :][:side, :side] = BRIGHT
    return bands


class TooLarge(Means):
    """Infinite where the patch is bright."""

    def forward(self, x10, x20, x60):
        red = x10[:, RED].mean(dim=(1, 2))[:, None]
        return super().forward(x10, x20, x60) * torch.where(red > BRIGHT / 2, 3e38, 1.0) ** 2


class TooLargePixels(Itself):
    def forward(self, x10, x20, x60, border=0):
        red = without(x10[:, RED : RED + 1], border)
        return super().forward(x10, x20, x60, border) * torch.where(red > BRIGHT / 2, 3e38, 1) ** 2


MODELS = {
    "patches": (lambda: make_model(TooLarge()), {}),
    "shared stretches": (lambda: make_model(TooLarge()), {"stride": 600}),
    "pixels": (lambda: make_pixel_model(TooLargePixels()), {}),
    "coarser pixels": (lambda: make_pixel_model(TooLargePixels()), {"resolution": 20}),
}


@pytest.mark.parametrize("kind", MODELS)
def test_cells_without_a_number_are_told(tmp_path, caplog, kind):
    make, choices = MODELS[kind]
    product = make_product(tmp_path, bright(1))
    found = predict_scene(product, make(), options=OPTIONS, **choices).block.probabilities
    rows, columns = found.shape[1:]
    lost = np.isnan(found).any(axis=0)
    assert lost[: rows // 2, : columns // 2].all()
    assert not lost[-1].any()
    assert np.isfinite(found[:, ~lost]).all()
    (message,) = [r.getMessage() for r in caplog.records if r.name.startswith("geolulc")]
    assert f"too large for float32 in {lost.sum()} " in message
    assert f" {100 * lost.mean():.1f} % of those with data" in message


@pytest.mark.parametrize("kind", MODELS)
def test_a_map_without_most_of_its_cells_is_refused(tmp_path, kind):
    make, choices = MODELS[kind]
    product = make_product(tmp_path, bright(3))
    with pytest.raises(CheckpointError, match=r"cannot hold in [6-9]\d\.\d% of the .*at most 50%"):
        predict_scene(product, make(), options=OPTIONS, **choices)


@pytest.mark.parametrize(
    ("resolution", "error", "message"),
    [
        (None, CheckpointError, r"in 100\.0% of the cells"),
        (160, ParameterError, "numbers that float32 cannot hold"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_real_network(tmp_path, resolution, error, message):
    """Its weights are finite, and it would say 0 and 1 with certainty."""
    net = make_net().eval()
    with torch.no_grad():
        net.fusion.backbone.get_classifier().weight.mul_(1e38).sign_().mul_(3e38)
    product = make_product(tmp_path)
    with pytest.raises(error, match=message):
        predict_scene(product, Model(net), options=OPTIONS, resolution=resolution)


def test_the_map_says_it_and_a_refused_one_is_not_there(tmp_path):
    product = make_product(tmp_path / "one", bright(1))
    out = tmp_path / "map.tif"
    map_scenes([product], out, [make_model(TooLarge())], OPTIONS, output=OutputOptions())
    with rasterio.open(out) as dataset:
        tags = dataset.tags()
    assert (tags["OVERFLOWN_CELLS"], tags["MAPPED_CELLS"]) == ("1", "3")
    product = make_product(tmp_path / "two", bright(4))
    folder = tmp_path / "maps"
    folder.mkdir()
    with pytest.raises(CheckpointError, match=r"in 100\.0% of the cells"):
        map_scenes(
            [product], folder / "map.tif", [make_model(TooLarge())], OPTIONS, output=OutputOptions()
        )
    assert list(folder.iterdir()) == []
