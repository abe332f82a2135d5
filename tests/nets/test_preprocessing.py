"""Radiometry, normalisation and masks inside the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_nets import NORMALISATION, make_net, make_patches

from geolulc.bands import GROUPS, RESOLUTIONS


def test_bands_are_normalised_by_name() -> None:
    net = make_net()
    patches = make_patches()
    inputs = net.preprocess(*patches)
    for resolution, raw, x in zip(RESOLUTIONS, patches, inputs, strict=True):
        for channel, name in enumerate(GROUPS[resolution]):
            expected = (
                raw[:, channel].numpy().astype(np.float32) - np.float32(NORMALISATION.mean[name])
            ) / np.float32(NORMALISATION.std[name])
            np.testing.assert_allclose(x[:, channel].numpy(), expected, rtol=1e-6, atol=1e-6)


def test_offset_is_applied_without_wrap_around_and_clipped() -> None:
    net = make_net()
    b10, b20, b60 = make_patches()
    b10[:] = 900  # 900 - 1000 would be 65436 in uint16
    b20[:] = 3000
    offsets = [torch.full((len(GROUPS[r]),), -1000, dtype=torch.int32) for r in RESOLUTIONS]
    offsets[1][2] = -500
    x10, x20, _ = net.preprocess(b10, b20, b60, offsets=offsets)
    for channel, name in enumerate(GROUPS[10]):
        value = -NORMALISATION.mean[name] / NORMALISATION.std[name]
        torch.testing.assert_close(x10[:, channel], torch.full((2, 120, 120), value))
    for channel, name in enumerate(GROUPS[20]):
        reflectance = 2500 if channel == 2 else 2000
        value = (reflectance - NORMALISATION.mean[name]) / NORMALISATION.std[name]
        torch.testing.assert_close(x20[:, channel], torch.full((2, 60, 60), value))


def test_offset_and_shifted_numbers_give_bit_equal_inputs() -> None:
    net = make_net()
    patches = make_patches()
    shifted = tuple((p.to(torch.int32) + 1000).to(torch.uint16) for p in patches)
    offsets = [torch.full((len(GROUPS[r]),), -1000, dtype=torch.int32) for r in RESOLUTIONS]
    for plain, offset in zip(
        net.preprocess(*patches), net.preprocess(*shifted, offsets=offsets), strict=True
    ):
        assert torch.equal(plain, offset)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_nodata_of_one_band_masks_all_bands_on_its_ground(resolution: int) -> None:
    net = make_net()
    patches = make_patches(count=1)
    group = RESOLUTIONS.index(resolution)
    row, column = 600 // resolution, 240 // resolution  # metres from the upper-left corner
    patches[group][0, 1, row, column] = 0
    inputs = net.preprocess(*patches)
    for other, x in zip(RESOLUTIONS, inputs, strict=True):
        size = max(resolution // other, 1)
        top, left = 600 // other, 240 // other
        expected = torch.zeros(1200 // other, 1200 // other, dtype=torch.bool)
        expected[top : top + size, left : left + size] = True
        masked = (x[0] == 0).all(dim=0)
        assert torch.equal(masked, expected), other
    share = net.valid_share(*patches)
    assert share.item() == pytest.approx(1 - (resolution // 10) ** 2 / 14400)


def test_reflectance_zero_is_not_nodata() -> None:
    net = make_net()
    b10, b20, b60 = make_patches(count=1)
    b10[:] = 1000
    offsets = [torch.full((len(GROUPS[r]),), -1000, dtype=torch.int32) for r in RESOLUTIONS]
    x10, _, _ = net.preprocess(b10, b20, b60, offsets=offsets)
    assert (x10 != 0).all()
    assert net.valid_share(b10, b20, b60).item() == 1


def test_empty_patch_has_no_valid_share_and_finite_logits() -> None:
    net = make_net().eval()
    patches = tuple(torch.zeros_like(p) for p in make_patches())
    assert net.valid_share(*patches).tolist() == [0, 0]
    assert torch.isfinite(net(*patches)).all()


def test_integer_types_do_not_matter() -> None:
    net = make_net().eval()
    patches = make_patches()
    wide = tuple(p.to(torch.int32) for p in patches)
    assert torch.equal(net(*patches), net(*wide))
