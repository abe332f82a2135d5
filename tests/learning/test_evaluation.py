from __future__ import annotations

import csv
import json
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import torch
from made_archives import make_patch, make_store
from scipy.special import expit
from sklearn import metrics as sk

from geolulc.datasets import open_store
from geolulc.errors import DatasetError, OutputError, ParameterError
from geolulc.learning import TrainConfig, evaluate, metrics
from geolulc.learning.evaluation import (
    compare_predictions,
    evaluate_predictions,
    patch_losses,
    predict,
)
from geolulc.learning.footprints import write_footprints
from geolulc.learning.markdown import markdown_table
from geolulc.learning.networks import make_net
from geolulc.learning.patches import SplitPatches
from geolulc.learning.rate_finder import find_rate, write_curve
from geolulc.learning.report import write_report
from geolulc.nets import Calibration, Model, NetConfig, build_net
from geolulc.nets.devices import autocast_type, choose_device


@pytest.fixture(scope="module")
def store(made):
    return open_store(made)


@pytest.fixture(scope="module")
def model(store) -> Model:
    patches = SplitPatches(store, "train")
    net = make_net(patches, TrainConfig(backbone="test_resnet", seed=2), torch.device("cpu"))
    thresholds = tuple(np.linspace(0.05, 0.3, 19).tolist())
    return Model(net.eval(), thresholds=thresholds, calibration=Calibration(1.7), name="made")


@pytest.fixture(scope="module")
def predicted(model, store):
    return predict(model, store, "val", device="cpu", batch_size=4)


def test_logits_are_those_of_the_patches_one_by_one(model, store, predicted) -> None:
    for row, index in enumerate(store.split("val")):
        dn = store.read(int(index)).dn
        with torch.inference_mode():
            alone = model.net(*(torch.from_numpy(dn[r].copy())[None] for r in (10, 20, 60)))
        np.testing.assert_allclose(predicted.logits[row], alone[0].numpy(), rtol=1e-3, atol=1e-4)
    assert np.array_equal(predicted.targets, store.targets[store.split("val")])


def test_scoring_keeps_the_mode_of_the_network(model, store) -> None:
    model.net.train()
    predict(model, store, "val", device="cpu")
    assert model.net.training
    model.net.eval()


def test_probabilities_and_decisions_use_temperature_and_thresholds(predicted, model) -> None:
    expected = expit(predicted.logits / 1.7)
    np.testing.assert_allclose(predicted.probabilities, expected, rtol=1e-6)
    assert np.array_equal(predicted.decisions, expected >= np.array(model.thresholds))


def test_figures_are_those_of_scikit_learn_on_scores(predicted) -> None:
    found = evaluate_predictions(predicted, seed_compat=True)
    targets, scores = predicted.targets, predicted.probabilities
    known = targets.any(axis=0)
    expected = sk.average_precision_score(targets[:, known], scores[:, known], average="macro")
    assert found.figures["ap_macro"] == pytest.approx(expected)
    assert found.figures["coverage_error"] == pytest.approx(sk.coverage_error(targets, scores))
    seed = sk.coverage_error(targets, scores > 0.5)
    assert found.figures["coverage_error_seed"] == pytest.approx(seed)
    before = metrics.calibration_error(targets, expit(predicted.logits))
    assert found.figures["ece_uncalibrated"] == before != found.figures["ece"]
    names = np.array([c["name"] for c in found.classes])
    assert list(found.without_positive) == names[~known].tolist()
    assert [c["support"] for c in found.classes] == targets.sum(axis=0).tolist()


def test_groups_are_countries_and_seasons_of_the_store(predicted, store) -> None:
    found = evaluate_predictions(predicted)
    indices = store.split("val")
    seasons = [store.seasons[i] for i in indices]
    assert set(found.seasons) == set(seasons)
    for season, figures in found.seasons.items():
        rows = np.array([s == season for s in seasons])
        assert figures["patches"] == rows.sum()
        truth, scores = predicted.targets[rows], predicted.probabilities[rows]
        known = truth.any(axis=0)
        expected = sk.average_precision_score(truth[:, known], scores[:, known], average="macro")
        assert figures["ap_macro"] == pytest.approx(expected)
    assert sum(g["patches"] for g in found.countries.values()) == len(indices)


