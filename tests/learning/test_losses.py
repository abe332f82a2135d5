from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from geolulc.learning import TrainConfig
from geolulc.learning.losses import make_loss, positive_weights

FREQUENCIES = torch.tensor([0.5, 0.1, 0.0])


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 3) * 3, (torch.rand(6, 3) < 0.4).float()


def test_bce_equals_torch(batch) -> None:
    logits, targets = batch
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    found = make_loss(TrainConfig(), FREQUENCIES)(logits, targets)
    torch.testing.assert_close(found, expected)


def test_focal_equals_torchvision(batch) -> None:
    logits, targets = batch
    expected = sigmoid_focal_loss(logits, targets, alpha=-1, gamma=2).mean(dim=1)
    found = make_loss(TrainConfig(loss="focal"), FREQUENCIES)(logits, targets)
    torch.testing.assert_close(found, expected)


def test_asl_by_its_equations(batch) -> None:
    # Ridnik et al. 2021, equations 5 and 6, with gamma+ 0, gamma- 4, m 0.05
    logits, targets = batch
    p = torch.sigmoid(logits.double())
    p_m = (p - 0.05).clamp(min=0)
    expected = -(targets * p.log() + (1 - targets) * p_m**4 * (1 - p_m).log()).mean(dim=1)
    found = make_loss(TrainConfig(loss="asl"), FREQUENCIES)(logits, targets)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ["bce", "focal", "asl"])
def test_large_logits_stay_finite(loss) -> None:
    logits = torch.tensor([[100.0, -100.0, 0.0]], requires_grad=True)
    value = make_loss(TrainConfig(loss=loss), FREQUENCIES)(logits, torch.tensor([[0.0, 1.0, 1.0]]))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(logits.grad).all()


def test_weights_are_the_root_of_the_ratio() -> None:
    weights = positive_weights(torch.tensor([0.5, 0.1, 0.0, 0.9, 1e-6]))
    torch.testing.assert_close(weights, torch.tensor([1.0, 3.0, 1.0, 1.0, 10.0]))


def test_balanced_weighs_positives_only(batch) -> None:
    logits, _ = batch
    plain, weighed = (
        make_loss(TrainConfig(class_weights=w), FREQUENCIES) for w in ("none", "balanced")
    )
    zeros = torch.zeros_like(logits)
    torch.testing.assert_close(weighed(logits, zeros), plain(logits, zeros))
    second = zeros.clone()
    second[:, 1] = 1
    expected = plain(logits, second) + 2 * F.softplus(-logits[:, 1]) / 3
    torch.testing.assert_close(weighed(logits, second), expected)


def test_smoothing_moves_targets_to_the_frequency(batch) -> None:
    logits, targets = batch
    found = make_loss(TrainConfig(label_smoothing=0.2), FREQUENCIES)(logits, targets)
    smoothed = 0.8 * targets + 0.2 * FREQUENCIES
    expected = make_loss(TrainConfig(), FREQUENCIES)(logits, smoothed)
    torch.testing.assert_close(found, expected)
