"""Loads the plugin with PyQt6, where enumerations have scopes: run by test_plugin_program.

QGIS for Qt 6 cannot be had here, so its classes are made up: an enumeration's members are found
in the enumeration alone, never in the class, which is what Qt 6 changes. Qt itself is real.
"""

from __future__ import annotations

import enum
import sys
import types
from pathlib import Path

from PyQt6 import QtCore, QtGui, QtWidgets

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "qgis"))


class _Scoped(type):
    """A class of QGIS: its capital attributes are enumerations with the members asked for."""

    def __getattr__(cls, name: str) -> object:
        if name in {"SourceType", "Flag", "Type", "Behavior"}:
            members = ["TypeRaster", "TypeVectorPolygon", "TypeVectorPoint", "TypeFile",
                       "FlagAdvanced", "FlagOptional", "Integer", "Double"]  # fmt: skip
            return enum.IntFlag(name, {member: 1 << i for i, member in enumerate(members)})
        raise AttributeError(f"{cls.__name__}.{name}: Qt 6 has it in its enumeration only")


class _Made(metaclass=_Scoped):
    def __init__(self, *arguments: object, **options: object) -> None:
        self.arguments = arguments

    def __getattr__(self, name: str) -> object:
        return (lambda: 0) if name == "flags" else lambda *a, **o: None


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _Scoped(name, (_Made,), {})
        setattr(self, name, made)
        return made


for name in ("qgis", "qgis.PyQt", "qgis.core", "qgis.gui"):
    sys.modules[name] = _Module(name)
for real in (QtCore, QtGui, QtWidgets):
    sys.modules[real.__name__.replace("PyQt6", "qgis.PyQt")] = real

application = QtWidgets.QApplication([])

from geolulc_plugin import classFactory  # noqa: E402
from geolulc_plugin.algorithms import ALGORITHMS  # noqa: E402
from geolulc_plugin.provider import ICON, Provider  # noqa: E402

classFactory(None)
Provider.models = lambda self: [{"name": "m", "task": "patch"}]
provider = Provider()
for kind in ALGORITHMS:
    algorithm = kind(provider).createInstance()
    algorithm.initAlgorithm()
    assert not algorithm.icon().isNull(), ICON
    print(algorithm.name(), algorithm.groupId(), algorithm.displayName())
