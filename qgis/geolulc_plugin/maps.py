"""Algorithms that write maps: of cells, of pixels, and mosaics."""

from __future__ import annotations

import tempfile
from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingException,
    QgsProcessingOutputHtml,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorLayer,
    QgsProcessingUtils,
)

from .algorithm import POLYGONS, RASTER, Algorithm
from .parameters import choice, decimal, file_of, integer, more_options, scene, scene_of

#: Output → its title in the layers' panel, the first on top; those of a map that it has.
_LAYERS = {
    "vectors": "Classes as polygons",
    "classes": "Most probable class",
    "confidence": "Confidence",
}


class _Mapping(Algorithm):
    """What all maps have: their files, and how they are loaded."""

    GROUP = "Maps"

    def ask_outputs(self):
        """Add the map, and the files that belong to it."""
        self.ask(
            QgsProcessingParameterBoolean("REPORT", "Write a report, a page to read", False),
            "A self-contained HTML page with the map, areas and warnings.",
            option="--report",
        )
        self.ask(QgsProcessingParameterRasterDestination("OUTPUT", "Map"))
        self.addOutput(QgsProcessingOutputRasterLayer("CLASSES", "Most probable class"))
        self.addOutput(QgsProcessingOutputVectorLayer("VECTORS", "Classes as polygons"))
        self.addOutput(QgsProcessingOutputHtml("REPORT_PAGE", "Report"))

    def write(self, arguments, parameters, context, feedback):
        """Run the command with ``arguments``; returns the outputs of the algorithm."""
        out = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        arguments += [*self.options(parameters, context), "--out", out]
        found = self.execute(arguments, feedback)
        files = (found[0] if isinstance(found, list) else found)["files"]
        if "vectors" in files:
            files["vectors"] += "|layername=classes"
        if "probabilities" not in files:  # of pixels, the map has the classes
            files["classes"] = out
        layers = [(files[k], title) for k, title in _LAYERS.items() if files.get(k, out) != out]
        title = "Most probable class" if files.get("classes") == out else "Probabilities"
        self.load(context, out, [*layers, (out, title)])
        made = {"OUTPUT": out, "CLASSES": files.get("classes"), "VECTORS": files.get("vectors")}
        return {**made, "REPORT_PAGE": files.get("report")}


class _SceneMapping(_Mapping):
    """What maps of scenes have: the scene, the model, the area, and how the network runs."""

    #: Of the models to choose from: "patch" or "pixel".
    TASK = ""

    def ask_scene(self):
        """Add the scene and the model."""
        self.ask(*scene())
        names = [m["name"] for m in self._provider.models() if m["task"] == self.TASK]
        self.ask(
            choice("MODEL", "Model", names, optional=True),
            "Those that “geolulc models” lists. Published ones are downloaded when first used.",
        )
        self.ask(
            QgsProcessingParameterFile("MODEL_FILE", "Or a model of yours", optional=True),
            "A .safetensors, used in place of the model above.",
        )

    def ask_choices(self):
        """Add the area, and what few people change."""
        self.ask(
            QgsProcessingParameterExtent("EXTENT", "Only this extent", optional=True),
            "Whole cells that touch it are mapped.",
        )
        self.ask(
            QgsProcessingParameterVectorLayer(
                "AREA", "Only what these polygons touch", [POLYGONS], optional=True
            )
        )
        self.ask(
            decimal("MIN_CLEAR", "Least clear share", 0.5, least=0, most=1),
            "Less clear cells are nodata: clouds are not land.",
            option="--min-clear",
            advanced=True,
        )
        self.ask(
            decimal("MIN_VALID", "Least share with data", 0.5, least=0, most=1),
            option="--min-valid",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterBoolean("TTA", "Average over flips and turns", False),
            "Takes eight times as long.",
            option="--tta",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterString("DEVICE", "Device: auto, cpu, cuda or mps", "auto"),
            option="--device",
            advanced=True,
        )
        self.ask(
            *more_options("MORE", "map", "--runtime onnx --threads 4"), option="", advanced=True
        )

    def processAlgorithm(self, parameters, context, feedback):
        """Map."""
        arguments = ["map", scene_of(self.parameterAsFile(parameters, "SCENE", context))]
        model = self.parameterAsFile(parameters, "MODEL_FILE", context)
        model = model or self.parameterAsEnumString(parameters, "MODEL", context)
        if model:
            arguments += ["--model", model]
        arguments += _area(self, parameters, context, feedback)
        return self.write(arguments, parameters, context, feedback)


