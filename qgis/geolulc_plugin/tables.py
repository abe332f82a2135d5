"""Algorithms that read maps: areas by zone, changes, samples, accuracy."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingOutputFile,
    QgsProcessingOutputHtml,
    QgsProcessingParameterField,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from .algorithm import POINTS, POLYGONS, Algorithm
from .parameters import choice, class_list, decimal, integer, layer_of, scene, scene_of

_ANY_MAP = "A map of geolulc, a change.tif of “Compare two maps”, or any raster of classes."


class SummarizeZones(Algorithm):
    """``geolulc summarize``."""

    NAME = "summarizezones"
    TITLE = "Areas of a map's classes by zone"
    GROUP = "Analysis"
    HELP = (
        "Hectares and mean probability of each class in each zone. Cells are split at the borders "
        "of zones by area. Hectares are counted on the map, whose errors they carry."
    )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask(QgsProcessingParameterRasterLayer("MAP", "Map"), "A map.tif of geolulc.")
        self.ask(QgsProcessingParameterVectorLayer("ZONES", "Zones", [POLYGONS]))
        self.ask(QgsProcessingParameterVectorDestination("OUTPUT", "Zones with areas"))

    def processAlgorithm(self, parameters, context, feedback):
        """Summarise."""
        out = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        arguments = ["summarize", self.source(parameters, "MAP", context)]
        arguments += ["--zones", self.source(parameters, "ZONES", context), "--out", out]
        arguments += layer_of(self.parameterAsVectorLayer(parameters, "ZONES", context))
        self.execute(arguments, feedback)
        self.load(context, out, [(out, "Zones with areas")])
        return {"OUTPUT": out}


class Compare(Algorithm):
    """``geolulc compare``."""

    NAME = "compare"
    TITLE = "Compare two maps"
    GROUP = "Analysis"
    HELP = (
        "What changed between two maps of one grid: two dates, or two models. Writes a raster of "
        "changes, and a table of hectares from class to class. Hectares are counted on the maps, "
        "whose errors they carry: estimate the area of change with “Draw a sample” and “Assess”."
    )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask(QgsProcessingParameterRasterLayer("BEFORE", "Map before"))
        self.ask(QgsProcessingParameterRasterLayer("AFTER", "Map after"))
        self.ask(QgsProcessingParameterRasterDestination("OUTPUT", "Changes"))
        self.addOutput(QgsProcessingOutputFile("MATRIX", "Hectares from class to class"))

    def processAlgorithm(self, parameters, context, feedback):
        """Compare."""
        out = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        maps = [self.source(parameters, name, context) for name in ("BEFORE", "AFTER")]
        found = self.execute(["compare", *maps, "--out", out], feedback)
        feedback.pushInfo(f"compared {found['compared_ha']:,.0f} ha")
        self.load(context, out, [(out, "Changes")])
        return {"OUTPUT": out, "MATRIX": found["files"]["matrix"]}


class Sample(Algorithm):
    """``geolulc sample``."""

    NAME = "sample"
    TITLE = "Draw a sample of points to label"
    GROUP = "Accuracy"
    HELP = (
        "A probability sample of a map. Edit the points: “reference” has a list of the classes; "
        "what the map says is hidden, so that it does not lead you. Then run “Assess”."
    )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask(QgsProcessingParameterRasterLayer("MAP", "Map"), _ANY_MAP)
        self.ask(
            integer("SIZE", "Points", least=1),
            "Left empty: as many as the standard error needs.",
            option="--size",
        )
        self.ask(
            decimal(
                "STANDARD_ERROR", "Standard error of overall accuracy", 0.02, least=0.001, most=0.5
            ),
            option="--standard-error",
        )
        picture, text = scene(optional=True)
        self.ask(picture, f"Its true colours lie beneath the points, to label them by. {text}")
        designs = ("stratified", "simple", "systematic", "cluster")
        self.ask(choice("DESIGN", "Design", designs), option="--design", advanced=True)
        rules = ("proportional", "equal", "neyman")
        self.ask(
            choice("ALLOCATION", "Points to strata", rules), option="--allocation", advanced=True
        )
        least = integer("LEAST", "Least points of a stratum", 20, least=2)
        self.ask(least, option="--least", advanced=True)
        self.ask(
            integer("SEED", "Seed", 0, least=0),
            "The same seed draws the same points.",
            option="--seed",
            advanced=True,
        )
        self.ask(*class_list(), option="--classes", advanced=True)
        self.ask(QgsProcessingParameterVectorDestination("OUTPUT", "Points to label", POINTS))

    def processAlgorithm(self, parameters, context, feedback):
        """Draw."""
        out = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        arguments = ["sample", self.source(parameters, "MAP", context), "--out", out]
        picture = self.parameterAsFile(parameters, "SCENE", context)
        arguments += ["--scene", scene_of(picture)] if picture else []
        arguments += self.options(parameters, context)
        found = self.execute(arguments, feedback)
        feedback.pushInfo(f"{found['points']} points")
        layers = [(out, "Points to label")]
        if out.lower().endswith(".gpkg"):
            layers.append((f"{out}|layername=outlines", "What a point stands for"))
        if "truecolour" in found["files"]:
            layers.append((found["files"]["truecolour"], "True colour"))
        self.load(context, out, layers)
        return {"OUTPUT": out}


class Assess(Algorithm):
    """``geolulc assess``."""

    NAME = "assess"
    TITLE = "Assess: accuracy and areas, with intervals"
    GROUP = "Accuracy"
    HELP = (
        "Overall, user's and producer's accuracy, and the area of each class, all with 95 % "
        "intervals, from labelled points. Points of “Draw a sample” bring their design along; "
        "others are taken as a sample stratified by the map's classes."
    )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask(QgsProcessingParameterRasterLayer("MAP", "Map"), _ANY_MAP)
        self.ask(QgsProcessingParameterVectorLayer("REFERENCE", "Labelled points", [POINTS]))
        self.ask(
            QgsProcessingParameterField(
                "FIELD", "Column of the true class", "reference", "REFERENCE", optional=True
            ),
            "Its name or code.",
            option="--field",
        )
        self.ask(*class_list(), option="--classes", advanced=True)
        self.ask(QgsProcessingParameterFolderDestination("OUTPUT", "Folder of the results"))
        self.addOutput(QgsProcessingOutputHtml("PAGE", "Accuracy and areas"))

    def processAlgorithm(self, parameters, context, feedback):
        """Assess."""
        out = self.parameterAsString(parameters, "OUTPUT", context)
        arguments = ["assess", self.source(parameters, "MAP", context), "--out", out]
        arguments += ["--reference", self.source(parameters, "REFERENCE", context)]
        arguments += self.options(parameters, context)
        found = self.execute(arguments, feedback)
        overall = found["overall"]
        feedback.pushInfo(f"overall accuracy {overall['estimate']:.3f}")
        return {"OUTPUT": out, "PAGE": found["files"]["html"]}
