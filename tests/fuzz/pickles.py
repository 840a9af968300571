"""Pickles, word by word: streams that are changed, and streams that nobody has written."""

import pickletools
import random
import struct


def _text(word: str) -> bytes:
    data = word.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def _call(module: str, name: str, *arguments: bytes) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


CALLS = [
    _call("os", "system", _text("touch ../canary/new")),
    _call("posix", "system", _text("touch ../canary/new")),
    _call("builtins", "eval", _text("open('../canary/new', 'w')")),
    _call("builtins", "set", b"]"),
    _call("__builtin__", "set", b"](K\x01K\x02e"),
    _call("evil", "Evil"),
    _call("torch", "load", _text("../canary/kept")),
    _call("torch", "Size", b"(K\x01K\x02t"),
    _call("torch", "Size", _text("abc")),
    _call("torch", "Size", b"K\x01"),
    _call("torch", "device", _text("meta")),
    _call("torch", "device", _text("x" * 5000), b"]"),
    _call("torch", "FloatStorage", b"K\x09"),
    _call("torch._utils", "_rebuild_tensor_v2"),
    _call("torch._utils", "_rebuild_tensor_v2", b"N", b"K\0", b")", b")"),
    _call("torch._utils", "_rebuild_parameter"),
    _call("torch._utils", "_rebuild_parameter", b"K\x01"),
    _call("torch._utils", "_rebuild_parameter_with_state", b"N", b"N", b"N", b"N"),
    _call("torch._utils", "_rebuild_sparse_tensor", b"K\0", b")"),
    _call("torch._utils", "_rebuild_meta_tensor_no_storage", b"N", b")", b")", b"N"),
    _call("torch.jit._pickle", "restore_type_tag", b"]", _text("x")),
    _call("collections", "OrderedDict", b"](](K\x01K\x02ee"),
    _call("collections", "defaultdict", b"N"),
    _call("copyreg", "_reconstructor", b"cos\nsystem\n", b"N", b"N"),
]

STORAGES = [
    "Float",
    "Double",
    "Half",
    "BFloat16",
    "Long",
    "Bool",
    "ComplexFloat",
    "Untyped",
    "QInt8",
]


def _reference(random: random.Random) -> bytes:
    """A reference to a storage, as persistent ids of torch are, or nearly."""
    dtype = f"ctorch\n{random.choice(STORAGES)}Storage\n".encode()
    key = random.choice([_text("0"), _text("1"), _text("../0"), _text(""), b"K\0", b"N"])
    count = random.choice(
        [b"K\x01", b"K\x09", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"N"]
    )
    device = random.choice([_text("cpu"), _text("cuda:99"), b"N"])
    kind = random.choice([_text("storage"), _text("module"), b"N"])
    return b"(" + kind + dtype + key + device + count + b"tQ"


def _tensor(random: random.Random) -> bytes:
    sizes = [
        b")",
        b"K\x01\x85",
        b"K\x03K\x03\x86",
        b"J\xff\xff\xff\x7f\x85",
        b"K\0J\xff\xff\xff\x7f\x86",
    ]
    sizes += [
        b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x85",
        b"(" + b"K\x01" * 70 + b"t",
        b"N",
        b"]",
        b"\x88\x85",
    ]
    shape, stride = random.choice(sizes), random.choice(sizes)
    offset = random.choice([b"K\0", b"K\x05", b"J\xff\xff\xff\xff", b"N", b"\x88"])
    rest = [b"\x89", b"ccollections\nOrderedDict\n)R"]
    return _call(
        "torch._utils", "_rebuild_tensor_v2", _reference(random), offset, shape, stride, *rest
    )


def word(random: random.Random) -> bytes:
    """A few opcodes of any pickle protocol."""
    kind = random.randrange(8)
    if kind == 0:
        return random.choice(CALLS)
    if kind == 1:
        return _reference(random) if random.random() < 0.5 else _tensor(random)
    if kind == 2:
        return random.choice(_bombs(random))
    return random.choice(_WORDS)


