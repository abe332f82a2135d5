"""The plugin as a zip that QGIS installs: python qgis/make_zip.py FOLDER"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = "geolulc_plugin"


def make_zip(folder: Path) -> Path:
    """Write geolulc_plugin.zip, licence included, into ``folder``; the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{NAME}.zip"
    files = [f for f in (HERE / NAME).iterdir() if f.suffix in (".py", ".svg", ".txt")]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in [*sorted(files), HERE / "LICENSE"]:
            entry = zipfile.ZipInfo(f"{NAME}/{file.name}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return out


if __name__ == "__main__":
    print(make_zip(Path(sys.argv[1])))  # noqa: T201
