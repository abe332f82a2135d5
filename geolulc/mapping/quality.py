"""Shares of a patch's pixels that are valid, or clear: what stands behind a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from geolulc.mapping.strips import Strip
from geolulc.products.radiometry import has_data


def valid_share(
    dn: Mapping[int, NDArray[np.uint16]], lefts: NDArray[np.int64], patch_size: int
) -> NDArray[np.float32]:
    """Share of the finest pixels of each patch of a strip in which all bands have data.

    Args:
        dn: resolution → (bands, rows, columns), as tall as a patch.
        lefts: where the patches start, in metres from the left.
        patch_size: in metres.

    Returns:
        float32 (patches,), the same as ``LandCoverNet.valid_share`` of the patches.
    """
    finest = min(dn)
    return _window_means(valid_pixels(dn), lefts // finest, patch_size // finest)


def valid_pixels(dn: Mapping[int, NDArray[np.uint16]]) -> NDArray[np.bool_]:
    """The finest pixels of a strip in which all bands have data, bool (rows, columns)."""
    finest = min(dn)
    valid = np.ones(dn[finest].shape[1:], bool)
    for resolution, bands in dn.items():
        factor = resolution // finest
        mask = np.ones(bands.shape[1:], bool)
        for band in bands:
            mask &= has_data(band)
        valid &= mask.repeat(factor, axis=0).repeat(factor, axis=1)
    return valid


def clear_pixels(strip: Strip, masked: Sequence[int], resolution: int) -> NDArray[np.bool_]:
    """The pixels of ``resolution`` metres that no ``masked`` code of a strip's ``scl`` covers."""
    if strip.scl is None:
        raise ValueError("a strip without a scene classification")
    clear, own = ~np.isin(strip.scl, np.asarray(masked, np.uint8)), strip.scl_resolution
    if resolution > own:
        factor = resolution // own
        rows, columns = clear.shape
        parts = clear.reshape(rows // factor, factor, columns // factor, factor)
        return np.asarray(parts.all(axis=(1, 3)), np.bool_)
    factor = own // resolution
    return clear.repeat(factor, axis=0).repeat(factor, axis=1)


def clear_share(
    scl: NDArray[np.uint8],
    resolution: int,
    lefts: NDArray[np.int64],
    patch_size: int,
    masked: Sequence[int],
) -> NDArray[np.float32]:
    """Share of the scene classification's pixels of each patch that no ``masked`` code covers.

    Args:
        scl: uint8 (rows, columns), as tall as a patch.
        resolution: metres a side of its pixels.
        lefts: where the patches start, in metres from the left.
        patch_size: in metres.
        masked: codes.
    """
    clear = ~np.isin(scl, np.asarray(masked, np.uint8))
    return _window_means(clear, lefts // resolution, patch_size // resolution)


def _window_means(
    mask: NDArray[np.bool_], starts: NDArray[np.int64], side: int
) -> NDArray[np.float32]:
    """Means of windows as tall as ``mask``, ``side`` wide, from sums along it."""
    sums = np.concatenate(([0], np.cumsum(mask.sum(axis=0, dtype=np.int64))))
    counts = sums[starts + side] - sums[starts]
    means: NDArray[np.float32] = (counts / (mask.shape[0] * side)).astype(np.float32)
    return means
