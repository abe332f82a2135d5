"""Patches that a model is scored on and whose ground it was trained on, or next to."""

from __future__ import annotations

from geolulc.learning.patches import SplitPatches
from geolulc.nets import Model


def touching(model: Model, patches: SplitPatches) -> int | None:
    """How many of ``patches`` touch the ground that ``model`` was trained on; None: not known."""
    if not len(model.ground):
        return None
    return int(patches.store.touching(patches.indices, model.ground).sum())


def leak_of(touching: int | None, patches: int) -> tuple[str, ...]:
    """What to say of patches that touch training ground; () where none does."""
    if touching is None:
        return (
            "The model does not say which ground it was trained on: patches of it may be among "
            "these.",
        )
    if not touching:
        return ()
    return (
        f"{touching} of {patches} patches ({touching / patches:.1%}) touch the ground that the "
        "model was trained on: on other ground it does worse.",
    )
