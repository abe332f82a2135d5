"""Half precision stays close to float32, and digital numbers reach a device as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_nets import make_net
from made_product import Means, make_model, make_product
from make_scene import make_landscape
from torch import nn

from geolulc.errors import ParameterError
from geolulc.mapping import MapOptions, Mapper, predict_scene
from geolulc.mapping.inference import inference_type, to_device, widened
from geolulc.nets import Model, load_checkpoint, shipped_model

#: Of probabilities, for a map to count as the same.
BOUND = 5e-3


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    return make_product(tmp_path_factory.mktemp("land"), make_landscape(4800, seed=4).bands)


@pytest.fixture(scope="module")
def shipped():
    return load_checkpoint(shipped_model())


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("options", [{}, {"stride": 600, "overlap": "shared"}], ids=str)
def test_probabilities_of_the_shipped_model_stay_close(product, shipped, precision, options):
    exact, half = (
        predict_scene(product, shipped, device="cpu", precision=p, **options).block.probabilities
        for p in ("float32", precision)
    )
    assert half.dtype == np.float32
    assert np.ptp(exact, axis=(1, 2)).max() > 0.3  # there is something to tell
    assert 0 < np.abs(half - exact).max() < BOUND


def test_auto_is_float32_on_a_cpu(product, shipped):
    auto, exact = (
        predict_scene(product, shipped, device="cpu", precision=p).block.probabilities
        for p in ("auto", "float32")
    )
    np.testing.assert_array_equal(auto, exact)
    assert inference_type("auto", torch.device("mps")) is None
    assert inference_type("auto", torch.device("cuda")) is torch.float16


class Large(nn.Module):
    """Its sum is beyond the largest float16 in between; the logit is small."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = nn.Linear(120, 1, bias=False)
        nn.init.constant_(self.sum.weight, 1.0)

    def forward(self, x10, x20, x60):
        return self.sum(x10[:, 2, 0])[:, :1] / 1e6


def test_what_fp16_cannot_hold_is_computed_in_float32(tmp_path, caplog):
    product = make_product(tmp_path)  # 120 × 1500 = 180,000
    exact, half = (
        predict_scene(product, make_model(Large()), device="cpu", mask_scl=(), precision=p)
        for p in ("float32", "fp16")
    )
    assert exact.block.probabilities[0, 0, 0] == pytest.approx(1 / (1 + np.exp(-0.18)), abs=1e-6)
    np.testing.assert_array_equal(half.block.probabilities, exact.block.probabilities)
    assert "too large for torch.float16: in float32 again" in caplog.text


def test_every_digital_number_reaches_a_device_as_it_is():
    dn = np.arange(65536, dtype=np.uint16).reshape(2, 128, 256)[:, 1::3]
    expected = torch.from_numpy(dn.astype(np.int32))
    assert torch.equal(to_device(dn, torch.device("cpu")), expected)
    # as on a GPU, without the way there
    assert torch.equal(widened(torch.from_numpy(dn.view(np.int16))), expected)


def test_onnx_runtime_is_float32():
    with pytest.raises(ParameterError, match="fp16 with runtime onnx"):
        MapOptions(runtime="onnx", precision="fp16")


def test_precisions_have_names():
    with pytest.raises(ParameterError, match="'half'; expected auto, float32, fp16 or bf16"):
        MapOptions(precision="half")


def test_cells_inside_patches_and_pixels_are_float32():
    options = MapOptions(resolution=160, precision="bf16", device="cpu")
    with pytest.raises(ParameterError, match="precision bf16, tta False; expected exact patches"):
        Mapper([make_model(Means())], options)
    options = MapOptions(precision="fp16", device="cpu")
    with pytest.raises(ParameterError, match=r"precision fp16 for a model of pixels"):
        Mapper([Model(make_net(task="pixel").eval())], options)
