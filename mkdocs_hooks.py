"""Hooks of MkDocs: pages of the whole repository, and docstrings in Markdown.

MkDocs knows the files of ``docs/`` alone. Links here are written as GitHub reads them, relative to
the file in the repository, and lead out of ``docs/``, too. So each file that the navigation names or
a page links to becomes a file of the site, and links to it are written as the site has them.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

DOCS = "docs/"
_LINK = re.compile(
    r"^ *```.*?^ *```|`[^`\n]+`"  # code: what looks like a link in it is none
    r"|(?<=\]\()(?P<link>(?![a-z]+:|#|/)[^)#\s]+)",
    re.DOTALL | re.MULTILINE,
)
_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data|exc|obj):`~?([^`]+)`")
_log = get_plugin_logger("mkdocs_hooks")  # its warnings stop a strict build


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the repository that the navigation names, or a page links to."""
    root = _root(config)
    pages = [file for file in files if file.src_uri.endswith(".md")]
    for name in _named(config.nav):
        if name not in files.src_uris and (root / name).is_file():
            pages.append(_add(files, name, config, InclusionLevel.INCLUDED))
    for page in pages:  # grows while it is read: what is added may link, too
        for match in _LINK.finditer(page.content_string):
            target = _target(page, match["link"] or "", root)
            if target and target not in files.src_uris:
                added = _add(files, target, config, InclusionLevel.NOT_IN_NAV)
                pages += [added] if target.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write each link to a file of the repository as a link to the file of the site.

    Args:
        markdown: the text of the page.
        page: the page.
        config: the configuration of MkDocs.
        files: not used.

    Returns:
        The text with the links of the site.
    """
    start = str(PurePosixPath(page.file.src_uri).parent)

    def link(match: re.Match[str]) -> str:
        if match["link"] is None:
            return match[0]
        target = _target(page.file, match["link"], _root(config))
        if target is None:
            _log.warning("%s links to %s, which is no file", page.file.src_uri, match["link"])
            return match[0]
        return relpath(target, start)

    return _LINK.sub(link, markdown)


class SphinxRoles(griffe.Extension):
    """Show ``:class:`Name``` in a docstring as code."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent


def _named(nav: object) -> Iterator[str]:
    """The files in a navigation, which is nested lists and mappings."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        yield from _named(list(nav.values()))
    elif isinstance(nav, list):
        for entry in nav:
            yield from _named(entry)


def _add(files: Files, name: str, config: MkDocsConfig, level: InclusionLevel) -> File:
    """Add a file that lies outside of ``docs/``, under its path in the repository."""
    root = str(_root(config))
    file = File(name, root, config.site_dir, config.use_directory_urls, inclusion=level)
    files.append(file)
    return file


def _target(page: File, link: str, root: Path) -> str | None:
    """The path in the site of what ``link`` means in the repository; None if it is no file there."""
    outside = (Path(page.src_dir or "") / DOCS).is_dir()  # as _add made it
    folder = PurePosixPath("" if outside else DOCS, page.src_uri).parent
    path = normpath(folder / link)
    if not link or path.startswith("..") or not (root / path).is_file():
        return None
    return path.removeprefix(DOCS)
