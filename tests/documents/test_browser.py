"""The report in a real browser, at the width of a phone and of a desk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import IN_A_BROWSER, WIDTHS, pixels
from tests.conftest import Travelled

pytestmark = IN_A_BROWSER


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Any, travelled: Travelled) -> Any:
    """The report, opened at a width."""
    size = {"width": WIDTHS[request.param], "height": 900, "deviceScaleFactor": 1, "mobile": request.param == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get((Path(travelled.run.folder).resolve() / "dossier" / "report.html").as_uri())
    return browser


def test_nothing_is_wider_than_the_page(page: Any) -> None:
    shown, whole = page.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
    assert whole <= shown
    out = page.execute_script(
        "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, details, svg') && "
        "e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 90))"
    )
    assert out == []


def test_what_people_open_it_for_stands_at_the_top(page: Any) -> None:
    top = page.execute_script("return document.querySelector('.figures').getBoundingClientRect().top")
    assert top < 900
    title = page.execute_script("return document.querySelector('h1').textContent")
    assert "of its teacher" in title


def test_pictures_are_drawn_and_said(page: Any) -> None:
    pictures = page.execute_script(
        "return [...document.querySelectorAll('main figure svg')]"
        ".filter(e => !e.closest('.keys, details') && !e.parentElement.closest('svg') && e.getClientRects().length)"
        ".map(e => [e.getBoundingClientRect().width, "
        "e.getAttribute('aria-hidden') || e.querySelector('title') !== null])"
    )
    assert len(pictures) > 5
    assert all(width > 30 for width, _ in pictures), pictures
    assert all(said for _, said in pictures)


def test_by_night_it_is_dark_and_still_read(page: Any) -> None:
    day = pixels(page)
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    night = pixels(page)
    assert np.median(day) > 200 > 80 > np.median(night)
    contrast = page.execute_script(
        "const lum = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(x => { x /= 255; "
        "return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4 }); return .2126 * r + .7152 * g + .0722 * b };"
        "const back = lum(getComputedStyle(document.body).backgroundColor);"
        "return [...document.querySelectorAll('p, td, th, li, h1, h2, h3, small, caption')].filter("
        "e => e.textContent.trim() && !e.closest('.state, .badges, .keys')).map(e => { const l = lum("
        "getComputedStyle(e).color); return (Math.max(l, back) + .05) / (Math.min(l, back) + .05) })"
    )
    assert min(contrast) >= 4.5  # WCAG 2.2, text of ordinary size


def test_it_prints(page: Any) -> None:
    told = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(told["data"]) > 20_000
