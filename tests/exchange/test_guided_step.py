"""A step as one graph gives what guidance gives, of every network and schedule of ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import (
    Cosine,
    Linear,
    ScaledLinear,
    Sigmoid,
    VarianceExploding,
)
from cgd_lightning.errors import InputError
from cgd_lightning.exchange.guided_step import GuidedStep
from cgd_lightning.exchange.meeting import covered
from cgd_lightning.exchange.onnx_graph import to_onnx
from cgd_lightning.exchange.step_check import largest_differences
from cgd_lightning.exchange.step_files import write_step
from cgd_lightning.exchange.step_graph import step_graph
from cgd_lightning.networks import (
    MLP,
    EncoderUNet,
    MLPClassifier,
    Network,
    NoisyConvNet,
    SuperRes,
    UNet,
)
from tests.checkpoints.test_checkpoints import randomised

SIZE, NAMES = 8, ("a", "b", "c")
PLAIN: dict[str, Any] = {
    "model_channels": 8,
    "num_res_blocks": 1,
    "channel_mult": (1, 2),
    "attention_resolutions": (),
    "norm_groups": 2,
}
ADM: dict[str, Any] = {
    **PLAIN,
    "channel_mult": (1,),
    "attention_resolutions": (1,),
    "num_head_channels": 4,
    "resblock_updown": True,
}
OTHER: dict[str, Any] = {
    **PLAIN,
    "use_checkpoint": True,
    "conv_resample": False,
    "use_scale_shift_norm": False,
    "use_new_attention_order": True,
    "num_heads": 2,
    "patch_size": 2,
}


def denoiser(
    network: Network | None = None,
    prediction: Any = "v",
    schedule: Any = None,
    size: int = SIZE,
    **options: Any,
) -> Denoiser:
    net = randomised(network or MLP(size, 1, 1, width=16, depth=1))
    data = DataSpec((1, size, size), NAMES)
    model = Denoiser(net, schedule or Cosine(), prediction, data, **options)
    return model.eval().requires_grad_(False)


def classifier(
    network: nn.Module | None = None, schedule: Any = None, size: int = SIZE
) -> NoisyClassifier:
    net: Any = network or MLPClassifier(size, 1, len(NAMES), width=16, depth=1)
    net = randomised(net) if isinstance(net, Network) else net
    model = NoisyClassifier(net, schedule or Cosine(), DataSpec((1, size, size), NAMES))
    return model.eval().requires_grad_(False)


Pair = tuple[Denoiser, NoisyClassifier]

ONE_LEVEL: dict[str, Any] = {**PLAIN, "channel_mult": (1,)}


def perceptrons() -> Pair:
    """The pair whose graph tests/commands/test_export_step.py writes in both forms."""
    return denoiser(prediction="eps"), classifier()


PAIRS: dict[str, Callable[[], Pair]] = {
    "noise alone, x0": lambda: (
        denoiser(prediction="x0", schedule=Cosine(zero_terminal_snr=True)),
        classifier(NoisyConvNet(SIZE, 1, 3, width=4, num_blocks=1)),
    ),
    "another schedule, a learned variance": lambda: (
        denoiser(MLP(SIZE, 1, 2, width=16, depth=1), "eps", Linear(), learned_variance=True),
        classifier(EncoderUNet(SIZE, 1, 3, pool="adaptive", **ONE_LEVEL)),
    ),
    "exploding variance, windows over the edge": lambda: (
        denoiser(prediction="eps", schedule=VarianceExploding(), size=7),
        classifier(NoisyConvNet(7, 1, 3, width=4, channel_mult=(1, 1), pooling="flatten"), size=7),
    ),
    "U-Net, patches and no convolutions, but in the classifier": lambda: (
        denoiser(UNet(SIZE, 1, 1, **OTHER)),
        classifier(EncoderUNet(SIZE, 1, 3, pool="spatial_v2", **{**OTHER, "conv_resample": True})),
    ),
    "a pool with a rectifier, eps": lambda: (
        denoiser(prediction="eps"),
        classifier(EncoderUNet(SIZE, 1, 3, pool="spatial", **ONE_LEVEL)),
    ),
}


def adm_pair() -> Pair:
    told = UNet(SIZE, 1, 2, num_classes=3, **ADM)
    return (
        denoiser(told, "eps", learned_variance=True),
        classifier(EncoderUNet(SIZE, 1, 3, **ADM)),
    )


def eager(pair: Pair) -> dict[str, float]:
    step = GuidedStep(*pair)
    return largest_differences(lambda inputs: step(*inputs), *pair)


@pytest.mark.parametrize(
    "make", [*PAIRS.values(), perceptrons, adm_pair], ids=[*PAIRS, "perceptrons", "ADM"]
)
def test_a_step_of_tensors_is_guidance(make: Callable[[], Pair]) -> None:
    assert max(eager(make()).values()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_its_graph_gives_the_same_for_any_number_of_images(make: Callable[[], Pair]) -> None:
    pair = make()
    run = step_graph(GuidedStep(*pair)).module()
    assert max(largest_differences(lambda inputs: run(*inputs), *pair).values()) < 2e-5


class Told(MLP):
    """A noise predictor that is told the class."""

    num_classes = 3

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return super().forward(x, t) + y[:, None, None, None]


@pytest.mark.slow
def test_heads_of_attention_and_a_class_that_is_told_go_to_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pair = (
        denoiser(Told(SIZE, 1, 1, width=16, depth=1)),
        classifier(EncoderUNet(SIZE, 1, 3, **ADM)),
    )
    written = write_step(*pair, tmp_path / "told.onnx", "onnx")
    assert max(written.differences.values()) < 1e-4
    assert {file.name for file in tmp_path.iterdir()} == {"told.onnx", "told.json"}


def test_a_wrong_formula_is_seen() -> None:
    pair = perceptrons()
    step = GuidedStep(*pair)

    def off(inputs: Any) -> list[Tensor]:
        x, t, alpha, sigma, weights, scale = inputs
        return list(step(x, t, alpha, sigma, weights, 1.01 * scale))

    differences = largest_differences(off, *pair)
    assert differences["eps"] > 1e-3
    assert differences["eps_unguided"] < 1e-5


def test_a_wrong_x0_is_seen_at_the_noisiest_level_where_no_eps_gave_it() -> None:
    for pair, error in ((PAIRS["noise alone, x0"](), 100.0), ((denoiser(), classifier()), 0.02)):
        off = _x0_off_at_the_end(pair, error)
        differences = largest_differences(off, *pair)
        assert differences["x0"] > 1e-3
        assert differences["x0_unguided"] > 1e-3
        assert differences["eps"] < 1e-5


def _x0_off_at_the_end(pair: Pair, error: float) -> Callable[[Any], list[Tensor]]:
    step = GuidedStep(*pair)

    def off(inputs: Any) -> list[Tensor]:
        x0, eps, unguided, *others = step(*inputs)
        wrong = error * (inputs[1] == 999)
        return [x0 + wrong, eps, unguided + wrong, *others]

    return off


@pytest.mark.parametrize("timesteps", [100, 250, 1000])
@pytest.mark.parametrize("kind", [Linear, ScaledLinear, Cosine, Sigmoid, VarianceExploding])
def test_a_classifier_of_the_same_schedule_covers_all_its_timesteps(
    kind: Any, timesteps: int
) -> None:
    pair = denoiser(schedule=kind(timesteps)), classifier(schedule=kind(timesteps))
    assert covered(*pair) == (0.0, timesteps - 1)


def test_what_another_schedule_covers_may_lie_between_timesteps() -> None:
    low, high = covered(denoiser(), classifier(schedule=Linear(beta_start=1e-3)))
    assert 0 < low < high < 999
    assert low != round(low)


class Gamma(nn.Module):
    """A classifier by the logarithm of the gamma function, which ONNX does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.lgamma(self.layer(x).square() + 1).mean(dim=(2, 3))


