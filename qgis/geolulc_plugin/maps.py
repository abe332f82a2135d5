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
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorLayer,
    QgsProcessingUtils,
)

from .algorithm import POLYGONS, RASTER, Algorithm, file_of

_INTEGER = QgsProcessingParameterNumber.Type.Integer
_DOUBLE = QgsProcessingParameterNumber.Type.Double
#: Output → its title in the layers' panel, the first on top; those of a map that it has.
_LAYERS = {
    "vectors": "Classes as polygons",
    "classes": "Most probable class",
    "confidence": "Confidence",
}


def scene_of(path):
    """The product of a chosen file: of a product's metadata, its folder."""
    chosen = Path(path)
    return str(chosen.parent if chosen.suffix.lower() == ".xml" else chosen)


class _Mapping(Algorithm):
    """What all maps have: their files, and how they are loaded."""

    GROUP = "Maps"

    def ask_outputs(self):
        """Add the map, and the files that belong to it."""
        self.ask(
            QgsProcessingParameterBoolean("REPORT", "Write a report, a page to read", False),
            "A self-contained HTML page with the map, areas and warnings.",
        )
        self.ask(QgsProcessingParameterRasterDestination("OUTPUT", "Map"))
        self.addOutput(QgsProcessingOutputRasterLayer("CLASSES", "Most probable class"))
        self.addOutput(QgsProcessingOutputVectorLayer("VECTORS", "Classes as polygons"))
        self.addOutput(QgsProcessingOutputHtml("REPORT_PAGE", "Report"))

    def write(self, arguments, parameters, context, feedback):
        """Run the command with ``arguments``; returns the outputs of the algorithm."""
        out = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        command = [*arguments, "--out", out, "--overwrite", "--json", "--progress", "json"]
        if self.parameterAsBool(parameters, "REPORT", context):
            command.append("--report")
        found = self.execute(command, feedback)
        files = (found[0] if isinstance(found, list) else found)["files"]
        if "vectors" in files:
            files["vectors"] += "|layername=classes"
        if "probabilities" not in files:  # of pixels, the map has the classes
            files["classes"] = out
        more = [(files[k], title) for k, title in _LAYERS.items() if files.get(k, out) != out]
        title = "Most probable class" if files.get("classes") == out else "Probabilities"
        self.load(context, (out, title), more, f"geolulc {Path(out).stem}")
        made = {"OUTPUT": out, "CLASSES": files.get("classes"), "VECTORS": files.get("vectors")}
        return {**made, "REPORT_PAGE": files.get("report")}


class _SceneMapping(_Mapping):
    """What maps of scenes have: the scene, the model, the area, and how the network runs."""

    #: Of the models to choose from: "patch" or "pixel".
    TASK = ""

    def ask_scene(self):
        """Add the scene and the model."""
        self.ask(
            QgsProcessingParameterFile("SCENE", "Sentinel-2 scene (zip, or its MTD_MSIL2A.xml)"),
            "The zip of a product, or the file MTD_MSIL2A.xml (MTD_MSIL1C.xml) in its .SAFE "
            "folder, or that folder's path.",
        )
        names = [m["name"] for m in self._provider.models() if m["task"] == self.TASK]
        self.ask(
            QgsProcessingParameterEnum(
                "MODEL",
                "Model",
                names,
                defaultValue=names[0] if names else None,
                optional=True,
                usesStaticStrings=True,
            ),
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
            QgsProcessingParameterNumber(
                "MIN_CLEAR", "Least clear share", _DOUBLE, 0.5, minValue=0, maxValue=1
            ),
            "Less clear cells are nodata: clouds are not land.",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterNumber(
                "MIN_VALID", "Least share with data", _DOUBLE, 0.5, minValue=0, maxValue=1
            ),
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterBoolean("TTA", "Average over flips and turns", False),
            "Takes eight times as long.",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterString("DEVICE", "Device: auto, cpu, cuda or mps", "auto"),
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterString("MORE", "More options of geolulc map", optional=True),
            "As on the command line: --runtime onnx --threads 4",
            advanced=True,
        )

    def arguments(self, parameters, context, feedback):
        """``map`` with the scene, the model and the choices."""
        found = ["map", scene_of(self.parameterAsFile(parameters, "SCENE", context))]
        model = self.parameterAsFile(parameters, "MODEL_FILE", context)
        model = model or self.parameterAsEnumString(parameters, "MODEL", context)
        if model:
            found += ["--model", model]
        for option in ("MIN_CLEAR", "MIN_VALID"):
            value = self.parameterAsDouble(parameters, option, context)
            found += [f"--{option.lower().replace('_', '-')}", str(value)]
        found += ["--device", self.parameterAsString(parameters, "DEVICE", context) or "auto"]
        if self.parameterAsBool(parameters, "TTA", context):
            found.append("--tta")
        found += _area(self, parameters, context, feedback)
        return [*found, *self.parameterAsString(parameters, "MORE", context).split()]


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
            QgsProcessingParameterNumber(
                "STRIDE", "Side of a cell in metres", _INTEGER, 1200, minValue=60, maxValue=1200
            ),
            "A multiple of 60. Half the side takes four times as long.",
        )
        self.ask_choices()
        self.ask_outputs()

    def processAlgorithm(self, parameters, context, feedback):
        """Map."""
        arguments = self.arguments(parameters, context, feedback)
        arguments += ["--stride", self.parameterAsInt(parameters, "STRIDE", context)]
        return self.write(arguments, parameters, context, feedback)


