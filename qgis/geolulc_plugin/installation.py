"""Algorithms about the command itself: make its environment, and say what is wrong with it."""

from __future__ import annotations

import html
import shlex
from pathlib import Path

from qgis.core import (
    QgsProcessingOutputHtml,
    QgsProcessingOutputString,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterString,
)

from . import environment, program
from .algorithm import Algorithm, errors_of_qgis


class Install(Algorithm):
    """A virtual environment with geolulc in it."""

    NAME = "install"
    TITLE = "Install or update geolulc"
    GROUP = "Installation"
    NEEDS_COMMAND = False
    HELP = (
        "Makes an environment for geolulc, apart from QGIS's own Python, in the folder of your "
        "QGIS profile, and installs geolulc into it with pip. It downloads several gigabytes. "
        "Delete the folder “geolulc” there to take it away. Restart QGIS afterwards, so that the "
        "dialogs list the models."
    )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.ask(
            QgsProcessingParameterString("PACKAGE", "Wheel, folder with the source, or name"),
            "What pip installs. A path may have extras: /home/me/geolulc[hub].",
        )
        self.ask(
            QgsProcessingParameterFile("PYTHON", "Python 3.11 or newer", optional=True),
            "Left empty: the first one that is found.",
            advanced=True,
        )
        self.ask(
            QgsProcessingParameterString("OPTIONS", "More options of pip", optional=True),
            "Such as --extra-index-url, for a torch without CUDA that takes a tenth of the space.",
            advanced=True,
        )
        self.addOutput(QgsProcessingOutputString("PROGRAM", "Program"))

    def processAlgorithm(self, parameters, context, feedback):
        """Install."""
        with errors_of_qgis():
            made = environment.make(
                self._provider.environment,
                self.parameterAsString(parameters, "PACKAGE", context),
                shlex.split(self.parameterAsString(parameters, "OPTIONS", context)),
                self.parameterAsFile(parameters, "PYTHON", context),
                on_line=feedback.pushInfo,
                on_step=lambda done, total: feedback.setProgress(100 * done / total),
                is_stopped=feedback.isCanceled,
            )
        return {"PROGRAM": made}


class Status(Algorithm):
    """``geolulc doctor``."""

    NAME = "status"
    TITLE = "Status: is everything in order?"
    GROUP = "Installation"
    HELP = (
        "Versions, drivers, devices, memory, models, and what is wrong with them. Add the text to "
        "a report of a bug."
    )

    def initAlgorithm(self, configuration=None):
        """Outputs."""
        self.ask(QgsProcessingParameterFileDestination("OUTPUT", "Status", "HTML (*.html)"))
        self.addOutput(QgsProcessingOutputHtml("PAGE", "Status"))
        self.addOutput(QgsProcessingOutputString("PROBLEMS", "Problems"))

    def processAlgorithm(self, parameters, context, feedback):
        """Look."""
        command = self._provider.command()
        feedback.pushInfo(f"program: {command}")
        with errors_of_qgis():
            try:
                text = program.run([command, "doctor"], is_stopped=feedback.isCanceled)
            except program.Failed as error:
                text = error.out or str(error)
        feedback.pushInfo(text)
        out = self.parameterAsFileOutput(parameters, "OUTPUT", context)
        shown = html.escape(f"program: {command}\n{text}")
        page = f'<meta charset="utf-8"><pre>{shown}</pre>'
        Path(out).write_text(page, encoding="utf-8")
        problems = [line for line in text.splitlines() if line.startswith("problem: ")]
        for problem in problems:
            feedback.pushWarning(problem)
        return {"OUTPUT": out, "PAGE": out, "PROBLEMS": "\n".join(problems)}