class Deciding(Gamma):
    """A classifier that looks at a number before it computes."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return super().forward(x, t) * (2.0 if float(x.detach().sum()) > 0 else 1.0)


def test_an_operator_that_onnx_lacks_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    with pytest.raises(InputError, match=r"operator prims\.lgamma"):
        write_step(denoiser(), classifier(Gamma()), tmp_path / "x.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_half_needs_half_the_room_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    layer = nn.Linear(8, 8, bias=False)
    nn.init.constant_(layer.weight, 0.5)
    graph = torch.export.export(layer, (torch.zeros(1, 8),))
    monkeypatch.setattr("cgd_lightning.exchange.onnx_graph.MOST_BYTES", 2 * 64)
    with pytest.raises(InputError, match="256 bytes of weights: a file of ONNX holds 128"):
        to_onnx(graph, ["x"], ["y"])
    assert to_onnx(graph, ["x"], ["y"], half=True).graph.node[0].op_type == "Cast"


def test_what_cannot_be_traced_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="MLP and Deciding: cannot be traced as one graph"):
        write_step(denoiser(), classifier(Deciding()), tmp_path / "x.pt2", "torch")
    assert list(tmp_path.iterdir()) == []


def test_models_that_have_no_such_step_are_refused() -> None:
    with pytest.raises(InputError, match="SuperRes enlarges images"):
        GuidedStep(denoiser(SuperRes(SIZE, 1, 1, small_size=4, **PLAIN)), classifier())
    trained = classifier(NoisyConvNet(SIZE, 1, 3, width=4)).train()
    with pytest.raises(InputError, match="in training mode"):
        GuidedStep(denoiser(), trained)
    with pytest.raises(InputError, match="trained on none of the noise levels"):
        covered(
            denoiser(schedule=VarianceExploding(sigma_min=0.01, sigma_max=0.02)),
            classifier(schedule=VarianceExploding(sigma_min=1, sigma_max=2)),
        )
