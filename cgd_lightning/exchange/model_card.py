"""README.md of a folder that is shared: a model card, as the Hugging Face Hub shows it.

YAML between two lines of dashes says what its search wants to know, and text what people do: what
the model is, how to sample from it, what it was trained on and how, what was measured.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from shlex import quote
from typing import Any

import yaml

from cgd_lightning.checkpoints import Card
from cgd_lightning.diffusion.samplers import Sampler

SHOWN = 50
"""Of the names of classes, and of the arguments of a network."""

KINDS = {
    "diffusion": "a diffusion model, which makes images out of noise",
    "classifier": "a classifier of noisy images, whose gradient steers a diffusion model",
    "judge": "a classifier of clean images, which judges samples",
    "autoencoder": "an autoencoder, in whose latents a diffusion model and its classifier live",
}

TITLES = {
    "diffusion": "Diffusion model",
    "classifier": "Classifier",
    "judge": "Judge",
    "autoencoder": "Autoencoder",
}

TAGS = {"judge": ["cgd-lightning"], "autoencoder": ["latent-diffusion", "cgd-lightning"]}
"""For the search, of what is no part of a guided pair."""

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
"""An identifier of the Hub."""

_MARKS = re.compile(r"[\\`*<>|]|\](?=[(\[:])|(?<!\w)_|_(?!\w)")
"""What means something to Markdown: code, emphasis, HTML, a column, a link."""


@dataclass(frozen=True)
class Part:
    """A network in the folder. sizes: its parameters and step. training: its training.yaml."""

    card: Card
    sizes: Mapping[str, int]
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What was measured of samples: lines of a table, of how many, by which network, how."""

    rows: Sequence[Sequence[str]]
    heads: Sequence[str]
    about: str


