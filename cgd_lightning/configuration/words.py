"""Words of Lightning, diffusers and guided-diffusion, and what they are called here."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

COMMANDS = {
    "train": "fit",
    "training": "fit",
    "generate": "sample",
    "inference": "sample",
    "sampling": "sample",
    "eval": "evaluate",
    "fid": "evaluate",
    "counterfactual": "edit",
    "img2img": "edit",
    "nll": "likelihood",
    "import": "convert",
    "push": "export",
}

OPTIONS = {
    "attention_resolutions": "model.network.attention_resolutions",
    "batch_size": "data.batch_size",
    "beta_schedule": "data.schedule",
    "cfg_scale": "scale",
    "channel_mult": "model.network.channel_mult",
    "checkpoint": "ckpt",
    "ckpt_path": "ckpt",
    "class_labels": "labels",
    "classes": "labels",
    "classifier_path": "classifier",
    "classifier_scale": "scale",
    "data_dir": "data Folder --data.root",
    "dataloader_num_workers": "data.num_workers",
    "dataset": "data",
    "dataset_name": "data",
    "ddim_steps": "sampler.steps",
    "ema_rate": "model.ema_decay",
    "epochs": "trainer.max_epochs",
    "eta": "sampler.eta",
    "fake": "samples",
    "fp16": "precision",
    "gpus": "trainer.devices",
    "gradient_accumulation_steps": "trainer.accumulate_grad_batches",
    "guidance_scale": "scale",
    "image_size": "data.image_size",
    "iterations": "trainer.max_steps",
    "labels": "to",
    "learn_sigma": "model.learned_variance",
    "learning_rate": "model.optimizer.lr",
    "log_interval": "trainer.log_every_n_steps",
    "logging_dir": "trainer.default_root_dir",
    "lr": "model.optimizer.lr",
    "lr_anneal_steps": "trainer.max_steps",
    "lr_scheduler": "model.decay",
    "lr_warmup_steps": "model.warmup_steps",
    "max_grad_norm": "trainer.gradient_clip_val",
    "max_train_steps": "trainer.max_steps",
    "microbatch": "trainer.accumulate_grad_batches",
    "mixed_precision": "precision",
    "model_path": "ckpt",
    "noise_schedule": "data.schedule",
    "num_channels": "model.network.model_channels",
    "num_epochs": "trainer.max_epochs",
    "num_images": "num_samples",
    "num_images_per_prompt": "num_samples",
    "num_inference_steps": "sampler.steps",
    "num_res_blocks": "model.network.num_res_blocks",
    "num_samples": "num_images",
    "num_steps": "sampler.steps",
    "num_train_epochs": "trainer.max_epochs",
    "num_workers": "data.num_workers",
    "optimizer": "model.optimizer",
    "outdir": "out",
    "output": "out",
    "output_dir": "out",
    "prediction_type": "model.prediction",
    "pretrained_model_name_or_path": "ckpt",
    "prompt": "labels",
    "real": "reference",
    "report_to": "trainer.logger",
    "resolution": "data.image_size",
    "resume": "ckpt_path",
    "resume_checkpoint": "ckpt_path",
    "resume_from_checkpoint": "ckpt_path",
    "sample_steps": "sampler.steps",
    "save_dir": "out",
    "scheduler": "sampler",
    "seed": "seed_everything",
    "spacing": "sampler.spacing",
    "steps": "sampler.steps",
    "timestep_respacing": "sampler.spacing",
    "train_batch_size": "data.batch_size",
    "train_data_dir": "data Folder --data.root",
    "use_ddim": "sampler DDIM",
    "use_fp16": "precision bf16",
    "weight_decay": "model.optimizer.weight_decay",
}
"""Options of theirs, without the dashes, by what ours is called, some with the value it wants."""

TRAINING = {
    "ckpt": "ckpt_path",
    "out": "trainer.default_root_dir",
    "precision": "trainer.precision",
    "precision bf16": "trainer.precision bf16-mixed",
    "sampler.steps": "trainer.max_steps",
    "scale": "guided_sampler.scale",
    "sampler": "guided_sampler.sampler",
    "classifier": "model.classifier",
}
"""What stands for an option of `OPTIONS` in a command that trains."""

VALUES = {
    "noise": "eps",
    "epsilon": "eps",
    "sample": "x0",
    "x_start": "x0",
    "xstart": "x0",
    "start_x": "x0",
    "v_prediction": "v",
    "velocity": "v",
    "dpm++": "DPMSolver",
    "dpmsolver++": "DPMSolver",
    "cfg": "ClassifierFree",
    "squaredcos_cap_v2": "Cosine",
    "ve": "VarianceExploding",
}
"""Values of theirs, in small letters, and ours."""

ENDINGS = (
    "scheduler",
    "discrete",
    "singlestep",
    "multistep",
    "guidance",
    "schedule",
    "model",
    "logger",
)
"""Of names of classes that are told by what stands before."""

ALIKE = 0.75
"""How much two words have in common, from 0 to 1, of which one may be meant for the other."""


def meant_option(given: str, known: Sequence[str]) -> str | None:
    """The option among `known`, or in one of them, that `given` may stand for: --trainer.max_steps.

    Options are written with their dashes. The words of others count first, then the end of a dotted
    name, then what is spelled alike.
    """
    word = given.partition("=")[0].lstrip("-").replace("-", "_").lower()
    for ours in _candidates(word.rpartition(".")[2]):
        if _is_known(ours, known):
            return f"--{ours}"
    same_end = [name for name in known if name.rpartition(".")[2].lstrip("-") == word]
    if len(same_end) == 1:
        return same_end[0]
    return next(iter(get_close_matches(given.partition("=")[0], known, 1, ALIKE)), None)


def meant_place(given: str, known: Sequence[str]) -> str | None:
    """The option that a word without one may be meant for: a file of settings, a run, samples."""
    if given.startswith("-"):
        return None
    places = ["--config"] if given.endswith((".yaml", ".yml")) else ["--ckpt", "--samples"]
    return next((f"{place} {given}" for place in places if place in known), None)


def _candidates(word: str) -> Iterable[str]:
    if (ours := OPTIONS.get(word)) is not None:
        yield ours
        if ours in TRAINING:
            yield TRAINING[ours]


def _is_known(ours: str, known: Sequence[str]) -> bool:
    """Whether there is such an option, or one of a class whose setting it may be."""
    option = ours.partition(" ")[0]
    head = option.partition(".")[0]
    return f"--{option}" in known or (f"--{head}" in known and f"--{head}.help" in known)


def meant_value(given: str, known: Sequence[str]) -> str | None:
    """The one of the `known` names or words that `given` may stand for."""
    ours = VALUES.get(given.lower())
    if ours in known:
        return ours
    # Where two names are short for the same, the one in full counts.
    plain = {_without_endings(_plain(name)): name for name in known}
    plain |= {_plain(name): name for name in known}
    wanted = _plain(given)
    for word in (wanted, _without_endings(wanted)):
        if word in plain:
            return plain[word]
    near = get_close_matches(wanted, plain, 1, ALIKE)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _without_endings(word: str) -> str:
    while shorter := next((word.removesuffix(end) for end in ENDINGS if word.endswith(end)), ""):
        word = shorter
    return word


def meant_command(given: str, known: Iterable[str]) -> str | None:
    """The command that `given` may stand for."""
    word = given.lower()
    near = get_close_matches(word, list(known), 1)
    return COMMANDS.get(word) or (near[0] if near else None)
