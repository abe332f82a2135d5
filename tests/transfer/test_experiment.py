"""A small experiment on disk: what it leaves, and how it goes on."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_nets import make_net
from made_regions import CLASSES, SIGNALS, MadeRegion, make_region_store

from geolulc.cli.transfer import command
from geolulc.cluster.connection import local_cluster
from geolulc.datasets import open_store
from geolulc.errors import OutputError, ParameterError
from geolulc.learning import TrainConfig
from geolulc.nets import Model, load_checkpoint, save_checkpoint
from geolulc.ownership import ANY
from geolulc.transfer import TransferConfig, find_regions, run_transfer
from geolulc.transfer.estimates import estimate_transfer
from geolulc.transfer.features import encoder_features
from geolulc.transfer.job_folders import STALE_SECONDS, Claim

A, B, C, D = CLASSES


def config(quick: TrainConfig, **options) -> TransferConfig:
    return TransferConfig(
        **{
            "sources": ("Austria",),
            "targets": ("Kosovo",),
            "pooled": "none",
            "training": quick,
            **options,
        }
    )


@pytest.fixture(scope="module")
def ran(three, regions, tmp_path_factory) -> tuple[Path, TransferConfig]:
    """Zero-shot and two kinds of fine-tuning, without remedy and with two."""
    quick = TrainConfig(
        backbone="test_resnet", image_size=32, epochs=2, batch_size=8, ema_decay=0.9, workers=0
    )
    experiment = config(
        quick,
        target_sizes=(0, 4),
        fine_tune_steps=4,
        fine_tuning=("head", "linear-probe-first"),
        remedies=("none", "mask+prior"),
    )
    out = tmp_path_factory.mktemp("ran") / "experiment"
    assert not run_transfer(three, regions, experiment, out, device="cpu").failed
    return out, experiment


def runs(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "runs.csv").read_text().splitlines()))


def finished(out: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in out.glob("runs/*/result.json")}


def test_every_run_is_a_line(ran, three) -> None:
    out, _ = ran
    lines = runs(out)
    assert sorted((r["source"], r["remedy"], r["mode"], r["target_size"]) for r in lines) == [
        ("Austria", "mask+prior", "head", "4"),
        ("Austria", "mask+prior", "linear-probe-first", "4"),
        ("Austria", "mask+prior", "zero-shot", "0"),
        ("Austria", "none", "head", "4"),
        ("Austria", "none", "linear-probe-first", "4"),
        ("Austria", "none", "zero-shot", "0"),
        ("scratch", "none", "scratch", "4"),
    ]
    for line in lines:
        assert line["masked"] == (A if line["remedy"] == "mask+prior" else "")
        assert line["validated_on"] == ("Kosovo" if line["source"] == "scratch" else "Austria")
        assert 0 <= float(line["ap_macro"]) <= 1
    whole = json.loads((out / "runs.json").read_text())
    assert len(whole["runs"]) == 7
    assert whole["settings"]["training"]["image_size"] == 32
    by_class = list(csv.DictReader((out / "classes.csv").read_text().splitlines()))
    # a class that the target's test patches do not have has no line
    test = [i for i in three.split("test") if three.countries[i] == "Kosovo"]
    present = three.targets[test].any(axis=0)
    names = {n for n, there in zip(three.nomenclature.names, present, strict=True) if there}
    assert names <= {B, C, D}
    assert {line["class"] for line in by_class} == names


def test_the_report_says_what_it_is_of(ran, three, regions) -> None:
    out, _ = ran
    report = (out / "report.md").read_text()
    assert "**Smoke test.** Fewer than 100 test patches in Kosovo (4)" in report
    assert "drawn from the source, as the paper's code does; fine-tuning keeps its last" in report
    counts = three.target_bytes[regions["Austria"]["train"]].sum(axis=0)
    tested = three.target_bytes[regions["Austria"]["test"]].sum(axis=0)
    assert f"| {A} | {counts[0]} / {tested[0]} | 0 / 0 |" in report
    assert "Every run takes 4 optimiser steps." in report
    # four test patches decide nothing
    assert "Negative transfer (AP macro below the same patches from scratch, by more than" in report
    assert report.split("leaves out 0):")[1].lstrip().startswith("- none")
    without = next(line for line in report.splitlines() if line.startswith("- Kosovo: "))
    assert A in without
    assert D not in without
    for name in ("matrix_ap_macro_none.png", "matrix_ap_macro_mask+prior.png", "curves_01.png"):
        assert f"]({name})" in report
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_source_models_are_kept_and_say_where_they_are_from(ran) -> None:
    out, _ = ran
    models = sorted(out.glob("runs/*/run/model.safetensors"))
    assert [m.parent.parent.name.split("-")[0] for m in models] == [
        "train_Austria_mask_s0", "train_Austria_none_s0",
    ]  # fmt: skip
    told = load_checkpoint(models[0]).provenance["transfer"]
    assert (told["members"], told["masked"], told["store"]) == (["Austria"], [A], "three.store")
    # a masked class is absent
    model = load_checkpoint(models[0])
    assert model.probabilities(model.net(*patches_of_zeros()))[0, 0] < 1e-4


def patches_of_zeros():
    import torch

    return tuple(torch.ones(1, *shape, dtype=torch.uint16) for shape in SHAPES)


SHAPES = ((4, 120, 120), (6, 60, 60), (2, 20, 20))


def test_finished_jobs_are_not_done_again(ran, three, regions) -> None:
    out, experiment = ran
    before, lines = finished(out), runs(out)
    run_transfer(three, regions, experiment, out, device="cpu")
    assert finished(out) == before
    assert runs(out) == lines


def test_what_was_lost_is_done_again_alike(ran, three, regions, tmp_path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(ran[0], out)
    lost = next(out.glob("runs/adapt_Austria_Kosovo_head*/result.json"))
    lines = runs(out)
    lost.unlink()
    run_transfer(three, regions, ran[1], out, device="cpu")
    assert lost.is_file()
    assert runs(out) == lines


def test_a_failing_job_does_not_stop_the_others(ran, three, regions, tmp_path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(ran[0], out)
    model = next(out.glob("runs/train_Austria_none*/run/model.safetensors"))
    model.write_bytes(model.read_bytes()[:1000])
    for result in out.glob("runs/*/result.json"):
        if not result.parent.name.startswith("train"):
            result.unlink()
    found = run_transfer(three, regions, ran[1], out, device="cpu")
    assert sorted(job.split("-")[0] for job in found.failed) == [
        "adapt_Austria_Kosovo_head_4_none_s0",
        "adapt_Austria_Kosovo_linear",
        "test_Austria_Kosovo_none_s0",
    ]
    assert {r["remedy"] for r in found.rows if r["source"] == "Austria"} == {"mask+prior"}
    assert "- Failed: test_Austria_Kosovo_none_s0" in (out / "report.md").read_text()


def test_killed_at_work_it_goes_on_and_ends_alike(ran, three, tmp_path) -> None:
    out = tmp_path / "killed"
    (tmp_path / "run.toml").write_text(ran[1].training.as_toml())
    arguments = [
        str(three.path), "--out", str(out), "--sources", "Austria", "--targets", "Kosovo",
        "--target-sizes", "0,4", "--fine-tuning", "head,linear-probe-first", "--pooled", "none",
        "--remedies", "none,mask+prior", "--config", str(tmp_path / "run.toml"),
        "--fine-tune-steps", "4", "--device", "cpu", "-q",
    ]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "geolulc", "transfer", *arguments])
    try:
        deadline = time.monotonic() + 240
        while not list(out.glob("runs/*/run/state.safetensors")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(finished(out)) < 9
    result = CliRunner().invoke(command, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["failed"] == {}
    assert runs(out) == runs(ran[0])
    assert not list(out.glob("runs/*/claim.json"))


def test_two_processes_share_the_jobs(ran, three, regions, tmp_path) -> None:
    out = tmp_path / "shared"
    experiment = config(ran[1].training, sources=("Austria", "Finland"))
    found = run_transfer(three, regions, experiment, out, device="cpu", processes=2)
    assert not found.failed
    assert len(found.rows) == 2
    alone = {r["source"]: r["ap_macro"] for r in runs(ran[0]) if r["mode"] == "zero-shot"}
    assert {r["ap_macro"] for r in runs(out) if r["source"] == "Austria"} <= set(alone.values()) | {
        r["ap_macro"] for r in runs(ran[0]) if r["mode"] == "zero-shot"
    }


@pytest.mark.parametrize("begun", ["runs/*/run/state.safetensors", "manifest.json"])
def test_ctrl_c_stops_all_processes(ran, three, tmp_path, begun) -> None:
    """While they train, and while they start: one line, and no process is left."""
    out = tmp_path / "stopped"
    (tmp_path / "run.toml").write_text(replace(ran[1].training, epochs=5000).as_toml())
    arguments = [
        str(three.path), "--out", str(out), "--sources", "Austria,Finland", "--targets", "Kosovo",
        "--pooled", "none", "--config", str(tmp_path / "run.toml"), "--device", "cpu", "-q",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "geolulc", "transfer", *arguments, "--processes", "2"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        wanted = 2 if "*" in begun else 1
        while len(list(out.glob(begun))) < wanted and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        stderr = process.communicate(timeout=120)[1]
        assert (process.returncode, stderr) == (
            130, f"geolulc: {out}: stopped; the same command goes on\n"
        )  # fmt: skip
        deadline = time.monotonic() + 20
        with pytest.raises(ProcessLookupError):
            while time.monotonic() < deadline:  # multiprocessing's own helper is the last
                os.killpg(process.pid, 0)
                time.sleep(0.02)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not list(out.glob("runs/*/claim.json"))
    assert finished(out) == {}


def test_workers_of_a_cluster_share_the_jobs(ran, three, regions, tmp_path) -> None:
    out = tmp_path / "shared"
    experiment = config(ran[1].training)
    told = []
    with local_cluster(1) as client:
        found = run_transfer(
            three, regions, experiment, out,
            device="cpu", scheduler=client.scheduler.address, progress=lambda *t: told.append(t),
        )  # fmt: skip
    assert not found.failed
    assert told[-1] == (len(found.plan.jobs),) * 2
    assert not list(out.glob("runs/*/claim.json"))
    assert [row["mode"] for row in found.rows] == ["zero-shot"]


def test_names_of_regions_are_safe_in_every_file(quick, tmp_path) -> None:
    name = "=1+1 <b>|$\\x$"
    store = open_store(
        make_region_store(tmp_path / "s", [MadeRegion(name, {A: 0.5, B: 0.4}, SIGNALS)], 16)
    )
    out = tmp_path / "experiment"
    experiment = config(quick, sources=(name,), targets=(name,), target_sizes=(0, 4))
    assert not run_transfer(store, find_regions(store), experiment, out, device="cpu").failed
    report = (out / "report.md").read_text()
    assert "=1+1 \\<b\\>\\|$\\\\x$" in report
    assert " <b>" not in report
    assert {row["source"] for row in runs(out)} == {f"'{name}", "scratch"}
    assert {row["source"] for row in json.loads((out / "runs.json").read_text())["runs"]} == {
        name,
        "scratch",
    }


def test_a_claim_is_one_processes(tmp_path) -> None:
    path = tmp_path / "claim.json"
    assert Claim(path).take()
    assert not Claim(path).take()


@pytest.mark.parametrize(
    ("owner", "age", "taken"),
    [
        ({"host": "elsewhere", "process": 1}, 0, False),
        ({"host": "elsewhere", "process": 1}, STALE_SECONDS + 1, True),
        ({"host": os.uname().nodename, "process": 2**22 + 1}, 0, True),
        ({"host": os.uname().nodename, "process": os.getppid()}, STALE_SECONDS + 1, False),
        ("", 0, False),
        ("", 3600, True),
    ],
)
def test_claims_of_processes_that_are_gone(tmp_path, owner, age, taken) -> None:
    path = tmp_path / "claim.json"
    path.write_text(json.dumps(owner) if owner else "")
    then = time.time() - age
    os.utime(path, (then, then))
    assert Claim(path).take() is taken


def test_estimates_are_ranked_against_what_was_measured(three, regions, quick, tmp_path) -> None:
    names = tuple(regions)
    experiment = config(quick, sources=names, targets=names)
    plain = estimate_transfer(three, regions, experiment, [])
    far = {(p["source"], p["target"]): p["chi_square"] for p in plain["pairs"]}
    rows = [
        {
            "source": s, "target": t, "mode": "zero-shot", "remedy": "none", "target_size": 0,
            "figures": {"ap_macro": 1 - distance},
        }
        for (s, t), distance in far.items()
    ]  # fmt: skip
    save_checkpoint(tmp_path / "encoder.safetensors", Model(make_net(image_size=32)))
    found = estimate_transfer(
        three, regions, experiment, rows, encoder=tmp_path / "encoder.safetensors", device="cpu"
    )
    rho = {(c["estimate"], c["against"]): c["rho"] for c in found["correlations"]}
    assert rho["chi_square", "ap_macro"] == pytest.approx(-1)
    assert rho["chi_square", "drop"] == pytest.approx(1)
    assert {e for e, _ in rho} == {
        "chi_square", "jensen_shannon", "relative_entropy", "cooccurrence", "spectral", "encoder",
    }  # fmt: skip
    # halves of the smallest region; a region with itself shows what chance alone gives
    smallest = min(len(regions[name]["train"]) for name in names)
    assert found["feature_patches"] == smallest // 2
    assert all(pair["encoder"] > 0 for pair in found["pairs"])


def test_encoder_features_are_what_the_head_sees(three) -> None:
    net = make_net(image_size=32).eval()
    features = encoder_features(net, three, np.arange(5), "cpu")
    from geolulc.learning.task import head_layer

    head = head_layer(net)
    logits = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    from geolulc.datasets.loader import PatchLoader

    batch = next(iter(PatchLoader(three, np.arange(5), 5, shuffle=False)))
    expected = net(*batch.groups).detach().numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_another_folder_or_another_store_is_not_touched(three, regions, quick, tmp_path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("!")
    with pytest.raises(OutputError, match="mine: found something that is no experiment"):
        run_transfer(three, regions, config(quick), folder, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text('{"store": {"identity": "x"}}')
    with pytest.raises(OutputError, match="other: found an experiment on another store"):
        run_transfer(three, regions, config(quick), other)
    assert sorted(p.name for p in folder.iterdir()) == ["thesis.txt"]
    for store in (tmp_path / "a.store", three.path):  # another one, and the one that is read
        if store != three.path:
            shutil.copytree(three.path, store)
        with pytest.raises(OutputError, match=r"found something that is no experiment|this run"):
            run_transfer(three, regions, config(quick), store, overwrite=ANY)
        assert len(open_store(store)) == len(three)


def test_a_dry_run_counts_and_writes_nothing(three, folder) -> None:
    arguments = [str(three.path), "--out", str(folder), "--sources", "all", "--targets", "all"]
    result = CliRunner().invoke(command, [*arguments, "--dry-run", "--set", "epochs=3"])
    assert result.exit_code == 0, result.output
    # three regions of 8 and three pairs of 16, three epochs
    assert "train: 6, 216 patches learned from, 108 scored" in result.output
    assert not folder.exists()


def test_a_region_that_is_not_there_is_named(three, folder) -> None:
    arguments = [str(three.path), "--out", str(folder), "--sources", "Elbonia", "--targets", "all"]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, ParameterError)
    assert str(result.exception).startswith("region 'Elbonia': found no such region")
    assert "\n" not in str(result.exception)
