"""What a store says of the places, months and spectra of its training patches."""

from __future__ import annotations

import numpy as np
from click.testing import CliRunner
from made_archives import make_patch, make_store

from geolulc.bands import BAND_NAMES, GROUPS
from geolulc.cli import cli
from geolulc.datasets import open_store
from geolulc.datasets.domain import training_domain
from geolulc.domain import FEWEST_SPECTRA, patch_means, read_domain


def test_it_is_that_of_the_train_split(tmp_path):
    store = open_store(make_store(tmp_path / "s.store", 80))
    domain = read_domain(store.manifest["domain"])
    train = store.split("train")
    assert domain.patches == sum(domain.countries.values()) == len(train)
    assert domain.countries == {
        name: sum(store.countries[i] == name for i in train)
        for name in sorted({store.countries[i] for i in train})
    }
    assert domain.months == {6: len(train)}
    north = 34  # of 40 patches in a column, 48° N runs between the others and these
    assert domain.squares == ((12, 47, len(train) - north), (12, 48, north))
    assert domain.spectra.patches == len(train) >= FEWEST_SPECTRA
    means = [
        patch_means(store.read(int(i)).dn, GROUPS, BAND_NAMES, np.zeros(1, int), 1200)[0]
        for i in train
    ]
    np.testing.assert_allclose(domain.spectra.mean, np.mean(means, axis=0))
    assert len(domain.spectra.mean) == len(BAND_NAMES)


def test_of_other_patches_it_is_computed(tmp_path):
    store = open_store(make_store(tmp_path / "s.store", 60))
    train = store.split("train")
    domain = training_domain(store)
    assert domain == training_domain(store, train[::-1]) == read_domain(store.manifest["domain"])
    few = training_domain(store, train[:5])
    assert (few.patches, few.spectra) == (5, None)
    assert training_domain(store, train[:0]).squares == ()


def test_countries_that_are_unknown_are_left_out(tmp_path):
    from dataclasses import replace

    def patch(index):
        made = make_patch(index)
        return replace(made, country=None if index % 2 else made.country)

    domain = training_domain(open_store(make_store(tmp_path / "s.store", 20, patch=patch)))
    assert 0 < sum(domain.countries.values()) < domain.patches


def test_info_says_it_in_few_lines(tmp_path):
    path = make_store(tmp_path / "s.store", 80)
    result = CliRunner().invoke(cli, ["info", str(path)])
    assert "west south east north: 12," in result.output
    assert "covariance" not in result.output
