"""Folders of images, one for each class: what is in them, and what is wrong with it, all at once.

ROOT/CLASS/FILE          as it is wanted
ROOT/train/CLASS/FILE    one level too high: what to give is ROOT/train
"""

from collections.abc import Sequence
from pathlib import Path

from cgd_lightning.data.pictures import ENDINGS

SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"}
"""Names of folders that are parts of a data set, not classes."""

NAMED = 3
"""So many of what is wrong are named; the others are counted."""


def sub_folders(root: Path) -> list[Path]:
    """Those that are not hidden, in alphabetical order."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not _hidden(path))


def files_in(folder: Path) -> list[Path]:
    """The files of a class, in its folder and in sub-folders; hidden ones are left out."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path))


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def first_few(words: Sequence[str], between: str = ", ") -> str:
    """The first of `words`, and how many more there are."""
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return f"{between.join(words[:NAMED])}{more}"


def classes_below(folders: Sequence[Path]) -> str | None:
    """What is said where not these `folders` are classes, but those in one of them; None if not.

    That is a folder alone, or one for each split, with folders of images in it and no images beside
    these.
    """
    splits = all(folder.name.lower() in SPLITS for folder in folders)
    if not folders or not (splits or len(folders) == 1) or any(map(_has_images, folders)):
        return None
    chosen = next((f for f in folders if f.name.lower().startswith("train")), folders[0])
    inner = sub_folders(chosen)
    if (lower := classes_below(inner)) is not None:
        return lower
    if len(inner) < 2 or not any(map(_has_images, inner)):
        return None
    names = first_few([folder.name for folder in inner])
    if len(folders) == 1:
        return f"its {chosen.name} holds the classes, {names}; give {chosen}"
    parts = ", ".join(folder.name for folder in folders)
    return (
        f"{parts} are parts of a data set, and the classes, {names}, are in them; give {chosen}, "
        "from which val and test are held out"
    )


def _has_images(folder: Path) -> bool:
    """Whether there are images in it itself."""
    return any(path.suffix.lower() in ENDINGS and path.is_file() for path in folder.iterdir())


def problem_of_files(
    root: Path, folders: Sequence[Path], classes: Sequence[Sequence[Path]]
) -> str | None:
    """Why the files of each of `folders` are no images of classes; None if they are.

    All that are wrong are counted, and the first few named.
    """
    others = [path for files in classes for path in files if path.suffix.lower() not in ENDINGS]
    if len(others) == 1:
        return (
            f"{others[0]}: not an image by its ending; take it away, or convert it to PNG or JPEG"
        )
    if others:
        few = first_few([f"{path.relative_to(root)}" for path in others])
        return (
            f"--data.root {root}: {len(others)} files are not images by their endings, {few}; take "
            "them away, or convert them to PNG or JPEG"
        )
    small = [(folder, len(files)) for folder, files in zip(folders, classes) if len(files) < 3]
    needs = "each class needs at least 3, one each to train, validate and test on"
    if len(small) == 1:
        return f"{small[0][0]}: {small[0][1]} images; {needs}"
    if small:
        few = first_few([f"{folder.name}: {count}" for folder, count in small])
        return f"--data.root {root}: {len(small)} classes have too few images, {few}; {needs}"
    return None
