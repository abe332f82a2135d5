"""Encoders that start from weights of others: bands by name, scaling converted."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from made_nets import NORMALISATION, make_patches
from safetensors.torch import save_file
from torch.nn import functional

from geolulc.bands import GROUPS
from geolulc.errors import CheckpointError
from geolulc.nets import (
    LandCoverNet,
    Model,
    NetConfig,
    build_net,
    load_checkpoint,
    save_checkpoint,
)
from geolulc.nets.published_encoders import ENCODERS, L1C
from geolulc.nomenclature import BEN19


def build(pretrained: Path | str, **options: Any) -> LandCoverNet:
    return build_net(
        NetConfig(**{"backbone": "test_resnet", **options}),
        classes=BEN19.names,
        nomenclature=BEN19.id,
        normalisation=NORMALISATION,
        pretrained=pretrained,
        seed=0,
    )


def make_weights(path: Path, channels: int, backbone: str = "test_resnet", prefix: str = "") -> Any:
    """A timm model with seeded weights, its state dict written like TorchGeo's."""
    torch.manual_seed(5)
    model = timm.create_model(backbone, in_chans=channels, num_classes=7).eval()
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1)
    torch.save({prefix + k: v for k, v in model.state_dict().items()}, path)
    return model


def first_kernel(model: Any) -> torch.Tensor:
    return model.get_parameter(f"{model.default_cfg['first_conv']}.weight")


def digital_numbers() -> tuple[torch.Tensor, ...]:
    return tuple(p.to(torch.int32).float() for p in make_patches())


