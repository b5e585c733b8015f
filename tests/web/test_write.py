"""The folder for a browser: what is in it, that it can be checked, and who is refused it, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillroom import web
from stillroom.core import scripted
from stillroom.core.artifact import Artifact, file_sha256
from stillroom.core.errors import ArtifactError, InputError, MismatchError, NoNetwork, OutsideError
from stillroom.core.scripted import Scripted
from stillroom.web import _runtime
from tests.conftest import Command
from tests.web import scenes

LABELLED = {"kind": "classification", "labels": list(scenes.LABELS)}


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A bundle of tables alone."""
    folder = tmp_path_factory.mktemp("bag")
    return scenes.bundle(folder / "work", task=LABELLED, runners={"bag": scenes.write(folder / "files", "bag")},
                         files=folder / "files")  # fmt: skip


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A bundle whose default is a graph, with tables beside it."""
    folder = tmp_path_factory.mktemp("graph")
    static = scenes.write(folder / "files", "static")
    scenes.graph(folder / "files" / "model.onnx", classes=3, words=False)
    runners = {"onnx": {"kind": "onnx", "encoder": {"kind": "tokens", "special": True}, "file": "model.onnx"},
               "static": static}  # fmt: skip
    return scenes.bundle(folder / "work", task=LABELLED, runners=runners, files=folder / "files")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder as somebody has who fetched ONNX Runtime by other ways; its files are never run here."""
    folder = tmp_path / "runtime" / "dist"
    folder.mkdir(parents=True)
    for name in _runtime.NAMES:
        (folder / name).write_bytes(name.encode())
    return folder.parent


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