def test_two_models_are_compared_on_the_same_patches(model, store, predicted) -> None:
    other = replace(model, thresholds=(0.5,) * 19)
    found = compare_predictions(predicted, predict(other, store, "val", device="cpu"))
    assert found["ap_macro"].first == found["ap_macro"].second
    assert found["f1_micro"].first == evaluate_predictions(predicted).figures["f1_micro"]
    assert found["f1_micro"].second < found["f1_micro"].first
    with pytest.raises(ValueError, match="different patches"):
        compare_predictions(predicted, predict(model, store, "test", device="cpu"))


def test_figures_come_with_intervals_and_few_patches_are_marked(predicted) -> None:
    found = evaluate_predictions(predicted)
    clusters = set(predicted.patches.clusters.tolist())
    assert found.clusters == len(clusters)
    remarks = " ".join(found.remarks)
    assert "over fewer than 100 patches" in remarks
    if found.intervals:
        low, high = found.intervals["ap_micro"]
        assert 0 <= low <= found.figures["ap_micro"] <= high <= 1
    else:
        assert f"{len(clusters)} tiles are too few" in remarks


def test_json_has_no_nan(model, store) -> None:
    text = json.dumps(evaluate(model, store, "val", device="cpu").as_json(), allow_nan=False)
    assert json.loads(text)["patches"] == len(store.split("val"))


def test_classes_are_matched_by_name(model, store, predicted) -> None:
    # the same network with its classes, and the rows of its head, in alphabetical order
    order = np.argsort(model.net.classes)
    names = tuple(model.net.classes[i] for i in order)
    net = build_net(
        NetConfig(backbone="test_resnet"), classes=names, nomenclature="ben19",
        normalisation=model.net.normalisation,
    )  # fmt: skip
    state = dict(model.net.state_dict())
    head = [k for k, v in state.items() if v.shape[:1] == (19,)]
    net.load_state_dict(state | {k: state[k][order] for k in head})
    thresholds = tuple(model.thresholds[i] for i in order)
    sorted_model = Model(net.eval(), thresholds=thresholds, calibration=Calibration(1.7))
    other = evaluate(sorted_model, store, "val", device="cpu")
    same = evaluate_predictions(predicted)
    assert other.figures == pytest.approx(same.figures)
    by_name = {c["name"]: c["support"] for c in same.classes}
    assert {c["name"]: c["support"] for c in other.classes} == by_name


def test_stores_that_do_not_suit(model, tmp_path) -> None:
    clc = make_store(tmp_path / "clc.store", 4, nomenclature_id="clc43", classes=("Peatbogs",))
    with pytest.raises(DatasetError, match=r"nomenclature clc43; expected the model's: ben19"):
        evaluate(model, open_store(clc), "val")
    train_only = make_store(tmp_path / "t.store", 4, patch=lambda i: make_patch(i, split="train"))
    with pytest.raises(DatasetError, match="no patch in the split test"):
        evaluate(model, open_store(train_only), "test")


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    for wrong in ("tpu3", "cuda:99"):
        with pytest.raises(ParameterError, match=f"device '{wrong}'"):
            choose_device(wrong)
    assert autocast_type("auto", torch.device("cpu")) is None
    with pytest.raises(ParameterError, match="fp16 on a CPU"):
        autocast_type("fp16", torch.device("cpu"))


def test_footprints_are_the_patches(predicted, store, tmp_path) -> None:
    write_footprints(predicted, tmp_path / "p.gpkg")
    table = geopandas.read_file(tmp_path / "p.gpkg", layer="patches")
    assert table.crs.to_epsg() == 32633
    assert table["key"].tolist() == [store.keys[i] for i in store.split("val")]
    for row, index in enumerate(store.split("val")):
        patch = store.read(int(index))
        bounds = (patch.left, patch.top - 1200, patch.left + 1200, patch.top)
        assert table.geometry[row].bounds == bounds
        assert table["labels"][row] == "; ".join(patch.ben19)
        decided = set(table["predicted"][row].split("; ")) - {""}
        assert set(table["missed"][row].split("; ")) - {""} == set(patch.ben19) - decided
        assert set(table["wrong"][row].split("; ")) - {""} == decided - set(patch.ben19)
    np.testing.assert_allclose(table["p_urban"], predicted.probabilities[:, 0])
    np.testing.assert_allclose(table["loss"], patch_losses(predicted))
    with pytest.raises(OutputError, match="it exists"):
        write_footprints(predicted, tmp_path / "p.gpkg")
    with pytest.raises(ParameterError, match=r"found the ending '\.shp'; expected one of \.gpkg"):
        write_footprints(predicted, tmp_path / "p.shp")


