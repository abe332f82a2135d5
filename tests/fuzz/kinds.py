"""The kinds of input that are damaged: one table of what is made, damaged, and run."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import shapely
from file_mutations import change_geometry, change_sqlite, change_table, change_tags
from made_archives import make_store, make_v1, make_v2
from made_map import TILE
from made_nets import make_net
from made_product import make_product, random_bands
from mutations import (
    Mutation,
    bytes_of,
    change_codestream,
    change_json,
    change_rows,
    change_safetensors,
    change_tar,
    change_words,
    change_zip,
    damage,
    flip_bits,
    spoil_stream,
)
from written_map import write_made

from geolulc.nets import Model, save_checkpoint

BYTES = (bytes_of(damage), bytes_of(flip_bits))
TEXT = (bytes_of(change_words), bytes_of(change_words), *BYTES)
JSON = (bytes_of(change_json), bytes_of(change_json), *TEXT)
ZIP = (bytes_of(change_zip), bytes_of(spoil_stream), *BYTES)

_MAP = "map {} --model model.safetensors --out {} --outputs probabilities --device cpu --threads 1"
_TRAIN = "train made.store out-run --config train.toml --device cpu -q"
_ZONES = "summarize map.tif --zones {} --out out.csv -q"


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        make: writes the whole input, and what the commands need beside it, into a folder.
        damaged: pattern of the files of which one is damaged → the mutations, of which one is drawn.
        commands: of which one is drawn; what they write is called ``out…``.
        wrong: what is wrong with a success, from (folder of the sound input's results, folder of
            the damaged ones', the command); None where it is right.
    """

    make: Callable[[Path], None]
    damaged: Mapping[str, tuple[Mutation, ...]]
    commands: tuple[str, ...]
    wrong: Callable[[Path, Path, str], str | None] = field(default=lambda *_: None)


def damage_one(kind: Kind, folder: Path, rng: random.Random) -> Path:
    """Damage one file of an input; returns it."""
    patterns = sorted(kind.damaged)
    pattern = rng.choice(patterns)
    path = rng.choice(sorted(folder.glob(pattern)))
    rng.choice(kind.damaged[pattern])(path, rng)
    return path


def _make_model(folder: Path) -> None:
    save_checkpoint(folder / "model.safetensors", Model(make_net().eval(), name="fuzz"))


def _make_scene(folder: Path, *, manifest: bool = False, zipped: str | None = None) -> None:
    """``scene.SAFE`` or ``scene.zip`` of one patch, and a model."""
    _make_model(folder)
    scl = np.full((60, 60), 4, np.uint8)
    made = make_product(folder / "made", random_bands(1200, 1200), scl=scl, zipped=zipped)
    target = folder / f"scene{made.suffix}"
    made.rename(target)
    if manifest:
        _write_manifest(target)


def _write_manifest(product: Path) -> None:
    listed = "\n".join(
        f'<byteStream><fileLocation href="./{path.relative_to(product)}"/>'
        f'<checksum checksumName="MD5">{hashlib.md5(path.read_bytes()).hexdigest()}</checksum>'  # noqa: S324
        "</byteStream>"
        for path in sorted(product.rglob("*.jp2"))
    )
    (product / "manifest.safe").write_text(f'<xfdu xmlns:x="y">\n{listed}\n</xfdu>')


