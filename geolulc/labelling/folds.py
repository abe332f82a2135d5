"""Places dealt to folds: parts of about equal size, with each class in all of them if it can be.

Classes are dealt one after another, those in the fewest places first, the largest places first,
each to the fold that has least of the class (iterative stratification, Sechidis et al. 2011).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Place without a fold.
NO_FOLD: Final = -1


def deal(
    counts: Mapping[tuple[int, int], int], places: int, classes: int, folds: int, seed: int
) -> NDArray[np.int32]:
    """The fold of each place, int32 (places,); ``NO_FOLD`` for one without a label.

    Args:
        counts: (place, class) → number of labelled pixels.
        places: their number.
        classes: their number.
        folds: their number.
        seed: settles the order of places of about one size.
    """
    found = np.full(places, NO_FOLD, np.int32)
    of_class: list[dict[int, int]] = [{} for _ in range(classes)]
    of_place: dict[int, dict[int, int]] = {}
    for (place, c), count in counts.items():
        of_class[c][place] = count
        of_place.setdefault(place, {})[c] = count
    held = np.zeros((folds, classes))
    # by their logarithm: one large field does not outweigh a hundred small ones
    for c in sorted(range(classes), key=lambda c: (len(of_class[c]), c)):
        own = of_class[c]
        for place in sorted(own, key=lambda p: (-own[p].bit_length(), _draw(seed, p))):
            if found[place] == NO_FOLD:
                least = np.lexsort((held.sum(axis=1), held[:, c]))
                found[place] = least[0]
                for other, count in of_place[place].items():
                    held[found[place], other] += np.log2(1 + count)
    return found


def _draw(seed: int, place: int) -> bytes:
    return hashlib.sha256(f"{seed} {place}".encode()).digest()


def split_of(fold: int, held_out: int = 0, folds: int = 0) -> str:
    """The split of a fold where ``held_out`` is tested on and the next one validated on."""
    if fold == held_out:
        return "test"
    return "val" if fold == (held_out + 1) % max(folds, 2) else "train"
