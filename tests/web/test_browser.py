"""The folder in a real browser: the same answers as in Python, offline too, and what somebody does with the page."""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillroom
from stillroom import web
from stillroom.core import edit_tags
from stillroom.core.errors import OutsideError
from stillroom.formats.onnx_int8 import quantize
from stillroom.web import _runtime
from tests.browser import IN_A_BROWSER
from tests.web import scenes

pytestmark = IN_A_BROWSER
READS = {"kind": "tokens", "special": True}
SPANS = {"kind": "token_labelling", "labels": ["PER", "PLACE"]}
SPELL = edit_tags.TAGS.index("spell")
CAPITAL = edit_tags.TAGS.index("capital")
#: Of all that can be read: its contrast with what it stands on, and how it begins.
CONTRAST = """
const lum = c => {
  const [r, g, b] = c.match(/[\\d.]+/g).map(x => { x /= 255;
    return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4 });
  return .2126 * r + .7152 * g + .0722 * b };
const back = e => {
  const c = getComputedStyle(e).backgroundColor; return /, 0\\)$/.test(c) ? back(e.parentElement) : c };
const read = e => e.getClientRects().length && e.textContent.trim() && !e.closest('.skip, .away')
  && !e.querySelector('i');
return [...document.querySelectorAll('p, dt, dd, li span, h1, h2, button:not(:disabled), a, del, ins')].filter(read)
  .map(e => {
    const [a, b] = [lum(getComputedStyle(e).color), lum(back(e))];
    return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.outerHTML.slice(0, 90)] })
"""
_SECONDS = 100.0


@dataclass
class Site:
    """A folder that is handed out, and what was asked for."""

    folder: Path
    bundle: Path
    runner: str
    asked: list[str] = field(default_factory=list)
    server: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def open(self) -> Site:
        asked, folder = self.asked, str(self.folder)

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=folder)

            def log_message(self, format: str, *args: Any) -> None:
                asked.append(str(args[0]))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _tables(name: str) -> Callable[[Path], dict[str, Any]]:
    def made(folder: Path) -> dict[str, Any]:
        return {name: scenes.write(folder, name)}

    return made


def _graph(kind: str, classes: int, *, int8: bool = False, **planted: int) -> Callable[[Path], dict[str, Any]]:
    def made(folder: Path) -> dict[str, Any]:
        folder.mkdir(parents=True)
        scenes.tokenizer().save(str(folder / "tokenizer.json"))
        scenes.graph(folder / "model.onnx", classes=classes, words=kind == "onnx_words", planted=planted)
        if int8:
            quantize(folder / "model.onnx", folder / "model.int8.onnx", weight_bits=7)
        file = "model.int8.onnx" if int8 else "model.onnx"
        return {"onnx": {"kind": kind, "encoder": READS, "file": file}}

    return made


LABELLED = {"kind": "classification", "labels": list(scenes.LABELS)}
SITES: dict[str, tuple[dict[str, Any], Callable[[Path], dict[str, Any]]]] = {
    "bag": (LABELLED, _tables("bag")),
    "static": (LABELLED, _tables("static, features")),
    "int8": (LABELLED, _graph("onnx", 3, int8=True)),
    "spans": (SPANS, _graph("onnx_words", 5, mira=1, oslo=3)),
    "proof": ({"kind": "proofreading"}, _graph("onnx_words", len(edit_tags.TAGS), recieved=SPELL, oslo=CAPITAL)),
    "vectors": ({"kind": "embeddings", "dimensions": 16}, _tables("static_vectors")),
}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Site]]:
    """Each of `SITES`, handed out until the tests are over."""
    made: dict[str, Site] = {}

    def get(name: str) -> Site:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            task, write = SITES[name]
            runners = write(folder / "files")
            found = scenes.bundle(folder / "work", task=task, runners=runners, files=folder / "files", parity=2e-3)
            try:
                written = web.write(found.folder, out=folder / "site")
            except OutsideError as error:
                pytest.skip(f"no ONNX Runtime for browsers: {error}")
            made[name] = Site(written.folder, found.folder, written.runner).open()
        return made[name]

    yield get
    for one in made.values():
        one.close()


