"""Runs the plugin as QGIS's desktop does, without a screen, and prints what is loaded as JSON.

    QT_QPA_PLATFORM=offscreen python3 plugin_in_qgis.py PLUGINS SCENE OUT

run by test_plugin_in_qgis with the system's Python. PLUGINS is the folder that the zip was
unpacked into; OUT gets the maps, and pictures of what a user sees.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

plugins, scene, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])

from qgis.core import QgsApplication, QgsProcessingFeedback, QgsProject  # noqa: E402
from qgis.gui import QgsLayerTreeMapCanvasBridge, QgsLayerTreeView, QgsMapCanvas  # noqa: E402
from qgis.PyQt.QtWidgets import QSplitter  # noqa: E402

application = QgsApplication([], True)
application.initQgis()
sys.path[:0] = [str(plugins), str(Path(QgsApplication.pkgDataPath()) / "python" / "plugins")]

import processing  # noqa: E402
from processing.core.Processing import Processing  # noqa: E402

Processing.initialize()

from geolulc_plugin import classFactory  # noqa: E402
from processing.gui.AlgorithmDialog import AlgorithmDialog  # noqa: E402
from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog  # noqa: E402
from qgis.core import (  # noqa: E402
    QgsLayerTreeModel,
    QgsProcessingContext,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterFile,
)

plugin = classFactory(None)
plugin.initProcessing()
registry = QgsApplication.processingRegistry()


def tree(node):
    """Names of groups with what they hold; of layers, their renderer."""
    return {
        child.name(): tree(child)
        if not hasattr(child, "layer")
        else type(child.layer().renderer()).__name__
        for child in node.children()
    }


def model_of_two():
    """A model as its designer makes it: a mosaic of maps, and points of its classes."""
    source = QgsProcessingModelChildParameterSource
    made = QgsProcessingModelAlgorithm("two", "two")
    asked = QgsProcessingModelParameter("scene")
    made.addModelParameter(QgsProcessingParameterFile("scene"), asked)
    first = QgsProcessingModelChildAlgorithm("geolulc:mosaic")
    first.setChildId("first")
    first.addParameterSources("MAPS", [source.fromStaticValue([str(out / "map.tif")])])
    second = QgsProcessingModelChildAlgorithm("geolulc:sample")
    second.setChildId("second")
    second.addParameterSources("MAP", [source.fromChildOutput("first", "CLASSES")])
    second.addParameterSources("SCENE", [source.fromModelParameter("scene")])
    for name, value in (("SIZE", 20), ("LEAST", 2)):
        second.addParameterSources(name, [source.fromStaticValue(value)])
    points = QgsProcessingModelOutput("points", "points")
    points.setChildId("second")
    points.setChildOutputName("OUTPUT")
    second.setModelOutputs({"points": points})
    made.addChildAlgorithm(first)
    made.addChildAlgorithm(second)
    return made


def run_batch(algorithm, rows):
    """Run an algorithm once a row of parameters and output, as the dialog of a batch does."""
    batch = BatchAlgorithmDialog(algorithm.create())
    panel = batch.mainWidget()
    panel.checkLoadLayersOnCompletion.setChecked(False)
    panel.addRow(len(rows) - panel.batchRowCount())
    for row, values in enumerate(rows):
        for name, value in values.items():
            column = panel.parameter_to_column[name]
            if wrapper := panel.wrappers[row][column]:
                wrapper.setParameterValue(value, QgsProcessingContext())
            else:
                panel.tblParameters.cellWidget(row + 1, column).setValue(value)
    batch.runAlgorithm()


processing.runAndLoadResults(
    "geolulc:mapcells", {"SCENE": scene, "STRIDE": 600, "OUTPUT": str(out / "map.tif")}
)
root = QgsProject.instance().layerTreeRoot()
found = {"tree": tree(root)}

ran = processing.run(model_of_two(), {"scene": scene, "second:points": str(out / "points.gpkg")})
found["model"] = {name: str(value) for name, value in ran.items()}

mapped = str(out / "map.tif")
compare = registry.algorithmById("geolulc:compare")
run_batch(
    compare,
    [{"BEFORE": mapped, "AFTER": mapped, "OUTPUT": str(out / f"change{i}.tif")} for i in "12"],
)


class Cancelled(QgsProcessingFeedback):
    """Cancels at the first progress."""

    def setProgressText(self, text):
        """Called with the command's progress."""
        self.cancel()


mapping = registry.algorithmById("geolulc:mapcells").create()
feedback = Cancelled()
feedback.progressChanged.connect(lambda _: feedback.cancel())
try:
    processing.run(
        "geolulc:mapcells",
        {"SCENE": scene, "STRIDE": 60, "OUTPUT": str(out / "cancelled.tif")},
        feedback=feedback,
    )
    found["cancelled"] = "no"
except Exception as error:
    found["cancelled"] = str(error)

view, canvas, window = QgsLayerTreeView(), QgsMapCanvas(), QSplitter()
model = QgsLayerTreeModel(root)
view.setModel(model)
bridge = QgsLayerTreeMapCanvasBridge(root, canvas)
window.addWidget(view)
window.addWidget(canvas)
window.setSizes([400, 800])
window.resize(1200, 760)
window.show()
for layer in root.findLayers():
    layer.setExpanded(True)
canvas.setDestinationCrs(root.findLayers()[0].layer().crs())
bridge.setCanvasLayers()
canvas.zoomToFullExtent()
canvas.waitWhileRendering()
application.processEvents()
window.grab().save(str(out / "loaded.png"))

dialog = AlgorithmDialog(mapping, False, None)
dialog.resize(960, 640)
dialog.show()
application.processEvents()
dialog.grab().save(str(out / "dialog.png"))
print(json.dumps(found))
