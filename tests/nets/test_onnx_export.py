"""Exported graphs give the same probabilities under ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from made_nets import make_net, make_patches, make_prior
from torch import Tensor

from geolulc.bands import BAND_NAMES, GROUPS, RESOLUTIONS
from geolulc.cli.export import command
from geolulc.errors import OutputError, ParameterError
from geolulc.nets import Calibration, Model, load_checkpoint, save_checkpoint
from geolulc.nets.geographic_prior import GeographicPrior
from geolulc.nets.onnx_export import DN_PER_STEP, export_onnx
from geolulc.nomenclature import BEN19


def run_raw(
    path: Path, patches: tuple[Tensor, ...], offsets: tuple[Tensor, ...]
) -> tuple[Any, dict[str, str]]:
    session = onnxruntime.InferenceSession(path)
    feed = {f"b{r}": p.numpy() for r, p in zip(RESOLUTIONS, patches, strict=False)}
    feed |= {f"offset{r}": o.numpy() for r, o in zip(RESOLUTIONS, offsets, strict=False)}
    return session.run(None, feed)[0], session.get_modelmeta().custom_metadata_map


def offsets_of(value: int) -> tuple[Tensor, ...]:
    return tuple(torch.full((len(GROUPS[r]),), value, dtype=torch.int32) for r in RESOLUTIONS)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(
        make_net(
            fusion="intermediate",
            label_correlation="on",
            cooccurrence=np.eye(19) * 0.2,
        ).eval(),
        calibration=Calibration(1.7, tuple(np.linspace(0.5, 2, 19)), tuple(np.linspace(-1, 1, 19))),
        name="made",
    )


@pytest.mark.parametrize("prior", [None, make_prior((16, 48), np.ones(19))])
def test_a_graph_without_the_models_prior_is_said_to_be_so(
    prior: GeographicPrior | None, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, Model(make_net(geographic_prior=prior)))
    result = CliRunner().invoke(command, [str(file), "--onnx", str(tmp_path / "model.onnx")])
    assert result.exit_code == 0, result.output
    assert ("without its geographic prior" in result.stdout) == (prior is not None)


def test_raw_form_by_the_command(model: Model, tmp_path: Path) -> None:
    run, path = tmp_path / "run", tmp_path / "out" / "model.onnx"
    run.mkdir()
    path.parent.mkdir()
    save_checkpoint(run / "model.safetensors", model)
    arguments = [str(run), "--onnx", str(path), "--json"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    described = json.loads(result.stdout)
    assert described["inputs"] == ["b10", "b20", "b60", "offset10", "offset20", "offset60"]
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]
    for count, offset in ((1, 0), (3, -1000)):
        patches = make_patches(count, seed=count)
        patches[0][0, :, :20] = 0  # nodata is masked inside the graph too
        got, metadata = run_raw(path, patches, offsets_of(offset))
        with torch.no_grad():
            expected = model.probabilities(model.net(*patches, offsets=offsets_of(offset)))
        np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)
    assert json.loads(metadata["classes"]) == list(BEN19.names)
    with pytest.raises(OutputError, match="it exists"):
        export_onnx(model, path)


def test_deepness_form(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(model, path, form="deepness")
    session = onnxruntime.InferenceSession(path)
    # patches whose pixels are whole steps of the 8-bit raster, equal under a coarse pixel
    steps = torch.randint(1, 255, (2, 12, 20, 20), generator=torch.Generator().manual_seed(1))
    image = steps.repeat_interleave(6, dim=2).repeat_interleave(6, dim=3)
    got = session.run(None, {session.get_inputs()[0].name: (image / 255).float().numpy()})[0]
    patches = [
        image[:, [BAND_NAMES.index(n) for n in names]][:, :, :: r // 10, :: r // 10] * DN_PER_STEP
        for r, names in GROUPS.items()
    ]
    with torch.no_grad():
        expected = model.probabilities(model.net(*patches)).numpy()
    assert got.shape == (2, 19, 120, 120)
    np.testing.assert_allclose(got[:, :, 0, 0], expected, atol=1e-4)
    np.testing.assert_array_equal(got[:, :, 119, 7], got[:, :, 0, 0])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["model_type"]) == "Segmentor"
    assert json.loads(metadata["class_names"])["18"] == "Marine waters"
    assert json.loads(metadata["resolution"]) == 1000  # centimetres
    assert json.loads(metadata["tiles_size"]) == 120


def test_published_models_on_a_real_patch(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "published-weights" / "test_resnet-s2-v0.2.0"
    reference = np.load(folder / "reference_realpatch.npz")
    published = load_checkpoint(folder)
    patches = tuple(
        torch.from_numpy(np.stack([reference[f"band_{b}"] for b in names])[None])
        for names in published.net.bands.values()
    )
    offsets = tuple(torch.zeros(p.shape[1], dtype=torch.int32) for p in patches)
    export_onnx(published, tmp_path / "model.onnx")
    got, _ = run_raw(tmp_path / "model.onnx", patches, offsets)
    order = [BEN19.index(str(name)) for name in reference["labels"]]
    np.testing.assert_allclose(got[0, order], reference["probs"], atol=1e-4)


def test_unknown_form(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no such ONNX form; expected one of raw, deepness"):
        export_onnx(model, tmp_path / "model.onnx", form="other")
