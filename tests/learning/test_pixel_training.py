"""Training and evaluating models of pixels."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_pixels import make_pixel_store
from safetensors.torch import load_file

from geolulc.cli import cli
from geolulc.datasets import open_store
from geolulc.errors import CheckpointError, DatasetError, ParameterError
from geolulc.learning import TrainConfig, train
from geolulc.learning.evaluation import predict
from geolulc.learning.interruption import TrainingInterrupted
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_evaluation import evaluate_pixels, map_patches
from geolulc.learning.pixel_metrics import overall_figures
from geolulc.learning.pixel_report import write_pixel_report
from geolulc.nets import Model, load_checkpoint
from geolulc.nomenclature import BEN19

QUICK = TrainConfig(
    task="pixel", backbone="test_resnet", trunk="shallow", epochs=2, batch_size=2,
    learning_rate=3e-3, ema_decay=0.5, drop_rate=0.1, spectral_jitter=0.05,
    pixel_loss="ce+dice", patch_loss=0.2, ignore_border=10, class_weights="balanced", workers=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_pixel_store(tmp_path_factory.mktemp("pixels") / "made.store")


@pytest.fixture(scope="module")
def run(store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(store, folder, QUICK)
    return folder


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))


def timeless(run: Path) -> list[dict[str, str]]:
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "patches_per_second")}
        for row in history(run)
    ]


class StopAt:
    """Interrupts after a step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self._step = step

    def step(self, done, total, figures) -> None:
        if done == self._step:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)

    def epoch(self, figures) -> None:
        pass

    def close(self) -> None:
        pass


class TestTraining:
    def test_a_run_leaves_a_model_of_pixels(self, run, store) -> None:
        assert {p.name for p in run.iterdir()} == {
            "class_iou.png", "config.toml", "history.csv", "history.png", "model.safetensors",
            "summary.json", ".geolulc.json",
        }  # fmt: skip
        model = load_checkpoint(run)
        assert model.net.task == "pixel"
        assert model.net.classes == BEN19.names
        rows = history(run)
        best = max(rows, key=lambda row: float(row["val_miou"]))
        assert model.provenance["epoch"] == int(best["epoch"])
        assert model.provenance["validation"]["miou"] == float(best["val_miou"])
        assert model.provenance["config"]["task"] == "pixel"
        summary = json.loads((run / "summary.json").read_text())
        present = {k for k, v in summary["class_iou"].items() if v is not None}
        assert 3 < len(present) < 19
        assert summary["figures"]["val_agreement"] > 0.3

    def test_runs_repeat_and_resume_bit_for_bit(self, run, store, tmp_path) -> None:
        with pytest.raises(TrainingInterrupted):
            train(store, tmp_path / "run", QUICK, trackers=[StopAt(5)])
        assert (tmp_path / "run" / "state.safetensors").is_file()
        train(store, tmp_path / "run", QUICK, resume=True)
        one, other = (load_file(f / "model.safetensors") for f in (run, tmp_path / "run"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[k], other[k]) for k in one)
        assert timeless(run) == timeless(tmp_path / "run")

    @pytest.mark.parametrize("fusion", ["intermediate", "late"])
    def test_the_other_fusions_learn_too(self, fusion, store, tmp_path) -> None:
        config = TrainConfig(
            task="pixel", fusion=fusion, backbone="test_resnet", epochs=1, batch_size=4, workers=0
        )
        summary = train(store, tmp_path / "run", config)
        assert np.isfinite(summary["figures"]["val_loss"])

    def test_a_store_without_maps_is_said_in_one_line(self, tmp_path) -> None:
        from made_archives import make_store

        bare = make_store(tmp_path / "bare.store", 8)
        with pytest.raises(DatasetError, match="no reference map in the split train") as caught:
            train(bare, tmp_path / "run", QUICK)
        assert "--reference-maps" in str(caught.value)
        assert not (tmp_path / "run").exists()

    def test_the_first_bias_knows_how_common_classes_are(self, store) -> None:
        from geolulc.learning.networks import make_net

        patches = SplitPatches(open_store(store), "train", masks=True)
        shares = patches.pixel_shares
        assert shares.sum() == pytest.approx(1)
        net = make_net(patches, QUICK, torch.device("cpu"))
        said = torch.softmax(net.fusion.head.classifier.bias, dim=0).detach().numpy()
        assert np.abs(said - shares).max() < 0.01

    def test_rates_can_be_tried(self, store) -> None:
        from geolulc.learning.rate_finder import find_rate

        curve = find_rate(store, replace(QUICK, batch_size=2), steps=6)
        assert len(curve.rates) >= 3


