from .features import read_features as read_features
from .making import label_scenes as label_scenes
from .options import LabelOptions as LabelOptions
from .reference import open_reference as open_reference
