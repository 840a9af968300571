"""`cgd sample`: guided images as files, a grid, and a JSON from which they can be made again."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from inspect import signature
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from cgd_lightning import checkpoints, peers
from cgd_lightning.checkpoints.classes import Trust
from cgd_lightning.checkpoints.hub import is_hub
from cgd_lightning.configuration.environment import with_environment
from cgd_lightning.configuration.files import (
    MOST_BYTES,
    OWN_FILES,
    PackagedConfigFile,
    load_yaml,
)
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors, instantiate
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.diffusion.guidance import Chain, Rule
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.errors import InputError, printable
from cgd_lightning.sampling.place import Place
from cgd_lightning.sampling.processes import Devices
from cgd_lightning.sampling.record import read_options
from cgd_lightning.sampling.request import Request, RequestError
from cgd_lightning.sampling.write import write_samples
from cgd_lightning.values import Value, arguments

SHORT = {"steps": "sampler.steps"}
"""Options and what they are short for."""

SCALE_OF_A_RULE = re.compile(r"--guidance(\.(?!weight|image_weight)\w+)*\.scale(=|$)")


@dataclass(frozen=True)
class Asked:
    """What words ask for: a request, where its samples go, and what is trusted.

    unchanged: fields of the request that an earlier one has and nobody asked for now.
    """

    request: Request
    place: Place
    trust: Trust
    unchanged: tuple[str, ...]


def run(args: list[str]) -> None:
    """Run `args`: "sample" and its options."""
    asked = read(args[1:])
    with in_words():
        grid = write_samples(asked.request, asked.place, asked.trust, asked.unchanged, say)
    if grid is not None:
        print(grid)


def read(words: Sequence[str], prog: str = "cgd sample") -> Asked:
    """What `words`, options of `cgd sample`, ask for. prog: the command, for errors.

    Raises InputError for options that cannot be met, as they are written on the command line.
    """
    rest, gate = take_trusted([in_full(word) for word in words])
    rest, recorded = _take_recorded(rest, gate)
    with tempfile.TemporaryDirectory(prefix=OWN_FILES) as folder:
        options = parser(sampler_of(rest, recorded), prog)
        said = with_environment(rest, options)
        settings = options.parse_args([*as_config(recorded, Path(folder)), *said])
    gate.check(vars(settings), "")
    check_places(settings, recorded, gate)
    ready = instantiate(options, settings)
    ready.classifier = plain(ready.classifier)
    check_described([ready.sampler, ready.guidance])
    if settings["from"] not in (None, os.environ.get("CGD_SAMPLE__FROM")):
        raise InputError("from: stands in a file; give it on the command line, --from FILE")
    settle_scale(ready, rest, recorded)
    unchanged = [name for name in ("classifier", "labels") if settings[name] == recorded.get(name)]
    place = Place(**{field.name: ready[field.name] for field in fields(Place)})
    with in_words():
        given = [field.name for field in fields(Request) if field.name != "start"]
        request = Request(**{name: ready[name] for name in given})
    return Asked(request, place, trust_of(request, gate), tuple(unchanged))


def in_full(word: str) -> str:
    """`word`, in full if it is a short option."""
    name, joined, value = word.removeprefix("--").partition("=")
    long = SHORT.get(name) if word.startswith("--") else None
    return word if long is None else f"--{long}{joined}{value}"


@contextmanager
def in_words() -> Iterator[None]:
    """In this block errors name settings as the command line writes them."""
    try:
        yield
    except RequestError as error:
        raise InputError(in_flags(f"--{error}" if error.setting else str(error))) from error


def trust_of(request: Request, gate: Gate) -> Trust:
    """What is trusted: what `--trust` names, and a classifier's class that is typed."""
    if not isinstance(request.classifier, Mapping):
        return gate.trust
    own = str(request.classifier.get("class_path"))
    names = (*gate.trust.names, own) if gate.trusts(own) else gate.trust.names
    return Trust(names, gate.trust.any_size)


def say(text: str) -> None:
    """Tell the user, on standard error, once for all processes."""
    if peers.is_first():
        print(printable(in_flags(text)), file=sys.stderr)


