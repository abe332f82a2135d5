"""Figures over the classes that a target has."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_nets import make_net
from sklearn.metrics import average_precision_score, f1_score

from geolulc.nets import Calibration, Model
from geolulc.transfer.scores import score_target

#: Of the 40 patches.
TILES = np.repeat([f"T{i}" for i in range(8)], 5)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(make_net(), calibration=Calibration(2.0), thresholds=(0.4,) * 19)


def drawn(seed=0):
    """40 patches of the first five classes, and logits that know something of them."""
    random = np.random.default_rng(seed)
    targets = np.zeros((40, 19), np.float32)
    targets[:, :5] = random.random((40, 5)) < 0.4
    logits = (3 * targets - 1 + random.normal(0, 2, targets.shape)).astype(np.float32)
    return targets, logits


def test_figures_are_those_of_scikit_learn_over_the_targets_classes(model) -> None:
    targets, logits = drawn()
    found = score_target(targets, logits, model, TILES)
    own, scores = targets[:, :5], 1 / (1 + np.exp(-logits / 2))
    figures = found["figures"]
    for name in ("ap_macro", "ap_micro", "f1_micro", "f1_micro_all"):
        low, high = found["intervals"][name]
        assert low < figures[name] < high
    assert figures["ap_macro"] == pytest.approx(
        np.mean([average_precision_score(own[:, c], scores[:, c]) for c in range(5)])
    )
    assert figures["ap_micro"] == pytest.approx(
        average_precision_score(own.ravel(), scores[:, :5].ravel())
    )
    decided = scores >= 0.4
    assert figures["f1_micro"] == pytest.approx(f1_score(own, decided[:, :5], average="micro"))
    assert figures["f1_macro"] == pytest.approx(f1_score(own, decided[:, :5], average="macro"))
    assert figures["f1_micro_all"] == pytest.approx(
        f1_score(targets, decided, average="micro", zero_division=0)
    )
    assert figures["false_alarms"] == pytest.approx(decided[:, 5:].sum() / 40)
    p = scores[:, :5]
    assert figures["log_loss"] == pytest.approx(
        -np.mean(own * np.log(p) + (1 - own) * np.log(1 - p)), rel=1e-5
    )


def test_what_is_said_of_other_classes_changes_no_mean_but_the_one_named_so(model) -> None:
    targets, logits = drawn()
    wild = logits.copy()
    wild[:, 5:] = 50
    before, after = (score_target(targets, z, model, TILES) for z in (logits, wild))
    for name, value in before["figures"].items():
        if name in ("f1_micro_all", "false_alarms"):
            assert after["figures"][name] != value
        else:
            assert after["figures"][name] == value
    assert after["figures"]["false_alarms"] == 14
    assert [c["name"] for c in after["classes"]] == list(model.net.classes[:5])
    assert after["without"] == list(model.net.classes[5:])


def test_a_target_without_labels_has_no_figure(model) -> None:
    targets, logits = drawn()
    with np.errstate(all="raise"):
        found = score_target(targets[:0], logits[:0], model, TILES[:0])
    assert found["figures"]["ap_macro"] is None
    assert found["classes"] == []
    json.dumps(found, allow_nan=False)
