"""The page's files: what they are sent as, and that nothing in them comes from elsewhere or breaks the policy."""

from __future__ import annotations

import asyncio
import re
from importlib import resources
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from stillroom.core import plugins
from stillroom.serve import page
from stillroom.serve.routes import Routes

TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
         "svg": "image/svg+xml", "webmanifest": "application/manifest+json"}  # fmt: skip
FILES = sorted(one.name for one in resources.files(page).iterdir() if one.name.rpartition(".")[2] in TYPES)
#: Names of namespaces, which nobody fetches, and the place where a card's own links are looked at.
SPOKEN = {"http://www.w3.org/2000/svg"}


def text(name: str) -> str:
    return (resources.files(page) / name).read_text(encoding="utf-8")


def sent(address: str, **headers: str) -> Response:
    path, _ = Routes(page.paths()).find(address, "GET")
    told = [(name.replace("_", "-").encode(), one.encode()) for name, one in headers.items()]
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": address, "headers": told}
    assert path.scope is None, "the page asks for the key"
    return asyncio.run(path.answer(None, Request(scope)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_sent_as_what_it_is_and_kept(name: str) -> None:
    address = "/" if name == "index.html" else f"/page/{name}"
    found = sent(address)
    assert found.headers["content-type"] == TYPES[name.rpartition(".")[2]]
    assert bytes(found.body).decode() == text(name)
    again = sent(address, if_none_match=found.headers["etag"])
    assert (again.status_code, again.body) == (304, b"")


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_elsewhere(name: str) -> None:
    assert set(re.findall(r"https?://[^\s\"'`<>)]+", text(name))) <= SPOKEN
    assert "innerHTML" not in text(name)
    assert not re.search(r"insertAdjacentHTML|document\.write|\beval\(|new Function", text(name))


def test_no_script_and_no_style_stands_in_the_page() -> None:
    html = text("index.html")
    assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
    assert re.findall(r"<script[^>]*>[^<]", html) == []
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    for name in FILES:
        assert not re.search(r"setAttribute\([\"']style", text(name)), "no policy lets it"


def test_what_the_files_name_is_there_and_nothing_else() -> None:
    """A task's own file is named by the task alone."""
    reached: set[str] = set()
    left = ["index.html", *(f"{kind}.js" for kind in plugins.names("tasks"))]
    while left:
        name = left.pop()
        assert name in FILES
        reached.add(name)
        left += sorted(set(re.findall(r"/page/([\w.]+\.\w+)", text(name))) - reached - set(left))
    assert reached == set(FILES)


@pytest.mark.parametrize("kind", plugins.names("tasks"))
def test_every_task_has_a_playground(kind: str) -> None:
    assert "export function mount(" in text(f"{kind}.js")
