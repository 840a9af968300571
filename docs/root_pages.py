"""Pages of the site that lie beside `docs/`, where GitHub looks for them.

A page links them as it would on GitHub, `../SECURITY.md`, and they link the pages as
`docs/guidance.md`.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
NAMES = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of `docs/`, and these."""
    for name in NAMES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page, its links as they are within the site."""
    if page.file.src_uri in NAMES:
        return markdown.replace("](docs/", "](")
    return re.sub(rf"\]\(((?:\.\./)*)\.\./({'|'.join(map(re.escape, NAMES))})", r"](\1\2", markdown)
