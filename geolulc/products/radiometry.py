"""From digital numbers to what networks see. Both doors, training and mapping, use this.

``reflectance = (DN + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE`` for DN > 0; DN 0 is no data
(ESA, Sentinel-2 Products Specification Document). Products before baseline 04.00 have no offset;
BigEarthNet v1 and v2 were made without one. Networks work in units of 1/10000 reflectance.
"""

from __future__ import annotations

from typing import Any

#: The digital number that means "no data" in every band file.
NODATA_DN = 0


def reflectance_dn(dn: Any, offset: Any) -> Any:
    """``max(dn + offset, 0)``: reflectance × 10,000 in the radiometry of BigEarthNet.

    Args:
        dn: digital numbers as *signed* integers (numpy or torch; uint16 would wrap around).
        offset: the band's ``BOA_ADD_OFFSET``, 0 where the product has none; broadcast.

    Returns:
        The same kind of array. A DN of 0 (no data) comes out as 0 as well: ask ``has_data`` of
        the digital numbers, never of the result, where 0 is a reflectance.
    """
    shifted = dn + offset
    return shifted * (shifted > 0)


def has_data(dn: Any) -> Any:
    """True where a digital number is a measurement."""
    return dn != NODATA_DN