@dataclass(frozen=True)
class ModelCard:
    """What a README.md says.

    name: of the model. place: what --ckpt takes. parts: its networks, the diffusion model first.
    license: as the user gives it. grid: what a picture grid.png shows, if there is one. scale: at
    which it is sampled. measured: of its samples, if they were. upsampler: whether it enlarges
    images. sampler: to sample it with, where the usual one does not do.
    """

    name: str
    place: str
    parts: Sequence[Part]
    license: str | None = None
    grid: str | None = None
    scale: float | None = None
    measured: Measured | None = None
    upsampler: bool = False
    sampler: Sampler | None = None

    def text(self) -> str:
        """The whole file."""
        blocks = (
            self._front(),
            f"# {_plain(self.name)}",
            self._what(),
            *([] if self.grid is None else [f"![samples](grid.png)\n\n{self.grid}"]),
            self._use(),
            self._data(),
            *map(self._network, self.parts),
            *self._trainings(),
            self._measures(),
            self._license(),
        )
        return "\n\n".join(block for block in blocks if block) + "\n"

    @property
    def _main(self) -> Card:
        return self.parts[0].card

    def _front(self) -> str:
        kind = self._main.kind
        makes = kind == "diffusion"
        tags = ["diffusion", "classifier-guidance", "cgd-lightning"]
        facts: dict[str, Any] = {
            "library_name": "cgd-lightning",
            "pipeline_tag": "unconditional-image-generation" if makes else "image-classification",
            "tags": TAGS.get(kind, tags),
        }
        if kind == "autoencoder":
            del facts["pipeline_tag"]  # the Hub has no task for it
        given = self.license
        if given is None:
            facts = {"license": "unknown", **facts}
        elif _LICENSE.fullmatch(given):
            facts = {"license": given, **facts}
        else:
            facts = {"license": "other", "license_name": given, **facts}
        dumped = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
        return f"---\n{dumped}---"

    def _what(self) -> str:
        kinds = ", and ".join(KINDS[part.card.kind] for part in self.parts)
        pair = " They were trained apart and go together." if len(self.parts) > 1 else ""
        if self._main.kind == "diffusion" and "autoencoder" in self._main.codec["init_args"]:
            pair += " They live in the latents of the autoencoder in the folder `autoencoder`."
        source = self._main.source
        made = "" if source is None else f" It was converted from {_plain(source)}."
        shape = " x ".join(map(str, self._main.image_shape)) or "no fixed shape"
        return (
            f"This is {kinds}, for images of {shape} (channels, height, width).{pair}{made} "
            f"Written by cgd-lightning {version('cgd-lightning')}."
        )

    def _use(self) -> str:
        kind, place = self._main.kind, quote(self.place)
        extra = "[hub]" if place.startswith("hf://") else ""
        install = f"# with cgd-lightning{extra} installed"
        if kind == "diffusion":
            command, python = f"cgd sample --ckpt {place}{self._words()}", self._python()
        elif kind == "autoencoder":
            command, python = latent_training(self._main.image_shape, place), self._coding()
        else:
            command = f"cgd diagnose --ckpt {place}"
            if kind == "judge":
                command = f"cgd evaluate --samples FOLDER --judge {place}"
            python = f"import cgd_lightning\n\nclassifier = cgd_lightning.load({self.place!r})"
        return (
            f"## How to use it\n\n```sh\n{install}\n{command}\n```\n\nIn Python:\n\n"
            f"```python\n{python}\n```"
        )

    def _options(self) -> dict[str, str]:
        """What `cgd sample` is told beside the model."""
        small = {"low_res": "FOLDER"} if self.upsampler else {}
        if len(self.parts) > 1:
            return small if self.scale is None else {**small, "scale": f"{self.scale:g}"}
        return {**small, "scale": "0"}

    def _words(self) -> str:
        """The same as the words of a command line."""
        options = self._options()
        if self.sampler is not None:
            options["sampler"] = type(self.sampler).__name__
            options["sampler.steps"] = f"{self.sampler.steps}"
        return "".join(f" --{name} {value}" for name, value in options.items())

    def _python(self) -> str:
        options = self._options().items()
        said = "".join(f", {n}={value if n == 'scale' else repr(value)}" for n, value in options)
        names = "Request, sample"
        if self.sampler is not None:
            name = type(self.sampler).__name__
            names = ", ".join(sorted([name, "Request", "sample"]))
            said += f", sampler={name}(steps={self.sampler.steps})"
        return (
            f"from cgd_lightning import {names}\n\n"
            f"images = sample(Request({self.place!r}, num_samples=16{said}))  # uint8 (N, C, H, W)"
        )

    def _coding(self) -> str:
        return (
            "import cgd_lightning\n\n"
            f"autoencoder = cgd_lightning.load({self.place!r})\n"
            "mean, log_variance = autoencoder.moments(images)  # images (B, C, H, W) in [-1, 1]\n"
            "images = autoencoder.decode(mean)"
        )

    def _data(self) -> str:
        card = self._main
        names = [_code(name) for name in card.class_names[:SHOWN]]
        if len(card.class_names) > SHOWN:
            names.append("...")
        lines = [f"- Data set: {_plain(card.dataset) if card.dataset else 'not told'}"]
        lines.append(f"- Images: {' x '.join(map(str, card.image_shape)) or 'of any shape'}")
        if card.image_range:
            lines.append("- Values in the network: {:g} to {:g}".format(*card.image_range))
        classes = f"{len(card.class_names)}: {', '.join(names)}" if names else "none"
        lines.append(f"- Classes: {classes}")
        return "## Data\n\n" + "\n".join(lines)

    def _network(self, part: Part) -> str:
        card = part.card
        rows = [("parameters", f"{part.sizes['parameters']:,}")]
        if "step" in part.sizes:
            rows.append(("training steps", f"{part.sizes['step']:,}"))
        if card.prediction is not None:
            rows.append(("prediction", card.prediction))
            rows.append(("learned variance", "yes" if card.learned_variance else "no"))
        if card.schedule is not None:
            rows.append(("noise schedule", _object(card.schedule)))
        name = card.network["class_path"].rpartition(".")[2]
        rows.append(("network", name))
        rows += [(name, value) for name, value in card.network["init_args"].items()][:SHOWN]
        return f"## {TITLES[card.kind]}\n\n{_table(('', ''), rows)}"

    def _trainings(self) -> Iterator[str]:
        for part in self.parts:
            rows = list(_leaves(part.training))
            if rows:
                title = TITLES[part.card.kind].lower()
                yield f"## Training of the {title}\n\n{_table(('setting', ''), rows)}"

    def _measures(self) -> str:
        place = quote(self.place)
        if self._main.kind in ("judge", "autoencoder"):
            return ""
        if self._main.kind == "classifier":
            told = f"`cgd diagnose --ckpt {place}` tells whether it is fit to guide."
            return f"## Measures\n\nNone were taken. {told}"
        command = (
            f"```sh\ncgd sample --ckpt {place}{self._words()} --num_samples 10000 --out samples\n"
            "cgd evaluate --samples samples --judge JUDGE\n```"
        )
        if self.measured is None:
            return f"## Measures\n\nNone were taken. These commands do:\n\n{command}"
        table = _table(self.measured.heads, self.measured.rows)
        return f"## Measures\n\n{table}\n\n{_plain(self.measured.about)} Measured by:\n\n{command}"

    def _license(self) -> str:
        given = "Nobody gave one." if self.license is None else f"{_plain(self.license)}."
        return f"## Licence\n\n{given}"


def latent_training(image_shape: Sequence[int], place: str) -> str:
    """The command that trains a diffusion model in the latents of the autoencoder at `place`."""
    grey = " --data.channels 1" if image_shape[0] == 1 else ""
    return (
        f"cgd fit --config latent-diffusion.yaml --data.root IMAGES{grey} --data.image_size "
        f"{image_shape[-1]} --data.autoencoder {place}"
    )


def _leaves(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}.")
        elif value is not None:
            yield f"{before}{name}".replace(".init_args", ""), value


def _object(spec: Mapping[str, Any]) -> str:
    arguments = ", ".join(f"{name}={value}" for name, value in spec["init_args"].items())
    return f"{spec['class_path'].rpartition('.')[2]}({arguments})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return value if value == "---" else _plain(str(value))


def _plain(text: str) -> str:
    """`text` in one line, without meaning to Markdown or HTML."""
    words = "".join(letter if letter.isprintable() else " " for letter in text[:1000])
    return _MARKS.sub(r"\\\g<0>", " ".join(words.split()))


def _code(text: str) -> str:
    """`text` as code in a line."""
    words = "".join(letter if letter.isprintable() else " " for letter in text[:100])
    return f"`{words.replace('`', ' ')}`"
