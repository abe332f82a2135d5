"""A STAC Item of a model: the Machine Learning Model extension (MLM 1.4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pystac

from geolulc import __version__
from geolulc.bands import SENTINEL2
from geolulc.nomenclature import nomenclature_of
from geolulc.outputs.stac import class_objects, write_json
from geolulc.outputs.story import model_name, relative_href
from geolulc.staging import staged

EXTENSIONS: Final = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("mlm/v1.4.0", "classification/v2.0.0", "file/v2.1.0", "processing/v1.2.0")
)
#: A model is not of a moment: MLM's best practice for Items of models.
_START: Final = datetime(1900, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
#: Task → words for the land cover, for the logits, and MLM's name of the task.
_WORDS: Final = {
    "patch": (
        "Multi-label land cover",
        "One logit a class; several classes can be present in a patch",
        "classification",
    ),
    "fraction": (
        "Cover fractions of land cover",
        "One logit a class; their softmax is the share of the patch that each class covers",
        "regression",
    ),
    "pixel": (
        "Land cover of every pixel of {pixel_size} m",
        "One logit a class for every pixel of {pixel_size} m, which has one class",
        "semantic-segmentation",
    ),
}


def write_model_item(path: Path, model: Mapping[str, Any], folder: Path) -> None:
    """Write the Item of a model.

    Args:
        path: a new .json.
        model: the description by ``geolulc.nets.describe_model``.
        folder: the folder in which the Item will lie in the end: the checkpoint's href is
            relative to it.
    """
    name = model_name(model)
    item = pystac.Item(
        id=f"{name}-{str(model['sha256'])[:8]}",
        geometry=None,
        bbox=None,
        datetime=None,
        start_datetime=_START,
        end_datetime=_END,
        properties=_properties(name, model),
        stac_extensions=list(EXTENSIONS),
    )
    item.add_asset("model", _checkpoint(model, folder))
    write_json(path, item)


def save_model_item(model: Mapping[str, Any], out: Path, *, overwrite: int = 0) -> None:
    """``write_model_item`` into a new file ``out``, whole or not at all.

    Raises:
        OutputError: ``out`` exists (without ``overwrite``) or cannot be written.
    """
    with staged([Path(out)], overwrite=overwrite) as (temporary,):
        write_model_item(temporary, model, Path(out).parent)


def _properties(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    what = _WORDS[str(model.get("task", "patch"))][0].format(**model)
    properties: dict[str, Any] = {
        "title": str(model.get("name", name)),
        "description": f"{what} of {_seen(model)} patches of "
        f"{model['patch_size']} m, {model['fusion']} fusion of the native resolutions.",
        "mlm:name": name,
        "mlm:architecture": str(model["backbone"]),
        "mlm:tasks": _tasks(model),
        "mlm:framework": "PyTorch",
        "mlm:total_parameters": int(model["parameters"]),
        "mlm:accelerator": None,
        # MLM looks for the inputs' bands here, STAC allows them only if an asset has some too
        "bands": [
            {"name": band, "data_type": "uint16", "nodata": 0, "gsd": int(label.split()[0])}
            for label, bands in model["bands"].items()
            for band in bands
        ],
        "mlm:input": [_input(label, bands, model) for label, bands in model["bands"].items()],
        "mlm:output": [_output(model)],
        "mlm:hyperparameters": {"temperature": model["temperature"]}
        | {k: dict(model[k]) for k in ("thresholds", "slopes", "shifts") if k in model},
        "processing:software": {"geolulc": __version__},
    }
    training = dict(model.get("provenance", {}))
    if training:
        properties["mlm:hyperparameters"]["training"] = training
    return properties


def _input(resolution: str, bands: list[str], model: Mapping[str, Any]) -> dict[str, Any]:
    """One input of the network: its bands of one resolution ("10 m")."""
    side = int(model["patch_size"]) // int(resolution.split()[0])
    mean, std = model["normalisation"]["mean"], model["normalisation"]["std"]
    return {
        "name": f"bands of {resolution}",
        "description": "DN + BOA_ADD_OFFSET of the product, not below 0, then scaled by band; 0 "
        "where any band of the ground has no data (DN 0)",
        "bands": list(bands),
        "input": {
            "shape": [-1, len(bands), side, side],
            "dim_order": ["batch", "channel", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [
            {"type": "z-score", "mean": float(mean[b]), "stddev": float(std[b])} for b in bands
        ],
        "resize_type": None,
        "pre_processing_function": {
            "format": "python",
            "expression": "geolulc.nets:LandCoverNet.preprocess",
        },
    }


def _output(model: Mapping[str, Any]) -> dict[str, Any]:
    names = nomenclature_of(model["land_cover"])
    shape, dimensions = [-1, len(model["classes"])], ["batch", "class"]
    said = _WORDS[str(model.get("task", "patch"))][1].format(**model)
    if model.get("task") == "pixel":
        shape += [int(model["patch_size"]) // int(model["pixel_size"])] * 2
        dimensions += ["height", "width"]
    return {
        "name": "logits",
        "description": said,
        "tasks": _tasks(model),
        "result": {"shape": shape, "dim_order": dimensions, "data_type": "float32"},
        "classification:classes": [
            c.to_dict() for c in class_objects(tuple(names[c] for c in model["classes"]))
        ],
        "post_processing_function": {
            "format": "python",
            "expression": "geolulc.nets:Model.probabilities",
        },
    }


def _seen(model: Mapping[str, Any]) -> str:
    """What its patches are of: "Sentinel-2 L2A"."""
    if model["sensor"] != SENTINEL2.id:
        return str(model["sensor"])
    return f"Sentinel-2 {model['level']}"


def _tasks(model: Mapping[str, Any]) -> list[str]:
    return [_WORDS[str(model.get("task", "patch"))][2]]


def _checkpoint(model: Mapping[str, Any], folder: Path) -> pystac.Asset:
    return pystac.Asset(
        relative_href(Path(str(model["path"])), folder),
        title="Weights with everything that rebuilds the network",
        media_type="application/octet-stream; framework=safetensors",
        roles=["mlm:model", "mlm:weights", "mlm:checkpoint"],
        extra_fields={
            "mlm:artifact_type": "safetensors",
            "file:size": int(model["bytes"]),
            "file:checksum": "1220" + str(model["sha256"]),
            "bands": [{"name": band} for bands in model["bands"].values() for band in bands],
        },
    )
