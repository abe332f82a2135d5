"""Sets of labels: the exact marginals of all sets, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geolulc.nets.label_sets import LabelSets

SETS = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0]], np.uint8)


def test_without_evidence_classes_have_their_shares_in_the_sets() -> None:
    layer = LabelSets.of(SETS, np.array([0.5, 0.3, 0.2]))
    found = torch.sigmoid(layer(torch.zeros(2, 3)))
    torch.testing.assert_close(found, torch.tensor([[0.7, 0.5, 0.3]] * 2))


def test_evidence_of_one_class_moves_those_that_come_with_it() -> None:
    layer = LabelSets.of(SETS, np.array([0.5, 0.3, 0.2]))
    # e^z = 2 for class 1: only the first set holds it, so its weight doubles
    found = torch.sigmoid(layer(torch.tensor([[0.0, np.log(2), 0.0]], dtype=torch.float32)))
    torch.testing.assert_close(found, torch.tensor([[1.2, 1.0, 0.3]]) / 1.5)


def test_a_class_of_no_set_and_one_of_all_stay_finite() -> None:
    layer = LabelSets.of(np.array([[1, 0]], np.uint8), np.ones(1))
    found = layer(torch.tensor([[-50.0, 50.0]]))
    assert torch.isfinite(found).all()
    assert found[0, 0] > 13
    assert found[0, 1] == pytest.approx(-13.8, abs=0.1)
