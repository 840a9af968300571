"""A step of guidance as a graph of torch's core operators, for any number of images.

`torch.export` cannot go through a gradient. So the step, with `torch.func.vjp` in it, is traced by
`make_fx`, with the sizes of the images fixed and their number a symbol; what comes out has no
gradient in it any more, and is exported. Operators of a backward pass that other runtimes lack are
written in terms of others on the way.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from cgd_lightning.errors import InputError, one_line
from cgd_lightning.exchange.guided_step import GuidedStep

ATEN = torch.ops.aten

BATCHED = ("x", "weights")
"""Inputs with an image a row; all others are numbers."""

IMAGES = 3
"""In the batch of the trace: any number but 1, which would be taken for a constant."""


def step_graph(step: GuidedStep) -> ExportedProgram:
    """The graph of `step`; its inputs and outputs in order, the number of images dynamic.

    Raises InputError for a network that cannot be traced, with what was in the way.
    """
    examples = _examples(step)
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    try:
        fakes = [_fake(mode, example) for example in examples]
        # The fused kernels of attention have no counterpart elsewhere. Python's dispatcher keeps
        # symbols where that of C++ would take them for the numbers of the example.
        attention = sdpa_kernel(SDPBackend.MATH)
        with torch.no_grad(), enable_python_dispatcher(), mode, attention, _FlatLinear():
            graph = make_fx(step, _decompositions(), _allow_non_fake_inputs=True)(*fakes)
        batch = Dim("batch")
        dynamic = [{0: batch} if name in BATCHED else None for name in step.inputs]
        _name_inputs(graph, step.inputs)
        _leave_out_idle(graph)
        return torch.export.export(
            graph, tuple(examples), dynamic_shapes=tuple(dynamic), strict=False
        )
    except InputError:
        raise
    except Exception as error:  # of any part of the compiler, which has no error of its own
        networks = " and ".join(
            type(model.network).__name__ for model in (step.denoiser, step.classifier)
        )
        raise InputError(f"{networks}: cannot be traced as one graph: {one_line(error)}") from error


class _FlatLinear(TorchFunctionMode):
    """A linear layer of (B, ..., C) as one of (B * ..., C), whose gradient keeps B a symbol."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is F.linear and args[0].ndim > 2:
            x, *weights = args
            flat = func(x.reshape(-1, x.shape[-1]), *weights, **(kwargs or {}))
            return flat.reshape(*x.shape[:-1], -1)
        return func(*args, **(kwargs or {}))


def _name_inputs(graph: GraphModule, names: Sequence[str]) -> None:
    """Call the arguments of the graph by `names`, in order."""
    places = [node for node in graph.graph.nodes if node.op == "placeholder"]
    for node, name in zip(places, names, strict=True):
        node.target = name
    graph.recompile()


def _leave_out_idle(graph: GraphModule) -> None:
    """Take out what nobody reads, and slices that leave everything."""
    for node in graph.graph.find_nodes(op="call_function", target=ATEN.slice.Tensor):
        source, _, *ends = node.args
        if ends == [0, sys.maxsize]:
            node.replace_all_uses_with(source)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _examples(step: GuidedStep) -> list[Tensor]:
    images = torch.zeros(IMAGES, *step.denoiser.image_shape)
    weights = torch.ones(IMAGES, len(step.classifier.class_names))
    by_name = {"x": images, "weights": weights}
    return [by_name.get(name, torch.tensor(0.5)) for name in step.inputs]


def _fake(mode: FakeTensorMode, example: Tensor) -> Tensor:
    sizes = [DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * (example.ndim - 1)][: example.ndim]
    return mode.from_tensor(example, symbolic_context=StatelessSymbolicContext(sizes))


