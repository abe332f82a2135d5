"""Fractions of cover: loss, figures, training, checkpoint, evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_pixels import make_pixel_store
from scipy.special import softmax

from geolulc.cli import cli
from geolulc.datasets import open_store
from geolulc.errors import CheckpointError, DatasetError, ParameterError
from geolulc.learning import TrainConfig, train
from geolulc.learning.calibration import fit_softmax_calibration
from geolulc.learning.evaluation import predict
from geolulc.learning.fraction_evaluation import evaluate_fractions, predict_fractions
from geolulc.learning.fractions import FractionFigures, cover_losses, covers_of, fraction_loss
from geolulc.nets import Model, load_checkpoint
from geolulc.nomenclature import BEN19, IGNORED

QUICK = TrainConfig(
    task="fraction", backbone="test_resnet", epochs=3, batch_size=2, learning_rate=3e-3,
    ema_decay=0.5, workers=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_pixel_store(tmp_path_factory.mktemp("covers") / "made.store", test=9)


@pytest.fixture(scope="module")
def run(store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(store, folder, QUICK)
    return folder


def random_masks(seed: int, patches: int, classes: int, side: int = 12) -> torch.Tensor:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, (patches, side, side)).astype(np.uint8)
    truth[random.random(truth.shape) < 0.2] = IGNORED
    return torch.from_numpy(truth)


class TestLoss:
    def test_covers_are_shares_of_all_pixels(self) -> None:
        truth = torch.full((3, 4, 4), IGNORED, dtype=torch.uint8)
        truth[0, 0] = 2
        truth[1] = 0
        found = covers_of(truth, 3)
        assert found.tolist() == [[0, 0, 0.25], [1, 0, 0], [0, 0, 0]]

    def test_it_is_the_mean_cross_entropy_of_labelled_pixels(self) -> None:
        truth = random_masks(0, 5, 4)
        logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
        by_pixel = torch.nn.functional.cross_entropy(
            logits[:, :, None, None].expand(-1, -1, 12, 12), truth.long(), ignore_index=IGNORED,
            reduction="none",
        )  # fmt: skip
        assert torch.allclose(fraction_loss(logits, truth), by_pixel.mean(dim=(1, 2)), atol=1e-6)
        labelled = (truth != IGNORED).sum()
        whole = cover_losses(covers_of(truth, 4).numpy(), logits.numpy())
        assert whole == pytest.approx(float(by_pixel.sum() / labelled), rel=1e-6)

    def test_a_patch_without_a_class_costs_nothing(self) -> None:
        logits = torch.randn(1, 3, requires_grad=True)
        loss = fraction_loss(logits, torch.full((1, 4, 4), IGNORED, dtype=torch.uint8))
        loss.sum().backward()
        assert loss.item() == 0
        assert not logits.grad.any()

    def test_its_lowest_point_has_the_areas_of_the_reference(self) -> None:
        """One answer for all patches: the fractions of the ground, however it is spread."""
        truth = random_masks(3, 40, 5)
        truth[:7, :6] = 1
        covers = covers_of(truth, 5)
        logits = torch.zeros(1, 5, requires_grad=True)
        optimiser = torch.optim.LBFGS([logits], max_iter=100)

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = fraction_loss(logits.expand(40, -1), truth).sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        expected = covers.sum(dim=0) / covers.sum()
        assert torch.allclose(torch.softmax(logits[0], dim=0), expected, atol=1e-4)


class TestFigures:
    def test_they_are_those_of_the_ground(self) -> None:
        random = np.random.default_rng(0)
        covers = random.dirichlet(np.full(4, 0.4), 30) * random.uniform(0.3, 1, (30, 1))
        covers[:, 3] = 0
        fractions = random.dirichlet(np.full(4, 0.4), 30)
        figures = FractionFigures(covers, fractions, np.array([f"t{i % 6}" for i in range(30)]))
        whole, ground = figures.whole, covers.sum()
        said = fractions * covers.sum(axis=1, keepdims=True)
        bias = (said.sum(axis=0) - covers.sum(axis=0)) / ground
        assert figures.clusters == 6
        assert figures.of_class("bias", whole) == pytest.approx(bias)
        assert figures.of_class("mapped", whole).sum() == pytest.approx(1)
        assert whole["overlap"] == pytest.approx(np.minimum(said, covers).sum() / ground)
        assert whole["area_error"] == pytest.approx(np.abs(bias).sum() / 2)
        # a class that the reference does not have is in no mean
        mae = np.abs(said - covers).sum(axis=0) / ground
        assert whole["mae"] == pytest.approx(mae[:3].mean())
        largest = np.eye(4)[fractions.argmax(axis=1)] * covers.sum(axis=1, keepdims=True)
        assert figures.of_class("largest", whole) == pytest.approx(largest.sum(axis=0) / ground)

    def test_a_resample_is_the_repeated_patches(self) -> None:
        random = np.random.default_rng(1)
        covers, fractions = (random.dirichlet(np.ones(3), 8) for _ in range(2))
        clusters = np.repeat(["a", "b"], 4)
        twice = FractionFigures(covers, fractions, clusters)(np.array([2.0, 0.0]))
        alone = FractionFigures(covers[:4], fractions[:4], clusters[:4]).whole
        assert twice == pytest.approx(alone)


def test_calibration_takes_shares_and_keeps_areas() -> None:
    random = np.random.default_rng(0)
    covers = random.dirichlet(np.full(5, 0.3), 3000) * random.uniform(0.5, 1, (3000, 1))
    logits = 2.5 * np.log(covers + 0.02) + np.array([2.0, 0, -1, 0, 0.5])
    found = fit_softmax_calibration(logits, covers)
    fractions = softmax(found.logits(logits), axis=1) * covers.sum(axis=1, keepdims=True)
    assert fractions.sum(axis=0) == pytest.approx(covers.sum(axis=0), rel=0.005)
    # one class a row is the same question
    positions = covers.argmax(axis=1)
    one, other = (fit_softmax_calibration(logits, t) for t in (positions, np.eye(5)[positions]))
    assert one.shifts == pytest.approx(other.shifts)


class TestTraining:
    def test_a_run_leaves_a_model_of_fractions(self, run, store) -> None:
        assert (run / "class_mae.png").is_file()
        model = load_checkpoint(run)
        assert model.net.task == "fraction"
        logits = torch.randn(3, 19)
        fractions = model.probabilities(logits)
        assert torch.allclose(fractions.sum(dim=-1), torch.ones(3))
        # any number of axes before that of the classes, as shared trunks give them
        assert torch.equal(model.probabilities(logits[None])[0], fractions)
        assert all(0 < t < 1 for t in model.thresholds)
        summary = json.loads((run / "summary.json").read_text())
        assert 0.2 < summary["figures"]["val_overlap"] <= 1
        assert model.provenance["validation"]["overlap"] == summary["figures"]["val_overlap"]

    def test_the_first_bias_knows_the_areas(self, store) -> None:
        from geolulc.learning.networks import make_net, output_layer
        from geolulc.learning.patches import SplitPatches

        patches = SplitPatches(open_store(store), "train", masks=True)
        net = make_net(patches, QUICK, torch.device("cpu"))
        said = torch.softmax(output_layer(net, torch.nn.Linear).bias, dim=0).detach().numpy()
        assert np.abs(said - patches.pixel_shares).max() < 0.01

    @pytest.mark.parametrize("fusion", ["intermediate", "late"])
    def test_the_other_fusions_learn_too(self, fusion, store, tmp_path) -> None:
        summary = train(store, tmp_path / "run", replace(QUICK, fusion=fusion, epochs=1))
        assert np.isfinite(summary["figures"]["val_loss"])

    def test_a_store_without_maps_is_said_in_one_line(self, tmp_path) -> None:
        from made_archives import make_store

        bare = make_store(tmp_path / "bare.store", 8)
        with pytest.raises(DatasetError, match="no reference map in the split train"):
            train(bare, tmp_path / "run", QUICK)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("mixup", 0.2), ("class_weights", "balanced"), ("label_smoothing", 0.1), ("loss", "asl"),
         ("label_correlation", "on"), ("pixel_loss", "ce+dice")],
    )  # fmt: skip
    def test_what_would_bend_areas_is_refused(self, name, value) -> None:
        with pytest.raises(ParameterError, match=f"{name}|task fraction"):
            replace(QUICK, **{name: value})


@pytest.fixture(scope="module")
def found(run, store):
    return predict_fractions(load_checkpoint(run), open_store(store), "test", workers=0)


class TestEvaluation:
    def test_the_covers_are_those_of_the_reference_maps(self, found, store) -> None:
        opened = open_store(store)
        for row, index in enumerate(found.patches.indices):
            positions = BEN19.positions_of_clc(opened.read(int(index)).reference)
            counts = np.bincount(positions.ravel(), minlength=256)[:19]
            assert found.covers[row] == pytest.approx(counts / 14400)
        assert found.fractions.sum(axis=1) == pytest.approx(1)

    def test_figures(self, found) -> None:
        evaluation = evaluate_fractions(found)
        # the first four rows of each made patch are roads
        assert evaluation.labelled == pytest.approx(1 - 4 / 120)
        rows = [row for row in evaluation.classes if row["support"]]
        assert sum(row["cover"] for row in rows) == pytest.approx(1)
        for row in rows:
            assert row["bias"] == pytest.approx(row["mapped"] - row["cover"])
        assert evaluation.figures["mae"] == pytest.approx(np.mean([r["mae"] for r in rows]))
        assert {row["name"] for row in rows} | set(evaluation.absent) == set(BEN19.names)
        assert evaluation.clusters < 5
        assert not evaluation.intervals
        assert np.isnan(rows[0]["bias_low"])

    def test_classes_have_intervals_by_tile(self, found, monkeypatch) -> None:
        patches = found.patches
        tiles = np.array([f"t{i}" for i in range(len(patches))])
        monkeypatch.setattr(type(patches), "clusters", property(lambda _: tiles))
        evaluation = evaluate_fractions(found)
        for row in evaluation.classes:
            if row["support"] > 2:
                assert row["bias_low"] <= row["bias"] <= row["bias_high"]
                assert row["mae_low"] < row["mae"] < row["mae_high"]
        low, high = evaluation.intervals["overlap"]
        assert low < evaluation.figures["overlap"] < high

    def test_classes_are_found_by_name(self, found, run, store) -> None:
        model = load_checkpoint(run)
        order = np.random.default_rng(0).permutation(19)
        model.net.classes = tuple(BEN19.names[i] for i in order)
        from geolulc.learning.networks import output_layer

        head = output_layer(model.net, torch.nn.Linear)
        with torch.no_grad():
            head.weight.copy_(head.weight[order])
            head.bias.copy_(head.bias[order])
        shifts = tuple(np.array(model.calibration.shifts)[order].tolist())
        renamed = Model(model.net, calibration=replace(model.calibration, shifts=shifts))
        again = evaluate_fractions(predict_fractions(renamed, open_store(store), "test", workers=0))
        expected = {row["name"]: row["bias"] for row in evaluate_fractions(found).classes}
        assert {row["name"]: row["bias"] for row in again.classes} == pytest.approx(expected)

    def test_another_task_is_one_line(self, run, store) -> None:
        with pytest.raises(CheckpointError, match="task fraction"):
            predict(load_checkpoint(run), open_store(store), "test")


def test_the_areas_of_classes_are_three_times_as_good_as_those_of_largest_classes(tmp_path) -> None:
    """On finely mixed landscapes that neither training nor calibration has seen."""
    mixed = make_pixel_store(tmp_path / "mixed.store", train=54, val=27, test=45)
    train(mixed, tmp_path / "run", replace(QUICK, image_size=32, epochs=20, batch_size=9))
    model = load_checkpoint(tmp_path / "run")
    found = evaluate_fractions(predict_fractions(model, open_store(mixed), "test", workers=0))
    rows = [row for row in found.classes if row["support"]]
    cover = np.array([row["cover"] for row in rows])
    ours, largest = (
        np.mean([abs(row[name] - c) / c for row, c in zip(rows, cover, strict=True)])
        for name in ("mapped", "largest")
    )
    assert ours < largest / 3
    assert ours < 0.12


def test_commands(run, store, tmp_path) -> None:
    invoke = CliRunner().invoke
    done = invoke(
        cli,
        ["train", str(store), str(tmp_path / "run"), "--task", "fraction", "--backbone",
         "test_resnet", "--epochs", "1", "--batch-size", "4", "--quiet"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "validation overlap 0." in done.output
    report = tmp_path / "report"
    done = invoke(
        cli,
        ["evaluate", str(run), str(store), "--split", "test", "--quiet", "--report", str(report)],
    )
    assert done.exit_code == 0, done.output
    assert "Agreement with CORINE, not accuracy" in done.output
    assert "area_error" in done.output
    assert {p.name for p in report.iterdir()} == {
        "report.md", "evaluation.json", "class_mae.png", "fractions.png", ".geolulc.json",
    }  # fmt: skip
    assert "bias" in (report / "report.md").read_text()
    done = invoke(cli, ["evaluate", str(run), str(store), "--seed-compat"])
    assert done.exit_code == 2
    done = invoke(cli, ["info", str(run), "--json"])
    assert json.loads(done.stdout)["task"] == "fraction"
