"""What an edit is given, as it was asked for: images of the model's kind, and classes for words."""

from dataclasses import replace

from torch.utils.data import Dataset

from cgd_lightning.data.images import ImageBatch
from cgd_lightning.sampling.edit_again import Known
from cgd_lightning.sampling.edit_images import EditImages, Given, in_full, notes_on, read_given
from cgd_lightning.sampling.job import Job
from cgd_lightning.sampling.pair import Say
from cgd_lightning.sampling.request import Request

NEXT, TRUE = "next", "true"
"""Labels that mean the class after that of the image, and its own."""

RESIZED = (
    "note: images are brought to {} as data sets of folders do it: upright, the shorter side "
    "resized, the middle cut out, {}"
)


def given_for(
    job: Job,
    wanted: EditImages,
    split: Dataset[ImageBatch] | None,
    say: Say,
    known: Known | None = None,
) -> Given:
    """The images that are `wanted`, for the networks of `job`.

    split: of the data set, if they are of one. known: what they have to be. Raises InputError as
    `read_given` does, and for others than those that are known.
    """
    names = (job.classifier or job.denoiser).class_names
    given = read_given(wanted, job.denoiser.data.shape, names, split)
    if wanted.resize and given.of_files:
        channels, *sides = given.images.shape[1:]
        size, grey = " x ".join(map(str, sides)), channels == 1
        say(RESIZED.format(size, "in grey" if grey else "in colour"))
    if known is not None:
        known.check(given)
    for note in notes_on(given, wanted):
        say(note)
    return given


def told_in_full(request: Request, given: Given, names: tuple[str, ...]) -> Request:
    """`request` with labels in the place of `NEXT` and `TRUE`; a class of that name wins."""
    start = request.start
    if start is not None and start.source == TRUE and TRUE not in names:
        source = in_full(f"--from {TRUE}", 0, given.labels, names)
        request = replace(request, start=replace(start, source=source))
    for word, shift in ((NEXT, 1), (TRUE, 0)):
        if request.labels == word and word not in names:
            return replace(request, labels=in_full(f"--to {word}", shift, given.labels, names))
    return request
