"""Which jobs an experiment has: nested subsets, nothing trained twice, names by content."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_regions import CLASSES

from geolulc.errors import DatasetError, ParameterError
from geolulc.learning import TrainConfig
from geolulc.transfer import TransferConfig, make_plan
from geolulc.transfer.cost import count_work
from geolulc.transfer.plan import POOLED, SCRATCH, source_only, subset, training_positions

A, B, C, D = CLASSES


def config(**options) -> TransferConfig:
    return TransferConfig(**{"sources": ("Austria", "Finland"), "targets": ("Kosovo",), **options})


def of(plan, kind):
    return [job for job in plan.jobs if job.kind == kind]


def test_the_matrix(three, regions) -> None:
    everywhere = ("Austria", "Finland", "Kosovo")
    plan = make_plan(three, regions, config(sources=everywhere, targets=everywhere))
    # three sources, and three pairs of them without the target
    assert len(of(plan, "train")) == 6
    assert len(of(plan, "test")) == 12
    assert not of(plan, "adapt")
    pooled = {job.target: job.members for job in of(plan, "test") if job.source == POOLED}
    assert pooled == {
        "Austria": ("Finland", "Kosovo"),
        "Finland": ("Austria", "Kosovo"),
        "Kosovo": ("Austria", "Finland"),
    }
    done = set()
    for job in plan.jobs:
        assert job.needs is None or job.needs in done
        done.add(job.id)


@pytest.mark.parametrize(("pooled", "trainings"), [("all", 3), ("none", 2), ("without-target", 2)])
def test_pooling(three, regions, pooled, trainings) -> None:
    # of two sources that are the targets too, nothing is left to pool without the target
    both = ("Austria", "Finland")
    plan = make_plan(three, regions, config(targets=both, pooled=pooled))
    assert len(of(plan, "train")) == trainings


def test_fine_tuning_starts_from_every_source_and_from_scratch(three, regions) -> None:
    plan = make_plan(
        three, regions, config(target_sizes=(0, 4, 8, 100), fine_tuning=("head", "full"))
    )
    adapted = of(plan, "adapt")
    assert {(j.source, j.mode, j.size) for j in adapted if j.source != SCRATCH} == {
        (s, m, n) for s in ("Austria", "Finland", POOLED) for m in ("head", "full") for n in (4, 8)
    }
    assert {(j.mode, j.size) for j in adapted if j.source == SCRATCH} == {
        (SCRATCH, 4),
        (SCRATCH, 8),
    }
    # of 8 patches nobody takes 100
    assert plan.too_large == (("Kosovo", 100, 8),)


def test_a_source_is_not_adapted_to_itself(three, regions) -> None:
    plan = make_plan(three, regions, config(targets=("Finland",), target_sizes=(4,)))
    assert {job.source for job in of(plan, "adapt")} == {"Austria", SCRATCH}


def test_subsets_of_a_seed_are_nested(regions) -> None:
    region = regions["Kosovo"]
    sizes = [set(subset(region, n, 3).tolist()) for n in (2, 4, 8)]
    assert [len(s) for s in sizes] == [2, 4, 8]
    assert sizes[0] < sizes[1] < sizes[2] == set(region["train"].tolist())
    assert subset(region, 4, 0).tolist() != subset(region, 4, 3).tolist()


def test_source_only_classes(three, regions) -> None:
    assert source_only(three, regions, ["Austria"], "Kosovo") == (A,)
    assert source_only(three, regions, ["Kosovo"], "Austria") == (D,)
    assert source_only(three, regions, ["Austria"], "Finland") == ()


def test_a_mask_trains_a_model_for_the_target_only_where_it_hides_something(three, regions) -> None:
    plan = make_plan(
        three,
        regions,
        config(
            sources=("Austria",), targets=("Finland", "Kosovo"), remedies=("none", "mask", "prior")
        ),
    )
    trained = of(plan, "train")
    assert sorted(job.masked for job in trained) == [(), (A,)]
    tests = {(j.target, j.masked): j.remedies for j in of(plan, "test")}
    assert tests == {
        ("Finland", ()): ("none", "mask", "prior"),
        ("Kosovo", ()): ("none", "prior"),
        ("Kosovo", (A,)): ("mask",),
    }


def test_validation_on_the_target_trains_each_source_for_it(three, regions) -> None:
    both = ("Finland", "Kosovo")
    source = make_plan(three, regions, config(sources=("Austria",), targets=both))
    target = make_plan(
        three, regions, config(sources=("Austria",), targets=both, validate_on="target")
    )
    assert [job.validation for job in of(source, "train")] == [("Austria",)]
    assert [job.validation for job in of(target, "train")] == [("Finland",), ("Kosovo",)]


def test_ids_name_everything_that_a_result_depends_on(three, regions, quick) -> None:
    plain = {job.id for job in make_plan(three, regions, config(training=quick)).jobs}
    same = {job.id for job in make_plan(three, regions, config(training=quick)).jobs}
    wider = make_plan(three, regions, config(training=quick, targets=("Kosovo", "Finland")))
    longer = make_plan(three, regions, config(training=quick.changed({"epochs": 9})))
    fewer = replace(regions["Austria"], positions={
        split: positions[:-1] for split, positions in regions["Austria"].positions.items()
    })  # fmt: skip
    cut = make_plan(three, {**regions, "Austria": fewer}, config(training=quick))
    assert plain == same
    assert plain < {job.id for job in wider.jobs}
    assert not plain & {job.id for job in longer.jobs}
    assert {job.source for job in cut.jobs if job.id in plain} == {"Finland"}


def test_balanced_sampling_repeats_patches_of_rare_classes(three, regions) -> None:
    plan = make_plan(three, regions, config(remedies=("balanced",)))
    for job in of(plan, "train"):
        positions = training_positions(three, regions, job)
        whole = np.concatenate([regions[m]["train"] for m in job.members])
        assert set(positions.tolist()) == set(whole.tolist())


@pytest.mark.parametrize("mode", ["head", "full", "linear-probe-first", "scratch"])
@pytest.mark.parametrize("size", [10, 100, 1000, 100_000])
def test_fine_tuning_takes_as_many_steps_whatever_the_size(mode, size) -> None:
    training = TrainConfig(epochs=10, batch_size=256)
    taken = 0
    for phase in config(training=training).adapting(mode):
        settings, count = phase.spread(size)
        assert settings.batch_size <= max(size // 4, 8)
        assert settings.epochs <= 10
        taken += settings.epochs * (count // settings.batch_size)
    assert taken == pytest.approx(500, rel=0.01)


def test_the_work_is_counted_before_it_is_done(three, regions, quick) -> None:
    plan_config = config(
        training=quick,
        target_sizes=(0, 4),
        fine_tuning=("linear-probe-first",),
        fine_tune_steps=4,
    )
    plan = make_plan(three, regions, plan_config)
    work = count_work(three, regions, plan_config, plan)
    # two epochs of 8, 8 and 16 patches; four steps of 4 patches from each of three sources and
    # from scratch
    assert work["kinds"]["train"] == {
        "jobs": 3, "patches_trained": 2 * 32, "patches_scored": 2 * 16,
    }  # fmt: skip
    assert work["kinds"]["test"] == {"jobs": 3, "patches_trained": 0, "patches_scored": 12}
    assert work["kinds"]["adapt"]["patches_trained"] == 4 * 4 * 4
    assert work["patches_trained"] == 64 + 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": ("Narnia",)}, "region 'Narnia': found no such region.*of Austria, Finland"),
        ({"sources": ()}, "sources: found nothing"),
        ({"targets": ("Kosovo", "Kosovo")}, "targets: found Kosovo, Kosovo; expected.*each once"),
        ({"target_sizes": (-1,)}, "target_sizes: found -1; expected a number from 0"),
        (
            {"fine_tuning": ("tail",)},
            "fine_tuning: found 'tail'; expected one of head",
        ),
        ({"validate_on": "moon"}, "validate_on: found 'moon'"),
        ({"remedies": ("garlic",)}, "remedy 'garlic': found no remedy 'garlic'"),
        ({"pooled": "some"}, "pooled: found 'some'"),
        ({"training": TrainConfig(steps=9)}, "steps: found 9; expected 0: epochs are shared"),
    ],
)
def test_what_cannot_be_planned(three, regions, options, message) -> None:
    with pytest.raises(ParameterError, match=message):
        make_plan(three, regions, config(**options))


def test_prior_correction_behind_label_correlation_is_refused(quick) -> None:
    with pytest.raises(ParameterError, match="remedy prior: found label_correlation=on"):
        config(remedies=("prior",), training=quick.changed({"label_correlation": "on"}))
    with pytest.raises(ParameterError, match=r"remedy prior: found geographic_prior=m\.parquet"):
        config(remedies=("prior",), training=quick.changed({"geographic_prior": "m.parquet"}))


def test_a_region_without_test_patches_is_no_target(three, regions) -> None:
    empty = replace(
        regions["Kosovo"], positions={**regions["Kosovo"].positions, "test": np.empty(0, np.int64)}
    )
    with pytest.raises(DatasetError, match="0 patches of Kosovo in the split test"):
        make_plan(three, {**regions, "Kosovo": empty}, config())
