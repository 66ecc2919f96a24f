"""The page of public implementations as it was built: its filter, width, links and badges.

``LOOKAHEAD_SITE=docs/_build pytest -n 0 .ci/survey_page.py``, after the pages were built.
"""

import html
import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support import opened

SOURCE = Path(__file__).parents[1] / "docs" / "conformance" / "implementations.md"
SITE = Path(os.environ["LOOKAHEAD_SITE"]).resolve()
PAGE = SITE / "conformance" / "implementations.html"
ROW = re.compile(r"^\| \[(.*)\]\(#(\S+)\)( .*?) \| (. (.*?)) \| (.*?) \| ", re.MULTILINE)
ROWS = ROW.findall(SOURCE.read_text(encoding="utf-8"))
COLOURS = {"right": "success", "right, but": "yellow", "wrong": "critical"}
ASKED = [
    ("TENSOR", ""),
    ("", "right"),
    ("checkpoint", "right, but"),
    ("none", ""),
    ("", ""),
]
"""Words, each with a verdict."""
DRIVER = """<iframe src="%s" width="%d" height="800"></iframe><pre></pre><script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument;
  const form = page.querySelector(".survey-filter");
  const seen = %s.map(([word, verdict]) => {
    const search = form.querySelector("[type=search]");
    search.value = word;
    search.dispatchEvent(new Event("input", { bubbles: true }));
    form.querySelector(`[value="${verdict}"]`).click();
    const rows = [...page.querySelectorAll("article tbody tr")];
    const left = rows.filter((row) => row.offsetHeight > 0);
    const shown = left.map((row) => row.innerText.split(/[\\t\\n]+/).map((x) => x.trim()));
    return [shown, form.querySelector("output").innerText];
  });
  const parts = [...page.querySelectorAll("article :not(pre *)")];
  const edges = parts.map((part) => part.getBoundingClientRect().right);
  const width = Math.max(page.documentElement.scrollWidth, ...edges);
  document.querySelector("pre").textContent = JSON.stringify([seen, width]);
};
</script>"""


@pytest.mark.parametrize("width", [390, 1280])
def test_the_filter_leaves_lines_to_read_and_nothing_is_wider_than_the_page(
    width: int, tmp_path: Path
) -> None:
    driver = tmp_path / "driver.html"
    driver.write_text(DRIVER % (PAGE.as_uri(), width, json.dumps(ASKED)))
    said = re.search("<pre>(.*)</pre>", opened(driver, ""))[1]
    seen, widest = json.loads(html.unescape(said))
    assert widest <= width
    for (word, verdict), (shown, counted) in zip(ASKED, seen, strict=True):
        lines = [
            [title + version, told, sentence]
            for title, _, version, told, each, sentence in ROWS
            if word.lower() in f"{title} {sentence}".lower() and verdict in ("", each)
        ]
        assert [line[:3] for line in shown] == lines
        assert counted == f"{len(lines)} shown"


def test_every_link_of_the_page_leads_somewhere() -> None:
    text = PAGE.read_text(encoding="utf-8")
    article = text[text.index("<article") : text.index("</article>")]
    links = [html.unescape(each) for each in re.findall(r'(?:href|src)="([^"]*)"', article)]
    homes = re.findall('"home": "(.*)"', SOURCE.with_suffix(".json").read_text("utf-8"))
    assert set(homes) <= set(links)
    assert all(f'id="{name}"' in article for _, name, *_ in ROWS)
    places = [each.split("#") for each in links if not each.startswith("https://")]
    assert {"cases.html", "bugs.html", "../spec.html"} <= {file for file, *_ in places}
    for file, *anchors in places:
        text = (PAGE.parent / file if file else PAGE).read_text(encoding="utf-8")
        assert all(f'id="{anchor}"' in text for anchor in anchors), (file, anchors)


@pytest.mark.parametrize(("name", "verdict"), [(row[1], row[4]) for row in ROWS])
def test_an_implementation_has_a_badge_and_what_shields_reads(
    name: str, verdict: str
) -> None:
    badge = SITE / "_static" / "badges" / name
    told = {"schemaVersion": 1, "label": "lookahead", "message": verdict}
    read = json.loads(badge.with_suffix(".json").read_bytes())
    assert read == told | {"color": COLOURS[verdict]}
    drawn = ET.parse(badge.with_suffix(".svg")).getroot()
    assert [*drawn.itertext()] == [f"lookahead: {verdict}", "lookahead", verdict]
