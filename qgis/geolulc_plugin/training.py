"""The algorithm that trains a model on labels of one's own."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingParameterEnum,
    QgsProcessingParameterField,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorLayer,
    QgsWkbTypes,
)

from .algorithm import POINTS, POLYGONS, Algorithm, layer_of
from .maps import scene_of

_INTEGER = QgsProcessingParameterNumber.Type.Integer
_DOUBLE = QgsProcessingParameterNumber.Type.Double
_FILES = QgsProcessing.SourceType.TypeFile


class TrainOnLabels(Algorithm):
    """``geolulc label``, then ``geolulc train``."""

    NAME = "trainonlabels"
    TITLE = "Train a model on your labels"
    GROUP = "Training"
    HELP = (
        "Polygons or points with a class, and the scenes they lie in, become a model of pixels: "
        "the class of every 10 m. Pixels without a label are ignored, not background. A fifth of "
        "the ground is kept for testing and is not learned from. The model is "
        "model/model.safetensors in the folder: give it to “Map a scene: the class of every 10 m”."
    )
    _TASKS = ("pixel", "patch")

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask(
            QgsProcessingParameterMultipleLayers("SCENES", "Sentinel-2 scenes", _FILES),
            "Zips, or the file MTD_MSIL2A.xml in each .SAFE folder.",
        )
        labels = QgsProcessingParameterVectorLayer("LABELS", "Labels", [POLYGONS, POINTS])
        self.ask(labels, "Polygons or points, with a column of their class.")
        self.ask(QgsProcessingParameterField("FIELD", "Column of the class", "", "LABELS"))
        self.ask(
            QgsProcessingParameterNumber("BUFFER", "Grow labels by metres", _DOUBLE, 0.0),
            "Points label one pixel without. Below 0 polygons shrink: mixed edges stay out.",
        )
        self.ask(QgsProcessingParameterNumber("EPOCHS", "Epochs", _INTEGER, 30, minValue=1))
        self.ask(
            QgsProcessingParameterEnum(
                "TASK",
                "A model of pixels, or of patches",
                list(self._TASKS),
                defaultValue=self._TASKS[0],
                usesStaticStrings=True,
            ),
            "A model of patches says which classes occur in 1.2 km; label all of them there.",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterString("BACKBONE", "Architecture of timm", "resnet18"),
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterString("LABELLING", "More options of label", optional=True),
            "As on the command line: --split-by farm --least-places 3",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterString("TRAINING", "More options of train", optional=True),
            "As on the command line: --pretrained model.safetensors --seed 1",
            advanced=True,
        )
        self.ask(QgsProcessingParameterFolderDestination("OUTPUT", "Folder of labels and model"))
        self.addOutput(QgsProcessingOutputFile("MODEL", "Model"))

    def processAlgorithm(self, parameters, context, feedback):
        """Label, then train."""
        folder = Path(self.parameterAsString(parameters, "OUTPUT", context))
        folder.mkdir(parents=True, exist_ok=True)
        store, run = folder / "labels.store", folder / "model"
        scenes = [scene_of(s) for s in self.parameterAsFileList(parameters, "SCENES", context)]
        if not scenes:
            raise QgsProcessingException("Sentinel-2 scenes: found none; expected one or more.")
        layer = self.parameterAsVectorLayer(parameters, "LABELS", context)
        source = self.source(parameters, "LABELS", context)
        points = QgsWkbTypes.geometryDisplayString(layer.geometryType()) == "Point"
        label = ["label", *scenes, "--points" if points else "--polygons", source]
        label += ["--field", self.parameterAsString(parameters, "FIELD", context)]
        label += ["--buffer", self.parameterAsDouble(parameters, "BUFFER", context)]
        if layer_of(layer):
            label += ["--layer", layer_of(layer)]
        label += self.parameterAsString(parameters, "LABELLING", context).split()
        common = ["--overwrite", "--progress", "json"]
        self.execute([*label, "--out", store, *common], feedback)
        train = ["train", store, run]
        train += ["--task", self.parameterAsEnumString(parameters, "TASK", context)]
        train += ["--backbone", self.parameterAsString(parameters, "BACKBONE", context)]
        train += ["--epochs", self.parameterAsInt(parameters, "EPOCHS", context)]
        train += self.parameterAsString(parameters, "TRAINING", context).split()
        feedback.pushInfo(self.execute([*train, *common], feedback).strip())
        return {"OUTPUT": str(folder), "MODEL": str(run / "model.safetensors")}
