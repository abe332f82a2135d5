"""Networks that say the class of every pixel."""

from __future__ import annotations

import pytest
import torch
from made_nets import make_net, make_patches
from torch import Tensor

from geolulc.bands import GROUPS, RESOLUTIONS
from geolulc.errors import ParameterError
from geolulc.nets import Calibration, Model, load_checkpoint, save_checkpoint
from geolulc.nets.description import describe_net
from geolulc.nets.pixel_decoder import pad_to
from geolulc.nets.shipped import shipped_models

FUSIONS = ("early", "intermediate", "late")


def window(height: int, width: int, seed: int = 0) -> list[Tensor]:
    """Random digital numbers of a window of so many metres."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randint(1, 5000, (1, len(GROUPS[r]), height // r, width // r), generator=generator)
        for r in RESOLUTIONS
    ]


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet"])
def test_each_pixel_of_10_m_has_logits_of_each_class(fusion, backbone, tmp_path) -> None:
    net = make_net(task="pixel", fusion=fusion, backbone=backbone).eval()
    patches = make_patches()
    with torch.no_grad():
        logits = net(*patches)
        wide = net(*window(960, 1860))
    assert logits.shape == (2, 19, 120, 120)
    assert wide.shape == (1, 19, 96, 186)
    model = Model(net, calibration=Calibration(2.0), name="pixels")
    p = model.probabilities(logits)
    assert torch.allclose(p.sum(dim=1), torch.ones(2, 120, 120), atol=1e-6)
    assert torch.allclose(p, torch.softmax(logits / 2, dim=1))
    save_checkpoint(tmp_path / "model.safetensors", model)
    loaded = load_checkpoint(tmp_path)
    assert loaded.net.task == "pixel"
    with torch.no_grad():
        assert torch.equal(loaded.net(*patches), logits)


@pytest.mark.parametrize(("fusion", "multiple"), [("early", 960), ("late", 1920)])
def test_windows_of_its_multiple_are_not_padded(fusion, multiple, monkeypatch) -> None:
    net = make_net(task="pixel", fusion=fusion).eval()
    assert net.pixel_multiple == multiple
    assert net.margin > 0
    assert net.margin % 60 == 0

    def refuse(*_, **__):
        raise AssertionError("padded")

    monkeypatch.setattr("geolulc.nets.pixel_decoder.functional.pad", refuse)
    with torch.no_grad():
        net(*window(multiple, 2 * multiple))
        with pytest.raises(AssertionError, match="padded"):
            net(*window(1200, 1200))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_a_pixel_says_hangs_on_the_ground_around_it(fusion) -> None:
    """In every group, the gradient of a pixel's logits is centred on it, whatever is padded."""
    net = make_net(task="pixel", fusion=fusion).eval()
    groups = [x.requires_grad_() for x in net.preprocess(*make_patches(1))]
    for row, column in ((42, 78), (66, 54)):
        logits = net.classify(*groups)
        found = torch.autograd.grad(logits[0, :, row, column].square().sum(), groups)
        for resolution, gradient in zip(RESOLUTIONS, found, strict=True):
            weight = gradient[0].abs().sum(dim=0)
            step = resolution // 10
            places = (torch.arange(weight.shape[-1]) + 0.5) * step
            for axis, wanted in ((1, row + 0.5), (0, column + 0.5)):
                # the mean of what lies near: far away there is little, but much of it
                profile = weight.sum(dim=axis).square()
                centre = float((profile * places).sum() / profile.sum())
                assert abs(centre - wanted) < 8, (fusion, resolution, row, column)


