"""Scenes of Sentinel-2: find, describe, check, read, and the radiometry of their numbers."""

from geolulc.products.array_scene import ArrayScene, array_scene
from geolulc.products.decoding import Jp2Image
from geolulc.products.directions import Direction
from geolulc.products.doors import DOORS, Door, describe_scene, find_door, open_scene
from geolulc.products.images import image_settings, open_image, unplaced_images
from geolulc.products.listing import list_products
from geolulc.products.metadata import Metadata, read_metadata
from geolulc.products.product import Product, describe_product, open_product, verify_product
from geolulc.products.scene import (
    CLASSIFICATION,
    TRUE_COLOUR,
    Image,
    Scene,
    Tiling,
    patches_of,
    require_images,
)
from geolulc.products.truecolour import true_colour
from geolulc.remote.files import remote_url

__all__ = [
    "CLASSIFICATION",
    "DOORS",
    "TRUE_COLOUR",
    "ArrayScene",
    "Direction",
    "Door",
    "Image",
    "Jp2Image",
    "Metadata",
    "Product",
    "Scene",
    "Tiling",
    "array_scene",
    "describe_product",
    "describe_scene",
    "find_door",
    "image_settings",
    "list_products",
    "open_image",
    "open_product",
    "open_scene",
    "patches_of",
    "read_metadata",
    "remote_url",
    "require_images",
    "true_colour",
    "unplaced_images",
    "verify_product",
]
