"""Training on sparse labels of one's own: ignored pixels, folds, and a forest beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_archives import make_store
from made_pixels import made_pixel_patch
from made_product import make_product, random_bands
from shapely.geometry import box

from geolulc.bands import GROUPS
from geolulc.cli import cli
from geolulc.datasets import UNLABELLED, Patch, open_store, write_store
from geolulc.errors import DatasetError, OutputError
from geolulc.learning.baseline import Baseline, score_forest
from geolulc.learning.cross_validation import spread
from geolulc.learning.fractions import covers_of
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


def train(store: Path, folder: Path, *more: object) -> str:
    settings = ("--task", "pixel", "--backbone", "test_resnet", "--epochs", 1, "--batch-size", 4)
    return run("train", store, folder, *settings, "-q", *more)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("more", [[], ["--resume"], ["--overwrite"], ["--resume", "--overwrite"]])
def test_a_folder_of_others_gets_no_folds(store: Path, tmp_path: Path, more: list[str]) -> None:
    """Nor a marker, by which a later run would take it for one of geolulc's."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    command = ["train", str(store), str(folder), "--task", "pixel", "--folds", *more]
    caught = CliRunner().invoke(cli, command).exception
    assert isinstance(caught, OutputError), caught
    assert str(caught).startswith(f"{folder}: found ")
    assert [p.name for p in folder.iterdir()] == ["thesis.txt"]
    nowhere = CliRunner().invoke(cli, [*command[:2], str(tmp_path / "no" / "run"), *command[3:]])
    assert isinstance(nowhere.exception, OutputError)


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
    means = [found[what]["miou"]["mean"] for what in ("figures", "baseline")]
    assert found["verdict"].startswith("mIoU {:.3f} against {:.3f}".format(*means))
    assert f"means of the folds: {found['verdict']}" in text
    assert "the forest wins" in text
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
    alike = ("--backbone", "dynamicworld_small", "--set", "reflectance=log")
    train(store, tmp_path / "run", *alike, "--pretrained", "dynamicworld-student-small")
    model = load_checkpoint(tmp_path / "run")
    assert model.net.initialisation["file"] == "dynamicworld-student-small.safetensors"
    assert model.net.nomenclature == BEN19


def test_dynamic_world_itself_is_a_start(store: Path, tmp_path: Path, shared: Path) -> None:
    forward = shared / "data/dynamicworld/model/forward"
    run = tmp_path / "run"
    args = ["train", str(store), str(run), "--fusion", "dynamicworld", "--pretrained", str(forward)]
    settings = ["--set", "crop=48", "--set", "workers=0", "--epochs", "1", "--device", "cpu", "-q"]
    result = CliRunner().invoke(cli, args + settings)
    assert result.exit_code == 0, result.output
    net = load_checkpoint(run).net
    assert net.band_names == ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12")
    assert (net.level, net.nomenclature) == ("L2A", BEN19)
    assert net.initialisation["last layer"] == "fresh"


class TestPatches:
    """Models of patches learn what polygons say of each: the classes there, and their covers."""

    #: Columns of pixels of the first class, of 120, patch by patch; the rest is of the second, or
    #: has no label.
    FIRST = (24, 120, 36, 48, 60, 72, 84, 96, 30)
    LABELLED = (120, 120, 80, 120, 120, 120, 120, 120, 90)

    @pytest.fixture(scope="class", name="labelled")
    @classmethod
    def make_labelled(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A store of ``geolulc label``: nine patches, each a field of its own."""
        folder = tmp_path_factory.mktemp("patches")
        scene = make_product(folder / "scene", random_bands(3600, 3600))
        left, top = 600_000, 5_200_020
        rows = []
        for i, (first, labelled) in enumerate(zip(cls.FIRST, cls.LABELLED, strict=True)):
            x, y = left + 1200 * (i % 3), top - 1200 * (i // 3)
            for name, start, stop in (("Wheat", 0, first), ("Maize", first, labelled)):
                if stop > start:
                    rows.append((name, i, box(x + 10 * start, y - 1200, x + 10 * stop, y)))
        names, fields, shapes = zip(*rows, strict=True)
        frame = {"crop": names, "field": fields}
        path = folder / "fields.gpkg"
        geopandas.GeoDataFrame(frame, geometry=list(shapes), crs="EPSG:32632").to_file(path)
        done = run("label", scene, "--polygons", path, "--field", "crop", "--split-by", "field",
                   "--out", folder / "own.store", "-q")  # fmt: skip
        assert "2 classes in 9 places" in done
        return folder / "own.store"

    def test_the_targets(self, labelled: Path) -> None:
        opened = open_store(labelled)
        assert opened.nomenclature.names == ("Maize", "Wheat")
        for masks in (False, True):
            patches = SplitPatches(opened, "train", np.arange(9), masks=masks)
            found = torch.cat([b.targets for b in patches.loader(4, device=torch.device("cpu"))])
            for index, target in enumerate(found):
                x, y = (opened.column(name)[index] for name in ("left", "top"))
                i = round((x - 600_000) / 1200) + 3 * round((5_200_020 - y) / 1200)
                first, all_of_it = self.FIRST[i], self.LABELLED[i]
                expected = np.array([all_of_it - first, first]) / 120
                if masks:
                    covers = covers_of(target[None], 2)[0].numpy()
                    assert covers == pytest.approx(expected)
                else:
                    assert target.tolist() == (expected > 0).tolist()

    @pytest.mark.parametrize("task", ["patch", "fraction"])
    def test_they_are_learned_and_evaluated(
        self, labelled: Path, tmp_path: Path, task: str
    ) -> None:
        settings = ("--task", task, "--backbone", "test_resnet", "--set", "select=last", "-q")
        run("train", labelled, tmp_path / "run", *settings, "--epochs", 1, "--batch-size", 2)
        model = load_checkpoint(tmp_path / "run")
        assert (model.net.task, model.net.classes) == (task, ("Maize", "Wheat"))
        text = run("evaluate", tmp_path / "run", labelled, "--split", "test", "-q", "--json")
        found = {row["name"]: row for row in json.loads(text)["classes"]}
        opened = open_store(labelled)
        tested = [opened.read(i).reference for i in opened.split("test")]
        for code, name in enumerate(model.net.classes, start=1):
            shares = [float((codes == code).mean()) for codes in tested]
            assert found[name]["support"] == sum(share > 0 for share in shares)
            if task == "fraction":
                known = sum(float((codes != UNLABELLED).mean()) for codes in tested)
                assert found[name]["cover"] == pytest.approx(sum(shares) / known)


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
