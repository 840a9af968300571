"""Whether what `make gpu` imports is there; wheels that lie in a folder are put beside it.

    python benchmarks/wheels.py --wheels folder --into build/wheels

Nothing is fetched. The exit status is 1 where something is missing, which is named with the version
that is wanted.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]

UNUSED = ("wandb",)
"""Dependencies of the package that no test or benchmark of `make gpu` imports."""

WHOLE = ("torch", "torchvision")
"""What comes with its own libraries, under other names where it is not from PyPI."""


def main(words: list[str] | None = None) -> None:
    """Put wheels into the folder and say what is missing."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--wheels", default="", help="folder with wheels")
    options.add_argument("--into", type=Path, default=Path("build/wheels"))
    asked = options.parse_args(words)
    if asked.wheels:
        found = sorted(Path(asked.wheels).glob("*.whl"))
        if not found:
            sys.exit(f"WHEELS={asked.wheels}: no *.whl is there")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        into = ["--upgrade", "--target", str(asked.into)]
        subprocess.run([*pip, *into, *map(str, found)], check=True)
    sys.path.insert(0, str(asked.into))
    lacking = list(missing([*dependencies(), "pytest>=8"]))
    if lacking:
        names = " ".join(f"'{each}'" for each in lacking)
        sys.exit(
            f"make gpu wants, and {sys.executable} lacks: {', '.join(lacking)}. Where there is a "
            f"network: pip download --no-deps -d wheels {names}; then here: make gpu WHEELS=wheels"
        )


def dependencies() -> list[str]:
    """Those of the package, as pyproject.toml lists them; read by hand, for Python 3.10."""
    text = (ROOT / "pyproject.toml").read_text().split("dependencies = [", 1)[1].split("\n]", 1)[0]
    return [line.split('"')[1] for line in text.splitlines() if '"' in line]


def missing(wanted: list[str]) -> Iterator[str]:
    """What of `wanted`, and of what that wants in turn, is not installed in such a version."""
    seen: set[str] = set()
    while wanted:
        requirement = Requirement(wanted.pop())
        named = f"{requirement.name} {','.join(sorted(requirement.extras))}"
        if requirement.name in UNUSED or named in seen:
            continue
        seen.add(named)
        try:
            found = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement.name}{requirement.specifier}"
            continue
        if not requirement.specifier.contains(found.version, prereleases=True):
            yield f"{requirement.name}{requirement.specifier}"
        elif requirement.name not in WHOLE:
            extras = {"", *requirement.extras}
            for need in found.requires or []:
                marker = Requirement(need).marker
                if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                    wanted.append(need.split(";")[0])


if __name__ == "__main__":
    main()
