"""Random forests as models of pixels: the same trees as scikit-learn's, kept, evaluated, mapped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from made_pixels import make_pixel_store
from made_product import make_product, random_bands
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from geolulc.bands import GROUPS, SENTINEL2
from geolulc.cli import cli
from geolulc.datasets import open_store
from geolulc.errors import CheckpointError, ParameterError
from geolulc.learning import TrainConfig
from geolulc.learning import forest as forests
from geolulc.learning.baseline import score_forest
from geolulc.learning.forest import grow_forest, joined, read_pixels
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_evaluation import evaluate_pixels
from geolulc.mapping import MapOptions, predict_scene
from geolulc.nets import describe_model, load_checkpoint
from geolulc.nets.forest import ForestFusion
from geolulc.nomenclature import BEN19

#: Of the classes, as a map's raster has them.
CODES = [c.code for c in BEN19.classes]


#: Trees in these tests.
TREES = 6


@pytest.fixture(autouse=True, scope="module")
def _few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(forests, "_TREES", TREES)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pixel_store(tmp_path_factory.mktemp("forest") / "p.store", train=4, val=1, test=2)


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "forest"
    say("train", store, run, "--task", "pixel", "--backbone", "forest", "-q")
    return run


def say(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == 1
    return str(result.exception)


class TestTrees:
    def test_they_say_what_those_of_scikit_learn_say(self, store: Path) -> None:
        train, test = (SplitPatches(open_store(store), s, masks=True) for s in ("train", "test"))
        forest = grow_forest(train, {10: ("B04", "B08"), 60: ("B01",)}, seed=3)
        x, _ = joined([*read_pixels(test, forest.net, step=7)])
        assert x.shape[1] == forest.net.fusion.count == 7
        expected = np.zeros((len(x), len(train.classes)))
        expected[:, forest.classifier.classes_] = forest.classifier.predict_proba(x)
        found = forest.net.fusion.shares_of(torch.from_numpy(x)).numpy()
        assert np.abs(found - expected).max() < 1e-6
        depths = [e.tree_.max_depth for e in forest.classifier.estimators_]
        assert forest.net.fusion.depths == depths

    def test_what_they_see(self) -> None:
        rng = np.random.default_rng(0)
        dn = {r: rng.integers(1, 4000, (1, len(names), 1200 // r, 1200 // r))
              for r, names in GROUPS.items()}  # fmt: skip
        dn[10][0, :, 48, 60] = 0  # no data beside the pixel that is looked at
        fusion = ForestFusion(GROUPS, 2)
        groups = [torch.from_numpy(x).float() for x in dn.values()]
        row = fusion.features(*groups)[0, :, 50, 61].numpy()
        assert row[:4].tolist() == dn[10][0, :, 50, 61].tolist()
        assert row[4:10].tolist() == dn[20][0, :, 25, 30].tolist()
        assert row[10:12].tolist() == dn[60][0, :, 8, 10].tolist()
        around = dn[10][0, 1, 48:53, 59:64].ravel()
        around = around[around > 0]
        assert len(around) == 24
        assert row[14] == pytest.approx(around.mean(), rel=1e-5)
        assert row[15] == pytest.approx(around.std(), rel=1e-4)
        # at the corner of a patch: what lies in it
        corner = fusion.features(*groups)[0, 12:14, 0, 0].numpy()
        inside = dn[10][0, 0, :3, :3]
        assert corner == pytest.approx([inside.mean(), inside.std()], rel=1e-4)

    def test_a_window_says_the_same_wherever_it_begins(self, run: Path) -> None:
        net = load_checkpoint(run).net
        groups = [torch.randint(1, 4000, (1, *shape)) for shape in net.shapes]
        with torch.inference_mode():
            whole = net.classify(*net.preprocess(*groups))
            parts = [x[..., 1 * 60 // r : 11 * 60 // r, : 9 * 60 // r] for x, r in
                     zip(groups, net.bands, strict=True)]  # fmt: skip
            part = net.classify(*net.preprocess(*parts), border=60)
        assert torch.equal(part, whole[..., 12:60, 6:48])


class TestKept:
    def test_a_run_is_a_model_with_the_baselines_figures(self, store: Path, run: Path) -> None:
        model, opened = load_checkpoint(run), open_store(store)
        assert model.provenance["trees"] == TREES
        assert model.net.config.backbone == "forest"
        train, test = (SplitPatches(opened, s, masks=True) for s in ("train", "test"))
        baseline = score_forest(train, test, model.net.bands)
        evaluation = evaluate_pixels(model, opened, "test", workers=0)
        assert evaluation.figures["miou"] == pytest.approx(baseline.figures["miou"], abs=1e-3)
        assert evaluation.pixels == baseline.scored
        summary = json.loads((run / "summary.json").read_text())
        assert summary["figures"]["val_miou"] > 0.5
        assert "forest" in say("info", run)
        assert describe_model(run)["backbone"] == "forest"

    def test_resuming_and_repeating_change_nothing(
        self, store: Path, run: Path, tmp_path: Path
    ) -> None:
        before = (run / "model.safetensors").read_bytes()
        say("train", store, run, "--task", "pixel", "--backbone", "forest", "-q", "--resume")
        assert (run / "model.safetensors").read_bytes() == before
        again = tmp_path / "forest"
        say("train", store, again, "--task", "pixel", "--backbone", "forest", "-q")
        first, second = (load_file(r / "model.safetensors") for r in (run, again))
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_it_maps_and_strips_change_no_pixel(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make_product(tmp_path, random_bands(3_600, 2_400))
        model, options = load_checkpoint(run), MapOptions(device="cpu", mask_scl=())
        whole = predict_scene(path, model, options=options).block.probabilities
        # small windows, many strips, other batches
        monkeypatch.setattr("geolulc.mapping.windows._SIDE", 720)
        smaller = replace(options, batch_size=3, threads=1)
        parts = predict_scene(path, model, options=smaller).block.probabilities
        assert np.abs(whole - parts).max() < 1e-4
        out = tmp_path / "map.tif"
        say("map", path, "--out", out, "--model", run, "--mask-scl", "", "-q")
        with rasterio.open(out) as file:
            assert (file.read(1) == np.array(CODES)[parts.argmax(axis=0)]).mean() > 0.999
        described = json.loads((tmp_path / "map_model.json").read_text())
        assert described["properties"]["mlm:architecture"] == "forest"

    def test_folds_and_verdict(self, store: Path, run: Path) -> None:
        text = say("evaluate", run, store, "--split", "test", "--baseline", "forest", "-q")
        assert "alike" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "patch"], "backbone forest: found task 'patch'; expected 'pixel'"),
        (["--epochs", "3"], "backbone forest: found epochs 3; expected 30"),
        (["--pretrained", "dynamicworld-student"], "found pretrained 'dynamicworld-student'"),
        (["--fusion", "late"], "found fusion 'late'"),
        (["--bands", "B05,B11"], "found bands of 20 m"),
    ],
)
def test_what_a_forest_has_no_use_for(
    store: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    arguments = ["--task", "pixel", "--backbone", "forest", *options, "-q"]
    assert message in refused("train", store, tmp_path / "run", *arguments)
    assert not (tmp_path / "run").exists()


class TestDamaged:
    @pytest.mark.parametrize(
        ("table", "value", "message"),
        [
            ("below", 0, "a node before its parent"),
            ("below", 10**6, "a node before its parent, or not there"),
            ("feature", 99, "a feature 99"),
            ("leaf", -1, "a leaf"),
            ("roots", 10**6, "a root 1000000"),
            ("shares", 0.5, "shares that are no probabilities"),
            ("shares", float("nan"), "values in fusion.shares that are not finite"),
            ("threshold", float("nan"), "values in fusion.threshold that are not finite"),
            ("threshold", float("inf"), "values in fusion.threshold that are not finite"),
        ],
    )
    def test_numbers_that_are_no_trees_are_refused(
        self, run: Path, tmp_path: Path, table: str, value: float, message: str
    ) -> None:
        tensors = load_file(run / "model.safetensors")
        with safe_open(run / "model.safetensors", "pt") as file:
            metadata = file.metadata()
        tensors[f"fusion.{table}"].view(-1)[2] = value
        broken = tmp_path / "broken.safetensors"
        save_file(tensors, broken, metadata=metadata)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(broken)

    @pytest.mark.parametrize("gone", ["roots", "shares"])
    def test_tables_that_are_missing(self, run: Path, tmp_path: Path, gone: str) -> None:
        tensors = load_file(run / "model.safetensors")
        with safe_open(run / "model.safetensors", "pt") as file:
            metadata = file.metadata()
        del tensors[f"fusion.{gone}"]
        broken = tmp_path / "broken.safetensors"
        save_file(tensors, broken, metadata=metadata)
        with pytest.raises(CheckpointError, match="1 tensors missing"):
            load_checkpoint(broken)


def test_a_graph_of_it_is_refused(run: Path, tmp_path: Path) -> None:
    assert "found a random forest" in refused("export", run, "--onnx", tmp_path / "graph.onnx")
    assert not (tmp_path / "graph.onnx").exists()


def test_bands_are_those_that_are_asked_for(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "two"
    say("train", store, run, "--task", "pixel", "--backbone", "forest", "--bands", "B08,B11", "-q")
    assert load_checkpoint(run).net.bands == {10: ("B08",), 20: ("B11",)}
    config = TrainConfig(task="pixel", backbone="forest", bands="B08,B11")
    assert config.names(SENTINEL2) == ("B08", "B11")
    with pytest.raises(ParameterError, match="backbone forest"):
        replace(config, attention="cbam")
