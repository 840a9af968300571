"""`cgd edit`: real images as another class, what changed in them, and whether it worked."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from torch.utils.data import Dataset

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.classes import Trust
from cgd_lightning.commands import sample
from cgd_lightning.commands.edit_options import OTHERS, parser
from cgd_lightning.commands.sample import in_full, is_given, values_of
from cgd_lightning.commands.stored_data import with_data
from cgd_lightning.configuration.environment import with_environment
from cgd_lightning.configuration.files import OWN_FILES
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.configuration.parser import OneLineErrors, instantiate
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.data.images import ImageBatch
from cgd_lightning.diffusion.start import Start
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.edit_again import Known
from cgd_lightning.sampling.edit_images import SPLITS, EditImages
from cgd_lightning.sampling.place import Place
from cgd_lightning.sampling.record import read_options
from cgd_lightning.sampling.request import Request
from cgd_lightning.sampling.write_edits import write_edits

FLAGS = {"labels": "to", "num_samples": "num_images", "start.source": "from"}
"""Settings of a request, and what they are called here."""

VARIABLE = "CGD_EDIT__"


@dataclass(frozen=True)
class Asked:
    """What words ask for: a request with a start, its images, and where results go.

    data: the data set, where images of a split are wanted; nothing of it is read yet.
    unchanged: fields of the request that an earlier one has and nobody asked for now. known: the
    images of an earlier edit, where nobody asked for others.
    """

    request: Request
    wanted: EditImages
    place: Place
    judge: str | None
    data: Any
    trust: Trust
    unchanged: tuple[str, ...]
    known: Known | None = None

    @property
    def split(self) -> Dataset[ImageBatch] | None:
        """The split that is wanted; None for other images.

        Raises InputError for images of another kind than the model's.
        """
        return None if self.data is None else _split(self.data, self.wanted, self.request)


def run(args: list[str]) -> None:
    """Run `args`: "edit" and its options."""
    asked = read(args[1:])
    split = asked.split
    with in_words():
        written = write_edits(
            asked.request,
            asked.wanted,
            asked.place,
            asked.judge,
            split,
            asked.trust,
            asked.unchanged,
            say,
            asked.known,
        )
    if written is not None:
        print(*filter(None, (written.summary, f"{written.sheet}")), sep="\n")


def read(words: Sequence[str], prog: str = "cgd edit") -> Asked:
    """What `words`, options of `cgd edit`, ask for. prog: the command, for errors.

    Raises InputError for options that cannot be met, as they are written on the command line.
    """
    rest, gate = take_trusted([in_full(word) for word in words])
    rest, recorded = _take_recorded(rest, gate.trust)
    with tempfile.TemporaryDirectory(prefix=OWN_FILES) as folder:
        model = [f"--ckpt={recorded['ckpt']}"] if recorded.get("ckpt") else []
        sampler = sample.sampler_of(rest, recorded, f"{VARIABLE}SAMPLER")
        options = parser([*model, *rest], gate.trust, sampler)
        options.prog = prog
        config = sample.as_config(recorded, Path(folder))
        settings = options.parse_args([*config, *with_environment(rest, options)])
    gate.check(vars(settings), "")
    sample.check_places(settings, recorded, gate, "edits", "again")
    if settings.again not in (None, os.environ.get(f"{VARIABLE}AGAIN")):
        raise InputError("again: stands in a file; give it on the command line, --again FILE")
    asked = _asked(options, settings, rest, recorded, gate)
    again = _again([in_full(word) for word in words])
    if again is None or not _are_the_same(asked.wanted, rest, recorded):
        return asked
    return replace(asked, known=Known.of(again))


def _asked(
    options: OneLineErrors,
    settings: Namespace,
    words: Sequence[str],
    recorded: Mapping[str, Any],
    gate: Gate,
) -> Asked:
    wanted = EditImages(**{field.name: settings[field.name] for field in fields(EditImages)})
    of_data = wanted.images in SPLITS
    if of_data:
        gate.keep_downloads_here(settings.data)
    elif "data" in settings:
        settings.data = None  # the model's, for which nobody asked
    ready = _with_data(options, settings) if of_data else instantiate(options, settings)
    ready.classifier = sample.plain(ready.classifier)
    sample.check_described([ready.sampler, ready.guidance])
    sample.settle_scale(ready, words, recorded)
    unchanged = [
        n for n in ("classifier", "labels") if n in recorded and ready.get(n) == recorded[n]
    ]
    place = Place(**{f.name: ready[f.name] for f in fields(Place) if f.name != "animate"})
    with in_words():
        request = _request(ready)
    trust, data = sample.trust_of(request, gate), ready.data if of_data else None
    return Asked(request, wanted, place, ready.judge, data, trust, tuple(unchanged))


def _request(ready: Namespace) -> Request:
    steps = {f.name: ready[f.name] for f in fields(Start) if f.name != "source"}
    try:
        start = Start(**steps, source=ready["from"])
    except InputError as error:
        raise InputError(f"--{error}") from error
    given = {f.name: ready[f.name] for f in fields(Request) if f.name not in OTHERS}
    steered = {"sampler": ready.sampler, "guidance": ready.guidance}
    return Request(**given, **steered, labels=ready.to, start=start)


def _with_data(options: OneLineErrors, settings: Namespace) -> Namespace:
    if settings.ckpt is None:
        raise InputError("which diffusion model? give --ckpt runs/NAME, a version folder or a file")
    ready: Namespace = with_data(options, settings, checkpoints.find(settings.ckpt))
    return ready


def _split(data: Any, wanted: EditImages, request: Request) -> Dataset[ImageBatch]:
    """The split of `data` that is wanted. Raises InputError for images of another kind."""
    path = checkpoints.find(str(request.ckpt))
    card = checkpoints.read(path)
    for name in ("image_shape", "class_names"):
        mine, known = list(getattr(data, name)), getattr(card, name)
        if known and mine != known:
            raise InputError(
                f"--data {data.name}: {name.replace('_', ' ')} {mine}; {path} was trained on "
                f"{known}"
            )
    split: Dataset[ImageBatch] = data.split(wanted.images)
    return split


def _take_recorded(words: list[str], trust: Trust) -> tuple[list[str], dict[str, Any]]:
    """`words` without `--again edits.json`, and the options that this file stands for."""
    name = _again(words)
    if name is None:
        return words, {}
    rest = _without("--again", words)
    recorded = read_options(name, trust, "again")
    start = recorded.pop("start", None)
    if start is None or "images" not in recorded:
        raise InputError(f"--again {name}: records samples, not edits; cgd sample makes them again")
    recorded.pop("low_res", None)
    recorded["num_images"] = recorded.pop("num_samples", None)
    recorded["to"] = recorded.pop("labels", None)
    recorded["from"] = start.pop("source", None)
    recorded |= start
    for whole, names in (("--guidance", ("guidance", "scale")), ("--sampler", ("sampler",))):
        if is_given(whole, rest):
            recorded = {name: value for name, value in recorded.items() if name not in names}
    return rest, recorded


def _again(words: Sequence[str]) -> str | None:
    given = values_of("--again", words)
    return given[-1] if given else os.environ.get(f"{VARIABLE}AGAIN")


def _are_the_same(wanted: EditImages, words: Sequence[str], recorded: Mapping[str, Any]) -> bool:
    """Whether nobody asks for other images than those that are `recorded`."""
    names = [field.name for field in fields(EditImages)]
    if any(is_given(f"--{name}", words) for name in names):
        return False
    if any(word.startswith("--data") for word in words):
        return False
    if wanted.resize and is_given("--ckpt", words):  # to the size of another model
        return False
    return all(getattr(wanted, name) == recorded[name] for name in names if name in recorded)


def _without(option: str, words: Sequence[str]) -> list[str]:
    """`words` without an option and its value."""
    rest, passed = [], False
    for word in words:
        if not passed and word != option and not word.startswith(f"{option}="):
            rest.append(word)
        passed = word == option
    return rest


@contextmanager
def in_words() -> Iterator[None]:
    """In this block errors name settings as this command line writes them."""
    try:
        with sample.in_words():
            yield
    except InputError as error:
        raise InputError(_in_flags(str(error))) from error


def say(text: str) -> None:
    """Tell the user, on standard error, once for all processes."""
    sample.say(_in_flags(text))


def _in_flags(message: str) -> str:
    """`message` with the settings of an edit as they are called here."""
    message = message.replace("Start(source=CLASS)", "--from CLASS")
    for setting, flag in FLAGS.items():
        message = re.sub(rf"(?<!\w)--{re.escape(setting)}\b", f"--{flag}", message)
        # Of a folder with pieces of another request, whose settings are told by their names.
        message = re.sub(rf"(?<=[(\s]){re.escape(setting)} (?=\S.* there, )", f"--{flag} ", message)
    message = re.sub(r"(?<=[(\s])start\.(\w+) (?=\S.* there, )", r"--\1 ", message)
    return message.replace("--start.", "--")
