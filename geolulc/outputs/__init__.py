"""Files that people open: a map's rasters, vectors and pictures.

Names are loaded when first used: the command line asks for the options alone.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