def in_flags(message: str) -> str:
    """`message` with settings as the command line writes them: --scale 0 for scale=0."""
    names = "|".join(field.name for field in fields(Request))
    message = re.sub(rf"(?<![\w./\\-])({names})=(?=\S)", r"--\1 ", message)
    return re.sub(rf"`({names})`", r"--\1", message)


def parser(sampler: str = "DDIM", prog: str = "cgd sample") -> OneLineErrors:
    """The options of `cgd sample`; `sampler` is the class whose defaults count."""
    options = OneLineErrors(
        prog=prog,
        default_env=True,
        env_prefix="CGD_SAMPLE_",
        description="Make guided images. --steps N is short for --sampler.steps N.",
        allow_abbrev=False,
    )
    options.examples = (
        "cgd sample --ckpt runs/diffusion --scale 5",
        "cgd sample --ckpt runs/diffusion --labels 3,7 --num_samples 100 --sampler Heun --steps 10",
    )
    again = "Make the images of an earlier `cgd sample` again; further options change them."
    file = "YAML file with options. Variables of the environment win over it."
    options.add_argument("--config", action=PackagedConfigFile, help=file)
    options.add_argument("--from", metavar="samples.json", help=again)
    options.add_class_arguments(Request, skip={"sampler", "guidance", "start"}, instantiate=False)
    if not add_sampler_and_guidance(options, sampler):
        return parser(prog=prog)
    options.add_class_arguments(Place, skip={"animate", "compile", "trainer"}, instantiate=False)
    options.add_class_arguments(Devices, "trainer")
    switch: dict[str, Any] = {"type": bool, "nargs": "?", "const": True, "default": False}
    place = (options.groups or {})["Place"]
    place.add_argument("--animate", **switch, help="also write animation.gif, step by step.")
    place.add_argument("--compile", **switch, help="torch.compile the networks.")
    return options


def add_sampler_and_guidance(options: OneLineErrors, sampler: str) -> bool:
    """Add `--sampler` and `--guidance`; whether `sampler`, whose defaults count, is a class."""
    try:
        options.add_subclass_arguments(
            Sampler, "sampler", default={"class_path": sampler}, help="sampler and its options."
        )
    except (ValueError, AttributeError, ImportError):  # no such class: said when they are parsed
        return False
    rules = options.add_argument_group("What steers the walk towards the labels")
    rules.add_argument(
        "--guidance",
        type=Rule | list[Rule],
        default={"class_path": "ClassifierGuidance"},
        help="guidance rule, or a list of them, the first innermost; takes --scale.",
    )
    return True


def sampler_of(
    words: Sequence[str], recorded: Mapping[str, Any], variable: str = "CGD_SAMPLE__SAMPLER"
) -> str:
    """The class of sampler that is asked for.

    Its own defaults count, not those of the class that it takes the place of.
    """
    asked: list[Any] = [recorded.get("sampler", {}).get("class_path")]
    files = values_of("--config", words)
    for file in files:
        if os.path.isfile(file) and os.path.getsize(file) <= MOST_BYTES:
            with suppress(OSError, UnicodeError, yaml.YAMLError, TypeError, KeyError):
                contents = load_yaml(Path(file).read_text(encoding="utf-8"))
                asked.append(contents["sampler"]["class_path"])
    # Over the files that are typed, and under the recorded one.
    asked.insert(len(asked) if files else 0, os.environ.get(variable))
    asked += values_of("--sampler", words)
    names = [name for name in asked if isinstance(name, str) and re.fullmatch(r"[\w.]+", name)]
    return names[-1] if names else "DDIM"


def values_of(option: str, words: Sequence[str]) -> list[str]:
    """The values that `words` give to `option`, in order."""
    found = []
    for word, after in zip(words, [*words[1:], ""]):
        if word == option:
            found.append(after)
        elif word.startswith(f"{option}="):
            found.append(word.partition("=")[2])
    return found


def _take_recorded(words: list[str], gate: Gate) -> tuple[list[str], dict[str, Any]]:
    """`words` without `--from samples.json`, and the options that stand in that file.

    A guidance or a sampler that the user gives takes the place of the recorded one.
    """
    place = next((i for i, w in enumerate(words) if w == "--from" or w.startswith("--from=")), None)
    if place is None:
        name = os.environ.get("CGD_SAMPLE__FROM")
        return words, {} if name is None else _not_given(read_options(name, gate.trust), words)
    joined = words[place] != "--from"
    name = words[place].partition("=")[2] if joined else "".join(words[place + 1 : place + 2])
    recorded = read_options(name, gate.trust)
    rest = [*words[:place], *words[place + (1 if joined else 2) :]]
    return rest, _not_given(recorded, rest)


