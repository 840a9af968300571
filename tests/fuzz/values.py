"""Values that no honest file holds, and how one is put into the place of another."""

import random
from collections.abc import Callable
from typing import Any

from cgd_lightning.checkpoints.listed import LISTED

NUMBERS = [-1, 0, 1, 2, 3, 5, 8, 17, 64, 1000, 10**4, 10**6, 2**24, 2**31 - 1, 2**31, 2**32]
NUMBERS += [2**53, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, -(2**31), -(2**63), -(10**30)]

FLOATS = [0.0, -0.0, 0.5, 1.0, 1e-300, 5e-324, 1e300, -1e300, 1e9, -1.0, 0.999]
FLOATS += [float("nan"), float("inf"), float("-inf")]

TEXTS = [
    "",
    "x",
    " ",
    "\n",
    "a\nb",
    "\r",
    "\x00",
    "\x1b[31mred\x1b[0m",
    "\ud800",
    "\u202e",
    "ü",
    "💥",
]
TEXTS += [
    "/etc/passwd",
    "../../x",
    "../canary/kept",
    "../canary/new",
    "~/x",
    "http://127.0.0.1:1/x",
]
TEXTS += ["local:///tmp/x", "file:///etc/passwd", "s3://bucket/x", "memory://x", "zip://x.zip"]
TEXTS += ["evil", "evil.Evil", "json.loads", "os.system", "subprocess.Popen", "builtins.eval"]
TEXTS += ["__import__('os').system('touch ../canary/new')", "{0.__class__}", "${HOME}", "%s%n"]
TEXTS += [
    "nan",
    "inf",
    "null",
    "true",
    "1e999",
    "-",
    "--help",
    "cpu",
    "cuda",
    "meta",
    "eps",
    "ema.",
]
TEXTS += ["__class__", "__init__", "__dict__", "class_path", "init_args", "self", "forward"]

CLASSES = ["subprocess.Popen", "os.system", "builtins.exec", "builtins.open", "evil.Evil", "evil"]
CLASSES += [
    "torch.optim.Optimizer",
    "torch.optim.SGD",
    "torch.load",
    "torch.hub.load",
    "torch.nn.Linear",
]
CLASSES += ["torch.distributed.rpc.init_rpc", "torch.nn.Module", "torch.utils.cpp_extension.load"]
CLASSES += ["cgd_lightning.checkpoints.load", "cgd_lightning.files.whole", "cgd_lightning.errors"]
CLASSES += ["cgd_lightning.networks.Network", "cgd_lightning.commands.main.main", "cgd_lightning.x"]
CLASSES += ["lightning.pytorch.callbacks.LambdaCallback", "pathlib.Path", "a" * 400, "..", ".os"]

LISTED_CLASSES = sorted(LISTED)


def scalar(random: random.Random) -> Any:
    """None, a bool, a number or a string."""
    kind = random.randrange(8)
    if kind == 0:
        return random.choice([None, True, False])
    if kind in (1, 2):
        return random.choice(NUMBERS)
    if kind == 3:
        return random.choice(FLOATS)
    if kind == 4 and random.random() < 0.2:
        return random.choice(["a", "\x1b", "9", "ü", "/x"]) * random.choice([300, 5000, 100_000])
    if kind == 5:
        return random.choice(CLASSES + LISTED_CLASSES)
    return random.choice(TEXTS)


def spec(random: random.Random) -> dict[str, Any]:
    """The description of an object, of a class that is on the list or not."""
    path = random.choice(random.choice([CLASSES, LISTED_CLASSES]))
    described: dict[str, Any] = {"class_path": path}
    if random.random() < 0.8:
        words = [
            "args",
            "root",
            "width",
            "depth",
            "rule",
            "scale",
            "timesteps",
            "image_size",
            "weak",
        ]
        names = random.choices(words, k=random.randrange(3))
        described["init_args"] = {name: hostile(random, 2) for name in names}
        if random.random() < 0.3:
            described["init_args"]["args"] = ["touch", "../canary/new"]
    return described


def nested(random: random.Random) -> Any:
    """Lists in lists, or mappings in mappings, deeper than anybody needs."""
    value: Any = scalar(random)
    for _ in range(random.choice([2, 10, 30, 100])):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def hostile(random: random.Random, depth: int = 0) -> Any:
    """Any of these, or a list or mapping of them."""
    kind = random.randrange(12)
    if depth > 3 or kind < 7:
        return scalar(random)
    if kind == 7:
        return [hostile(random, depth + 1) for _ in range(random.randrange(5))]
    if kind == 8:
        return {str(scalar(random))[:50]: hostile(random, depth + 1) for _ in range(3)}
    if kind == 9:
        return nested(random)
    if kind == 10:
        return [scalar(random)] * random.choice([1, 3, 1000, 20_000])
    return spec(random)


def alike(random: random.Random, value: Any, make: Callable[[random.Random], Any]) -> Any:
    """A value of the same type as `value`, half of the time, so that it gets further in."""
    if random.random() < 0.5:
        if type(value) is bool:
            return not value
        if type(value) is int:
            return random.choice([*NUMBERS, value + 1, value - 1, 2 * value])
        if type(value) is float:
            return random.choice([*FLOATS, -value, value * 2])
        if type(value) is str:
            return random.choice([*TEXTS, *LISTED_CLASSES, value + "\n", value.upper(), value[:-1]])
        if isinstance(value, list | tuple) and value:
            return random.choice([[], [*value, value[-1]], value[:-1], value * 50, value[::-1]])
    return make(random)


def mutated(
    random: random.Random,
    value: Any,
    make: Callable[[random.Random], Any] = hostile,
    *,
    times: int | None = None,
) -> Any:
    """A copy of `value`, containers alone, changed in one place, or in a few."""
    changed = _copy(value)
    for _ in range(times or random.choice([1, 1, 1, 2, 4])):
        changed = _change(random, changed, make)
    return changed


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        copy = type(value)() if type(value) is not dict else {}
        copy.update((name, _copy(part)) for name, part in value.items())
        return copy
    if type(value) in (list, tuple):
        return type(value)(_copy(part) for part in value)
    return value


def _change(random: random.Random, value: Any, make: Callable[[random.Random], Any]) -> Any:
    if not isinstance(value, dict | list) or not value or random.random() < 0.08:
        return alike(random, value, make)
    place = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
    action = random.randrange(16)
    if action == 0:
        del value[place]
    elif action == 1 and isinstance(value, dict):
        value[random.choice([scalar(random), f"{place}x", "class_path"])] = value.pop(place)
    elif action == 2 and isinstance(value, dict):
        value[random.choice([*TEXTS, 5, 2**40])] = make(random)
    elif action == 2:
        value.insert(random.randrange(len(value) + 1), make(random))
    elif action == 3:
        other = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value[place], value[other] = value[other], value[place]
    elif action == 4:
        value[place] = random.choice([[value[place]], {"a": value[place]}, [value[place]] * 40])
    else:
        value[place] = _change(random, value[place], make)
    return value
