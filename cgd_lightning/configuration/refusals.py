"""What the parser refuses within a setting, in one line: where it stands, and what to give.

The parser's message is a tree: `Parser key "model":`, below it what was tried, and below that
perhaps another key. What the user did wrong stands innermost.
"""

import re
import sys
from collections.abc import Sequence
from inspect import isabstract

from cgd_lightning.configuration.allowed import LIGHTNING, OPTIMIZERS, OWN_OPTIMIZERS, SCHEDULERS
from cgd_lightning.configuration.words import meant_value

OTHERS = {
    "Callback": tuple(LIGHTNING["callbacks"]),
    "Logger": tuple(LIGHTNING["loggers"]),
    "Optimizer": (*OPTIMIZERS, OWN_OPTIMIZERS[0].rpartition(".")[2]),
    "LRScheduler": SCHEDULERS,
}
"""Classes that are not ours, and the names of those that may be typed for one."""

BASES = {
    "data": "cgd_lightning.data.datamodule.NoisingDataModule",
    "guidance": "cgd_lightning.diffusion.guidance.rule.Rule",
    "network": "cgd_lightning.networks.network.Network",
    "optimizer": "torch.optim.Optimizer",
    "sampler": "cgd_lightning.diffusion.samplers.sampler.Sampler",
}
"""Settings and what they are derived from, where the parser does not say it."""

NAMED = re.compile(r"given class_path '([\w.]+)'")


def refusal(text: str) -> str | None:
    """The line for a `text` of the parser that is understood here, or None."""
    rules = (_no_option, _nothing_chosen, _required, _no_list)
    return next(filter(None, (rule(text) for rule in rules)), None)


def unknown_class(text: str) -> str | None:
    """The line for a name that is no class, in a list or mapping of a file or of the user's."""
    value = re.search(r"Given value: (?:Namespace|[\[{])|Expected a <class 'bool'>", text)
    found = re.search(r"Expected a dot import path string: (\S+)", text)
    if not value or not found or "." in found[1]:
        return None
    setting = setting_at(text, found.start())
    base = _base_before(text, found.start()) or BASES.get(setting.rpartition(".")[2], "")
    known = known_names(base)
    return f"{setting}: {no_name(found[1], known)}"


def no_name(given: str, known: Sequence[str]) -> str:
    """`given` is no class; the `known` names may be meant."""
    near = meant_value(given, known)
    perhaps = f"; did you mean {near}?" if near else ""
    told = f"{', '.join(known)} or an import path" if known else "an import path, as mine.Own"
    return f"no class {given!r}{perhaps}; give {told}"


def _no_option(text: str) -> str | None:
    """Of `--OPTION.help`, where the class has no such option."""
    found = re.search(rf"{NAMED.pattern}: unrecognized arguments: --([\w.]+)\.help=", text)
    if not found:
        return None
    name = found[1].rpartition(".")[2]
    return f"{setting_at(text, found.start())}.{found[2]}: {name} has no option {found[2]!r}"


def _nothing_chosen(text: str) -> str | None:
    """Of `--guidance.weight.low 3`, or of its help, where there is no weight yet."""
    typed = re.search(r"NestedArg\(key='([\w.]+)'", text)
    found = re.search(rf"{NAMED.pattern}: Importing '\1' is not allowed", text)
    found = found or re.search(r"Not a valid subclass of ()\w+ ", text)
    if not typed or not found:
        return None
    known = known_names(found[1] or _base_before(text, found.start()))
    if not known:
        return None
    setting, option = setting_at(text, found.start()), typed[1].removesuffix(".help")
    return (
        f"{setting}: nothing is chosen that could have {option!r}; give --{setting} NAME before "
        f"it, one of {', '.join(known)}"
    )


def _required(text: str) -> str | None:
    """Of a class without an argument that it needs."""
    found = re.search(rf"{NAMED.pattern}: the following arguments are required: ([\w, ]+)", text)
    if not found:
        return None
    names = found[2].strip(", ").split(", ")
    # What follows in the text belongs to no name.
    names = [name.split()[0] for name in names]
    setting, cls = setting_at(text, found.start()), found[1].rpartition(".")[2]
    given = " ".join(f"--{setting}.{name} {name.upper()}" for name in names)
    return f"{setting}: {cls} needs {' and '.join(names)}; give {given}"


def _no_list(text: str) -> str | None:
    """Of a word where a list was wanted."""
    found = re.search(
        r"Expected a <class 'collections\.abc\.Sequence'>\. Got value: (\S+?)\. ", text
    )
    if not found:
        return None
    return (
        f"{setting_at(text, found.start())}: {found[1]!r} is no list; wanted one, as [{found[1]}]"
    )


def setting_at(text: str, place: int) -> str:
    """The dotted name of the setting that the parser speaks of at `place` of its `text`."""
    parts: list[str] = []
    for key in re.findall(r'Parser key "([^"]+)"', text[:place]):
        if key in parts:  # tried once more, as another kind
            del parts[parts.index(key) :]
        if parts and key.startswith(f"{'.'.join(parts)}."):
            parts = []
        parts.append(key)
    return ".".join(parts)


def _base_before(text: str, place: int) -> str:
    """The class from which what is wanted at `place` of a `text` is derived; empty if none is."""
    inner = text[:place].rpartition('Parser key "')[2]
    kinds = re.findall(r"(?:Subtypes: \[(.*?)\] Errors:|Type (\S.*?) expects)", inner)
    paths = re.findall(r"(?:\w+\.)+[A-Z]\w+", " ".join(kinds[0])) if kinds else []
    return paths[-1] if paths else ""


def known_names(base: str) -> list[str]:
    """The names of classes that may be typed for one derived from that at `base`."""
    others = OTHERS.get(base.rpartition(".")[2])
    return sorted(others) if others else short_names(base)


def short_names(class_path: str) -> list[str]:
    """The names of imported classes derived from the one at `class_path`.

    Those of this package only.
    """
    module, _, name = class_path.rpartition(".")
    found, names = [getattr(sys.modules.get(module), name, None)], set()
    while found:
        cls = found.pop()
        derived: list[type] = cls.__subclasses__() if isinstance(cls, type) else []
        names |= {
            c.__name__
            for c in derived
            if c.__module__.startswith("cgd_lightning.")
            and c.__name__[0] != "_"
            and not isabstract(c)
        }
        found += derived
    return sorted(names)
