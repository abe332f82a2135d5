"""Opens sample points as a labeller does in QGIS, fills in all but the last, and says what it saw.

    QT_QPA_PLATFORM=offscreen python3 form_in_qgis.py POINTS OUT

run by test_points_in_qgis with the system's Python. POINTS is a GeoPackage of ``geolulc sample``;
OUT gets pictures of the window and of the form. The classes are given in turn, through the form.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

points, out = Path(sys.argv[1]), Path(sys.argv[2])

from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsLayerTreeModel,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.gui import (  # noqa: E402
    QgsAttributeForm,
    QgsGui,
    QgsLayerTreeMapCanvasBridge,
    QgsLayerTreeView,
    QgsMapCanvas,
)
from qgis.PyQt.QtWidgets import QComboBox, QLabel, QSplitter  # noqa: E402

application = QgsApplication([], True)
application.initQgis()
QgsGui.editorWidgetRegistry().initEditors()

colours = QgsRasterLayer(str(points.with_name(f"{points.stem}_truecolour.tif")), "true colour")
layers = {
    name: QgsVectorLayer(f"{points}|layername={name}", name) for name in ("outlines", "points")
}
QgsProject.instance().addMapLayers([*reversed(layers.values()), colours])
layer = layers["points"]


def legend(of) -> list[str]:
    return [item.label() for item in of.renderer().legendSymbolItems()]


names = [field.name() for field in layer.fields()]
widgets = {name: layer.editorWidgetSetup(i) for i, name in enumerate(names)}
found = {
    "widgets": {name: widget.type() for name, widget in widgets.items()},
    "listed": [name for entry in widgets["reference"].config().get("map", []) for name in entry],
    "titles": [layer.attributeDisplayName(i) for i in range(len(names))],
    "hidden_in_table": [c.name for c in layer.attributeTableConfig().columns() if c.hidden],
    "read_only": [n for i, n in enumerate(names) if layer.editFormConfig().readOnly(i)],
    "legends": {name: legend(of) for name, of in layers.items()},
    "true_colour": [colours.isValid(), colours.bandCount(), colours.crs() == layer.crs()],
}

layer.startEditing()
features = sorted(layer.getFeatures(), key=lambda feature: feature["point"])
form = QgsAttributeForm(layer, features[-1])
found["shown"] = [label.text() for label in form.findChildren(QLabel) if label.text()]

root = QgsProject.instance().layerTreeRoot()
view, canvas, window = QgsLayerTreeView(), QgsMapCanvas(), QSplitter()
model = QgsLayerTreeModel(root)
view.setModel(model)
bridge = QgsLayerTreeMapCanvasBridge(root, canvas)
for widget, width in ((view, 260), (canvas, 640), (form, 420)):
    window.addWidget(widget)
    widget.setMinimumWidth(width)
window.resize(1320, 640)
window.show()
for node in root.findLayers():
    node.setExpanded(True)
canvas.setDestinationCrs(layer.crs())
bridge.setCanvasLayers()
canvas.zoomToFullExtent()
canvas.waitWhileRendering()
application.processEvents()
window.grab().save(str(out / "form.png"))

choices = found["listed"][1:]
for turn, feature in enumerate(features[:-1]):
    form.setFeature(feature)
    box = next(b for b in form.findChildren(QComboBox) if b.findText(found["listed"][0]) >= 0)
    box.setCurrentText(choices[turn % len(choices)])
    form.save()
found["saved"] = layer.commitChanges()
print(json.dumps(found))
