"""Sets of labels of a run: of its own patches, and of the official metadata by country."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_metadata import write_metadata

from geolulc.datasets.legend import Legend
from geolulc.errors import DatasetError, ParameterError
from geolulc.learning.config import TrainConfig
from geolulc.learning.label_files import LabelFile
from geolulc.learning.label_sets import label_sets_of, shares_of_sets
from geolulc.nomenclature import BEN19

URBAN, ARABLE, WATER = (BEN19.names[i] for i in (0, 2, 17))


def train_split(countries: list[str]) -> SimpleNamespace:
    """What ``label_sets_of`` asks of a train split."""
    targets = np.zeros((len(countries), 19), np.float32)
    targets[:, 0] = 1
    return SimpleNamespace(
        targets=targets,
        groups={"country": np.array(countries)},
        store=SimpleNamespace(legend=Legend.of_corine("ben19")),
    )


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    return write_metadata(
        tmp_path / "metadata.parquet",
        [
            ("train", "Finland", [URBAN, WATER], ""),
            ("train", "Finland", [WATER], ""),
            ("train", "Finland", [WATER], ""),
            ("train", "Finland", [WATER], ""),
            ("train", "Serbia", [ARABLE], ""),
            ("train", "Serbia", [URBAN], ""),
            ("train", "Kosovo", [URBAN, ARABLE], ""),
            ("validation", "Finland", [URBAN, ARABLE, WATER], ""),
        ],
    )


def settings(file: Path | str = "") -> TrainConfig:
    return TrainConfig(label_correlation="sets", label_sets=str(file))


def test_countries_have_the_shares_of_the_train_patches(metadata: Path) -> None:
    layer = label_sets_of(
        train_split(["Finland", "Serbia", "Serbia", "Ireland"]), settings(metadata)
    )
    found = {
        tuple(np.flatnonzero(one).tolist()): float(share)
        for one, share in zip(layer.sets.numpy(), layer.log_shares.exp().numpy(), strict=True)
    }
    # a third of Finland's four patches, two thirds of Serbia's two; Kosovo's and validation's: none
    assert found == pytest.approx({(17,): 1 / 4, (0, 17): 1 / 12, (2,): 1 / 3, (0,): 1 / 3})


def test_without_a_file_the_sets_are_those_of_the_train_split() -> None:
    layer = label_sets_of(train_split(["Finland", "Serbia"]), settings())
    assert layer.sets.shape == (1, 19)
    assert layer.log_shares.tolist() == [0.0]


def test_no_patch_in_these_countries(metadata: Path) -> None:
    with pytest.raises(DatasetError, match="found no train patch in a country"):
        label_sets_of(train_split(["Laos"]), settings(metadata))


def test_the_most_frequent_sets_are_kept() -> None:
    labels = np.array([[1, 0], [0, 1], [0, 1], [1, 1]], np.uint8)
    sets, shares = shares_of_sets(labels, np.array([1.0, 1.0, 2.0, 0.0]))
    np.testing.assert_array_equal(sets, [[0, 1], [1, 0]])
    np.testing.assert_allclose(shares, [0.75, 0.25])
    file = LabelFile(Path("m"), labels[:3], np.array(["a", "b", "a"]), np.array(["x"] * 3))
    np.testing.assert_allclose(file.country_weights(np.array(["a", "c"])), [0.5, 0, 0.5])


def test_a_file_that_nothing_would_use_is_refused() -> None:
    with pytest.raises(ParameterError, match="label_sets: found a file with label_correlation on"):
        TrainConfig(label_correlation="on", label_sets="metadata.parquet")
