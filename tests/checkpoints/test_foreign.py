"""Networks of the user's own classes, as classifiers."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.checkpoints.foreign import as_classifier, own_classifier
from cgd_lightning.checkpoints.listed import Trust
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.errors import InputError

CPU = torch.device("cpu")
SMALL = (1, 16, 16)


class Plain(nn.Module):
    """Logits of images with so many channels: their mean, times k + 1 for class k."""

    def __init__(self, channels: int = 1, classes: int = 3, names: Any = None) -> None:
        super().__init__()
        self.channels, self.seen = channels, torch.empty(0)
        self.weight = nn.Parameter(torch.arange(1.0, classes + 1))
        if names is not None:
            self.class_names = names

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.channels:
            raise RuntimeError(f"{x.shape[1]} channels")
        self.seen = x
        return x.mean((1, 2, 3))[:, None] * self.weight


class Timed(Plain):
    def forward(self, x: Tensor, t: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x) + t[:, None]


class Finished(CleanClassifier):
    def __init__(self, names: list[str], shape: Any = ()) -> None:
        super().__init__(Plain(classes=3), DataSpec(tuple(shape), tuple(names)))


class Noisy(NoisyClassifier):
    def __init__(self) -> None:
        super().__init__(Timed(classes=2), Linear(), DataSpec(SMALL, ("no", "yes")))


class Boxes(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


class Pictures(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Labels(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 3, dtype=torch.long)


HERE = __name__
TRUST = Trust((HERE,))


def own(name: str, images: tuple[int, ...] = SMALL, **arguments: Any) -> Any:
    return own_classifier(
        {"class_path": f"{HERE}.{name}", "init_args": arguments}, images, CPU, TRUST, "--classifier"
    )


def test_an_own_network_takes_images_as_they_come() -> None:
    classifier = own("Plain")
    assert type(classifier) is CleanClassifier
    assert classifier.class_names == ("0", "1", "2")
    x0 = torch.rand(2, *SMALL) * 2 - 1
    torch.testing.assert_close(
        classifier.logits(x0), x0.mean((1, 2, 3))[:, None] * torch.tensor([1.0, 2, 3])
    )
    assert torch.equal(classifier.network.seen, x0)
    assert not any(weight.requires_grad for weight in classifier.parameters())
    assert not classifier.network.training


def test_an_own_networks_class_names_count_if_there_is_one_for_each_class() -> None:
    for names, wanted in (
        (["a", "b", "c"], ("a", "b", "c")),
        (("a", "b", "c"), ("a", "b", "c")),
        (["a", "b"], ("0", "1", "2")),
        ("abc", ("0", "1", "2")),
        ([1, 2, 3], ("0", "1", "2")),
    ):
        assert own("Plain", names=names).class_names == wanted


def test_an_own_network_gets_as_many_channels_as_it_takes() -> None:
    for images, wanted in ((1, 1), (1, 3), (2, 2), (3, 3), (4, 4)):
        classifier = own("Plain", (images, 16, 16), channels=wanted)
        x0 = torch.rand(2, images, 16, 16) * 2 - 1
        assert classifier.logits(x0).shape == (2, 3)
        seen = next(part.seen for part in classifier.modules() if isinstance(part, Plain))
        torch.testing.assert_close(seen, x0.expand(-1, wanted, -1, -1))
    for images, wanted in ((2, 3), (3, 1), (4, 3)):
        with pytest.raises(InputError, match=f"Plain: RuntimeError: {images} channels"):
            own("Plain", (images, 16, 16), channels=wanted)


def test_an_own_classifier_is_taken_as_it_is() -> None:
    clean = own("Finished", names=["a", "b", "c"])
    assert type(clean).__name__ == "Finished"
    assert clean.class_names == ("a", "b", "c")
    noisy = own("Noisy")
    assert isinstance(noisy, NoisyClassifier)
    assert noisy.log_prob(torch.zeros(2, *SMALL), torch.zeros(2)).shape == (2, 2)
    for classifier in (clean, noisy):
        assert not any(weight.requires_grad for weight in classifier.parameters())
        assert as_classifier(classifier, SMALL, CPU, "mine") is classifier


WRONG: dict[str, tuple[tuple[str, tuple[int, ...], dict[str, Any]], str]] = {
    "wrong arguments": (("Plain", SMALL, {"depth": 3}), "Plain does not take the arguments"),
    "a list": (("Boxes", SMALL, {}), r"Boxes: gives list for an image, and logits \(K,\)"),
    "a picture": (("Pictures", SMALL, {}), r"gives \(1, 16, 16\) for an image"),
    "labels": (("Labels", SMALL, {}), "gives 3 int64 for an image"),
    "one logit": (("Plain", SMALL, {"classes": 1}), "gives 1 float32 for an image"),
    "noisy images": (("Timed", SMALL, {}), "Timed: TypeError: .*'t'"),
    "names of other classes": (
        ("Finished", SMALL, {"names": ["a"]}),
        "wanted logits .B, 1., one of each class",
    ),
    "another size": (
        ("Finished", SMALL, {"names": ["a", "b", "c"], "shape": (1, 8, 8)}),
        r"was trained on images of shape \(1, 8, 8\), and these are \(1, 16, 16\)",
    ),
    "no network": (("own", SMALL, {}), "--classifier: names .* which is not a Module"),
    "no class of a network": (("DataSpec", SMALL, {}), "which is not a Module"),
    "nowhere": (("Nowhere", SMALL, {}), "which cannot be imported"),
}


@pytest.mark.parametrize(("given", "says"), WRONG.values(), ids=WRONG)
def test_an_own_class_that_does_not_fit_is_told_in_one_line(given: Any, says: str) -> None:
    name, shape, arguments = given
    with pytest.raises(InputError, match=says) as caught:
        own(name, shape, **arguments)
    assert "\n" not in str(caught.value)


def test_a_class_that_is_not_trusted_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "untrusted_net.py").write_text("raise AssertionError('imported')\n")
    for path in ("untrusted_net.Net", "cgd_lightning.networks.UNet", "os.system", "", None, 3):
        with pytest.raises(InputError, match="--classifier: "):
            own_classifier({"class_path": path}, SMALL, CPU, Trust(("other",)), "--classifier")
    assert "untrusted_net" not in sys.modules
