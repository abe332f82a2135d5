"""Scenes → land-cover maps."""

from geolulc.mapping.scene import predict_scene

__all__ = ["predict_scene"]
