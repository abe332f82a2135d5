from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_archives import make_patch, make_store
from safetensors.torch import load_file

from geolulc.datasets import open_store
from geolulc.datasets.domain import training_domain
from geolulc.domain import domain_of
from geolulc.errors import DatasetError, GeolulcError, OutputError, TrainingError
from geolulc.learning import TrainConfig, objective, train, training
from geolulc.learning.config import read_config
from geolulc.learning.interruption import TrainingInterrupted
from geolulc.learning.run_folder import RunFolder
from geolulc.nets import Calibration, load_checkpoint
from geolulc.ownership import ANY
from geolulc.staging import claimed

FILES = {
    ".geolulc.json", "class_ap.png", "config.toml", "history.csv", "history.png",
    "model.safetensors", "summary.json",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch) -> None:
    """Drawing takes longer than these trainings; ``whole`` is drawn before this applies."""
    monkeypatch.setattr(training, "write_run_plots", lambda *_: None)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    """Both runs chose the same weights, bit for bit, and had the same history but for time."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert [figures(r) for r in history(one)] == [figures(r) for r in history(other)]


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))


def figures(row: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in row.items() if "second" not in k}


class Script:
    """A tracker that does something at a step or an epoch, and counts."""

    def __init__(self, at_step: int = -1, at_epoch: int = -1, act=lambda: None) -> None:
        self.at_step, self.at_epoch, self.act = at_step, at_epoch, act
        self.steps: list[int] = []
        self.closed = 0

    def step(self, done, total, figures) -> None:
        self.steps.append(done)
        if done == self.at_step:
            self.act()

    def epoch(self, figures) -> None:
        if figures["epoch"] == self.at_epoch:
            self.act()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory) -> Path:
    """The run of ``quick``, not interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    config = TrainConfig(
        backbone="test_resnet", epochs=3, batch_size=8, ema_decay=0.9, drop_rate=0.2, mixup=0.3,
        spectral_jitter=0.05, workers=0,
    )  # fmt: skip
    train(made, run, config)
    return run


def test_a_run_leaves_a_model_its_config_and_history(whole, made, quick) -> None:
    assert {p.name for p in whole.iterdir()} == FILES
    assert (whole / "history.png").read_bytes().startswith(b"\x89PNG")
    assert TrainConfig.from_mapping(read_config(whole / "config.toml")) == quick
    rows = history(whole)
    assert [r["epoch"] for r in rows] == ["1", "2", "3"]
    model, store = load_checkpoint(whole), open_store(made)
    best = max(rows, key=lambda r: float(r["val_ap_macro"]))
    assert model.provenance["epoch"] == int(best["epoch"])
    assert model.provenance["validation"]["ap_macro"] == float(best["val_ap_macro"])
    assert model.provenance["config"] == quick.as_mapping()
    assert model.provenance["train_patches"] == len(store.split("train"))
    assert domain_of(model.provenance) == training_domain(store)
    assert model.net.classes == store.nomenclature.names
    for band, statistics in store.statistics.items():
        assert model.net.normalisation.mean[band] == statistics.mean
        assert model.net.normalisation.std[band] == statistics.std


def test_the_same_seed_gives_the_same_weights_and_another_others(
    whole, made, quick, tmp_path
) -> None:
    train(made, tmp_path / "again", replace(quick, workers=2))
    again, first = weights(tmp_path / "again"), weights(whole)
    assert all(torch.equal(again[k], first[k]) for k in first)
    train(made, tmp_path / "other", replace(quick, seed=1))
    other = weights(tmp_path / "other")
    assert not all(torch.equal(other[k], first[k]) for k in first)


def test_it_learns_what_the_pixels_say(tmp_path) -> None:
    classes = ("Urban fabric", "Pastures", "Inland waters", "Coniferous forest")
    store = make_store(tmp_path / "made.store", 48, classes=classes)
    config = TrainConfig(
        backbone="test_resnet", epochs=12, batch_size=8, learning_rate=1e-2, ema_decay=0.8
    )
    summary = train(store, tmp_path / "run", config)
    rows = history(tmp_path / "run")
    assert float(rows[-1]["train_loss"]) < 0.5 * float(rows[0]["train_loss"])
    assert summary["figures"]["val_ap_macro"] > 0.95


