"""Networks of Dynamic World's layers, trained here; reflectance by its logarithm."""

from __future__ import annotations

import math

import pytest
import torch
from made_nets import NORMALISATION, make_net, make_patches

from geolulc.bands import Band, Sensor
from geolulc.errors import CheckpointError, ParameterError
from geolulc.nets import Model, NetConfig, build_net, load_checkpoint, save_checkpoint
from geolulc.nets.folding import fold_batch_norm
from geolulc.nets.normalisation import Normalisation
from geolulc.nomenclature import BEN19

SMALL = {"task": "pixel", "backbone": "dynamicworld_small", "reflectance": "log"}


def settled(**options) -> torch.nn.Module:
    """A network whose batch norms have seen patches."""
    net = make_net(**SMALL | options)
    for seed in range(3):
        net(*make_patches(seed=seed))
    return net.eval()


def test_a_checkpoint_says_the_same_again(tmp_path) -> None:
    net, patches = settled(), make_patches()
    save_checkpoint(tmp_path / "model.safetensors", Model(net))
    loaded = load_checkpoint(tmp_path).net
    assert loaded.config == net.config
    with torch.no_grad():
        logits = net(*patches)
        assert logits.shape == (2, 19, 120, 120)
        assert torch.equal(loaded(*patches), logits)


def test_a_border_left_out_and_norms_folded_change_nothing() -> None:
    net, patches = settled(), make_patches()
    with torch.no_grad():
        inputs = net.preprocess(*patches)
        every = net.classify(*inputs)
        assert torch.equal(net.classify(*inputs, border=net.margin), every[..., 24:-24, 24:-24])
        folded = fold_batch_norm(net)
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
        torch.testing.assert_close(folded.classify(*inputs), every, atol=1e-5, rtol=1e-5)


def test_a_pixel_hangs_on_the_ground_within_the_margin_alone() -> None:
    net, patches = settled(), make_patches()
    inputs = [x.clone().requires_grad_() for x in net.preprocess(*patches)]
    net.classify(*inputs)[0, :, 60, 60].sum().backward()
    reached = inputs[0].grad[0].abs().sum(dim=0).nonzero()
    assert net.margin == 240
    assert reached.min() >= 60 - 24
    assert reached.max() <= 60 + 24
    assert reached.min() < 60 - 18  # and the margin is no larger than it must be


def test_pixels_of_odd_numbers_a_coarsest_pixel_are_classified() -> None:
    sensor = Sensor("odd", (Band("red", 30, 665.0), Band("warm", 90, 1600.0)))
    net = build_net(
        NetConfig(**SMALL),
        classes=BEN19.names,
        nomenclature=BEN19,
        normalisation=Normalisation({"red": 900, "warm": 900}, {"red": 300, "warm": 300}),
        bands=sensor.groups,
        sensor=sensor,
        patch_size=1800,
    ).eval()
    assert net.pixel_multiple == 180
    assert net.margin % 180 == 0
    with torch.no_grad():
        assert net(torch.full((1, 1, 9, 15), 800), torch.full((1, 1, 3, 5), 800)).shape[2:] == (
            9,
            15,
        )


def test_reflectance_is_taken_by_its_logarithm() -> None:
    net = make_net(**SMALL)
    b10, b20, b60 = (torch.full((1, *shape), 1000) for shape in net.shapes)
    b10[0, 0, 0, 0] = 0
    x = net.preprocess(b10, b20, b60)[0]
    mean, std = NORMALISATION.mean["B02"], NORMALISATION.std["B02"]
    expected = (math.log1p(1000 / 200) - math.log1p(mean / 200)) / (std / (200 + mean))
    assert x[0, 0, 5, 5].item() == pytest.approx(expected, rel=1e-5)
    assert x[0, :, 0, 0].abs().max() == 0  # no data is the mean
    # a change of reflectance is one of reflectance, whatever the layers take
    doubled = net.with_reflectance(net.preprocess(b10, b20, b60), lambda _, ground: 2 * ground)
    again = net.preprocess(b10 * 2, b20 * 2, b60 * 2)
    known = (..., slice(1, None), slice(1, None))  # the corner has no data
    torch.testing.assert_close(doubled[1][known], again[1][known], atol=1e-5, rtol=1e-5)


def test_weights_start_a_network_of_other_statistics(tmp_path) -> None:
    net, patches = settled(), make_patches()
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, Model(net))
    other = Normalisation(
        {name: 1.5 * value for name, value in NORMALISATION.mean.items()},
        {name: 0.7 * value for name, value in NORMALISATION.std.items()},
    )
    started = build_net(
        NetConfig(**SMALL),
        classes=BEN19.names,
        nomenclature=BEN19,
        normalisation=other,
        pretrained=file,
    ).eval()
    with torch.no_grad():
        own, theirs = (
            n.fusion.backbone.features(n.fusion.joined(*n.preprocess(*patches)))
            for n in (started, net)
        )
    # the border of the stem differs: what lies beyond it is another mean
    inside = (..., slice(16, -16), slice(16, -16))
    torch.testing.assert_close(own[inside], theirs[inside], atol=1e-4, rtol=1e-3)
    inner = make_net(
        backbone="dynamicworld_small", reflectance="log", pixel_classes=19, pretrained=file
    )
    assert torch.equal(
        inner.fusion.pixels.head.classifier.weight, net.fusion.head.classifier.weight
    )


def test_weights_of_the_other_reflectance_are_refused(tmp_path) -> None:
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, Model(settled()))
    with pytest.raises(CheckpointError, match="log reflectance; expected linear"):
        make_net(**SMALL | {"reflectance": "linear", "pretrained": file})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "patch"}, "backbone dynamicworld_small: found task 'patch'; expected 'pixel'"),
        ({"fusion": "late"}, "found fusion 'late'"),
        ({"trunk": "shallow"}, "found trunk 'shallow'"),
        ({"attention": "cbam"}, "found attention 'cbam'"),
        ({"drop_rate": 0.1}, "found drop_rate"),
    ],
)
def test_settings_that_its_layers_do_not_have(settings, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        NetConfig(**SMALL | settings)
