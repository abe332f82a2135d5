from .assessment import assess_map
from .report import interval

__all__ = ["assess_map", "interval"]
