"""The legend of a store: its classes, and how patches and reference maps name them.

Stores of BigEarthNet hold names of CORINE classes and reference maps of CORINE's level-3 codes;
stores of own labels hold names and codes of any nomenclature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geolulc.errors import DatasetError, ParameterError
from geolulc.nomenclature import IGNORED, Nomenclature, nomenclature

#: Code of a pixel without a label in a reference map of own labels; no class has it.
UNLABELLED: Final = 65535
#: Classes that one number of the index has a bit for.
BITS: Final = 64
#: Codes of reference maps: CORINE's at level 3, or those of the store's nomenclature.
ReferenceCodes = Literal["corine", "nomenclature"]


@dataclass(frozen=True)
class Legend:
    """The classes of a store.

    Attributes:
        nomenclature: at most 255 classes: positions in it are uint8, and 255 is none.
        codes: of reference maps, see ``ReferenceCodes``.
        column: of the index, with the names of each patch's classes.

    Raises:
        ParameterError: more classes than a store can hold.
    """

    nomenclature: Nomenclature
    codes: ReferenceCodes = "nomenclature"
    column: str = "labels"

    @classmethod
    def of_corine(cls, identifier: str) -> Legend:
        """The legend of a store of BigEarthNet with the targets "ben19" or "clc43"."""
        return cls(nomenclature(identifier), "corine", identifier)

    def __post_init__(self) -> None:
        if len(self.nomenclature) > IGNORED:
            raise ParameterError(
                f"nomenclature {self.nomenclature.id}",
                found=f"{len(self.nomenclature)} classes",
                expected=f"at most {IGNORED} to learn",
                remedy="Join or leave out some of them.",
            )

    @property
    def reference(self) -> str:
        """What reference maps are called in reports."""
        return "CORINE" if self.codes == "corine" else "labels"

    def positions(self, codes: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Position (from 0) of the class of each code of a reference map, in its shape.

        ``nomenclature.IGNORED`` for ``UNLABELLED``, and any other code without a class.
        """
        if self.codes == "corine":
            return self.nomenclature.positions_of_clc(codes)
        return self._of_code[codes]

    @cached_property
    def _of_code(self) -> NDArray[np.uint8]:
        table = np.full(UNLABELLED + 1, IGNORED, np.uint8)
        table[[c.code for c in self.nomenclature.classes]] = np.arange(len(self.nomenclature))
        return table

    def multi_hot(self, names: pa.ChunkedArray) -> NDArray[np.uint8]:
        """uint8 (patches, classes) of a column with a list of names, or null, for each patch.

        ``DatasetError`` where a name is not of the nomenclature.
        """
        lists = pa.concat_arrays(names.chunks) if names.num_chunks else pa.array([], names.type)
        flat = lists.flatten()
        position = pc.index_in(flat, value_set=pa.array(self.nomenclature.names, pa.string()))
        if position.null_count:
            unknown = flat.filter(pc.is_null(position))[0].as_py()
            raise DatasetError(
                "store",
                found=f"the label {unknown!r}",
                expected=f"names of the nomenclature {self.nomenclature.id}",
                remedy="Use the other nomenclature.",
            )
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
        hot = np.zeros((len(names), len(self.nomenclature)), np.uint8)
        hot[np.repeat(np.arange(len(names)), lengths), position.to_numpy()] = 1
        return hot


def packed_bits(hot: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """uint64 (patches,): bit i is class i of uint8 (patches, classes); 0 for too many classes."""
    if hot.shape[1] > BITS:
        return np.zeros(len(hot), np.uint64)
    padded = np.zeros((len(hot), BITS), np.uint8)
    padded[:, : hot.shape[1]] = hot
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64).ravel()


def unpacked_bits(bits: NDArray[np.uint64], classes: int) -> NDArray[np.uint8]:
    """uint8 (patches, classes) of what ``packed_bits`` gave for at most 64 classes."""
    bytes_first = bits.astype("<u8").view(np.uint8).reshape(len(bits), 8)
    return np.unpackbits(bytes_first, axis=1, bitorder="little", count=classes)
