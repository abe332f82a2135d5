"""What the algorithms share: parameters → arguments → the command → files, loaded in a group."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingParameterDefinition,
)
from qgis.PyQt.QtGui import QIcon

from . import program
from .parameters import arguments_of, file_of
from .provider import ICON, MISSING

#: Of QGIS 3 and 4, Qt 5 and 6: members by the name of their enumeration.
RASTER = QgsProcessing.SourceType.TypeRaster
POLYGONS = QgsProcessing.SourceType.TypeVectorPolygon
POINTS = QgsProcessing.SourceType.TypeVectorPoint
ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced


#: Where the place of a layer in its group is kept in the tree of layers.
_RANK = "geolulc/rank"


class Placing(QgsProcessingLayerPostProcessorInterface):
    """Gives a loaded layer the style of its file, and its place in the group of its run."""

    #: QGIS does not keep them.
    kept: list = []  # noqa: RUF012

    def __init__(self, project, group, rank):
        super().__init__()
        self._project, self._group, self._rank = project, group, rank
        Placing.kept.append(self)

    def postProcessLayer(self, layer, context, feedback):
        """Called by QGIS when the layer is loaded: from QGIS 3.32 on before it is in the tree."""
        Placing.kept.remove(self)
        layer.loadDefaultStyle()  # Processing loads layers without
        root = self._project.layerTreeRoot()
        node = root.findLayer(layer.id())
        if node is None:
            return
        group = root.findGroup(self._group) or root.insertGroup(0, self._group)
        node.setCustomProperty(_RANK, self._rank)
        lower = [c for c in group.children() if int(c.customProperty(_RANK, 0)) <= self._rank]
        group.insertChildNode(len(lower), node.clone())
        node.parent().removeChildNode(node)


@contextlib.contextmanager
def errors_of_qgis():
    """What the command's failing raises becomes the exception that QGIS shows."""
    try:
        yield
    except program.Stopped:
        raise QgsProcessingException("stopped") from None
    except program.Failed as error:
        raise QgsProcessingException(str(error)) from None


class Algorithm(QgsProcessingAlgorithm):
    """One command of geolulc. Subclasses say what is asked, and which arguments follow from it."""

    NAME = ""
    TITLE = ""
    GROUP = ""
    HELP = ""
    #: Whether the command has to be there.
    NEEDS_COMMAND = True

    def __init__(self, provider):
        super().__init__()
        self._provider = provider
        self._options = {}

    def createInstance(self):
        """Called by QGIS for each run."""
        return type(self)(self._provider)

    def name(self):
        """In geolulc:NAME."""
        return self.NAME

    def displayName(self):
        """In the toolbox."""
        return self.TITLE

    def group(self):
        """Heading in the toolbox."""
        return self.GROUP

    def groupId(self):
        """Of the heading."""
        return self.GROUP.lower().replace(" ", "_")

    def icon(self):
        """In the toolbox."""
        return QIcon(ICON)

    def shortHelpString(self):
        """Beside the dialog."""
        return self.HELP

    def canExecute(self):
        """Whether the command is there, and how to get it."""
        missing = self.NEEDS_COMMAND and self._provider.command() is None
        return (False, MISSING) if missing else (True, "")

    # to be used by subclasses

    def ask(self, parameter, text="", *, option=None, advanced=False):
        """Add a parameter, with its help, and the command's option that its value is for.

        An option "" is for a value that is arguments itself.
        """
        if option is not None:
            self._options[parameter.name()] = option
        if text:
            parameter.setHelp(text)
        if advanced:
            parameter.setFlags(parameter.flags() | ADVANCED)
        self.addParameter(parameter)

    def options(self, parameters, context):
        """Arguments that follow from the parameters with an option."""
        return arguments_of(self, self._options, parameters, context)

    def source(self, parameters, name, context):
        """File of a layer that the user chose; the command reads files."""
        layer = self.parameterAsLayer(parameters, name, context)
        if layer is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, name))
        return file_of(layer)

    def execute(self, arguments, feedback, *, as_json=True):
        """Run the command with ``arguments``; returns its result, or the text that it prints.

        What geolulc wrote may be replaced. ``QgsProcessingException`` with the command's own line
        where it fails, and where it was cancelled.
        """
        command = [self._provider.command(), *map(str, arguments), "--overwrite"]
        command += ["--progress", "json", *(["--json"] if as_json else [])]
        feedback.pushCommandInfo(" ".join(command))
        with errors_of_qgis():
            out = program.run(
                command,
                on_progress=lambda line: _show(line, feedback),
                on_line=lambda line: _tell(line, feedback),
                is_stopped=feedback.isCanceled,
            )
        return json.loads(out) if as_json else out

    def load(self, context, out, layers):
        """Load the files of a run in one group, where QGIS is to load ``out``.

        Args:
            context: of the run.
            out: path of the output that the user asked for.
            layers: (path, title), the first on top: of ``out``, and of files that belong to it; a
                path may name a layer.
        """
        if not context.willLoadLayerOnCompletion(out):
            return
        asked, group = context.layerToLoadOnCompletionDetails(out), f"geolulc {Path(out).stem}"
        for rank, (path, title) in enumerate(layers):
            name = asked.outputName if path == out else title
            details = QgsProcessingContext.LayerDetails(title, asked.project, name)
            details.forceName = True
            details.setPostProcessor(Placing(asked.project, group, rank))
            if hasattr(details, "groupName"):  # from QGIS 3.32 on
                details.groupName = group
                details.layerSortKey = -rank
            context.addLayerToLoadOnCompletion(path, details)


def _show(line, feedback):
    total = line.get("total") or 0
    if total:
        feedback.setProgress(100 * line["done"] / total)
    rate = line.get("rate")
    if rate:
        left = (total - line["done"]) / rate
        feedback.setProgressText(
            f"{line['stage']}: {line['done']} of {total} {line['unit']}, {left:.0f} s left"
        )


def _tell(line, feedback):
    if "caution: " in line:
        feedback.pushWarning(line.split("caution: ", 1)[1])
    else:
        feedback.pushInfo(line)