@pytest.mark.parametrize("step", [1, 2, 4])
def test_sigterm_then_resume_ends_with_the_same_weights(whole, made, quick, tmp_path, step) -> None:
    run = tmp_path / "run"
    stop = Script(at_step=step, act=lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingInterrupted) as caught:
        train(made, run, quick, trackers=[stop])
    assert caught.value.number == signal.SIGTERM
    assert stop.closed == 1
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    going_on = Script()
    train(made, run, quick, resume=True, trackers=[going_on])
    assert going_on.steps[0] == caught.value.step + 2 * (caught.value.epoch - 1) + 1
    assert_same(run, whole)
    assert not (run / "state.safetensors").exists()


def test_ctrl_c_after_an_epoch_then_resume(whole, made, quick, tmp_path) -> None:
    run = tmp_path / "run"
    stop = Script(at_epoch=2, act=lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(TrainingInterrupted, match="epoch 2"):
        train(made, run, quick, trackers=[stop])
    # what is there at that moment is a model
    assert load_checkpoint(run).provenance["epoch"] in (1, 2)
    train(made, run, quick, resume=True)
    assert_same(run, whole)


KILLED = """
import os, signal, sys
from pathlib import Path
from geolulc.learning import TrainConfig, run_folder, train
from geolulc.learning.config import read_config

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

class Killer:
    def step(self, done, total, figures):
        if sys.argv[4] == f"step {done}":
            die()
    def epoch(self, figures):
        pass
    def close(self):
        pass

if sys.argv[4].startswith("writing"):
    plain, count = run_folder.save_file, int(sys.argv[4].split()[1])
    def half_written(tensors, path, metadata):
        global count
        count -= 1
        if count:
            return plain(tensors, path, metadata)
        Path(path).write_bytes(b"half a file")
        die()
    run_folder.save_file = half_written
config = TrainConfig.from_mapping(read_config(Path(sys.argv[3])))
train(Path(sys.argv[1]), Path(sys.argv[2]), config, resume=True, trackers=[Killer()])
"""


@pytest.mark.parametrize("moment", ["step 4", "writing 2"])
def test_sigkill_then_resume_ends_with_the_same_weights(whole, made, quick, tmp_path, moment):
    run = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(made), str(run), str(whole / "config.toml")]
    killed = subprocess.run([*command, moment], check=False)
    assert killed.returncode == -signal.SIGKILL
    train(made, run, quick, resume=True)
    assert_same(run, whole)
    # nothing half-written is left over
    assert {p.name for p in run.iterdir()} <= FILES


def test_resuming_a_finished_run_changes_nothing(whole, made, quick) -> None:
    before = (whole / "model.safetensors").stat().st_mtime_ns
    summary = train(made, whole, quick, resume=True)
    assert summary["epochs"] == 3
    assert (whole / "model.safetensors").stat().st_mtime_ns == before


def test_a_run_that_exists_is_not_touched(whole, made, quick) -> None:
    before = weights(whole)
    with pytest.raises(OutputError, match=r"run: found it exists.*--overwrite"):
        train(made, whole, quick)
    with pytest.raises(OutputError, match="a run with another epochs, seed"):
        train(made, whole, replace(quick, epochs=4, seed=9), resume=True)
    assert all(torch.equal(before[k], v) for k, v in weights(whole).items())


def test_overwrite_replaces_a_run_and_nothing_else(made, quick, tmp_path) -> None:
    run = tmp_path / "run"
    train(made, run, replace(quick, epochs=1))
    train(made, run, replace(quick, epochs=2), overwrite=True)
    assert len(history(run)) == 2
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="something that is no run"):
        train(made, precious, quick, overwrite=True)
    assert (precious / "thesis.txt").exists()


