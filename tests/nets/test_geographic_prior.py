"""Geographic priors: what labels near a place are worth, and where nothing is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_nets import make_net, make_prior
from scipy.special import expit, logit

from geolulc.errors import CheckpointError
from geolulc.nets import Model, describe_model, load_checkpoint, save_checkpoint
from geolulc.nets.geographic_prior import GeographicPrior

#: A degree of latitude in kilometres.
DEGREE = 6371.0088 * np.pi / 180
SHIFTS = np.linspace(-2, 2, 19)
VIENNA = (16.25, 48.25)


def test_many_patches_say_it_alone_and_twenty_as_much_as_what_was_known() -> None:
    np.testing.assert_allclose(make_prior(VIENNA, SHIFTS).at(*VIENNA), SHIFTS, atol=1e-3)
    # twenty patches of the base are added: half of the frequencies is theirs
    half = logit((expit(SHIFTS) + 0.5) / 2)
    np.testing.assert_allclose(make_prior(VIENNA, SHIFTS, 20).at(*VIENNA), half, atol=1e-5)


def test_patches_count_less_with_distance_and_not_at_all_far_away() -> None:
    prior = make_prior(VIENNA, SHIFTS, 20)
    weight = np.exp(-((30 / 40) ** 2))
    expected = logit((weight * expit(SHIFTS) + 0.5) / (weight + 1))
    np.testing.assert_allclose(prior.at(VIENNA[0], VIENNA[1] + 30 / DEGREE), expected, atol=1e-5)
    assert np.abs(prior.at([-164.0, 102.5], [48.0, 18.6])).max() < 1e-12


def test_it_holds_across_the_antimeridian() -> None:
    prior = make_prior([(179.9, 60.0), (-179.9, 60.0)], [SHIFTS, SHIFTS])
    np.testing.assert_allclose(prior.at([180.0, -180.0], [60.0, 60.0]), [SHIFTS, SHIFTS], atol=1e-3)


def test_many_places_are_looked_at_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = make_prior([VIENNA, (25.0, 60.0)], [SHIFTS, -SHIFTS], 100)
    x, y = np.meshgrid(np.linspace(15, 26, 7), np.linspace(47, 61, 5))
    whole = prior.at(x, y)
    assert whole.shape == (5, 7, 19)
    monkeypatch.setattr("geolulc.nets.geographic_prior._PAIRS", 6)
    np.testing.assert_allclose(prior.at(x, y), whole, atol=1e-12)


def test_an_unknown_place_has_no_shift() -> None:
    np.testing.assert_array_equal(
        make_prior(VIENNA, SHIFTS).at([np.nan], [48.0]), np.zeros((1, 19))
    )


def test_a_class_that_is_never_there_shifts_by_no_more_than_four() -> None:
    never = GeographicPrior.of(
        np.array([VIENNA]), np.array([1e9]), np.array([[0.0, 1.0]]), np.array([0.5, 0.5])
    )
    np.testing.assert_allclose(never.at(*VIENNA), [-4, 4])


def test_numbers_that_are_no_frequencies_stay_finite() -> None:
    """A stranger's checkpoint may hold any finite number."""
    odd = GeographicPrior.of(
        np.array([VIENNA, (1e30, -1e30)]),
        np.array([-20.0, 1e38]),
        np.array([[7.0, -7.0], [0.5, 0.5]]),
        np.array([0.0, 1.0]),
    )
    assert np.isfinite(odd.at(*VIENNA)).all()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_checkpoint_keeps_it(tmp_path: Path, dtype: str) -> None:
    prior = make_prior([VIENNA, (25.0, 60.0)], [SHIFTS, -SHIFTS], 100)
    model = Model(make_net(geographic_prior=prior))
    save_checkpoint(tmp_path / "m.safetensors", model, dtype=dtype)
    again = load_checkpoint(tmp_path / "m.safetensors").net.geographic_prior
    assert again is not None
    np.testing.assert_allclose(again.at(*VIENNA), prior.at(*VIENNA), atol=4e-3)
    assert describe_model(tmp_path / "m.safetensors")["geographic_prior_cells"] == 2


def test_one_of_other_classes_is_refused(tmp_path: Path) -> None:
    model = Model(make_net(geographic_prior=make_prior(VIENNA, SHIFTS[:18])))
    save_checkpoint(tmp_path / "m.safetensors", model)
    with pytest.raises(CheckpointError, match=r"geographic_prior\.(base|frequencies)"):
        load_checkpoint(tmp_path / "m.safetensors")


def test_one_of_a_model_of_pixels_is_refused(tmp_path: Path) -> None:
    net = make_net(task="pixel", geographic_prior=make_prior(VIENNA, SHIFTS))
    save_checkpoint(tmp_path / "m.safetensors", Model(net))
    with pytest.raises(CheckpointError, match=r"geographic_prior\."):
        load_checkpoint(tmp_path / "m.safetensors")
