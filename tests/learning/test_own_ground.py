"""Training on sparse labels of one's own: ignored pixels, folds, and a forest beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_archives import make_store
from made_pixels import made_pixel_patch

from geolulc.bands import GROUPS
from geolulc.cli import cli
from geolulc.datasets import UNLABELLED, Patch, open_store, write_store
from geolulc.errors import DatasetError
from geolulc.learning.baseline import Baseline, score_forest
from geolulc.learning.cross_validation import spread
from geolulc.learning.patches import SplitPatches
from geolulc.nets import load_checkpoint
from geolulc.nomenclature import BEN19, IGNORED

FOLDS = 3


def sparse_patch(index: int, *, noise: int = 0) -> Patch:
    """A patch of a landscape with labels on every eighth row; folds are dealt in turn."""
    fold = index % FOLDS
    patch = made_pixel_patch(index, split=("test", "val", "train")[fold])
    assert patch.reference is not None
    positions = BEN19.positions_of_clc(patch.reference)
    codes = np.array([*(c.code for c in BEN19.classes), *[UNLABELLED] * 237], np.uint16)[positions]
    codes[np.arange(120) % 8 > 0] = UNLABELLED
    present = np.unique(positions[(codes != UNLABELLED) & (positions != IGNORED)])
    labels = tuple(BEN19.names[p] for p in present)
    other = np.random.default_rng(noise).integers(0, 20, (120, 120)).astype(np.uint16)
    if noise:  # what is said of pixels without a label changes nothing
        codes = np.where(codes == UNLABELLED, 900 + other, codes).astype(np.uint16)
    return replace(patch, dataset="labels", labels=labels, ben19=(), reference=codes, fold=fold)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own.store"
    write_store(path, map(sparse_patch, range(12)), BEN19)
    return path


def train(store: Path, run: Path, *more: object) -> str:
    settings = ("--task", "pixel", "--backbone", "test_resnet", "--epochs", 1, "--batch-size", 4)
    arguments = ["train", store, run, *settings, "-q", *more]
    result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_pixels_without_a_label_change_nothing(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.store"
    write_store(other, (sparse_patch(i, noise=1) for i in range(12)), BEN19)
    for name, path in (("a", store), ("b", other)):
        train(path, tmp_path / name)
    a, b = (
        (tmp_path / name / "summary.json").read_text().split('"patches_per_second"')[0]
        for name in "ab"
    )
    assert a == b
    patches = SplitPatches(open_store(store), "train", masks=True)
    assert patches.pixel_shares.sum() == pytest.approx(1)


def test_folds_are_each_tested_once(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "folds"
    text = train(store, run, "--folds", "--baseline", "forest")
    found = json.loads((run / "folds.json").read_text())
    assert [row["fold"] for row in found["folds"]] == [0, 1, 2]
    assert [row["patches"] for row in found["folds"]] == [4, 4, 4]
    values = [row["figures"]["miou"] for row in found["folds"]]
    assert found["figures"]["miou"]["mean"] == pytest.approx(np.mean(values))
    assert found["figures"]["miou"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert found["baseline"]["miou"]["mean"] > 0.3
    assert "miou of the forest" in text
    for fold in range(3):
        assert (run / f"fold-{fold}" / "model.safetensors").is_file()
    before = (run / "folds.json").read_bytes()
    train(store, run, "--folds", "--baseline", "forest", "--resume")
    assert (run / "folds.json").read_bytes() == before
    result = CliRunner().invoke(cli, ["train", str(store), str(run), "--folds", "-q"])
    assert result.exit_code == 1


def test_a_store_without_folds_is_refused(tmp_path: Path) -> None:
    bare = make_store(tmp_path / "bare.store", 4)
    result = CliRunner().invoke(cli, ["train", str(bare), str(tmp_path / "run"), "--folds"])
    assert isinstance(result.exception, DatasetError)
    assert "patches without folds; expected a store of own labels" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_a_shipped_model_is_a_start(store: Path, tmp_path: Path) -> None:
    shallow = ("--backbone", "resnet10t", "--set", "trunk=shallow")
    train(store, tmp_path / "run", *shallow, "--pretrained", "dynamicworld-student")
    model = load_checkpoint(tmp_path / "run")
    assert model.net.initialisation["file"] == "dynamicworld-student.safetensors"
    assert model.net.nomenclature == BEN19


class TestForest:
    def test_it_learns_and_says_who_wins(self, store: Path, tmp_path: Path) -> None:
        train(store, tmp_path / "run")
        arguments = ["evaluate", str(tmp_path / "run"), str(store), "--split", "test", "-q"]
        arguments += ["--baseline", "forest", "--report", str(tmp_path / "report"), "--json"]
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["baseline"]["scored"] == found["pixels"]
        assert found["baseline"]["figures"]["miou"] > found["figures"]["miou"]
        text = (tmp_path / "report" / "report.md").read_text()
        assert "the forest wins, the network is not worth its training here" in text
        assert (tmp_path / "report" / "baseline.png").is_file()

    def test_it_repeats_and_sees_no_unlabelled_pixel(self, store: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.store"
        write_store(other, (sparse_patch(i, noise=1) for i in range(12)), BEN19)
        scores = [
            score_forest(
                *(SplitPatches(open_store(path), s, masks=True) for s in ("train", "test")), GROUPS
            )
            for path in (store, store, other)
        ]
        assert scores[0].as_json()["figures"] == scores[1].as_json()["figures"]
        assert scores[0].as_json()["figures"] == scores[2].as_json()["figures"]

    @pytest.mark.parametrize(
        ("miou", "word"), [(0.9, "the network wins"), (0.3, "the forest wins"), (0.6, "alike")]
    )
    def test_the_verdict(self, miou: float, word: str) -> None:
        assert word in Baseline(1, 1, {"miou": 0.6}, {}).verdict({"miou": miou})


def test_spread_of_one_fold_is_not_known() -> None:
    (found,) = spread([{"a": 1.0}, {"a": float("nan")}]).values()
    assert found["mean"] == 1
    assert np.isnan(found["sd"])