def until(browser: Any, script: str) -> Any:
    """What a script returns once that is something."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        found = browser.execute_script(f"return {script}")
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never: {script}; {browser.execute_script('return document.body.innerText')[:500]}")


def opened(browser: Any, site: Site, *, width: int = 1280, dark: bool = False) -> Any:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(site.url)
    until(browser, "document.documentElement.dataset.ready !== undefined")
    return browser


def answers(browser: Any, texts: Sequence[str], what: str) -> list[Any]:
    script = """const [texts, what, done] = arguments;
        const plain = one => ({...one, values: one.values && [...one.values]});
        stillroom.ask(texts, what).then(({answers}) => done(answers.map(plain)), error => done(error.message))"""
    found = browser.execute_async_script(script, list(texts), what)
    assert isinstance(found, list), found
    return found


def write(browser: Any, text: str, place: str = "textarea") -> None:
    """Type into a place, letter by letter as far as the page can tell."""
    from selenium.webdriver.common.by import By

    area = browser.find_element(By.CSS_SELECTOR, place)
    area.clear()
    area.send_keys(text)


class TestAnswers:
    TEXTS = (*scenes.nasty(25, seed=5), "a great red hat, he met Mira in Oslo! " * 2_700)

    @pytest.mark.parametrize("name", SITES)
    def test_are_those_of_python(self, browser: Any, sites: Callable[[str], Site], name: str) -> None:
        """One text at a time on both sides: in eight bits, a batch has a scale of its own."""
        site = sites(name)
        assert len(self.TEXTS[-1]) > 100_000
        predictor = stillroom.load(site.bundle, runner=site.runner)
        form = predictor.task.form
        page = opened(browser, site)
        # So many numbers take a driver longer than the student.
        some = [text for text in self.TEXTS if len(text) * len(predictor.task.outputs) < 2_000_000]
        for text, one in zip(some, answers(page, some, "outputs"), strict=True):
            line = form.lines(predictor.outputs([text]))[0]
            numbers = np.array(one["values"], dtype=np.float64)
            own = np.array(line.get("logits", line.get("embedding")), dtype=np.float64).reshape(-1)
            assert one.get("words") == line.get("words"), text[:80]
            assert np.abs(numbers - own).max(initial=0.0) <= predictor.parity, text[:80]
        for text, its in zip(self.TEXTS, answers(page, self.TEXTS, "predict"), strict=True):
            prediction = predictor.predict([text])[0].as_dict()
            for key in ("label", "corrected"):
                assert its.get(key) == prediction.get(key), text[:80]
            spans = [[span["text"], span["label"]] for span in its.get("spans", [])]
            assert spans == [[span["text"], span["label"]] for span in prediction.get("spans", [])], text[:80]

    def test_are_verified_first(self, browser: Any, sites: Callable[[str], Site]) -> None:
        page = opened(browser, sites("bag"))
        told = page.execute_script("return document.getElementById('verified').textContent")
        assert told.startswith("All 2 golden answers agree with those it was shipped with. Largest difference: ")

    def test_of_half_a_character_are_refused_as_in_python(self, browser: Any, sites: Callable[[str], Site]) -> None:
        page = opened(browser, sites("bag"))
        told = page.execute_async_script(
            "stillroom.ask(['a\\ud800b']).then(arguments[0], e => arguments[0](e.message))"
        )
        assert told == "Half a character stands at place 2: no student can read it."


class TestFaults:
    @pytest.fixture
    def copy(self, sites: Callable[[str], Site], tmp_path: Path) -> Iterator[Site]:
        own = sites("bag")
        shutil.copytree(own.folder, tmp_path / "copy")
        found = Site(tmp_path / "copy", own.bundle, own.runner).open()
        yield found
        found.close()

    def test_weights_that_were_changed_answer_nothing(self, browser: Any, copy: Site) -> None:
        path = copy.folder / "student" / "bag.safetensors"
        data = bytearray(path.read_bytes())
        data[-4000:] = b"\x00\x42" * 2000  # 3.0, over and over
        path.write_bytes(data)
        browser.get(copy.url)
        told = until(browser, "document.getElementById('failed').textContent")
        assert "differ from those it was shipped with" in told
        assert browser.execute_script("return document.getElementById('state').textContent") == "Not usable"
        said = browser.execute_async_script("stillroom.ask(['great']).then(arguments[0], e => arguments[0](e.message))")
        assert "differ from those" in said

    def test_a_file_that_was_changed_is_not_kept(self, browser: Any, copy: Site) -> None:
        (copy.folder / "icon.svg").write_text("<svg/>")
        page = opened(browser, copy)
        told = until(page, "document.getElementById('offline').textContent.match(/.*could not.*/)")[0]
        assert told == "It could not be kept: a file was not what was exported."
        assert page.execute_async_script("caches.keys().then(arguments[0])") == []


class TestAlone:
    @pytest.mark.parametrize("name", ["bag", "int8"])
    def test_it_opens_and_answers_without_a_network(
        self, browser: Any, sites: Callable[[str], Site], tmp_path: Path, name: str
    ) -> None:
        own = sites(name)
        site = Site(own.folder, own.bundle, own.runner).open()
        try:
            page = opened(browser, site)
            until(page, "document.documentElement.dataset.offline !== undefined")
            before = answers(page, ["the film was great"], "outputs")
        finally:
            site.close()
        with pytest.raises(ConnectionRefusedError), socket.create_connection(site.server.server_address, timeout=1):
            pass
        page.get("about:blank")
        opened(page, site)
        assert answers(page, ["the film was great"], "outputs") == before

    def test_a_newer_student_is_taken_when_it_is_asked_for(
        self, browser: Any, sites: Callable[[str], Site], tmp_path: Path
    ) -> None:
        old, new = sites("bag"), sites("static")
        shutil.copytree(old.folder, tmp_path / "site")
        site = Site(tmp_path / "site", old.bundle, old.runner).open()
        runner = "document.getElementById('made').textContent.match(/Runner [^,]*/)[0]"
        try:
            page = opened(browser, site)
            until(page, "document.documentElement.dataset.offline !== undefined")
            shutil.rmtree(site.folder)
            shutil.copytree(new.folder, site.folder)
            opened(page, site)
            assert page.execute_script(f"return {runner}") == "Runner bag", "what was kept, until somebody says so"
            until(page, "!document.getElementById('newer').hidden")
            page.execute_script("document.getElementById('take').click()")
            taken = "document.documentElement.dataset.ready !== undefined"
            until(page, f"{taken} && {runner} === 'Runner static'")
            assert len(page.execute_async_script("caches.keys().then(arguments[0])")) == 1, "the old one is gone"
        finally:
            site.close()

    def test_no_word_leaves_it(self, browser: Any, sites: Callable[[str], Site]) -> None:
        """Only listed files are asked for; and where a script tried to send something, the policy stops it."""
        site = sites("static")
        page = opened(browser, site)
        until(page, "document.documentElement.dataset.offline !== undefined")
        write(page, "a secret film")
        until(page, "document.getElementById('label')")
        listed = {f"/{name}" for name in json.loads((site.folder / "files.json").read_text())["files"]}
        for line in site.asked:
            method, path, _ = line.split()
            assert method == "GET"
            assert path in listed | {"/", "/files.json", "/sw.js"}, path
        heard = Site(site.folder, site.bundle, site.runner).open()
        try:
            sends = "fetch(arguments[0], {mode: 'no-cors'})"
            script = f"{sends}.then(() => arguments[1]('sent'), () => arguments[1]('stopped'))"
            assert page.execute_async_script(script, f"{heard.url}?secret") == "stopped"
            assert heard.asked == []
        finally:
            heard.close()


class TestThePage:
    def test_proofreads_while_somebody_writes(self, browser: Any, sites: Callable[[str], Site]) -> None:
        page = opened(browser, sites("proof"))
        text = "he recieved a hat. she met oslo. he recieved a red hat"
        write(page, text)
        assert (
            until(page, "[...document.querySelectorAll('mark.wrong')].map(e => e.textContent).join('|')")
            == "recieved|oslo|recieved"
        )
        assert page.execute_script("return document.querySelector('.results h2').textContent") == "3 suggestions"
        self._press(page, "Accept: recieved to received")
        assert self._text(page) == "he received a hat. she met oslo. he recieved a red hat"
        until(page, "document.querySelectorAll('mark.wrong').length === 2")
        self._press(page, "Ignore: oslo to Oslo")
        until(page, "document.querySelectorAll('mark.wrong').length === 1")
        self._press(page, "Accept all")
        assert self._text(page) == text.replace("recieved", "received")
        until(page, "/Nothing to correct/.test(document.querySelector('.results').textContent)")
        for _ in range(2):
            self._press(page, "Undo")
        assert self._text(page) == text
        until(page, "document.querySelectorAll('mark.wrong').length === 2"), "what was ignored stays ignored"

    def test_a_long_text_is_read_on_with_what_is_changed(self, browser: Any, sites: Callable[[str], Site]) -> None:
        """2,000 words at once; then a word more asks the student about its own sentence alone."""
        page = opened(browser, sites("proof"))
        fill = (
            "const area = document.querySelector('textarea'); area.value = arguments[0];"
            "area.dispatchEvent(new Event('input'))"
        )
        text = " ".join(f"He recieved a hat in oslo on day {day}." for day in range(220))
        page.execute_script(fill, text)
        until(page, "document.querySelector('.results h2').textContent === '440 suggestions'")
        assert page.execute_script("return document.querySelectorAll('.found li').length") == 50
        self._press(page, "Show 390 more")
        assert page.execute_script("return document.querySelectorAll('.found li').length") == 440
        counted = (
            "window.said = []; const send = Worker.prototype.postMessage;"
            "Worker.prototype.postMessage = function (one) { window.said.push(...one.texts); send.call(this, one) };"
        )
        page.execute_script(counted)
        page.execute_script(fill, f"{text} He recieved it today.")
        until(page, "document.querySelector('.results h2').textContent === '441 suggestions'")
        assert page.execute_script("return window.said") == ["He recieved it today."]

    def test_what_is_at_the_caret_is_shown_in_the_list(self, browser: Any, sites: Callable[[str], Site]) -> None:
        page = opened(browser, sites("proof"))
        write(page, "he recieved a hat in oslo")
        until(page, "document.querySelectorAll('mark.wrong').length === 2")
        page.execute_script(
            "const area = document.querySelector('textarea');"
            "area.setSelectionRange(22, 22); area.dispatchEvent(new Event('click'))"
        )
        assert page.execute_script("return document.querySelector('.found [aria-current] del').textContent") == "oslo"

    def test_marks_spans(self, browser: Any, sites: Callable[[str], Site]) -> None:
        page = opened(browser, sites("spans"))
        write(page, "He met Mira. In Oslo it was great.")
        until(page, "document.querySelectorAll('.spans li').length")
        found = page.execute_script("return [...document.querySelectorAll('mark')].map(e => e.textContent)")
        assert any(one.startswith("Mira") for one in found)
        assert "Oslo" in found
        assert until(page, "document.getElementById('said').textContent").endswith("found")

    def test_puts_lines_in_order(self, browser: Any, sites: Callable[[str], Site]) -> None:
        page = opened(browser, sites("vectors"))
        write(page, "a great film", "#looked")
        write(page, "she met mira\na great film\ndull hat")
        first = (
            "document.querySelectorAll('.near li').length === 3 && document.querySelector('.near li .named').innerText"
        )
        until(page, f"/^a great film\\s+1.00$/.test({first})")

    def test_can_be_heard_and_used_with_keys(self, browser: Any, sites: Callable[[str], Site]) -> None:
        from selenium.webdriver.common.by import By

        page = opened(browser, sites("proof"))
        write(page, "he recieved a hat")
        until(page, "document.getElementById('said').textContent")
        assert page.execute_script("return document.getElementById('said').textContent") == "1 suggestion"
        for one in page.find_elements(By.CSS_SELECTOR, "button, textarea, a, input:not([aria-hidden])"):
            assert one.accessible_name or not one.is_displayed(), one.get_attribute("outerHTML")
        page.execute_script("document.querySelector('button.yes').focus()")
        page.switch_to.active_element.send_keys("\ue007")  # enter
        assert self._text(page) == "he received a hat"
        assert page.execute_script("return document.activeElement.tagName") == "TEXTAREA"

    @pytest.mark.parametrize("dark", [False, True], ids=["day", "night"])
    @pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desk"])
    @pytest.mark.parametrize("name", ["bag", "proof"])
    def test_fits_and_can_be_read(
        self, browser: Any, sites: Callable[[str], Site], tmp_path: Path, name: str, width: int, dark: bool
    ) -> None:
        page = opened(browser, sites(name), width=width, dark=dark)
        write(page, "he recieved a great red hat")
        until(page, "document.getElementById('said').textContent")
        shown, whole = page.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
        assert whole <= shown == width
        contrast = page.execute_script(CONTRAST)
        assert len(contrast) > 12
        assert not [one for one in contrast if one[0] < 4.5]  # WCAG 2.2, text of ordinary size
        data = page.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})["data"]
        assert len(base64.b64decode(data)) > 20_000

    def _press(self, page: Any, name: str) -> None:
        """By the name that is heard; the list may be drawn anew while somebody looks for it."""
        script = (
            "const found = [...document.querySelectorAll('button')]"
            ".find(one => (one.ariaLabel ?? one.textContent) === arguments[0]); found.click(); return found.disabled"
        )
        assert page.execute_script(script, name) is not None

    def _text(self, page: Any) -> str:
        return str(page.execute_script("return document.querySelector('textarea').value"))


def test_the_runtime_is_the_one_that_the_lock_file_names() -> None:
    """Skipped where it can't be fetched."""
    try:
        files = _runtime.files(None)
    except OutsideError as error:
        pytest.skip(str(error))
    assert [path.name for path in files] == list(_runtime.NAMES)
    assert files[2].stat().st_size > 5_000_000
