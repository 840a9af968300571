"""Every option of ours has a help text, which comes from the `Args:` section of its class."""

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from inspect import isabstract
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser
from jsonargparse._typehints import get_help_types
from torch.optim import Optimizer

from cgd_lightning.checkpoints.listed import NO_TRUST, OURS
from cgd_lightning.commands import (
    convert_options,
    diagnose_options,
    edit_options,
    evaluate_options,
    export_options,
    fit,
    likelihood,
    page,
    sample,
    sweep_edits,
    sweep_options,
)
from cgd_lightning.commands.main import COMMANDS
from cgd_lightning.commands.own_config import with_own_config
from cgd_lightning.commands.several import read_options
from cgd_lightning.commands.sweep import _plan
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.refusals import OTHERS as OTHERS_OF_LIBRARIES
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.diffusion.samplers import Euler

Cgd = Callable[..., tuple[int, str, str]]
CLASSES = [f"cgd_lightning.{module}.{name}" for module, names in OURS.items() for name in names]
MEASURING = {
    "evaluate": evaluate_options.parser,
    "likelihood": likelihood.parser,
    "sweep": sweep_options.parser,
    "edit": edit_options.parser,
    "diagnose": diagnose_options.parser,
}
"""Those whose default data set is that of a checkpoint."""

OTHERS = {
    "sample": sample.parser,
    "convert": convert_options.parser,
    "export": export_options.parser,
    "page": page.parser,
}


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

    with pytest.raises(BuiltError), ExitStack() as until:
        Parsers(["fit"], Gate([], NO_TRUST, {}, []), [], until)
    return zip(fit.TrainingCLI.subcommands(), found, strict=True)


def all_parsers() -> dict[str, ArgumentParser]:
    """The parser of every command but info and demo, which take no options."""
    measuring = {name: make([], NO_TRUST) for name, make in MEASURING.items()}
    return {**dict(of_training()), **measuring, **{name: make() for name, make in OTHERS.items()}}


def derived(base: type) -> Iterator[type]:
    yield base
    for cls in base.__subclasses__():
        yield from derived(cls)


def taken_by(parser: ArgumentParser, found: dict[type, ArgumentParser]) -> None:
    """Add the classes of ours to `found` that options of `parser` take, and those take, ...

    Modules that no name stands for, as any `nn.Module`, are given in Python.
    """
    for action in parser._actions:
        for base in get_help_types(getattr(action, "_typehint", None)) or ():
            ours = base.__module__.startswith("cgd_lightning.") or base is Optimizer
            for cls in derived(base) if ours or action.dest.startswith("trainer.") else ():
                named = cls.__module__.startswith("cgd_lightning.") and cls.__name__[0] != "_"
                if named and cls not in found and not isabstract(cls):
                    found[cls] = of_class(cls)
                    taken_by(found[cls], found)


IN_PYTHON = ("Denoiser", "NoisyClassifier", "CleanClassifier", "Autoencoder", "Trained")
"""Models, which a command line names by their file."""


def test_every_option_of_every_command_and_of_every_class_it_takes_has_a_help_text() -> None:
    found: dict[type, ArgumentParser] = {}
    untold: dict[str, list[str]] = {}
    parsers = all_parsers()
    for command, parser in parsers.items():
        taken_by(parser, found)
        untold[command] = [n for n in without_text(parser) if not n.startswith("trainer.")]
    for path in CLASSES:
        module, _, name = path.rpartition(".")
        cls = getattr(import_module(module), name)
        found.setdefault(cls, of_class(cls))
    for cls, parser in found.items():
        if cls.__name__ not in IN_PYTHON:
            untold[cls.__name__] = without_text(parser)
    assert {name: options for name, options in untold.items() if options} == {}
    counted = sum(len(parser._actions) for parser in [*parsers.values(), *found.values()])
    assert (len(found) > 70, counted > 900) == (True, True), (len(found), counted)
    assert {"MuonAdamW", "GuidedSampler", "Interval", "UnitGradient", "KernelDistance"} <= set(
        untold
    )


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
        (("sample", "--sampler.help=Heun"), "number of steps, at least 1."),
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


