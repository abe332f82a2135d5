"""Models as ONNX graphs: for any runtime, and for the QGIS plugin Deepness.

*Raw*: the bands of each resolution as they come from a product, uint16, and the offset of each
band; out come calibrated probabilities, of the patch or of its pixels. Radiometry, masks and
normalisation are in the graph.

*Deepness*: one image of the model's bands, in spectral order, as the plugin cuts it from an 8-bit
raster; out come the probabilities of its pixels: the plugin asks for a map. Those of a patch model
are the same for all.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from geolulc.errors import ParameterError, require_one_of
from geolulc.nets.checkpoint_settings import by_class
from geolulc.nets.config import FOREST
from geolulc.nets.model import Model
from geolulc.nets.network import LandCoverNet
from geolulc.staging import staged

#: Digital numbers to one step of the 8-bit raster of the Deepness form: 255 is DN 5100.
DN_PER_STEP: Final = 20
FORMS: Final = ("raw", "deepness")


class _Graph(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.net = model.net
        self.probabilities = model.probabilities


class RawGraph(_Graph):
    """Raw groups and offsets → probabilities."""

    def forward(self, groups: tuple[Tensor, ...], offsets: tuple[Tensor, ...]) -> Tensor:
        """(N, bands, pixels, pixels) uint16 and (bands,) int32 each → float32 (N, classes).

        Of a pixel model (N, classes, rows, columns) of a patch.
        """
        return self.probabilities(self.net(*groups, offsets=offsets))


class DeepnessGraph(_Graph):
    """(N, bands, rows, columns) in 0..1, bands in spectral order → (N, classes, rows, columns)."""

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities of each pixel of the tile."""
        dn = image * (255.0 * DN_PER_STEP)
        groups = []
        spectral = _spectral(self.net)
        for resolution, names in self.net.bands.items():
            group = dn[:, [spectral.index(name) for name in names]]
            factor = resolution // min(self.net.bands)
            if factor > 1:
                group = functional.avg_pool2d(group, factor)
            groups.append(group.round().to(torch.int32))
        probabilities = self.probabilities(self.net(*groups))
        if probabilities.ndim == 4:
            return probabilities
        side = self.net.shapes[0][-1]
        return probabilities[:, :, None, None].expand(-1, -1, side, side)


def export_onnx(
    model: Model, path: Path, *, form: str = "raw", overwrite: int = 0
) -> dict[str, Any]:
    """Write ``model`` as an ONNX graph of any batch size (opset 18).

    Args:
        model: any model of geolulc, published ones too.
        path: the file, one file whatever its size.
        form: "raw" or "deepness", see above.
        overwrite: replace an existing file.

    Returns:
        JSON-able: inputs, outputs and metadata of the graph.

    Raises:
        OutputError: it cannot be written there.
        ParameterError: no such form, a forest, or the packages for it are not installed.
    """
    require_one_of("ONNX form", form, FORMS)
    if model.net.config.backbone == FOREST:
        raise ParameterError(
            f"model {model.name}",
            found="a random forest",
            expected="a network, whose layers ONNX knows",
            remedy="Map with it: geolulc map --model.",
        )
    try:
        import onnx
        import onnxscript  # noqa: F401 – torch's exporter needs it
    except ImportError as error:
        raise ParameterError(
            "export to ONNX",
            found="no onnx and onnxscript in this environment",
            expected="the extra that exports models",
            remedy="pip install 'geolulc[onnx]'.",
        ) from error
    model.net.eval()
    with staged([path], overwrite=overwrite) as (partial,):
        _export(model, form, partial)
        # metadata goes in after: torch's exporter has no door for it
        graph = onnx.load(partial)
        onnx.checker.check_model(graph)
        metadata = _deepness_metadata(model) if form == "deepness" else _raw_metadata(model)
        for key, value in metadata.items():
            entry = graph.metadata_props.add()
            entry.key, entry.value = key, json.dumps(value, ensure_ascii=False)
        onnx.save(graph, partial)
    return {
        "form": form,
        "inputs": [i.name for i in graph.graph.input],
        "outputs": [o.name for o in graph.graph.output],
        "metadata": metadata,
    }


def _export(model: Model, form: str, path: Path) -> None:
    module: nn.Module
    arguments: tuple[Any, ...]
    batch = {0: torch.export.Dim("batch", min=1, max=4096)}
    if form == "raw":
        module = RawGraph(model).eval()
        patches = tuple(torch.ones(2, *shape).to(torch.uint16) for shape in model.net.shapes)
        offsets = tuple(torch.zeros(shape[0], dtype=torch.int32) for shape in model.net.shapes)
        arguments = (patches, offsets)
        names = [f"{kind}{r}" for kind in ("b", "offset") for r in model.net.bands]
        # patches come in batches, offsets are those of the bands
        shapes: Any = (tuple(batch for _ in patches), tuple({} for _ in offsets))
    else:
        module = DeepnessGraph(model).eval()
        side = model.net.shapes[0][-1]
        arguments = (torch.full((2, len(model.net.band_names), side, side), 0.5),)
        names, shapes = ["image"], (batch,)
    with _quiet():
        torch.onnx.export(
            module,
            arguments,
            path,
            input_names=names,
            output_names=["probabilities"],
            dynamic_shapes=shapes,
            opset_version=18,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter talks on stdout and through warnings about its own affairs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _spectral(net: LandCoverNet) -> list[str]:
    """The network's bands in spectral order."""
    return sorted(net.band_names, key=net.sensor.names.index)


def _raw_metadata(model: Model) -> dict[str, Any]:
    net = model.net
    return {
        "geolulc": model.name,
        "classes": list(net.classes),
        "nomenclature": net.nomenclature.id,
        "codes": [net.nomenclature[name].code for name in net.classes],
        "bands": {f"b{r}": list(names) for r, names in net.bands.items()},
        "thresholds": by_class(net.classes, model.thresholds),
        "patch_size": net.patch_size,
    }


def _deepness_metadata(model: Model) -> dict[str, Any]:
    """Keys that the plugin reads: "Adding metadata to ONNX model" in its documentation."""
    bands = ", ".join(_spectral(model.net))
    return {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(model.net.classes)),
        "resolution": 100.0 * min(model.net.bands),  # centimetres a pixel
        "tiles_size": model.net.shapes[0][-1],
        "tiles_overlap": 0,  # percent
        "seg_thresh": 0.5,
        "seg_small_segment": 0,
        "geolulc": f"{model.name}; bands {bands}, 8 bit, DN / {DN_PER_STEP}",
    }
