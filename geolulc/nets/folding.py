"""Batch norms folded into the convolutions before them: the same network with less to do."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(net: nn.Module) -> nn.Module:
    """``net`` (in evaluation mode) with batch norms folded in, in place, where that is possible.

    Only plain ``Conv2d`` → ``BatchNorm2d`` pairs of submodules that torch.fx can trace are
    folded: which convolution feeds a norm is read from the traced graph, never guessed from names.
    ``torch.fx.experimental.optimization.fuse`` does not serve: it gives a module of another class,
    without the methods and parts that shared trunks and evidence inside patches use.
    """
    for module in net.children():
        if any(isinstance(m, nn.BatchNorm2d) for m in module.modules()):
            try:
                traced = fx.symbolic_trace(module)
            except Exception:
                # not traceable as a whole (control flow on tensors): its parts may be
                fold_batch_norm(module)
                continue
            _fold_pairs(module, traced.graph)
    return net


def _fold_pairs(module: nn.Module, graph: fx.Graph) -> None:
    for node in graph.nodes:
        if node.op != "call_module" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        source = node.args[0]
        if source.op != "call_module" or len(source.users) > 1:
            continue
        norm, conv = (module.get_submodule(str(n.target)) for n in (node, source))
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats:
            _replace(module, str(source.target), fuse_conv_bn_eval(conv, norm))
            _replace(module, str(node.target), nn.Identity())


def _replace(module: nn.Module, path: str, child: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, child)
