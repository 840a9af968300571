"""Published classifiers by name."""

import os
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from cgd_lightning.checkpoints.published import (
    Published,
    find_published,
    is_published,
    published_classifier,
)
from cgd_lightning.checkpoints.registries import Torchvision
from cgd_lightning.diffusion.classifier import CleanClassifier, Preprocessed
from cgd_lightning.errors import InputError
from tests.checkpoints.timm_stand_in import stand_in

CPU = torch.device("cpu")
SMALL = (1, 16, 16)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where torch.hub keeps what it has fetched, and nothing else to be had."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))

    def no_network(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


def fetched(cache: Path, model: str, weights: str, seed: int = 0) -> None:
    """Put the file of these weights where torchvision looks for it; random ones."""
    torch.manual_seed(seed)
    given = {"init_weights": False} if model in ("inception_v3", "googlenet") else {}
    network = models.get_model(model, **given)
    url = models.get_model_weights(model)[weights].url
    torch.save(network.state_dict(), cache / url.rpartition("/")[2])


def preprocessing(classifier: CleanClassifier) -> Preprocessed:
    assert isinstance(classifier.network, Preprocessed)
    return classifier.network


def test_a_name_says_library_model_weights_and_classes() -> None:
    for name, wanted in {
        "torchvision:resnet18": Published("torchvision", "resnet18"),
        "torchvision:resnet50.IMAGENET1K_V2": Published("torchvision", "resnet50", "IMAGENET1K_V2"),
        "timm:resnet18.a1_in1k": Published("timm", "resnet18", "a1_in1k"),
        "timm:resnet18.untrained:12": Published("timm", "resnet18", "untrained", 12),
    }.items():
        assert is_published(name)
        assert Published.of(name) == wanted
        assert str(wanted) == name
    for name in ("runs/judge", "resnet18", "timm", "torch:load", "os:system", "C:\\runs", ""):
        assert not is_published(name)


def test_the_registry_tells_size_normalisation_and_class_names(cache: Path) -> None:
    fetched(cache, "resnet18", "DEFAULT")
    classifier = published_classifier("torchvision:resnet18", (3, 32, 32), CPU)
    assert len(classifier.class_names) == 1000
    assert classifier.class_names[:2] == ("tench", "goldfish")
    ready = preprocessing(classifier)
    assert (ready.size, ready.channels) == (224, 3)
    assert ready.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert ready.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])
    assert not ready.network.training
    assert not any(weight.requires_grad for weight in classifier.parameters())


def test_torchvision_tells_the_same_things_of_all_its_classifiers() -> None:
    registry = Torchvision()
    assert {"resnet18", "vit_b_16", "swin_t", "alexnet"} <= set(registry.models())
    for model in registry.models():
        assert registry.kind(model)
        for weights in registry.weights(model):
            chosen = models.get_model_weights(model)[weights]
            told = vars(chosen.transforms())
            assert all(len(told[name]) == 3 for name in ("mean", "std"))
            assert len(told["crop_size"]) == 1
            assert len(chosen.meta["categories"]) == 1000


@pytest.mark.parametrize(
    ("model", "size"),
    [("shufflenet_v2_x0_5", 224), ("efficientnet_b3", 300), ("inception_v3", 299)],
)
def test_logits_are_those_of_the_librarys_own_model_under_its_own_transforms(
    model: str, size: int, cache: Path
) -> None:
    fetched(cache, model, "DEFAULT", seed=1)
    weights = models.get_model_weights(model)["DEFAULT"]
    theirs = models.get_model(model, weights=weights).eval()
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    with torch.no_grad():
        wanted = theirs(weights.transforms(resize_size=size)(pixels))
        classifier = published_classifier(f"torchvision:{model}", (3, size, size), CPU)
        assert preprocessing(classifier).size == size
        got = classifier.logits(pixels.float() / 127.5 - 1)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert float(wanted.std()) > 0


def test_a_gradient_reaches_the_image_through_resizing_and_channels(cache: Path) -> None:
    fetched(cache, "shufflenet_v2_x0_5", "DEFAULT")
    classifier = published_classifier("torchvision:shufflenet_v2_x0_5", SMALL, CPU)
    x0 = torch.rand(2, *SMALL).requires_grad_()
    classifier.logits(x0)[:, 7].sum().backward()
    assert x0.grad is not None
    assert bool((x0.grad != 0).any(dim=(1, 2, 3)).all())


