"""Every option of ours has a help text, which comes from the `Args:` section of its class."""

from collections.abc import Callable, Iterator
from importlib import import_module

import pytest
from jsonargparse import ArgumentParser

from cgd_lightning.checkpoints.listed import NO_TRUST, OURS
from cgd_lightning.commands import evaluate_options, fit, likelihood, sample
from cgd_lightning.configuration.gate import Gate

Cgd = Callable[..., tuple[int, str, str]]
CLASSES = [f"cgd_lightning.{module}.{name}" for module, names in OURS.items() for name in names]


def without_text(parser: ArgumentParser) -> list[str]:
    """The options of `parser` that have no help text of their own."""
    return [
        action.dest
        for action in parser._actions
        if not (action.help or "").strip() or (action.help or "").startswith("(type: ")
    ]


def of_class(cls: type) -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_class_arguments(cls, "it", fail_untyped=False)
    return parser


class BuiltError(Exception):
    """The parsers are there; nothing is parsed."""


def of_training() -> Iterator[tuple[str, ArgumentParser]]:
    """The parsers of Lightning's commands."""
    found: list[ArgumentParser] = []

    class Parsers(fit.TrainingCLI):
        def parse_arguments(self, parser: ArgumentParser, args: object) -> None:
            found.extend(self.parsers)
            raise BuiltError

    with pytest.raises(BuiltError):
        Parsers(["fit"], Gate([], NO_TRUST, {}, []))
    return zip(fit.TrainingCLI.subcommands(), found, strict=True)


@pytest.mark.parametrize("path", CLASSES)
def test_every_setting_of_a_listed_class_has_a_help_text(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert without_text(of_class(getattr(import_module(module), name))) == []


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_every_option_of_a_training_has_a_help_text(command: str) -> None:
    parser = dict(of_training())[command]
    dests = {action.dest for action in parser._actions}
    assert {"checkpoint.monitor", "guided_sampler.scale", "model", "data"} <= dests
    assert [name for name in without_text(parser) if not name.startswith("trainer.")] == []


def test_every_option_of_the_other_commands_has_a_help_text() -> None:
    assert without_text(sample.parser()) == []
    assert without_text(evaluate_options.parser([], NO_TRUST)) == []
    assert without_text(likelihood.parser([], NO_TRUST)) == []


def test_an_option_without_a_text_is_named() -> None:
    class Half:
        """A class of which one argument is described.

        Args:
            told: what it is.
        """

        def __init__(self, told: int = 1, untold: int = 2) -> None: ...

    assert without_text(of_class(Half)) == ["it.untold"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("fit", "--model.help=DiffusionModule"), "what the network predicts: eps, x0 or v."),
        (("fit", "--data.help=MNIST"), "fetch them if they are missing."),
        (("sample", "--sampler.help=Heun"), "number of steps."),
        (("sample", "--guidance.help=Rescale"), "share that is brought back, from 0 (off) to 1."),
        (("evaluate", "--data.help=Folder"), "3 for colour, 1 for grey."),
    ],
)
def test_the_help_of_a_class_tells_the_texts(cgd: Cgd, words: tuple[str, ...], text: str) -> None:
    code, out, _ = cgd(*words)
    assert (code, text in " ".join(out.split())) == (0, True)


@pytest.mark.parametrize(
    ("config", "network", "text"),
    [
        ("diffusion.yaml", "UNet", "residual blocks per level downwards"),
        ("diffusion.yaml", "MLP", "number of features in a hidden layer."),
        ("classifier.yaml", "EncoderUNet", "how features become logits"),
        ("judge.yaml", "ConvNet", "doubled with every pooling."),
    ],
)
def test_the_help_of_a_network_tells_the_texts(
    cgd: Cgd, config: str, network: str, text: str
) -> None:
    code, out, _ = cgd("fit", f"--config={config}", f"--model.network.help={network}")
    assert (code, text in " ".join(out.split())) == (0, True)
