"""The algorithm that trains a model on labels of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingParameterField,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorLayer,
    QgsWkbTypes,
)

from .algorithm import POINTS, POLYGONS, Algorithm
from .parameters import choice, decimal, integer, layer_of, more_options, scene_of

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
            decimal("BUFFER", "Grow labels by metres", 0.0),
            "Points label one pixel without. Below 0 polygons shrink: mixed edges stay out.",
        )
        self.ask(integer("EPOCHS", "Epochs", 30, least=1), option="--epochs")
        self.ask(
            choice("TASK", "A model of pixels, or of patches", ("pixel", "patch")),
            "A model of patches says which classes occur in 1.2 km; label all of them there.",
            option="--task",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterString("BACKBONE", "Architecture of timm", "resnet18"),
            option="--backbone",
            advanced=True,
        )
        self.ask(
            *more_options("LABELLING", "label", "--split-by farm --least-places 3"), advanced=True
        )
        self.ask(
            *more_options("TRAINING", "train", "--pretrained model.safetensors --seed 1"),
            option="",
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
        label += layer_of(layer)
        label += shlex.split(self.parameterAsString(parameters, "LABELLING", context))
        self.execute([*label, "--out", store], feedback)
        train = ["train", store, run, *self.options(parameters, context)]
        feedback.pushInfo(self.execute(train, feedback, as_json=False).strip())
        return {"OUTPUT": str(folder), "MODEL": str(run / "model.safetensors")}
