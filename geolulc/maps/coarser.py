"""A map in a coarser nomenclature: several of its classes become one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.maps.encoding import FULL
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.nomenclature import Codes, Nomenclature


@dataclass(frozen=True)
class Coarser:
    """The classes of a map, and the coarser ones that hold them.

    Attributes:
        fine, header: the map with its own classes, and with the coarser ones.
        groups: intp (class,): position in ``header.classes`` for each class of ``fine``; -1 where
            none holds it: the cells whose most probable class it is have no data.
    """

    fine: MapHeader
    header: MapHeader
    groups: NDArray[np.intp]

    @classmethod
    def of(cls, fine: MapHeader, target: Nomenclature) -> Self:
        """The conversion of a map to the classes of ``target``.

        Raises:
            ParameterError: as of ``Nomenclature.holders``, or no class holds one of a map of cover
                fractions, of whose cells a part would be of no class.
        """
        holders = target.holders(fine.land_cover)
        if fine.fractions and None in holders:
            raise ParameterError(
                f"nomenclature {target.id}",
                found=f"no class that holds {fine.classes[holders.index(None)]}",
                expected="one for each class of a map of cover fractions, which add up to 1",
                remedy="Give a TOML file whose classes list all: holds = [...].",
            )
        classes = tuple(name for name in target.names if name in holders)
        groups = np.array([-1 if n is None else classes.index(n) for n in holders], np.intp)
        lowest = np.full(len(classes), np.inf)
        np.minimum.at(lowest, groups[groups >= 0], fine.presence_thresholds[groups >= 0])
        header = replace(
            fine,
            classes=classes,
            nomenclature=target,
            thresholds=tuple(lowest.tolist()) if fine.thresholds else (),
            frequencies=(),
        )
        return cls(fine, header, groups)

    def codes(self, codes: Codes) -> Codes:
        """Codes of the fine classes → those of the coarser ones, no data → no data."""
        coarser = np.append(self.header.codes, self.header.no_class).astype(self.header.codes.dtype)
        table = np.append(coarser[self.groups], coarser[-1])
        found: Codes = table[self.fine.positions[codes]]
        return found

    def probabilities(self, fine: NDArray[Any]) -> NDArray[Any]:
        """(class, rows, columns) in any encoding → the same of the coarser classes.

        Of classes that exclude each other, or share a cell, the sum. Of others the highest: at
        least one of them is present at least as probably.
        """
        found = np.zeros((len(self.header.classes), *fine.shape[1:]), fine.dtype)
        steps = fine.dtype.kind == "u"
        nodata = np.iinfo(fine.dtype).max if steps else np.nan
        for group, values in zip(self.groups, fine, strict=True):
            if group >= 0 and self.header.adds_up:
                # rounded steps of one pixel can add up to more than all of them
                found[group] = np.minimum(found[group] + values, FULL if steps else 1)
            elif group >= 0:
                found[group] = np.maximum(found[group], values)
        found[:, fine[0] == nodata if steps else np.isnan(fine[0])] = nodata
        if (self.groups < 0).any():
            found[:, self.groups[fine.argmax(axis=0)] < 0] = nodata
        return found

    def blocks(self, blocks: Iterable[MapBlock]) -> Iterator[MapBlock]:
        """Blocks of the fine map → blocks of the coarser one, without their agreement."""
        for block in blocks:
            p = self.probabilities(block.probabilities)
            yield replace(block, probabilities=p, agreement=None)
