"""The trainings and tests of an experiment: jobs, each named by a hash of its inputs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets import Store
from geolulc.errors import DatasetError, ParameterError, require_one_of
from geolulc.transfer.regions import Region
from geolulc.transfer.remedies import Remedy, repeat_rare
from geolulc.transfer.settings import TransferConfig

#: Names of sources that are no region.
POOLED: Final = "pooled"
SCRATCH: Final = "scratch"
#: Patches that fine-tuning is validated on, at most: enough for thresholds of all but rare classes.
FINE_TUNING_VALIDATION: Final = 2000


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work.

    Attributes:
        id: names everything that the result depends on (by a hash).
        kind: "train" a source, "test" it on a target, "adapt" it to a target and test that.
        needs: the job whose model is tested or adapted; None for none.
        source: a region, "pooled", or "scratch" for fresh weights.
        members: the regions that the source consists of.
        validation: the regions whose val split chooses and calibrates.
        target: a region; "" for "train".
        remedies: that the results are of: one, except where "test" corrects the prior as well.
        masked: names of the source-only classes that stay out.
        mode: "zero-shot", or how a source is adapted.
        size: target patches adapted to.
        seed: of weights, order and subsets.
    """

    id: str = ""
    kind: str
    needs: str | None = None
    source: str
    members: tuple[str, ...] = ()
    validation: tuple[str, ...]
    target: str = ""
    remedies: tuple[str, ...] = ("none",)
    masked: tuple[str, ...] = ()
    mode: str
    size: int = 0
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """An experiment before it is run.

    Attributes:
        jobs: in an order in which each comes after what it needs.
        too_large: (target, size, patches there are) that were left out.
    """

    jobs: tuple[Job, ...]
    too_large: tuple[tuple[str, int, int], ...]


def make_plan(store: Store, regions: Mapping[str, Region], config: TransferConfig) -> Plan:
    """The jobs of ``config`` on ``regions``; what is trained alike is trained once.

    Raises:
        ParameterError: a region that is not there.
        DatasetError: a region without the patches it needs.
    """
    _require_regions(store, regions, config)
    planning = _Planning(store, regions, config)
    for seed in config.seeds:
        for target in config.targets:
            planning.add_target(target, seed)
    rank = {"train": 0, "test": 1, "adapt": 2}
    jobs = sorted(planning.jobs.values(), key=lambda job: rank[job.kind])
    sizes = tuple(
        (name, size, len(regions[name]["train"]))
        for name in config.targets
        for size in config.target_sizes
        if size > len(regions[name]["train"])
    )
    return Plan(tuple(jobs), sizes)


def sources_of(config: TransferConfig, target: str) -> list[tuple[str, tuple[str, ...]]]:
    """Name of each source for ``target``, the pooled one among them, and its regions."""
    found: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in config.sources]
    if config.pooled != "none":
        without = config.pooled == "without-target"
        members = tuple(s for s in config.sources if s != target or not without)
        if len(members) > 1:
            found.append((POOLED, members))
    return found


def source_only(
    store: Store, regions: Mapping[str, Region], members: Sequence[str], target: str
) -> tuple[str, ...]:
    """Names of the classes in the train splits of ``members`` and not in that of ``target``."""
    has = _has(store, members, regions)
    lacks = ~_has(store, [target], regions)
    return tuple(
        name for name, only in zip(store.nomenclature.names, has & lacks, strict=True) if only
    )


def subset(region: Region, size: int, seed: int) -> NDArray[np.int64]:
    """``size`` positions of the region's train split: those of a list, or drawn by ``seed``.

    Of those that are drawn, smaller ones of a seed lie in larger ones.
    """
    if size in region.subsets:
        return region.subsets[size]
    order = np.random.default_rng([seed, 0x5B5]).permutation(len(region["train"]))
    return np.sort(region["train"][order[:size]])


def training_positions(store: Store, regions: Mapping[str, Region], job: Job) -> NDArray[np.int64]:
    """Positions in the store that ``job`` trains on; patches of rare classes may be repeated."""
    if job.kind == "adapt":
        positions = subset(regions[job.target], job.size, job.seed)
    else:
        positions = np.sort(np.concatenate([regions[name]["train"] for name in job.members]))
    if any(Remedy.parse(name).balanced for name in job.remedies):
        targets = store.target_bytes[positions].astype(np.float32)
        return repeat_rare(positions, targets, job.seed)
    return positions


def validation_positions(regions: Mapping[str, Region], job: Job) -> NDArray[np.int64]:
    """Positions in the store of the patches that choose the epoch of ``job`` and calibrate it.

    Whole val splits for a source; for fine-tuning with a hundred patches, every epoch of which
    would else be followed by a hundred thousand, ``FINE_TUNING_VALIDATION`` of them at most.
    """
    positions = np.sort(np.concatenate([regions[name]["val"] for name in job.validation]))
    if job.kind != "adapt" or len(positions) <= FINE_TUNING_VALIDATION:
        return positions
    random = np.random.default_rng([job.seed, 0x7A1])
    return np.sort(random.choice(positions, FINE_TUNING_VALIDATION, replace=False))


