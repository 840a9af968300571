"""What torchvision and timm publish: their models, sets of weights, and what goes with them.

A registry makes nothing but what its library lists. The libraries are imported when a registry is
made, for not everyone has them, and they are slow to import.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import ClassVar

from torch import nn

from cgd_lightning.checkpoints.foreign import Recipe


class Registry(ABC):
    """The classifiers of a library. Raises ImportError if the library is not installed."""

    module: ClassVar[str]

    def __init__(self) -> None:
        self.library = import_module(self.module)

    @abstractmethod
    def models(self) -> Sequence[str]:
        """The names of all models that classify images."""

    @abstractmethod
    def weights(self, model: str) -> Sequence[str]:
        """The names of the trained weights of `model` that classify images."""

    @abstractmethod
    def trained(self, model: str, weights: str | None) -> tuple[nn.Module, Recipe]:
        """`model` with `weights`, how it wants its images, and what its classes are called.

        The library chooses the weights where none are given, and fetches them if they are not there
        yet.
        """

    @abstractmethod
    def untrained(self, model: str, num_classes: int | None) -> tuple[nn.Module, Recipe]:
        """`model` with random weights, of the library's own number of classes if none is given."""

    def kind(self, model: str) -> str | None:
        """What `model` is, which is not among `models`, if the library knows it."""
        return None


class Torchvision(Registry):
    """The models of torchvision.models itself: those below are for other tasks, or quantised.

    Weights that give features alone have no classes' names, and are left out.
    """

    module = "torchvision.models"

    def models(self) -> Sequence[str]:
        return self.library.list_models(module=self.library)

    def weights(self, model: str) -> Sequence[str]:
        sets = self.library.get_model_weights(model).__members__
        return [name for name, chosen in sets.items() if chosen.meta.get("categories")]

    def trained(self, model: str, weights: str | None) -> tuple[nn.Module, Recipe]:
        chosen = self.library.get_model_weights(model)[weights or "DEFAULT"]
        told = vars(chosen.transforms())
        mean, std = tuple(told["mean"]), tuple(told["std"])
        names = tuple(chosen.meta["categories"])
        recipe = Recipe(told["crop_size"][0], mean, std, class_names=names)
        return self.library.get_model(model, weights=chosen), recipe

    def untrained(self, model: str, num_classes: int | None) -> tuple[nn.Module, Recipe]:
        return self.library.get_model(model, weights=None, **_given(num_classes)), Recipe()

    def kind(self, model: str) -> str | None:
        if model not in self.library.list_models():
            return None
        return f"one of {self.library.get_model_builder(model).__module__}"


class Timm(Registry):
    """The models of timm. Weights that give features alone, of no classes, are left out."""

    module = "timm"

    def models(self) -> Sequence[str]:
        return self.library.list_models()

    def weights(self, model: str) -> Sequence[str]:
        names = self.library.list_models(model, pretrained=True)
        classify = [name for name in names if self.library.get_pretrained_cfg(name).num_classes]
        return [name.partition(".")[2] for name in classify]

    def trained(self, model: str, weights: str | None) -> tuple[nn.Module, Recipe]:
        network = self.library.create_model(
            model if weights is None else f"{model}.{weights}", pretrained=True
        )
        return network, _recipe(network, named=True)

    def untrained(self, model: str, num_classes: int | None) -> tuple[nn.Module, Recipe]:
        network = self.library.create_model(model, pretrained=False, **_given(num_classes))
        return network, _recipe(network, named=False)


def _given(num_classes: int | None) -> dict[str, int]:
    return {} if num_classes is None else {"num_classes": num_classes}


def _recipe(network: nn.Module, *, named: bool) -> Recipe:
    """What a network of timm tells of itself.

    named: whether its classes are those that timm knows names for; of ImageNet's, each by its first
    word.
    """
    told: dict = network.pretrained_cfg  # type: ignore[assignment]
    channels, *_, size = told["input_size"]
    names = tuple(told.get("label_names") or ())
    data = import_module("timm.data")
    subset = data.infer_imagenet_subset(told)
    if named and not names and subset is not None:
        described = data.ImageNetInfo(subset).label_descriptions()
        names = tuple(words.partition(",")[0] for words in described)
    mean, std = tuple(told["mean"]), tuple(told["std"])
    return Recipe(size, mean, std, channels, names if named else ())


REGISTRIES: dict[str, type[Registry]] = {"torchvision": Torchvision, "timm": Timm}
"""By the names that stand before the colon."""
