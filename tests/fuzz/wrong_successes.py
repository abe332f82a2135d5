"""What is wrong with a success: by the results of the sound input, and those of a damaged one.

Each takes the folder of either and the command, and says what is wrong, or None.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import rasterio
from made_map import TILE


def another_map(sound: Path, case: Path, command: str, *, values: bool = True) -> str | None:
    """The map of a damaged product lies elsewhere or, with ``values``, has other probabilities."""
    if not command.startswith("map"):
        return None
    with rasterio.open(sound / "out.tif") as before, rasterio.open(case / "out.tif") as after:
        if (before.crs, before.transform, before.shape) != (
            *(after.crs, after.transform, after.shape),
        ):
            return f"mapped at {after.crs} {tuple(after.transform)[:6]}, {after.shape}"
        if values and not np.array_equal(before.read(), after.read(), equal_nan=True):
            return "other probabilities than those of the whole product"
    return None


def lost_patches(sound: Path, case: Path, command: str) -> str | None:
    found, there = (pq.read_table(f / "out.store/index.parquet").num_rows for f in (case, sound))
    return None if found == there else f"{found} of {there} patches in the store"


def damage_missed(sound: Path, case: Path, command: str) -> str | None:
    if "--verify" not in command:
        return None
    for path in sound.glob("made.store/shard-*/patches.msgpack"):
        if path.read_bytes() != (case / path.relative_to(sound)).read_bytes():
            return "verified, though a shard is another"
    return None


def another_download(sound: Path, case: Path, command: str) -> str | None:
    """A file under its final name that is not the product."""
    whole = {path.name: path.read_bytes() for path in sound.glob("out/*.zip")}
    for path in case.glob("out/*.zip"):
        if path.read_bytes() != whole.get(path.name):
            return f"{path.name} is another than what is served"
    return None


def wild_areas(sound: Path, case: Path, command: str) -> str | None:
    """An area of a class that is no number, negative, larger than the map, or no part of a sum."""
    table = pd.read_csv(case / "out.csv")
    # of a file without zones pandas knows no types
    areas, mapped = table.filter(regex="^ha_").astype(float), table["mapped_ha"].astype(float)
    most = TILE.width * TILE.height / 10_000 * 1.01
    if not ((areas >= 0) & (areas <= most)).all(axis=None):
        return f"areas of {areas.max(axis=None)} ha"
    if not np.allclose(areas.sum(axis=1), mapped, rtol=1e-3, atol=1e-3):
        return f"{mapped.tolist()} ha, of which classes have {areas.sum(axis=1).tolist()}"
    return None
