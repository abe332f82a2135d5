from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from geolulc.datasets.patch import BIGEARTHNET, PatchLayout
from geolulc.errors import ParameterError
from geolulc.learning import TrainConfig
from geolulc.learning.augmentation import Draws, augment, draw

ALL = np.array([[t, h, v] for t in (0, 1) for h in (0, 1) for v in (0, 1)], bool)


def ground(patches: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs at 10, 20 and 60 m of the same ground: the coarser are means of the finer."""
    torch.manual_seed(0)
    x10 = torch.randn(patches, 2, 120, 120)
    x20 = torch.nn.functional.avg_pool2d(x10, 2)
    return x10, x20, torch.nn.functional.avg_pool2d(x20, 3)


def test_the_eight_symmetries_are_eight_and_alike_at_every_resolution() -> None:
    one = ground(1)
    inputs = tuple(x.expand(8, -1, -1, -1).clone() for x in one)
    (x10, x20, x60), _ = augment(inputs, torch.zeros(8, 3), Draws(ALL, None, None, None))
    assert len({x10[i].numpy().tobytes() for i in range(8)}) == 8
    # the three resolutions still show the same ground
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(x10, 2), x20)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(x20, 3), x60)
    turns = {torch.rot90(one[0][0], k, (1, 2)).numpy().tobytes() for k in range(4)}
    assert turns <= {x10[i].numpy().tobytes() for i in range(8)}


def test_nothing_asked_for_changes_nothing() -> None:
    config = TrainConfig(d4=False)
    inputs, targets = ground(3), torch.rand(3, 4)
    changed, same = augment(inputs, targets, draw(config, 0, 3, 6, BIGEARTHNET))
    for before, after in zip(inputs, changed, strict=True):
        assert torch.equal(before, after)
    assert torch.equal(same, targets)


def test_mixup_blends_pixels_and_targets_alike() -> None:
    inputs, targets = ground(3), torch.eye(3)
    share = np.array([0.75, 0.5, 1.0], np.float32)
    (x10, _, x60), mixed = augment(inputs, targets, Draws(None, share, None, None))
    torch.testing.assert_close(x10[0], 0.75 * inputs[0][0] + 0.25 * inputs[0][1])
    torch.testing.assert_close(x60[1], 0.5 * inputs[2][1] + 0.5 * inputs[2][0])
    # the third has no neighbour
    torch.testing.assert_close(x10[2], inputs[0][2])
    expected = torch.tensor([[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 0, 1]])
    torch.testing.assert_close(mixed, expected)


def test_jitter_is_a_gain_and_offset_by_band_and_keeps_missing_pixels() -> None:
    x10, x20, x60 = ground(1)
    x10[0, :, :5] = 0
    gain = np.arange(1, 7, dtype=np.float32)[None]
    offset = np.arange(10, 16, dtype=np.float32)[None]
    (y10, _, y60), _ = augment((x10, x20, x60), torch.zeros(1, 1), Draws(None, None, gain, offset))
    torch.testing.assert_close(y10[0, 1, 5:], x10[0, 1, 5:] * 2 + 11)
    torch.testing.assert_close(y60[0, 1], x60[0, 1] * 6 + 15)
    assert (y10[0, :, :5] == 0).all()


def test_a_dropped_band_is_its_mean_and_the_others_stay() -> None:
    inputs = ground(500)
    draws = draw(TrainConfig(d4=False, band_dropout=0.3), 0, 500, 6, BIGEARTHNET)
    changed, _ = augment(inputs, torch.zeros(500, 1), draws)
    dropped = torch.cat([(x == 0).flatten(2).all(dim=2) for x in changed], dim=1)
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.03)
    for before, after in zip(inputs, changed, strict=True):
        gone = (after == 0).flatten(2).all(dim=2)
        torch.testing.assert_close(after[~gone], before[~gone])


def test_numbers_depend_on_seed_epoch_and_place_only() -> None:
    config = TrainConfig(mixup=0.3, spectral_jitter=0.1, seed=5)
    one, again = draw(config, 2, 50, 12, BIGEARTHNET), draw(config, 2, 50, 12, BIGEARTHNET)
    other = draw(config, 3, 50, 12, BIGEARTHNET)
    for name in ("symmetry", "blend", "gain", "offset"):
        assert np.array_equal(getattr(one, name), getattr(again, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))
    places = np.array([7, 3])
    assert np.array_equal(one.of(places).gain, one.gain[[7, 3]])


def test_draws_have_the_spread_that_was_asked_for() -> None:
    numbers = draw(TrainConfig(spectral_jitter=0.1, mixup=0.5), 0, 20_000, 12, BIGEARTHNET)
    assert np.log(numbers.gain).std() == pytest.approx(0.1, rel=0.05)
    assert numbers.offset.std() == pytest.approx(0.1, rel=0.05)
    assert 0.5 <= numbers.blend.min() <= numbers.blend.max() <= 1
    assert numbers.symmetry.mean() == pytest.approx(0.5, abs=0.02)
    counts = np.unique(numbers.symmetry @ [1, 2, 4], return_counts=True)[1]
    assert len(counts) == 8
    assert counts.min() > 2200


def test_crops_are_of_whole_coarsest_pixels() -> None:
    config = TrainConfig(task="pixel", crop=48)
    draws = draw(config, 0, 40, 6, BIGEARTHNET)
    x10, truth = torch.arange(14_400.0).view(1, 1, 120, 120), torch.arange(14_400).view(1, 120, 120)
    x60 = torch.nn.functional.avg_pool2d(x10, 6)
    draws = replace(draws.of(np.array([7])), symmetry=None)
    (y10, y60), same = augment((x10, x60), truth, draws)
    assert y10.shape[-2:] == same.shape[-2:] == (48, 48)
    assert torch.equal(y10[0], same.float())
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(y10, 6), y60)


@pytest.mark.parametrize(
    ("crop", "layout", "message"),
    [
        (50, BIGEARTHNET, "50 pixels; expected a multiple of 6 below 120, of patches of 1200 m"),
        (120, BIGEARTHNET, "below 120"),
        (60, PatchLayout(size=600), "below 60"),
    ],
)
def test_crops_that_no_patch_has(crop, layout, message) -> None:
    with pytest.raises(ParameterError, match=message):
        draw(TrainConfig(task="pixel", crop=crop), 0, 3, 6, layout)
