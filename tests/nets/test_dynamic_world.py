"""Dynamic World's network against TensorFlow's own answers, and what is no such network."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from made_nets import make_net

from geolulc.errors import CheckpointError, ParameterError
from geolulc.nets import (
    LandCoverNet,
    Model,
    build_net,
    load_checkpoint,
    save_checkpoint,
    shipped_model,
)
from geolulc.nets.building import build_fusion
from geolulc.nets.config import DYNAMIC_WORLD_BANDS, NetConfig
from geolulc.nets.dynamic_world import SCALES, _halved, _mish
from geolulc.nets.normalisation import Normalisation
from geolulc.nets.published_dynamic_world import download_dynamic_world, load_dynamic_world
from geolulc.nets.tensor_bundles import DATA_FILE, read_tensor_bundle
from geolulc.nomenclature import BEN19, Nomenclature, nomenclature
from geolulc.products.atmosphere import air_of
from geolulc.products.directions import Direction

DATA = Path(os.environ.get("GEOLULC_SHARED", "../shared")) / "data" / "dynamicworld"
FORWARD = DATA / "model" / "forward"
INDEX = "variables.index"

pytestmark = pytest.mark.skipif(not FORWARD.is_dir(), reason=f"no {FORWARD}")


@pytest.fixture(scope="module")
def model():
    return load_checkpoint(FORWARD)


@pytest.fixture
def variables(tmp_path):
    folder = tmp_path / "variables"
    shutil.copytree(FORWARD / "variables", folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


@pytest.mark.parametrize("place", ["town", "denmark", "odd"])
def test_logits_are_those_of_tensorflow(model, place) -> None:
    reference = np.load(DATA / "reference.npz")
    dn = torch.from_numpy(reference[f"{place}_dn"].astype(np.float32)).permute(2, 0, 1)[None]
    expected = reference[f"{place}_logits"]
    with torch.inference_mode():
        logits = model.net.fusion.classify(dn)[0].permute(1, 2, 0).numpy()
    assert np.abs(logits - expected).max() < 1e-4  # 1.5e-5 on the machine where it was written
    assert (logits.argmax(-1) == expected.argmax(-1)).mean() >= 0.999


def test_the_head_gives_at_double_size_what_it_gives_at_any_size(model) -> None:
    fusion = model.net.fusion
    torch.manual_seed(0)
    dn = torch.randint(0, 6000, (1, 9, 48, 60)).float()
    with torch.inference_mode():
        whole = fusion.classify(dn)
        inner = fusion.classify(dn, border=12)
    torch.testing.assert_close(inner, whole[..., 12:-12, 12:-12], rtol=0, atol=1e-4)


def test_what_lies_beyond_the_margin_changes_no_pixel(model) -> None:
    torch.manual_seed(0)
    dn = torch.randint(0, 6000, (1, 9, 120, 120)).float()
    other = dn.clone()
    other[..., :36] = 3000.0
    reach = 36 + model.net.margin // 10
    with torch.inference_mode():
        found = [model.net.fusion.classify(x)[..., reach:] for x in (dn, other)]
    assert not torch.equal(dn, other)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-4)


def test_it_is_kept_as_a_checkpoint_with_its_card(model, tmp_path) -> None:
    path = tmp_path / "dynamicworld.safetensors"
    save_checkpoint(path, model)
    again = load_checkpoint(path)
    assert again.net.level == "L1C"
    assert again.net.nomenclature == model.net.nomenclature
    assert again.net.nomenclature.nodata == 255
    assert again.provenance["licence"] == "Apache-2.0"
    for name, tensor in model.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], tensor)


def test_its_name_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match="geolulc models fetch dynamicworld downloads it"):
        load_checkpoint("dynamicworld")


ITSELF = {"task": "pixel", "fusion": "dynamicworld", "backbone": "dynamicworld"}


def going_on(
    level: str, pretrained: Path | str, classes: Nomenclature = BEN19, count: int = 4
) -> LandCoverNet:
    names = [name for group in DYNAMIC_WORLD_BANDS.values() for name in group]
    return build_net(
        NetConfig(**ITSELF),
        classes=classes.names[:count],
        nomenclature=classes,
        normalisation=Normalisation.none(names),
        bands=DYNAMIC_WORLD_BANDS,
        level=level,
        pretrained=pretrained,
        seed=0,
    )


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_it_goes_on_learning_from_its_weights(model, tmp_path, level) -> None:
    net = going_on(level, FORWARD)
    assert net.initialisation["last layer"] == "fresh"
    torch.manual_seed(0)
    ground = torch.randint(1, 6000, (2, 9, 60, 60)).float()
    seen = ground
    if level == "L2A":  # the air of a usual sun lies above what it sees
        air = air_of(SCALES, Direction(45.0))
        seen = torch.stack([air[b].seen(ground[:, i]) for i, b in enumerate(SCALES)], dim=1)
    published = model.net.fusion
    with torch.no_grad():
        published.head, kept = net.fusion.head, published.head
        try:
            expected = published.classify(seen)
        finally:
            published.head = kept
    net.train()
    logits = net.fusion.classify(ground)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    logits.square().mean().backward()
    assert all(weights.grad is not None for weights in net.fusion.parameters())
    file = tmp_path / "own.safetensors"
    save_checkpoint(file, Model(net.eval()))
    again = load_checkpoint(file).net
    with torch.no_grad():
        assert torch.equal(again.fusion.classify(ground), net.fusion.classify(ground))
    # and from what went on, another one may
    other = going_on(level, file)
    assert torch.equal(other.fusion.stem.weight, net.fusion.stem.weight)


def test_of_its_own_classes_the_last_layer_goes_on_too(model, tmp_path) -> None:
    net = going_on("L1C", FORWARD, nomenclature("dynamicworld"), 9)
    assert net.initialisation["last layer"] == "taken over"
    own = model.net.fusion.state_dict()
    assert all(torch.equal(own[k], v) for k, v in net.fusion.state_dict().items())
    file = tmp_path / "own.safetensors"
    save_checkpoint(file, Model(net.eval()))
    # of a checkpoint too, by its name where it comes with geolulc; not if classes are fewer
    again = going_on("L1C", file, nomenclature("dynamicworld"), 9)
    assert torch.equal(again.fusion.head.weight, net.fusion.head.weight)
    shipped = going_on("L2A", "dynamicworld-student", nomenclature("dynamicworld"), 9)
    assert shipped.initialisation["file"] == "dynamicworld-student.safetensors"
    assert shipped.initialisation["last layer"] == "taken over"
    fewer = going_on("L1C", file, nomenclature("dynamicworld"), 8)
    assert fewer.initialisation["last layer"] == "fresh"


def test_it_starts_from_nothing_else(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match="geolulc models fetch dynamicworld downloads it"):
        going_on("L2A", "dynamicworld")
    with pytest.raises(CheckpointError, match="Dynamic World's layers"):
        going_on("L2A", shipped_model())
    with pytest.raises(CheckpointError, match="--fusion dynamicworld --backbone dynamicworld"):
        make_net(task="pixel", pretrained="dynamicworld")


def test_other_bands_and_settings_are_refused() -> None:
    config = NetConfig(**ITSELF)
    with pytest.raises(ParameterError, match="found B02; expected B02, B03, B04, B05"):
        build_fusion(config, {10: ("B02",), 20: (), 60: ()}, 9)
    with pytest.raises(ParameterError, match="found backbone 'resnet18'; expected 'dynamicworld'"):
        NetConfig(**ITSELF | {"backbone": "resnet18"})
    with pytest.raises(ParameterError, match="found task 'patch'; expected 'pixel'"):
        NetConfig(**ITSELF | {"task": "patch"})


def test_downloaded_bytes_are_compared(tmp_path, variables) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    base = variables.as_uri()
    assert load_dynamic_world(download_dynamic_world(folder, base=base)).name == "dynamicworld"
    data = variables / DATA_FILE
    values = data.read_bytes()
    data.write_bytes(values[:-1] + bytes([values[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="other bytes; expected SHA-256 c4a38299f2c0"):
        download_dynamic_world(folder, base=base)
    data.unlink()
    with pytest.raises(CheckpointError, match="no answer"):
        download_dynamic_world(folder, base=base)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_variables_are_refused_or_other_numbers(variables, seed) -> None:
    rng = np.random.default_rng(seed)
    file = variables / INDEX
    table = bytearray(file.read_bytes())
    if seed % 4 == 0:
        table = table[: rng.integers(len(table))]
    else:
        for place in rng.integers(len(table), size=1 + seed % 3):
            table[place] = rng.integers(256)
    file.write_bytes(table)
    with contextlib.suppress(CheckpointError):  # and nothing else
        load_dynamic_world(variables)


def test_variables_of_another_network_are_refused(variables) -> None:
    (variables / DATA_FILE).write_bytes(b"\0" * 100)
    with pytest.raises(CheckpointError, match="a damaged table"):
        read_tensor_bundle(variables)


def test_mish_is_torchs_for_all_numbers() -> None:
    values = torch.linspace(-120, 120, 9600).view(1, 6, 40, 40)
    for x in (values, values.contiguous(memory_format=torch.channels_last)):
        expected = torch.nn.functional.mish(x)
        torch.testing.assert_close(_mish(x.clone()), expected, rtol=1e-6, atol=2e-5)
    large = torch.tensor([1e20, 1e37]).view(1, 1, 1, 2)
    assert torch.equal(_mish(large.clone()), large)
    # where a map has no data
    beyond = torch.tensor([torch.nan, torch.inf]).view(1, 1, 1, 2)
    assert not torch.isfinite(_mish(beyond)).any()


@pytest.mark.parametrize("size", [(48, 60), (2, 4), (47, 60), (48, 61)])
def test_halving_is_the_antialiased_one(size) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 5, *size)
    half = (size[0] // 2, size[1] // 2)
    expected = torch.nn.functional.interpolate(
        x, size=half, mode="bilinear", align_corners=False, antialias=True
    )
    torch.testing.assert_close(_halved(x), expected, rtol=0, atol=1e-6)
