"""Sentinel-2 products: find, describe, check, and the radiometry of their numbers."""

from geolulc.products.decoding import Tiling, decode_tile, read_tiling
from geolulc.products.images import image_settings, open_image
from geolulc.products.listing import list_products
from geolulc.products.metadata import Metadata, read_metadata
from geolulc.products.product import (
    Product,
    describe_product,
    open_product,
    unpacked,
    verify_product,
)
from geolulc.products.truecolour import true_colour

__all__ = [
    "Metadata",
    "Product",
    "Tiling",
    "decode_tile",
    "describe_product",
    "image_settings",
    "list_products",
    "open_image",
    "open_product",
    "read_metadata",
    "read_tiling",
    "true_colour",
    "unpacked",
    "verify_product",
]
