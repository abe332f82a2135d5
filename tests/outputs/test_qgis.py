"""The outputs in a real QGIS: styles, names and legends without a click. Skips where it is absent
(Debian: ``apt-get install --no-install-recommends python3-qgis``)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from made_map import made_map, save_map
from made_pixel_map import made_pixel_map

from geolulc.analysis import compare_files
from geolulc.grid import TileGrid
from geolulc.maps.ranking import rank_classes
from geolulc.nomenclature import BEN19

# run by the system's Python, which has QGIS's bindings; prints what QGIS makes of each layer
LOOK = """
import json, sys
from qgis.core import (QgsApplication, QgsLayerTree, QgsLayerTreeModel, QgsMapRendererParallelJob,
                       QgsMapSettings, QgsRasterLayer, QgsVectorLayer)
from qgis.PyQt.QtCore import QSize, Qt
from qgis.PyQt.QtGui import QColor
app = QgsApplication([], False)
app.initQgis()
found = {}
for name, uri in json.loads(sys.argv[1]).items():
    raster = uri.endswith(".tif")
    layer = QgsRasterLayer(uri, name) if raster else QgsVectorLayer(uri, name, "ogr")
    message, styled = layer.loadDefaultStyle()
    seen = {"valid": layer.isValid(), "styled": styled, "crs": layer.crs().authid()}
    found[name] = seen
    if raster:
        seen["bands"] = [layer.bandName(i + 1) for i in range(layer.bandCount())]
        seen["renderer"] = layer.renderer().type()
        seen["drawn_bands"] = layer.renderer().usesBands()
    elif layer.isSpatial():
        seen["renderer"] = layer.renderer().type()
    else:
        seen["titles"] = [layer.attributeDisplayName(i) for i in range(layer.fields().count())]
        continue
    root = QgsLayerTree()
    model = QgsLayerTreeModel(root)
    nodes = model.layerLegendNodes(root.addLayer(layer))
    seen["legend"] = [str(n.data(Qt.DisplayRole)) for n in nodes]
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setOutputSize(QSize(60, 50))
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setBackgroundColor(QColor(0, 0, 0, 0))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    seen["colors"] = sorted({QColor(image.pixel(x, y)).name()
                             for x in range(60) for y in range(50)
                             if image.pixel(x, y) >> 24 == 255})
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def qgis(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    runtime = tmp_path_factory.mktemp("runtime")
    runtime.chmod(0o700)
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(runtime),
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(runtime),
        "QGIS_CUSTOM_CONFIG_PATH": str(runtime / "profile"),
    }
    try:
        subprocess.run(
            ["/usr/bin/python3", "-c", "import qgis.core"],
            check=True,
            capture_output=True,
            env=environment,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no QGIS: the system's Python has no qgis.core (package python3-qgis)")
    return environment


def look(environment: dict[str, str], layers: dict[str, str]) -> dict[str, Any]:
    run = subprocess.run(
        ["/usr/bin/python3", "-c", LOOK, json.dumps(layers)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=120,
    )
    return dict(json.loads(run.stdout.splitlines()[-1]))


def test_qgis_shows_maps_as_meant(qgis: dict[str, str], tmp_path: Path) -> None:
    made = made_map(nodata=0)
    paths = save_map(made, tmp_path / "map.tif")
    quantised = save_map(made, tmp_path / "small.tif", "probabilities", dtype="uint8")
    flat = save_map(made, tmp_path / "flat.tif", "vectors", vector_format="flatgeobuf")
    other = save_map(made_map(nodata=0, seed=1), tmp_path / "other.tif", "probabilities")
    change, _ = compare_files(
        paths["probabilities"], other["probabilities"], tmp_path / "change.tif"
    )
    rasters = ("probabilities", "classes", "presence", "uncertainty")
    layers = {name: str(paths[name]) for name in rasters} | {"class_raster": str(paths["classes"])}
    layers |= {
        layer: f"{paths['vectors']}|layername={layer}" for layer in ("classes", "cells", "summary")
    }
    layers |= {
        "quantised": str(quantised["probabilities"]),
        "change": str(change["change"]),
        "flat_classes": str(flat["vectors"]),
        "flat_cells": str(flat["vectors.cells"]),
    }
    found = look(qgis, layers)
    for name, seen in found.items():
        assert seen["valid"], name
        assert seen["styled"], name
        if name != "summary":
            assert seen["crs"] == "EPSG:32632"
    names = list(BEN19.names)
    codes = rank_classes(made.block.probabilities, 1).dominant(made.header)
    present = {c.color for c in BEN19.classes if c.code in codes}
    assert found["class_raster"]["renderer"] == "paletted"
    assert found["class_raster"]["legend"][-19:] == names
    assert set(found["class_raster"]["colors"]) == present
    for name in ("probabilities", "quantised"):
        assert found[name]["renderer"] == "singlebandpseudocolor"
        assert [b.split(": ", 1)[1] for b in found[name]["bands"]] == names
        band = found[name]["drawn_bands"][0]
        assert names[band - 1] in found[name]["legend"][0]
        assert found[name]["legend"][1:] == [f"{p} %" for p in range(0, 101, 10)]
        assert len(found[name]["colors"]) > 5
    # scale and nodata are applied: the small file looks like the large one
    assert found["quantised"]["drawn_bands"] == found["probabilities"]["drawn_bands"]
    assert found["presence"]["legend"][1:3] == ["0 classes", "1 class"]
    assert found["uncertainty"]["bands"][:2] == ["Band 1: Entropy", "Band 2: Margin"]
    assert found["change"]["legend"][-20:] == ["Unchanged", *(f"Now {n}" for n in names)]
    for name in ("classes", "flat_classes"):
        assert found[name]["renderer"] == "categorizedSymbol"
        assert found[name]["legend"] == names
    for name in ("cells", "flat_cells"):
        assert found[name]["legend"] == [*names, "No data"]
        assert present <= set(found[name]["colors"])
    assert "Area on the ground (ha)" in found["summary"]["titles"]


def test_qgis_shows_maps_of_pixels_as_meant(qgis: dict[str, str], tmp_path: Path) -> None:
    made = made_pixel_map(TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 2_400, 1_800))
    rasters = ("classes", "confidence", "top3", "probabilities")
    paths = save_map(made, tmp_path / "map.tif", *rasters, "vectors")
    layers = {name: str(paths[name]) for name in rasters}
    layers["polygons"] = f"{paths['vectors']}|layername=classes"
    found = look(qgis, layers)
    names = list(BEN19.names)
    for name, seen in found.items():
        assert (seen["valid"], seen["styled"], seen["crs"]) == (True, True, "EPSG:32632"), name
    for name in ("classes", "top3"):
        assert found[name]["renderer"] == "paletted"
        assert found[name]["legend"][-19:] == names
    codes = rank_classes(made.block.probabilities, 1).dominant(made.header)
    present = {c.color for c in BEN19.classes if c.code in codes}
    assert set(found["classes"]["colors"]) <= present
    for name in ("confidence", "probabilities"):
        assert found[name]["legend"][1:] == [f"{p} %" for p in range(0, 101, 10)]
    assert found["polygons"]["renderer"] == "categorizedSymbol"
    assert found["polygons"]["legend"] == names
