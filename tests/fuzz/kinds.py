"""The kinds of input that are damaged: one table of what is made, damaged, and run."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from file_mutations import change_geometry, change_sqlite, change_table, change_tags, change_tensors
from made_services import PRODUCT, serve_copernicus, serve_stac, write_copernicus, write_stac_api
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
from sound_inputs import (
    write_areas,
    write_classes,
    write_cogs,
    write_encoder,
    write_eopf,
    write_labels,
    write_map,
    write_points,
    write_regions,
    write_scene,
    write_settings,
    write_stac,
    write_stack,
    write_store,
    write_tars,
    write_v1,
    write_v2,
    write_zones,
)
from wrong_successes import (
    another_download,
    another_map,
    damage_missed,
    lost_patches,
    wild_areas,
)

BYTES = (bytes_of(damage), bytes_of(flip_bits))
TEXT = (bytes_of(change_words), bytes_of(change_words), *BYTES)
JSON = (bytes_of(change_json), bytes_of(change_json), *TEXT)
ZIP = (bytes_of(change_zip), bytes_of(spoil_stream), *BYTES)

_MAP = "map {} --model model.safetensors --out {} --outputs probabilities --device cpu --threads 1"
_TRAIN = "train made.store out-run --config train.toml --device cpu -q"
_LABEL = "label scene.SAFE --block-size 1200 --folds 3 --out out.store -q"
_TRANSFER = "transfer made.store --out out --sources Austria --targets Finland,Kosovo"
_LEARNING = "--config train.toml --device cpu -q"
_EVALUATE = "evaluate model.safetensors made.store --device cpu"
_PREPARE = "prepare {} out.store --splits splits --workers 1 -q"
_SEARCH = "search --aoi 11.2,46.4,11.5,46.6 --dates 2024-06-25 --allow-internal"
_FETCH = f"fetch {PRODUCT} --out out --service {{url}} --allow-internal -q"
_ZONES = "summarize map.tif --zones {} --out out.csv -q"


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        make: writes the whole input, and what the commands need beside it, into a folder.
        damaged: pattern of files of which one is damaged → mutations of which one is drawn.
        commands: of which one is drawn; what they write is called ``out…``.
        options: of which one is drawn in half of the cases, in place of damage, or in all where
            nothing is damaged; "{}" in it becomes one of ``ARGUMENTS``.
        served: answers from the files of a case until its context ends; "{url}" in commands
            becomes its address.
        wrong: what is wrong with a success, from (folder of the sound input's results, folder of
            the damaged ones', the command); None where it is right.
    """

    make: Callable[[Path], None]
    damaged: Mapping[str, tuple[Mutation, ...]]
    commands: tuple[str, ...]
    wrong: Callable[[Path, Path, str], str | None] = field(default=lambda *_: None)
    options: tuple[str, ...] = ()
    served: Callable[[Path], AbstractContextManager[str]] = lambda _: nullcontext("")


def damage_one(kind: Kind, folder: Path, rng: random.Random) -> Path:
    """Damage one file of an input; returns it."""
    patterns = sorted(kind.damaged)
    pattern = rng.choice(patterns)
    path = rng.choice(sorted(folder.glob(pattern)))
    rng.choice(kind.damaged[pattern])(path, rng)
    return path


_OF_SCENE = (_MAP.format("scene.SAFE", "out.tif"), "info scene.SAFE --verify")

