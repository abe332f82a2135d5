"""Networks: backbones opened up, the fusions, checkpoints."""

from __future__ import annotations

from geolulc.nets.building import build_net
from geolulc.nets.checkpoint import load_checkpoint, save_checkpoint
from geolulc.nets.config import NetConfig
from geolulc.nets.description import describe_model, describe_net
from geolulc.nets.model import Model
from geolulc.nets.network import LandCoverNet
from geolulc.nets.normalisation import Normalisation
from geolulc.nets.shipped import shipped_model

__all__ = [
    "LandCoverNet",
    "Model",
    "NetConfig",
    "Normalisation",
    "build_net",
    "describe_model",
    "describe_net",
    "load_checkpoint",
    "save_checkpoint",
    "shipped_model",
]
