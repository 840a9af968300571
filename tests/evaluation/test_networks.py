"""Feature networks: their numbers are those of independent code, their files are their own."""

import hashlib
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer as Torchvision

from cgd_lightning.checkpoints.state_dicts import Weights
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.networks import dinov2, efficientnet, inception
from cgd_lightning.evaluation.networks.efficientnet import as_features
from cgd_lightning.evaluation.networks.lite0 import EfficientNetLite0
from cgd_lightning.evaluation.networks.named import NETWORKS, feature_network
from cgd_lightning.evaluation.networks.vit import VisionTransformer

CPU = torch.device("cpu")


def images(n: int, channels: int = 3, size: int = 28, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (n, channels, size, size)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_the_package_of_efficientnet_lite0_holds_the_weights_that_are_known() -> None:
    features = feature_network("efficientnet-lite0", None, CPU)
    assert features.hash == "85368ec86f6b70ff"
    seen = features(images(2))
    assert (seen.features.shape, seen.logits.shape) == ((2, 1280), (2, 1000))
    grey = images(2, channels=1)
    assert torch.equal(features(grey).features, features(grey.expand(-1, 3, -1, -1)).features)
    assert (features.frechet, features.score) == ("fid_lite", "inception_score_lite")


TOP = [818, 782, 604, 644, 872]
VALUES = [5.0952, 4.5051, 3.6796, 3.4237, 3.4147]


def test_efficientnet_lite0_computes_as_tensorflow_would() -> None:
    """Outputs of the published weights by another project's code (efficientnet-lite-pytorch 0.1.0).

    The image is a ramp in each colour, so that it needs no file.
    """
    lite0 = feature_network("efficientnet-lite0", None, CPU).network.network
    ramp = torch.linspace(-1, 1, 224).expand(1, 1, 224, 224)
    x = torch.cat([ramp, ramp.mT, ramp * ramp.mT], dim=1)
    with torch.no_grad():
        logits = lite0.head(lite0(x))[0]  # type: ignore[operator, union-attr]
    assert logits.topk(5).indices.tolist() == TOP
    assert logits.topk(5).values.tolist() == pytest.approx(VALUES, abs=2e-3)


def test_a_network_with_a_normalised_residual_is_the_same_at_any_batch_size() -> None:
    torch.manual_seed(0)
    features = as_features(EfficientNetLite0(), CPU)
    some = images(3)
    together, alone = features(some), features(some[1:2])
    assert torch.allclose(together.features[1:2], alone.features, atol=1e-5)


def test_another_file_of_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"w": torch.zeros(1)}, tmp_path / "w.pth")
    digits = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    for name, module in (("efficientnet-lite0", efficientnet), ("inception", inception)):
        with pytest.raises(InputError, match=r"w\.pth: not .*SHA-256") as refused:
            feature_network(name, str(tmp_path / "w.pth"), CPU)
        assert "\n" not in str(refused.value)
        monkeypatch.setattr(module, "PUBLISHED", Weights(digits, "this"))
    with pytest.raises(InputError, match=r"w\.pth: weights of another network"):
        feature_network("inception", str(tmp_path / "w.pth"), CPU)
    with pytest.raises(InputError, match=r"w\.pth: weights of another network"):
        feature_network("dinov2", str(tmp_path / "w.pth"), CPU)


def test_what_is_not_here_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, url in (("inception", inception.URL), ("dinov2", dinov2.URL)):
        with pytest.raises(InputError, match="its weights are not here; give them with --weights"):
            feature_network(name, None, CPU)
        file = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"damaged")
        with pytest.raises(InputError, match=r"SHA-256|not a readable"):
            feature_network(name, None, CPU)
    monkeypatch.setitem(sys.modules, efficientnet.PACKAGE, None)  # as if it were not installed
    with pytest.raises(InputError, match=r'pip install "cgd-lightning\[features\]"$'):
        feature_network("efficientnet-lite0", None, CPU)
    with pytest.raises(InputError, match="no such network; wanted judge, efficientnet-lite0, "):
        feature_network("vgg", None, CPU)
    with pytest.raises(InputError, match="takes no file of weights"):
        feature_network("random", "w.pth", CPU)


@pytest.fixture(scope="module")
def weights_of_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights for torch-fidelity's network, in the older format."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Empty(FeatureExtractorInceptionV3):
        def load_state_dict(self, state: object) -> None:  # type: ignore[override]
            pass

    file = tmp_path_factory.mktemp("inception") / "w.pth"
    torch.save({}, file)
    torch.manual_seed(0)
    state = Empty("inception-v3-compat", ["2048"], str(file)).state_dict()
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file


def test_inception_is_the_network_of_torch_fidelity(
    weights_of_inception: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    digits = hashlib.sha256(weights_of_inception.read_bytes()).hexdigest()
    monkeypatch.setattr(inception, "PUBLISHED", Weights(digits[:8], "this"))
    features = feature_network("inception", str(weights_of_inception), CPU)
    assert (features.frechet, features.score) == ("fid", "inception_score")
    theirs = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], str(weights_of_inception)
    )
    some = images(2, size=20)
    seen, wanted = features(some), theirs(some)
    assert torch.equal(seen.features, wanted[0])
    assert torch.equal(seen.logits, wanted[1])


