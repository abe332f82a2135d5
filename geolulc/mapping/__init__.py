"""Scenes → land-cover maps."""

from geolulc.mapping.mapper import Mapper
from geolulc.mapping.options import MapOptions
from geolulc.mapping.pixel_run import PixelRun
from geolulc.mapping.scene import predict_scene
from geolulc.mapping.scene_run import SceneRun
from geolulc.mapping.scenes import SceneResult, map_scenes

__all__ = [
    "MapOptions",
    "Mapper",
    "PixelRun",
    "SceneResult",
    "SceneRun",
    "map_scenes",
    "predict_scene",
]