class TestEvaluation:
    @pytest.fixture
    def evaluation(self, run, store):
        return evaluate_pixels(load_checkpoint(run), open_store(store), "test", workers=0)

    def test_figures_are_those_of_the_maps(self, evaluation, run, store) -> None:
        model, opened = load_checkpoint(run), open_store(store)
        patches = SplitPatches(opened, "test", masks=True)
        found = list(map_patches(model, patches, torch.device("cpu"), batch_size=3))
        truth = torch.cat([f.truth for f in found]).numpy()
        mapped = torch.cat([f.mapped for f in found]).numpy()
        known = truth != 255
        assert evaluation.pixels == known.sum()
        # the first four rows of each made patch are roads
        assert evaluation.ignored == pytest.approx(4 / 120)
        assert evaluation.figures["agreement"] == pytest.approx((truth == mapped)[known].mean())
        for c, row in enumerate(evaluation.classes):
            both = ((truth == c) & (mapped == c)).sum()
            either = (((truth == c) | (mapped == c)) & known).sum()
            if row["support"]:
                assert row["iou"] == pytest.approx(both / either)
            else:
                assert row["name"] in evaluation.absent
                assert np.isnan(row["iou"])
        assert evaluation.figures["miou"] == pytest.approx(
            np.mean([r["iou"] for r in evaluation.classes if r["support"]])
        )

    def test_borders_and_groups_add_up(self, evaluation) -> None:
        figures, pixels = evaluation.figures, evaluation.pixels
        for metres in (20, 50):
            share = figures[f"share_within_{metres}m"]
            total = (
                share * figures[f"agreement_within_{metres}m"]
                + (1 - share) * figures[f"agreement_beyond_{metres}m"]
            )
            assert total == pytest.approx(figures["agreement"])
        assert 0 < figures["share_within_20m"] < figures["share_within_50m"] < 1
        for groups in (evaluation.countries, evaluation.seasons):
            assert sum(g["pixels"] for g in groups.values()) == pixels
            assert sum(g["patches"] for g in groups.values()) == evaluation.patches
        assert overall_figures(np.array(evaluation.confusion))["miou"] == figures["miou"]
        assert 0 <= figures["ece"] <= 1

    def test_classes_are_found_by_name(self, evaluation, run, store) -> None:
        model = load_checkpoint(run)
        order = np.random.default_rng(0).permutation(19)
        model.net.classes = tuple(BEN19.names[i] for i in order)
        head = model.net.fusion.head.classifier
        with torch.no_grad():
            head.weight.copy_(head.weight[order])
            head.bias.copy_(head.bias[order])
        shifts = tuple(np.array(model.calibration.shifts)[order].tolist())
        renamed = Model(model.net, calibration=replace(model.calibration, shifts=shifts))
        again = evaluate_pixels(renamed, open_store(store), "test", workers=0)
        assert again.figures["miou"] == pytest.approx(evaluation.figures["miou"])
        assert {r["name"]: r["support"] for r in again.classes} == {
            r["name"]: r["support"] for r in evaluation.classes
        }

    def test_the_report_says_what_the_figures_are(self, evaluation, run, store, tmp_path) -> None:
        model, opened = load_checkpoint(run), open_store(store)
        write_pixel_report(model, opened, evaluation, tmp_path / "report")
        assert {p.name for p in (tmp_path / "report").iterdir()} == {
            "report.md", "evaluation.json", "class_iou.png", "confusion.png", "patches.png",
            ".geolulc.json",
        }  # fmt: skip
        text = (tmp_path / "report" / "report.md").read_text()
        assert "Agreement with CORINE, not accuracy" in text
        assert "25 ha" in text
        assert "| Industrial or commercial units | 0 |" in text
        assert "absent | absent" in text
        found = json.loads((tmp_path / "report" / "evaluation.json").read_text())
        assert found["figures"]["miou"] == evaluation.figures["miou"]

    def test_a_patch_model_and_a_pixel_model_are_not_confused(self, run, store) -> None:
        with pytest.raises(CheckpointError, match="task pixel"):
            predict(load_checkpoint(run), open_store(store), "test")

    def test_a_split_without_patches(self, run, tmp_path) -> None:
        store = open_store(make_pixel_store(tmp_path / "s.store", train=2, val=2, test=0))
        with pytest.raises(DatasetError, match="no patch in the split test"):
            evaluate_pixels(load_checkpoint(run), store, "test")


class TestCommands:
    def test_train_evaluate_and_info(self, store, tmp_path) -> None:
        run = tmp_path / "run"
        done = CliRunner().invoke(
            cli,
            ["train", str(store), str(run), "--task", "pixel", "--backbone", "test_resnet",
             "--epochs", "1", "--batch-size", "4", "--pixel-loss", "ce", "--ignore-border", "20",
             "--set", "trunk=shallow", "--quiet"],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "validation mIoU 0." in done.output
        assert ", agreement 0." in done.output
        done = CliRunner().invoke(cli, ["evaluate", str(run), str(store), "--quiet"])
        assert done.exit_code == 0, done.output
        assert "Agreement with CORINE, not accuracy" in done.output
        assert "absent, out of the means: " in done.output
        done = CliRunner().invoke(
            cli, ["evaluate", str(run), str(store), "--split", "test", "--json", "--quiet"]
        )
        assert json.loads(done.stdout)["patches"] == 4
        done = CliRunner().invoke(cli, ["evaluate", str(run), str(store), "--seed-compat"])
        assert done.exit_code == 2
        done = CliRunner().invoke(cli, ["info", str(run), "--json"])
        assert json.loads(done.stdout)["task"] == "pixel"

    def test_settings_of_the_other_task_are_one_line(self, store, tmp_path) -> None:
        with pytest.raises(ParameterError, match="with the task patch"):
            CliRunner().invoke(
                cli,
                ["train", str(store), str(tmp_path / "run"), "--pixel-loss", "ce+dice"],
                catch_exceptions=False,
            )
