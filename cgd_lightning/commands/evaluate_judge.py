"""Who judges edits: the judge that edits.json names, and never the classifier that guided them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cgd_lightning.commands.sample import is_given, values_of
from cgd_lightning.configuration.trusted import take_trusted
from cgd_lightning.errors import InputError, printable
from cgd_lightning.sampling.edit_source import StoredEdits
from cgd_lightning.sampling.record import read_options


def with_judge_of_edits(words: Sequence[str]) -> list[str]:
    """`words` of `cgd evaluate`, with the judge that the edits in them name if they name none.

    Raises InputError if edits.json says what it may not.
    """
    words, folders = list(words), values_of("--edits", words)
    elsewhere = any(is_given(option, words) for option in ("--judge", "--config"))
    if not folders or elsewhere or "CGD_EVALUATE__JUDGE" in os.environ:
        return words
    record = Path(folders[-1], "edits.json")
    if not record.is_file():
        return words
    judge = read_options(record, take_trusted(words)[1].trust, "edits").get("judge")
    if judge is None or not os.path.isfile(judge):
        return words
    print(printable(f"judge: {judge}, which {record} names"), file=sys.stderr)
    return [*words, f"--judge={judge}"]


def check_judge_of(edits: StoredEdits, named: str, file: str, digest: str) -> None:
    """Raises InputError if the judge guided the `edits` itself.

    named: as the user wrote it. file, digest: of its weights. Older edits tell no hash of the
    guide, and weights may be taken raw: then the file counts.
    """
    guide = edits.options.get("classifier")
    same_file = (
        edits.guide is not None
        and isinstance(guide, str)
        and os.path.isfile(guide)
        and os.path.samefile(guide, file)
    )
    if same_file or edits.guide_hash == digest:
        raise InputError(f"--judge {named}: guides these edits itself; give another one")
