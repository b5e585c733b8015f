"""The page in a real browser, with real students behind it: by hand, by keyboard, on a phone and by night."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import pipeline
from stillroom.core import recipe
from stillroom.serve import keys
from tests.browser import IN_A_BROWSER, WIDTHS, pixels
from tests.conftest import Travelled
from tests.journey.test_proofreading import rows

pytestmark = IN_A_BROWSER
WRONG = "we found it awfull today"
RIGHT = "we found it awful today"
OTHER, OTHERS = "the film was graet at last", "the film was great at last"
#: Notes each request, its texts and whether it was given up; and what `window.changed` makes of an answer.
WATCHED = """
window.asked = [];
const own = window.fetch;
window.fetch = async (address, options = {}) => {
  const body = options.body ? JSON.parse(options.body) : {};
  const note = {address, body, texts: body.texts ?? [], given_up: false};
  window.asked.push(note);
  options.signal?.addEventListener("abort", () => { note.given_up = true; });
  const planted = address === "/predict" ? window.planted?.(body.texts) : null;
  const found = planted ?? await own(address, options);
  if (!window.changed || !found.ok || address !== "/predict") return found;
  const told = await found.json();
  told.predictions.forEach(window.changed);
  return new Response(JSON.stringify(told), {status: 200, headers: found.headers});
};
"""
CONTRAST = """
const part = x => x / 255 <= .03928 ? x / 255 / 12.92 : ((x / 255 + .055) / 1.055) ** 2.4;
const lum = c => { const [r, g, b] = c.map(part);
  return .2126 * r + .7152 * g + .0722 * b };
const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const seen = (c, under) => { paint.fillStyle = `rgb(${under.join()})`; paint.fillRect(0, 0, 1, 1); paint.fillStyle = c;
  paint.fillRect(0, 0, 1, 1); return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3) };
const back = e => seen(getComputedStyle(e).backgroundColor, e.parentElement ? back(e.parentElement) : [255, 255, 255]);
return [...document.querySelectorAll("body *")].filter(e => e.getClientRects().length && !e.disabled
  && !e.closest(".under, .away, .skip, svg")
  && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => { const under = back(e);
  const [a, b] = [lum(seen(getComputedStyle(e).color, under)), lum(under)];
  return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.outerHTML.slice(0, 90)] });
"""


@contextlib.contextmanager
def serving(*students: str, log: Path, options: tuple[str, ...] = ()) -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    command = [sys.executable, "-m", "stillroom.cli", "serve", *students, "--port", "0", *options]
    with log.open("w", encoding="utf-8") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, env=dict(os.environ))
    try:
        at = _wait(lambda: next((json.loads(line)["at"] for line in log.read_text(encoding="utf-8").splitlines()
                                 if '"listening"' in line), None), seconds=120)  # fmt: skip
        yield at
    finally:
        process.kill()
        process.wait(30)


def _wait(look: Callable[[], Any], *, seconds: float = 20) -> Any:
    """What it gives as soon as that is anything."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


