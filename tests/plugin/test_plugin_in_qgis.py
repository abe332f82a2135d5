"""The plugin in a real QGIS, from the zip as users install it: qgis_process, and the desktop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import geopandas
import pytest
import shapely
from make_scene import make_demo_scene
from make_zip import make_zip

import geolulc

REPOSITORY = Path(geolulc.__file__).resolve().parents[1]
#: Debian's wrapper gives qgis_process an option that it does not know.
QGIS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
SYSTEM_PYTHON = "/usr/bin/python3"


def python_has_qgis() -> bool:
    if not Path(SYSTEM_PYTHON).exists():
        return False
    test = [SYSTEM_PYTHON, "-c", "import qgis.gui"]
    return subprocess.run(test, capture_output=True, check=False).returncode == 0


in_qgis = pytest.mark.skipif(QGIS is None, reason="no QGIS: qgis_process is not installed")


@dataclass(frozen=True)
class Profile:
    """A profile of QGIS with the plugin installed and enabled, and a scene to map."""

    folder: Path
    scene: Path

    @property
    def plugins(self) -> Path:
        return self.folder / "profiles" / "default" / "python" / "plugins"

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        return {
            **kept,
            "QT_QPA_PLATFORM": "offscreen",
            "XDG_RUNTIME_DIR": str(self.folder),
            "QGIS_CUSTOM_CONFIG_PATH": str(self.folder),
            "GEOLULC_PROGRAM": str(self.folder / "geolulc"),
        }

    def process(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(QGIS), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, algorithm: str, *, code: int = 0, **parameters: object) -> str:
        given = [f"{name}={value}" for name, value in parameters.items()]
        return self.process("run", f"geolulc:{algorithm}", "--", *given, code=code)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    folder = tmp_path_factory.mktemp("qgis")
    folder.chmod(0o700)
    program = folder / "geolulc"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m geolulc "$@"\n'
    )
    program.chmod(0o755)
    made = Profile(folder, make_demo_scene(folder, size=2520))
    made.plugins.mkdir(parents=True)
    with zipfile.ZipFile(make_zip(folder)) as archive:
        archive.extractall(made.plugins)
    made.process("plugins", "enable", "geolulc_plugin")
    return made


def test_the_zip_has_what_qgis_asks_for(tmp_path: Path) -> None:
    with zipfile.ZipFile(make_zip(tmp_path)) as archive:
        names = archive.namelist()
        metadata = archive.read("geolulc_plugin/metadata.txt").decode()
    assert {"geolulc_plugin/LICENSE", "geolulc_plugin/__init__.py"} < set(names)
    assert not [name for name in names if "cache" in name]
    assert f"\nversion={geolulc.__version__}\n" in metadata
    assert make_zip(tmp_path / "again").read_bytes() == make_zip(tmp_path).read_bytes()


@in_qgis
def test_a_scene_is_mapped_sampled_and_compared(profile: Profile) -> None:
    out = profile.folder / "map.tif"
    said = profile.run("mapcells", SCENE=profile.scene / "MTD_MSIL2A.xml", STRIDE=600, OUTPUT=out)
    assert f"CLASSES:\t{profile.folder / 'map_classes.tif'}" in said
    assert "...100 - done." in said
    assert "WARNING:\tThe model was trained on 50 patches only" in said
    profile.run("compare", BEFORE=out, AFTER=out, OUTPUT=profile.folder / "change.tif")
    profile.run("mosaic", MAPS=out, OUTPUT=profile.folder / "mosaic.tif")
    zones = profile.folder / "zones.gpkg"
    area = f"{profile.folder / 'map.gpkg'}|layername=classes"
    profile.run("summarizezones", MAP=out, ZONES=area, OUTPUT=zones)
    profile.run("mapcells", SCENE=profile.scene, AREA=area, OUTPUT=profile.folder / "area.tif")
    points = profile.folder / "points.gpkg"
    profile.run("sample", MAP=profile.folder / "map_classes.tif", SIZE=20, LEAST=2, OUTPUT=points)
    for path in ("change.tif", "mosaic.tif", "zones.gpkg", "area.tif", "points.gpkg"):
        assert (profile.folder / path).is_file()


@in_qgis
def test_a_model_is_trained_on_labels(profile: Profile) -> None:
    corners = [(600100 + 800 * i, 5199900 - 800 * j) for i in range(3) for j in range(3)]
    boxes = [shapely.box(x, y - 300, x + 300, y) for x, y in corners]
    crops = ["maize", "wheat"] * 4 + ["maize"]
    labels = geopandas.GeoDataFrame({"crop": crops}, geometry=boxes, crs="EPSG:32632")
    labels.to_file(profile.folder / "fields.gpkg", layer="fields")
    out = profile.folder / "trained"
    said = profile.run(
        "trainonlabels",
        SCENES=profile.scene / "MTD_MSIL2A.xml",
        LABELS=profile.folder / "fields.gpkg",
        FIELD="crop",
        EPOCHS=1,
        BACKBONE="resnet10t",
        LABELLING="--block-size 600 --folds 3",
        TRAINING="--batch-size 2 --seed 1",
        OUTPUT=out,
    )
    assert f"MODEL:\t{out / 'model' / 'model.safetensors'}" in said
    assert (out / "model" / "model.safetensors").is_file()


@in_qgis
def test_an_error_is_the_commands_line(profile: Profile) -> None:
    out = profile.folder / "bad.tif"
    said = profile.run("mapcells", SCENE=profile.scene, STRIDE=100, OUTPUT=out, code=1)
    assert "stride: found 100 m; expected a multiple of 60 m, up to 1200." in said
    assert "Traceback" not in said
    assert not out.exists()


@in_qgis
def test_status_and_help(profile: Profile) -> None:
    said = profile.run("status", OUTPUT=profile.folder / "status.html")
    assert "no problems found" in said
    assert "GDAL" not in said.split("PROBLEMS:")[1]
    assert "JP2OpenJPEG: yes" in (profile.folder / "status.html").read_text(encoding="utf-8")
    described = profile.process("help", "geolulc:mappixels")
    assert "dynamicworld" in described
    assert "BIFOLD" not in described


@in_qgis
@pytest.mark.skipif(not python_has_qgis(), reason="no QGIS: /usr/bin/python3 cannot import it")
def test_layers_come_in_one_group_with_their_styles(profile: Profile, tmp_path: Path) -> None:
    script = Path(__file__).with_name("plugin_in_qgis.py")
    done = subprocess.run(
        [SYSTEM_PYTHON, str(script), str(profile.plugins), str(profile.scene), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=profile.environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["tree"] == {
        "geolulc map": {
            "Classes as polygons": "QgsCategorizedSymbolRenderer",
            "Most probable class": "QgsPalettedRasterRenderer",
            "Probabilities": "QgsSingleBandPseudoColorRenderer",
        }
    }
    assert next(iter(found["tree"]["geolulc map"])) == "Classes as polygons"
    assert "points.gpkg" in found["model"]["second:points"]
    assert "stopped" in found["cancelled"]
    assert not list(tmp_path.glob("*cancelled*"))
    for picture in ("loaded.png", "dialog.png"):
        assert (tmp_path / picture).stat().st_size > 10_000
