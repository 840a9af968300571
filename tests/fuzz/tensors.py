"""safetensors files whose header lies, and numbers that no weights are."""

import json
import random
import struct
from typing import Any

import torch
from torch import Tensor

from tests.fuzz import values
from tests.fuzz.damage import LIES, damaged

KINDS = ["F64", "F32", "F16", "BF16", "I64", "I32", "I8", "U8", "BOOL", "F8_E4M3", "C64", "f32", ""]

HEADERS = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'{"__metadata__":{"step":"1"}}',
    b'{"__metadata__":{"step":7}}',
    b'{"__metadata__":[]}',
    b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[0],'
    b'"data_offsets":[4,4]}}',
    b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}',
    b'{"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}}',
    b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}',
    b'{"a":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]}}',
    b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}',
    b'{"\\ud800":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
    b'{"a":' + b"[" * 100_000,
    b"[" * 900 + b"]" * 900,
    b"{" + b",".join(b'"%d":{}' % n for n in range(20_000)) + b"}",
    b"{"
    + b",".join(
        b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(20_000)
    )
    + b"}",
    b'{"a":"' + b"x" * 1_000_000 + b'"}',
    b"\xff\xfe{\x00}\x00",
    b" " * 17 * 2**20,
]


def lying_tensors(random: random.Random, data: bytes) -> tuple[str, bytes]:
    """(what it is, `data`, a safetensors file, with something wrong)."""
    (length,) = struct.unpack("<Q", data[:8])
    header, numbers = json.loads(data[8 : 8 + length]), data[8 + length :]
    sort = random.choices(
        ["entry", "values", "header", "length", "numbers", "bytes"], [35, 20, 12, 8, 10, 15]
    )[0]
    if sort == "bytes":
        return sort, damaged(random, data)
    if sort == "length":
        told = random.choice([*LIES, length - 1, length + 1, len(data) - 8, len(data)]) % 2**64
        return sort, struct.pack("<Q", told) + data[8:]
    if sort == "header":
        text = random.choice(HEADERS)
        return sort, struct.pack("<Q", len(text)) + text + random.choice([b"", numbers])
    if sort == "numbers":
        return sort, data[: 8 + length] + _no_numbers(random, numbers)
    if sort == "values":
        header = values.mutated(random, header)
    else:
        for _ in range(random.choice([1, 1, 2, 4])):
            _change(random, header)
    text = json.dumps(header).encode()
    return sort, struct.pack("<Q", len(text)) + text + numbers


def _change(random: random.Random, header: dict[str, Any]) -> None:
    """Change one thing that an entry of the header says, or its name."""
    name = random.choice(list(header))
    entry = header[name]
    if not isinstance(entry, dict) or "shape" not in entry:
        return
    what = random.choice(["dtype", "shape", "place", "move", "name", "more", "gone"])
    if what == "dtype":
        entry["dtype"] = random.choice(KINDS)
    elif what == "shape":
        shape = entry["shape"]
        entry["shape"] = random.choice(
            [shape[::-1], [*shape, 1], [1] * 100, shape[1:], [random.choice(LIES)], shape * 2]
        )
    elif what == "place":
        entry["data_offsets"][random.randrange(2)] = random.choice([*LIES, -1, 4, 10**30, 0.5])
    elif what == "move":
        other = header[random.choice(list(header))]
        if isinstance(other, dict) and "data_offsets" in other:
            entry["data_offsets"], other["data_offsets"] = (
                other["data_offsets"],
                entry["data_offsets"],
            )
    elif what == "name":
        word = random.choice([*values.TEXTS, f"{name}.x", name.upper(), "x" * 5000])
        header[word] = header.pop(name)
    elif what == "more":
        header[f"{name}.more"] = {
            **entry,
            "shape": [0],
            "data_offsets": entry["data_offsets"][1:] * 2,
        }
    else:
        del header[name]


def _no_numbers(random: random.Random, numbers: bytes) -> bytes:
    """`numbers`, some of which are none, or are very large, or all of which are nothing."""
    place = 4 * random.randrange(max(len(numbers) // 4, 1))
    number = struct.pack("<f", random.choice([float("nan"), float("inf"), -1e38, 3e38]))
    if random.random() < 0.2:
        return random.choice([bytes(len(numbers)), b"\xff" * len(numbers), numbers[::-1]])
    return (numbers[:place] + number + numbers[place + 4 :])[: len(numbers)]


def mutated_state(random: random.Random, state: dict[str, Tensor]) -> dict[Any, Any]:
    """A copy of a state_dict with another name, tensor or number, in one place or in a few."""
    changed: dict[Any, Any] = dict(state)
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        name = random.choice(list(changed))
        tensor = changed[name]
        what = random.choice(["name", "gone", "number", "shape", "kind", "other", "value", "more"])
        if what == "name":
            parts = str(name).split(".")
            place = random.randrange(len(parts))
            parts[place] = random.choice(["0", "1", "7", "9999", "x", "", "qkv", "op", "\n", "٣"])
            changed[".".join(parts)] = changed.pop(name)
        elif what == "gone":
            del changed[name]
        elif what == "more":
            more = [f"{name}.x", "input_blocks.9999.0.weight", "label_emb.weight", 5, "\x1b[31m"]
            changed[random.choice(more)] = tensor
        elif what == "other":
            changed[name] = changed[random.choice(list(changed))]
        elif what == "value":
            changed[name] = values.hostile(random)
        elif isinstance(tensor, Tensor):
            changed[name] = _other(random, tensor, what)
        if not changed:
            return changed
    return changed


def _other(random: random.Random, tensor: Tensor, what: str) -> Tensor:
    """`tensor` with a number that is none, of another shape or of another kind of number."""
    if what == "number" and tensor.is_floating_point() and tensor.numel():
        wrong = tensor.clone()
        wrong.view(-1)[random.randrange(tensor.numel())] = random.choice(
            [float("nan"), float("inf"), 3e38, -3e38]
        )
        return wrong
    if what == "kind":
        kinds = [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool]
        return tensor.to(random.choice([*kinds, torch.complex64, torch.uint8]))
    one = torch.ones(1)
    return random.choice(
        [
            tensor.reshape(-1),
            tensor[None],
            tensor[:0],
            torch.cat([tensor, tensor]),
            one.expand(2**40),
            one.expand(1000, 1000, 3, 3),
            one.squeeze(),
            torch.ones((1,) * 9),
        ]
    )
