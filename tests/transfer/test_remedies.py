"""Remedies and the training behind them: priors, repeats, masks, heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_nets import make_net, make_patches, make_prior
from scipy.special import expit, logit

from geolulc.errors import CheckpointError, ParameterError
from geolulc.learning.task import Task, close_classes, head_layer
from geolulc.learning.training import train
from geolulc.nets import Calibration, Model, load_checkpoint
from geolulc.nets.class_frequencies import frequencies_of, prior_shift
from geolulc.transfer.remedies import (
    Remedy,
    correct_prior,
    expected_thresholds,
    repeat_rare,
)


@pytest.mark.parametrize("text", ["none", "mask", "prior", "balanced", "mask+prior"])
def test_remedies_are_named_as_they_are_written(text) -> None:
    assert str(Remedy.parse(text)) == text
    assert str(Remedy.parse("prior+mask")) == "mask+prior"


def test_prior_shift_by_hand() -> None:
    source = np.zeros((99, 2), np.float32)
    source[:19, 0] = 1
    target = np.zeros((99, 2), np.float32)
    target[:79, 0] = 1
    # (19 + ½) / 100 and (79 + ½) / 100; a class that neither has does not move
    expected = logit(0.795) - logit(0.195)
    there, here = map(frequencies_of, (source, target))
    np.testing.assert_allclose(prior_shift(there, here), [expected, 0], atol=1e-12)
    np.testing.assert_allclose(prior_shift(here, there), [-expected, 0], atol=1e-12)


def test_prior_shift_makes_a_perfect_posterior_of_another_prior_perfect() -> None:
    """Bayes: x | y is the same in both regions, only y is more frequent."""
    random = np.random.default_rng(0)
    n = 200_000
    source = (random.random((n, 1)) < 0.2).astype(np.float32)
    target = (random.random((n, 1)) < 0.7).astype(np.float32)
    x = random.normal(target[:, 0] * 2, 1)
    # log-odds of N(2, 1) against N(0, 1), and the source's prior
    logits = 2 * x - 2 + logit(0.2)
    corrected = expit(logits + prior_shift(*map(frequencies_of, (source, target)))[0])
    for low in np.linspace(0, 0.9, 10):
        rows = (corrected >= low) & (corrected < low + 0.1)
        assert target[rows, 0].mean() == pytest.approx(corrected[rows].mean(), abs=0.02)


def test_correcting_a_model_shifts_its_calibrated_logits() -> None:
    net = make_net().eval()
    model = Model(net, calibration=Calibration(2.5, tuple(np.linspace(0.5, 2, 19)), (0.3,) * 19))
    patches = make_patches()
    with torch.no_grad():
        before = logit(model.probabilities(net(*patches)).double().numpy())
        shift = np.linspace(-2, 2, 19)
        correct_prior(model, shift)
        after = logit(model.probabilities(net(*patches)).double().numpy())
    np.testing.assert_allclose(after - before, np.broadcast_to(shift, before.shape), atol=1e-4)


def test_correcting_behind_what_stands_behind_the_head_is_refused() -> None:
    behind = [
        {"label_correlation": "on", "cooccurrence": np.eye(19) / 19},
        {"geographic_prior": make_prior((16, 48), np.zeros(19))},
    ]
    for options in behind:
        with pytest.raises(ParameterError, match="or a geographic prior behind the head"):
            correct_prior(Model(make_net(**options)), np.zeros(19))


def test_patches_of_rare_classes_are_repeated() -> None:
    targets = np.zeros((1000, 3), np.float32)
    targets[:, 0] = 1
    targets[:25, 1] = 1  # 2.5 %: √(0.1 / 0.025) = 2
    targets[-1, 2] = 1  # once: √100 = 10, cut to 4
    positions = np.arange(1000) + 7
    repeated = repeat_rare(positions, targets, seed=0)
    counts = np.bincount(repeated - 7, minlength=1000)
    assert (counts[:25] == 2).all()
    assert counts[-1] == 4
    assert (counts[25:-1] == 1).all()


@pytest.mark.parametrize("fusion", ["early", "intermediate", "late"])
def test_closed_classes_are_absent_whatever_a_patch_shows(fusion) -> None:
    net = make_net(fusion=fusion).eval()
    closed = np.zeros(19, bool)
    closed[[3, 18]] = True
    with torch.no_grad():
        before = net(*make_patches())
        close_classes(net, closed)
        after = net(*make_patches())
    assert (after[:, closed] == -100).all()
    torch.testing.assert_close(after[:, ~closed], before[:, ~closed])


def test_the_head_learns_alone(three, regions, quick, tmp_path) -> None:
    start = tmp_path / "start"
    train(three.path, start, quick, task=Task(train=regions["Austria"]["train"]))
    task = Task(
        train=regions["Kosovo"]["train"],
        val=regions["Kosovo"]["val"],
        start=start / "model.safetensors",
        head_epochs=2,
    )
    train(three.path, tmp_path / "head", quick.changed({"select": "last"}), task=task)
    before, after = (load_checkpoint(tmp_path / n).net for n in ("start", "head"))
    head = head_layer(after)
    names = {id(p): name for name, p in after.named_parameters()}
    of_head = {names[id(head.weight)], names[id(head.bias)]}
    changed = {
        name
        for name, value in after.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert changed == of_head  # batch statistics stay too


def test_masked_classes_are_not_learned(three, regions, quick, tmp_path) -> None:
    classes = three.targets[regions["Kosovo"]["train"]].any(axis=0)
    task = Task(train=regions["Austria"]["train"], val=regions["Austria"]["val"], classes=classes)
    train(three.path, tmp_path / "run", quick, task=task)
    model = load_checkpoint(tmp_path / "run")
    head = head_layer(model.net)
    assert (head.bias.detach().numpy()[~classes] == -100).all()
    assert (head.weight.detach().numpy()[~classes] == 0).all()
    assert (head.bias.detach().numpy()[classes] > -50).all()
    assert model.provenance["train_positives"][model.net.classes[0]] == 0


def test_a_start_of_another_network_is_refused(three, regions, quick, tmp_path) -> None:
    train(three.path, tmp_path / "start", quick.changed({"epochs": 1}))
    task = Task(start=tmp_path / "start" / "model.safetensors")
    with pytest.raises(CheckpointError, match="Start from a checkpoint of the same settings"):
        train(three.path, tmp_path / "run", quick.changed({"drop_rate": 0.5}), task=task)


def test_thresholds_follow_the_frequencies_of_the_target() -> None:
    """Calibrated probabilities of another prior: F1 by their own thresholds, without labels."""
    rng = np.random.default_rng(0)
    n, rare = 20_000, 0.05
    truth = rng.random(n) < rare
    evidence = rng.normal(np.where(truth, 1.5, 0.0), 1.0)
    # of a source where half of the patches have the class, then corrected to the target
    source = 1.5 * evidence - 1.5**2 / 2
    corrected = source + logit(rare) - logit(0.5)
    model = Model(make_net())
    many = np.repeat(corrected[:, None], 19, axis=1)
    (threshold, *_) = expected_thresholds(many, model)
    p = expit(corrected)

    def f1(cut: float) -> float:
        said = p >= cut
        return 2 * (said & truth).sum() / (said.sum() + truth.sum())

    best = max(f1(cut) for cut in np.linspace(0.02, 0.9, 89))
    assert f1(threshold) > best - 0.01
    # half of the best F1 (Lipton et al. 2014)
    assert threshold == pytest.approx(best / 2, abs=0.05)