def _make_stac(folder: Path) -> None:
    _make_scene(folder)
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "scene",
        "geometry": None,
        "properties": {"datetime": "2024-06-25T10:10:31Z"},
        "links": [{"rel": "self", "href": "scene.json"}],
        "assets": {
            "thumbnail": {"href": "https://example.com/t.png"},
            "safe-manifest": {"href": "scene.SAFE/manifest.safe", "type": "application/xml"},
        },
    }
    (folder / "list.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    (folder / "list.txt").write_text("# scenes\nscene.SAFE\n")


def _make_tars(folder: Path) -> None:
    archive = make_v1(folder, 2, splits=("train", "val"))
    for name, mode in (("v1.tar", "w"), ("v1.tar.gz", "w:gz")):
        with tarfile.open(folder / name, mode, format=tarfile.PAX_FORMAT) as tar:
            for patch in sorted(archive.iterdir()):
                tar.add(patch, f"BigEarthNet-v1.0/{patch.name}")
    with pa.output_stream(str(folder / "v1.tar.zst"), compression="zstd") as stream:
        stream.write((folder / "v1.tar").read_bytes())
    shutil.rmtree(archive)


def _make_v1(folder: Path) -> None:
    make_v1(folder, 2, splits=("train", "val")).rename(folder / "v1")


def _make_v2(folder: Path) -> None:
    make_v2(folder / "v2", 3, reference_maps=True)


def _make_store(folder: Path) -> None:
    _make_model(folder)
    make_store(folder / "made.store", 8)


def _make_settings(folder: Path) -> None:
    make_store(folder / "made.store", 8)
    (folder / "train.toml").write_text(
        'backbone = "test_resnet"\nfusion = "late"\nepochs = 1\nbatch_size = 4\n'
        "learning_rate = 0.001\ndrop_rate = 0.1\nmixup = 0.2\nworkers = 0\nseed = 3\n"
    )


def _make_map(folder: Path) -> None:
    write_made("cells", folder / "map.tif")
    write_made("cells", folder / "other.tif", seed=1)


def _make_zones(folder: Path) -> None:
    """The same two zones in every format, in the middle of a map."""
    _make_map(folder)
    west, north = TILE.left, TILE.top
    squares = [shapely.box(west + x, north - 3600, west + x + 2400, north - 600) for x in (0, 2400)]
    zones = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=squares, crs=TILE.crs)
    for ending, driver in ((".gpkg", "GPKG"), (".fgb", "FlatGeobuf"), (".shp", None)):
        zones.to_file(folder / f"zones{ending}", driver=driver)
    geographic = zones.to_crs("EPSG:4326")
    geographic.to_file(folder / "zones.geojson", driver="GeoJSON")
    places = "".join(
        f"<Placemark><name>{name}</name><Polygon><outerBoundaryIs><LinearRing><coordinates>"
        f"{' '.join(f'{x},{y},0' for x, y in square.exterior.coords)}"
        "</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>\n"
        for name, square in zip("ab", geographic.geometry, strict=True)
    )
    (folder / "zones.kml").write_text(
        f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>\n{places}</Document></kml>'
    )


def _another_map(sound: Path, case: Path, command: str, *, values: bool = True) -> str | None:
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


def _lost_patches(sound: Path, case: Path, command: str) -> str | None:
    found, there = (pq.read_table(f / "out.store/index.parquet").num_rows for f in (case, sound))
    return None if found == there else f"{found} of {there} patches in the store"


def _damage_missed(sound: Path, case: Path, command: str) -> str | None:
    if "--verify" not in command:
        return None
    for path in sound.glob("made.store/shard-*/patches.msgpack"):
        if path.read_bytes() != (case / path.relative_to(sound)).read_bytes():
            return "verified, though a shard is another"
    return None


def _wild_areas(sound: Path, case: Path, command: str) -> str | None:
    """An area that is no number, negative, or larger than the map."""
    if "out.csv" not in command:
        return None
    table = pd.read_csv(case / "out.csv")
    areas = table[[name for name in table if name.endswith("_ha")]].apply(pd.to_numeric)
    most = TILE.width * TILE.height / 10_000 * 1.01
    wild = ~((areas >= 0) & (areas <= most) | areas.isna())
    return f"areas of {areas[wild].stack().tolist()[:3]} ha" if wild.any(axis=None) else None


_OF_SCENE = (_MAP.format("scene.SAFE", "out.tif"), "info scene.SAFE --verify")