def test_far_from_the_border_a_window_says_what_a_larger_one_does() -> None:
    net = make_net(task="pixel").eval()
    large = window(2880, 2880)
    step = net.pixel_multiple
    part = [b[..., step // r : 2 * step // r, step // r : 2 * step // r] for b, r in
            zip(large, RESOLUTIONS, strict=True)]  # fmt: skip
    model = Model(net)
    with torch.no_grad():
        whole = model.probabilities(net(*large))[..., step // 10 : 2 * step // 10,
                                                 step // 10 : 2 * step // 10]  # fmt: skip
        alone = model.probabilities(net(*part))
    difference = (whole - alone).abs().amax(dim=(0, 1))
    margin = net.margin // 10
    inside = difference[margin:-margin, margin:-margin]
    assert inside.mean() < 0.5 * difference.mean()


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet"])
@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_a_border_that_no_one_asks_for_changes_nothing_inside(fusion, backbone, upsampling) -> None:
    net = make_net(
        task="pixel", fusion=fusion, backbone=backbone, upsampling=upsampling, seed=7
    ).eval()
    # of the network's multiple, and not
    for height, width in ((1920, 1920), (1860, 2100)):
        groups = net.preprocess(*window(height, width))
        with torch.no_grad():
            everything = net.classify(*groups)
            for border in (60, 360, 600):
                part = net.classify(*groups, border=border)
                inside = slice(border // 10, -(border // 10))
                assert part.shape[-2:] == ((height - 2 * border) // 10, (width - 2 * border) // 10)
                torch.testing.assert_close(
                    part, everything[..., inside, inside], atol=1e-5, rtol=1e-5
                )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_rows_are_computed_as_all_at_once(fusion, monkeypatch) -> None:
    net = make_net(task="pixel", fusion=fusion, seed=7).eval()
    groups = net.preprocess(*window(1860, 1020))
    with torch.no_grad():
        by_rows = net.classify(*groups)
        monkeypatch.setattr("geolulc.nets.pixel_fusions._ROWS", 1000)
        at_once = net.classify(*groups)
    torch.testing.assert_close(by_rows, at_once, atol=1e-5, rtol=1e-5)


def test_patch_weights_start_a_pixel_network(tmp_path) -> None:
    from made_nets import NORMALISATION

    from geolulc.nets import NetConfig, build_net
    from geolulc.nomenclature import BEN19

    patch = make_net(seed=3)
    save_checkpoint(tmp_path / "patch.safetensors", Model(patch))
    first = make_net(seed=4, task="pixel")
    save_checkpoint(tmp_path / "pixel.safetensors", Model(first))
    for source, weights in (("patch", patch), ("pixel", first)):
        net = build_net(
            NetConfig(backbone="test_resnet", task="pixel"),
            classes=BEN19.names,
            nomenclature="ben19",
            normalisation=NORMALISATION,
            pretrained=tmp_path / f"{source}.safetensors",
            seed=5,
        )
        own, given = net.fusion.backbone.state_dict(), weights.fusion.backbone.state_dict()
        assert all(torch.allclose(own[k], given[k], atol=1e-6) for k in own)


def test_the_shallow_trunk_sees_little() -> None:
    net = make_net(task="pixel", trunk="shallow")
    assert (net.pixel_multiple, net.margin) == (240, 120)
    assert net(*make_patches()).shape == (2, 19, 120, 120)


def test_attention_acts_on_the_coarsest_map() -> None:
    net = make_net(task="pixel", attention="cbam")
    assert net(*make_patches()).shape == (2, 19, 120, 120)


def test_padding_repeats_the_border_alike_on_both_sides() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3)
    padded, inside = pad_to(x, 4)
    assert padded.shape == (1, 1, 4, 4)
    assert torch.equal(padded[(..., *inside)], x)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 2]
    same, _ = pad_to(x, 1)
    assert same is x


def test_a_description_tells_the_task() -> None:
    described = describe_net(make_net(task="pixel"))
    assert described["task"] == "pixel"
    assert (described["window_multiple"], described["window_margin"]) == (960, 360)
    assert describe_net(make_net())["task"] == "patch"


def test_checkpoints_of_before_are_of_patches() -> None:
    net = load_checkpoint(shipped_models()["bigearthnet-few-patches"]).net
    assert (net.task, net.pixel_multiple, net.margin) == ("patch", 0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_correlation": "on"}, "label_correlation on"),
        ({"image_size": 64}, "image_size"),
        ({"backbone": "vit_tiny_patch16_224"}, "one resolution only"),
        ({"task": "pixels"}, "one of patch, fraction, pixel"),
    ],
)
def test_what_pixels_cannot_have_is_said(options, message) -> None:
    with pytest.raises(ParameterError, match=message):
        make_net(**{"task": "pixel", **options})


def test_the_graph_for_deepness_says_what_the_network_does(tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from geolulc.nets.onnx_export import DeepnessGraph, export_onnx

    net = make_net(task="pixel", trunk="shallow").eval()
    model = Model(net, calibration=Calibration(1.5, shifts=(0.5,) * 18 + (-2.0,)), name="pixels")
    export_onnx(model, tmp_path / "model.onnx", form="deepness")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    image = torch.rand(3, 12, 120, 120, generator=torch.Generator().manual_seed(0))
    (found,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        expected = DeepnessGraph(model)(image)
    assert found.shape == (3, 19, 120, 120)
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4)
    # pixels differ: a patch model says the same of all
    assert found.std(axis=(2, 3)).max() > 0
