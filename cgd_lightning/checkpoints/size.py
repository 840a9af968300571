"""How large a network may be that a file asks for, found out while it is built without memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from cgd_lightning.errors import InputError

MOST_PARAMETERS = 10**9
MOST_LAYERS = 5_000
"""Of a network that a file asks for, unless the user trusts any size.

ADM's largest has 554 million and about 1,500.
"""


@contextmanager
def at_most(parameters: int, layers: int, what: str) -> Iterator[None]:
    """Raises InputError once more is built in this block than so many numbers in so many layers.

    The message begins with `what`. Built on the meta device, where a tensor has no memory, a
    network of any size meets this first.
    """
    built = {"parameters": 0, "layers": 0}

    def count(kind: str, number: int, most: int) -> None:
        built[kind] += number
        if built[kind] > most:
            raise InputError(f"{what} of more than {most:,} {kind}")

    def parameter(module: nn.Module, name: str, value: Tensor | None) -> None:
        count("parameters", 0 if value is None else value.numel(), parameters)

    def layer(module: nn.Module, name: str, value: nn.Module | None) -> None:
        count("layers", 1, layers)

    hooks = [
        register_module_parameter_registration_hook(parameter),
        register_module_module_registration_hook(layer),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
