"""The words of other projects are answered with ours, and ours exist."""

from inspect import signature

import pytest

import cgd_lightning
from cgd_lightning.commands.main import COMMANDS
from cgd_lightning.configuration import words
from cgd_lightning.configuration.words import meant_command, meant_option, meant_value

TRAINS = [
    "--config",
    "--help",
    "--ckpt_path",
    "--data",
    "--data.help",
    "--guided_sampler.batch_size",
    "--guided_sampler.scale",
    "--model",
    "--model.help",
    "--seed_everything",
    "--trainer.default_root_dir",
    "--trainer.max_epochs",
    "--trainer.max_steps",
    "--trainer.precision",
]
SAMPLES = [
    "--batch_size",
    "--ckpt",
    "--classifier",
    "--guidance",
    "--help",
    "--labels",
    "--num_samples",
    "--out",
    "--precision",
    "--sampler",
    "--sampler.help",
    "--scale",
    "--seed",
]


@pytest.mark.parametrize(
    ("given", "training", "sampling"),
    [
        ("--lr", "--model.optimizer.lr", None),
        ("--steps=3", "--trainer.max_steps", "--sampler.steps"),
        ("--max_epochs", "--trainer.max_epochs", None),
        ("--batch_size", "--data.batch_size", "--batch_size"),
        ("--batch-size", "--data.batch_size", "--batch_size"),
        ("--guidance_scale", "--guided_sampler.scale", "--scale"),
        ("--num_inference_steps", "--trainer.max_steps", "--sampler.steps"),
        ("--model_path", "--ckpt_path", "--ckpt"),
        ("--output_dir", "--trainer.default_root_dir", "--out"),
        ("--seed", "--seed_everything", "--seed"),
        ("--sclae", None, "--scale"),
        ("--timestep_respacing", None, "--sampler.spacing"),
        ("--use_ddim", None, "--sampler DDIM"),
        ("--use_fp16", "--trainer.precision bf16-mixed", "--precision bf16"),
        ("--data_dir", "--data Folder --data.root", None),
        ("--wingspan", None, None),
    ],
)
def test_an_option_of_others_is_answered_with_ours(
    given: str, training: str | None, sampling: str | None
) -> None:
    assert meant_option(given, TRAINS) == training
    assert meant_option(given, SAMPLES) == sampling


def test_what_is_offered_for_an_option_of_a_class_is_one() -> None:
    made = {
        "model": cgd_lightning.DiffusionModule,
        "model.network": cgd_lightning.UNet,
        "sampler": cgd_lightning.DDIM,
        "guided_sampler": cgd_lightning.GuidedSampler,
    }
    ours = {*words.OPTIONS.values(), *words.TRAINING.values()}
    for option in ours:
        of, _, name = option.rpartition(".")
        if of in made:
            assert name in signature(made[of]).parameters, option
        if of == "data":
            assert any(
                name in signature(cls).parameters
                for cls in (cgd_lightning.MNIST, cgd_lightning.Digits, cgd_lightning.Folder)
            ), option


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("ddim", "DDIM"),
        ("DDIMScheduler", "DDIM"),
        ("DPMSolverMultistepScheduler", "DPMSolver"),
        ("dpm++", "DPMSolver"),
        ("EulerDiscreteScheduler", "Euler"),
        ("Huen", "Heun"),
        ("Foo", None),
        ("", None),
    ],
)
def test_a_class_is_known_by_the_names_of_others(given: str, ours: str | None) -> None:
    assert meant_value(given, ["DDIM", "DDPM", "DPMSolver", "Euler", "Heun"]) == ours


def test_a_command_of_others_is_answered_with_ours() -> None:
    assert [meant_command(word, COMMANDS) for word in ("train", "generate", "smaple", "xyz")] == [
        "fit",
        "sample",
        "sample",
        None,
    ]
    assert set(words.COMMANDS.values()) <= COMMANDS.keys()
