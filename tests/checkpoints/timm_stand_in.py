"""Something that is imported as timm, and has what is used of it."""

import sys
from pathlib import Path

import pytest

TIMM = """
from types import SimpleNamespace
import torch
CFG = dict(input_size=(3, 16, 16), mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3), num_classes=4)
NETS = {"net.a": CFG | {"label_names": list("abcd")}, "net.b": CFG}
NETS |= {"net.features": CFG | {"num_classes": 0}}
class Net(torch.nn.Module):
    def __init__(self, cfg, classes):
        super().__init__()
        self.conv = torch.nn.Conv2d(cfg["input_size"][0], classes or cfg["num_classes"], 3)
        self.pretrained_cfg = cfg
    def forward(self, x):
        return self.conv(x).mean((2, 3))
def create_model(name, pretrained=False, num_classes=None):
    net = Net(NETS[name if "." in name else "net.a"], num_classes)
    if pretrained:
        torch.nn.init.constant_(net.conv.bias, 10.0 * (name == "net.b"))
        torch.nn.init.zeros_(net.conv.weight)
    return net
def list_models(model="", pretrained=False):
    return list(NETS) if pretrained and model == "net" else [] if pretrained else ["net", "bare"]
def get_pretrained_cfg(name):
    return SimpleNamespace(**NETS[name])
"""

TIMM_DATA = """
class ImageNetInfo:
    def __init__(self, subset):
        assert subset == "four"
    def label_descriptions(self):
        return ["tench, Tinca tinca", "goldfish", "shark, great shark", "ray"]
def infer_imagenet_subset(cfg):
    return "four" if cfg["num_classes"] == 4 else None
"""


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put it into `folder`, from where it is imported."""
    (folder / "timm").mkdir()
    (folder / "timm/__init__.py").write_text(TIMM)
    (folder / "timm/data.py").write_text(TIMM_DATA)
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("timm", "timm.data"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
