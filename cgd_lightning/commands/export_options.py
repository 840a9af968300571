"""The options of `cgd export`."""

from typing import Literal

from cgd_lightning.commands.measuring import command_parser
from cgd_lightning.configuration.parser import OneLineErrors

SCALE = 3.0
"""At which most pairs make what they are asked for, and keep their variety."""

NONE = "none"
"""The word for leaving something out."""


def parser() -> OneLineErrors:
    """The options of `cgd export`."""
    options = command_parser(
        "export",
        "A model in a form in which others read it: its weights, what it is, how to use it.",
    )
    options.examples = (
        "cgd export runs/diffusion --out FOLDER",
        "cgd export runs/diffusion --to onnx --out FILE.onnx",
    )
    options.add_argument(
        "run", type=str | None, nargs="?", help="Run, version folder or file of the model."
    )
    options.add_argument(
        "--out",
        type=str | None,
        help="Folder that is written, new or empty; for onnx and torch, the "
        "new file, FILE.onnx or FILE.pt2, beside which FILE.json is written.",
    )
    options.add_argument(
        "--to",
        type=Literal["folder", "adm", "diffusers", "onnx", "torch"],
        default="folder",
        help="Form: a folder of ours, with safetensors and a model card; adm, files of "
        "guided-diffusion; diffusers, a folder of the diffusion model alone; onnx, a guided step "
        "of the pair as one graph that other programs run; torch, the same of torch.export.",
    )
    options.add_argument(
        "--half",
        type=bool,
        nargs="?",
        const=True,
        default=False,
        help="Store the weights of a file of ONNX as float16, in half the bytes; it computes in "
        "float32 as before.",
    )
    options.add_argument(
        "--classifier",
        type=str | None,
        help="Classifier that goes with a diffusion model: run or file, or none. Default: the one "
        "that cgd sample takes.",
    )
    options.add_argument(
        "--samples",
        type=str | None,
        help="Folder that cgd sample wrote, whose grid and evaluation go into the model card, or "
        "none. Default: two samples of a class are made.",
    )
    options.add_argument(
        "--scale",
        type=float,
        default=SCALE,
        help="Of the guidance of those samples, and in the commands of the model card; cgd sweep "
        "finds the best.",
    )
    options.add_argument("--license", type=str | None, help="Licence, as mit, for the model card.")
    options.add_argument(
        "--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps, ..."
    )
    options.add_argument(
        "--push", type=str | None, help="USER/REPO on the Hugging Face Hub, to which it goes, too."
    )
    return options