def _not_given(recorded: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Of `recorded`, what a guidance or a sampler in `words` does not take the place of.

    Raises InputError for what an edit recorded.
    """
    if "start" in recorded:
        raise InputError("--from: records an edit of images, not samples; cgd edit makes it again")
    for whole, given in (("--guidance", ("guidance", "scale")), ("--sampler", ("sampler",))):
        if is_given(whole, words):
            recorded = {name: value for name, value in recorded.items() if name not in given}
    return recorded


def is_given(option: str, words: Sequence[str]) -> bool:
    """Whether `words` give `option` a value."""
    return any(word == option or word.startswith(f"{option}=") for word in words)


def as_config(recorded: dict[str, Any], folder: Path) -> list[str]:
    """What gives `recorded` options to the parser, before the user's own, by a file in `folder`."""
    if not recorded:
        return []
    config = folder / "recorded.json"
    config.write_text(json.dumps(recorded), encoding="utf-8")
    return ["--config", str(config)]


def check_places(
    settings: Namespace,
    recorded: Mapping[str, Any],
    gate: Gate,
    under: str = "samples",
    option: str = "from",
) -> None:
    """Raises InputError if only a file can have said where the images go.

    Also for a recorded model that is not there any more. under: the folder of results, by default.
    option: names the record.
    """
    ckpt = settings.ckpt
    if ckpt is None:
        return
    if settings.out is None and not gate.stays(ckpt):
        raise InputError(
            f"--ckpt {ckpt}: stands in a file, outside this folder; say where the images go, with "
            "--out FOLDER"
        )
    if settings.out is None and (is_hub(ckpt) or os.path.exists(ckpt)):
        gate.check_place(checkpoints.results_folder(checkpoints.find(ckpt)) / under, "out")
    if ckpt == recorded.get("ckpt") and not os.path.exists(ckpt):
        moved = "if it was moved, name it with --ckpt, and its classifier with --classifier"
        raise InputError(f"--{option}: its model {ckpt} is not there; {moved}")
    guide = recorded.get("classifier")
    named = guide == settings.classifier and isinstance(guide, str) and os.path.isabs(guide)
    if named and not os.path.exists(str(guide)):
        raise InputError(
            f"--{option}: its classifier {guide} is not there; if it was moved, name it with "
            "--classifier"
        )


def plain(value: Any) -> Any:
    """`value`, of a parser, as plain data."""
    if isinstance(value, Namespace | Mapping):
        items = vars(value) if isinstance(value, Namespace) else value
        return {name: plain(part) for name, part in items.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def check_described(values: Sequence[Any]) -> None:
    """Raises InputError for an object that was described and not made.

    Nothing says there what it is to be: the argument of a user's class has no type.
    """
    for value in values:
        if isinstance(value, list | tuple):
            check_described(value)
        elif isinstance(value, Value):
            for name, part in arguments(value).items():
                if isinstance(part, Namespace | Mapping) and "class_path" in part:
                    raise InputError(
                        f"{type(value).__name__}.{name}: describes an object, and its type is not "
                        "declared; annotate it, as Rule"
                    )
                check_described([part])


def settle_scale(ready: Namespace, words: Sequence[str], recorded: Mapping[str, Any]) -> None:
    """Leave one scale of the outermost rule; a recorded one gives way to one that is typed.

    Raises InputError if the user gives two.
    """
    given = ready.guidance if isinstance(ready.guidance, list) else [ready.guidance]
    outermost = Chain(given).outermost()
    usual = None if outermost is None else signature(type(outermost)).parameters["scale"].default
    own = Chain(given).strength
    typed = any(SCALE_OF_A_RULE.match(word) for word in words)
    if ready.scale is None or not (typed or own not in (None, 1, usual, recorded.get("scale"))):
        return
    if is_given("--scale", words) or ready.scale != recorded.get("scale"):
        raise InputError(
            "the scale of the outermost guidance rule is given twice; give it once, as --scale or "
            "in --guidance"
        )
    ready.scale = None