@pytest.fixture(scope="module")
def proofreader(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a student that corrects a few words."""
    folder = tmp_path_factory.mktemp("proofreader")
    (folder / "rows.jsonl").write_text("\n".join(rows()), encoding="utf-8")
    told = {
        "name": "proofs",
        "seed": 3,
        "task": {"kind": "proofreading"},
        "corpus": {"kind": "table", "labelled": str(folder / "rows.jsonl"), "label": "corrected", "dev_share": 0.2,
                   "test_share": 0.3, "near_twins": "keep"},
        "teacher": {"kind": "harper"},
        "student": {"kind": "cnn", "start": str(encoder_folder), "dimensions": 16, "channels": 16, "epochs": 14,
                    "batch_size": 8, "learning_rate": 1e-2},
        "export": {"formats": ["onnx"]},
    }  # fmt: skip
    return pipeline.run(recipe.parse(told), work=folder / "work", until="export").artifacts["export"].folder


@pytest.fixture(scope="module")
def at(proofreader: Path, travelled: Travelled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of two students."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(f"proofs={proofreader}", f"toy={travelled.run.folder}", log=log) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(browser: Any) -> Any:
    """The browser, in which each page tells what it asks for."""
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCHED})
    return browser


class Visitor:
    """Somebody in front of the page."""

    def __init__(self, browser: Any, at: str) -> None:
        self.browser, self.at = browser, at

    def open(self, name: str = "", *, wide: str = "desk", dark: bool = False) -> None:
        told = {"width": WIDTHS[wide], "height": 900, "deviceScaleFactor": 1, "mobile": wide == "phone"}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", told)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.browser.get("about:blank")
        self.browser.get(f"{self.at}#{name}" if name else self.at)

    def js(self, code: str, *arguments: Any) -> Any:
        return self.browser.execute_script(code, *arguments)

    def await_js(self, code: str) -> Any:
        """What a promise gives."""
        return self.browser.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"(async () => {{ {code} }})().then(done, error => done(`failed: ${{error}}`));"
        )

    def wait(self, code: str) -> Any:
        """What an expression gives as soon as that is anything."""
        return _wait(lambda: self.js(f"return {code}"))

    def find(self, selector: str) -> Any:
        self.wait(f"document.querySelector({json.dumps(selector)}) !== null")
        return self.browser.find_element("css selector", selector)

    def write(self, text: str, *, into: str = "textarea") -> None:
        """As a keyboard of the system does, which can write every character."""
        self.find(into)
        self.js(f"document.querySelector({json.dumps(into)}).focus()")
        self.browser.execute_cdp_cmd("Input.insertText", {"text": text})

    def press(self, *words: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*words).perform()

    def chord(self, held: str, key: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).key_down(held).send_keys(key).key_up(held).perform()

    def click(self, words: str, *, within: str = "body") -> None:
        found = self.wait(
            f"[...document.querySelectorAll({json.dumps(within + ' button, ' + within + ' a')})]"
            f".find(e => e.getClientRects().length && !e.disabled && e.textContent.trim() === {json.dumps(words)})"
        )
        found.click()

    @property
    def text(self) -> str:
        return str(self.js("return document.querySelector('textarea').value"))

    def underlined(self) -> list[str]:
        return list(self.js("return [...document.querySelectorAll('.under .finding')].map(e => e.textContent)"))

    def until_underlined(self, *words: str) -> None:
        rests = "return ['checked', 'nothing to correct'].includes(document.querySelector('.state').dataset.state)"
        _wait(lambda: self.underlined() == list(words) and self.js(rests))

    def said(self) -> str:
        """What is told to whoever listens."""
        return str(self.wait("document.getElementById('said').textContent"))

    def troubles(self) -> list[str]:
        return [one["message"] for one in self.browser.get_log("browser") if one["level"] == "SEVERE"]


@pytest.fixture
def visitor(chromium: Any, at: str) -> Visitor:
    found = Visitor(chromium, at)
    found.troubles()  # those of before
    return found


def test_what_is_wrong_is_underlined_while_somebody_writes(visitor: Visitor) -> None:
    visitor.open("proofs")
    visitor.write(f"{WRONG}\n{OTHER}")
    visitor.until_underlined("awfull", "graet")
    cards = visitor.js("return [...document.querySelectorAll('.findings li')].map(e => e.innerText)")
    assert [all(word in card for word in ("awfull", "awful", "Accept", "Ignore", "%")) for card in cards] == [
        True,
        False,
    ]
    assert "This is no word of the dictionary" in cards[0]
    asked = len(visitor.js("return window.asked"))
    visitor.press(" without a doubt")
    visitor.until_underlined("awfull", "graet")
    later = [one for one in visitor.js("return window.asked")[asked:] if not one["given_up"]]
    assert later, "what was written is asked about"
    assert {text for one in later for text in one["texts"]} <= {
        f"{OTHER} without a doubt"[:place] for place in range(99)
    }
    assert not any(WRONG in one["texts"] for one in later), "the first line is as it was"
    assert visitor.troubles() == [], "the server's policy is kept"


def test_accept_ignore_undo_and_all_of_them(visitor: Visitor) -> None:
    visitor.open("proofs")
    visitor.write(f"{WRONG}\n{OTHER}")
    visitor.until_underlined("awfull", "graet")
    visitor.click("Accept", within=".findings li:first-child")
    visitor.until_underlined("graet")
    assert visitor.text == f"{RIGHT}\n{OTHER}"
    visitor.click("Ignore", within=".findings li:first-child")
    visitor.until_underlined()
    assert visitor.text == f"{RIGHT}\n{OTHER}"
    visitor.click("Undo")
    visitor.until_underlined("graet")
    visitor.click("Undo")
    visitor.until_underlined("awfull", "graet")
    assert visitor.text == f"{WRONG}\n{OTHER}"
    visitor.click("Accept all")
    visitor.until_underlined()
    assert visitor.text == f"{RIGHT}\n{OTHERS}"
    visitor.click("Undo")
    visitor.until_underlined("awfull", "graet")
    visitor.click("Redo")
    _wait(lambda: visitor.text == f"{RIGHT}\n{OTHERS}")
    visitor.browser.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    visitor.click("Copy text")
    _wait(lambda: visitor.await_js("return await navigator.clipboard.readText()") == f"{RIGHT}\n{OTHERS}")


def test_what_is_ignored_stays_ignored_when_something_else_changes(visitor: Visitor) -> None:
    visitor.open("proofs")
    visitor.write(WRONG)
    visitor.until_underlined("awfull")
    visitor.click("Ignore", within=".findings li")
    visitor.until_underlined()
    visitor.write(" as ever")
    _wait(lambda: visitor.js("return window.asked.length") >= 1)
    visitor.until_underlined()


def test_by_keyboard_alone(visitor: Visitor) -> None:
    from selenium.webdriver.common.keys import Keys

    visitor.open("proofs")
    visitor.find("textarea")
    for _ in range(20):
        if visitor.js("return document.activeElement.matches('textarea')"):
            break
        visitor.press(Keys.TAB)
    visitor.press(f"{WRONG}\n{OTHER}")
    visitor.until_underlined("awfull", "graet")
    _wait(lambda: "2 suggestions" in visitor.said())  # else that is said over what comes next
    visitor.press(Keys.F8)  # from the end round to the first
    assert visitor.wait("document.activeElement.closest('.pop')?.innerText").count("awful") >= 1
    assert "awfull, awful" in visitor.said()
    visitor.press(Keys.ENTER)
    _wait(lambda: visitor.text == f"{RIGHT}\n{OTHER}")
    assert "graet" in visitor.wait("document.activeElement.closest('.pop')?.innerText"), "the next one is looked at"
    visitor.press(Keys.TAB, Keys.ENTER)
    visitor.until_underlined()
    assert visitor.js("return document.activeElement.matches('textarea')"), "the hand is back in the text"
    visitor.chord(Keys.CONTROL, "z")
    visitor.until_underlined("graet")
    visitor.chord(Keys.CONTROL, "z")
    _wait(lambda: visitor.text == f"{WRONG}\n{OTHER}")
    visitor.press(Keys.F8)
    visitor.wait("document.activeElement.closest('.pop') !== null")
    visitor.press(Keys.ESCAPE)
    assert visitor.js("return document.querySelector('.pop').hidden && document.activeElement.matches('textarea')")


def test_everything_that_can_be_pressed_has_a_name(visitor: Visitor) -> None:
    for name in ("proofs", "toy"):
        visitor.open(name)
        visitor.find("textarea")
        nodes = visitor.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        roles = {"button", "link", "textbox", "checkbox", "combobox", "dialog", "navigation", "region"}
        seen = [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in nodes
                if not one.get("ignored") and one.get("role", {}).get("value") in roles]  # fmt: skip
        assert len(seen) > 8
        assert [one for one in seen if not one[1].strip()] == []


def test_places_are_right_beside_characters_of_two_halves(visitor: Visitor) -> None:
    visitor.open("proofs")
    visitor.find("textarea")
    text = f"👍🏽 𝒜 👩‍👩‍👧 {WRONG} 👍"
    start = text.index("awfull")
    told = {"start": start, "end": start + 6, "text": "awfull", "replacement": "awful", "type": "spelling",
            "score": 0.9, "explanation": "No word."}  # fmt: skip
    visitor.js(f"window.changed = one => {{ one.corrections = {json.dumps([told])} }}")
    visitor.write(text)
    visitor.until_underlined("awfull")
    visitor.js("window.changed = one => { one.corrections = [] }")
    visitor.click("Accept all")
    _wait(lambda: visitor.text == f"👍🏽 𝒜 👩‍👩‍👧 {RIGHT} 👍")


def test_places_are_those_of_code_points(visitor: Visitor) -> None:
    """Against Python's own, which counts them."""
    visitor.open("proofs")
    chance = random.Random(0)
    texts = ["".join(chance.choices("a é\n👍𝒜🏽‍中", k=chance.randrange(30))) for _ in range(200)]
    found = visitor.await_js(
        f"const {{places}} = await import('/page/places.js'); return {json.dumps(texts)}"
        ".map(t => { const at = places(t); return [...Array([...t].length + 1).keys()].map(n => t.slice(0, at(n))) })"
    )
    assert found == [[text[:place] for place in range(len(text) + 1)] for text in texts]


def test_pieces_are_the_text_and_what_a_change_leaves_alone_is_kept(visitor: Visitor) -> None:
    visitor.open("proofs")
    chance = random.Random(1)
    sentences = ["It is so. ", "Why not? ", "\n", "A word, and another word. ", "X" + "x" * 300 + ". "]
    texts = ["".join(chance.choices(sentences, k=chance.randrange(60))) for _ in range(60)]
    found = visitor.await_js(
        f"const {{split}} = await import('/page/pieces.js'); return {json.dumps(texts)}.map(t => split(t))"
    )
    assert ["".join(one) for one in found] == texts
    assert max(len(piece) for one in found for piece in one) < 1100
    kept = visitor.await_js(
        "const {carried} = await import('/page/pieces.js');"
        "const found = [{start: 0, end: 3}, {start: 8, end: 11}];"
        "return ['teh and teh', 'teh, and teh', 'tehy and teh', 'teh andteh', 'and teh', 'teh and']"
        ".map(after => carried('teh and teh', after, found).map(one => after.slice(one.start, one.end)))"
    )
    assert kept == [["teh", "teh"], ["teh", "teh"], ["teh"], ["teh"], ["teh"], ["teh"]]


def test_what_is_no_longer_asked_is_given_up(visitor: Visitor) -> None:
    visitor.open("proofs")
    visitor.find("textarea")
    visitor.js("window.planted = () => new Promise(() => {})")  # a server that thinks for ever
    visitor.write(WRONG)
    visitor.wait("window.asked.some(one => one.texts.length)")
    visitor.js("window.planted = null")
    visitor.write(" as ever")
    visitor.until_underlined("awfull")
    asked = [one for one in visitor.js("return window.asked") if one["texts"]]
    assert [one["given_up"] for one in asked] == [True, False]


def test_a_long_text_is_asked_about_once(visitor: Visitor) -> None:
    visitor.open("proofs")
    lines = [json.loads(one)["text"] for one in rows()][:360]
    assert len(" ".join(lines).split()) > 2000
    visitor.write("\n".join(lines))
    visitor.wait("document.querySelector('.state').dataset.state === 'checked'")
    first = visitor.underlined()
    assert len(first) > 150
    asked = visitor.js("return window.asked.flatMap(one => one.texts)")
    assert sorted(asked) == sorted(set(lines)), "each line once"
    visitor.js("window.asked.length = 0; document.querySelector('textarea').setSelectionRange(0, 0)")
    visitor.press("so ")
    visitor.wait("window.asked.length && document.querySelector('.state').dataset.state === 'checked'")
    assert {tuple(one["texts"]) for one in visitor.js("return window.asked") if not one["given_up"]} == {
        (f"so {lines[0]}",)
    }
    assert visitor.underlined()[-150:] == first[-150:]
    assert visitor.js("return document.querySelectorAll('.findings li').length") < 100


def test_what_the_server_refuses_is_told_in_words(visitor: Visitor) -> None:
    visitor.open("proofs")
    visitor.find("textarea")
    problem = {"where": "texts[0]", "found": "9 characters", "expected": "at most 5", "todo": "Send it in parts."}
    body = {"error": {"code": "text_too_long", "problems": [problem]}}
    visitor.js(f"window.planted = () => new Response({json.dumps(json.dumps(body))}, {{status: 413}})")
    visitor.write(WRONG)
    told = visitor.wait("document.querySelector('[role=alert]')?.innerText")
    assert "too long: 9 characters, and the server takes at most 5" in told
    busy = '{"error": {"code": "overloaded", "problems": []}}'
    visitor.js(f"window.planted = () => new Response('{busy}', {{status: 429, headers: {{'retry-after': '1'}}}})")
    visitor.click("Try again")
    visitor.wait("document.querySelector('[role=alert]')?.innerText.includes('Try again in 1 second')")
    visitor.js("window.planted = null")
    visitor.until_underlined("awfull")  # it tries again by itself, when the server said


def test_labels_and_the_words_that_led_to_them(visitor: Visitor, travelled: Travelled) -> None:
    visitor.open("toy")
    visitor.write("my friends thought it great in every scene")
    assert visitor.wait("document.querySelector('.verdict strong')?.textContent") == "positive"
    shares = visitor.js("return [...document.querySelectorAll('.bars .number')].map(e => e.textContent)")
    assert len(shares) == 2
    assert "ms" in visitor.js("return document.querySelector('.timing').innerText")
    asked = len(visitor.js("return window.asked"))
    visitor.click("Which words led to it?")
    visitor.wait("document.querySelector('.words') !== null")
    assert [len(one["texts"]) for one in visitor.js("return window.asked")[asked:]] == [8], (
        "each word left out, at once"
    )
    strongest = visitor.js(
        "return [...document.querySelectorAll('.words mark.for.s3')].map(e => e.firstChild.textContent)"
    )
    assert strongest == ["great"]


def test_its_teacher_and_what_was_done_to_a_text_stand_beside_it(visitor: Visitor) -> None:
    visitor.open("toy")
    visitor.find("textarea")
    visitor.js(
        "window.changed = one => Object.assign(one, {student: {...one, label: 'negative', score: .6, scores: "
        "{negative: .6, positive: .4}}, teacher_ms: 412.4, teacher: {price: .003, prediction: {...one}, ms: 412.4}, "
        "sure: false, escalated: true, "
        "flags: [{detector: 'personal_data', action: 'mask', names: ['email']}], "
        "cuts: [{start: 3, end: 6, why: 'not read'}]})"
    )
    visitor.write("🙂 great film")
    sides = visitor.wait(
        "document.querySelectorAll('.side').length === 2 && "
        "[...document.querySelectorAll('.side')].map(e => e.innerText)"
    )
    assert [one.split()[:2] for one in sides] == [["Student", "negative"], ["Teacher", "positive"]]
    assert "412 ms" in sides[1]
    assert "0.003" in sides[1]
    notices = visitor.js("return [...document.querySelectorAll('.notice')].map(e => e.innerText).join()")
    assert "The teacher was asked" in notices
    assert "personal data · found email · action: mask" in notices
    assert visitor.js("return document.querySelector('.notice q').textContent") == "🙂 great film"[3:6]


def test_the_teacher_of_a_proofreader_is_asked_beside_it(visitor: Visitor) -> None:
    visitor.open("proofs")
    visitor.find("textarea")
    assert not visitor.js(
        "return [...document.querySelectorAll('button')].some(e => e.textContent.includes('teacher'))"
    )
    visitor.js(
        "window.changed = one => Object.assign(one, {sure: true, teacher: {ms: 41.6, price: 0.002, prediction: "
        "{corrections: [{start: 0, end: 3, text: 'teh', replacement: 'the', type: 'spelling', score: .9}]}}});"
        "import('/page/opinion.js').then(({ opinion }) => { const one = opinion({ name: 'proofs', teacher: 'own', "
        "price_per_1000: { teacher: 2, student: .01, currency: 'EUR' } }, () => arguments[0]); "
        "one.card.id = 'second'; document.querySelector('main').append(one.card); })",
        "teh cat",
    )
    visitor.wait("document.querySelector('#second button') !== null")
    visitor.js("document.querySelector('#second .row:last-child button').click()")
    student, teacher = visitor.wait(
        "document.querySelectorAll('#second .side').length === 2 && "
        "[...document.querySelectorAll('#second .side')].map(e => e.innerText)"
    )
    assert "Student" in student
    assert all(one in teacher for one in ("Teacher", "spelling", "teh", "the", "42 ms", "0.002 EUR", "2000.00 EUR"))
    assert visitor.js("return window.asked").pop()["body"]["teacher"] == "beside"


def test_a_file_is_dropped_on_the_text(visitor: Visitor) -> None:
    visitor.open("proofs")
    visitor.find("textarea")
    drop = (
        "const carried = new DataTransfer(); carried.items.add(new File([new Uint8Array(arguments[0])], arguments[1]));"
        "document.querySelector('textarea').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: carried, bubbles: true, cancelable: true}))"
    )
    visitor.js(drop, list(f"\ufeff{WRONG}\r\n👍".encode()), "letter.md")
    visitor.until_underlined("awfull")
    assert visitor.text == f"{WRONG}\n👍"
    visitor.js(drop, list(f'{{"text": "{OTHER}"}}\n{{"text": "{WRONG}"}}'.encode()), "rows.jsonl")
    visitor.until_underlined("graet", "awfull")
    visitor.js(drop, [0xFF, 0xFE, 0x00], "picture.txt")
    assert "no text in UTF-8" in visitor.wait("document.querySelector('[role=alert]')?.innerText")
    assert visitor.text == f"{OTHER}\n{WRONG}"


def _mount(visitor: Visitor, task: str, answers: str, **model: Any) -> None:
    """The playground of a task with a student that answers what `answers`, a function of texts, makes up."""
    visitor.open("toy")
    visitor.find("textarea")
    visitor.js(f"window.planted = texts => new Response(JSON.stringify({{predictions: ({answers})(texts)}}))")
    told = json.dumps({"name": "made-up", "versions": 1, **model})
    failed = visitor.await_js(
        f"const {{mount}} = await import('/page/{task}.js');"
        f"document.querySelector('main').replaceChildren(...mount({{model: {told}}}).nodes)"
    )
    assert failed is None


def test_what_is_named_is_marked_at_its_place(visitor: Visitor) -> None:
    text = "👩‍👩‍👧 and Ada 𝒜 in Oslo"
    spans = [{"start": text.index(one), "end": text.index(one) + len(one), "text": one, "label": label, "score": 0.91}
             for one, label in (("Ada", "PER"), ("Oslo", "<LOC>"))]  # fmt: skip
    _mount(visitor, "token_labelling", f"texts => [{{spans: {json.dumps(spans)}}}]", labels=["PER", "<LOC>", "ORG"])
    visitor.write(text)
    visitor.wait("document.querySelectorAll('.entity').length === 2")
    found = visitor.js(
        "return [...document.querySelectorAll('.entity')].map(e => [e.firstChild.textContent, e.lastChild.textContent])"
    )
    assert found == [["Ada", "PER"], ["Oslo", "<LOC>"]]
    counts = visitor.js("return [...document.querySelectorAll('.labels li')].map(e => e.textContent)")
    assert counts == ["PER1", "<LOC>1", "ORG0"]


def test_the_nearest_line_stands_first(visitor: Visitor) -> None:
    vectors = {"query": [1.0, 0.0], "far": [-1.0, 0.1], "near": [3.0, 0.3], "middle": [1.0, 1.0]}
    _mount(visitor, "embeddings", f"texts => texts.map(one => ({{vector: {json.dumps(vectors)}[one]}}))")
    visitor.write("far\nmiddle\nnear\nfar\n\n")
    visitor.write("query", into="#query")
    visitor.wait("document.querySelectorAll('.ranked li').length === 3")
    found = visitor.js("return [...document.querySelectorAll('.ranked li')].map(e => "
                       "[e.querySelector('.name').textContent, e.querySelector('.number').textContent])")  # fmt: skip
    query = np.array(vectors["query"])
    expected = {one: float(query @ of / np.linalg.norm(of)) for one, of in vectors.items() if one != "query"}
    assert found == [[one, f"{expected[one]:.2f}"] for one in sorted(expected, key=lambda one: -expected[one])]
    assert sorted(visitor.js("return window.asked.flatMap(one => one.texts)")) == sorted(vectors), "each once"


def test_a_summary_is_as_long_as_it_is_asked_to_be_where_the_student_takes_that(visitor: Visitor) -> None:
    from selenium.webdriver.common.keys import Keys

    short = "texts => texts.map(one => ({text: one.slice(0, 5), cut_short: true}))"
    _mount(visitor, "text_to_text", short)
    assert visitor.js("return document.querySelector('#length')") is None
    _mount(visitor, "text_to_text", short, takes_length=True)
    visitor.write("A longer text.")
    visitor.chord(Keys.CONTROL, Keys.ENTER)
    assert visitor.wait("document.querySelector('.written')?.textContent") == "A lon"
    assert "length" not in visitor.js("return window.asked.at(-1).body")
    visitor.find("#length").send_keys("12")
    visitor.click("Write")
    visitor.wait("window.asked.at(-1).body.length === 12 && document.querySelector('.written')")
    assert "cut inside a sentence" in visitor.js("return document.querySelector('.answer').textContent")


def test_a_beginning_is_gone_on_with_again_and_again(visitor: Visitor) -> None:
    _mount(
        visitor, "generation", "texts => texts.map(one => ({text: ` ${one.split(' ').length}`, bits_per_byte: 1.25}))"
    )
    visitor.write("the ship")
    visitor.click("Continue")
    assert visitor.wait("document.querySelector('.written')?.textContent") == "the ship 2"
    visitor.click("Go on from there")
    visitor.wait("document.querySelector('.written')?.textContent === 'the ship 2 3'")
    assert "1.25 bits per byte" in visitor.js("return document.querySelector('.written + .small').textContent")


def test_card_and_report_are_a_click_away(visitor: Visitor) -> None:
    from selenium.webdriver.common.keys import Keys

    visitor.open("toy")
    visitor.click("Model card")
    visitor.wait("document.querySelectorAll('#paper-text table').length > 2")
    headings = visitor.js("return [...document.querySelectorAll('#paper-text h4')].map(e => e.textContent)")
    assert "Intended use" in headings
    assert not visitor.js("return /\\*\\*|^#|\\\\_/m.test(document.querySelector('#paper-text').innerText)"), (
        "no marks are left"
    )
    visitor.press(Keys.ESCAPE)
    assert not visitor.js("return document.querySelector('#paper').open")
    visitor.browser.get(
        visitor.js("return [...document.querySelectorAll('a')].find(e => e.textContent === 'Report').href")
    )
    assert visitor.js("return getComputedStyle(document.querySelector('.figures')).display") == "grid"
    assert visitor.troubles() == []


def test_a_card_and_a_text_are_never_more_than_words(visitor: Visitor) -> None:
    visitor.open("toy")
    visitor.write("<img src=x onerror='window.harmed = 1'> great")
    visitor.click("Which words led to it?")
    visitor.wait("document.querySelector('.words') !== null")
    card = "\n\n".join([
        "# A <script>window.harmed = 1</script>",
        "[go](javascript:window.harmed=1) ![x](https://example.org/x.png) **bold**",
        "<img src=x onerror=window.harmed=1>",
        "| a | b |\n| --- | ---: |\n| <b>1</b> | 2 \\| 3 |",
        "- [out](https://example.org)",
    ])  # fmt: skip
    made = visitor.await_js(
        "const {render} = await import('/page/papers.js');"
        "const place = document.createElement('div'); place.id = 'made';"
        f"place.append(...render({json.dumps(card)})); document.body.append(place); return place.innerHTML"
    )
    assert "<strong>bold</strong>" in made
    assert "&lt;b&gt;1&lt;/b&gt;" in made
    assert "2 | 3" in made
    assert visitor.js("return [...document.querySelectorAll('#made a')].map(e => [e.href, e.rel])") == [
        ["https://example.org/", "noopener noreferrer"]
    ]
    time.sleep(0.3)
    assert visitor.js("return document.querySelectorAll('#made img, #made script, #made b, .words img').length") == 0
    assert visitor.js("return window.harmed === undefined")


def test_a_key_is_asked_for_and_kept_in_the_tab(chromium: Any, travelled: Travelled, tmp_path: Path) -> None:
    secret, key = keys.make("somebody", scopes=["predict"])
    (tmp_path / "keys").write_text(key.line() + "\n", encoding="utf-8")
    with serving(f"toy={travelled.run.folder}", log=tmp_path / "log", options=("--keys", str(tmp_path / "keys"))) as at:
        visitor = Visitor(chromium, at)
        visitor.open()
        visitor.wait("document.querySelector('#asking').open")
        visitor.write("a wrong one", into="#secret")
        visitor.click("Use this key")
        visitor.wait(
            "document.querySelector('#asking').open && "
            "document.querySelector('#asking-title').textContent.includes('not good')"
        )
        visitor.write(secret, into="#secret")
        visitor.click("Use this key")
        visitor.write("a great film")
        assert visitor.wait("document.querySelector('.verdict strong')?.textContent") == "positive"
        assert visitor.js("return Object.values(sessionStorage)") == [secret]
        assert visitor.js("return [localStorage.length, document.cookie]") == [0, ""]
        assert secret not in visitor.js("return document.documentElement.outerHTML")
        visitor.click("Forget the key")
        visitor.wait("document.querySelector('#asking')?.open")
        assert visitor.js("return sessionStorage.length") == 0
        visitor.click("Not now")
        assert "asks for a key" in visitor.wait("document.querySelector('[role=alert]')?.innerText")


@pytest.mark.parametrize("wide", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["day", "night"])
@pytest.mark.parametrize("name", ["proofs", "toy"])
def test_it_is_read_everywhere(visitor: Visitor, name: str, wide: str, dark: bool) -> None:
    visitor.open(name, wide=wide, dark=dark)
    visitor.write(f"{WRONG}\n{OTHER}")
    visitor.wait("document.querySelector('.findings li, .verdict') !== null")
    shown, whole = visitor.js("return [innerWidth, document.documentElement.scrollWidth]")
    assert whole <= shown
    out = visitor.js(
        "return [...document.querySelectorAll('main *, footer *')].filter(e => e.getClientRects().length "
        "&& !e.closest('.away') && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90))"
    )
    assert out == []
    middle = np.median(pixels(visitor.browser))
    assert middle < 80 if dark else middle > 200
    time.sleep(0.3)  # until colours have come to rest
    assert [one for one in visitor.js(CONTRAST) if one[0] < 4.5] == []  # WCAG 2.2, text of ordinary size


def test_the_field_and_what_lies_under_it_are_the_same_to_the_line(visitor: Visitor) -> None:
    visitor.open("proofs", wide="phone")
    visitor.write(f"{WRONG}\nand so on and on until the line is full and breaks and on and on\n\n{OTHER}\n\n")
    visitor.wait("document.querySelector('.state').dataset.state === 'checked'")
    assert visitor.underlined()
    under, over = visitor.js(
        "const u = document.querySelector('.under'), o = document.querySelector('.over'); u.style.minHeight = 0;"
        "return [u.scrollHeight, o.scrollHeight]"
    )
    assert under == over


def test_the_letters_lie_above_their_underlines(visitor: Visitor) -> None:
    """What is looked at has a ground of its own, which must not hide it."""
    from selenium.webdriver.common.keys import Keys

    visitor.open("proofs")
    visitor.write(WRONG)
    visitor.until_underlined("awfull")
    visitor.press(Keys.F8)
    x, y, width, height = visitor.wait(
        "(r => [r.x, r.y, r.width, r.height].map(Math.round))(document.querySelector('.here').getBoundingClientRect())"
    )
    seen = pixels(visitor.browser)[y : y + height, x : x + width]
    assert (seen.sum(axis=2) < 200).sum() > 50, "dark letters"


def test_who_wants_no_motion_sees_none(visitor: Visitor) -> None:
    visitor.open("proofs")
    visitor.find("textarea")
    visitor.browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    moving = visitor.js(
        "return [...document.querySelectorAll('body *')].filter(e => getComputedStyle(e).animationName !== 'none' || "
        "getComputedStyle(e).transitionDuration.split(', ').some(d => parseFloat(d))).length"
    )
    assert moving == 0
