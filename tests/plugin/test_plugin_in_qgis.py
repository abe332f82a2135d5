"""The plugin in a real QGIS, from the zip as users install it: qgis_process, and the desktop."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import geopandas
import pyogrio
import pytest
import shapely
from installed_qgis import QGIS, needs_qgis_in_python, qgis_environment, run_in_qgis
from make_scene import make_demo_scene
from make_zip import make_zip

import geolulc

REPOSITORY = Path(geolulc.__file__).resolve().parents[1]
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
        return {**qgis_environment(self.folder), "GEOLULC_PROGRAM": str(self.folder / "geolulc")}

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
def test_a_scene_is_mapped_and_summarised(profile: Profile) -> None:
    out = profile.folder / "map.tif"
    said = profile.run("mapcells", SCENE=profile.scene / "MTD_MSIL2A.xml", STRIDE=600, OUTPUT=out)
    assert f"CLASSES:\t{profile.folder / 'map_classes.tif'}" in said
    assert "...100 - done." in said
    assert "WARNING:\tThe model was trained on 50 patches only" in said
    zones = profile.folder / "zones.gpkg"
    area = f"{profile.folder / 'map.gpkg'}|layername=classes"
    profile.run("summarizezones", MAP=out, ZONES=area, OUTPUT=zones)
    assert geopandas.read_file(zones).filter(like="_ha").to_numpy().sum() > 0


@in_qgis
def test_pixels_are_mapped_sampled_and_assessed(profile: Profile) -> None:
    corner = shapely.box(600000, 5198800, 601200, 5200000)
    area = profile.folder / "area.gpkg"
    geopandas.GeoDataFrame(geometry=[corner], crs="EPSG:32632").to_file(area)
    out = profile.folder / "pixels.tif"
    said = profile.run("mappixels", SCENE=profile.scene, AREA=area, RESOLUTION=20, OUTPUT=out)
    assert f"CLASSES:\t{out}" in said
    points = profile.folder / "points.gpkg"
    scene = profile.scene / "MTD_MSIL2A.xml"
    profile.run("sample", MAP=out, SIZE=20, LEAST=2, SCENE=scene, OUTPUT=points)
    assert (profile.folder / "points_truecolour.tif").is_file()
    table = pyogrio.read_dataframe(points, layer="points")
    table["reference"] = table["map_class"]
    pyogrio.write_dataframe(table, profile.folder / "labelled.gpkg", layer="points")
    worth = profile.folder / "worth"
    said = profile.run("assess", MAP=out, REFERENCE=profile.folder / "labelled.gpkg", OUTPUT=worth)
    assert "overall accuracy 1.000" in said
    assert f"PAGE:\t{worth / 'accuracy.html'}" in said


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
@needs_qgis_in_python
def test_layers_come_in_one_group_with_their_styles(profile: Profile, tmp_path: Path) -> None:
    script = Path(__file__).with_name("plugin_in_qgis.py")
    arguments = (profile.plugins, profile.scene, tmp_path)
    found = run_in_qgis(script, *arguments, environment=profile.environment())
    assert found["tree"] == {
        "geolulc map": {
            "Classes as polygons": "QgsCategorizedSymbolRenderer",
            "Most probable class": "QgsPalettedRasterRenderer",
            "Probabilities": "QgsSingleBandPseudoColorRenderer",
        }
    }
    assert next(iter(found["tree"]["geolulc map"])) == "Classes as polygons"
    assert "points.gpkg" in found["model"]["second:points"]
    assert (tmp_path / "points_truecolour.tif").is_file()
    assert {path.name for path in tmp_path.glob("change?.tif")} == {"change1.tif", "change2.tif"}
    assert "stopped" in found["cancelled"]
    assert not list(tmp_path.glob("*cancelled*"))
    for picture in ("loaded.png", "dialog.png"):
        assert (tmp_path / picture).stat().st_size > 10_000