@pytest.mark.parametrize("wrong", ["store", "backbone", "pretrained", "its own weights"])
def test_the_old_run_stays_until_the_new_one_can_begin(made, quick, tmp_path, wrong) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("old")
    (run / "model.safetensors").write_text("precious")
    store, config = made, quick
    if wrong == "store":
        store = tmp_path / "no.store"
    elif wrong == "backbone":
        config = replace(quick, backbone="resnet_without_end")
    elif wrong == "pretrained":
        config = replace(quick, pretrained=str(tmp_path / "gone.pth"))
    else:
        config = replace(quick, pretrained=str(run / "model.safetensors"))
    with pytest.raises(GeolulcError) as caught:
        train(store, run, config, overwrite=ANY)
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_text() for p in run.iterdir()} == {
        "config.toml": "old",
        "model.safetensors": "precious",
    }
    assert [p.name for p in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("text", ["", "{", "1", "[" * 100_000])
def test_a_damaged_summary_is_one_line(tmp_path, text) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(OutputError, match=r"summary\.json: found no summary") as caught:
        RunFolder(tmp_path).summary()
    assert "\n" not in str(caught.value)


def test_one_run_a_folder(made, quick, tmp_path) -> None:
    with claimed(tmp_path / "run"), pytest.raises(OutputError, match="another run at work on it"):
        train(made, tmp_path / "run", quick)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_resumed_on_other_patches(made, quick, tmp_path) -> None:
    other = make_store(tmp_path / "other.store", 40, seed=3)
    stop = Script(at_step=1, act=lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingInterrupted):
        train(made, tmp_path / "run", quick, trackers=[stop])
    with pytest.raises(OutputError, match="a run on other patches"):
        train(other, tmp_path / "run", quick, resume=True)


def test_a_loss_that_is_no_number_names_the_patches(made, quick, tmp_path, monkeypatch) -> None:
    calls = []

    def broken_loss(*_):
        def loss(logits, targets):
            calls.append(1)
            return logits.mean(dim=1) * (float("nan") if len(calls) == 3 else 1)

        return loss

    monkeypatch.setattr(objective, "make_loss", broken_loss)
    with pytest.raises(TrainingError, match=r"step 1 of the epoch: found a loss of nan") as caught:
        train(made, tmp_path / "run", quick)
    keys = set(open_store(made).keys)
    named = caught.value.found.removeprefix("a loss of nan for the patches ").split(", ")
    assert keys >= {n for n in named if not n.endswith("…")}
    assert len(calls) == 3
    # the weights of the epoch before are still there
    assert load_checkpoint(tmp_path / "run").provenance["epoch"] == 1


def test_parts_of_a_batch_add_up(made, tmp_path) -> None:
    # layer normalisation: batch statistics would be those of the parts
    config = TrainConfig(
        backbone="test_convnext", epochs=1, batch_size=8, mixup=0.3, select="last", workers=0
    )
    train(made, tmp_path / "whole", config)
    train(made, tmp_path / "parts", replace(config, accumulate=4))
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)


def test_two_processes_give_what_one_gives(made, quick, tmp_path) -> None:
    # dropout is each process's own; AdamW would blow up rounding where gradients are near 0
    config = replace(
        quick, drop_rate=0.0, epochs=2, select="last", optimizer="sgd", learning_rate=0.02
    )
    train(made, tmp_path / "one", config)
    flags = [f"--set={k}={json.dumps(v)}" for k, v in config.as_mapping().items() if v != ""]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "geolulc", "train", str(made), str(tmp_path / "two"), "--device", "cpu", *flags,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-5)
    for a, b in zip(history(tmp_path / "one"), history(tmp_path / "two"), strict=True):
        assert float(b["train_loss"]) == pytest.approx(float(a["train_loss"]), rel=1e-4)
        assert float(b["val_ap_macro"]) == pytest.approx(float(a["val_ap_macro"]), abs=1e-3)


def test_patience_stops_a_run_that_does_not_get_better(made, quick, tmp_path) -> None:
    config = replace(quick, epochs=20, patience=2, learning_rate=1e-9)
    summary = train(made, tmp_path / "run", config)
    assert summary["epochs"] < 20
    assert summary["stopped_early"]
    assert summary["epochs"] - summary["epoch"] == 2


def test_the_last_epoch_can_be_kept(made, quick, tmp_path) -> None:
    summary = train(made, tmp_path / "run", replace(quick, select="last"))
    assert summary["epoch"] == 3
    assert load_checkpoint(tmp_path / "run").provenance["epoch"] == 3


@pytest.mark.parametrize("changed", [{"optimizer": "sgd"}, {"loss": "asl"}, {"precision": "bf16"}])
def test_other_settings_train_too(made, quick, tmp_path, changed) -> None:
    config = replace(quick, epochs=1, **changed)
    summary = train(made, tmp_path / "run", config)
    assert 0 < summary["figures"]["train_loss"] < 2


def test_a_store_without_what_is_needed(made, quick, tmp_path) -> None:
    only_train = make_store(
        tmp_path / "train.store", 12, patch=lambda i: make_patch(i, split="train")
    )
    with pytest.raises(DatasetError, match=r"train\.store: found no labelled patch.*select=last"):
        train(only_train, tmp_path / "run", quick)
    assert not (tmp_path / "run").exists()
    train(only_train, tmp_path / "run", replace(quick, epochs=1, select="last"))
    assert load_checkpoint(tmp_path / "run").calibration == Calibration()
    only_val = make_store(tmp_path / "val.store", 12, patch=lambda i: make_patch(i, split="val"))
    with pytest.raises(DatasetError, match="found 0 patches for a batch"):
        train(only_val, tmp_path / "run2", quick)
