"""What a model was trained on, as one value, and a network with it."""

from dataclasses import dataclass

from torch import nn

from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.errors import InputError


@dataclass(frozen=True)
class DataSpec:
    """The data that a model was trained on, and knows.

    shape: of one sample of the data, (C, H, W); empty if the model takes any. class_names: of its
    K classes, in the order of their labels. class_shares: how much of the training data each class
    made up, which is the prior that a classifier's p(y | x) holds; empty if nobody counted, which
    means equal shares. codec: between the data and x0. Sequences are kept as tuples.
    """

    shape: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    class_shares: tuple[float, ...] = ()
    codec: Codec = PIXELS

    def __post_init__(self) -> None:
        if isinstance(self.class_names, str):
            raise InputError(f"class_names {self.class_names!r}: wanted a list of names")
        for name in ("shape", "class_names", "class_shares"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def x0_shape(self) -> tuple[int, ...]:
        """The shape of x0, which the networks see; empty if the model takes any."""
        return self.codec.shape(self.shape) if self.shape else ()


ANY_DATA = DataSpec()


class Trained(nn.Module):
    """A network and the data it was trained on."""

    def __init__(self, network: nn.Module, data: DataSpec) -> None:
        super().__init__()
        self.network, self.data = network, data

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of x0, which the network sees."""
        return self.data.x0_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the K classes, in the order of their labels."""
        return self.data.class_names

    @property
    def class_shares(self) -> tuple[float, ...]:
        """How much of the training data each class made up; empty means equal shares."""
        return self.data.class_shares
