"""One file rebuilds a model; nothing else is taken for one."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_nets import make_net, make_patches
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from geolulc.errors import CheckpointError, OutputError, ParameterError
from geolulc.nets import Calibration, Model, describe_model, load_checkpoint, save_checkpoint
from geolulc.nomenclature import BEN19


def make_model() -> Model:
    thresholds = tuple(0.3 + 0.01 * i for i in range(19))
    provenance = {"store": "made", "scores": {"ap_macro": 0.5}}
    return Model(make_net(), thresholds, Calibration(1.5), provenance, "made")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, make_model())
    return path


def rewrite(path: Path, change: Any) -> None:
    """The checkpoint with settings changed by ``change(settings, tensors)``."""
    with safe_open(path, framework="pt") as handle:
        settings = json.loads(handle.metadata()["geolulc"])
    tensors = load_file(path)
    change(settings, tensors)
    save_file(tensors, path, metadata={"geolulc": json.dumps(settings)})


def test_a_file_rebuilds_the_model(checkpoint: Path) -> None:
    model = make_model()
    loaded = load_checkpoint(checkpoint)
    assert loaded.thresholds == model.thresholds
    assert (loaded.calibration, loaded.name) == (Calibration(1.5), "made")
    assert loaded.provenance == model.provenance
    assert loaded.net.classes == BEN19.names
    assert loaded.net.normalisation == model.net.normalisation
    assert loaded.net.config == model.net.config
    assert loaded.net.bands == model.net.bands
    assert not loaded.net.training
    patches = make_patches()
    assert torch.equal(loaded.net(*patches), model.net.eval()(*patches))


def test_a_calibration_by_class_is_kept_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    by_class = Calibration(0.5, tuple(np.linspace(0.5, 2, 19)), tuple(np.linspace(-1, 1, 19)))
    save_checkpoint(path, replace(make_model(), calibration=by_class))
    loaded = load_checkpoint(path)
    assert loaded.calibration == by_class
    described = describe_model(path)
    assert described["shifts"]["Urban fabric"] == -1
    logits = torch.linspace(-3, 3, 19)
    expected = torch.sigmoid(logits / 0.5 * torch.linspace(0.5, 2, 19) + torch.linspace(-1, 1, 19))
    assert torch.allclose(loaded.probabilities(logits), expected, atol=1e-6)


def test_a_file_of_version_1_has_one_temperature(checkpoint: Path) -> None:
    def older(settings: dict[str, Any], _: Any) -> None:
        settings["version"] = 1
        del settings["slopes"], settings["shifts"]

    rewrite(checkpoint, older)
    assert load_checkpoint(checkpoint).calibration == Calibration(1.5)


def test_a_run_folder_and_its_file_are_the_same(checkpoint: Path) -> None:
    assert load_checkpoint(checkpoint.parent).sha256 == load_checkpoint(checkpoint).sha256


def test_half_precision_halves_the_file_and_hardly_moves_logits(tmp_path: Path) -> None:
    model = make_model()
    for dtype in ("float32", "float16"):
        save_checkpoint(tmp_path / f"{dtype}.safetensors", model, dtype=dtype)
    full, half = (tmp_path / f"{d}.safetensors" for d in ("float32", "float16"))
    assert half.stat().st_size < 0.52 * full.stat().st_size
    patches = make_patches()
    expected = model.net.eval()(*patches)
    torch.testing.assert_close(load_checkpoint(half).net(*patches), expected, atol=2e-2, rtol=1e-2)


def test_probabilities_are_calibrated() -> None:
    logits = torch.tensor([[0.0] * 18 + [3.0]])
    probabilities = make_model().probabilities(logits)
    assert probabilities[0, 0] == 0.5
    assert probabilities[0, 18] == pytest.approx(torch.sigmoid(torch.tensor(2.0)).item())


def test_loading_leaves_the_random_state_alone(checkpoint: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_checkpoint(checkpoint)
    assert torch.equal(torch.rand(3), expected)


def test_description(checkpoint: Path) -> None:
    described = describe_model(checkpoint)
    assert json.loads(json.dumps(described)) == described
    assert described["parameters"] == sum(p.numel() for p in make_net().parameters())
    assert described["thresholds"]["Marine waters"] == pytest.approx(0.48)
    assert described["joins"] == {"10 m": "the input", "20 m": "the input", "60 m": "the input"}


def test_existing_file_is_kept(checkpoint: Path) -> None:
    before = checkpoint.read_bytes()
    with pytest.raises(OutputError, match="it exists"):
        save_checkpoint(checkpoint, make_model())
    assert checkpoint.read_bytes() == before
    save_checkpoint(checkpoint, make_model(), overwrite=True)


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    model = Model(make_net(), provenance={"train_patches": "many"})
    with pytest.raises(CheckpointError, match="train_patches of provenance: found 'many'"):
        save_checkpoint(tmp_path / "model.safetensors", model)
    assert list(tmp_path.iterdir()) == []


def test_diverged_weights_are_not_saved(tmp_path: Path) -> None:
    model = make_model()
    with torch.no_grad():
        next(model.net.parameters())[0] = torch.nan
    with pytest.raises(ParameterError, match="not finite"):
        save_checkpoint(tmp_path / "model.safetensors", model)
    assert not list(tmp_path.iterdir())


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path("exploded").write_text, ("",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"hello, this is no model", "no safetensors header"),
        (pickle.dumps(Bomb()), "a pickle"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"\x08\x09\x12\x07pytorch" + bytes(100), "an ONNX graph"),
        (b"\xff" * 8 + b"{", "cut short"),
    ],
)
def test_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert not Path("exploded").exists()


def test_pytorch_pickle(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"bomb": Bomb()}, path)
    with pytest.raises(CheckpointError, match="a zip archive"):
        load_checkpoint(path)


@pytest.mark.parametrize("keep", [0.001, 0.3, 0.99])
def test_truncated_file(checkpoint: Path, keep: float) -> None:
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CheckpointError, match=r"cut short|damaged"):
        load_checkpoint(checkpoint)


def test_missing_file_and_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file, folder or shipped model"):
        load_checkpoint(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"a folder without model\.safetensors"):
        load_checkpoint(tmp_path)


def set_to(*keys: str, value: Any) -> Any:
    def change(settings: dict[str, Any], _: Any) -> None:
        for key in keys[:-1]:
            settings = settings[key]
        settings[keys[-1]] = value

    return change


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_to("version", value=99), "Update geolulc"),
        (set_to("config", "backbone", value="resnet1"), "no such architecture"),
        (set_to("config", "backbone", value="hf-hub:some/model"), "no such architecture"),
        (set_to("config", "backbone", value="resnet50"), "tensors missing"),
        (set_to("config", "backbone", value="vit_giant_patch14_224"), "tensors missing"),
        (set_to("config", "fusion", value="none"), "fusion"),
        (set_to("config", "colour", value="red"), "no such setting"),
        (set_to("config", "drop_rate", value=7), "drop_rate"),
        (set_to("classes", value=["Urban fabric"]), "threshold"),
        (set_to("classes", value=["Moon"]), "no class of that name"),
        (set_to("classes", value=["Urban fabric"] * 19), "each once"),
        (set_to("nomenclature", value="moon"), "no such nomenclature"),
        (set_to("bands", "10", value=["B05"]), "bands of 10 m"),
        (set_to("bands", "60", value=[]), "tensor fusion.backbone.conv1"),
        (set_to("normalisation", "std", "B02", value=0), "the std above 0"),
        (set_to("normalisation", "mean", value={}), "the same bands"),
        (set_to("patch_size", value=10**9), "patch_size"),
        (set_to("temperature", value=-1), "temperature"),
        (set_to("slopes", value={"Urban fabric": 1.0}), "found slopes: 1 names"),
        (set_to("slopes", "Urban fabric", value=0), "Urban fabric of slopes: 0"),
        (set_to("shifts", "Urban fabric", value="far"), "Urban fabric of shifts: 'far'"),
        (set_to("thresholds", "Urban fabric", value=2), "Urban fabric of thresholds: 2"),
        (set_to("thresholds", "Urban fabric", value=math.nan), "damaged text"),
        (set_to("provenance", value=[]), "provenance"),
        (set_to("provenance", "scores", value=[1, float("nan")]), "damaged text"),
        (set_to("config", value=[["fusion", "early"]]), "settings"),
        (set_to("config", "fusion", value={"early": []}), "fusion"),
        (set_to("config", "drop_rate", value=True), "drop_rate: True; expected a number"),
        (set_to("config", "image_size", value=10**4000), "image_size"),
        (set_to("bands", value=[["B02"]]), "bands"),
        (set_to("bands", "ten", value=["B02"]), "bands"),
        (set_to("classes", value={"Urban fabric": 1}), "classes"),
        (set_to("temperature", value=float("inf")), "damaged text"),
        (set_to("version", value=True), "format version: True.*damaged"),
        (set_to("version", value=0), "format version: 0; expected a number from 1.*damaged"),
        (set_to("version", value="3"), "format version: '3'.*damaged"),
        (lambda s, _: s.pop("version"), "damaged"),
        (set_to("name", value=1), "name"),
        (set_to("name", value="n" * 256), "name: 'nn.*at most 255 characters"),
        (set_to("bands", "15", value=["B02"]), "bands of 15 m: .*; expected those of 10, 20, 60 m"),
        (set_to("bands", "10", value=["B02", "B02"]), r"bands of 10 m: \('B02', 'B02'\)"),
        (set_to("normalisation", "mean", "B02", value=1e300), "B02: mean 1e.300.*10.6"),
        (set_to("normalisation", "std", "B02", value=-3.0), "B02: .*std -3.0.*the std above 0"),
        (set_to("temperature", value=1e300), "temperature: 1e.300; expected a number from 0.001"),
        (set_to("provenance", "n", value=10**24), "provenance: .*numbers within ±2.53"),
        (set_to("provenance", "n", value=nested(30)), "provenance: .*at most 8 levels"),
        (set_to("provenance", "n", value=nested(900)), "recursion limit"),
        (set_to("provenance", "n", value="\ud800"), "damaged text"),
        (set_to("provenance", "n", value="n" * 10**6), "characters; expected at most 1,000,000"),
        (set_to("provenance", "train_patches", value=[]), r"train_patches of provenance: \[\]"),
        (set_to("provenance", "train_positives", value={"Moon": -1}), "Moon of train_positives"),
        (set_to("provenance", "licence", value=["MIT"]), "licence of provenance"),
        (set_to("initialisation", value={"n": nested(30)}), "initialisation: .*at most 8 levels"),
        (lambda _, t: t.pop("fusion.backbone.fc.bias"), "1 tensors missing"),
        (lambda _, t: t.update(extra=torch.zeros(2)), "1 tensors too many"),
        (
            lambda _, t: t.update({"fusion.backbone.fc.bias": torch.zeros(3)}),
            r"shape \(3,\); expected shape \(19,\)",
        ),
        (
            lambda _, t: t.update({"fusion.backbone.fc.bias": torch.full((19,), torch.inf)}),
            "not finite",
        ),
        (
            lambda _, t: t.update({"fusion.backbone.fc.bias": torch.zeros(19).bool()}),
            "type BOOL",
        ),
    ],
)
def test_unsound_contents(checkpoint: Path, change: Any, message: str) -> None:
    rewrite(checkpoint, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(checkpoint)
    assert str(caught.value).startswith(str(checkpoint))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"version": NaN}', "1" * 9000])
def test_damaged_metadata(checkpoint: Path, text: str) -> None:
    save_file(load_file(checkpoint), checkpoint, metadata={"geolulc": text})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: found"):
        load_checkpoint(checkpoint)


def test_weights_without_metadata(checkpoint: Path) -> None:
    save_file(load_file(checkpoint), checkpoint)
    with pytest.raises(CheckpointError, match="nothing of geolulc"):
        load_checkpoint(checkpoint)