def test_named_weights_are_those_that_are_read(cache: Path) -> None:
    fetched(cache, "mobilenet_v2", "IMAGENET1K_V1", seed=1)
    fetched(cache, "mobilenet_v2", "IMAGENET1K_V2", seed=2)
    x0 = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        first, second, default = (
            published_classifier(f"torchvision:mobilenet_v2{weights}", (3, 64, 64), CPU).logits(x0)
            for weights in (".IMAGENET1K_V1", ".IMAGENET1K_V2", "")
        )
    assert not torch.equal(first, second)
    assert torch.equal(second, default)


def test_untrained_weights_are_the_same_each_time_and_leave_the_random_stream_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = published_classifier("torchvision:shufflenet_v2_x0_5.untrained:12", SMALL, CPU)
    assert torch.equal(torch.rand(3), wanted)
    again = published_classifier("torchvision:shufflenet_v2_x0_5.untrained:12", SMALL, CPU)
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    assert first.class_names == tuple(map(str, range(12)))
    assert first.logits(torch.zeros(2, *SMALL)).shape == (2, 12)
    assert preprocessing(first).size is None


class Ran:
    """What runs a program where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch ran",)


def test_a_file_of_weights_is_read_as_tensors_alone(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = cache / models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    torch.save({"conv1.weight": Ran()}, file)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(InputError, match="holds more than tensors"):
        published_classifier("torchvision:resnet18", SMALL, CPU)
    assert not Path("ran").exists()
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    with open(file, "rb"):
        torch.load(file, weights_only=False)
    assert Path("ran").exists()


def test_weights_that_cannot_be_fetched_are_told_in_one_line_and_nothing_is_printed(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        InputError,
        match=r"torchvision:resnet18: its weights could not be fetched, "
        r"URLError: .*no network.*; they are needed once",
    ):
        published_classifier("torchvision:resnet18", SMALL, CPU)
    assert capsys.readouterr().out == ""
    assert not list(cache.iterdir())


UNKNOWN = {
    "torchvision:resnet19": "lists no classifier resnet19; did you mean resnet18",
    "torchvision:ResNet18": "did you mean resnet18",
    "torchvision:qqqq": "it has .* others",
    "torchvision:mobilenet_v2.V1": "lists no weights V1 of mobilenet_v2 .* wanted IMAGENET1K_V1, "
    "IMAGENET1K_V2, DEFAULT, untrained",
    "torchvision:vgg16.IMAGENET1K_FEATURES": "wanted IMAGENET1K_V1, DEFAULT, untrained",
    "torchvision:fasterrcnn_resnet50_fpn": "one of torchvision.models.detection.faster_rcnn",
    "torchvision:fcn_resnet50": "one of torchvision.models.segmentation.fcn",
    "torchvision:r3d_18": "one of torchvision.models.video.resnet",
    "torchvision:raft_small": "one of torchvision.models.optical_flow.raft",
    "torchvision:quantized_resnet18": "one of torchvision.models.quantization.resnet",
    "torchvision:resnet18:10": "give torchvision:resnet18.untrained:10",
    "torchvision:resnet18.untrained:1": "1 classes; wanted 2 to 10000",
    "torchvision:resnet18.untrained:10001": "10001 classes; wanted 2 to 10000",
}


@pytest.mark.parametrize(("name", "says"), UNKNOWN.items(), ids=UNKNOWN)
def test_what_torchvision_does_not_list_is_told_before_anything_is_made(
    name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "get_model", None)
    for look_up in (find_published, lambda name: published_classifier(name, SMALL, CPU)):
        with pytest.raises(InputError, match=says) as caught:
            look_up(name)
        assert str(caught.value).startswith(f"{name}: ")
        assert "\n" not in str(caught.value)


HOSTILE = [
    "torchvision:../x",
    "torchvision:",
    "torchvision:.",
    "torchvision:os.system",
    "torchvision:os.system:12",
    "torchvision:_api.load_state_dict_from_url",
    "torchvision:get_model",
    "torchvision:resnet",
    "torchvision:resnet18()",
    "torchvision:resnet18.IMAGENET1K_V1.url",
    "torchvision:resnet18.__class__",
    "torchvision:resnet18.mro",
    "torchvision:resnet18\n",
    "torchvision:resnet18.untrained:-3",
    "torchvision:resnet18.untrained:\u0663\u0663",
    "torchvision:r\u00e9snet18",
    "torchvision:resnet18 ",
    "torchvision:" + "a" * 100,
    "torchvision:" + "a" * 10**6,
    "torchvision:" + "resnet18." * 1000,
    "timm:hf-hub:evil/net",
    "timm:hf_hub:evil/net",
    "timm:local-dir:/tmp/evil",
    "timm:/tmp/evil",
    "timm:load_checkpoint",
    "os:system",
    "torch.hub:load",
    "builtins:eval",
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:40]))
def test_a_name_reaches_nothing_but_listed_models(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch)
    find_published("torchvision:resnet18")
    find_published("timm:net")
    before = set(sys.modules)
    monkeypatch.setattr(models, "get_model", None)
    monkeypatch.setattr(sys.modules["timm"], "create_model", None)
    with pytest.raises(InputError) as caught:
        published_classifier(name, SMALL, CPU)
    told = ("lists no", "no name of a published", "have their own number of classes")
    assert any(words in str(caught.value) for words in told)
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()
    assert set(sys.modules) == before


def test_a_library_that_is_not_there_is_told_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for library, module in {"timm": "timm", "torchvision": "torchvision.models"}.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match=f"{library}:resnet18: .* pip install {library}$"):
            published_classifier(f"{library}:resnet18", SMALL, CPU)


def test_timm_tells_weights_transforms_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch)
    for name, names, logits in (
        ("timm:net", tuple("abcd"), 0.0),
        ("timm:net.a", tuple("abcd"), 0.0),
        ("timm:net.b", ("tench", "goldfish", "shark", "ray"), 10.0),
        ("timm:net.untrained", tuple("0123"), None),
        ("timm:net.untrained:7", tuple("0123456"), None),
    ):
        classifier = published_classifier(name, (1, 8, 8), CPU)
        assert classifier.class_names == names
        ready = preprocessing(classifier)
        assert (ready.size, ready.channels) == (16, 3)
        assert ready.mean.flatten().tolist() == pytest.approx([0.2, 0.4, 0.6])
        if logits is not None:
            assert classifier.logits(torch.rand(2, 1, 8, 8)).flatten().tolist() == [logits] * 8


def test_what_timm_does_not_list_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch)
    for name, says in {
        "timm:nett": "lists no classifier nett; did you mean net",
        "timm:net.c": "lists no weights c of net that classify images; wanted a, b, untrained",
        "timm:net.features": "lists no weights features of net that classify images",
        "timm:bare": "lists no weights of bare that classify images; wanted untrained",
    }.items():
        with pytest.raises(InputError, match=says):
            find_published(name)


def test_the_real_timm_gives_what_it_says_of_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(3)
    theirs = timm.create_model("test_resnet.r160_in1k").eval()
    monkeypatch.setattr(
        "timm.models._builder.load_state_dict_from_hf", lambda *_, **__: theirs.state_dict()
    )
    classifier = published_classifier("timm:test_resnet.r160_in1k", (3, 160, 160), CPU)
    assert classifier.class_names[:2] == ("tench", "goldfish")
    assert len(classifier.class_names) == 1000
    assert preprocessing(classifier).size == theirs.pretrained_cfg["input_size"][-1]
    config = timm.data.resolve_model_data_config(theirs)
    pixels = torch.randint(0, 256, (2, 3, 160, 160))
    mean, std = (torch.tensor(config[name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        wanted = theirs((pixels / 255 - mean) / std)
        got = classifier.logits(pixels / 127.5 - 1)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    grey = published_classifier("timm:test_vit.untrained:12", SMALL, CPU)
    assert grey.logits(torch.zeros(2, *SMALL)).shape == (2, 12)
    for name, says in {
        "timm:resnet18.nothing": "wanted a1_in1k",
        "timm:resnet19": "did you mean .*resnet18",
        "timm:vit_small_patch14_dinov2.lvd142m": "lists no weights lvd142m",
    }.items():
        with pytest.raises(InputError, match=says):
            find_published(name)
