"""The worth of a map: probability samples, and accuracy and areas estimated from them.

Names are loaded when first used: the command line asks for few of them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
