"""Killed at any moment, ``map`` leaves nothing that looks complete, and a rerun puts it right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio
from made_product import make_product, random_bands

from geolulc.outputs import OutputOptions

# forks, so that torch and GDAL are loaded once and not eleven times; nothing runs in threads yet
RUN = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from made_product import Means, make_model
from geolulc.mapping import MapOptions, map_scenes
from geolulc.outputs import OutputOptions
import rasterio

torch.set_num_threads(1)
scene, folder = map(Path, sys.argv[1:])

class Slow(Means):
    def forward(self, *groups):
        time.sleep(0.02)
        return super().forward(*groups)

def start(out, overwrite=False):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        map_scenes([scene], out, [make_model(Slow())], MapOptions(stride=480, device="cpu",
                   mask_scl=(), threads=2, batch_size=8), output=OutputOptions(OUTPUTS),
                   overwrite=overwrite)
        code = 0
    finally:
        os._exit(code)

OUTPUTS = ("probabilities", "classes")
began = time.monotonic()
assert os.waitpid(start(folder / "undisturbed.tif"), 0)[1] == 0
duration = time.monotonic() - began
moments = random.Random(5)
for i in range(10):
    out = folder / f"killed{i}.tif"
    child = start(out)
    # spread over the run, with the end, where files are written, well covered
    time.sleep(duration * (i + moments.random()) / 10)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    there = sorted(p.name for p in folder.glob(f"killed{i}*"))
    print(i, "done" if os.WIFEXITED(status) else "killed", *there, flush=True)
    if out.exists() and os.WIFEXITED(status):
        continue
    # map.tif comes last: killed after it, the run was complete and a rerun must ask to replace it
    assert os.waitpid(start(out, overwrite=out.exists()), 0)[1] == 0, there
"""


PLAN = OutputOptions(("probabilities", "classes")).plan(Path("map.tif"), exclusive=False)
ENDINGS = [path.name.removeprefix("map") for path in PLAN.values()]


def test_sigkill_at_ten_moments(tmp_path):
    scene = make_product(tmp_path / "in", random_bands(3600, 3600))
    out = tmp_path / "out"
    out.mkdir()
    script = tmp_path / "run.py"
    script.write_text(RUN)
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "examples")]
    done = subprocess.run(
        [sys.executable, str(script), str(scene), str(out)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(paths), "OMP_NUM_THREADS": "1", "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 10
    killed = [line for line in lines if line[1] == "killed"]
    assert len(killed) >= 5
    for line in killed:
        # map.tif comes last: where it is, all is
        assert (
            not line[2:]
            or set(line[2:]) < {f"killed{line[0]}{end}" for end in ENDINGS}
            or (f"killed{line[0]}.tif" in line[2:])
        )
    with rasterio.open(out / "undisturbed.tif") as dataset:
        expected = dataset.read()
    for i in range(10):
        with rasterio.open(out / f"killed{i}.tif") as dataset:
            np.testing.assert_array_equal(dataset.read(), expected)
        for ending in ENDINGS:
            assert (out / f"killed{i}{ending}").is_file()
    assert not list(out.glob(".*")), "leftovers of killed runs"
