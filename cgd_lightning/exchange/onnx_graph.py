"""A graph of torch as one file of ONNX, and such a file as a function.

What a weight is called and where it was written in Python is left out. Weights that float16 holds
without loss may be stored so, and are read back as float32: the arithmetic stays the same.
"""

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from cgd_lightning.errors import InputError, one_line

OPSET = 18

MOST_BYTES = 2**31 - 2**24
"""Of one file: the format of ONNX counts its bytes in 31 bits."""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_installed() -> None:
    """Raises InputError unless the packages that write and run ONNX are there."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise InputError(
            f"{', '.join(missing)}: not installed, and files of ONNX are made and checked by "
            'them: pip install "cgd-lightning[onnx]"'
        )


def to_onnx(
    graph: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str], half: bool = False
) -> Any:
    """The `onnx.ModelProto` of a graph whose inputs and outputs are called so.

    half: weights are stored as float16 where that loses nothing. Raises InputError where an
    operator has no counterpart in ONNX, and for more weights than a file of ONNX holds.
    """
    check_installed()
    size = sum((2 if half else 4) * value.numel() for value in graph.state_dict.values())
    if size > MOST_BYTES:
        raise InputError(
            f"{size:,} bytes of weights: a file of ONNX holds {MOST_BYTES:,}; "
            "one of torch.export holds more"
        )
    try:
        with _quiet():
            program = torch.onnx.export(
                graph,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise InputError(f"cannot be written as ONNX: {_why(error)}") from error
    assert program is not None  # for what is given as a program
    return _tidied(program.model_proto, half)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of the exporter's own insides is said."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _why(error: BaseException) -> str:
    """The operator that ONNX lacks, or the first that the exporter says."""
    innermost = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    operator = re.search(r"OpOverload\(op='([\w.]+)'", str(innermost))
    if operator is not None:
        return f"it has no counterpart of the operator {operator[1]}"
    return one_line(innermost)


def _tidied(model: Any, half: bool) -> Any:
    """`model` without notes on its making."""
    from onnx import numpy_helper

    graph = model.graph
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    for value in (*graph.input, *graph.output):
        del value.metadata_props[:]
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = "batch"
    if half:
        casts = []
        for stored in graph.initializer:
            del stored.metadata_props[:]
            values = numpy_helper.to_array(stored)
            if values.dtype != np.float32 or not values.size > 1:
                continue
            with np.errstate(over="ignore"):
                narrow = values.astype(np.float16)
            if np.array_equal(narrow.astype(np.float32), values):
                casts.append(_stored_half(stored, narrow))
        nodes = [*casts, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
    return model


def _stored_half(stored: Any, narrow: np.ndarray) -> Any:
    """Put `narrow` in the place of the values of `stored`; the node that makes float32 of it."""
    from onnx import TensorProto, helper, numpy_helper

    name = stored.name
    stored.CopyFrom(numpy_helper.from_array(narrow, f"{name}.half"))
    return helper.make_node("Cast", [stored.name], [name], to=TensorProto.FLOAT)


def run_onnx(file: Path) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    """A function of tensors by the file `file`, computed by onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        arrays = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, arrays)]

    return run
