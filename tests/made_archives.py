"""Miniature BigEarthNet archives and stores, for the tests of every room.

``make_v1`` and ``make_v2`` write archives in the official layout, ``make_store`` a store without
the way through GeoTIFFs. Digital numbers encode band, position and patch (``coded_dn``), or, with
``signal``, carry the labels: a class brightens "its" band, so that a network can learn something.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import from_origin

from geolulc.bands import GROUPS
from geolulc.datasets.assembly import complete_store, publish_store
from geolulc.datasets.legend import Legend
from geolulc.datasets.patch import BIGEARTHNET, Patch
from geolulc.datasets.shards import PARTS_FOLDER, write_shard
from geolulc.nomenclature import BEN19, CLC43, convert_to_ben19, nomenclature

COUNTRIES = ("Austria", "Finland", "Portugal")
SPLITS = ("train", "train", "val", "test")
SEASONS = ("Winter", "Spring", "Summer", "Fall")
V2_TILES = (
    "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP",
    "S2B_MSIL2A_20171101T094131_N9999_R036_T35VNJ",
)

Groups = dict[int, NDArray[np.uint16]]


def coded_dn(index: int) -> Groups:
    """Resolution → DN that differ between bands, positions and patches; never 0, below 2**15."""
    groups: Groups = {}
    number = 0
    for resolution, (bands, rows, columns) in BIGEARTHNET.shapes.items():
        group = np.empty((bands, rows, columns), np.uint16)
        place = np.arange(rows * columns).reshape(rows, columns)
        for channel in range(bands):
            group[channel] = 1 + number * 2500 + (place * 7 + index * 13) % 2500
            number += 1
        groups[resolution] = group
    return groups


def signal_dn(hot: NDArray[np.float32], rng: np.random.Generator) -> Groups:
    """Resolution → noise around 600 DN, brighter by 500 in band c % 12 for each class c."""
    brightness = np.full(12, 600.0)
    for position in np.flatnonzero(hot):
        brightness[position % 12] += 500
    groups: Groups = {}
    number = 0
    for resolution, (bands, rows, columns) in BIGEARTHNET.shapes.items():
        noise = rng.integers(0, 200, (bands, rows, columns))
        level = brightness[number : number + bands, None, None]
        groups[resolution] = (noise + level).astype(np.uint16)
        number += bands
    return groups


def v1_name(index: int) -> str:
    """A valid v1 name, another for each index; sorted like the indices up to 8,099."""
    day = 1 + index // 8100
    return f"S2A_MSIL2A_201706{day:02d}T101031_{index % 8100 // 90}_{index % 90}"


def v2_name(index: int) -> str:
    """A valid v2 name, another for each index up to 16,199."""
    tile = V2_TILES[index % len(V2_TILES)]
    place = index // len(V2_TILES)
    return f"{tile}_{place // 90:02d}_{place % 90:02d}"


def clc_labels(index: int) -> tuple[str, ...]:
    """One to three CORINE names; every class occurs in 43 patches."""
    return tuple(CLC43.names[(index * step + step) % 43] for step in range(1, 2 + index % 3))


def ben19_labels(index: int) -> tuple[str, ...]:
    """One to three names of the 19."""
    return tuple(sorted({BEN19.names[(index * s + s) % 19] for s in range(1, 2 + index % 3)}))


def write_bands(
    folder: Path, name: str, dn: Mapping[int, NDArray[np.uint16]], *, epsg: int, left: int, top: int
) -> None:
    """The twelve GeoTIFFs of a patch, as the official archives have them."""
    folder.mkdir(parents=True)
    for resolution, bands in GROUPS.items():
        for channel, band in enumerate(bands):
            write_tiff(
                folder / f"{name}_{band}.tif", dn[resolution][channel], resolution, epsg, left, top
            )


def write_tiff(
    path: Path, pixels: NDArray[np.uint16], resolution: int, epsg: int, left: int, top: int
) -> None:
    """One band."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=pixels.shape[1],
        height=pixels.shape[0],
        count=1,
        dtype=pixels.dtype,
        crs=CRS.from_epsg(epsg),
        transform=from_origin(left, top, resolution, resolution),
        compress="deflate",
    ) as raster:
        raster.write(pixels, 1)


