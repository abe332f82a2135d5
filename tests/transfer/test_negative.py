"""A source is called called worse than none only where paired differences say so."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_regions import CLASSES, SIGNALS, MadeRegion, make_region_store
from sklearn.metrics import average_precision_score

from geolulc.datasets import open_store
from geolulc.learning import TrainConfig
from geolulc.learning.patches import SplitPatches
from geolulc.transfer import TransferConfig, find_regions, run_transfer

A, B, C, _ = CLASSES
#: Four of six patches of a region are tested: 32.
SPLITS = ("train", "test", "test", "val", "test", "test")
CONFIG = TransferConfig(
    sources=("Austria",),
    targets=("Kosovo",),
    target_sizes=(0, 4),
    fine_tuning=("head",),
    fine_tune_steps=3,
    pooled="none",
    seeds=(0, 1),
    training=TrainConfig(
        backbone="test_resnet", image_size=32, epochs=1, batch_size=8, ema_decay=0.9, workers=0
    ),
)


class Made:
    """An experiment on twelve tiles, whose logits and figures can be made others."""

    def __init__(self, folder: Path) -> None:
        frequencies = {A: 0.5, B: 0.4, C: 0.4}
        regions = [MadeRegion(name, frequencies, SIGNALS) for name in ("Austria", "Kosovo")]

        def on_a_tile(index, patch):
            return replace(patch, tile=f"33U{index % 12:02d}")

        store = make_region_store(folder / "store", regions, 48, splits=SPLITS, change=on_a_tile)
        self.store = open_store(store)
        self.regions = find_regions(self.store)
        self.out = folder / "experiment"
        self.rows = self.report()[1]
        test = SplitPatches(self.store, "test", self.regions["Kosovo"]["test"])
        self.truth = test.targets

    def report(self) -> tuple[str, tuple[dict, ...]]:
        """Jobs that are done are not done again: the report is written anew."""
        found = run_transfer(self.store, self.regions, CONFIG, self.out, device="cpu")
        assert not found.failed
        return found.files["report.md"].read_text(), found.rows

    def say(self, source: str, wrong: float, seed: int = 0) -> float:
        """Let all runs of ``source`` know the labels but for that share of them; AP macro."""
        said = []
        for row in self.rows:
            if row["source"] != source or not row["target_size"]:
                continue
            random = np.random.default_rng([seed, row["seed"]])
            turned = random.random(self.truth.shape) < wrong
            logits = np.where(turned, 1 - self.truth, self.truth) * 4 - 2
            logits = (logits + random.normal(0, 0.1, logits.shape)).astype(np.float16)
            folder = self.out / "runs" / row["job"]
            np.save(folder / f"logits_{row['remedy']}.npy", logits)
            has = self.truth.any(axis=0)
            precision = average_precision_score(self.truth[:, has], logits[:, has])
            result = json.loads((folder / "result.json").read_text())
            result["rows"][0]["figures"]["ap_macro"] = precision
            (folder / "result.json").write_text(json.dumps(result))
            said.append(precision)
        return float(np.mean(said))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("negative"))


def negative(report: str) -> str:
    """What the report lists, and the sentence on the others."""
    return report.split("leaves out 0):")[1].split("## ")[0]


def test_a_source_far_below_scratch_is_listed_with_its_interval(made) -> None:
    made.say("Austria", wrong=0.4)
    made.say("scratch", wrong=0.02)
    said = negative(made.report()[0])
    line = re.search(
        r"- Austria → Kosovo, head, 4 patches: (\S+) against (\S+) from scratch, (\S+) "
        r"\((\S+) … (\S+)\)",
        said,
    )
    own, fresh, apart, low, high = map(float, line.groups())
    assert apart == pytest.approx(own - fresh, abs=2e-3)
    assert low < apart < high < 0
    assert "more are below" not in said


def test_a_source_below_scratch_by_chance_is_not(made) -> None:
    # each wrong as often, in other places
    worse, better = sorted((1, 2), key=lambda seed: made.say("scratch", wrong=0.25, seed=seed))
    assert made.say("Austria", wrong=0.25, seed=worse) < made.say("scratch", 0.25, seed=better)
    said = negative(made.report()[0])
    assert "- none" in said
    assert "1 more are below it by no more than chance" in said


def test_a_source_that_helps_is_not_mentioned(made) -> None:
    made.say("Austria", wrong=0.02)
    made.say("scratch", wrong=0.4)
    said = negative(made.report()[0])
    assert "- none" in said
    assert "more are below" not in said


def test_every_figure_of_the_report_has_its_interval(made) -> None:
    report, rows = made.report()
    own = [r for r in rows if (r["source"], r["mode"]) == ("Austria", "zero-shot")]
    for figure in ("ap_macro", "ap_micro", "f1_micro_all"):
        low, high = np.mean([r["intervals"][figure] for r in own], axis=0)
        mean = np.mean([r["figures"][figure] for r in own])
        assert low < mean < high
        assert re.search(rf"{mean:.3f} ± \d\.\d+ \({low:.3f} … {high:.3f}\)", report), figure


def test_every_run_took_the_stated_steps(made) -> None:
    """Head and scratch, whatever the seed; a source's training has epochs instead."""
    results = [json.loads(p.read_text()) for p in made.out.glob("runs/*/result.json")]
    adapted = [r for r in results if r["job"]["kind"] == "adapt"]
    assert len(adapted) == 4
    assert {sum(phase["steps"] for phase in r["training"]) for r in adapted} == {3}
