"""Published BigEarthNet v2 models: layout, band order, class order, against ConfigILM's outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from made_nets import make_patches
from safetensors.torch import load_file, save_file
from torch.nn import functional

from geolulc.bands import GROUPS
from geolulc.errors import CheckpointError
from geolulc.nets import LandCoverNet, Model, describe_model, load_checkpoint, save_checkpoint
from geolulc.nets.snapshots import BAND_ORDERS, CLASS_ORDER, NORMALISATION
from geolulc.nomenclature import BEN19

REFERENCES = ("reference.npz", "reference_realpatch.npz")


def make_snapshot(folder: Path, backbone: str = "test_resnet", **changes: Any) -> Path:
    """A folder in the published layout, of seeded weights; ``changes`` to its config."""
    folder.mkdir()
    torch.manual_seed(0)
    options: dict[str, Any] = {"in_chans": changes.get("channels", 10), "num_classes": 19}
    if backbone.startswith(("vit", "mixer")):
        options["img_size"] = 120
    model = timm.create_model(backbone, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    state = {f"model.vision_encoder.{k}": v for k, v in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    config = {
        "timm_model_name": backbone,
        "channels": 10,
        "classes": 19,
        "image_size": 120,
        "network_type": 0,
    } | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def published(shared: Path) -> Path:
    return shared / "data" / "published-weights" / "test_resnet-s2-v0.2.0"


def groups_of(reference: Any, net: LandCoverNet) -> list[torch.Tensor]:
    return [
        torch.from_numpy(np.stack([reference[f"band_{b}"] for b in names])[None])
        for names in net.bands.values()
    ]


def in_order(model: Model, labels: Any, logits: torch.Tensor) -> torch.Tensor:
    """Our logits in the order of the reference's labels, by name."""
    return logits[0, [model.net.classes.index(str(name)) for name in labels]]


@pytest.mark.parametrize("name", REFERENCES)
def test_logits_are_those_of_the_training_code(published: Path, name: str) -> None:
    reference = np.load(published / name)
    model = load_checkpoint(published)
    logits = in_order(model, reference["labels"], model.net(*groups_of(reference, model.net)))
    torch.testing.assert_close(
        logits, torch.from_numpy(reference["logits"]), atol=1e-4, rtol=0, check_dtype=False
    )
    probabilities = torch.from_numpy(reference["probs"]).float()
    torch.testing.assert_close(model.probabilities(logits), probabilities, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_older_band_order_and_that_the_wrong_one_shows(published: Path, name: str) -> None:
    reference = np.load(published / name)
    older = load_checkpoint(published, band_order="v0.1.1")
    logits = in_order(older, reference["labels"], older.net(*groups_of(reference, older.net)))
    # the reference fed bands in the old order to the same weights
    expected = torch.from_numpy(reference["logits_v011_order"])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0, check_dtype=False)
    assert (logits - torch.from_numpy(reference["logits"])).abs().max() > 1e-2


def test_network_input_is_that_of_the_training_code(published: Path) -> None:
    reference = np.load(published / "reference.npz")
    net = load_checkpoint(published).net
    inputs = net.preprocess(*groups_of(reference, net))
    ours = {
        band: functional.interpolate(x[:, i : i + 1], (120, 120), mode="nearest")[0, 0]
        for (r, names), x in zip(net.bands.items(), inputs, strict=True)
        for i, band in enumerate(names)
    }
    for channel, band in enumerate(reference["order"]):
        expected = torch.from_numpy(reference["x"][channel])
        torch.testing.assert_close(ours[str(band)], expected, atol=1e-5, rtol=1e-5)


def test_order_of_the_classes_and_statistics(published: Path) -> None:
    reference = np.load(published / "reference.npz")
    assert tuple(map(str, reference["labels"])) == CLASS_ORDER
    for band, mean, std in zip(
        reference["order"], reference["mean"], reference["std"], strict=True
    ):
        assert NORMALISATION.mean[str(band)] == pytest.approx(mean)
        assert NORMALISATION.std[str(band)] == pytest.approx(std)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "mixer_s32_224", "convnextv2_atto"])
def test_layouts_of_other_backbones(tmp_path: Path, backbone: str) -> None:
    folder = make_snapshot(tmp_path / f"{backbone}-s2-v0.2.0", backbone)
    model = load_checkpoint(folder)
    patches = make_patches()
    groups = {
        band: patch[:, i : i + 1].to(torch.int32).float()
        for (_, names), patch in zip(GROUPS.items(), patches, strict=True)
        for i, band in enumerate(names)
    }
    x = torch.cat(
        [
            functional.interpolate(
                (groups[b] - NORMALISATION.mean[b]) / NORMALISATION.std[b], (120, 120)
            )
            for b in BAND_ORDERS["v0.2.0"]
        ],
        dim=1,
    )
    options = {} if backbone.startswith("conv") else {"img_size": 120}
    theirs = timm.create_model(backbone, in_chans=10, num_classes=19, **options).eval()
    state = load_file(folder / "model.safetensors")
    theirs.load_state_dict({k.removeprefix("model.vision_encoder."): v for k, v in state.items()})
    with torch.no_grad():
        expected, got = theirs(x), model.net(*patches[:2])
    order = [BEN19.index(name) for name in CLASS_ORDER]
    torch.testing.assert_close(got[:, order], expected, atol=1e-3, rtol=1e-3)