def _decompositions() -> dict[Any, Callable[..., Any]]:
    """Operator -> the same in terms of others that ONNX has."""
    return {
        **core_aten_decompositions(),
        **get_decompositions(
            [
                ATEN._log_softmax_backward_data,
                ATEN._softmax_backward_data,
                ATEN.constant_pad_nd,
                ATEN.gelu_backward,
                ATEN.native_layer_norm_backward,
                ATEN.silu_backward,
                ATEN.threshold_backward,
                ATEN.upsample_nearest2d_backward,
            ]
        ),
        ATEN.avg_pool2d_backward.default: _avg_pool2d_backward,
        ATEN.convolution_backward.default: _convolution_backward,
        ATEN.empty_permuted.default: _empty_permuted,
        ATEN.native_group_norm.default: _native_group_norm,
        ATEN.native_group_norm_backward.default: _native_group_norm_backward,
        ATEN._safe_softmax.default: _softmax,
    }


def _convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    wanted: list[bool],
) -> Any:
    """The gradient by the input alone, which is the transposed convolution; weights are frozen."""
    if transposed:
        return NotImplemented
    # A stride may leave a border that no window reached.
    reached = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip(grad.shape[2:], stride, padding, dilation, weight.shape[2:])
    ]
    border = [size - part for size, part in zip(x.shape[2:], reached)]
    back = ATEN.convolution(grad, weight, None, stride, padding, dilation, True, border, groups)
    return back, None, None


def _avg_pool2d_backward(
    grad: Tensor,
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """Every pixel's share in the mean of its window, for windows side by side."""
    kernel = kernel * 2 if len(kernel) == 1 else kernel
    if (stride or kernel) != kernel or any(padding) or divisor_override is not None:
        return NotImplemented
    rows, columns = kernel
    height, width = x.shape[2:]
    # A window at the edge may have fewer pixels.
    tall = [min(rows, height - i * rows) for i in range(grad.shape[2])]
    wide = [min(columns, width - i * columns) for i in range(grad.shape[3])]
    count = grad.new_tensor(tall)[:, None] * grad.new_tensor(wide)
    share = (grad / count)[:, :, :, None, :, None].expand(-1, -1, -1, rows, -1, columns)
    return share.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]


def _empty_permuted(size: list[int], physical_layout: list[int], **options: Any) -> Tensor:
    """Zeros for what is going to be overwritten."""
    return torch.zeros(size, dtype=options.get("dtype"), device=options.get("device"))


def _native_group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    images: int,
    channels: int,
    pixels: int,
    groups: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised `x`, mean and 1 / deviation of its groups, (B, groups), in few operators."""
    grouped = x.reshape(x.shape[0], groups, -1)
    mean = grouped.mean(dim=2, keepdim=True)
    centred = grouped - mean
    scale = ((centred * centred).mean(dim=2, keepdim=True) + eps).rsqrt()
    result = (centred * scale).reshape(x.shape)
    if weight is not None:
        result = result * _per_channel(weight, x)
    if bias is not None:
        result = result + _per_channel(bias, x)
    return result, mean.flatten(1), scale.flatten(1)


def _native_group_norm_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    weight: Tensor | None,
    images: int,
    channels: int,
    pixels: int,
    groups: int,
    wanted: list[bool],
) -> Any:
    """The gradient by `x` alone, without what moves mean and deviation; weights are frozen."""
    if weight is not None:
        grad = grad * _per_channel(weight, x)
    grouped = grad.reshape(x.shape[0], groups, -1)
    scale = scale.unsqueeze(2)
    normal = (x.reshape(x.shape[0], groups, -1) - mean.unsqueeze(2)) * scale
    along = (grouped * normal).mean(dim=2, keepdim=True)
    back = (grouped - grouped.mean(dim=2, keepdim=True) - normal * along) * scale
    return back.reshape(x.shape), None, None


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    """`values` (C,), ready to multiply `x` (B, C, ...)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))


def _softmax(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """That of attention, in which nothing is masked: no row has -inf alone."""
    return ATEN._softmax(x, dim, False)
