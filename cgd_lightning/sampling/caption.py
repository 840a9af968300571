"""What a picture says of its samples: in words above them, and in the text chunks of a PNG file.

    heading    unguided, scale 5
    text       label, index, scale, rule, sampler, seed (PNG specification, tEXt and iTXt)

`PIL.Image.open(file).text` and `exiftool` read the text back. It holds no paths and no dates: equal
samples give equal files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL.PngImagePlugin import PngInfo

from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import ClassifierFree, Rule
from cgd_lightning.diffusion.guidance.rule import Chain, singles
from cgd_lightning.diffusion.targets import Target, quoted
from cgd_lightning.errors import printable
from cgd_lightning.evaluation.lettering import can_show, readable
from cgd_lightning.sampling.request import Request
from cgd_lightning.values import Value, arguments


@dataclass(frozen=True)
class Caption:
    """What is said of the samples of one request.

    facts: what all of them have in common, for text chunks. asked: whether they were asked to show
    a class at all; without it neither rows nor images have a label.
    """

    heading: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    asked: bool = True

    @classmethod
    def of(cls, request: Request, denoiser: Denoiser | None = None) -> "Caption":
        """Of samples of `request` by `denoiser`; if that is not known, they were asked for one."""
        rule = Chain(request.scaled().rules)
        facts = {
            "scale": "none" if request.strength is None else f"{request.strength:g}",
            "rule": " + ".join(_told(part) for part in rule.rules),
            "sampler": _told(request.sampler),
            "seed": f"{request.seed}",
        }
        asked = denoiser is None or _asks(rule, denoiser)
        return cls(heading_of(rule), facts, asked)

    def rows(self, written: Mapping[Target, str], targets: Iterable[Target]) -> list[str]:
        """What rows of these targets are called: as `written`, or nothing if nobody asked."""
        return [row_name(written[target], target) if self.asked else "" for target in targets]

    def image(self, index: int, target: Target, name: str) -> PngInfo:
        """The text of the image `index`, which was asked to be what is written as `name`."""
        label = {"label": quoted(name) if isinstance(target, int) else name} if self.asked else {}
        return png_text({**label, "index": f"{index}", **self.facts})

    def grid(self, written: Mapping[Target, str], targets: Iterable[Target]) -> PngInfo:
        """The text of a grid with a row for each of `targets`."""
        words = [quoted(written[t]) if isinstance(t, int) else written[t] for t in targets]
        return png_text({**({"labels": ",".join(words)} if self.asked else {}), **self.facts})

    def comment(self) -> bytes:
        """The same for the comment of a GIF file."""
        return "; ".join(f"{name}: {value}" for name, value in self.facts.items()).encode()


UNSAID = Caption()
"""Of samples of which nothing is known but their targets."""


def heading_of(rule: Rule) -> str:
    """How samples are called that `rule` guides, in two words."""
    if rule.strength == 0 and all(each.limits or not each.strength for each in singles(rule)):
        return "unguided"
    return "guided" if rule.strength is None else f"scale {rule.strength:g}"


def _asks(rule: Rule, denoiser: Denoiser) -> bool:
    """Whether the class that is asked for changes what is made."""
    if denoiser.conditional:
        return not any(isinstance(r, ClassifierFree) and r.scale == 0 for r in singles(rule))
    return bool(rule.guides) or (rule.strength != 0 and rule.reads_labels)


def row_name(name: str, target: Target | None = None) -> str:
    """How a row is called: the class `name`, or by its index if no font here has its letters."""
    if isinstance(target, int) and not can_show(name):
        return f"class {target}"
    return readable(name)


def png_text(facts: Mapping[str, str]) -> PngInfo:
    """Text chunks: tEXt (Latin-1), or iTXt (UTF-8) for a value that wants it."""
    text = PngInfo()
    for name, value in facts.items():
        text.add_text(name, printable(value))
    return text


def _told(thing: Any) -> str:
    """A rule or sampler as it is made in Python; of its settings, those that name no files."""
    if isinstance(thing, Value):
        kept = {name: value for name, value in arguments(thing).items() if _plain(value)}
        inside = ", ".join(f"{name}={_told(value)}" for name, value in kept.items())
        return f"{type(thing).__name__}({inside})"
    if isinstance(thing, list | tuple):
        return f"[{', '.join(map(_told, thing))}]"
    return f"{thing:g}" if isinstance(thing, float) else repr(thing)


def _plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) < 40 and "/" not in value and "\\" not in value
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return isinstance(value, bool | int | float | Value)
