"""The page on which Lookahead walks, in a headless Chromium: its numbers are right."""

import html
import json
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref.conformance import Observation, Trajectory, cases, decode, judge
from support import opened

MAKE = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "walk" / "make.py"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("walk") / "walk.html"
    path.write_text(MAKE["page"](), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def dom(page: Path) -> str:
    return opened(page, "step=43&k=5&alpha=0.5&rate=1.5")


def data(dom: str, element: str, name: str) -> str:
    found = re.search(rf'id="{element}"[^>]*? data-{name}="([^"]*)"', dom)
    assert found is not None, f"{element} has no {name}"
    return html.unescape(found[1])


def test_the_page_refers_to_nothing_outside(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"https?://|\bsrc=|url\(|@import|\bimport\(|\bfetch\(", text)
    assert "href=" not in text
    assert re.findall(r'href="([^"]*)"', MAKE["page"]("there.html")) == ["there.html"]
    assert "{{" not in text.replace("${{", "")


def test_the_pages_numbers_are_those_of_the_golden_vectors(dom: str) -> None:
    trajectories: dict[str, Any] = json.loads(data(dom, "check", "trajectories"))
    assert tuple(trajectories) == MAKE["CASES"]
    by_id = {case.id: case for case in cases()}
    for name, steps in trajectories.items():
        seen = Trajectory()
        for step in steps:
            seen.fast.append(np.concatenate([decode(each) for each in step["fast"]]))
            slow = [np.concatenate([decode(x) for x in level]) for level in step["slow"]]
            seen.slow.append(slow)
            seen.slots.append({})
        case = by_id[name]
        assert len(seen.fast) == case.steps
        verdict = judge(case, Observation(steps=seen), "float64")
        assert (verdict.passed, verdict.outcome) == (True, "reference"), name
    assert "Checked just now, in this browser: 8 cases" in dom


def test_the_drawing_matches_this_library(dom: str) -> None:
    angle, steps = 0.35, 43
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = rotation.T @ np.diag([0.03, 1.0]) @ rotation
    shown = {
        name: decode(data(dom, f"loss-{name}", "bits").split())
        for name in ("fast", "slow", "alone")
    }
    inner = la.SGD(learning_rate=1.5)
    for optimizer, fast in ((la.Lookahead(inner, 5, 0.5), "fast"), (inner, "alone")):
        params = {"x": np.array([-1.5, 0.3])}
        state = optimizer.init(params)
        for _ in range(steps):
            grads = {"x": matrix @ params["x"]}
            params, state = optimizer.step(params, grads, state)
        np.testing.assert_allclose(shown[fast], params["x"], rtol=1e-9, atol=1e-12)
        if fast == "fast":
            phi = optimizer.evaluation_params(params, state)["x"]
            np.testing.assert_allclose(shown["slow"], phi, rtol=1e-9, atol=1e-12)


def test_settings_out_of_range_are_clipped(page: Path) -> None:
    dom = opened(page, "k=99&alpha=-3&rate=x&kind=nowhere&noise=0.5&step=7")
    outputs = re.findall(r'<output for="(\w+)">([^<]*)</output>', dom)
    assert dict(outputs) == {
        "k": "20",
        "alpha": "0.05",
        "rate": "1.97",
        "noise": "0.50",
        "step": "7 of 120",
    }


@pytest.mark.slow
@pytest.mark.parametrize("place", ["kind=bend", "kind=wells", "inner=adam"])
def test_a_choice_comes_with_a_learning_rate_that_suits_it(page: Path, place: str) -> None:
    losses = []
    for step in (0, 120):
        dom = opened(page, f"{place}&step={step}")
        losses.append(re.findall(r'id="loss-(?:fast|slow)"[^>]*>([^<]*)<', dom))
    for before, after in zip(*losses, strict=True):
        assert float(after) < 0.1 * float(before)