def test_footprints_of_two_zones_are_in_wgs84(model, tmp_path) -> None:
    def patch(index: int):
        made = make_patch(index, split="val")
        return replace(made, crs=("EPSG:32629", "EPSG:32735")[index % 2])

    store = open_store(make_store(tmp_path / "two.store", 4, patch=patch))
    write_footprints(predict(model, store, "val", device="cpu"), tmp_path / "p.gpkg")
    table = geopandas.read_file(tmp_path / "p.gpkg")
    assert table.crs.to_epsg() == 4326
    back = table.to_crs(32735)
    first = store.read(1)
    left, _, _, top = back.geometry[1].bounds
    assert (left, top) == pytest.approx((first.left, first.top), abs=1)


def test_report_says_what_the_evaluation_says(predicted, tmp_path) -> None:
    evaluation = evaluate_predictions(predicted, seed_compat=True)
    write_report(predicted, evaluation, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text()
    assert f"| Average precision, macro | {evaluation.figures['ap_macro']:.3f} |" in text
    assert "95 % interval" in text
    assert "Coverage error as the seed computed it" in text
    for name in evaluation.without_positive:
        assert name in text
    worst = int(np.argmax(patch_losses(predicted)))
    assert f"1. `{predicted.patches.key(worst)}`" in text
    written = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert written["figures"]["ap_macro"] == evaluation.figures["ap_macro"]
    for link in ("class_ap", "precision_recall", "reliability", "cooccurrence", "worst"):
        picture = tmp_path / "report" / f"{link}.png"
        assert f"({link}.png)" in text
        assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="it exists"):
        write_report(predicted, evaluation, tmp_path / "report")


def test_a_report_holds_no_markup_of_strangers(model, tmp_path) -> None:
    def patch(index: int):
        return replace(make_patch(index, split="val"), country="[a](b) <script>|")

    folder = tmp_path / "<img src=x>.store"
    opened = open_store(make_store(folder, 4, patch=patch))
    found = predict(model, opened, "val", device="cpu")
    write_report(found, evaluate_predictions(found), tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text()
    assert " on \\<img src=x\\>.store, split val\n" in text
    assert "| \\[a\\](b) \\<script\\>\\| | 4" in text


def test_an_untrained_network_says_how_frequent_classes_are(store) -> None:
    patches = SplitPatches(store, "train")
    for fusion in ("early", "late"):
        config = TrainConfig(backbone="resnet10t", fusion=fusion)
        net = make_net(patches, config, torch.device("cpu")).eval()
        zeros = [torch.zeros(1, n, p, p) for n, p in ((4, 120), (6, 60), (2, 20))]
        with torch.no_grad():
            said = torch.sigmoid(net.classify(*zeros))[0].numpy()
        frequent = np.clip(patches.targets.mean(axis=0), 0.01, 0.99)
        assert np.corrcoef(said, frequent)[0, 1] > 0.9


def test_range_test_finds_where_the_loss_falls(made, quick, tmp_path) -> None:
    curve = find_rate(made, quick, steps=30, device="cpu")
    assert len(curve.rates) == len(curve.losses) >= 3
    assert curve.rates[0] == 1e-6
    assert (np.diff(curve.rates) > 0).all()
    assert 1e-6 <= curve.suggestion <= curve.rates[np.argmin(curve.losses)]
    table, picture = write_curve(curve, quick, tmp_path / "rates")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["learning_rate"]) == 1e-6
    assert float(rows[-1]["loss"]) == pytest.approx(curve.losses[-1], abs=1e-6)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_tables_of_markdown() -> None:
    lines = markdown_table(["a|b", "n"], [["x", 1], ["y", float("nan")], ["z", 0.5], ["w", None]])
    assert lines == [
        "| a\\|b | n |", "| --- | ---: |",
        "| x | 1 |", "| y | – |", "| z | 0.500 |", "| w | – |", "",
    ]  # fmt: skip
