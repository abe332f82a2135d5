"""How the patches of a run fall into epochs, steps, parts and processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geolulc.errors import DatasetError
from geolulc.learning.config import TrainConfig


@dataclass(frozen=True)
class Plan:
    """The epochs of a run and the steps of each.

    Attributes:
        patches: in the train split.
        epochs: passes over it.
        frozen: so many of them come first, in which the encoders stay as they are.
        steps: optimiser steps an epoch; patches that fill no batch are left out of the epoch.
        parts: parts of a batch that are computed one after another.
        processes: that share a part.
        size: patches of a part in one process.
    """

    patches: int
    epochs: int
    frozen: int
    steps: int
    parts: int
    processes: int
    size: int

    @property
    def batch(self) -> int:
        """Patches an optimiser step."""
        return self.parts * self.processes * self.size

    @property
    def total(self) -> int:
        """Optimiser steps of the run."""
        return self.epochs * self.steps


def make_plan(patches: int, config: TrainConfig, processes: int) -> Plan:
    """The plan for a train split of ``patches``; a batch larger than it is cut to it.

    Raises:
        DatasetError: fewer patches than the parts and processes of one batch.
    """
    share = config.accumulate * processes
    size = min(config.batch_size, patches) // share
    if not size:
        raise DatasetError(
            "train split",
            found=f"{patches} patches for a batch of {config.batch_size}",
            expected=f"a patch for each of {config.accumulate} parts × {processes} processes",
            remedy="Prepare a store with a train split (--splits), or use a larger batch.",
        )
    steps = patches // (size * share)
    epochs = -(-config.steps // steps) if config.steps else config.epochs
    frozen = round(config.frozen_trunk * epochs)
    if 0 < config.frozen_trunk < 1 and epochs > 1:
        frozen = min(max(frozen, 1), epochs - 1)  # both parts are there
    return Plan(patches, epochs, frozen, steps, config.accumulate, processes, size)


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of the random numbers within a step (dropout)."""
    return int(np.random.SeedSequence([seed, step, rank, 0x57E]).generate_state(1)[0])
