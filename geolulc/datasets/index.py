"""The index of a store: one row a patch, everything but its pixels, as one Parquet file.

Selecting patches (by split, country, class…) needs no pixel, and any tool that reads Parquet can
do it too. Text is dictionary-encoded; ``shard``, ``offset`` and ``size`` say where the record is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from geolulc.datasets.patch import Patch
from geolulc.errors import DatasetError

_TEXT: Final = pa.dictionary(pa.int32(), pa.string())

SCHEMA: Final = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int32(), nullable=False),
        pa.field("pixel_hash", pa.uint64(), nullable=False),
        pa.field("dataset", _TEXT, nullable=False),
        pa.field("split", _TEXT),
        pa.field("country", _TEXT),
        pa.field("season", _TEXT),
        pa.field("snow", pa.bool_()),
        pa.field("cloud", pa.bool_()),
        pa.field("date", pa.string(), nullable=False),
        pa.field("tile", _TEXT),
        pa.field("crs", _TEXT, nullable=False),
        pa.field("left", pa.float64(), nullable=False),
        pa.field("top", pa.float64(), nullable=False),
        pa.field("v1_name", pa.string()),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("ben19", pa.list_(pa.string()), nullable=False),
        pa.field("clc43", pa.list_(pa.string())),
    ]
)

_FROM_PATCH: Final = tuple(
    name for name in SCHEMA.names if name not in ("shard", "offset", "size", "pixel_hash")
)


def index_row(
    patch: Patch, *, shard: int, offset: int, size: int, pixel_hash: int
) -> dict[str, Any]:
    """The row of a patch whose record of ``size`` bytes starts at ``offset`` of a shard."""
    row = {name: getattr(patch, name) for name in _FROM_PATCH}
    return row | {"shard": shard, "offset": offset, "size": size, "pixel_hash": pixel_hash}


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of ``SCHEMA``."""
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_index(path: Path, table: pa.Table) -> None:
    """Write an index; the same table gives the same bytes."""
    unified = table.unify_dictionaries().combine_chunks()
    pq.write_table(unified, path, compression="zstd", row_group_size=1 << 20)


def read_index(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Columns of an index; ``DatasetError`` where the file is none."""
    try:
        file = pq.ParquetFile(path)
        missing = [n for n in columns or SCHEMA.names if n not in file.schema_arrow.names]
        if not missing:
            table = file.read(columns=columns)
            return table.cast(pa.schema([SCHEMA.field(n) for n in table.column_names]))
        found = f"an index without {', '.join(missing)}"
    except (OSError, pa.ArrowException) as error:
        found = f"an index that cannot be read ({error})"
    raise DatasetError(
        path,
        found=found,
        expected="the index of a geolulc store",
        remedy="Prepare the store again.",
    )