class TestAFolder:
    def test_holds_a_page_and_the_student_and_no_runtime_that_it_does_not_need(
        self, bag: Artifact, tmp_path: Path
    ) -> None:
        found = web.write(bag.folder, out=tmp_path / "site")
        held = names(found.folder)
        page = {"index.html", "style.css", "app.js", "worker.js", "sw.js", "app.webmanifest", "files.json"}
        assert page <= held
        student = {name for name in held if name.startswith("student/")}
        assert student == {"student/student.json", "student/bag.safetensors", "student/letters.json"}
        assert not [name for name in held if name.startswith("runtime/") or name.startswith(".")]
        assert found.runner == "bag"
        assert 0 < found.size_mb < 0.2
        told = json.loads((found.folder / "student" / "student.json").read_text(encoding="utf-8"))
        assert told["digest"] == bag.digest
        assert told["title"] == "classification"
        assert [one["text"] for one in told["golden"]] == [
            "the film was great",
            "a dull film today, he met Mira in Oslo",
        ]

    def test_lists_every_file_and_its_service_worker_is_of_that_list(self, bag: Artifact, tmp_path: Path) -> None:
        found = web.write(bag.folder, out=tmp_path / "site")
        listed = json.loads((found.folder / "files.json").read_text(encoding="utf-8"))["files"]
        assert listed.keys() == names(found.folder) - {"files.json", "sw.js"}
        assert all(file_sha256(found.folder / name) == told["sha256"] for name, told in listed.items())
        assert f'const DIGEST = "{file_sha256(found.folder / "files.json")}";' in (found.folder / "sw.js").read_text()
        assert web.write(bag.folder, out=tmp_path / "again").digest == found.digest

    @pytest.mark.parametrize("name", ["student/bag.safetensors", "app.js", "sw.js"])
    def test_that_was_changed_is_told(self, bag: Artifact, tmp_path: Path, name: str) -> None:
        folder = web.write(bag.folder, out=tmp_path / "site").folder
        web.verify(folder)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data.replace(file_sha256(folder / "files.json")[:8].encode(), b"00000000"))
        if name != "sw.js":
            (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
            web.verify(folder)

    def test_loads_nothing_from_elsewhere(self, bag: Artifact, tmp_path: Path) -> None:
        folder = web.write(bag.folder, out=tmp_path / "site").folder
        for path in folder.rglob("*.*"):
            if path.suffix in (".html", ".js", ".css", ".webmanifest"):
                said = path.read_text(encoding="utf-8")
                assert "http://" not in said.replace("http://www.w3.org", ""), path
                assert "https://" not in said, path
        policy = (folder / "index.html").read_text(encoding="utf-8").split('content="', 1)[1].split('"')[0]
        assert "default-src 'none'" in policy
        assert "script-src 'self' 'wasm-unsafe-eval'" in policy
        assert "unsafe-inline" not in policy

    def test_takes_the_place_of_one_that_was_there(self, bag: Artifact, tmp_path: Path) -> None:
        folder = web.write(bag.folder, out=tmp_path / "site").folder
        (folder / "old.js").write_text("left behind")
        assert "old.js" not in names(web.write(bag.folder, out=folder).folder)
        assert list(tmp_path.iterdir()) == [folder]

    def test_does_not_take_the_place_of_something_else(self, bag: Artifact, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(InputError, match="something else there"):
            web.write(bag.folder, out=tmp_path)
        assert names(tmp_path) == {"thesis.txt"}


class TestWhichRunner:
    def test_a_graph_comes_with_its_runtime(self, graph: Artifact, given: Path, tmp_path: Path) -> None:
        found = web.write(graph.folder, out=tmp_path / "site", onnxruntime=given)
        assert found.runner == "onnx"
        assert {f"runtime/{name}" for name in _runtime.NAMES} <= names(found.folder)
        assert "student/static.safetensors" not in names(found.folder)

    def test_another_where_it_is_named(self, graph: Artifact, tmp_path: Path) -> None:
        found = web.write(graph.folder, out=tmp_path / "site", runner="static")
        assert found.runner == "static"
        assert not [name for name in names(found.folder) if name.startswith("runtime/")]

    def test_one_that_there_is_not(self, graph: Artifact, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no runner `nonsense`"):
            web.write(graph.folder, out=tmp_path / "site", runner="nonsense")

    def test_the_smallest_of_the_others_where_the_default_is_too_large(
        self, graph: Artifact, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (given / "dist" / _runtime.NAMES[2]).write_bytes(bytes(1_000_000))
        monkeypatch.setattr(web, "LIMIT_MB", 0.9)
        assert web.write(graph.folder, out=tmp_path / "site", onnxruntime=given).runner == "static"
        with pytest.raises(MismatchError, match=r"1\.\d MB with the runner `onnx` \(MB: runtime/ort-wasm") as refused:
            web.write(graph.folder, out=tmp_path / "site", onnxruntime=given, runner="onnx")
        assert "less than 0.9 MB" in str(refused.value)

    def test_none_that_a_browser_runs(self, graph: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every reason is told, and the exit code is that of bad input."""
        monkeypatch.setattr("stillroom.runtime.runners.static.Static.in_browser", _refuses)
        monkeypatch.setattr("stillroom.runtime.runners.onnx.Onnx.in_browser", _refuses)
        with pytest.raises(MismatchError) as refused:
            web.write(graph.folder, out=tmp_path / "site")
        assert len(refused.value.problems) == 2
        assert refused.value.exit_code == 2
        assert not (tmp_path / "site").exists()


def test_a_task_of_somebody_else_without_a_script(
    bag: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "stillroom.tasks.classification.Classification.in_browser", lambda self: Scripted({"kind": "ours"})
    )
    with pytest.raises(MismatchError, match="`ours` of the tasks, for which no script is here"):
        web.write(bag.folder, out=tmp_path / "site")


def _refuses(self: Any, folder: Path) -> None:
    raise scripted.refused(f"the runner `{self.kind}`")


def test_a_student_whose_answers_are_others_here_is_not_written(bag: Artifact, tmp_path: Path) -> None:
    from tests.runtime.test_runtime import sealed

    copy = tmp_path / "bundle"
    copy.mkdir()
    for path in bag.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    golden = [json.loads(line) for line in (copy / "golden.jsonl").read_text(encoding="utf-8").splitlines()]
    golden[0]["logits"][0] += 0.5
    (copy / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in golden), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"outputs of runner `bag` that differ by 0\.5"):
        web.write(sealed(copy), out=tmp_path / "site")


class TestTheRuntime:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STILLROOM_CACHE", str(tmp_path / "cache"))

    @pytest.fixture
    def npm(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
        """A program of that name which does what is told; none of the other programs is found."""

        def made(script: str) -> Path:
            path = tmp_path / "bin" / "npm"
            path.parent.mkdir()
            path.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "$@" >> {tmp_path}/asked\n{script}\n')
            path.chmod(0o755)
            monkeypatch.setenv("PATH", str(path.parent))
            return tmp_path / "asked"

        return made

    def test_is_fetched_once_by_the_lock_file_and_no_script_is_run(self, npm: Callable[[str], Path]) -> None:
        dist = "node_modules/onnxruntime-web/dist"
        asked = npm(
            f"grep -q 1.30.0 package-lock.json && mkdir -p {dist} && cd {dist} && touch {' '.join(_runtime.NAMES)} more"
        )
        first = _runtime.files(None)
        assert [path.name for path in first] == list(_runtime.NAMES)
        assert _runtime.files(None) == first
        assert asked.read_text().splitlines() == ["ci --ignore-scripts --no-audit --no-fund --omit=dev"]
        assert names(first[0].parent.parent) == {f"{first[0].parent.name}/{name}" for name in _runtime.NAMES}

    def test_without_npm(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(
            OutsideError, match=r"no program `npm`.*Install Node\.js\. Or name a folder .*--runtime FOLDER"
        ):
            _runtime.files(None)

    def test_without_a_network(self, npm: Callable[[str], Path]) -> None:
        npm("echo 'npm error network request failed' >&2; exit 1")
        with pytest.raises(NoNetwork, match=r"npm without onnxruntime-web \(npm error network request failed\)"):
            _runtime.files(None)

    def test_from_a_folder(self, given: Path) -> None:
        for folder in (given, given / "dist"):
            assert [path.parent for path in _runtime.files(folder)] == [given / "dist"] * 3

    def test_from_a_folder_that_lacks_one(self, given: Path) -> None:
        (given / "dist" / _runtime.NAMES[1]).unlink()
        with pytest.raises(InputError, match="a folder without them"):
            _runtime.files(given)

    def test_the_lock_file_is_of_the_package_and_pins_by_content(self) -> None:
        folder = Path(_runtime.__file__).parent
        wanted = json.loads((folder / "package.json").read_text())["dependencies"]
        locked = json.loads((folder / "package-lock.json").read_text())["packages"]
        assert locked[""]["dependencies"] == wanted
        assert all(one["integrity"].startswith("sha512-") for name, one in locked.items() if name)


class TestTheCommand:
    def test_writes_a_bundle_or_a_run(self, command: Command, bag: Artifact, tmp_path: Path) -> None:
        said = command("export", bag.folder, "--format", "web", "--out", tmp_path / "site", "--json")
        assert said.code == 0
        assert said.json() == web.write(bag.folder, out=tmp_path / "site").as_dict()
        told = command("export", bag.folder, "--format", "web", "--out", tmp_path / "site")
        assert "runner bag" in told.out
        assert "http.server" in told.out

    def test_of_something_else(self, command: Command, tmp_path: Path) -> None:
        said = command("export", tmp_path, "--format", "web", "--json")
        assert said.code == 3
