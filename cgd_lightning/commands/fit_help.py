"""What the help of `cgd fit`, `validate`, `test` and `predict` says in the place of Lightning's."""

from cgd_lightning.configuration.help import HelpfulParser

TRAINER = "Customize every aspect of training via flags"
"""The title of Lightning's own options."""

DESCRIPTIONS = {
    "fit": "Train a network on images: --model says how and which, --data on what. A packaged file "
    "has both.",
    "validate": "The measures of a network on held-out images, as during its training.",
    "test": "The measures of a network on test images, which no training has seen.",
    "predict": "The probabilities that a classifier gives the classes of test images, as a CSV "
    "beside the checkpoint.",
}

EXAMPLES = {
    "fit": (
        "cgd fit --config diffusion.yaml",
        "cgd fit --config classifier.yaml --data MNIST --data.root data --trainer.max_epochs 20",
    ),
    "validate": (
        "cgd validate --ckpt_path runs/classifier",
        "cgd validate --ckpt_path runs/diffusion --data.batch_size 64",
    ),
    "test": (
        "cgd test --ckpt_path runs/classifier",
        "cgd test --ckpt_path runs/classifier/version_0/best.ckpt",
    ),
    "predict": (
        "cgd predict --ckpt_path runs/classifier  # images with the least noise",
        "cgd predict --ckpt_path runs/classifier --data.predict_timestep 300",
    ),
}

OF_A_FILE = {
    "fit": "checkpoint to go on from: a file, version folder or run, or last, for the last one of "
    "the run that the configuration names, or a new start if it has none yet. A new run starts if "
    "none is given.",
    "validate": "run, version folder or file of the network.",
}

TEXTS = {
    "seed_everything": "seed of the weights, the order of the images and all that is random, from "
    "0 to 4294967295.",
    "trainer": "YAML file with options of the trainer.",
    "model": "module that trains, by name; one of your own by import path. --model.NAME VALUE sets "
    "its options.",
    "data": "data set, by name; one of your own by import path. --data.NAME VALUE sets its "
    "options.",
    "trainer.default_root_dir": "folder of all runs; each has a folder of its name there.",
    "weights_only": "changes nothing: checkpoints are always read as plain data.",
}


def tell(command: str, parser: HelpfulParser) -> None:
    """Give the `parser` of a command its examples and our texts; Lightning's options come last."""
    parser.examples, parser.description = EXAMPLES[command], DESCRIPTIONS[command]
    texts = {**TEXTS, "ckpt_path": OF_A_FILE.get(command, OF_A_FILE["validate"])}
    for action in parser._actions:
        if action.dest in texts and action.option_strings[0] == f"--{action.dest}":
            action.help = texts[action.dest]
    *groups, last = parser._action_groups
    last.title = "Where it goes on from" if command == "fit" else "What is measured"
    # The first two are argparse's own.
    ours = sorted(groups[2:], key=lambda group: group.title == TRAINER)
    parser._action_groups = [*groups[:2], last, *ours]