def as_l1c(patches: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """(N, 13, 120, 120) digital numbers with B10 = 0."""
    bands = {"B10": torch.zeros(patches[0].shape[0], 120, 120)}
    for names, patch in zip(GROUPS.values(), patches, strict=True):
        full = functional.interpolate(patch, (120, 120), mode="bilinear", align_corners=False)
        bands |= {name: full[:, i] for i, name in enumerate(names)}
    return torch.stack([bands[name] for name in L1C], dim=1)


@pytest.mark.parametrize("prefix", ["", "module.encoder_q."])
def test_level_1c_weights_see_what_they_saw(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "weights.pth"
    theirs = make_weights(path, 13, prefix=prefix)
    net = build(path).eval()
    ours = net.fusion.backbone
    patches = make_patches()
    inputs = net.preprocess(*patches)
    images = torch.cat(
        [functional.interpolate(x, (120, 120), mode="bilinear") for x in inputs], dim=1
    )
    with torch.no_grad():
        got = ours.bn1(ours.conv1(images))
        expected = theirs.bn1(theirs.conv1(as_l1c(digital_numbers()) / 10_000))
    # at the rim zeros are padded: DN 0 there, the mean here
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(got[inner], expected[inner], atol=1e-4, rtol=1e-4)
    assert torch.equal(ours.layer3[0].conv1.weight, theirs.layer3[0].conv1.weight)
    assert net.initialisation["bands"] == list(L1C)
    assert net.initialisation["scaling"] == "converted from its input"


def test_statistics_of_a_known_file_are_taken_from_its_name(tmp_path: Path) -> None:
    path = tmp_path / ENCODERS["resnet50_sentinel2_all_softcon"].file
    make_weights(path, 13)
    assert build(path).initialisation["input"] == "(DN - mean) / std of SSL4EO-S12"


def test_red_green_blue_weights_go_to_their_bands(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = timm.create_model("test_resnet", num_classes=4)
    save_file(model.state_dict(), path)
    net = build(path)
    order = [name for names in GROUPS.values() for name in names]
    got, rgb = first_kernel(net.fusion.backbone), first_kernel(model)
    for band, channel in (("B04", 0), ("B03", 1), ("B02", 2)):
        torch.testing.assert_close(got[:, order.index(band)], rgb[:, channel] * 3 / 12)
    torch.testing.assert_close(got[:, order.index("B11")], rgb.mean(dim=1) * 3 / 12)
    assert "B8A" in net.initialisation["scaling"]


@pytest.mark.parametrize("fusion", ["intermediate", "late"])
def test_every_encoder_of_a_fusion_starts(tmp_path: Path, fusion: str) -> None:
    path = tmp_path / "weights.pth"
    theirs = make_weights(path, 13)
    net = build(path, fusion=fusion)
    for encoder in net.fusion.encoders():
        kernel = first_kernel(encoder.backbone)
        for i, band in enumerate(encoder.bands):
            expected = first_kernel(theirs)[:, L1C.index(band)] * NORMALISATION.std[band] / 10_000
            torch.testing.assert_close(kernel[:, i], expected)
        assert torch.equal(encoder.backbone.layer2[0].conv1.weight, theirs.layer2[0].conv1.weight)


@pytest.mark.parametrize("fusion", ["early", "intermediate", "late"])
def test_own_checkpoint_of_the_same_kind_gives_the_same_encoders(
    tmp_path: Path, fusion: str
) -> None:
    path = tmp_path / "model.safetensors"
    first = build_net(
        NetConfig(fusion=fusion, backbone="test_resnet"),
        classes=BEN19.names,
        nomenclature=BEN19.id,
        normalisation=NORMALISATION,
        seed=9,
    )
    save_checkpoint(path, Model(first, name="first"))
    second = build(path, fusion=fusion)
    for a, b in zip(first.fusion.encoders(), second.fusion.encoders(), strict=True):
        for key, tensor in a.backbone.state_dict().items():
            if not key.startswith("fc."):
                torch.testing.assert_close(b.backbone.state_dict()[key], tensor, msg=key)
    assert second.initialisation["input"] == "standardised as by first"


def test_own_early_checkpoint_for_another_fusion_goes_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    first = build_net(
        NetConfig(backbone="test_resnet"),
        classes=BEN19.names,
        nomenclature=BEN19.id,
        normalisation=NORMALISATION,
        seed=9,
    )
    save_checkpoint(path, Model(first))
    second = build(path, fusion="late")
    b12 = [n for names in GROUPS.values() for n in names].index("B12")
    torch.testing.assert_close(
        first_kernel(second.fusion.encoder20.backbone)[:, GROUPS[20].index("B12")],
        first_kernel(first.fusion.backbone)[:, b12],
    )


def test_position_embeddings_are_resampled(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    make_weights(path, 13, "test_vit")
    net = build(path, backbone="test_vit").eval()
    assert torch.isfinite(net(*make_patches())).all()


def test_where_the_weights_are_from_stays_with_the_checkpoint(tmp_path: Path) -> None:
    make_weights(tmp_path / "weights.pth", 13)
    net = build(tmp_path / "weights.pth")
    save_checkpoint(tmp_path / "model.safetensors", Model(net))
    record = load_checkpoint(tmp_path / "model.safetensors").net.initialisation
    assert record == net.initialisation
    assert record["file"] == "weights.pth"
    assert record["input"] == "DN / 10000"


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path("exploded").write_text, ("",)


def test_files_that_are_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "weights.pth"
    with pytest.raises(CheckpointError, match="no such file"):
        build(weights)
    torch.save({"conv1.weight": Bomb()}, weights)
    with pytest.raises(CheckpointError, match="without running its code"):
        build(weights)
    weights.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="a pickle"):
        build(weights)
    assert not Path("exploded").exists()
    make_weights(weights, 13)
    weights.write_bytes(weights.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match="damaged"):
        build(weights)
    with zipfile.ZipFile(weights, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(CheckpointError, match=r"torch\.save did not write"):
        build(weights)
    torch.save([1, 2], weights)
    with pytest.raises(CheckpointError, match="without tensors"):
        build(weights)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(1).expand(200_000, 200_000), r"tensors of 160,000 MB, up to conv1\.weight"),
        (torch.zeros(99).as_strided((90, 90, 90), (1, 0, 0)), "tensors of 3 MB"),
        (torch.empty(200_000, 200_000, device="meta"), "conv1.weight of torch.float32.*on meta"),
        (torch.zeros(4, dtype=torch.complex64), "conv1.weight of torch.complex64"),
        (torch.zeros(4, 4).to_sparse(), "torch.sparse_coo"),
    ],
    ids=["expanded", "overlapping", "meta", "complex", "sparse"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_arrays_of_numbers(
    tmp_path: Path, tensor: torch.Tensor, message: str
) -> None:
    """Refused before a number is touched: of some, there are 100 GB."""
    weights = tmp_path / "weights.pth"
    torch.save({"conv1.weight": tensor}, weights)
    with pytest.raises(CheckpointError, match=message):
        build(weights)


def test_weights_of_something_else(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    make_weights(weights, 13, "test_efficientnet")
    with pytest.raises(CheckpointError, match="tensors of the backbone missing"):
        build(weights)
    make_weights(weights, 7)
    with pytest.raises(CheckpointError, match="7 input bands"):
        build(weights)
    make_weights(weights, 13)
    with pytest.raises(CheckpointError, match="missing"):
        build(weights, backbone="resnet18")
    with pytest.raises(CheckpointError, match=r"nearest: resnet18_sentinel2_all_moco"):
        build("torchgeo:resnet18_sentinel2_all_mocco")
