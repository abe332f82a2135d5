"""In which order an epoch visits patches, and which of them fall to which rank and batch.

Everything is computed from (seed, epoch) alone, alike on every rank: nothing is exchanged.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError

#: Neighbouring records that stay together on disk: one read of 1.3 MB.
CHUNK_RECORDS: Final = 8
#: Records among which the shuffle is perfect: 650 MB of page cache.
POOL_RECORDS: Final = 4096


def shuffled(
    indices: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    chunk: int = CHUNK_RECORDS,
    pool: int = POOL_RECORDS,
) -> NDArray[np.int64]:
    """A permutation of ``indices`` that a disk can follow.

    Runs of ``chunk`` records that lie side by side are drawn from the whole store into a pool of
    ``pool`` records, which is then permuted, pool after pool. A store of at most one pool is
    permuted perfectly. In a larger one two records of a chunk meet in a batch of N more often than
    by chance: where the store is sorted, the variance of a batch's class shares is at most
    ``1 + (N - 1) × (chunk - 1) / (pool - 1)`` times that of a perfect shuffle (cluster sampling;
    1.11 for batches of 64).
    """
    generator = np.random.default_rng([seed, epoch])
    ordered = np.sort(indices)
    if len(ordered) <= pool:
        return generator.permutation(ordered)
    # a random phase: chunks are not the same groups of records in every epoch
    edges = np.arange(int(generator.integers(1, chunk + 1)), len(ordered), chunk)
    chunks = np.split(ordered, edges)
    mixed = np.concatenate([chunks[i] for i in generator.permutation(len(chunks))])
    for start in range(0, len(mixed), pool):
        generator.shuffle(mixed[start : start + pool])
    return mixed


def batch_spans(
    count: int, batch_size: int, *, rank: int, world_size: int, drop_last: bool, equal: bool
) -> list[tuple[int, int]]:
    """(start, stop) in the epoch's order of each batch of ``rank``.

    All ranks together take every place exactly once (with ``drop_last``: but for less than one
    batch a rank). With ``equal``, every rank gets the same number of batches, none empty: what is
    left over after the full batches is shared out evenly. (With batches of one patch that cannot
    always be: some of the last ones then hold two.)

    Raises:
        ParameterError: ``equal`` and fewer patches than ranks, or a full batch short of any.
    """
    together = batch_size * world_size
    full = count // together
    spans = [
        (step * together + rank * batch_size, step * together + (rank + 1) * batch_size)
        for step in range(full)
    ]
    rest = count - full * together
    if drop_last or not rest:
        return spans
    steps = 1
    if equal and rest < world_size:
        if not full:
            raise ParameterError(
                "number of patches",
                found=f"{count} for {world_size} ranks",
                expected="at least one a rank",
                remedy="Use fewer ranks.",
            )
        # too few for all: share them out together with the last full batches
        spans.pop()
        rest += together
        steps = 2 if rest >= 2 * world_size else 1
    start = count - rest
    edges = [start + rest * i // (steps * world_size) for i in range(steps * world_size + 1)]
    for step in range(steps):
        place = step * world_size + rank
        if edges[place] < edges[place + 1]:
            spans.append((edges[place], edges[place + 1]))
    return spans
