from .compare import compare_files
from .description import describe_map, read_cautions
from .map_file import MapFile, open_main, open_map, read_map, sibling
from .zones import summarize_map, summarize_zones

__all__ = [
    "MapFile",
    "compare_files",
    "describe_map",
    "open_main",
    "open_map",
    "read_cautions",
    "read_map",
    "sibling",
    "summarize_map",
    "summarize_zones",
]
