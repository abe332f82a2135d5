from .model_item import save_model_item
from .options import OutputOptions
from .story import SceneStory, Story
from .writing import write_map

__all__ = ["OutputOptions", "SceneStory", "Story", "save_model_item", "write_map"]
