"""geolulc in QGIS: algorithms of Processing that run the installed command."""

# Copyright geolulc developers. GPL-2.0-or-later, see LICENSE.


def classFactory(iface):
    """The plugin; ``iface`` is None in qgis_process."""
    from .plugin import Plugin

    return Plugin(iface)
