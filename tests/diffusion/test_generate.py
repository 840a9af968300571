import pytest
import torch
from torch import nn

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance, Interval
from cgd_lightning.diffusion.samplers import DDIM, DDPM
from cgd_lightning.diffusion.schedules import Cosine
from cgd_lightning.errors import InputError
from cgd_lightning.networks import ConvNet, EncoderUNet, UNet

RULE = Chain([Clamp(), ClassifierGuidance(2.0)])
SMALL = {
    "model_channels": 8,
    "channel_mult": (1, 2),
    "num_res_blocks": 1,
    "attention_resolutions": (2,),
}


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Weights from `seed` alone: those of normalisations near 1, the others near 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 400
        normal = isinstance(
            network.get_submodule(name.rpartition(".")[0]), nn.GroupNorm
        ) and name.endswith("weight")
        parameter.data.copy_(normal + noise / fan_in**0.5)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pair() -> tuple[Denoiser, NoisyClassifier]:
    data = DataSpec((1, 8, 8), ("a", "b", "c"))
    denoiser = Denoiser(randomised(UNet(8, 1, 1, **SMALL), 0), Cosine(), "eps", data)
    return denoiser, NoisyClassifier(randomised(EncoderUNet(8, 1, 3, **SMALL), 1), Cosine(), data)


def images(pair, labels, **options) -> torch.Tensor:
    sampler = options.pop("sampler", DDPM(6))
    chunks = generate(pair[0], labels, sampler, RULE, pair[1], **options)
    return torch.cat([chunk for _, chunk in chunks])


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(pair) -> None:
    first = images(pair, [0, 1, 2, 0, 1], seed=3)
    assert first.dtype == torch.uint8
    assert first.shape == (5, 1, 8, 8)
    assert torch.equal(first, images(pair, [0, 1, 2, 0, 1], seed=3))
    assert not torch.equal(first, images(pair, [0, 1, 2, 0, 1], seed=4))


def test_targets_may_be_written_and_no_rule_guides_nothing(pair) -> None:
    assert torch.equal(images(pair, ["a", "c", "a|b"]), images(pair, [0, 2, (1.0, 1.0, 0.0)]))
    alone, off = (
        torch.cat([chunk for _, chunk in generate(pair[0], ["a", "b"], DDIM(3), *rule)])
        for rule in ((), (Chain([]),))
    )
    assert torch.equal(alone, off)
    with pytest.raises(InputError, match="label d: wanted a class name or an index from 0 to 2"):
        generate(pair[0], ["d"], DDIM(3))
    with pytest.raises(InputError, match="a classifier and no rule: give ClassifierGuidance"):
        generate(pair[0], ["a"], DDIM(3), classifier=pair[1])


def test_images_of_bytes_are_no_input_of_a_network(pair) -> None:
    denoiser, classifier = pair
    made = images(pair, [0, 1])
    t = torch.zeros(2)
    said = r"images of uint8: a network reads floats.*model\.data\.codec\.encode\(images\)"
    judge = CleanClassifier(randomised(ConvNet(8, 1, 3, width=4), 2), classifier.data)
    for ask in (
        lambda x: classifier.logits(x, t),
        lambda x: classifier.log_prob(x, t),
        lambda x: denoiser(x, denoiser.schedule.level(10)).x0,
        judge.logits,
        judge.features,
    ):
        with pytest.raises(InputError, match=said):
            ask(made)
        assert ask(classifier.data.codec.encode(made)).isfinite().all()


def test_every_image_has_noise_of_its_own_in_every_batch(pair) -> None:
    result = images(pair, [1] * 6, batch_size=2)
    assert len({tuple(image.flatten().tolist()) for image in result}) == 6


