"""Runs docs/tutorial.ipynb from its first cell to its last and stores what comes out in it.

    python benchmarks/tutorial.py        # or: make tutorial

Neither times nor machines are stored, so that a notebook that did not change stays the same file.
"""

import base64
import os
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image, ImageChops

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main() -> None:
    """Run it in place; an error leaves the file as it was."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many threads everywhere, so equal rounding
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    how = {"kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    NotebookClient(notebook, timeout=None, **how).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
    nbformat.write(notebook, NOTEBOOK)


def smaller(png: str) -> str:
    """The same picture in fewer bytes, in base64: grey where it is grey, without metadata."""
    picture = Image.open(BytesIO(base64.b64decode(png))).convert("RGB")
    red, green, blue = picture.split()
    others = (ImageChops.difference(red, other).getbbox() for other in (green, blue))
    file = BytesIO()
    (picture if any(others) else red).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    main()
