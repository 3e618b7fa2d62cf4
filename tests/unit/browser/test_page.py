"""The page as text: what is in it, and what cannot get out of its place."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from asrkit.browser.data import score_data, worst_first
from asrkit.browser.page import render_page
from asrkit.score.protocol import load_protocol
from asrkit.score.scorer import score

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "{{script}} {{data}}",
    "\u2028\ud800 & &lt; ' \\",
]


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.started: list[str] = []
        self.scripts: list[tuple[dict, str]] = []
        self.metas: list[dict] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.started.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag == "meta":
            self.metas.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        if self.started and self.started[-1] == "script" and self.scripts:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data


def test_data_come_back_whatever_they_hold() -> None:
    data = {"texts": HOSTILE}
    page = render_page(data, HOSTILE[0]).decode()
    harmless = Elements(render_page({}, "title").decode())
    elements = Elements(page)
    assert elements.started == harmless.started
    (attributes, text), _ = elements.scripts
    assert attributes["type"] == "application/json"
    assert json.loads(text) == data


def test_runs_its_own_script_only_and_loads_nothing() -> None:
    elements = Elements(render_page({}, "title").decode())
    (policy,) = [m["content"] for m in elements.metas if m.get("http-equiv")]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_same_bytes_for_the_same_data() -> None:
    assert render_page({"a": [1]}, "t") == render_page({"a": [1]}, "t")


def test_data_of_a_score() -> None:
    refs = {"u1": "a b c", "u2": "d", "u3": ""}
    hyps = {"u1": "a x c y", "u2": "", "u3": "z"}
    report = score(refs, hyps, "word", load_protocol("plain"), {"u1": "ann"})
    data = score_data(report, "ref.trn", "hyp.trn", {"u1": "ann"})
    assert json.loads(json.dumps(data))["utterances"] == [
        {"id": "u1", "speaker": "ann", "edits": ["a", ["sub", "b", "x"], "c", ["ins", None, "y"]]},
        {"id": "u2", "speaker": "", "edits": [["del", "d", None]]},
        {"id": "u3", "speaker": "", "edits": [["ins", None, "z"]]},
    ]
    assert data["error_rate"] == pytest.approx(1.0)
    assert data["reference"]["sha256"] == report.fingerprint.sha256
    assert worst_first(report) == ["u1", "u3", "u2"]


def test_a_rate_that_is_infinite() -> None:
    report = score({"u": ""}, {"u": "a"}, "word", load_protocol("plain"))
    data = score_data(report, "r", "h", {})
    assert (data["error_rate"], data["interval"]) == (None, None)
    assert b'"error_rate":null' in render_page(data, "t")