def test_images_do_not_depend_on_the_number_of_processes(pair) -> None:
    labels = [0, 1, 2, 0, 1, 2, 0]
    whole = list(generate(pair[0], labels, DDPM(6), RULE, pair[1], batch_size=2))
    assert [(start, len(chunk)) for start, chunk in whole] == [(0, 2), (2, 2), (4, 2), (6, 1)]
    for processes in (2, 3, 5):
        for rank in range(processes):
            mine = list(
                generate(
                    pair[0], labels, DDPM(6), RULE, pair[1], batch_size=2, shard=(rank, processes)
                )
            )
            assert len(mine) == len(whole[rank::processes])
            for (start, chunk), (expected_start, expected) in zip(mine, whole[rank::processes]):
                assert start == expected_start
                assert torch.equal(chunk, expected)


def test_chunks_that_are_there_are_not_made_and_the_others_are_the_same(pair) -> None:
    labels = [0, 1, 2, 0, 1, 2, 0]
    whole = dict(generate(pair[0], labels, DDPM(6), RULE, pair[1], batch_size=2))
    steps: list[int] = []
    options = {"skip": {0, 4}, "progress": lambda: steps.append(1)}
    rest = dict(generate(pair[0], labels, DDPM(6), RULE, pair[1], batch_size=2, **options))
    assert list(rest) == [2, 6]
    assert len(steps) == 12
    assert all(torch.equal(chunk, whole[start]) for start, chunk in rest.items())


def test_images_depend_on_the_batch_size_by_one_grey_level_at_most(pair) -> None:
    labels = [0, 1, 2, 0, 1, 2, 0]
    difference = images(pair, labels, batch_size=7).int() - images(pair, labels, batch_size=3).int()
    assert difference.abs().max() <= 1


def test_the_class_asked_for_changes_the_image(pair) -> None:
    assert not torch.equal(images(pair, [0]), images(pair, [1]))


def test_a_class_conditional_network_is_told_the_label() -> None:
    network = randomised(UNet(8, 1, 1, num_classes=3, **SMALL), 0)
    denoiser = Denoiser(network, Cosine(), "eps", DataSpec((1, 8, 8), ("a", "b", "c")))
    unguided = [
        dict(generate(denoiser, [label], DDIM(4), ClassifierGuidance(0)))[0] for label in (0, 1)
    ]
    assert not torch.equal(*unguided)


def test_progress_is_told_after_every_step_of_every_chunk(pair) -> None:
    steps = []
    images(pair, [0, 1, 2], batch_size=2, progress=lambda: steps.append(1))
    assert len(steps) == 12


def test_bf16_gives_nearly_the_same_images(pair) -> None:
    exact, rough = (
        images(pair, [0, 1, 2], dtype=dtype, sampler=DDIM(10)).float()
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert not torch.equal(exact, rough)
    assert (exact - rough).abs().median() <= 2


def test_wrong_labels_are_refused_before_any_work(pair) -> None:
    with pytest.raises(ValueError, match=r"label 3: the classes are 0 to 2 \(a, b, c\)"):
        generate(pair[0], [0, 3], DDIM(4), RULE, pair[1])
    with pytest.raises(ValueError, match="no labels"):
        generate(pair[0], [], DDIM(4), RULE, pair[1])
    with pytest.raises(ValueError, match="1001 steps"):
        generate(pair[0], [0], DDIM(1001), RULE, pair[1])
    with pytest.raises(ValueError, match="0 at all 4 levels"):
        generate(pair[0], [0], DDIM(4), ClassifierGuidance(2.0, Interval(50, 60)), pair[1])
    with pytest.raises(ValueError, match="batch_size 0"):
        generate(pair[0], [0], DDIM(4), RULE, pair[1], batch_size=0)


def test_a_sample_that_overflows_says_from_which_step_on(pair) -> None:
    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return x * (torch.nan if t[0] < 500 else 1)

    denoiser = Denoiser(Breaks(), Cosine(), "eps", DataSpec((1, 8, 8), ("a",)))
    with pytest.raises(
        FloatingPointError,
        match=r"diffusion model's prediction is not finite at step 6 of 11 \(t = 499.5\)",
    ):
        list(generate(denoiser, [0], DDIM(11), ClassifierGuidance(0)))


def test_generating_leaves_the_global_random_state_alone(pair) -> None:
    before = torch.get_rng_state()
    images(pair, [0])
    assert torch.equal(before, torch.get_rng_state())