def _area(algorithm, parameters, context, feedback):
    """``--aoi`` of the polygons, or of the extent."""
    layer = algorithm.parameterAsVectorLayer(parameters, "AREA", context)
    box = algorithm.parameterAsExtent(
        parameters, "EXTENT", context, QgsCoordinateReferenceSystem("EPSG:4326")
    )
    if layer is not None and not box.isNull():
        raise QgsProcessingException("found an extent and polygons; expected one of them.")
    if layer is not None:
        # a file of its own: the command takes all layers of a file as the area
        folder = tempfile.mkdtemp(dir=QgsProcessingUtils.tempFolder())
        name = str(Path(folder) / "area")
        return ["--aoi", QgsProcessingUtils.convertToCompatibleFormat(
            layer, False, name, [], "gpkg", context, feedback
        )]  # fmt: skip
    if box.isNull() or box.isEmpty():
        return []
    corners = (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())
    return ["--aoi", ",".join(f"{corner:.8f}" for corner in corners)]


class MapCells(_SceneMapping):
    """``geolulc map --stride``."""

    NAME = "mapcells"
    TITLE = "Map a scene: which classes occur in each cell"
    TASK = "patch"
    HELP = (
        "Says of each cell of a Sentinel-2 scene how probable each class of land cover is in the "
        "1.2 km around it; several can be. Writes probabilities, the most probable class, "
        "polygons with areas, and a picture. The shipped model learned from 50 patches: it shows "
        "the tool, not the land."
    )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask_scene()
        self.ask(
            integer("STRIDE", "Side of a cell in metres", 1200, least=60, most=1200),
            "A multiple of 60. Half the side takes four times as long.",
            option="--stride",
        )
        self.ask_choices()
        self.ask_outputs()


class MapPixels(_SceneMapping):
    """``geolulc map --resolution``."""

    NAME = "mappixels"
    TITLE = "Map a scene: the class of every 10 m"
    TASK = "pixel"
    HELP = (
        "Gives each pixel of a Sentinel-2 scene one class of land cover. The model "
        "dynamicworld-student comes with geolulc and maps nine classes from Level-2A products; "
        "its teacher, dynamicworld, is better, and best from Level-1C. A model of pixels that you "
        "trained is given as a file."
    )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask_scene()
        sides = choice("RESOLUTION", "Side of a pixel in metres", ("10", "20", "60"))
        self.ask(sides, option="--resolution")
        self.ask_choices()
        self.ask_outputs()


class Mosaic(_Mapping):
    """``geolulc mosaic``."""

    NAME = "mosaic"
    TITLE = "Combine maps of many tiles and dates"
    HELP = (
        "One map of many maps of geolulc: all of cells, or all of pixels. Where they overlap, "
        "observations are combined."
    )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask(
            QgsProcessingParameterMultipleLayers("MAPS", "Maps", RASTER),
            "The map.tif of each; their other rasters are passed over.",
        )
        ways = ("mean", "median", "max", "latest")
        self.ask(choice("COMBINE", "Overlapping observations", ways), option="--combine")
        self.ask(
            QgsProcessingParameterCrs("CRS", "Coordinate reference system", optional=True),
            "Left empty: that of the maps, or EPSG:3035 in Europe.",
            option="--crs",
            advanced=True,
        )
        self.ask(
            integer("CELL_SIZE", "Side of a cell or pixel in metres", least=1),
            "Left empty: that of the maps.",
            option="--cell-size",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterBoolean("MIX_MODELS", "Mix maps of different models", False),
            option="--allow-different-models",
            advanced=True,
        )
        self.ask_outputs()

    def processAlgorithm(self, parameters, context, feedback):
        """Combine."""
        maps = [file_of(m) for m in self.parameterAsLayerList(parameters, "MAPS", context)]
        return self.write(["mosaic", *maps], parameters, context, feedback)
