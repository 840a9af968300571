"""Files of guided-diffusion's family, in both formats of `torch.save`, for `cgd convert`."""

import io
import random
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from cgd_lightning.exchange import adm, worlds
from cgd_lightning.networks import EncoderUNet, SuperRes, UNet
from tests.fuzz import pickles
from tests.fuzz.damage import damaged, lying_zip
from tests.fuzz.outcome import Attempt
from tests.fuzz.tensors import mutated_state

SMALL: dict[str, Any] = {
    "image_size": 8,
    "in_channels": 3,
    "out_channels": 6,
    "model_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": (1, 1),
    "attention_resolutions": (),
    "num_heads": 2,
}

COMMON: dict[str, Any] = {
    "image_size": 8,
    "num_heads": 2,
    "attention_order": "legacy",
    "schedule": "cosine",
    "timesteps": 100,
    "rescale_timesteps": False,
}
DIFFUSION = {**COMMON, "prediction": "eps"}

NAMES = ["file.pt", "file.pt", "file.pt", "model000100.pt", "64x64_diffusion.pt"]


class Adm:
    """One of four good files, with something wrong."""

    may_read = False

    def prepare(self, folder: Path) -> None:
        torch.manual_seed(0)
        classifier = EncoderUNet(
            **{**SMALL, "channel_mult": (1,), "out_channels": 5, "pool": "attention"}
        )
        networks = [
            (UNet(**{**SMALL, "channel_mult": (1,)}), DIFFUSION),
            (UNet(**SMALL, num_classes=3, resblock_updown=True), DIFFUSION),
            (SuperRes(**SMALL, small_size=4), {**DIFFUSION, "small_size": 4}),
            (classifier, COMMON),
        ]
        self.states = [(network.state_dict(), given) for network, given in networks]
        for state, given in self.states:
            for new in (False, True):
                file = folder / "file.pt"
                file.write_bytes(_saved(state, new))
                assert worlds.world_of(file) is adm
                [imported] = worlds.read(file, given)
                stored = imported.model.network.state_dict()
                assert all(torch.equal(stored[name], state[name]) for name in state)

    def make(self, random: random.Random, folder: Path) -> str:
        state, given = random.choice(self.states)
        new = random.random() < 0.5
        self.file, self.given = folder / random.choice(NAMES), dict(given)
        if random.random() < 0.2:
            self.given.pop(random.choice(list(given)))
        sort = random.choices(["state", "stream", "zip", "bytes", "nested"], [55, 8, 12, 20, 5])[0]
        data = _saved(state, new)
        if sort == "state":
            data = self._changed(random, state, new)
        elif sort == "nested":
            nested: Any = {f"module.{name}": tensor for name, tensor in state.items()}
            for name in random.choices(["model", "state_dict", "state", "cgd", "x"], k=2):
                nested = {name: nested, "epoch": 5}
            data = _saved(nested, new)
        elif sort == "stream":
            data = LEGACY + pickles.stream(random) + bytes(64)
        elif sort == "zip" and new:
            data = lying_zip(random, data)
        else:
            data = damaged(random, data)
        self.file.write_bytes(data)
        return f"{sort}, {'new' if new else 'old'} format"

    def attempts(self, folder: Path) -> list[Attempt]:
        return [lambda: adm.told(self.file), lambda: _sane(self.file, self.given)]

    def _changed(self, random: random.Random, state: dict[str, Any], new: bool) -> bytes:
        try:
            return _saved(mutated_state(random, state), new)
        except Exception:  # of what torch does not write, such as text that is no UTF-8
            return damaged(random, _saved(state, new))


def _saved(state: Any, new: bool) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


LEGACY = _saved({}, new=False)[:21]
"""How a file in the old format begins."""


def _sane(file: Path, given: dict[str, Any]) -> None:
    """Read a file as `cgd convert` does; what comes of it is a network that has its weights.

    The scratch file that has no name lies in the folder of the case.
    """
    with mock.patch.object(tempfile, "tempdir", str(file.parent)):
        for imported in worlds.read(file, given):
            state = imported.model.state_dict()
            assert all(tensor.device.type == "cpu" for tensor in state.values())
            assert all(bool(tensor.isfinite().all()) for tensor in state.values())
            imported.let_go()