KINDS: Mapping[str, Kind] = {
    "xml": Kind(
        partial(_make_scene, manifest=True),
        {name: TEXT for name in ("scene.SAFE/*.xml", "scene.SAFE/GRANULE/*/*.xml", "*/*.safe")},
        _OF_SCENE,
        partial(_another_map, values=False),
    ),
    "jp2": Kind(
        _make_scene,
        {"scene.SAFE/**/*.jp2": (bytes_of(change_codestream), *BYTES)},
        _OF_SCENE,
        partial(_another_map, values=False),
    ),
    "manifest": Kind(
        partial(_make_scene, manifest=True),
        {"scene.SAFE/**/*_B*.jp2": BYTES},
        _OF_SCENE,
        _another_map,
    ),
    "stored-zip": Kind(
        partial(_make_scene, zipped="stored"),
        {"scene.zip": ZIP},
        (_MAP.format("scene.zip", "out.tif"), "info scene.zip --verify"),
        _another_map,
    ),
    "deflated-zip": Kind(
        partial(_make_scene, zipped="deflated"),
        {"scene.zip": ZIP},
        (_MAP.format("scene.zip", "out.tif"), "info scene.zip"),
        _another_map,
    ),
    "stac": Kind(_make_stac, {"list.json": JSON}, (_MAP.format("list.json", "out"),)),
    "list": Kind(_make_stac, {"list.txt": TEXT}, (_MAP.format("list.txt", "out"),)),
    **{
        name: Kind(
            _make_tars,
            {f"v1.{name}": mutations},
            (f"prepare v1.{name} out.store --splits splits --workers 1 -q",),
            _lost_patches,
        )
        for name, mutations in (
            ("tar", (bytes_of(change_tar), bytes_of(change_tar), *BYTES)),
            ("tar.gz", (bytes_of(change_tar), *BYTES)),
            ("tar.zst", BYTES),
        )
    },
    "patch": Kind(
        _make_v1,
        {
            "v1/*/*.json": JSON,
            "v1/*/*.tif": BYTES,
            "splits/*.csv": (bytes_of(change_rows), *TEXT),
        },
        ("prepare v1 out.store --splits splits --workers 1 -q",),
    ),
    "metadata": Kind(
        _make_v2,
        {"v2/metadata.parquet": (change_table, change_table, *BYTES)},
        ("prepare v2 out.store --workers 1 --reference-maps -q",),
    ),
    "store": Kind(
        _make_store,
        {
            "made.store/manifest.json": JSON,
            "made.store/index.parquet": (change_table, change_table, *BYTES),
            "made.store/shard-*/*": BYTES,
        },
        (
            "info made.store",
            "info made.store --verify",
            "evaluate model.safetensors made.store --device cpu --json -q",
            "evaluate model.safetensors made.store --predictions out.gpkg --device cpu -q",
        ),
        _damage_missed,
    ),
    "settings": Kind(_make_settings, {"train.toml": TEXT}, (_TRAIN,)),
    "checkpoint": Kind(
        _make_scene,
        {"model.safetensors": (bytes_of(change_safetensors),) * 3 + BYTES},
        (
            "info model.safetensors",
            "stac model.safetensors --out out.json",
            _MAP.format("scene.SAFE", "out.tif"),
        ),
        partial(_another_map, values=False),
    ),
    **{
        name: Kind(
            _make_zones,
            {f"zones.{ending}": mutations for ending in endings},
            (_ZONES.format(f"zones.{endings[0]}"),),
            _wild_areas,
        )
        for name, endings, mutations in (
            ("geopackage", ("gpkg",), (change_sqlite, change_sqlite, change_geometry, *BYTES)),
            ("geojson", ("geojson",), (*JSON, change_geometry)),
            ("flatgeobuf", ("fgb",), (change_geometry, *BYTES)),
            ("shapefile", ("shp", "shx", "dbf", "prj"), BYTES),
            ("kml", ("kml",), TEXT),
        )
    },
    "map": Kind(
        _make_map,
        {"map.tif": (change_tags, change_tags, *BYTES)},
        (
            "info map.tif",
            "compare map.tif other.tif --out out.tif",
            "mosaic map.tif other.tif --out out.tif --outputs probabilities -q",
        ),
    ),
}