class MapPixels(_SceneMapping):
    """``geolulc map --resolution``."""

    NAME = "mappixels"
    TITLE = "Map a scene: the class of every 10 m"
    TASK = "pixel"
    HELP = (
        "Gives each pixel of a Sentinel-2 scene one class of land cover. The model dynamicworld "
        "maps nine classes anywhere on land, from Level-1C products (Level-2A by an "
        "approximation). A model of pixels that you trained is given as a file."
    )
    _METRES = ("10", "20", "60")

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask_scene()
        self.ask(
            QgsProcessingParameterEnum(
                "RESOLUTION",
                "Side of a pixel in metres",
                list(self._METRES),
                defaultValue="10",
                usesStaticStrings=True,
            )
        )
        self.ask_choices()
        self.ask_outputs()

    def processAlgorithm(self, parameters, context, feedback):
        """Map."""
        arguments = self.arguments(parameters, context, feedback)
        side = self.parameterAsEnumString(parameters, "RESOLUTION", context)
        arguments += ["--resolution", side]
        return self.write(arguments, parameters, context, feedback)


class Mosaic(_Mapping):
    """``geolulc mosaic``."""

    NAME = "mosaic"
    TITLE = "Combine maps of many tiles and dates"
    HELP = (
        "One map of many maps of geolulc: all of cells, or all of pixels. Where they overlap, "
        "observations are combined."
    )
    _WAYS = ("mean", "median", "max", "latest")

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask(
            QgsProcessingParameterMultipleLayers("MAPS", "Maps", RASTER),
            "The map.tif of each; their other rasters are passed over.",
        )
        self.ask(
            QgsProcessingParameterEnum(
                "COMBINE",
                "Overlapping observations",
                list(self._WAYS),
                defaultValue="mean",
                usesStaticStrings=True,
            )
        )
        self.ask(
            QgsProcessingParameterCrs("CRS", "Coordinate reference system", optional=True),
            "Left empty: that of the maps, or EPSG:3035 in Europe.",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterNumber(
                "CELL_SIZE",
                "Side of a cell or pixel in metres",
                _INTEGER,
                optional=True,
                minValue=1,
            ),
            "Left empty: that of the maps.",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterBoolean("MIX_MODELS", "Mix maps of different models", False),
            advanced=True,
        )
        self.ask_outputs()

    def processAlgorithm(self, parameters, context, feedback):
        """Combine."""
        maps = [file_of(m) for m in self.parameterAsLayerList(parameters, "MAPS", context)]
        arguments = ["mosaic", *maps]
        arguments += ["--combine", self.parameterAsEnumString(parameters, "COMBINE", context)]
        crs = self.parameterAsCrs(parameters, "CRS", context)
        if crs.isValid():
            arguments += ["--crs", crs.authid() or crs.toWkt()]
        size = self.parameterAsInt(parameters, "CELL_SIZE", context)
        if size:
            arguments += ["--cell-size", size]
        if self.parameterAsBool(parameters, "MIX_MODELS", context):
            arguments.append("--allow-different-models")
        return self.write(arguments, parameters, context, feedback)
