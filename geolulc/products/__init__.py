"""Sentinel-2 L2A products: find, describe, check, and the radiometry of their numbers."""

from geolulc.products.images import image_settings, open_image
from geolulc.products.metadata import Metadata, read_metadata
from geolulc.products.product import Product, describe_product, open_product, unpacked
from geolulc.products.truecolour import true_colour

__all__ = [
    "Metadata",
    "Product",
    "describe_product",
    "image_settings",
    "open_image",
    "open_product",
    "read_metadata",
    "true_colour",
    "unpacked",
]
