"""The three fusions on the backbones that they are meant for."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import torch
from made_nets import make_net, make_patches
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from geolulc.bands import GROUPS
from geolulc.errors import ParameterError
from geolulc.nets import Model, describe_net, load_checkpoint, save_checkpoint
from geolulc.nets.backbones import open_backbone
from geolulc.nets.resizing import resize
from geolulc.nets.stages import open_stages, run_modules

FUSIONS = ("early", "intermediate", "late")
BACKBONES = (
    "resnet18",
    "resnet50",
    *(f"efficientnet_b{i}" for i in range(6)),
    "convnextv2_atto",
)


def randomise(net: nn.Module) -> None:
    """No zeros and no ones: a block that starts as the identity would hide a wrong order."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in itertools.chain(net.parameters(), net.buffers()):
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                if tensor.ndim > 1:
                    tensor.copy_((noise - 0.5) * (4 / tensor[0].numel()) ** 0.5)
                else:
                    tensor.copy_(noise * 0.5 + 0.5)


@pytest.mark.parametrize("backbone", [*BACKBONES, "mobilenetv3_small_100", "densenet121"])
def test_a_backbone_laid_out_is_the_backbone(backbone: str) -> None:
    opened = open_backbone(backbone, in_chans=4, num_classes=3)
    layout = open_stages(backbone, opened, 4)
    model = opened.model.eval()
    randomise(model)
    x = torch.rand(1, 4, 120, 120)
    with torch.no_grad():
        assert torch.equal(run_modules(model, layout.modules, x), model.forward_features(x))
        for stage in layout.stages:
            features = run_modules(model, layout.modules[: stage.end], x)
            assert features.shape[1] == stage.channels
            assert abs(features.shape[2] - 120 / stage.stride) <= 2


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_in_every_fusion(fusion: str, backbone: str) -> None:
    net = make_net(fusion=fusion, backbone=backbone)
    logits = net(*make_patches())
    assert logits.shape == (2, 19)
    assert logits.dtype == torch.float32
    logits.square().sum().backward()
    # every parameter is used, or distributed training would wait for its gradient
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_band_reaches_the_logits(fusion: str) -> None:
    net = make_net(fusion=fusion).eval()
    randomise(net.fusion)
    inputs = [x.requires_grad_() for x in net.preprocess(*make_patches())]
    net.classify(*inputs).sum().backward()
    for resolution, x in zip(GROUPS, inputs, strict=True):
        gradient = x.grad.abs().sum(dim=(0, 2, 3))
        assert (gradient > 0).all(), resolution


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(
    "backbone",
    ["resnet18", "efficientnet_b0", "mobilenetv3_small_100", "convnextv2_atto", "densenet121"],
)
def test_every_part_of_a_patch_reaches_the_logits(backbone: str, fusion: str) -> None:
    """The share of the gradient's energy in each fifth of the patch, from west to east and so on.

    Strides that cut squares gave the last fifth 0.02 of it, in both axes.
    """
    net = make_net(fusion=fusion, backbone=backbone).eval()
    randomise(net.fusion)
    inputs = [x.requires_grad_() for x in net.preprocess(*make_patches())]
    net.classify(*inputs).square().sum().backward()
    for resolution, x in zip(GROUPS, inputs, strict=True):
        energy = x.grad.double().square().sum(dim=(0, 1))
        for axis in (0, 1):
            shares = energy.sum(dim=axis).reshape(5, -1).sum(dim=1) / energy.sum()
            # 60 pixels become 2: of trunks that pad, the last one lies at 640 m and sees less of
            # what is far beyond it; nothing is cut
            assert shares.min() > (0.04 if resolution == 10 else 0.01), (resolution, shares)


@pytest.mark.parametrize(
    ("backbone", "options", "sizes"),
    [
        ("resnet18", {"fusion": "late"}, [120, 60, 20]),
        ("convnextv2_atto", {"fusion": "early"}, [128]),
        ("convnextv2_atto", {"fusion": "early", "trunk": "shallow"}, [120]),
        ("convnextv2_atto", {"fusion": "intermediate"}, [128]),
        ("convnextv2_atto", {"fusion": "late"}, [128, 64, 24]),
        ("convnextv2_atto", {"fusion": "late", "image_size": 120}, [120, 60, 20]),
        ("densenet121", {}, [128]),
    ],
)
def test_images_are_multiples_of_strides_that_do_not_pad(
    backbone: str, options: dict[str, Any], sizes: list[int]
) -> None:
    with torch.device("meta"):
        net = make_net(backbone=backbone, **options)
    found = [m.image_size for m in net.fusion.modules() if hasattr(m, "image_size")]
    assert found == sizes