def test_the_vision_transformer_is_torchvision_s_with_scales() -> None:
    torch.manual_seed(0)
    theirs = Torchvision(42, 14, 2, 4, 24, 96, num_classes=2).eval()
    ours = VisionTransformer(24, 2, 4, 3).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    state = {}
    for name, tensor in theirs.state_dict().items():
        for theirs_is, ours_is in NAMES:
            name = name.replace(theirs_is, ours_is)
        state[name] = tensor
    scales = {name: torch.ones(24) for name in ours.state_dict() if name.endswith("gamma")}
    state = {name: tensor for name, tensor in state.items() if "heads" not in name}
    ours.load_state_dict(state | scales)
    theirs.heads = nn.Identity()  # type: ignore[assignment]
    x = torch.randn(2, 3, 42, 42)
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
        for name, parameter in ours.named_parameters():
            if name.endswith("ls1.gamma"):
                parameter.zero_()
        theirs.encoder.layers.apply(_without_attention)
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def _without_attention(module: nn.Module) -> None:
    if isinstance(module, nn.MultiheadAttention):
        nn.init.zeros_(module.out_proj.weight)
        nn.init.zeros_(module.out_proj.bias)


NAMES = (
    ("class_token", "cls_token"),
    ("encoder.pos_embedding", "pos_embed"),
    ("conv_proj", "patch_embed.proj"),
    ("encoder.layers.encoder_layer_", "blocks."),
    ("ln_1", "norm1"),
    ("ln_2", "norm2"),
    ("self_attention.in_proj_", "attn.qkv."),
    ("self_attention.out_proj", "attn.proj"),
    ("mlp.0", "mlp.fc1"),
    ("mlp.3", "mlp.fc2"),
    ("encoder.ln", "norm"),
)


def test_positions_are_interpolated_to_the_patches_of_an_image() -> None:
    network = VisionTransformer(8, 1, 2, 6)
    ramp = torch.linspace(0, 1, 6)[None, None, None].expand(1, 8, 6, 6)
    with torch.no_grad():
        network.pos_embed[:, 1:] = ramp.flatten(2).mT
    positions = network._positions(3, 4)
    assert positions.shape == (1, 12, 8)
    columns = positions[0, :, 0].detach().unflatten(0, (3, 4))
    assert torch.allclose(columns[0], columns[2], atol=1e-5)
    assert (columns[0].diff() > 0).all()
    assert columns[0].mean() == pytest.approx(0.5, abs=0.02)


def test_dinov2_is_read_from_a_file_of_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"width": 24, "depth": 2, "heads": 4, "side": 37}
    monkeypatch.setattr(dinov2, "LARGE", small)
    torch.manual_seed(0)
    network = VisionTransformer(**small).eval()
    state = network.state_dict() | {"mask_token": torch.zeros(1, 24)}
    torch.save(state, tmp_path / "w.pth")
    features = feature_network("dinov2", str(tmp_path / "w.pth"), CPU)
    assert features.frechet == "fd_dinov2"
    some = images(2, size=224)
    seen = features(some)
    assert (seen.features.shape, seen.logits.shape) == ((2, 24), (2, 0))
    mean, std = torch.tensor(dinov2.MEAN), torch.tensor(dinov2.STD)
    unit = (some / 255 - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        assert torch.allclose(seen.features, network(unit), atol=1e-5)
    state["norm.bias"] = torch.full((24,), torch.nan)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: its weights are not finite"):
        feature_network("dinov2", str(tmp_path / "w.pth"), CPU)


def test_random_features_are_always_the_same_and_keep_their_size() -> None:
    before = torch.get_rng_state()
    one, other = (feature_network("random", None, CPU) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert one.hash == other.hash
    seen = one(images(50, channels=1))
    assert seen.features.shape == (50, 128)
    assert 0.05 < seen.features.mean() < 0.5  # He et al.'s weights neither blow up nor fade
    assert set(NETWORKS) == {"efficientnet-lite0", "inception", "dinov2", "random"}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seeing.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


OWN = """
import torch
from torch import nn
from cgd_lightning.evaluation.networks.random import random

class Mean(nn.Module):
    def forward(self, x0):
        return x0.mean(dim=(2, 3))

class Two(Mean):
    def forward(self, x0):
        return super().forward(x0), x0.flatten(1)[:, :2]

class Wrong(nn.Module):
    def forward(self, x0):
        return x0

class Fails(nn.Module):
    def forward(self, x0):
        raise RuntimeError("no such\\nthing")

class Wants(nn.Module):
    def __init__(self, width):
        super().__init__()

def named():
    return random(None, torch.device("cpu"))

number = int
"""


@pytest.mark.usefixtures("own")
def test_any_module_is_a_feature_network() -> None:
    some = images(4)
    mean = feature_network("seeing.Mean", None, CPU)(some)
    assert torch.allclose(mean.features, (some / 127.5 - 1).mean(dim=(2, 3)), atol=1e-6)
    assert mean.logits.shape == (4, 0)
    assert feature_network("seeing.Two", None, CPU)(some).logits.shape == (4, 2)
    assert feature_network("seeing.named", None, CPU).name == "random"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "Wrong",
            r"features of shape \(4, 3, 28, 28\) .* of 4 images; wanted real numbers \(4, d\)",
        ),
        ("Fails", "fails on images of shape .* RuntimeError: no such thing"),
        ("Wants", "cannot be imported and made without arguments: TypeError"),
        ("Nothing", "cannot be imported and made without arguments: AttributeError"),
        ("number", r"a int; wanted a torch\.nn\.Module"),
    ],
)
def test_what_is_no_feature_network_is_told_in_one_line(name: str, says: str) -> None:
    with pytest.raises(InputError, match=f"--features seeing.{name}: {says}"):
        feature_network(f"seeing.{name}", None, CPU)(images(4))