def make_v1(
    folder: Path,
    n: int,
    *,
    labels: Callable[[int], Sequence[str]] = clc_labels,
    dn: Callable[[int], Groups] = coded_dn,
    splits: Sequence[str | None] = SPLITS,
    first: int = 0,
) -> Path:
    """``folder/BigEarthNet-v1.0`` with ``n`` patches and their lists in ``folder/splits``.

    Patch i has the labels ``labels(i)``, the pixels ``dn(i)`` and the split ``splits[i % …]``
    (None: in no list); it lies in UTM zone 33 north, at column i // 90 and row i % 90.

    Returns:
        The archive.
    """
    archive = folder / "BigEarthNet-v1.0"
    members: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for index in range(first, first + n):
        name = v1_name(index)
        left, top = 300000 + 1200 * (index // 90), 5400000 - 1200 * (index % 90)
        write_bands(archive / name, name, dn(index), epsg=32633, left=left, top=top)
        document = {
            "labels": list(labels(index)),
            "coordinates": {"ulx": left, "uly": top, "lrx": left + 1200, "lry": top - 1200},
            "projection": CRS.from_epsg(32633).to_wkt(),
            "tile_source": "S2A_MSIL1C_20170613T101031_N0205_R022_T33UUP_20170613T101608.SAFE",
            "acquisition_date": "2017-06-13 10:10:31",
        }
        (archive / name / f"{name}_labels_metadata.json").write_text(json.dumps(document))
        if split := splits[index % len(splits)]:
            members[split].append(name)
    (folder / "splits").mkdir(exist_ok=True)
    for split, names in members.items():
        (folder / "splits" / f"{split}.csv").write_text("".join(f"{n}\n" for n in names))
    return archive


def make_v2(
    folder: Path,
    n: int,
    *,
    labels: Callable[[int], Sequence[str]] = ben19_labels,
    dn: Callable[[int], Groups] = coded_dn,
    snow: Sequence[int] = (),
    cloud: Sequence[int] = (),
    reference_maps: bool = False,
) -> Path:
    """``folder/BigEarthNet-S2`` with ``n`` patches and ``folder/metadata.parquet``.

    Patch i is of country ``COUNTRIES[i % 3]``; patches ``snow`` and ``cloud`` are flagged so. With
    ``reference_maps`` each has a CORINE map of 311 at its left and 211 at its right.

    Returns:
        ``folder``, which ``prepare`` takes.
    """
    rows = []
    for index in range(n):
        name = v2_name(index)
        tile = name.rsplit("_", 2)[0]
        column, row = (int(part) for part in name.split("_")[-2:])
        epsg = 32633 if "_T33" in name else 32635
        left, top = 300000 + 1200 * column, 5400000 - 1200 * row
        patch = folder / "BigEarthNet-S2" / tile / name
        write_bands(patch, name, dn(index), epsg=epsg, left=left, top=top)
        if reference_maps:
            codes = np.full((120, 120), 311, np.uint16)
            codes[:, 60:] = 211
            maps = folder / "Reference_Maps" / tile / name
            maps.mkdir(parents=True)
            write_tiff(maps / f"{name}_reference_map.tif", codes, 10, epsg, left, top)
        rows.append(
            {
                "patch_id": name,
                "labels": list(labels(index)),
                "split": ("train", "train", "validation", "test")[index % 4],
                "country": COUNTRIES[index % 3],
                "s1_name": f"S1A_{index}",
                "s2v1_name": v1_name(index),
                "contains_seasonal_snow": index in snow,
                "contains_cloud_or_shadow": index in cloud,
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), folder / "metadata.parquet")
    return folder


def make_patch(
    index: int,
    *,
    classes: Sequence[str] = BEN19.names,
    nomenclature_id: str = "ben19",
    signal: bool = True,
    seed: int = 0,
    split: str | None = None,
    country: str | None = None,
) -> Patch:
    """Patch ``index`` of ``make_store``: one to three of ``classes``, drawn by seed and index."""
    rng = np.random.default_rng([seed, index])
    count = int(rng.integers(1, min(3, len(classes)) + 1))
    chosen = [classes[i] for i in sorted(rng.choice(len(classes), count, replace=False))]
    of_v1 = nomenclature_id == "clc43"
    return Patch(
        key=v1_name(index) if of_v1 else v2_name(index),
        dataset="bigearthnet-v1" if of_v1 else "bigearthnet-v2",
        dn=signal_dn(nomenclature(nomenclature_id).multi_hot(chosen), rng)
        if signal
        else coded_dn(index),
        labels=tuple(chosen),
        ben19=convert_to_ben19(chosen) if of_v1 else tuple(chosen),
        clc43=tuple(chosen) if of_v1 else None,
        country=country or COUNTRIES[index % len(COUNTRIES)],
        season=SEASONS[index % len(SEASONS)],
        date="2017-06-13T10:10:31",
        tile="33UUP",
        crs="EPSG:32633",
        left=300000.0 + 1200 * (index // 90),
        top=5400000.0 - 1200 * (index % 90),
        split=split or SPLITS[index % len(SPLITS)],
        snow=False,
        cloud=False,
    )


def make_store(
    folder: Path,
    n: int,
    *,
    classes: Sequence[str] = BEN19.names,
    nomenclature_id: str = "ben19",
    signal: bool = True,
    seed: int = 0,
    shards: int = 2,
    patch: Callable[[int], Patch] | None = None,
    legend: Legend | None = None,
    level: str = "L2A",
) -> Path:
    """A store of ``n`` patches at ``folder``; half of them train, a quarter val, a quarter test.

    Args:
        folder: of the store.
        n: number of patches.
        classes: the names that occur.
        nomenclature_id: of the targets.
        signal: pixels that carry the labels; otherwise ``coded_dn``.
        seed: of labels and noise.
        shards: number of shards.
        patch: index → patch, in place of ``make_patch``.
        legend: of the targets, in place of ``nomenclature_id``.
        level: processing level.

    Returns:
        ``folder``.
    """
    making = folder.parent / f".{folder.name}.making"
    (making / PARTS_FOLDER).mkdir(parents=True)
    edges = [n * i // shards for i in range(shards + 1)]

    def standard(index: int) -> Patch:
        return make_patch(
            index, classes=classes, nomenclature_id=nomenclature_id, signal=signal, seed=seed
        )

    for number in range(shards):
        patches = map(patch or standard, range(edges[number], edges[number + 1]))
        write_shard(making, number, patches, skip_broken=False, advance=lambda: None)
    complete_store(making, shards, legend or Legend.of_corine(nomenclature_id), level=level)
    publish_store(making, folder)
    return folder
