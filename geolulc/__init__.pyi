from .errors import GeolulcError as GeolulcError
from .mapping.arrays import (
    predict_pixels as predict_pixels,
)
from .mapping.arrays import (
    predict_scene as predict_scene,
)
from .products import array_scene as array_scene
from .products import open_product as open_product
from .products import open_scene as open_scene

__version__: str
