"""The site of the documentation: built without a warning, links that hold, nothing from elsewhere."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[3]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def built(configuration: Path, target: Path) -> Path:
    """Build a site, as ``make docs`` does; returns its folder."""
    config = load_config(str(configuration), site_dir=str(target), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    try:
        build(config)
    finally:
        config.plugins.on_shutdown()
    return target


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        return built(REPOSITORY / "mkdocs.yml", tmp_path_factory.mktemp("site"))


@pytest.fixture
def small_site(tmp_path: Path) -> Callable[..., Path]:
    """Builds a site of the files given, beside a ``docs/`` folder, with the hooks."""

    def of(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / "repository" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".md").write_text(text)
        configuration = tmp_path / "repository" / "mkdocs.yml"
        configuration.write_text(
            f"site_name: small\nuse_directory_urls: false\nhooks: [{REPOSITORY / 'mkdocs_hooks.py'}]\n"
            "theme: {name: material, font: false}\nplugins: []\n"
            "nav: [README.md, guide.md]\nvalidation: {anchors: warn, omitted_files: warn}\n"
        )
        return built(configuration, tmp_path / "site")

    return of


def test_every_page_is_built_without_a_warning(site: Path) -> None:
    for page in PAGES:
        name = "index.html" if page.name == "README.md" else f"{page.stem}.html"
        assert (site / name).is_file(), f"{page.name} is not in the site"


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r"""<(?:script|img|iframe)[^>]*\ssrc=["']?(?:https?:)?//[^>]*>""")
    linked = re.compile(r"""<link[^>]*\shref=["']?(?:https?:)?//[^>]*>""")
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not fetched.findall(text) + linked.findall(text), page.name


def test_docstrings_are_shown_as_markdown(site: Path) -> None:
    text = (site / "api.html").read_text()
    assert 'id="training.artefact.predictor.OnnxPredictor.predict_images"' in text
    assert "float32 [len(images), len(labels)]" in text
    assert not re.findall(r":(?:class|meth|func|mod|attr):", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_code_is_closed(page: Path) -> None:
    marks = [line for line in page.read_text().splitlines() if line.lstrip().startswith("```")]
    assert len(marks) % 2 == 0, "what follows a block that is not closed is shown as code"


def test_links_out_of_docs_and_back_lead_to_pages_of_the_site(
    small_site: Callable[..., Path],
) -> None:
    site = small_site(
        README="# Home\n\n[guide](docs/guide.md#part), [bed](tests/bed/README.md)\n",
        docs__guide="# Guide\n\n## Part\n\n[home](../README.md), [bed](../tests/bed/README.md#two)\n",
        tests__bed__README="# Bed\n\n## Two\n\n[guide](../../docs/guide.md), [more](more.md)\n",
        tests__bed__more="# More\n\n`[code](../../docs/guide.md)` [home](../../README.md)\n",
    )
    links = {
        page.relative_to(site).as_posix(): re.findall(r'href="([^"]*html[^"]*)">', article(page))
        for page in site.rglob("*.html")
        if page.name != "404.html"
    }
    assert links["index.html"] == ["guide.html#part", "tests/bed/index.html"]
    assert links["guide.html"] == ["index.html", "tests/bed/index.html#two"]
    assert links["tests/bed/index.html"] == ["../../guide.html", "more.html"]
    assert links["tests/bed/more.html"] == ["../../index.html"]


@pytest.mark.parametrize(
    "link", ["docs/gone.md", "gone.py", "docs/guide.md#gone", "../outside.md", "guide.md"]
)
def test_a_link_that_is_broken_in_the_repository_stops_the_build(
    small_site: Callable[..., Path], link: str
) -> None:
    with pytest.raises(Abort):
        small_site(README=f"# Home\n\n[link]({link})\n", docs__guide="# Guide\n")


def article(page: Path) -> str:
    text = page.read_text()
    return text[text.index("<article") : text.index("</article>")]