@pytest.mark.parametrize(
    ("older", "fusion", "size"), [(0, "early", 120), (64, "early", 64), (64, "late", 120)]
)
def test_checkpoints_of_version_1_keep_their_geometry(
    older: int, fusion: str, size: int, tmp_path: Any
) -> None:
    # as version 1 had it: images of 120 pixels, whatever the strides
    net = make_net(backbone="convnextv2_atto", fusion=fusion, image_size=size).eval()
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, Model(net))
    with safe_open(path, framework="pt") as handle:
        settings = json.loads(handle.metadata()["geolulc"])
    settings["version"], settings["config"]["image_size"] = 1, older
    save_file(load_file(path), path, metadata={"geolulc": json.dumps(settings)})
    loaded = load_checkpoint(path)
    patches = make_patches()
    assert torch.equal(loaded.net(*patches), net(*patches))
    # and when they are written again
    save_checkpoint(path, loaded, overwrite=True)
    assert torch.equal(load_checkpoint(path).net(*patches), net(*patches))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_patches_do_not_see_each_other(fusion: str) -> None:
    net = make_net(fusion=fusion, attention="cbam").eval()
    patches = make_patches(5)
    together = net(*patches)
    alone = torch.cat([net(*(p[i : i + 1] for p in patches)) for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_exported_graph_takes_any_batch(fusion: str) -> None:
    cooccurrence = torch.eye(19).double().numpy() * 0.2
    net = make_net(
        fusion=fusion, attention="cbam", label_correlation="on", cooccurrence=cooccurrence
    ).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        net, make_patches(3), dynamic_shapes={"groups": ({0: batch},) * 3}
    )
    for count in (1, 2, 7):
        patches = make_patches(count, seed=count)
        torch.testing.assert_close(program.module()(*patches), net(*patches), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_weights_repeat_with_the_seed(fusion: str) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (make_net(fusion=fusion, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_checkpoint_of_every_fusion(fusion: str, tmp_path: Any) -> None:
    cooccurrence = torch.full((19, 19), 0.1).double().numpy()
    net = make_net(
        fusion=fusion,
        attention="cbam",
        label_correlation="on",
        drop_rate=0.2,
        drop_path_rate=0.1,
        cooccurrence=cooccurrence,
    ).eval()
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, Model(net))
    patches = make_patches()
    assert torch.equal(load_checkpoint(path).net(*patches), net(*patches))


def test_where_groups_join() -> None:
    joins = describe_net(make_net(fusion="intermediate", backbone="resnet18"))["joins"]
    assert joins["20 m"] == "after act1 (stride 2, 64 channels)"
    assert joins["60 m"] == "after layer1 (stride 4, 64 channels)"
    joins = describe_net(make_net(fusion="intermediate", backbone="convnextv2_atto"))["joins"]
    assert joins["20 m"] == joins["60 m"] == "after stages.0 (stride 4, 40 channels)"
    joins = describe_net(make_net(fusion="late", backbone="resnet18"))["joins"]
    assert "up to layer2 (stride 8)" in joins["60 m"]


def test_size_is_that_of_the_backbone_alone() -> None:
    described = describe_net(make_net(backbone="resnet18"))
    # timm's own resnet18 with 12 bands and 19 classes, 120 × 120 pixels
    conv1, fc = 12 * 64 * 49, 512 * 19 + 19
    assert described["parameters"] == 11_176_512 - 3 * 64 * 49 + conv1 + fc
    model = open_backbone("resnet18", in_chans=12, num_classes=19).model.eval()
    hooked = []

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            hooked.append(module.weight.numel() * output.shape[-1] * output.shape[-2])
        elif isinstance(module, nn.Linear):
            hooked.append(module.weight.numel())

    for module in model.modules():
        module.register_forward_hook(count)
    model(torch.zeros(1, 12, 120, 120))
    assert described["multiply_adds"] == sum(hooked)


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("vit_tiny_patch16_224", 128),
        ("mixer_s16_224", 128),
        ("swin_tiny_patch4_window7_224", 120),
        ("mobilevit_xxs", 120),
    ],
)
def test_transformers_in_early_fusion(backbone: str, size: int) -> None:
    net = make_net(backbone=backbone).eval()
    assert net.fusion.image_size == size
    randomise(net.fusion)  # a head may start as zeros
    patches = make_patches()
    logits = net(*patches)
    assert torch.isfinite(logits).all()
    # the last row and column count too: nothing is cut off
    patches[0][:, :, -1, -1] = 20_000
    assert not torch.equal(net(*patches), logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet81"}, r"no such architecture .* \(nearest: "),
        ({"backbone": "hf-hub:timm/resnet18.a1_in1k"}, "no such architecture"),
        ({"backbone": "vit_tiny_patch16_224", "fusion": "late"}, "one resolution only"),
        ({"backbone": "swin_tiny_patch4_window7_224", "fusion": "intermediate"}, "gives"),
        ({"backbone": "xception41", "fusion": "intermediate"}, "no stage of stride 2 to 8"),
        ({"backbone": "vit_tiny_patch16_224", "attention": "cbam"}, "not a map"),
        ({"backbone": "vgg11", "drop_path_rate": 0.1}, "timm cannot build it so"),
        ({"backbone": "levit_128s"}, "cannot take images of 120 × 120 pixels.*image_size"),
        ({"fusion": "middle"}, "one of early, intermediate, late"),
        ({"label_correlation": "on"}, "no co-occurrence"),
        ({"drop_rate": 1.5}, "from 0 to below 1"),
    ],
)
def test_what_cannot_be_built_says_why(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make_net(**options)


@pytest.mark.filterwarnings("ignore")
def test_an_image_size_that_the_backbone_takes() -> None:
    net = make_net(backbone="levit_128s", image_size=224).eval()
    assert net(*make_patches()).shape == (2, 19)


@pytest.mark.parametrize(("size", "least"), [(40, 0.75), (59, 0.75), (60, 0.999)])
def test_every_pixel_counts_in_a_smaller_image(size, least) -> None:
    """Each pixel of the input has its share: at a size of 40 two columns of three had none."""
    x = torch.ones(1, 1, 120, 120, requires_grad=True)
    resize(x, (size, size)).sum().backward()
    share = x.grad[0, 0, 6:-6, 6:-6]  # at the edge the kernel is cut
    assert float(share.min() / share.mean()) > least
    assert float(share.mean()) == pytest.approx((size / 120) ** 2, rel=0.02)
