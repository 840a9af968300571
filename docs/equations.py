"""Equations of the notebook, as MathML: browsers draw it themselves, and nothing is fetched."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

KEPT = re.compile(r"<(pre|script|style|code)\b.*?</\1>|<img\b[^>]*>", re.DOTALL)
"""What keeps its dollars."""

BLOCK, INLINE = re.compile(r"\$\$(.+?)\$\$", re.DOTALL), re.compile(r"\$([^$\n]+?)\$")


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page, with MathML for LaTeX between dollars."""
    if not page.file.src_uri.endswith(".ipynb"):
        return content
    parts, at = [], 0
    for kept in KEPT.finditer(content):
        parts += [_drawn(content[at : kept.start()]), kept[0]]
        at = kept.end()
    return "".join([*parts, _drawn(content[at:])])


def _drawn(text: str) -> str:
    text = BLOCK.sub(lambda found: convert(html.unescape(found[1]), display="block"), text)
    return INLINE.sub(lambda found: convert(html.unescape(found[1])), text)
