"""Scenes → land-cover maps."""

from geolulc.mapping.mapper import Mapper
from geolulc.mapping.options import MapOptions
from geolulc.mapping.run import Run
from geolulc.mapping.scene import predict_scene
from geolulc.mapping.scenes import SceneResult, map_scenes

__all__ = ["MapOptions", "Mapper", "Run", "SceneResult", "map_scenes", "predict_scene"]