KINDS: Mapping[str, Kind] = {
    "xml": Kind(
        partial(write_scene, manifest=True),
        dict.fromkeys(("scene.SAFE/*.xml", "scene.SAFE/GRANULE/*/*.xml", "*/*.safe"), TEXT),
        _OF_SCENE,
        partial(another_map, values=False),
    ),
    "jp2": Kind(
        write_scene,
        {"scene.SAFE/**/*.jp2": (bytes_of(change_codestream), *BYTES)},
        _OF_SCENE,
        partial(another_map, values=False),
    ),
    "manifest": Kind(
        partial(write_scene, manifest=True),
        {"scene.SAFE/**/*_B*.jp2": BYTES},
        _OF_SCENE,
        another_map,
    ),
    "stored-zip": Kind(
        partial(write_scene, zipped="stored"),
        {"scene.zip": ZIP},
        (_MAP.format("scene.zip", "out.tif"), "info scene.zip --verify"),
        another_map,
    ),
    "deflated-zip": Kind(
        partial(write_scene, zipped="deflated"),
        {"scene.zip": ZIP},
        (_MAP.format("scene.zip", "out.tif"), "info scene.zip"),
        another_map,
    ),
    "zarr": Kind(
        write_eopf,
        {
            "scene.zarr/.z*": JSON,
            "scene.zarr/measurements/**/b*/.z*": JSON,
            "scene.zarr/**/*.[0-9]": BYTES,
        },
        (_MAP.format("scene.zarr", "out.tif"), "info scene.zarr --verify"),
        partial(another_map, values=False),
    ),
    "zarr-3": Kind(
        partial(write_eopf, version=3),
        {"scene.zarr/**/zarr.json": JSON, "scene.zarr/**/c/*/*": BYTES},
        (_MAP.format("scene.zarr", "out.tif"), "info scene.zarr --verify"),
        partial(another_map, values=False),
    ),
    "zarr-zip": Kind(
        partial(write_eopf, zipped=True),
        {"scene.zarr.zip": ZIP},
        (_MAP.format("scene.zarr.zip", "out.tif"), "info scene.zarr.zip --verify"),
        partial(another_map, values=False),
    ),
    "cogs": Kind(
        write_cogs,
        {"cogs/item.json": JSON, "cogs/*.tif": (change_tags, *BYTES)},
        (_MAP.format("cogs/item.json", "out.tif"), "info cogs/item.json --verify"),
        partial(another_map, values=False),
    ),
    "stac": Kind(write_stac, {"list.json": JSON}, (_MAP.format("list.json", "out"),)),
    "list": Kind(write_stac, {"list.txt": TEXT}, (_MAP.format("list.txt", "out"),)),
    **{
        name: Kind(
            write_tars,
            {f"v1.{name}": mutations},
            (_PREPARE.format(f"v1.{name}"),),
            lost_patches,
        )
        for name, mutations in (
            ("tar", (bytes_of(change_tar), bytes_of(change_tar), *BYTES)),
            ("tar.gz", (bytes_of(change_tar), *BYTES)),
            ("tar.zst", BYTES),
        )
    },
    "patch": Kind(
        write_v1,
        {
            "v1/*/*.json": JSON,
            "v1/*/*.tif": BYTES,
            "splits/*.csv": (bytes_of(change_rows), *TEXT),
        },
        (_PREPARE.format("v1"),),
        options=(
            *("--splits {}", "--snow-list {}", "--cloud-list {}", "--metadata {}", "{}"),
            *("--nomenclature {}", "--countries {}", "--seasons {}", "--limit {}", "--seed {}"),
            *("--workers {}", "--limit 1 --seed {}", "--unlabelled {}"),
        ),
    ),
    "stack": Kind(
        write_stack,
        {"stack.tif": (change_tags, change_tags, *BYTES)},
        ("prepare --unlabelled stack.tif out.store --workers 1 -q",),
    ),
    "metadata": Kind(
        write_v2,
        {"v2/metadata.parquet": (change_table, change_table, *BYTES)},
        ("prepare v2 out.store --workers 1 --reference-maps -q",),
    ),
    "store": Kind(
        write_store,
        {
            "made.store/manifest.json": JSON,
            "made.store/index.parquet": (change_table, change_table, *BYTES),
            "made.store/shard-*/*": BYTES,
        },
        (
            "info made.store",
            "info made.store --verify",
            f"{_EVALUATE} --json -q",
            f"{_EVALUATE} --predictions out.gpkg -q",
        ),
        damage_missed,
    ),
    "options-of-evaluate": Kind(
        write_store,
        {},
        (f"{_EVALUATE} -q",),
        options=(
            *("--split {}", "--report {}", "--predictions {}", "--baseline {}", "--device {}"),
            *("--report out --overwrite {}", "--progress {}", "--seed-compat --split {}", "{}"),
        ),
    ),
    "settings": Kind(
        write_settings,
        {"train.toml": TEXT},
        (_TRAIN,),
        options=(
            *("--set backbone={}", "--set image_size={}", "--set batch_size={}", "--set seed={}"),
            *("--set loss={}", "--set learning_rate={}", "--set drop_rate={}", "--set {}=1"),
            *("--set workers={}", "--device {}", "--pretrained {}", "--config {}", "--set {}"),
        ),
    ),
    "transfer": Kind(
        write_regions,
        {
            "train.toml": TEXT,
            "made.store/manifest.json": JSON,
            "made.store/index.parquet": (change_table, change_table, *BYTES),
            "regions.geojson": (*JSON, change_geometry),
        },
        (
            f"{_TRANSFER} {_LEARNING}",
            f"{_TRANSFER} --dry-run {_LEARNING}",
            f"{_TRANSFER} --dry-run --regions regions.geojson {_LEARNING}",
        ),
        options=(
            *("--by {}", "--regions {}", "--region-name {}", "--target-sizes {}", "--subsets {}"),
            *("--fine-tuning {}", "--validate-on {}", "--remedies {}", "--pooled {}", "--seeds {}"),
            *("--fine-tune-steps {}", "--fine-tune-rate {}", "--encoder {}", "--out {}"),
            *("--sources {}", "--targets {}", "--set {}", "--config {}", "--device {}"),
        ),
    ),
    "encoder": Kind(
        write_encoder,
        {"encoder.pth": (*(change_tensors,) * 4, *ZIP)},
        (f"{_TRAIN} --pretrained encoder.pth",),
    ),
    "checkpoint": Kind(
        write_scene,
        {"model.safetensors": (bytes_of(change_safetensors),) * 3 + BYTES},
        (
            "info model.safetensors",
            "stac model.safetensors --out out.json",
            _MAP.format("scene.SAFE", "out.tif"),
        ),
        partial(another_map, values=False),
    ),
    **{
        name: Kind(
            write_zones,
            {f"zones.{ending}": mutations for ending in endings},
            (_ZONES.format(f"zones.{endings[0]}"),),
            wild_areas,
        )
        for name, endings, mutations in (
            ("geopackage", ("gpkg",), (change_sqlite, change_sqlite, change_geometry, *BYTES)),
            ("geojson", ("geojson",), (*JSON, change_geometry)),
            ("flatgeobuf", ("fgb",), (change_geometry, *BYTES)),
            ("shapefile", ("shp", "shx", "dbf", "prj"), BYTES),
            ("kml", ("kml",), TEXT),
            ("geoparquet", ("parquet",), (change_table, change_table, *BYTES)),
        )
    },
    "filegdb": Kind(
        write_zones,
        dict.fromkeys(("zones.gdb/*.gdbtable", "zones.gdb/*.gdbtablx", "zones.gdb/gdb"), BYTES),
        (_ZONES.format("zones.gdb"),),
        wild_areas,
    ),
    "area": Kind(
        write_areas,
        {
            "aoi.gpkg": (change_sqlite, change_geometry, *BYTES),
            "aoi.geojson": (*JSON, change_geometry),
        },
        tuple(_MAP.format(f"scene.SAFE --aoi aoi.{e}", "out.tif") for e in ("gpkg", "geojson")),
    ),
    "options": Kind(
        write_areas,
        {},
        (_MAP.format("scene.SAFE", "out.tif"),),
        options=(
            *("--stride {}", "--resolution {}", "--min-valid {}", "--min-clear {}", "--aoi {}"),
            *("--mask-scl {}", "--batch-size {}", "--threads {}", "--workers {}", "--out {}"),
            *("--model {}", "--band-order {}", "--outputs {}", "--dtype {}", "--device {}"),
            *("--outputs vectors --min-area {}", "--outputs vectors --max-polygons {}", "{}"),
            *("--precision {}", "--vector-format {}", "--retries {}", "--runtime {}"),
        ),
    ),
    "options-of-maps": Kind(
        write_zones,
        {},
        ("mosaic map.tif other.tif --out out.tif --outputs probabilities -q",),
        options=(
            *("--crs {}", "--cell-size {}", "--min-weight {}", "--combine {}", "--group-by {}"),
            *("--out {}", "--outputs {}", "--outputs vectors --min-area {}", "{}"),
        ),
    ),
    "options-of-zones": Kind(
        write_zones,
        {},
        (_ZONES.format("zones.gpkg"),),
        options=("--zones {}", "--layer {}", "--out {}", "{}"),
    ),
    "reference": Kind(
        write_points,
        {
            "points.gpkg": (change_sqlite, change_sqlite, change_geometry, *BYTES),
            "points.csv": (bytes_of(change_rows), *TEXT),
            "classes.tif": BYTES,
        },
        tuple(f"assess classes.tif --reference points.{e} --out out -q" for e in ("gpkg", "csv")),
        options=("--reference {}", "--classes {}", "--field {}", "--alternative {}", "--out {}"),
    ),
    "sample": Kind(
        write_points,
        {"classes.tif": BYTES},
        ("sample classes.tif --out out.gpkg --size 20 --least 5 -q",),
        options=(
            *("--size {}", "--design {}", "--strata {}", "--least {}", "--distance {}"),
            *("--seed {}", "--expected {}", "--allocation {}", "--standard-error {}", "--out {}"),
            *("--design cluster --cluster-side {}", "--design cluster --cluster-points {}"),
        ),
    ),
    "labels": Kind(
        write_labels,
        {
            "fields.gpkg": (change_sqlite, change_sqlite, change_geometry, *BYTES),
            "fields.tif": BYTES,
        },
        (f"{_LABEL} --polygons fields.gpkg --field crop", f"{_LABEL} --reference fields.tif"),
        options=(
            *("--polygons {}", "--reference {}", "--field {}", "--classes {}", "--buffer {}"),
            *("--mask-scl {}", "--split-by {}", "--block-size {}", "--folds {}", "--seed {}"),
            *("--least-places {}", "--threads {}", "--overlaps {}", "--layer {}", "--out {}"),
        ),
    ),
    "nomenclature": Kind(
        write_classes,
        {"mine.toml": TEXT, "mine.qml": TEXT},
        ("classes mine.toml --out out.toml", "classes mine.qml --out out.toml"),
        options=("--out {}", "{}"),
    ),
    "search": Kind(
        write_copernicus,
        {"answers/products.json": JSON},
        (f"{_SEARCH} --service {{url}}", f"{_SEARCH} --service {{url}} --json"),
        options=(
            *("--aoi {}", "--dates {}", "--dates 2024-06-01/{}", "--max-cloud {}", "--level {}"),
            *("--limit {}", "--service {}", "--service {url}/{}", "--out {}", "{}"),
        ),
        served=serve_copernicus,
    ),
    "stac-api": Kind(
        write_stac_api,
        {"answers/*.json": JSON},
        (f"{_SEARCH} --stac {{url}}/ --collection c --out out.json",),
        options=(
            *("--stac {}", "--collection {}", "--out {}", "--limit {}", "--dates {}", "--aoi {}"),
            *("--max-cloud {}", "--stac {url}/{}", "--service {}"),
        ),
        served=serve_stac,
    ),
    "fetch": Kind(
        write_copernicus,
        {"answers/*.json": JSON, "answers/*.zip": BYTES},
        (_FETCH,),
        another_download,
        options=(
            *("--level {}", "--out {}", "--parallel {}", "--service {}", "--service {url}/{}"),
            "{}",
        ),
        served=serve_copernicus,
    ),
    "map": Kind(
        write_map,
        {"map.tif": (change_tags, change_tags, *BYTES)},
        (
            "info map.tif",
            "compare map.tif other.tif --out out.tif",
            "mosaic map.tif other.tif --out out.tif --outputs probabilities -q",
        ),
    ),
}