def test_a_published_model_can_be_kept_as_a_checkpoint(tmp_path: Path) -> None:
    model = load_checkpoint(make_snapshot(tmp_path / "test-s2-v0.2.0"))
    assert not model.net.training
    assert set(model.net.bands) == {10, 20}
    save_checkpoint(tmp_path / "kept.safetensors", model)
    kept = load_checkpoint(tmp_path / "kept.safetensors")
    patches = make_patches()
    assert torch.equal(kept.net(*patches[:2]), model.net(*patches[:2]))
    assert kept.provenance["band_order"] == list(BAND_ORDERS["v0.2.0"])
    assert describe_model(tmp_path / "test-s2-v0.2.0")["upsampling"] == "nearest"


def test_version_from_the_name_or_refused(tmp_path: Path) -> None:
    folder = make_snapshot(tmp_path / "some-model")
    with pytest.raises(CheckpointError, match=r"no version in its name.*--band-order"):
        load_checkpoint(folder)
    old = load_checkpoint(folder, band_order="v0.1.1")
    by_name = load_checkpoint(folder, band_order=",".join(BAND_ORDERS["v0.1.1"]))
    patches = make_patches()
    assert torch.equal(old.net(*patches[:2]), by_name.net(*patches[:2]))
    with pytest.raises(CheckpointError, match="neither a version nor the ten bands"):
        load_checkpoint(folder, band_order="B02,B03")
    cache = tmp_path / "models--BIFOLD-BigEarthNetv2-0--test-s2-v0.1.1" / "snapshots"
    cache.mkdir(parents=True)
    cached = load_checkpoint(shutil.copytree(folder, cache / "abc123"))
    assert cached.name == "BIFOLD-BigEarthNetv2-0/test-s2-v0.1.1"
    assert torch.equal(cached.net(*patches[:2]), old.net(*patches[:2]))
    unknown = shutil.copytree(folder, tmp_path / "model-s2-v0.9.0")
    with pytest.raises(CheckpointError, match=r"version v0\.9\.0"):
        load_checkpoint(unknown)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 2}, "needs Sentinel-1"),
        ({"channels": 12}, "Sentinel-1 beside Sentinel-2"),
        ({"classes": 43}, "43 classes"),
        ({"timm_model_name": "resnet999"}, "no such architecture"),
        ({"timm_model_name": "hf-hub:x/y"}, "no such architecture"),
        ({"timm_model_name": 5}, "timm_model_name 5"),
        ({"timm_model_name": "resnet18"}, "tensors missing"),
        ({"timm_model_name": "vit_giant_patch14_224"}, "tensors missing"),
        ({"image_size": 10**9}, "image_size"),
    ],
)
def test_unsound_configs(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = make_snapshot(tmp_path / "model-s2-v0.2.0")
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


def test_unsound_weights(tmp_path: Path) -> None:
    folder = make_snapshot(tmp_path / "model-s2-v0.2.0")
    weights = folder / "model.safetensors"
    state = load_file(weights)
    save_file(state | {"extra": torch.zeros(1)}, weights)
    with pytest.raises(CheckpointError, match="1 tensors too many"):
        load_checkpoint(folder)
    save_file({k: v for k, v in state.items() if "fc.bias" not in k}, weights)
    with pytest.raises(CheckpointError, match="1 tensors missing"):
        load_checkpoint(folder)
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cut short|damaged"):
        load_checkpoint(folder)
    torch.save(state, weights)
    with pytest.raises(CheckpointError, match="a zip archive"):
        load_checkpoint(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"without model\.safetensors"):
        load_checkpoint(folder)
    (folder / "config.json").write_text("{")
    save_file(state, weights)
    with pytest.raises(CheckpointError, match=r"config\.json: found a text that cannot be read"):
        load_checkpoint(folder)


def test_offline_hub_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="not in the local cache and the hub"):
        load_checkpoint("BIFOLD-BigEarthNetv2-0/resnet50-s2-v0.2.0")
    with pytest.raises(CheckpointError, match="not in the local cache and the hub"):
        load_checkpoint("hf://someone/something-s2-v0.2.0")
    # a path that does not exist is no hub name
    with pytest.raises(CheckpointError, match="no such file, folder"):
        load_checkpoint("runs/early")
