"""Parameters that several algorithms have, and the arguments of the command that follow."""

from __future__ import annotations

import shlex
from pathlib import Path

from qgis.core import (
    QgsProcessingException,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

_NUMBER = QgsProcessingParameterNumber.Type
_OPTIONAL = QgsProcessingParameterDefinition.Flag.FlagOptional


def integer(name, title, default=None, *, least, most=None):
    """A whole number; without a ``default`` it may be left empty."""
    return _number(name, title, default, _NUMBER.Integer, least, most)


def decimal(name, title, default, *, least=None, most=None):
    """A number with decimals."""
    return _number(name, title, default, _NUMBER.Double, least, most)


def _number(name, title, default, kind, least, most):
    asked = QgsProcessingParameterNumber(name, title, kind, default, optional=default is None)
    if least is not None:
        asked.setMinimum(least)
    if most is not None:
        asked.setMaximum(most)
    return asked


def choice(name, title, choices, *, optional=False):
    """One of some texts, the first unless another is chosen."""
    return QgsProcessingParameterEnum(
        name,
        title,
        list(choices),
        defaultValue=next(iter(choices), None),
        optional=optional,
        usesStaticStrings=True,
    )


def scene(*, optional=False):
    """A Sentinel-2 product, with its help."""
    title = "Sentinel-2 scene (zip, or its MTD_MSIL2A.xml)"
    return (
        QgsProcessingParameterFile("SCENE", title, optional=optional),
        "The zip of a product, or the file MTD_MSIL2A.xml (MTD_MSIL1C.xml) in its .SAFE folder, "
        "or that folder's path.",
    )


def scene_of(path):
    """The product of a chosen file: of a product's metadata, its folder."""
    chosen = Path(path)
    return str(chosen.parent if chosen.suffix.lower() == ".xml" else chosen)


def class_list():
    """The nomenclature of a stranger's raster, with its help."""
    return (
        QgsProcessingParameterFile("CLASSES", "Class list (TOML) of a raster", optional=True),
        "Of a raster that geolulc did not make, if it has no names in it.",
    )


def more_options(name, command, example):
    """Anything else that the command takes, with its help."""
    title = f"More options of geolulc {command}"
    asked = QgsProcessingParameterString(name, title, optional=True)
    return asked, f"As on the command line: {example}"


def file_of(layer):
    """Path of a layer's file, without what QGIS adds to it."""
    path = layer.source().split("|")[0]
    if not Path(path).exists():
        raise QgsProcessingException(
            f"{layer.name()}: found a layer that is no file ({layer.providerType()}); expected a "
            "file that geolulc can read. Export the layer first."
        )
    return path


def layer_of(layer):
    """``--layer`` with a layer's name inside its file; nothing where the file has only one."""
    for part in layer.source().split("|")[1:]:
        if part.startswith("layername="):
            return ["--layer", part[len("layername=") :]]
    return []


def arguments_of(algorithm, options, parameters, context):
    """Arguments of the command: of each parameter that has a value, its option and the value.

    Args:
        algorithm: that asks for the parameters.
        options: parameter → option; "" where the value is arguments itself.
        parameters: values, as QGIS hands them to an algorithm.
        context: of the run.
    """
    found = []
    for name, option in options.items():
        asked = algorithm.parameterDefinition(name)
        value = _value(algorithm, asked, parameters, context)
        if value is True:
            found.append(option)
        elif value:
            found += [option, value] if option else shlex.split(value)
    return found


def _value(algorithm, asked, parameters, context):
    """The value of a parameter, as the command takes it; None where it is left empty."""
    name, kind = asked.name(), asked.type()
    if kind == "boolean":
        return algorithm.parameterAsBool(parameters, name, context)
    if kind == "number":
        if asked.flags() & _OPTIONAL and parameters.get(name) is None:
            return None
        whole = asked.dataType() == _NUMBER.Integer
        read = algorithm.parameterAsInt if whole else algorithm.parameterAsDouble
        return str(read(parameters, name, context))
    if kind == "enum":
        return algorithm.parameterAsEnumString(parameters, name, context)
    if kind == "crs":
        crs = algorithm.parameterAsCrs(parameters, name, context)
        return (crs.authid() or crs.toWkt()) if crs.isValid() else None
    return algorithm.parameterAsString(parameters, name, context)