def store_identity(store: Store) -> str:
    """A hash of the patches and labels of ``store``."""
    digest = hashlib.sha256(store.pixel_hashes.tobytes())
    digest.update(store.target_bytes.tobytes())
    return digest.hexdigest()[:16]


class _Planning:
    def __init__(self, store: Store, regions: Mapping[str, Region], config: TransferConfig) -> None:
        self.jobs: dict[str, Job] = {}
        self._store = store
        self._regions = regions
        self._config = config
        self._identity = store_identity(store)
        self._remedies = [Remedy.parse(name) for name in config.remedies]

    def add_target(self, target: str, seed: int) -> None:
        """All jobs that end with a test on ``target``."""
        there = len(self._regions[target]["train"])
        sizes = [size for size in self._config.target_sizes if 0 < size <= there]
        for source, members in sources_of(self._config, target):
            for remedy in self._remedies:
                trained = self._train(source, members, target, remedy, seed)
                if 0 in self._config.target_sizes:
                    self._test(trained, target)
                if target in members:
                    continue  # its patches were learned from already
                adapted = replace(
                    trained,
                    kind="adapt",
                    needs=trained.id,
                    target=target,
                    remedies=(str(remedy),),
                )
                for size in sizes:
                    for mode in self._config.fine_tuning:
                        self._add(replace(adapted, mode=mode, size=size))
        # without a source, only the target can calibrate
        scratch = Job(
            kind="adapt",
            source=SCRATCH,
            validation=(target,),
            target=target,
            mode=SCRATCH,
            seed=seed,
        )
        for size in sizes:
            self._add(replace(scratch, size=size))

    def _train(
        self, source: str, members: tuple[str, ...], target: str, remedy: Remedy, seed: int
    ) -> Job:
        on_target = self._config.validate_on == "target"
        # a mask that hides nothing trains what no mask does: the name of the job is the same
        masked = source_only(self._store, self._regions, members, target) if remedy.mask else ()
        # the prior is corrected after training
        trained_with = replace(remedy, mask=bool(masked), prior=False)
        return self._add(
            Job(
                kind="train",
                source=source,
                members=members,
                validation=(target,) if on_target else members,
                remedies=(str(trained_with),),
                masked=masked,
                mode="train",
                seed=seed,
            )
        )

    def _test(self, trained: Job, target: str) -> None:
        # all selected remedies that train this very model: they differ in the prior only
        fitting = [
            str(remedy)
            for remedy in self._remedies
            if self._train(trained.source, trained.members, target, remedy, trained.seed).id
            == trained.id
        ]
        tested = replace(trained, kind="test", needs=trained.id, target=target, mode="zero-shot")
        self._add(replace(tested, remedies=tuple(fitting)))

    def _add(self, job: Job) -> Job:
        """Add ``job`` under its id, unless it is there already."""
        used = sorted({*job.members, *job.validation, job.target} - {""})
        settings: dict[str, Any] = {"training": self._config.training.as_mapping()}
        if job.kind == "adapt":
            settings["phases"] = [
                [p.settings.as_mapping(), p.steps, p.head_only]
                for p in self._config.adapting(job.mode)
            ]
        content = {
            "store": self._identity,
            "regions": {name: self._regions[name].identity() for name in used},
            "job": {k: v for k, v in job.as_json().items() if k != "id"},
            "settings": settings,
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        job = replace(job, id=f"{_name(job)}-{digest}")
        return self.jobs.setdefault(job.id, job)


def _name(job: Job) -> str:
    parts = [job.kind, job.source, job.target, job.mode if job.kind == "adapt" else ""]
    parts += [str(job.size) if job.size else "", "-".join(job.remedies), f"s{job.seed}"]
    return "_".join(re.sub(r"[^A-Za-z0-9+-]+", "-", part)[:24] for part in parts if part)


def _has(store: Store, names: Sequence[str], regions: Mapping[str, Region]) -> NDArray[np.bool_]:
    positions = np.concatenate([regions[name]["train"] for name in names])
    return np.asarray(store.target_bytes[positions].any(axis=0))


def _require_regions(store: Store, regions: Mapping[str, Region], config: TransferConfig) -> None:
    for name in (*config.sources, *config.targets):
        require_one_of("region", name, regions)
    for name in (POOLED, SCRATCH):
        if name in regions:
            raise ParameterError(
                f"region {name!r}",
                found="a name that the report has for something else",
                expected="another name",
                remedy="Rename the polygon.",
            )
    learning: dict[str, tuple[str, ...]] = dict.fromkeys(config.sources, ("train", "val"))
    for target in config.targets:
        # the labels of the train split say which classes the target has
        learning[target] = (*learning.get(target, ()), "train", "test")
        if config.validate_on == "target" or any(config.target_sizes):
            learning[target] += ("val",)
    for name, splits in learning.items():
        for split in splits:
            positions = regions[name][split]
            if not len(positions) or not store.target_bytes[positions].any():
                raise DatasetError(
                    store.path,
                    found=f"{len(positions)} patches of {name} in the split {split}, no label",
                    expected="labelled patches to train, choose or test by",
                    remedy="Leave the region out, or prepare a store with more of it.",
                )