def listed_in(out: str) -> dict[str, str]:
    """{name: what is said of it} of a list of classes."""
    entries = re.findall(r"^  (\w+) +(\S.*(?:\n {4,}\S.*)*)", out, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


@pytest.mark.parametrize(
    ("words", "entry"),
    [
        (
            ("sample", "--sampler.help"),
            ("DDIM", "One evaluation a step, deterministic at eta = 0."),
        ),
        (
            ("sample", "--sampler.help", "--scale", "3"),
            ("Euler", "First order, one evaluation a step."),
        ),
        (
            ("sample", "--guidance.help"),
            (
                "CleanGuidance",
                "Guidance by the gradient of a clean classifier at the predicted image.",
            ),
        ),
        (
            ("sample", "--guidance.weight.help"),
            ("SqrtBeta", "The tutorial's weight: the factor sqrt(beta_t) / sigma_t."),
        ),
        (
            ("sweep", "--data.help"),
            ("Digits", "1,297 handwritten digits to train on, 250 each in val and test."),
        ),
        (
            ("evaluate", "--data.help="),
            ("Folder", "Images in `root`/CLASS/FILE, of any size and mode."),
        ),
        (
            ("evaluate", "--metrics.help"),
            (
                "PrecisionRecall",
                "Precision and recall by the nearest neighbours of features",
            ),
        ),
        (
            ("fit", "--model.help"),
            (
                "JudgeModule",
                "Trains a classifier of clean images, to judge samples with",
            ),
        ),
        (
            ("fit", "--config=diffusion.yaml", "--model.network.help"),
            ("ConvNet", "Clean images (B, in_channels, H, W) -> logits (B, out_channels)."),
        ),
        (
            ("fit", "--config=diffusion.yaml", "--model.optimizer.help"),
            (
                "MuonAdamW",
                "Muon for parameters of two or more dimensions, `torch.optim.AdamW` for others.",
            ),
        ),
    ],
)
def test_help_of_an_option_without_a_name_lists_the_classes_with_a_line_each(
    cgd: Cgd, words: tuple[str, ...], entry: tuple[str, str]
) -> None:
    code, out, err = cgd(*words)
    option = next(
        word.removesuffix("=") for word in words if word.removesuffix("=").endswith(".help")
    )
    assert (code, "error" in err) == (0, False)
    assert out.startswith(f"What {option.removesuffix('.help')} takes; {option} NAME tells more")
    name, text = entry
    told = listed_in(out)
    assert told[name].startswith(text)
    assert all(told.values())
    assert {"Network", "Optimizer", "Sampler", "Rule"}.isdisjoint(told)
    assert max(map(len, out.splitlines())) <= 100


def read(words: list[str], folder: Path) -> None:
    """Read the words of a command as that command does, up to where it begins to work."""
    command, rest = words[0], words[1:]
    if command in fit.TrainingCLI.subcommands():
        parser = dict(of_training())[command]
        trusted, gate = take_trusted(words, lightning=True)
        own = command in fit.OF_A_CHECKPOINT
        parser.parse_args((with_own_config(trusted, folder, gate) if own else trusted)[1:])
    elif command == "sample":
        sample.read(rest)
    elif command == "sweep" and sweep_edits.is_asked(rest):
        sweep_edits.read(*sweep_edits.divided(read_options(rest, sweep_edits.OWN_COMMAS)))
    elif command == "sweep":
        own, others = sweep_options.divided(read_options(rest))
        _plan(sweep_options.scales_of(own), others)
        given = [word for option in own if option.name != "scales" for word in option.words(0)]
        sweep_options.parser([], NO_TRUST).parse_args(given)
    elif command in MEASURING:
        MEASURING[command]([], NO_TRUST).parse_args(rest)
    elif command in OTHERS:
        OTHERS[command]().parse_args(rest)
    else:
        assert (command, len(rest)) in (("demo", 0), ("info", 1))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_begins_with_two_examples_that_are_read(
    cgd: Cgd, command: str, workplace: Path
) -> None:
    code, out, _ = cgd(command, "--help")
    usage, examples, *_ = out.split("\n\n")
    assert code == 0
    assert usage.startswith(f"usage: cgd {command}")
    lines = examples.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"  cgd {command} ") or lines[0] == f"  cgd {command}"
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "cgd"
        read(words[1:], workplace)
    assert max(map(len, out.splitlines())) <= 100


def test_an_example_that_is_not_read_fails(workplace: Path) -> None:
    with pytest.raises(SystemExit):
        read(["convert", "a.pt", "--outt", "b"], workplace)
    with pytest.raises(SystemExit):
        read(["sweep", "--ckpt", "runs/diffusion", "--sampler.etta", "1,2"], workplace)


def test_errors_of_help_words_stay_errors_of_one_line(cgd: Cgd) -> None:
    for words in (("--sampler.help", "Foo"), ("--gidance.help",), ("--sampler.help=Foo",)):
        code, out, err = cgd("sample", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("error: cgd sample: ")


def test_the_options_of_a_nested_class_are_named_in_full(cgd: Cgd) -> None:
    words = ("fit", "--config=diffusion.yaml", "--model.network.help")
    for given in ((*words, "MLP"), (*words[:2], "--model.network.help=MLP")):
        code, out, _ = cgd(*given)
        assert (code, out.startswith("MLP: ")) == (0, True)
        assert "  --model.network.width N " in out
    assert "  --guidance.weight.low X " in cgd("sample", "--guidance.weight.help=Interval")[1]


def test_the_help_of_a_class_tells_what_it_is_kind_and_default(cgd: Cgd) -> None:
    out = cgd("sample", "--guidance.help", "ClassifierGuidance")[1]
    assert out.startswith(
        "ClassifierGuidance: Guidance by the gradient of a classifier of noisy images.\n\n"
        "    eps~ = eps - scale * weight(level) * sigma_t * grad log p(y | x_t)\n\n"
    )
    assert "(float, default: 1.0)" in " ".join(out.split())
    assert "One of Constant, SqrtBeta, Interval, Ramp." in " ".join(out.split())
    assert "Args:" not in out


def test_a_class_whose_module_is_gone_is_not_listed(cgd: Cgd) -> None:
    gone = type("Gone", (Euler,), {"__module__": "no_such_module", "__doc__": "Not to be had."})
    code, out, err = cgd("sample", "--sampler.help")
    assert (code, gone.__name__ in out, "Euler" in out) == (0, False, True), err


def test_a_name_that_is_misspelt_in_help_is_answered_with_those_there_are(cgd: Cgd) -> None:
    code, _, err = cgd("sample", "--sampler.help", "ddim")
    assert (code, "no class 'ddim'; did you mean DDIM?; give DDIM, DDPM, " in err) == (2, True), err


@pytest.mark.parametrize(
    ("option", "base"),
    [
        ("trainer.callbacks", "Callback"),
        ("trainer.logger", "Logger"),
        ("model.optimizer", "Optimizer"),
    ],
)
def test_of_others_help_lists_only_classes_that_may_be_typed(
    cgd: Cgd, option: str, base: str
) -> None:
    names = listed_in(cgd("fit", "--config=diffusion.yaml", f"--{option}.help")[1])
    assert len(names) > 2
    assert names.keys() <= set(OTHERS_OF_LIBRARIES[base])
