from __future__ import annotations

import pytest
import torch
from made_nets import make_net
from torch import nn

from geolulc.errors import DatasetError
from geolulc.learning import TrainConfig
from geolulc.learning.optimisation import learning_rate, make_optimizer, update_average
from geolulc.learning.plan import make_plan, step_seed


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    config = TrainConfig(epochs=10, learning_rate=0.1, warmup_epochs=2, batch_size=4)
    plan = make_plan(20, config, 1)
    rates = [learning_rate(config, s, plan) for s in range(50)]
    assert rates[:10] == pytest.approx([0.1 * (s + 1) / 11 for s in range(10)])
    assert max(rates) == rates[10] == 0.1
    assert rates[30] == pytest.approx(0.05)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_a_long_warm_up_leaves_half_of_a_short_run() -> None:
    config = TrainConfig(epochs=3, learning_rate=0.1, warmup_epochs=5, batch_size=4)
    rates = [learning_rate(config, s, make_plan(8, config, 1)) for s in range(6)]
    assert max(rates) == rates[3] == 0.1


@pytest.mark.parametrize("fusion", ["early", "late"])
def test_pretrained_encoders_may_learn_more_slowly(fusion) -> None:
    net = make_net(fusion=fusion)
    plain, slow = (
        make_optimizer(net, TrainConfig(trunk_rate=share)).param_groups for share in (1.0, 0.1)
    )
    assert {g["share"] for g in plain} == {1.0}
    shares = {id(p): g["share"] for g in slow for p in g["params"]}
    assert len(shares) == len(list(net.parameters()))
    head = net.fusion.head if fusion == "late" else net.fusion.backbone.fc
    assert {shares[id(p)] for p in head.parameters()} == {1.0}
    first = net.fusion.encoders()[0].backbone.conv1
    assert {shares[id(p)] for p in first.parameters()} == {0.1}


def test_norms_and_biases_do_not_decay() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 2))
    for name in ("adamw", "sgd"):
        groups = make_optimizer(net, TrainConfig(optimizer=name, weight_decay=0.1)).param_groups
        decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
        assert len(decays) == 6
        assert decays[id(net[0].weight)] == decays[id(net[2].weight)] == 0.1
        assert decays[id(net[0].bias)] == decays[id(net[1].weight)] == 0.0


def test_the_average_follows_with_its_decay() -> None:
    average, net = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.zeros_(average.weight)
    net.num_batches_tracked += 7
    update_average(average, net, 0.9, step=0)
    assert average.weight.tolist() == pytest.approx([0.9, 0.9])  # decay 1/10 at first
    nn.init.constant_(net.weight, 2.0)
    update_average(average, net, 0.9, step=10_000)
    assert average.weight.tolist() == pytest.approx([0.9 * 0.9 + 0.2] * 2)
    assert average.num_batches_tracked == 7
    update_average(average, net, 0.0, step=5)
    assert torch.equal(average.weight, net.weight)


def test_a_plan_uses_whole_batches() -> None:
    plan = make_plan(100, TrainConfig(batch_size=16, accumulate=2), 2)
    assert (plan.size, plan.batch, plan.steps) == (4, 16, 6)
    # a train split smaller than a batch is a batch, shared out evenly
    plan = make_plan(11, TrainConfig(batch_size=64), 2)
    assert (plan.size, plan.batch, plan.steps) == (5, 10, 1)
    with pytest.raises(DatasetError, match="1 patches for a batch of 64"):
        make_plan(1, TrainConfig(), 2)


def test_a_budget_of_steps_becomes_whole_epochs() -> None:
    config = TrainConfig(batch_size=4, epochs=3, steps=100, frozen_trunk=0.2)
    plan = make_plan(30, config, 1)
    assert (plan.steps, plan.epochs, plan.total, plan.frozen) == (7, 15, 105, 3)
    # as much is learned from few patches as from many
    assert make_plan(5, config, 1).total == 100
    assert make_plan(3000, config, 1).epochs == 1
    for share, frozen in ((0.0, 0), (0.01, 1), (0.99, 14), (1.0, 15)):
        assert make_plan(30, config.changed({"frozen_trunk": share}), 1).frozen == frozen


def test_step_seeds_differ() -> None:
    seeds = {step_seed(s, n, r) for s in range(3) for n in range(20) for r in range(2)}
    assert len(seeds) == 120
