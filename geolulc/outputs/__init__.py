"""Files that people open: a map's rasters, vectors and pictures, and what can be asked of them."""

from geolulc.outputs.description import describe_map
from geolulc.outputs.files import DEFAULT_OUTPUTS, plan_outputs
from geolulc.outputs.writing import write_map

__all__ = ["DEFAULT_OUTPUTS", "describe_map", "plan_outputs", "write_map"]
