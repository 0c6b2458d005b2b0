"""The lecture's page is complete and self-contained, and works in a real browser."""

import html.parser
import json
import re
import shutil
import subprocess

import pytest

from vae.lecture import CLAIMS, Setting
from vae.lecture.claims import Slider, claim, equal
from vae.lecture.page import formula, highlight, page
from vae.lecture.run import Result, run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "img", "input", "br", "hr", "link"}


@pytest.fixture(scope="module")
def rows():
    """The results of some claims, one of them with a slider and text that looks like markup."""
    before = list(CLAIMS)

    @claim(99, 'A claim with "quotes" & <marks>.', "a < b & c_{ij} > x^2 ⇒ E_P")
    def text_like_markup(setting):
        x = setting.normal("x", 5)  # <script>alert(1)</script>
        return equal(x, x, slider=Slider("σ² <1>", (0.1, 1.0, 10.0), lambda axes, value: axes.plot([0, value], [0, 1])))

    markup, CLAIMS[:] = CLAIMS[-1], before
    return run([*[c for c in before if c.slide in (7, 8)], markup], Setting(0))


@pytest.fixture(scope="module")
def text(rows):
    return page(rows, 0, "images of <nothing>")


class Reader(html.parser.HTMLParser):
    """Asserts that tags nest, and collects them."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_shows_every_claim_with_its_numbers_picture_and_code(rows, text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    ids = [a["id"] for tag, a in reader.tags if tag == "section" and "id" in a]
    assert ids == [row.claim.name for row in rows]
    links = {a["href"] for tag, a in reader.tags if tag == "a"}
    assert links == {f"#{name}" for name in ids}
    assert sum(tag == "pre" for tag, _ in reader.tags) == len(rows)
    assert all(a.get("alt") for tag, a in reader.tags if tag == "img")
    plain = html.unescape(re.sub(r"<[^>]+>", "", text))
    for row in rows:
        assert row.claim.says in plain
        assert row.claim.code in plain
        assert f"{row.sides.left:.10g}" in plain and f"{row.sides.tolerance:.2g}" in plain


def test_page_loads_no_external_resource(text):
    reader = Reader()
    reader.feed(text)
    for tag, attributes in reader.tags:
        assert tag not in ("link", "iframe", "object", "embed")
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("data:image/png;base64,", "#")), (tag, name, value[:80])
    assert "@import" not in text and "url(" not in text and "http" not in text


def test_text_is_escaped(text):
    assert "<script>alert" not in text and "<nothing>" not in text and "<marks>" not in text


def test_failing_claim_is_marked_on_the_page(rows):
    sides = rows[0].sides
    failed = Result(rows[0].claim, equal([1.0, 2.0], [1.0, 2.1]), 0.1, rows[0].picture)
    assert sides.passed and not failed.sides.passed
    text = page([failed, *rows[1:]], 0, "none")
    assert "1 FAIL" in text and "<strong>fails</strong>" in text
    assert "all hold" in page(rows, 0, "none")


def test_formulas_and_code_become_html():
    assert formula("a_i ≤ b^{n+1} & c") == "a<sub>i</sub> ≤ b<sup>n+1</sup> &amp; c"
    assert formula("log_std stays_as it_is") == "log_std stays_as it_is"
    code = 'def f(x):\n    """A < B."""\n    return x  # & more\n'
    assert re.sub(r"<[^>]+>", "", highlight(code)) == html.escape(code)
    assert highlight("return 1") == "<b>return</b> 1"


PROBE = """<script>
addEventListener("load", () => {
  const range = document.querySelector("input[type=range]"), image = range.closest("figure").querySelector("img");
  const before = image.src;
  range.value = 2;
  range.dispatchEvent(new Event("input"));
  document.body.dataset.probe = JSON.stringify({
    label: range.closest("figure").querySelector("output").textContent,
    moved: image.src !== before,
    alt: image.alt,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    width: innerWidth,
    pictures: [...document.images].every((i) => i.naturalWidth > 300),
    errors: window.errors || [],
  });
});
</script>"""
ERRORS = "<script>errors = []; addEventListener('error', (e) => errors.push(String(e.message)));</script>"


@pytest.mark.skipif(BROWSER is None, reason="no chromium found, so the page cannot be opened in a browser")
@pytest.mark.parametrize("width", [500, 1200])
def test_page_works_in_a_browser(text, tmp_path, width):
    """No script error, no sideways scrolling, every picture is shown, and the slider changes its picture."""
    path = tmp_path / "page.html"
    path.write_text(text.replace("<head>", "<head>" + ERRORS).replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    probe = json.loads(html.unescape(found.group(1)))
    assert (probe["label"], probe["moved"], probe["errors"]) == ("10", True, [])
    assert probe["alt"].endswith("σ² <1> = 10")
    assert probe["overflow"] <= 0
    assert probe["pictures"]
