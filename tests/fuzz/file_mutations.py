"""Seeded damage to files that only a library can write: tables, vectors, the tags of maps."""

from __future__ import annotations

import io
import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import shapely
import torch
from mutations import VALUES, WORDS, change_json


def change_table(path: Path, rng: random.Random) -> None:
    """A column of a parquet file has nulls, other values or another type, or is missing."""
    table = pq.read_table(path)
    name = rng.choice(table.column_names)
    at, column = table.column_names.index(name), table.column(name)
    values, value = column.to_pylist(), rng.choice(VALUES)
    row = rng.randrange(len(values))
    target = io.BytesIO()
    try:
        match rng.randrange(6):
            case 0:
                table = table.drop_columns([name])
            case 1:
                values[row] = None
                table = table.set_column(at, name, pa.array(values, column.type))
            case 2:
                table = table.set_column(at, name, pa.nulls(len(values)))
            case 3:
                table = table.set_column(at, name, pa.array([value] * len(values)))
            case 4:
                values[row] = value
                table = table.set_column(at, name, pa.array(values, column.type))
            case 5:
                rows = rng.choice(([], [0, 0], [0] * 50_000, list(range(len(values)))[::-1]))
                table = table.take(rows)
        pq.write_table(table, target)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError):
        return  # no parquet file can hold this
    path.write_bytes(target.getvalue())


def change_sqlite(path: Path, rng: random.Random) -> None:
    """A cell of any table of a GeoPackage is another value, or a table or its rows are gone."""
    with closing(sqlite3.connect(path)) as base, suppress(sqlite3.Error, OverflowError):
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        table = rng.choice([name for (name,) in base.execute(query) if "sqlite" not in name])
        columns = [row[1] for row in base.execute(f'PRAGMA table_info("{table}")')]
        column = rng.choice(columns)
        match rng.randrange(6):
            case 0:
                base.execute(f'DROP TABLE "{table}"')
            case 1:
                base.execute(f'DELETE FROM "{table}"')  # noqa: S608
            case 2:
                query = f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "{rng.choice(WORDS)}"'
                base.execute(query)
            case _:
                plain = [v for v in VALUES if isinstance(v, str | int | float) or v is None]
                value = rng.choice((*plain, rng.randbytes(40), b""))
                query = f'UPDATE "{table}" SET "{column}" = ?'  # noqa: S608
                base.execute(query, (value,))
        base.commit()


def change_geometry(path: Path, rng: random.Random) -> None:
    """Polygons of a vector file lie elsewhere, are broken, or have another CRS or column."""
    zones = geopandas.read_file(path)
    ring = rng.choice(
        (
            [(0, 0), (1, 0), (0, 0)],
            [(0, 0), (1, 1), (0, 1), (1, 0), (0, 0)],
            [(float("nan"), 0), (1, 0), (1, 1), (float("nan"), 0)],
            [(1e308, 0), (1, 0), (1, 1), (1e308, 0)],
            [(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9), (-1e9, -1e9)],
            [(-180, -90), (180, -90), (180, 90), (-180, 90), (-180, -90)],
            [(170, 0), (190, 0), (190, 10), (170, 10), (170, 0)],
        )
    )
    with suppress(Exception):  # what cannot be written stays as it is
        match rng.randrange(5):
            case 0 | 1:
                zones.loc[rng.randrange(len(zones)), "geometry"] = shapely.Polygon(ring)
            case 2:
                others = (None, shapely.Point(0, 0), shapely.Polygon(), shapely.Point())
                zones.loc[rng.randrange(len(zones)), "geometry"] = rng.choice(others)
            case 3:
                crs = rng.choice((None, "EPSG:4326", "EPSG:3857", "EPSG:2154", "EPSG:3413"))
                zones = zones.set_crs(crs, allow_override=True) if crs else zones.set_crs(None)
            case 4:
                zones[rng.choice(("fid", "ID", "status", "geom", "area_ha", "x" * 200))] = "a\0b"
        driver = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".shp": None}.get(path.suffix, "GeoJSON")
        zones.to_file(path, driver=driver)


def change_tags(path: Path, rng: random.Random) -> None:
    """Tags of a map, its descriptions, its CRS or its transform are others."""
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset, suppress(Exception):
        tags = dataset.tags()
        match rng.randrange(6):
            case 0:
                numbers = [v for v in VALUES if not isinstance(v, list | dict)]
                values = [rng.choice(numbers) for _ in range(6)]
                dataset.transform = rasterio.Affine(*(float(v or 0) for v in values))
            case 1:
                dataset.crs = rng.choice((None, "EPSG:4326", "EPSG:3413", "EPSG:32661"))
            case 2:
                dataset.set_band_description(rng.randint(1, dataset.count), str(rng.choice(WORDS)))
            case 3:
                pixels = dataset.read(1)
                pixels[:] = np.array(rng.choice((3, -1, 1e38, np.nan))).astype(pixels.dtype)
                dataset.write(pixels, 1)
            case _:
                name = rng.choice(sorted(tags))
                value = tags[name]
                if value[:1] in ("{", "[") and rng.random() < 0.7:
                    value = change_json(bytearray(value.encode()), rng).decode()
                else:
                    value = str(rng.choice(VALUES))
                dataset.update_tags(**{name: value.replace("\0", "")})


def change_tensors(path: Path, rng: random.Random) -> None:
    """A tensor of a state dict has another shape, type, device or no numbers; or is none."""
    weights = torch.load(path, weights_only=True)
    name = rng.choice(sorted(weights))
    shape = weights[name].shape
    weights[name] = rng.choice(
        (
            torch.zeros(1).expand(10**6, 10**5),
            torch.zeros(shape.numel()).as_strided(shape, (1,) * len(shape)),
            torch.empty(shape, device="meta"),
            torch.zeros(shape, dtype=torch.complex64),
            torch.zeros(shape, dtype=torch.int8),
            torch.full(shape, float("nan")),
            torch.zeros(shape).to_sparse(),
            torch.zeros((2, *shape)),
            torch.zeros(0),
            weights,
            "x",
        )
    )
    if rng.random() < 0.2:
        weights[rng.choice(("", "x" * 5000, "head.weight"))] = weights.pop(name)
    torch.save(weights, path)
