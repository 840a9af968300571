"""The site is built without a warning, and has what it should."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

import cgd_lightning
from tests.command_line import status

ROOT = Path(__file__).parents[2]
API = sorted((ROOT / "docs/api").glob("*.md"))
ROOT_PAGES = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")


def build_site(to: Path, **changes: Any) -> None:
    """Build the site as `make docs` does, with some options of mkdocs.yml changed."""
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(to), **changes))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build_site(folder)
    return folder


def words(page: Path) -> str:
    """The text of a page of HTML, its white space made equal."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.read_text()))


def test_every_public_name_is_on_one_page_of_the_api_once() -> None:
    text = "\n".join(page.read_text() for page in API)
    named = re.findall(r"^::: cgd_lightning\.([A-Za-z_]\w*)$", text, re.MULTILINE)
    assert Counter(named) == Counter(cgd_lightning.__all__)


def test_the_site_has_every_public_name(site: Path) -> None:
    pages = [(site / page.relative_to(ROOT / "docs")).with_suffix(".html") for page in API]
    text = "".join(page.read_text() for page in pages)
    assert [n for n in cgd_lightning.__all__ if f'id="cgd_lightning.{n}"' not in text] == []


def test_arguments_of_bases_are_described_among_a_classs_own(site: Path) -> None:
    page = words(site / "api/samplers.html")
    ddim = page[page.index("One evaluation a step, deterministic") :]
    told = (
        "number of steps, at least",
        "share of DDPM",
        "how the levels lie",
        "Ancestral sampling",
    )
    places = [ddim.index(text) for text in told]
    assert places == sorted(places)


def test_equations_of_docstrings_are_code(site: Path) -> None:
    for name, equation in (
        ("guidance", "eps~ = eps - s * sigma_t * grad log p(y | x_t)"),
        ("samplers", "variance = eta^2 * posterior variance"),
        ("evaluation", "k(x, y) = (x.y / d + 1)^3"),
    ):
        page = (site / "api" / f"{name}.html").read_text()
        code = re.sub(r"<[^>]+>", "", "".join(re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)))
        assert equation in code


def test_the_equations_of_the_notebook_are_drawn_by_the_browser(site: Path) -> None:
    page = (site / "tutorial.html").read_text()
    text = re.sub(r"<(script|style|pre)\b.*?</\1>|<img\b[^>]*>", "", page, flags=re.DOTALL)
    assert page.count('display="block"') == 4
    assert (page.count("<math ") > 20, "$" in text) == (True, False)


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    fetching = re.compile(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=.?(?:https?:)?//[^>]*")
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(API)
    assert [fetching.findall(page.read_text()) for page in pages] == [[] for _ in pages]


def test_links_between_docs_and_the_pages_beside_them_lead_somewhere(site: Path) -> None:
    assert 'href="SECURITY.html"' in (site / "trust.html").read_text()
    assert 'href="api/index.html"' in (site / "CONTRIBUTING.html").read_text()
    for name in ROOT_PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)", (ROOT / name).read_text()):
            assert "://" in target or (ROOT / target).exists(), f"{name}: {target}"


DEAD = {
    "[a page](nowhere.md)": "'nowhere.md'",
    "[a heading](#nowhere)": "'#nowhere'",
    "![a picture](nowhere.png)": "'nowhere.png'",
    "[a name][cgd_lightning.Nowhere]": "'cgd_lightning.Nowhere'",
}
UNKNOWN = {"::: cgd_lightning.Nowhere": "cgd_lightning.Nowhere could not be found"}


@pytest.mark.parametrize(("told", "end"), [(DEAD, "4 warnings"), (UNKNOWN, "BuildError")])
def test_what_is_missing_fails(
    told: dict[str, str], end: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "index.md").write_text("# Page\n\n" + "\n\n".join(told))
    with pytest.raises(Abort, match=end):
        build_site(tmp_path / "site", docs_dir=str(folder), nav=["index.md"], hooks=[])
    assert [said for said in told.values() if said not in caplog.text] == []


@pytest.mark.parametrize("page", API, ids=lambda page: page.stem)
def test_the_python_of_a_page_of_the_api_runs(page: Path, workplace: Path) -> None:
    sources = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    if any("runs/judge" in source for source in sources):
        short = ("--trainer.max_steps=2", "--trainer.val_check_interval=2")
        quiet = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
        assert status("fit", "--config=judge.yaml", *short, *quiet) == 0
    few = {
        "max_steps=300": "max_steps=1, logger=False, accelerator='cpu', enable_progress_bar=False",
        "num_samples=16": "num_samples=4",
        "[3, 7] * 8": "[3, 7] * 2",
    }
    for source in sources:
        for many, less in few.items():
            source = source.replace(many, less)
        exec(source, {})


def test_the_tests_that_the_page_of_trust_names_are_there() -> None:
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "docs/trust.md").read_text())
    assert len(named) > 5
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text()


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = (ROOT / "pyproject.toml").read_text().split("[project]")[1].split("\n[")[0]
    project = dict(re.findall(r'^(name|version|description|license) = "(.*)"$', text, re.MULTILINE))
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == project["name"]
    assert citation["abstract"] == project["description"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert {"message", "authors", "type", "references"} <= set(citation)
    assert citation["references"][0]["url"].endswith("2105.05233")
