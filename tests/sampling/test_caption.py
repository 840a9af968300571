"""What pictures say of their samples, and that they say no more than that."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.PngImagePlugin import PngImageFile

from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import (
    Attribute,
    ClassifierFree,
    ClassifierGuidance,
    DiscriminatorGuidance,
    Rescale,
)
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.diffusion.targets import Target
from cgd_lightning.networks import UNet
from cgd_lightning.sampling.caption import Caption, row_name
from cgd_lightning.sampling.claim import claim
from cgd_lightning.sampling.files import SampleFolder
from cgd_lightning.sampling.request import Request
from tests.conftest import exact_denoiser

CORRECTED = DiscriminatorGuidance("/home/me/runs/discriminator")
SMILE = Attribute(ClassifierGuidance(2.0), "/home/me/runs/smile", "smiling")


@pytest.mark.parametrize(
    ("request_", "heading", "asked"),
    [
        (Request(scale=5), "scale 5", True),
        (Request(scale=0), "unguided", False),
        (Request(), "scale 1", True),
        (Request(guidance=ClassifierGuidance(2.5)), "scale 2.5", True),
        (Request(guidance=[ClassifierGuidance(2.0), Rescale()], scale=0), "unguided", False),
        (Request(guidance=[ClassifierGuidance(2.0), SMILE], scale=0), "scale 0", True),
        (Request(guidance=[CORRECTED, ClassifierGuidance(2.0)], scale=0), "scale 0", False),
        (Request(guidance=[CORRECTED, ClassifierGuidance(2.0)]), "scale 2", True),
        (Request(guidance=CORRECTED, scale=0), "unguided", False),
    ],
)
def test_the_heading_tells_the_scale_and_rows_have_names_if_they_were_asked_for_a_class(
    request_: Request, heading: str, asked: bool
) -> None:
    caption = Caption.of(request_, exact_denoiser(Cosine()))
    assert (caption.heading, caption.asked) == (heading, asked)
    assert caption.rows({0: "a", 1: "b"}, [1, 0]) == (["b", "a"] if asked else ["", ""])


def test_a_model_that_is_told_the_class_is_asked_for_it_without_guidance() -> None:
    network = UNet(8, 1, 1, model_channels=32, num_res_blocks=1, channel_mult=(1,), num_classes=4)
    told = Denoiser(network, Cosine(), "eps", DataSpec((1, 8, 8), ("a", "b", "c")))
    assert told.conditional
    assert Caption.of(Request(scale=0), told).asked
    assert not Caption.of(Request(guidance=ClassifierFree(0.0)), told).asked


def test_a_row_whose_letters_no_font_has_is_called_by_its_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cgd_lightning.sampling.caption.can_show", str.isascii)
    assert row_name("\u732b", 3) == "class 3"
    assert row_name("caf\u00e9 au lait", (0.0, 1.0)) == "caf\u00e9 au lait"
    assert row_name("cat", 3) == "cat"


def folder(root: Path, kind: Any = "png") -> Path:
    written: dict[Target, str] = {0: "king, crowned", 1: "\u732b", (0.0, 1.0): "!0"}
    request = Request(
        "/home/me/runs/diffusion", seed=7, sampler=DDIM(20, eta=1.0), scale=5, guidance=[SMILE]
    )
    with claim(root, {}) as own:
        out = SampleFolder(own, list(written), written, kind, Caption.of(request))
        out.add(0, torch.arange(3 * 16, dtype=torch.uint8).reshape(3, 1, 4, 4))
        out.finish({})
    return root


def test_a_png_tells_its_label_index_scale_rule_sampler_and_seed_and_no_path(
    tmp_path: Path,
) -> None:
    made = folder(tmp_path / "a")
    files = sorted((made / "images").iterdir())
    assert [file.name for file in files] == [
        "0000-king,_crowned.png",
        "0001-\u732b.png",
        "0002-not-0.png",
    ]
    texts = []
    for place, file in enumerate(files):
        with PngImageFile(file) as image:
            texts.append(image.text)
            assert list(image.tobytes()) == list(range(16 * place, 16 * place + 16))
    assert [text["label"] for text in texts] == ['"king, crowned"', "\u732b", "!0"]
    assert texts[1].items() >= {
        ("index", "1"),
        ("scale", "5"),
        ("seed", "7"),
        ("sampler", "DDIM(steps=20, eta=1, spacing='uniform')"),
    }
    assert re.fullmatch(
        r"Attribute\(rule=ClassifierGuidance\(scale=5\), label=.smiling.\)", texts[0]["rule"]
    )
    with PngImageFile(made / "grid.png") as image:
        assert image.text["labels"] == '"king, crowned",\u732b,!0'
        assert image.text["seed"] == "7"
    assert all(b"/home/me" not in file.read_bytes() for file in made.rglob("*.png"))


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_equal_samples_are_equal_files(kind: str, tmp_path: Path) -> None:
    one, two = folder(tmp_path / "a", kind), folder(tmp_path / "b", kind)
    files = sorted(p.relative_to(one) for p in one.rglob("*.png"))
    assert len(files) == (4 if kind == "png" else 1)
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)
