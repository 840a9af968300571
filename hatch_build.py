"""The built page, without a model, goes into the wheel and the source archive, if there is one."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACES = {"wheel": "cgd_lightning/page", "sdist": "page/dist"}


class Page(BuildHookInterface):
    """Adds the files of page/dist, and says so where there are none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # reads page/dist itself
            return
        built = Path(self.root, "page", "dist")
        if not (built / "index.html").is_file():
            self.app.display_warning(
                "page/dist was not built, so that `cgd page` will not work; make wheel builds it"
            )
            return
        for file in built.rglob("*"):
            inside = file.relative_to(built)
            if file.is_file() and inside.parts[0] != "model":
                name = f"{PLACES[self.target_name]}/{inside.as_posix()}"
                build_data["force_include"][str(file)] = name
