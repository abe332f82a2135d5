"""Algorithms that read maps: areas by zone, changes, samples, accuracy."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsProcessingOutputFile,
    QgsProcessingOutputHtml,
    QgsProcessingParameterEnum,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from .algorithm import POINTS, POLYGONS, Algorithm, layer_of

_INTEGER = QgsProcessingParameterNumber.Type.Integer
_DOUBLE = QgsProcessingParameterNumber.Type.Double
#: Progress and results as a program reads them; what geolulc wrote may be replaced.
_COMMON = ("--overwrite", "--json", "--progress", "json")
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
        layer = layer_of(self.parameterAsVectorLayer(parameters, "ZONES", context))
        if layer:
            arguments += ["--layer", layer]
        self.execute([*arguments, *_COMMON], feedback)
        self.load(context, (out, "Zones with areas"), [], f"geolulc {Path(out).stem}")
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
        found = self.execute(["compare", *maps, "--out", out, *_COMMON], feedback)
        feedback.pushInfo(f"compared {found['compared_ha']:,.0f} ha")
        self.load(context, (out, "Changes"), [], f"geolulc {Path(out).stem}")
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
    _DESIGNS = ("stratified", "simple", "systematic", "cluster")
    _ALLOCATIONS = ("proportional", "equal", "neyman")

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask(QgsProcessingParameterRasterLayer("MAP", "Map"), _ANY_MAP)
        self.ask(
            QgsProcessingParameterNumber("SIZE", "Points", _INTEGER, optional=True, minValue=1),
            "Left empty: as many as the standard error needs.",
        )
        self.ask(
            QgsProcessingParameterNumber(
                "STANDARD_ERROR", "Standard error of overall accuracy", _DOUBLE, 0.02,
                minValue=0.001, maxValue=0.5,
            )
        )  # fmt: skip
        for name, title, choices in (
            ("DESIGN", "Design", self._DESIGNS),
            ("ALLOCATION", "Points to strata", self._ALLOCATIONS),
        ):
            self.ask(
                QgsProcessingParameterEnum(
                    name, title, list(choices), defaultValue=choices[0], usesStaticStrings=True
                ),
                advanced=True,
            )
        self.ask(
            QgsProcessingParameterNumber(
                "LEAST", "Least points of a stratum", _INTEGER, 20, minValue=2
            ),
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterNumber("SEED", "Seed", _INTEGER, 0, minValue=0),
            "The same seed draws the same points.",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterFile("CLASSES", "Class list (TOML) of a raster", optional=True),
            "Of a raster that geolulc did not make, if it has no names in it.",
            advanced=True,
        )
        self.ask(QgsProcessingParameterVectorDestination("OUTPUT", "Points to label", POINTS))

    def processAlgorithm(self, parameters, context, feedback):
        """Draw."""
        out = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        arguments = ["sample", self.source(parameters, "MAP", context), "--out", out]
        size = self.parameterAsInt(parameters, "SIZE", context)
        if size:
            arguments += ["--size", size]
        error = self.parameterAsDouble(parameters, "STANDARD_ERROR", context)
        arguments += ["--standard-error", error]
        for name in ("LEAST", "SEED"):
            arguments += [f"--{name.lower()}", self.parameterAsInt(parameters, name, context)]
        for name in ("DESIGN", "ALLOCATION"):
            value = self.parameterAsEnumString(parameters, name, context)
            arguments += [f"--{name.lower()}", value]
        classes = self.parameterAsFile(parameters, "CLASSES", context)
        arguments += ["--classes", classes] if classes else []
        found = self.execute([*arguments, *_COMMON], feedback)
        feedback.pushInfo(f"{found['points']} points")
        self.load(context, (out, "Points to label"), [], f"geolulc {Path(out).stem}")
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
                "FIELD", "Column of the true class", "reference", "REFERENCE"
            ),
            "Its name or code.",
        )
        self.ask(
            QgsProcessingParameterFile("CLASSES", "Class list (TOML) of a raster", optional=True),
            "Of a raster that geolulc did not make, if it has no names in it.",
            advanced=True,
        )
        self.ask(QgsProcessingParameterFolderDestination("OUTPUT", "Folder of the results"))
        self.addOutput(QgsProcessingOutputHtml("PAGE", "Accuracy and areas"))

    def processAlgorithm(self, parameters, context, feedback):
        """Assess."""
        out = self.parameterAsString(parameters, "OUTPUT", context)
        field = self.parameterAsString(parameters, "FIELD", context) or "reference"
        arguments = ["assess", self.source(parameters, "MAP", context), "--field", field]
        arguments += ["--reference", self.source(parameters, "REFERENCE", context), "--out", out]
        classes = self.parameterAsFile(parameters, "CLASSES", context)
        arguments += ["--classes", classes] if classes else []
        found = self.execute([*arguments, *_COMMON], feedback)
        overall = found["overall"]
        feedback.pushInfo(f"overall accuracy {overall['estimate']:.3f}")
        return {"OUTPUT": out, "PAGE": found["files"]["html"]}
