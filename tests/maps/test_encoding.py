"""Probabilities in few bytes, and blocks of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_map import made_map

from geolulc.maps.encoding import ENCODINGS
from geolulc.maps.header import join_rows


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=19, max_size=19))
def test_quantised_probabilities_are_within_half_a_step(dtype: str, values: list[float]) -> None:
    p = np.broadcast_to(np.array(values, np.float32)[:, None, None], (19, 5, 6)).copy()
    p[:, 2, 2] = np.nan
    encoding = ENCODINGS[dtype]
    stored = encoding.encode(p)
    assert (stored[:, 2, 2] == encoding.nodata).all()
    assert np.isnan(encoding.decode(stored)[:, 2, 2]).all()
    stored = np.delete(stored.reshape(19, -1), 2 * 6 + 2, axis=1)
    assert stored.max() * encoding.scale <= 1
    assert stored.max() < encoding.nodata
    error = np.abs(stored * encoding.scale - np.array(values)[:, None])
    assert error.max() <= encoding.scale / 2 * (1 + 1e-9)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_what_is_decoded_encodes_to_itself(dtype: str) -> None:
    encoding = ENCODINGS[dtype]
    stored = encoding.encode(made_map().block.probabilities)
    np.testing.assert_array_equal(encoding.encode(encoding.decode(stored)), stored)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_rows_of_a_block_join_again(count: int) -> None:
    block = made_map().block
    parts = [block.part(slice(row, min(row + count, 5))) for row in range(0, 5, count)]
    assert [part.row for part in parts] == list(range(0, 5, count))
    again = join_rows(parts)
    for name in ("probabilities", "valid", "clear"):
        np.testing.assert_array_equal(getattr(again, name), getattr(block, name))
    assert again.count is None
