"""A picture of what QGIS shows of a map: run by the system's Python, which has QGIS's bindings.

    QT_QPA_PLATFORM=offscreen /usr/bin/python3 examples/qgis_picture.py OUT.png LAYER…

LAYER is a raster, a vector file, or "file.gpkg|layername=classes"; the first lies on top. No
style is set here: colours, names and legend are those that the files bring.
"""

from __future__ import annotations

import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsLayoutExporter,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsLayoutItemScaleBar,
    QgsLayoutSize,
    QgsLegendStyle,
    QgsPrintLayout,
    QgsProject,
    QgsRasterLayer,
    QgsUnitTypes,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QRectF
from qgis.PyQt.QtGui import QFont

#: Millimetres: side of the map, width of the legend, margin.
MAP, LEGEND, MARGIN = 150.0, 140.0, 4.0


def main(out: Path, uris: list[str]) -> None:
    application = QgsApplication([], False)
    application.initQgis()
    project = QgsProject.instance()
    for uri in reversed(uris):
        name = uri.split("layername=")[-1] if "|" in uri else Path(uri).stem
        raster = uri.endswith((".tif", ".jp2"))
        layer = QgsRasterLayer(uri, name) if raster else QgsVectorLayer(uri, name, "ogr")
        if not layer.isValid():
            sys.exit(f"QGIS cannot open {uri}")
        project.addMapLayer(layer)
    top = project.mapLayersByName(name)[0]
    project.setCrs(top.crs())
    layout = QgsPrintLayout(project)
    layout.initializeDefaults()
    size = QgsLayoutSize(MAP + LEGEND + 3 * MARGIN, MAP + 2 * MARGIN + 12)
    layout.pageCollection().page(0).setPageSize(size)
    picture = QgsLayoutItemMap(layout)
    picture.attemptSetSceneRect(QRectF(MARGIN, MARGIN, MAP, MAP))
    picture.setExtent(top.extent().buffered(top.extent().width() * 0.01))
    picture.setFrameEnabled(True)
    layout.addLayoutItem(picture)
    legend = QgsLayoutItemLegend(layout)
    legend.setLinkedMap(picture)
    legend.setLegendFilterByMapEnabled(True)
    font = QFont()
    font.setPointSizeF(8)
    legend.setStyleFont(QgsLegendStyle.SymbolLabel, font)
    legend.attemptSetSceneRect(QRectF(MAP + 2 * MARGIN, MARGIN, LEGEND, MAP))
    layout.addLayoutItem(legend)
    bar = QgsLayoutItemScaleBar(layout)
    bar.setStyle("Single Box")
    bar.setLinkedMap(picture)
    bar.applyDefaultSize(QgsUnitTypes.DistanceKilometers)
    bar.attemptSetSceneRect(QRectF(MARGIN, MAP + MARGIN, MAP, 14))
    layout.addLayoutItem(bar)
    settings = QgsLayoutExporter.ImageExportSettings()
    settings.dpi = 120
    settings.exportMetadata = False
    if QgsLayoutExporter(layout).exportToImage(str(out), settings) != QgsLayoutExporter.Success:
        sys.exit(f"QGIS cannot write {out}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
