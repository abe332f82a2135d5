"""The index of a store: one row a patch, everything but its pixels, as one Parquet file.

Selecting patches (by split, country, class…) needs no pixel, and any tool that reads Parquet can
do it too. ``shard``, ``offset`` and ``size`` say where the record is. ``classes`` holds the names
of the store's nomenclature once more, as bits (bit i is the i-th of ``classes.names`` in the
manifest), because 600,000 lists of names take seconds to read; it is 0 where there are more than
64 classes, and the names are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from geolulc.datasets.legend import packed_bits
from geolulc.datasets.parquet_files import read_columns
from geolulc.datasets.patch import Patch
from geolulc.errors import DatasetError

#: Rows that are written together; a row with its lists of names takes 1.4 kB meanwhile.
_ROW_GROUP: Final = 1 << 12
#: Metres: northings of UTM zones end at 10,000 km.
_FARTHEST: Final = 2e7
_UTM: Final = r"^EPSG:32[67][0-9]{2}$"
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())

SCHEMA: Final = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int32(), nullable=False),
        pa.field("pixel_hash", pa.uint64(), nullable=False),
        pa.field("classes", pa.uint64(), nullable=False),
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
        pa.field("has_reference", pa.bool_(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("ben19", pa.list_(pa.string()), nullable=False),
        pa.field("clc43", pa.list_(pa.string())),
        pa.field("fold", pa.int8()),
    ]
)

_NOT_OF_PATCH: Final = ("shard", "offset", "size", "pixel_hash", "classes", "has_reference")
#: Columns that indexes of older versions do not have.
_SINCE: Final = ("fold",)
_FROM_PATCH: Final = tuple(name for name in SCHEMA.names if name not in _NOT_OF_PATCH)


def index_row(
    patch: Patch, *, shard: int, offset: int, size: int, pixel_hash: int
) -> dict[str, Any]:
    """The row of a patch whose record of ``size`` bytes starts at ``offset`` of a shard."""
    row = {name: getattr(patch, name) for name in _FROM_PATCH}
    return row | {
        "shard": shard,
        "offset": offset,
        "size": size,
        "pixel_hash": pixel_hash,
        "classes": 0,  # the shard does not know the nomenclature
        "has_reference": patch.reference is not None,
    }


def with_classes(table: pa.Table, hot: NDArray[np.uint8]) -> pa.Table:
    """The table with ``classes`` filled from ``hot``, uint8 (rows, classes)."""
    bits = packed_bits(hot)
    return table.set_column(SCHEMA.get_field_index("classes"), SCHEMA.field("classes"), [bits])


class IndexWriter(AbstractContextManager["IndexWriter"]):
    """Writes an index of any length, row group by row group; the same rows give the same bytes.

    A context manager: the file is complete at its end.
    """

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._waiting: list[pa.Table] = []

    def __exit__(self, *_: object) -> None:
        with self._writer:
            self._write(self._rows())

    def write(self, table: pa.Table) -> None:
        """Append rows of ``SCHEMA``."""
        self._waiting.append(table)
        whole = self._rows() // _ROW_GROUP * _ROW_GROUP
        if whole:
            self._write(whole)

    def _rows(self) -> int:
        return sum(len(table) for table in self._waiting)

    def _write(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting) if self._waiting else SCHEMA.empty_table()
        # Parquet takes one dictionary for a row group
        part = table.slice(0, rows).unify_dictionaries().combine_chunks()
        self._writer.write_table(part, _ROW_GROUP)
        self._waiting = [table.slice(rows)]


def write_index(path: Path, table: pa.Table) -> None:
    """Write an index of the rows at hand."""
    with IndexWriter(path) as writer:
        writer.write(table)


def read_index(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Columns of an index; ``DatasetError`` where the file is none."""
    columns = columns or SCHEMA.names
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    return pa.Table.from_batches(read_batches(path, columns), schema)


def read_numbers(path: Path, column: str) -> NDArray[Any]:
    """A column of numbers; ``DatasetError`` where the file is no index or the column has gaps."""
    batches = read_batches(path, [column])
    parts = [batch.column(0).to_numpy(zero_copy_only=False).copy() for batch in batches]
    dtype = SCHEMA.field(column).type.to_pandas_dtype()
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def read_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Columns of an index, some rows at a time, with the types of ``SCHEMA``."""
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    unusable = partial(_not_an_index, path)
    for batch in read_columns(path, schema, unusable, optional=_SINCE):
        for name in columns:
            _require_place(path, name, batch.column(name))
        yield batch


def _require_place(path: Path, name: str, values: pa.Array) -> None:
    """``DatasetError`` for patches that lie nowhere: out of every UTM zone, or in no known CRS."""
    if name in ("left", "top"):
        numbers = values.to_numpy(zero_copy_only=False)
        if not (np.abs(numbers) <= _FARTHEST).all():  # NaN neither
            raise _not_an_index(path, f"positions that are no metres in the column {name}")
    elif name == "crs":
        known = pc.match_substring_regex(values.cast(pa.string()), _UTM)
        if pc.any(pc.invert(known)).as_py():
            code = values.cast(pa.string()).filter(pc.invert(known))[0].as_py()
            raise _not_an_index(path, f"the CRS {code!r}")


def _not_an_index(path: Path, found: str) -> DatasetError:
    return DatasetError(
        path,
        found=found,
        expected="the index of a geolulc store",
        remedy="Prepare the store again.",
    )
