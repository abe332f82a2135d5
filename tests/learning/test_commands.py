"""``geolulc train``, ``evaluate`` and ``benchmark-table`` as a user types them."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from geolulc.cli import cli
from geolulc.datasets import open_store
from geolulc.errors import DatasetError, GeolulcError, OutputError, ParameterError
from geolulc.learning.config import TrainConfig, read_config
from geolulc.learning.seed_table import PUBLISHED
from geolulc.nets import load_checkpoint

QUICK = ["--backbone", "test_resnet", "--batch-size", "8", "--device", "cpu", "-q"]


def run(*arguments: object, fails: type[GeolulcError] | None = None):
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    if fails is None:
        assert result.exit_code == 0, result.output
    else:
        assert isinstance(result.exception, fails), result.output
        assert "\n" not in str(result.exception)
    return result


@pytest.fixture(scope="module")
def trained(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    (folder / "my.toml").write_text("epochs = 9\nmixup = 0.2\nseed = 3\n")
    result = run(
        "train", made, folder / "run", "--config", folder / "my.toml", "--epochs", "2",
        "--set", "mixup=0.4", "--set", "d4=false", *QUICK,
    )  # fmt: skip
    assert "validation AP macro" in result.stdout
    return folder / "run"


def test_flags_go_before_the_file_and_set_before_flags(trained) -> None:
    config = TrainConfig.from_mapping(read_config(trained / "config.toml"))
    expected = TrainConfig(
        backbone="test_resnet", batch_size=8, epochs=2, mixup=0.4, d4=False, seed=3
    )
    assert config == expected
    with (trained / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2


def test_a_stopped_run_goes_on_with_resume_alone(made, tmp_path) -> None:
    folder = tmp_path / "run"
    script = (
        "import os, signal, sys\n"
        "from geolulc.learning import run_folder, training\n"
        "plain = training.save_state\n"
        "def save_then_stop(*arguments):\n"
        "    plain(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "training.save_state = save_then_stop\n"
        "from geolulc.cli import main\n"
        "main()\n"
    )
    command = ["train", str(made), str(folder), "--epochs", "3", "--seed", "5", *QUICK]
    stopped = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=False
    )
    assert stopped.returncode == 128 + signal.SIGTERM
    assert stopped.stderr.endswith("stopped in epoch 1 after step 2; go on with --resume\n")
    assert "epoch" in run("train", made, folder, "--resume", "--device", "cpu", "-q").stdout
    with (folder / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert read_config(folder / "config.toml")["seed"] == 5


def test_progress_goes_to_stderr_and_results_to_stdout(made, tmp_path) -> None:
    result = run("train", made, tmp_path / "run", "--epochs", "1", *QUICK[:-1])
    assert result.stdout.count("\n") == 1
    assert "AP macro" in result.stderr
    assert "loss" in result.stderr


def test_evaluate_prints_figures_or_json(trained, made, tmp_path) -> None:
    text = run("evaluate", trained, made, "--device", "cpu", "-q").stdout
    assert "ap_macro" in text
    assert "without a positive" in text
    result = run(
        "evaluate", trained, made, "--split", "test", "--json", "--seed-compat", "-q", "--device",
        "cpu", "--report", tmp_path / "report", "--predictions", tmp_path / "p.gpkg",
    )  # fmt: skip
    figures = json.loads(result.stdout)["figures"]
    assert {"ap_macro", "f2_samples", "coverage_error_seed", "ece_uncalibrated"} <= set(figures)
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text())["figures"] == figures
    assert (tmp_path / "p.gpkg").is_file()
    run("evaluate", trained, made, "--report", tmp_path / "report", fails=OutputError)


def test_what_is_wrong_is_said(trained, made, tmp_path) -> None:
    wrong = run("train", made, tmp_path / "r", "--set", "learnin_rate=1", fails=ParameterError)
    assert "learning_rate" in str(wrong.exception)
    run("train", made, trained, *QUICK, fails=OutputError)
    run("train", tmp_path / "none.store", tmp_path / "r", *QUICK, fails=DatasetError)
    assert not (tmp_path / "r").exists()
    run("evaluate", trained, made, "--split", "half", fails=ParameterError)


def test_a_model_knows_the_ground_that_it_was_trained_on(trained, made) -> None:
    store = open_store(made)
    learned = store.ground(store.split("train"))
    kept = load_checkpoint(trained).ground
    assert {z: v.tolist() for z, v in kept.zones.items()} == {
        z: v.tolist() for z, v in learned.zones.items()
    }
    provenance = load_checkpoint(trained).provenance
    assert provenance["environment"]["torch"] == torch.__version__
    assert provenance["data"]["train"].startswith("20 patches, ")
    text = run("evaluate", trained, made, "--split", "train", "--device", "cpu", "-q").stdout
    assert "20 of 20 patches (100.0%) touch the ground that the model was trained on" in text
    # an older checkpoint says that it cannot tell
    text = run("evaluate", "bigearthnet-few-patches", made, "--device", "cpu", "-q").stdout
    assert "does not say which ground it was trained on" in text


def test_two_models_are_compared(trained, made) -> None:
    text = run("evaluate", trained, trained, made, "--device", "cpu", "-q").stdout
    assert "difference, 95 %" in text
    assert "10 patches*" in text
    found = json.loads(
        run("evaluate", trained, trained, made, "--json", "-q", "--device", "cpu").stdout
    )
    assert found["figures"]["ap_macro"]["first"] == found["figures"]["ap_macro"]["second"]
    assert found["patches"] == 10


def test_find_lr_prints_and_draws(made, tmp_path) -> None:
    result = run("train", made, tmp_path / "rates", "--find-lr", *QUICK, "--batch-size", "2")
    assert "steepest at" in result.stdout
    assert {p.name for p in (tmp_path / "rates").iterdir()} == {
        "config.toml", "rates.csv", "rates.png", ".geolulc.json",
    }  # fmt: skip


def test_tensorboard_has_the_history(trained) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    with (trained / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [e.value for e in events.Scalars("epoch/val_ap_macro")]
    assert found == pytest.approx([float(r["val_ap_macro"]) for r in rows])
    assert len(events.Scalars("step/loss")) == 4


def test_mlflow_has_the_history_when_asked(made, tmp_path, monkeypatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    run("train", made, tmp_path / "run", "--epochs", "2", "--mlflow", *QUICK)
    (logged,) = mlflow.MlflowClient().search_runs(["0"])
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    last = float(rows[-1]["val_loss"])
    assert logged.data.metrics["val_loss"] == pytest.approx(last)
    assert logged.data.params["backbone"] == "test_resnet"
    assert logged.info.run_name == "run"


def test_a_table_goes_into_a_folder(made, tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    run("benchmark-table", made, tmp_path / "file", fails=OutputError)
    run("benchmark-table", made, tmp_path / "file" / "table", fails=OutputError)
    assert (tmp_path / "file").read_text() == "mine"


def test_the_seeds_table_again(made, tmp_path, monkeypatch) -> None:
    # two rows with a small backbone: what is tested is the table
    small = {("test_resnet", f): PUBLISHED["resnet18", f] for f in ("early", "late")}
    monkeypatch.setattr("geolulc.learning.seed_table.PUBLISHED", small)
    command = ["benchmark-table", made, tmp_path / "table", "--epochs", "1", "--device", "cpu",
               "--set", "batch_size=8", "-q"]  # fmt: skip
    text = run(*command).stdout
    assert text.count("| test_resnet") == 2
    assert "**A smoke test**" in text
    assert "(41.1)" in text
    assert (tmp_path / "table" / "table.md").read_text() == text
    # once more: nothing is trained again
    models = sorted((tmp_path / "table").glob("*/model.safetensors"))
    before = [m.stat().st_mtime_ns for m in models]
    rows = json.loads(run(*command, "--json").stdout)
    assert len(rows) == len(models) == 2
    assert [m.stat().st_mtime_ns for m in models] == before
    assert rows[0]["published"]["F2 macro"] == 41.1
    assert 0 <= rows[0]["figures"]["f2_macro"] <= 1
