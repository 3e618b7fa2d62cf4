"""The page as somebody sees it, in a headless Chromium."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrkit.browser.build import Source, build_page
from asrkit.browser.posteriors import Listener
from asrkit.browser.recordings import Recording
from asrkit.model_file import Recognizer
from asrkit.score.protocol import load_protocol
from asrkit.score.scorer import score
from asrkit.transcribe.reading import reading_of

REFS = {"u1": "ab ca b", "u2": "cab b", "u3": "ab", "u4": "a b c"}
HYPS = {"u1": "ab cc b", "u2": "cab", "u3": "ab", "u4": "a b c bb ab"}
SPEAKERS = {"u1": "ann", "u2": "bob", "u3": "ann", "u4": "cy"}

Browser = Any
Write = Callable[..., Path]


def write_page(path: Path, unit: str = "word", **sides: Mapping[str, Any]) -> Path:
    refs, hyps = sides.pop("refs", REFS), sides.pop("hyps", HYPS)
    speakers = sides.pop("speakers", SPEAKERS)
    report = score(refs, hyps, unit, load_protocol("plain"), speakers)
    source = Source(report, "ref.jsonl", "hyp.jsonl", refs, hyps, speakers, **sides)
    path.write_bytes(build_page(source, 3).content)
    return path


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page") / "silent.html")


@pytest.fixture(scope="module")
def sounding(
    tmp_path_factory: pytest.TempPathFactory,
    say_in_tones: Callable,
    tone_recognizer: Recognizer,
) -> Path:
    """With audio of u1 and u2, a third whose file is missing, and none of u4 and u3."""
    folder = tmp_path_factory.mktemp("page")
    recordings = {}
    for utt_id in ("u1", "u2", "u4"):
        path = folder / f"{utt_id}.wav"
        if utt_id != "u4":
            soundfile.write(path, say_in_tones(REFS[utt_id]), 16000)
        recordings[utt_id] = Recording(path, 0.0, None, "")
    listener = Listener(reading_of(tone_recognizer), "tones.asr")
    return write_page(folder / "sounding.html", recordings=recordings, listener=listener)


def shown(browser: Browser) -> list[str]:
    return browser.run("[...document.querySelectorAll('.card')].map(card => card.dataset.utt)")


def selected(browser: Browser) -> str:
    return browser.run("document.querySelector('.card.selected').dataset.utt")


def fragment(browser: Browser) -> str:
    return browser.run("location.hash")


def test_totals(browser: Browser, silent: Path) -> None:
    browser.open(silent)
    assert browser.console == []
    assert browser.texts("h1")[0].startswith("WER 44.44 % 95 % interval ")
    assert browser.texts(".counts > span")[0] == " 7 hits"
    assert "SHA-256" in browser.texts("#totals details")[0]
    assert browser.texts("#shown") == ["4 of 4 utterances, WER 44.44 % (4 / 9)"]
    assert "--audio MANIFEST adds sound" in browser.texts(".card.selected .silent")[0]


def test_worst_first_and_other_orders(browser: Browser, silent: Path) -> None:
    browser.open(silent)
    assert shown(browser) == ["u4", "u2", "u1", "u3"]
    for order, expected in {
        "id": ["u1", "u2", "u3", "u4"],
        "length": ["u1", "u4", "u2", "u3"],
        "rate": ["u4", "u2", "u1", "u3"],
        "nonsense": ["u4", "u2", "u1", "u3"],
    }.items():
        browser.open(silent, f"sort={order}")
        assert shown(browser) == expected


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("q=CAB", ["u2"]),
        ("q=cc", ["u1"]),
        ("q=u3", ["u3"]),
        ("speaker=ann", ["u1", "u3"]),
        ("kind=errors", ["u4", "u2", "u1"]),
        ("kind=none", ["u3"]),
        ("kind=sub", ["u1"]),
        ("kind=del", ["u2"]),
        ("kind=ins", ["u4"]),
        ("kind=sound", []),
        ("ref=ca&hyp=cc", ["u1"]),
        ("ref=b&hyp=", ["u2"]),
        ("ref=&hyp=ab", ["u4"]),
        ("ref=ab&hyp=ab", ["u1", "u3"]),
        ("ref=&hyp=ab&speaker=ann", []),
        ("q=nowhere", []),
    ],
)
def test_a_link_shows_what_it_names(
    browser: Browser, silent: Path, fragment: str, expected: list[str]
) -> None:
    browser.open(silent, fragment)
    assert shown(browser) == expected
    assert browser.texts("#shown")[0].startswith(f"{len(expected)} of 4 utterances")
    assert browser.console == []


def test_columns(browser: Browser, silent: Path) -> None:
    browser.open(silent, "utt=u4")
    columns = "[data-utt=u4] .column:not(.heads)"
    assert browser.texts(f"{columns} .ref") == ["a", "b", "c", "", ""]
    assert browser.texts(f"{columns} .hyp") == ["a", "b", "c", "bb", "ab"]
    assert browser.texts(f"{columns} .op") == ["", "", "", "I", "I"]
    labels = browser.run(
        f"[...document.querySelectorAll('{columns} button')].map(e => e.ariaLabel)"
    )
    assert labels == ["insertion: bb inserted", "insertion: ab inserted"]


def test_a_confusion_clicked_and_clicked_again(browser: Browser, silent: Path) -> None:
    browser.open(silent)
    assert browser.texts("#confusions section:first-child li") == ["ca → cc1"]
    browser.click("#confusions [data-ref=ca]")
    assert fragment(browser) == "#ref=ca&hyp=cc"
    assert shown(browser) == ["u1"]
    assert browser.texts(".column.found .ref") == ["ca"]
    assert browser.texts("#pair") == ["ca taken for cc ✕"]
    browser.click("#confusions [data-ref=ca]")
    assert shown(browser) == ["u4", "u2", "u1", "u3"]
    browser.click("[data-utt=u2] button.op")
    assert (fragment(browser), shown(browser)) == ("#ref=b&hyp=", ["u2"])
    browser.click("#pair")
    assert len(shown(browser)) == 4


def test_filter_by_hand(browser: Browser, silent: Path) -> None:
    browser.open(silent)
    browser.press("/")
    browser.press("c")
    browser.press("c")
    assert shown(browser) == ["u1"]
    assert browser.run("document.activeElement.name") == "q"
    browser.press("j")  # is text there
    assert shown(browser) == []
    browser.click("button[type=reset]")
    assert len(shown(browser)) == 4
    assert browser.run("document.querySelector('[name=q]').value") == ""
    browser.click("[data-speaker=bob]")
    assert (shown(browser), fragment(browser)) == (["u2"], "#speaker=bob")


def test_keys_walk_through_the_utterances(browser: Browser, silent: Path) -> None:
    browser.open(silent)
    assert selected(browser) == "u4"
    visited = []
    for key in "jjkkkjjjjj":
        browser.press(key)
        visited.append(selected(browser))
    assert " ".join(visited) == "u2 u1 u2 u4 u4 u2 u1 u3 u3 u3"
    assert fragment(browser) == "#utt=u3"
    assert browser.run("document.activeElement.dataset.utt") == "u3"
    browser.click("[data-utt=u2] .select")
    assert selected(browser) == "u2"
    assert browser.run("document.querySelectorAll('[aria-expanded=true]').length") == 1


def test_sound_spectrogram_posteriors_and_times(browser: Browser, sounding: Path) -> None:
    browser.open(sounding, "utt=u1")
    browser.wait("document.querySelector('audio').readyState > 0")
    assert browser.run("document.querySelector('audio').duration") == pytest.approx(0.88, abs=0.001)
    assert browser.run("document.querySelector('.spectrogram').getBBox().height") == 128
    assert browser.texts("svg.word text") == ["ab", "ca", "b", "ab", "cc", "b"]
    kinds = browser.run("[...document.querySelectorAll('svg.word')].map(e => e.classList[1])")
    assert kinds == ["hit", "sub", "hit", "hit", "sub", "hit"]
    assert "".join(browser.texts(".peak")) != ""
    assert set(browser.texts(".peak")) <= {"a", "b", "c", "␣"}
    assert browser.texts(".remark")[0].startswith("best paths: reference -")
    # The letters of `ab ca b`, 120 ms apart, where their curves peak.
    positions = browser.run(
        "[...document.querySelectorAll('.peak')].map(e => +e.getAttribute('x'))"
    )
    seconds = browser.run("document.querySelector('svg.timeline').width.baseVal.value") / 0.88
    assert sorted(np.round((np.array(positions) / seconds - 0.08) / 0.12)) == list(range(7))


def test_plays_all_and_a_word(browser: Browser, sounding: Path) -> None:
    browser.open(sounding, "utt=u1")
    audio = "document.querySelector('audio')"
    browser.wait(f"{audio}.readyState > 0")
    browser.press(" ")
    browser.wait(f"{audio}.currentTime > 0.05")
    assert browser.run("+document.querySelector('.cursor').getAttribute('x1')") > 0
    browser.press(" ")
    assert browser.run(f"{audio}.paused")
    browser.run(f"{audio}.currentTime = 0")
    browser.click("[data-utt=u1] [data-column='1']")
    browser.wait(f"{audio}.paused && {audio}.currentTime > 0.5")
    assert 0.6 < browser.run(f"{audio}.currentTime") < 0.85
    assert browser.console == []


def test_zoom(browser: Browser, sounding: Path) -> None:
    browser.open(sounding, "utt=u1")
    width = "document.querySelector('svg.timeline').width.baseVal.value"
    first = browser.run(width)
    browser.press("+")
    assert browser.run(width) == pytest.approx(2 * first)
    assert browser.run("document.querySelector('.spectrogram').width.baseVal.value") > first
    browser.press("-")
    browser.press("-")
    assert browser.run(width) == pytest.approx(first)


def test_what_is_not_there_is_told(browser: Browser, sounding: Path) -> None:
    browser.open(sounding, "utt=u4")
    assert "u4.wav: cannot be read" in browser.texts("[data-utt=u4] .problem")[0]
    browser.press("j")
    assert browser.texts(".problem") == []
    browser.open(sounding, "utt=u3")
    assert browser.texts("[data-utt=u3] .silent")[0].startswith(
        "the audio of this utterance is not"
    )
    browser.open(sounding, "kind=sound")
    assert shown(browser) == ["u2", "u1"]


def test_asks_for_nothing_outside(browser: Browser, sounding: Path) -> None:
    browser.open(sounding, "utt=u1")
    browser.wait("document.querySelector('audio').readyState > 0")
    assert browser.asked_for[0] == sounding.as_uri()
    assert all(address.startswith(("data:", "blob:")) for address in browser.asked_for[1:])


def test_confusion_matrix_of_phones(browser: Browser, tmp_path: Path) -> None:
    refs = {"u1": "aa b aa b", "u2": "s aa"}
    hyps = {"u1": "aa b eh b", "u2": "aa t"}
    path = write_page(tmp_path / "phones.html", "phone", refs=refs, hyps=hyps)
    browser.open(path)
    assert browser.texts("#matrix thead th") == [
        *("ref \\ hyp", "aa", "b", "eh", "s", "t", "∅"),
    ]
    rows = browser.run(
        "[...document.querySelectorAll('#matrix tbody tr')].map("
        "row => [...row.cells].map(cell => cell.textContent))"
    )
    assert rows == [
        ["aa", "2", "", "1", "", "", ""],
        ["b", "", "2", "", "", "", ""],
        ["eh", "", "", "", "", "", ""],
        ["s", "", "", "", "", "", "1"],
        ["t", "", "", "", "", "", ""],
        ["∅", "", "", "", "", "1", ""],
    ]
    browser.run("document.querySelector('#matrix td button').focus()")
    browser.press("ArrowRight")
    assert browser.run("document.activeElement.ariaLabel") == "aa taken for eh: 1"
    browser.press("Enter")
    browser.run("document.activeElement.click()")
    browser.settle()
    assert shown(browser) == ["u1"]


def test_more_utterances_than_are_drawn_at_once(browser: Browser, tmp_path: Path) -> None:
    refs = {f"u{number:04}": "a b" for number in range(300)}
    path = write_page(tmp_path / "many.html", refs=refs, hyps=refs, speakers={})
    browser.open(path)
    assert len(shown(browser)) == 50
    browser.click("#more")
    assert len(shown(browser)) == 100
    browser.open(path, "utt=u0177")
    assert selected(browser) == "u0177"
    assert browser.texts("#more") == ["Show 50 more of 122"]


def test_hostile_ids_and_texts_are_text(browser: Browser, tmp_path: Path) -> None:
    hostile = "</script><img/src=x/onerror=document.title='ran'>"
    refs = {hostile: f"{hostile} a", "<b>u2</b>": "'\"> __proto__ constructor"}
    hyps = {hostile: "{{data}} b", "<b>u2</b>": "<svg/onload=document.title='ran'>"}
    path = write_page(
        tmp_path / "page.html", refs=refs, hyps=hyps, speakers=dict.fromkeys(refs, "<i>")
    )
    browser.open(path, "q=%3Cimg")
    assert shown(browser) == [hostile]
    assert browser.run("document.title") == "hyp.jsonl against ref.jsonl"
    assert (
        browser.run("document.querySelectorAll('img, main b, #confusions b, svg[onload]').length")
        == 0
    )
    browser.open(path, "kind=constructor&sort=__proto__&speaker=%3Ci%3E&utt=__proto__")
    assert browser.console == []
    # Even markup that got in would not run.
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=document.title=1>')"
    )
    browser.settle()
    assert browser.run("document.title") == "hyp.jsonl against ref.jsonl"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_from_their_ground(browser: Browser, silent: Path, scheme: str) -> None:
    browser.open(silent, prefers_color_scheme=scheme)
    tinted = ".column.sub .hyp, .column.ins .hyp, .column.del .ref, .key"
    colours = browser.run(
        f"[...document.querySelectorAll('{tinted}')]"
        ".map(e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor])"
    )
    assert len(colours) > 5
    for front, back in colours:
        assert contrast(front, back) > 4.5, (front, back)


def test_print_leaves_out_what_cannot_be_pressed(browser: Browser, sounding: Path) -> None:
    browser.open(sounding, "utt=u1")
    browser.emulate("print")
    hidden = "[...document.querySelectorAll('#filter, .controls, #keys')].map(e => e.offsetHeight)"
    assert browser.run(hidden) == [0, 0, 0]
    assert browser.run("document.querySelector('.timeline').getBoundingClientRect().height") > 200
    browser.emulate("screen")


def contrast(front: str, back: str) -> float:
    """Contrast of two CSS colours `rgb(r, g, b)`, by WCAG 2.1, 1 to 21."""

    def luminance(colour: str) -> float:
        numbers = colour.removeprefix("rgb(").removesuffix(")").split(",")
        share = np.array([float(number) for number in numbers]) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    lighter, darker = sorted((luminance(front), luminance(back)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
