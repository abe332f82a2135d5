"""The order of an epoch: complete, reproducible, and as mixed as chance would have it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geolulc.datasets.order import batch_spans, shuffled
from geolulc.errors import ParameterError


@given(
    n=st.integers(0, 600),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 9),
    chunk=st.integers(1, 20),
    pool=st.integers(1, 200),
)
def test_every_index_once(n: int, seed: int, epoch: int, chunk: int, pool: int) -> None:
    indices = np.arange(n, dtype=np.int64) * 3 + 1
    order = shuffled(indices[::-1], seed=seed, epoch=epoch, chunk=chunk, pool=pool)
    np.testing.assert_array_equal(np.sort(order), indices)
    again = shuffled(indices, seed=seed, epoch=epoch, chunk=chunk, pool=pool)
    np.testing.assert_array_equal(order, again)


def test_another_order_each_epoch_and_seed() -> None:
    indices = np.arange(20_000, dtype=np.int64)
    orders = [shuffled(indices, seed=s, epoch=e) for s in (0, 1) for e in (0, 1)]
    for i, a in enumerate(orders):
        for b in orders[:i]:
            assert (a == b).mean() < 0.01


def test_what_is_read_together_lies_together() -> None:
    order = shuffled(np.arange(40_000, dtype=np.int64), seed=0, epoch=0, chunk=8, pool=4096)
    for start in range(0, len(order) - 4096, 4096):
        pool = np.sort(order[start : start + 4096])
        runs = np.count_nonzero(np.diff(pool) > 1) + 1
        assert runs <= 4096 / 8 + 2


def test_batches_have_the_mix_of_a_store_sorted_by_country() -> None:
    """Chi-square of each batch's countries: its mean over the batches, as under chance.

    A store of 60,000 patches in ten countries of unequal size, sorted. For batches that are drawn
    at random the statistic has mean (countries - 1) × (n - 64) / (n - 1); the bound in
    ``shuffled`` allows 1.11 times that. 937 batches put the standard error at 1.5 %.
    """
    shares = np.array([0.32, 0.19, 0.15, 0.1, 0.1, 0.06, 0.04, 0.02, 0.015, 0.005])
    country = np.repeat(np.arange(10), (shares * 60_000).round().astype(int))
    batch = 64

    def mean_statistic(order: np.ndarray) -> float:
        batches = country[order[: len(order) // batch * batch]].reshape(-1, batch)
        counts = np.stack([(batches == c).sum(axis=1) for c in range(10)], axis=1)
        expected = batch * shares
        return float(((counts - expected) ** 2 / expected).sum(axis=1).mean())

    indices = np.arange(len(country), dtype=np.int64)
    by_chance = 9 * (len(country) - batch) / (len(country) - 1)
    assert mean_statistic(np.random.default_rng(0).permutation(indices)) == pytest.approx(
        by_chance, rel=0.06
    )
    for epoch in range(3):
        found = mean_statistic(shuffled(indices, seed=0, epoch=epoch))
        assert 0.94 * by_chance < found < 1.11 * 1.06 * by_chance
    # the same test fails a shuffle of neighbours alone, by far
    assert mean_statistic(shuffled(indices, seed=0, epoch=0, chunk=64, pool=256)) > 5 * by_chance


@example(count=3, batch_size=1, world_size=2, drop_last=False, equal=True)
@given(
    count=st.integers(0, 400),
    batch_size=st.integers(1, 40),
    world_size=st.integers(1, 7),
    drop_last=st.booleans(),
    equal=st.booleans(),
)
def test_ranks_share_every_place_once(
    count: int, batch_size: int, world_size: int, drop_last: bool, equal: bool
) -> None:
    def spans_of(rank: int) -> list[tuple[int, int]]:
        return batch_spans(
            count,
            batch_size,
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
            equal=equal,
        )

    if equal and 0 < count < world_size and not drop_last:
        with pytest.raises(ParameterError, match=f"found {count} for {world_size} ranks"):
            spans_of(0)
        return
    spans = [spans_of(rank) for rank in range(world_size)]
    places = sorted(p for of_rank in spans for a, b in of_rank for p in range(a, b))
    taken = count - count % (batch_size * world_size) if drop_last else count
    assert places == list(range(taken))
    largest = 2 if batch_size == 1 and equal and world_size > 1 else batch_size
    assert all(0 < b - a <= largest for of_rank in spans for a, b in of_rank)
    if equal:
        assert len({len(of_rank) for of_rank in spans}) == 1
    if world_size == 1:
        assert [b - a for a, b in spans[0]][:-1] == [batch_size] * (len(spans[0]) - 1)
