"""The band table against the product metadata of the real products."""

from __future__ import annotations

from pathlib import Path

import pytest
from defusedxml.ElementTree import parse

from geolulc.bands import BAND_NAMES, BANDS, GROUPS, band
from geolulc.errors import ParameterError


def test_groups_are_the_native_resolutions() -> None:
    assert GROUPS == {
        10: ("B02", "B03", "B04", "B08"),
        20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
        60: ("B01", "B09"),
    }
    assert sorted(n for names in GROUPS.values() for n in names) == sorted(BAND_NAMES)


def test_every_spelling_finds_its_band() -> None:
    assert band("B2") == band("b02") == band("B02") == BANDS[1]
    assert band("B8a") == band("B8A")
    assert band("B8").name == "B08"


def test_an_unknown_band_is_named() -> None:
    with pytest.raises(ParameterError, match="band 'B10': found no such band"):
        band("B10")


def test_ids_and_wavelengths_are_those_of_the_products(shared: Path) -> None:
    documents = sorted((shared / "data/safe-metadata").glob("S2A*/MTD_MSIL2A.xml"))
    assert documents
    for document in documents:
        seen = {
            e.get("physicalBand"): (
                int(e.get("bandId")),
                int(e.findtext("RESOLUTION")),
                float(e.findtext("Wavelength/CENTRAL")),
            )
            for e in parse(document).iter("Spectral_Information")
        }
        assert len(seen) == 13
        for b in BANDS:
            identifier, resolution, wavelength = seen[b.physical]
            assert identifier == b.band_id
            assert resolution == b.resolution
            assert wavelength == pytest.approx(b.wavelength, abs=0.5)
