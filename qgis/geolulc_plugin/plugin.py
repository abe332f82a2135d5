"""The plugin as QGIS loads it: the provider, and two entries of the menu."""

from __future__ import annotations

from qgis.core import QgsApplication
from qgis.PyQt.QtGui import QIcon

from .provider import ICON, Provider

try:  # Qt 6
    from qgis.PyQt.QtGui import QAction
except ImportError:
    from qgis.PyQt.QtWidgets import QAction

_MENU = "geolulc"


class Plugin:
    """Registers the provider of algorithms."""

    def __init__(self, iface):
        self._iface = iface
        self._provider = None
        self._actions = []

    def initProcessing(self):
        """Register the provider; all that qgis_process calls."""
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self):
        """Register the provider, and add the menu Plugins ▸ geolulc."""
        self.initProcessing()
        for name, title in (("install", "Install or update geolulc…"), ("status", "Status…")):
            action = QAction(QIcon(ICON), title, self._iface.mainWindow())
            action.triggered.connect(lambda _=False, name=name: self._open(name))
            self._iface.addPluginToMenu(_MENU, action)
            self._actions.append(action)

    def unload(self):
        """Take back what was added."""
        for action in self._actions:
            self._iface.removePluginMenu(_MENU, action)
        self._actions = []
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None

    def _open(self, name):
        import processing

        processing.execAlgorithmDialog(f"geolulc:{name}", {})
