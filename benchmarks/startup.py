"""How long ``geolulc --help`` takes, beside an empty Python and an import of torch.

    python benchmarks/startup.py [RUNS]

Prints the median wall time of each as a whole process, and ratios to the empty Python, from one
run: the three take turns, so that a machine that drifts drifts for all. Wanted: --help under 0.5 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import click": [sys.executable, "-c", "import click"],
    "geolulc --help": [sys.executable, "-m", "geolulc", "--help"],
    "geolulc map --help": [sys.executable, "-m", "geolulc", "map", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def main(runs: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(runs + 1):  # the first warms the page cache
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if run:
                seconds[name].append(time.perf_counter() - start)
    floor = statistics.median(seconds["python -c pass"])
    print(f"{'command':20} {'median s':>9} {'× empty Python':>15}   ({runs} runs)")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:20} {median:9.3f} {median / floor:15.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
