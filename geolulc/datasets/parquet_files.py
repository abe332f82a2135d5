"""Columns of Parquet files of strangers, some rows at a time, in bounded memory.

A few kilobytes can announce, or unpack to, more than any memory: one long text that every row
repeats, or pages of zeros. Sizes in the footer are looked at before anything is read, and texts
stay dictionaries (each value once) until their lengths are known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geolulc.errors import DatasetError

#: Rows that are read at once: opening a large store takes little memory.
_ROWS_READ: Final = 1 << 16
#: BigEarthNet has 590,326 patches with up to twelve labels.
_MOST_ROWS: Final = 10_000_000
_MOST_VALUES: Final = 1_000_000_000
#: Of the columns that are read, as their pages unpack and as rows: all of BigEarthNet has 0.3 GB.
_MOST_BYTES: Final = 4 << 30
#: Names of classes and patches have up to 111 characters.
_LONGEST_TEXT: Final = 1000


def read_columns(
    path: Path,
    schema: pa.Schema,
    unusable: Callable[[str], DatasetError],
    *,
    optional: Collection[str] = (),
) -> Iterator[pa.RecordBatch]:
    """The columns of ``schema``, with its types, batch by batch.

    Args:
        path: the file.
        schema: a column that is not nullable has a value in every row.
        unusable: found → the error to raise.
        optional: columns that are null throughout where the file does not have them.

    Raises:
        DatasetError: of ``unusable``: not Parquet, too large, a column missing, of another type,
            with gaps or with texts that are too long.
    """
    try:
        with pq.ParquetFile(path) as file:
            _require_bounded(file, schema, unusable)
            there = [name for name in schema.names if name in file.schema_arrow.names]
            texts = _texts(file, there)
        absent = [name for name in schema.names if name not in there]
        if missing := [name for name in absent if name not in optional]:
            raise unusable(f"no column {', '.join(missing)}")
        size = 0
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(_ROWS_READ, columns=there, use_threads=False):
                for name in absent:
                    batch = batch.append_column(name, pa.nulls(len(batch)))
                batch = batch.select(schema.names)
                _require_sound(batch, schema, unusable)
                batch = batch.cast(schema)
                batch.validate(full=True)  # texts are UTF-8
                size += batch.nbytes
                if size > _MOST_BYTES:
                    raise unusable(f"more than {_MOST_BYTES >> 30} GB in it")
                yield batch
    except (OSError, pa.ArrowException, OverflowError) as error:
        raise unusable(f"a file that cannot be read ({error})") from error


def _require_bounded(
    file: pq.ParquetFile, schema: pa.Schema, unusable: Callable[[str], DatasetError]
) -> None:
    """By the footer: how many rows and values there are, and how much the columns unpack to."""
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(c) for group in groups for c in range(metadata.num_columns)]
    if metadata.num_rows > _MOST_ROWS or sum(c.num_values for c in chunks) > _MOST_VALUES:
        raise unusable(f"{metadata.num_rows:,} rows")
    own = (c for c in chunks if c.path_in_schema.partition(".")[0] in schema.names)
    if (unpacked := sum(max(c.total_uncompressed_size, 0) for c in own)) > _MOST_BYTES:
        raise unusable(f"{unpacked / 1e9:,.1f} GB, unpacked")


def _texts(file: pq.ParquetFile, names: list[str]) -> list[str]:
    """Paths of the columns, and of the members of lists, that hold texts."""
    columns = [file.schema.column(number) for number in range(len(file.schema))]
    return [
        c.path
        for c in columns
        if c.physical_type == "BYTE_ARRAY" and c.path.partition(".")[0] in names
    ]


def _require_sound(
    batch: pa.RecordBatch, schema: pa.Schema, unusable: Callable[[str], DatasetError]
) -> None:
    """No gap where a value is needed; no text that is longer than any name."""
    for column, field in zip(batch.columns, schema, strict=True):
        if column.null_count and not field.nullable:
            raise unusable(f"gaps in the column {field.name}")
        values = column.flatten() if pa.types.is_list(column.type) else column
        if pa.types.is_dictionary(values.type):
            longest = pc.max(pc.binary_length(values.dictionary)).as_py() or 0
            if longest > _LONGEST_TEXT:
                raise unusable(f"a text of {longest:,} bytes in the column {field.name}")
