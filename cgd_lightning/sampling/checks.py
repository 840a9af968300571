"""What settings of a request do not go with each other, or with its networks."""

from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.diffusion.guidance.rule import Guide, singles
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.request import Request, RequestError, is_number

SEVERAL = "'[{class_path: ClassifierGuidance}, ...]'"


def check_sampler(request: Request, denoiser: Denoiser, called: str) -> None:
    """Raises RequestError where the sampler does not go with the network or the clamp.

    called: how the user knows the denoiser.
    """
    clamped = request.clamp == "outside" and denoiser.data.codec.bounds is not None
    try:
        request.sampler.check(denoiser, clamped, called)
    except InputError as error:
        raise RequestError(f".{error}", "sampler") from error


def check_scales(rule: Rule) -> None:
    """Raises RequestError for a scale that is no number, which no samples.json can hold."""
    for each in singles(rule):
        if not (each.strength is None or is_number(each.strength)):
            raise RequestError(
                f": {type(each).__name__} at scale {each.strength!r}; wanted a finite number",
                "guidance",
            )


def check_labels(request: Request, rule: Rule, denoiser: Denoiser) -> None:
    """Raises RequestError if the labels have no effect."""
    off = rule.strength == 0
    if not (off or denoiser.conditional or rule.guides or rule.reads_labels):
        raise RequestError(
            f" {request.labels}: neither the diffusion model nor the guidance is told the class "
            f"of an image; leave it out, or add guidance by a classifier, as in {SEVERAL}",
            "labels",
        )


def check_start(request: Request, rule: Rule, denoiser: Denoiser) -> None:
    """Raises RequestError where an edit does not say what images become, or says it in vain."""
    start = request.start
    if start is None:
        return
    try:
        start.check(request.sampler)
        start.levels(request.sampler, denoiser.schedule)
    except InputError as error:
        raise RequestError(f".{error}", "start") from error
    told = denoiser.conditional or rule.reads_labels
    if told and request.labels is None and start.source is None:
        raise RequestError(
            "what shall the images become? give labels=CLASS, or Start(source=CLASS) for all but "
            "what they show"
        )
    if start.by == "noise" and start.source is not None and request.labels is not None:
        raise RequestError(
            f".source {start.source}: is for an inversion, and these images start by noise; leave "
            "it out, or leave out the labels for all but it",
            "start",
        )


def check_guide(rule: Rule, classifier: Guide | None) -> None:
    """Raises RequestError if the rule wants a classifier of another kind than this one."""
    for kind in rule.guides:
        if not isinstance(classifier, kind):
            got = "none was loaded" if classifier is None else f"a {type(classifier).__name__} was"
            raise RequestError(
                f" needs a {kind.__name__}, and {got}; make another request with it, and resolve "
                "that",
                "guidance",
            )
