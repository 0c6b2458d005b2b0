"""The API reference that the README's command writes has every public name, and no broken link."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urldefrag

import pytest

import minigrad as mg
import vae
from tests.support.environment import ROOT, optional

PAGES = {"minigrad": mg, "minigrad/random": mg.random, "minigrad/checks": mg.checks, "vae": vae}


class Page(HTMLParser):
    """The links of a page, and the ids to which others can link."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        self.ids.add(known.get("id") or "")
        self.links |= {known[name] or "" for name in ("href", "src") if name in known}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    optional("pdoc", extra="test")
    (command,) = re.findall(r"`python (-m pdoc [^`]*)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    cwd = tmp_path_factory.mktemp("reference")
    done = subprocess.run([sys.executable, *command.split()], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return cwd / "runs" / "api"


@pytest.mark.parametrize("page", PAGES)
def test_every_public_name_appears(reference: Path, page: str) -> None:
    ids = Page(reference / f"{page}.html").ids
    for name in PAGES[page].__all__:
        value = getattr(PAGES[page], name, ModuleType(f"{page}.{name}"))
        if isinstance(value, ModuleType):
            path = value.__name__
            assert (reference / f"{path.replace('.', '/')}.html").exists(), f"no page of {path}"
        else:
            assert name in ids, f"{name} is not on the page of {page}"


def test_every_link_has_its_target(reference: Path) -> None:
    pages = {path.resolve(): Page(path) for path in reference.rglob("*.html")}
    assert len(pages) > 10
    for path, page in pages.items():
        for link in page.links:
            address, fragment = urldefrag(unquote(link))
            if re.match(r"[a-z]+:", address):  # another site, or data within the page
                assert address.startswith(("https://pdoc.dev", "data:")), f"{path.name}: {link}"
                continue
            fragment = fragment.removesuffix(".__init__")  # pdoc leaves out some constructors, but links to them
            target = (path.parent / address).resolve() if address else path
            assert target.exists(), f"{path.name}: {link}"
            assert not fragment or fragment in pages[target].ids, f"{path.name}: {link}"


def test_no_path_of_this_machine_is_in_it(reference: Path) -> None:
    for path in (path for path in reference.rglob("*") if path.is_file()):
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path.name
