from .mapper import Mapper as Mapper
from .options import MapOptions as MapOptions
from .run import Run as Run
from .scene import predict_scene as predict_scene
from .scenes import SceneResult as SceneResult
from .scenes import map_scenes as map_scenes
