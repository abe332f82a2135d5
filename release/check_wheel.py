"""Install a wheel into an environment of its own and use it: python release/check_wheel.py DIST

The wheel alone is unpacked; what it needs is borrowed from this Python, which would have to
download several gigabytes otherwise (--complete does). So this finds files that are missing in
the wheel: models, nomenclatures, templates, types.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def main(dist: Path, *, complete: bool) -> None:
    (wheel,) = dist.glob("geolulc-*.whl")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"

        def run(*command: str | Path) -> None:
            print("$", *command, flush=True)
            subprocess.run([*map(str, command)], check=True, cwd=folder)

        run(python, "-m", "pip", "install", "-q", *([] if complete else ["--no-deps"]), wheel)
        if not complete:
            pure = subprocess.check_output(
                [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
            )
            borrowed = Path(pure.strip()) / "borrowed.pth"
            borrowed.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        geolulc = folder / "venv" / "bin" / "geolulc"
        script = "import geolulc; assert 'venv' in geolulc.__file__, geolulc.__file__"
        run(python, "-c", script)
        run(geolulc, "--version")
        run(geolulc, "doctor")
        run(geolulc, "classes", "worldcover")
        run(python, REPOSITORY / "examples" / "make_scene.py", folder)
        (scene,) = folder.glob("*.SAFE")
        run(geolulc, "map", scene, "--out", folder / "map.tif", "--report", "-q")
        run(geolulc, "info", folder / "map.tif")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), complete="--complete" in sys.argv)
