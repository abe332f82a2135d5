"""The geographic prior of a run: from a file of labels, into figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_metadata import write_metadata
from made_nets import make_net, make_prior
from scipy.special import logit

from geolulc.datasets import open_store
from geolulc.datasets.domain import centres
from geolulc.errors import DatasetError, ParameterError
from geolulc.learning import TrainConfig, evaluate, train
from geolulc.learning.geographic_prior import geographic_prior_of
from geolulc.learning.patches import SplitPatches
from geolulc.learning.scoring import score
from geolulc.nets import load_checkpoint
from geolulc.nets.class_frequencies import frequencies_of, prior_shift
from geolulc.nomenclature import BEN19

URBAN, ARABLE, WATER = (BEN19.names[i] for i in (0, 2, 17))
CPU = torch.device("cpu")


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    return write_metadata(
        tmp_path / "metadata.parquet",
        [
            ("train", "Austria", [ARABLE], "33UUP_00_00"),
            ("train", "Austria", [ARABLE, URBAN], "33UUP_02_01"),
            ("train", "Austria", [WATER], "33UUP_80_00"),
            ("train", "Finland", [WATER], "35VNL_10_10"),
            ("validation", "Austria", [URBAN], "33UUP_00_01"),
        ],
    )


@pytest.fixture
def patches(made: Path) -> SplitPatches:
    return SplitPatches(open_store(made), "train")


def test_patches_of_twenty_kilometres_are_a_cell(patches: SplitPatches, metadata: Path) -> None:
    prior = geographic_prior_of(patches, TrainConfig(geographic_prior=str(metadata)))
    assert prior is not None
    # two patches in the tile's corner, one 96 km away, one in Finland; validation is not read
    assert sorted(prior.patches.tolist()) == [1, 1, 2]
    corner = int(prior.patches.argmax())
    assert prior.frequencies[corner, [0, 2, 17]].tolist() == [0.5, 1, 0]
    # 33UUP: its square has 300 km east and 5,400 km north as its upper left corner, in zone 33;
    # the patches' mean lies 1.8 km to the right and 1.2 km below
    np.testing.assert_allclose(prior.places[corner].tolist(), [12.3057, 48.7107], atol=1e-4)
    own = (patches.targets.sum(axis=0) + 0.5) / (len(patches) + 1)
    np.testing.assert_allclose(prior.base.numpy(), own, atol=1e-6)


def test_with_sets_of_labels_logits_stand_for_theirs(patches: SplitPatches, metadata: Path) -> None:
    sets = {"label_correlation": "sets", "label_sets": str(metadata)}
    prior = geographic_prior_of(patches, TrainConfig(geographic_prior=str(metadata), **sets))
    assert prior is not None
    austria, finland = (
        int((patches.groups["country"] == name).sum()) for name in ("Austria", "Finland")
    )
    total = austria + finland
    assert total
    # two of Austria's three patches are arable, one has water; so has Finland's
    assert float(prior.base[2]) == pytest.approx((austria * 2 / 3 + 0.5) / (total + 1))
    assert float(prior.base[17]) == pytest.approx((austria / 3 + finland + 0.5) / (total + 1))


def test_no_file_no_prior(patches: SplitPatches) -> None:
    assert geographic_prior_of(patches, TrainConfig()) is None


@pytest.mark.parametrize("place", ["48QUE_26_57", ""])
def test_patches_without_a_place(patches: SplitPatches, tmp_path: Path, place: str) -> None:
    file = write_metadata(tmp_path / "m.parquet", [("train", "Laos", [WATER], place)])
    with pytest.raises(DatasetError, match=r"found the patch '.*'; expected names with a tile of"):
        geographic_prior_of(patches, TrainConfig(geographic_prior=str(file)))


def test_pixels_have_none() -> None:
    with pytest.raises(ParameterError, match=r"geographic_prior: found 'm\.parquet' with the task"):
        TrainConfig(task="pixel", geographic_prior="m.parquet")


def test_scores_are_those_of_the_patches_places(made: Path) -> None:
    store = open_store(made)
    patches = SplitPatches(store, "val")
    at = centres(store, patches.indices)
    prior = make_prior(at, np.random.default_rng(0).normal(size=(len(patches), 19)), 50)
    plain, shifted = (
        score(make_net(geographic_prior=one).eval(), patches, device=CPU) for one in (None, prior)
    )
    np.testing.assert_allclose(shifted - plain, prior.at(*at.T), atol=1e-5)
    assert np.abs(shifted - plain).max() > 0.1


def test_a_run_keeps_its_prior_and_figures_use_it(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    store, run = open_store(made), tmp_path / "run"
    rows = [("train", "Austria", [ARABLE], "33UUP_00_00")]
    file = write_metadata(tmp_path / "m.parquet", rows)
    train(made, run, quick.changed({"geographic_prior": str(file), "epochs": 1}))
    model = load_checkpoint(run)
    prior = model.net.geographic_prior
    assert prior is not None
    assert prior.frequencies.shape == (1, 19)
    prior.places.copy_(torch.from_numpy(centres(store, store.split("val")).mean(axis=0)))
    prior.patches.fill_(1000)
    with_it = evaluate(model, store, "val", device="cpu").figures["ap_micro"]
    prior.patches.zero_()
    assert evaluate(model, store, "val", device="cpu").figures["ap_micro"] != with_it


def test_frequencies_may_be_weighted() -> None:
    labels = np.array([[1, 0], [0, 1], [0, 1]], np.uint8)
    found = frequencies_of(labels, np.array([2.0, 1.0, 0.0]))
    np.testing.assert_allclose(found, [2.5 / 4, 1.5 / 4])
    np.testing.assert_allclose(
        prior_shift(found, np.array([[0.5, 0.5]])), -logit(found)[None], atol=1e-12
    )
