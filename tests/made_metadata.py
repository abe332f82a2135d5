"""Files like BigEarthNet v2's ``metadata.parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_metadata(file: Path, rows: Sequence[tuple[str, str, list[str], str]]) -> Path:
    """Write ``rows``, of which the file has a patch each.

    They are split, country, labels, and MGRS tile with column and row ("33UUP_26_57"; "": a name
    without them).
    """
    split, country, labels, places = map(list, zip(*rows, strict=True))
    names = [
        f"S2A_MSIL2A_20170613T101031_N9999_R022_T{place}" if place else f"patch_{i}"
        for i, place in enumerate(places)
    ]
    table = pa.table(
        {
            "patch_id": names,
            "labels": pa.array(labels, pa.list_(pa.string())),
            "split": split,
            "country": country,
            "s2v1_name": names,
            "contains_seasonal_snow": [False] * len(rows),
            "contains_cloud_or_shadow": [False] * len(rows),
        }
    )
    pq.write_table(table, file)
    return file
