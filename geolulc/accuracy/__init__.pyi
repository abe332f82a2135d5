from .assessment import assess_map
from .design import SampleOptions
from .report import interval
from .sampling import draw_sample

__all__ = ["SampleOptions", "assess_map", "draw_sample", "interval"]
