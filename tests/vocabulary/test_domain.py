"""The ground, months and spectra of a training, and how far from them something is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from geolulc.bands import BAND_NAMES, BANDS, GROUPS
from geolulc.domain import FEWEST_SPECTRA, Spectra, TrainingDomain, patch_means, read_domain
from geolulc.errors import ParameterError


def some_spectra(count: int = 400, seed: int = 0) -> np.ndarray:
    """Mean reflectances that are normally distributed and correlated."""
    mixing = np.random.default_rng(99).normal(0, 1, (12, 12))
    return 2000 + np.random.default_rng(seed).normal(0, 100, (count, 12)) @ mixing


class TestSpectra:
    def test_one_in_a_hundred_of_the_same_kind_is_beyond_the_limit(self):
        spectra = Spectra.of(some_spectra(2000))
        found = spectra.unlikeness(some_spectra(100_000, 1))
        assert 0.005 < (found > 1).mean() < 0.02

    @pytest.mark.parametrize("count", [40, 60, 100])
    def test_few_patches_do_not_seem_close_together(self, count):
        """Compared with themselves, few patches would call a quarter of their like strange."""
        shares = []
        for seed in range(5):
            spectra = Spectra.of(some_spectra(count, seed))
            shares.append((spectra.unlikeness(some_spectra(10_000, 100)) > 1).mean())
        assert np.mean(shares) < 0.05

    def test_the_limit_is_by_leaving_each_patch_out(self):
        means = some_spectra(50)
        apart = []
        for i in range(len(means)):
            others = np.delete(means, i, axis=0)
            covariance = np.cov(others.T)
            weight = 12 / (12 + len(others))
            covariance = (1 - weight) * covariance + weight * np.diag(np.diag(covariance))
            x = means[i] - others.mean(axis=0)
            apart.append(np.sqrt(x @ np.linalg.inv(covariance) @ x))
        assert Spectra.of(means).limit == pytest.approx(np.quantile(apart, 0.99))

    def test_too_few_or_equal_patches_have_none(self):
        assert Spectra.of(some_spectra(FEWEST_SPECTRA - 1)) is None
        assert Spectra.of(np.full((100, 12), 1500.0)) is None
        unknown = some_spectra(100)
        unknown[5:, 3] = np.nan
        assert Spectra.of(unknown) is None

    def test_shapes(self):
        spectra = Spectra.of(some_spectra())
        assert spectra.unlikeness(some_spectra(12).reshape(3, 4, 12)).shape == (3, 4)
        assert spectra.unlikeness(np.array([spectra.mean])) == pytest.approx(0)


class TestPatchMeans:
    def test_means_over_the_pixels_that_have_data(self):
        rng = np.random.default_rng(0)
        bands = {b.name: rng.integers(1, 9000, (1200 // b.resolution, 3600 // b.resolution))
                 for b in BANDS}  # fmt: skip
        bands["B03"][:60] = 0
        bands["B01"][:, 20:40] = 0
        dn = {r: np.stack([bands[n] for n in names]).astype(np.uint16)
              for r, names in GROUPS.items()}  # fmt: skip
        lefts = np.array([0, 1200, 1380])
        found = patch_means(dn, GROUPS, BAND_NAMES, lefts, 1200)
        assert found.shape == (3, 12)
        for i, left in enumerate(lefts):
            for j, b in enumerate(BANDS):
                part = bands[b.name][:, left // b.resolution : (left + 1200) // b.resolution]
                expected = part[part > 0].mean() if (part > 0).any() else np.nan
                assert BAND_NAMES[j] == b.name
                np.testing.assert_allclose(found[i, j], expected)


class TestPlaces:
    FINLAND = TrainingDomain(3, {"Finland": 3}, {6: 2, 7: 1}, ((24, 60, 2), (25, 61, 1)))

    def test_distance_to_the_nearest_square(self):
        assert self.FINLAND.distance(24.5, 60.5) == 0
        assert self.FINLAND.distance(24.5, 59) == pytest.approx(111.195, abs=0.01)
        assert self.FINLAND.distance(102.8, 17.9) == pytest.approx(7564, abs=1)  # Laos
        assert TrainingDomain(0).distance(0, 0) is None

    def test_across_the_180th_meridian(self):
        fiji = TrainingDomain(1, squares=((179, -17, 1),))
        assert fiji.distance(-179.5, -16.5) == pytest.approx(53.3, abs=0.2)

    @pytest.mark.parametrize(
        ("month", "latitude", "apart"),
        [(6, 60, 0), (5, 60, 1), (12, 60, 5), (1, 60, 5), (12, -30, 0), (6, -30, 5)],
    )
    def test_months_from_the_training(self, month, latitude, apart):
        assert self.FINLAND.season_apart(month, latitude) == apart


class TestReading:
    WHOLE = TrainingDomain(3, {"Finland": 3}, {6: 3}, ((24, 60, 3),), Spectra.of(some_spectra()))

    def test_back_and_forth(self):
        assert read_domain(json.loads(json.dumps(self.WHOLE.as_mapping()))) == self.WHOLE
        assert read_domain(TrainingDomain(0).as_mapping()) == TrainingDomain(0)

    @pytest.mark.parametrize(
        ("change", "subject"),
        [
            ({"patches": -1}, "patches"),
            ({"months": {"June": 1}}, "months"),
            ({"spectra": {"mean": [1.0], "covariance": [[1.0]], "limit": 1.0, "patches": 50}},
             "spectra"),
            ({"unknown": 1}, "unknown"),
        ],
    )  # fmt: skip
    def test_what_is_not_sound_is_refused(self, change, subject):
        with pytest.raises(ParameterError, match=f"training domain, .*{subject}"):
            read_domain(self.WHOLE.as_mapping() | change)

    def test_a_covariance_that_is_none(self):
        plain = self.WHOLE.as_mapping()
        plain["spectra"]["covariance"][0][0] = -1.0
        with pytest.raises(ParameterError, match="no covariance"):
            read_domain(plain)
