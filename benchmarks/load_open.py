"""Opening a store of 600,000 patches: seconds and memory, in a fresh process.

    python benchmarks/load_open.py [--patches 600000] [--nomenclature ben19]

The store is synthetic: a true index and manifest over shard files without contents. Printed are
the time from the call of ``open_store`` to targets and splits at hand, the same with the imports,
and the memory of the process (peak RSS), of which Python and numpy alone take the part named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from geolulc.datasets import layout
from geolulc.datasets.index import SCHEMA, with_classes, write_index
from geolulc.datasets.layout import RECORDS_FILE, shard_name
from geolulc.datasets.legend import Legend
from geolulc.nomenclature import CLC43, convert_to_ben19, nomenclature

RECORD = 160_400
SHARD = 2048

OPEN = """
import json, sys, time
import numpy
def peak():  # of this process alone: getrusage would count the one that started it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
before = peak()
start = time.perf_counter()
from geolulc.datasets import open_store
imported = time.perf_counter()
store = open_store(sys.argv[1])
opened = time.perf_counter()
train = store.split("train")
share = float(store.target_bytes[train].mean())
selected = time.perf_counter()
print(json.dumps({"patches": len(store), "import_s": imported - start, "open_s": opened - imported,
    "split_s": selected - opened, "numpy_mb": before, "peak_mb": peak()}))
"""


def make_index(folder: Path, patches: int, nomenclature_id: str) -> None:
    """A store's index and manifest, with shard files that have a size and nothing in them."""
    rng = np.random.default_rng(0)
    number = np.arange(patches)
    first = rng.integers(0, 43, patches)
    second = (first + rng.integers(1, 43, patches)) % 43
    pairs = [[CLC43.names[a], CLC43.names[b]] for a in range(43) for b in range(43)]
    ben19 = [list(convert_to_ben19(pair)) for pair in pairs]
    of = (first * 43 + second).tolist()
    columns = {
        "key": [f"S2A_MSIL2A_20170613T101031_{i // 1000}_{i % 1000}" for i in range(patches)],
        "shard": number // SHARD,
        "offset": number % SHARD * RECORD,
        "size": np.full(patches, RECORD),
        "pixel_hash": rng.integers(0, 1 << 63, patches).astype(np.uint64),
        "dataset": ["bigearthnet-v1"] * patches,
        "classes": np.zeros(patches, np.uint64),
        "split": [("train", "val", "test")[i % 3] for i in range(patches)],
        "country": [("Finland", "Portugal", None)[i % 3] for i in range(patches)],
        "season": ["Summer"] * patches,
        "snow": [False] * patches,
        "cloud": [False] * patches,
        "date": ["2017-06-13T10:10:31"] * patches,
        "tile": ["33UUP"] * patches,
        "crs": ["EPSG:32633"] * patches,
        "left": np.full(patches, 3e5),
        "top": np.full(patches, 5e6),
        "v1_name": [None] * patches,
        "has_reference": [False] * patches,
        "labels": [pairs[i] for i in of],
        "ben19": [ben19[i] for i in of],
        "clc43": [pairs[i] for i in of],
    }
    table = pa.table([pa.array(columns[f.name]).cast(f.type) for f in SCHEMA], schema=SCHEMA)
    hot = Legend.of_corine(nomenclature_id).multi_hot(table.column(nomenclature_id))
    write_index(folder / layout.INDEX_FILE, with_classes(table, hot))
    shards = []
    for shard in range(-(-patches // SHARD)):
        records = min(SHARD, patches - shard * SHARD)
        file = folder / shard_name(shard) / RECORDS_FILE
        file.parent.mkdir()
        with file.open("wb") as stream:
            stream.truncate(records * RECORD)
        shards.append(
            {"name": shard_name(shard), "records": records, "bytes": records * RECORD, "md5": ""}
        )
    layout.write_manifest(
        folder,
        {
            "format": layout.FORMAT,
            "version": layout.FORMAT_VERSION,
            "nomenclature": nomenclature_id,
            "patches": {"total": patches},
            "classes": {"names": nomenclature(nomenclature_id).names},
            "shards": shards,
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=600_000)
    parser.add_argument("--nomenclature", default="ben19")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        make_index(Path(temporary), options.patches, options.nomenclature)
        size = (Path(temporary) / layout.INDEX_FILE).stat().st_size
        print(f"index of {options.patches:,} patches: {size / 1e6:.1f} MB")
        for run in range(3):
            out = subprocess.run(
                [sys.executable, "-c", OPEN, temporary], check=True, capture_output=True
            )
            result = json.loads(out.stdout)
            print(
                f"run {run}: open {result['open_s']:.2f} s, train split and its targets "
                f"{result['split_s']:.2f} s, imports {result['import_s']:.2f} s; "
                f"peak {result['peak_mb']:.0f} MB (numpy alone {result['numpy_mb']:.0f} MB)"
            )


if __name__ == "__main__":
    main()