_WORDS = (
    *(b"(", b"0", b"1", b"2", b"N", b"\x88", b"\x89", b"}", b"]", b")", b"\x8f", b"t", b"l", b"d"),
    *(
        b"\x85",
        b"\x86",
        b"\x87",
        b"a",
        b"e",
        b"s",
        b"u",
        b"\x90",
        b"\x91",
        b"R",
        b"b",
        b"o",
        b"\x81",
    ),
    *(
        b"\x92",
        b"\x93",
        b"Q",
        b"\x94",
        b"\x97",
        b"\x98",
        b".",
        b"K\x05",
        b"M\xff\xff",
        b"J\xff\xff\xff\xff",
    ),
    *(
        b"q\0",
        b"q\xff",
        b"h\0",
        b"h\xff",
        b"r\xff\xff\xff\x7f",
        b"j\xff\xff\xff\x7f",
        b"p99999999999\n",
    ),
    *(
        b"g5\n",
        b"gx\n",
        b"I01\n",
        b"I99\n",
        b"Ix\n",
        b"L99L\n",
        b"Lx\n",
        b"F1e999\n",
        b"G\x7f\xf8" + bytes(6),
    ),
    *(
        b"\x82\x01",
        b"\x83\x01\x00",
        b"\x84\x01\x00\x00\x00",
        b"Pid\n",
        b"ios\nsystem\n",
        b"cos\nsystem\n",
    ),
    *(b"\x80\x05", b"\x80\xff", b"\x95" + b"\xff" * 8, b"\x96" + b"\x08" + bytes(15), b"C\x03abc"),
    *(
        b"U\x03abc",
        b"T\x03\0\0\0abc",
        b"S'x'\n",
        b"Sx\n",
        b"V\\ud800\n",
        _text("\ud800"),
        _text("x" * 20_000),
    ),
    *(
        b"\x8c\x03abc",
        b"\x8d" + b"\x03" + bytes(7) + b"abc",
        b"X\x03\0\0\0\xff\xff\xff",
        b"B\x03\0\0\0abc",
    ),
    *(
        b"]q\x01h\x01a",
        b"}q\x01X\x01\0\0\0ah\x01s",
        b"(((((",
        b"ctorch\nFloatStorage\n",
        b"\x8a\0",
        b"\x8a\x01\xff",
    ),
)


def _bombs(random: random.Random) -> list[bytes]:
    many = random.choice([100, 3000, 100_000])
    return [
        b"r\xff\xff\xff\x7f",
        b"X\xff\xff\xff\x7fabc",
        b"T\xff\xff\xff\x7fabc",
        b"\x8d" + b"\xff" * 7 + b"\x7fabc",
        b"\x8e" + b"\xff" * 7 + b"\x7fabc",
        b"\x96" + b"\xff" * 7 + b"\x7fabc",
        b"\x8b\xff\xff\xff\x7fabc",
        b"\x8b" + struct.pack("<I", many) + b"\x7f" * many,
        b"\x8a\xff" + b"\x7f" * 255,
        b"I" + b"9" * many + b"\n",
        b"L" + b"9" * many + b"L\n",
        b"V" + b"x" * many + b"\n",
        b"]" * many,
        b"}" + b"K\x01]" * many,
        b"(" * many,
        b"]" + b"]a" * many,
        b"(" + b"N" * many + b"l",
        b"]q\x01" + b"h\x01h\x01\x86q\x01" * min(many, 3000),
        b"]q\x01(" + b"h\x01" * min(many, 3000) + b"e",
        b"K\x01\x85" * many,
        b"N" + b"\x85" * many,
    ]


def stream(random: random.Random) -> bytes:
    """A pickle of words at random, or the card and the weights that a checkpoint needs with one in
    it.
    """
    words = b"".join(word(random) for _ in range(random.choice([1, 3, 10, 40])))
    begin = random.choice([b"\x80\x02", b"\x80\x04", b""])
    if random.random() < 0.5:
        return begin + words + random.choice([b".", b"", b"0.", b"t."])
    return (
        b"\x80\x02}("
        + _text("cgd")
        + b"}"
        + _text("state_dict")
        + b"}"
        + _text("x")
        + words
        + b"u."
    )


def split(pickle: bytes) -> list[bytes]:
    """The words of `pickle`, each an opcode with its argument."""
    places = [place for _, _, place in pickletools.genops(pickle)]
    return [pickle[a:b] for a, b in zip(places, [*places[1:], len(pickle)], strict=True)]


def changed(random: random.Random, words: list[bytes]) -> bytes:
    """The pickle of these `words` with some lost, added, repeated or put elsewhere."""
    words = list(words)
    for _ in range(random.choice([1, 1, 2, 5])):
        place, other = random.randrange(len(words)), random.randrange(len(words))
        action = random.randrange(5)
        if action == 0:
            del words[place : place + random.choice([1, 1, 3])]
        elif action == 1:
            words[place] = word(random)
        elif action == 2:
            words[place:place] = words[other : other + random.choice([1, 3, 12])] * random.choice(
                [1, 1, 1000]
            )
        elif action == 3:
            words[place], words[other] = words[other], words[place]
        else:
            words.insert(place, word(random))
        words = words or [b"N"]
    return b"".join(words)
