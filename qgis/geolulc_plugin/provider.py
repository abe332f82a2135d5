"""The provider *geolulc* of Processing, its setting, and what it knows of the installed command."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsApplication, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import environment, program

ICON = str(Path(__file__).with_name("icon.svg"))
#: Setting of Processing: the path of the command.
SETTING = "GEOLULC_PROGRAM"


def own_folder() -> Path:
    """Where the plugin keeps its environment and what it remembers: in the user's profile."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "geolulc"


class Provider(QgsProcessingProvider):
    """The algorithms of geolulc."""

    #: The command, and its models; None before they are asked for.
    _models: tuple[str, list[dict]] | None = None

    def id(self):
        """In the names of algorithms: geolulc:mapcells."""
        return "geolulc"

    def name(self):
        """In the toolbox."""
        return "geolulc"

    def longName(self):
        """In lists of providers."""
        return "geolulc: land-cover maps of Sentinel-2 scenes"

    def icon(self):
        """In the toolbox."""
        return QIcon(ICON)

    def load(self):
        """Add the setting to Processing's options."""
        from processing.core.ProcessingConfig import ProcessingConfig, Setting

        ProcessingConfig.settingIcons[self.name()] = self.icon()
        text = "Program geolulc (empty: the plugin's own, or of the PATH)"
        ProcessingConfig.addSetting(Setting(self.name(), SETTING, text, ""))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self):
        """Take the setting away."""
        from processing.core.ProcessingConfig import ProcessingConfig

        ProcessingConfig.removeSetting(SETTING)

    def warningMessage(self):
        """In Processing's options, where there is no command."""
        return "" if self.command() else MISSING

    def supportedOutputRasterLayerExtensions(self):
        """Maps are GeoTIFFs."""
        return ["tif"]

    def supportedOutputVectorLayerExtensions(self):
        """GeoPackage first: it brings its styles."""
        return ["gpkg", "fgb", "parquet", "csv"]

    def supportsNonFileBasedOutput(self):
        """The command writes files."""
        return False

    def loadAlgorithms(self):
        """Add each algorithm, knowing the models of the command."""
        from .algorithms import ALGORITHMS

        for kind in ALGORITHMS:
            self.addAlgorithm(kind(self))

    def command(self) -> str | None:
        """Path of the command; None without one."""
        from processing.core.ProcessingConfig import ProcessingConfig

        setting = ProcessingConfig.getSetting(SETTING) or ""
        return program.find_program(setting, self.environment)

    @property
    def environment(self) -> Path:
        """Folder of the virtual environment that *Install or update geolulc* makes."""
        return own_folder() / "environment"

    def models(self) -> list[dict]:
        """Rows of ``geolulc models --json`` that scenes can be mapped with; asked for once."""
        command = self.command()
        if command is None:
            return []
        if self._models is None or self._models[0] != command:
            rows = environment.list_models(command, own_folder() / "models.json")
            self._models = command, [row for row in rows if row.get("task")]
        return self._models[1]


MISSING = (
    "geolulc is not installed. Run “Install or update geolulc” of the toolbox (or of the menu "
    "Plugins ▸ geolulc), or give the path of the program in Settings ▸ Options ▸ Processing ▸ "
    "Providers ▸ geolulc."
)
