"""ONNX Runtime instead of torch for convolutions on a CPU.

It takes 0.9 of torch's time for a ResNet18 and half of it for an EfficientNet-B0; OpenVINO on the
same graphs gave no more (``benchmarks/runtimes.py``).
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from geolulc.errors import ParameterError


class OnnxClassifier:
    """``classify`` of a network, run by ONNX Runtime on one thread of the caller.

    Args:
        net: a ``LandCoverNet`` on the CPU, in evaluation mode.

    Raises:
        ParameterError: onnxruntime or the exporter is not installed, or the network cannot be
            exported.
    """

    def __init__(self, net: Any) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise _missing("onnxruntime is not installed") from None
        settings = onnxruntime.SessionOptions()
        # mapping runs as many batches at once as there are threads
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        self._inputs = _inputs(net)
        self._session = onnxruntime.InferenceSession(
            export_graph(net), settings, providers=["CPUExecutionProvider"]
        )

    def classify(self, *groups: Tensor) -> Tensor:
        """Logits (N, classes) of normalised groups."""
        feed = {name: x.numpy() for name, x in zip(self._inputs, groups, strict=True)}
        return torch.from_numpy(self._session.run(None, feed)[0])


class _Classify(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, groups: tuple[Tensor, ...]) -> Tensor:
        logits: Tensor = self.net.classify(*groups)
        return logits


def _inputs(net: Any) -> list[str]:
    return [f"x{resolution}" for resolution in net.bands]


def export_graph(net: Any) -> bytes:
    """The ONNX graph of ``net.classify`` for any number of patches.

    Raises:
        ParameterError: the exporter is not installed, or the network cannot be exported.
    """
    example = tuple(torch.zeros(2, *shape) for shape in net.shapes)
    batch = torch.export.Dim("batch", min=1, max=4096)
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        # the exporter talks on stdout, which is for results
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Classify(net).eval(),
                (example,),
                input_names=_inputs(net),
                dynamic_shapes=(tuple({0: batch} for _ in example),),
                dynamo=True,
                verbose=False,
            )
        if program is None:
            raise _missing("no graph came of it")
        graph: bytes = program.model_proto.SerializeToString()
    except ImportError as error:
        raise _missing(f"{error.name} is not installed") from None
    except (RuntimeError, ValueError, TypeError) as error:
        raise _missing(f"the network cannot be exported ({type(error).__name__})") from error
    finally:
        quiet.setLevel(level)
    return graph


def _missing(found: str) -> ParameterError:
    return ParameterError(
        "runtime onnx",
        found=found,
        expected="a network that ONNX Runtime can run",
        remedy="pip install 'geolulc[onnx]', or use --runtime torch.",
    )
