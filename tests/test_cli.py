"""The command line: exit codes, data on stdout and talk on stderr, one document of JSON, and the same as in Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stillroom
from stillroom import cli, console, doctor, fitness, journey, pipeline
from stillroom.core import artifact, plugins, recipe
from stillroom.core.artifact import Store
from tests.conftest import Command, Said, Travelled, write_toml

STAGES = ("corpus", "teacher", "transfer", "train", "export", "evaluate", "audit", "cost", "gates", "dossier")


@pytest.fixture
def mine(travelled: Travelled, tmp_path: Path) -> tuple[str, ...]:
    """The finished run's recipe as a file, under a name of its own, so that only what is new is worked on."""
    path = write_toml(tmp_path / "mine.toml", {**travelled.recipe, "name": "mine"})
    return str(path), "--work", str(travelled.work)


def digests(stages: Any) -> dict[str, str]:
    return {name: one["digest"] for name, one in stages.items()}


def test_a_run_keeps_its_recipe_as_it_was_written(command: Command, toml: Path, tmp_path: Path) -> None:
    own, work = toml.read_text(encoding="utf-8"), tmp_path / "work"
    assert command("corpus", toml, "--work", work, "--set", "seed=5", "--json").code == 0
    kept = (work / "runs" / "toy" / "recipe.toml").read_text(encoding="utf-8")
    assert kept == f"# Laid over what follows:\n#   --set seed=5\n\n{own}"
    built = recipe.load(toml)
    pipeline.run(built, work=work, until="corpus")
    assert recipe.load(work / "runs" / "toy" / "recipe.toml").digest == built.digest


#: What speaks to programs alone, or tells lines of JSON as it goes, or a line for a file.
QUIET = {"lsp", "serve", "keys"}


def test_every_command_is_held_here() -> None:
    import typer

    group: Any = typer.main.get_command(cli.app)
    assert set(group.commands) == {"check", "run", *STAGES, "predict", "proofread", "lsp", "serve", "keys", "sign",
                                  "show", "doctor", "search", "compare", "cascade", "list", "new"}  # fmt: skip
    for name, one in group.commands.items():
        assert one.help, name
        assert any("--json" in option.opts for option in one.params) or name in QUIET
        assert all(option.help for option in one.params), name


def test_a_recipe_travels_to_its_bundle_before_it_is_written_for_a_browser(
    command: Command, mine: tuple[str, ...], travelled: Travelled, tmp_path: Path
) -> None:
    said = command("export", *mine, "--format", "web", "--out", tmp_path / "site", "--json")
    assert said.code == 0, said.err
    assert said.json()["folder"] == str(tmp_path / "site")
    told = json.loads((tmp_path / "site" / "student" / "student.json").read_text(encoding="utf-8"))
    assert told["digest"] == travelled.run.artifacts["export"].digest
    assert told["title"] == "mine"


def test_version(command: Command) -> None:
    assert command("--version") == Said(0, f"stillroom {stillroom.__version__}\n", "")


@pytest.mark.parametrize("words", [(), ("nonsense",), ("run",), ("check", "--nonsense"), ("predict",)])
def test_words_that_are_no_command_are_bad_input(command: Command, words: tuple[str, ...]) -> None:
    said = command(*words)
    assert said.code == 2
    assert "Usage" in said.out + said.err


class TestCheck:
    def test_a_recipe_that_is_well(self, command: Command, toml: Path) -> None:
        said = command("check", toml)
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"{toml}: well.")
        assert len(said.out.splitlines()) == 1

    def test_json_is_what_python_says(self, command: Command, toml: Path) -> None:
        said = command("check", toml, "--json", "--set", "student.dimensions=128")
        loaded = recipe.load(toml, ["student.dimensions=128"])
        stillroom.check(loaded)
        assert (said.code, said.err) == (0, "")
        assert said.json() == fitness.describe(loaded)
        assert said.json()["digest"] != fitness.describe(recipe.load(toml))["digest"]

    def test_an_error_goes_to_stderr_for_people_and_to_stdout_for_programs(self, command: Command, toml: Path) -> None:
        people, programs = (command("check", toml, "--set", "student.dimension=3", *more) for more in ((), ("--json",)))
        assert (people.code, people.out) == (2, "")
        for part in ("student.dimension", "found", "expected", "to do", "Did you mean `dimensions`?"):
            assert part in people.err
        assert (programs.code, programs.err) == (2, "")
        assert programs.json()["error"] == "RecipeError"
        assert programs.json()["exit_code"] == 2

    def test_no_such_recipe(self, command: Command, tmp_path: Path) -> None:
        said = command("check", tmp_path / "none.toml", "--json")
        assert said.code == 2
        assert "none.toml" in said.json()["problems"][0]["where"]

    def test_a_path_is_shown_as_it_is(self, command: Command, toml: Path) -> None:
        """Brackets are no colours, and colons no pictures."""
        odd = toml.rename(toml.with_name("[bold]toy:key:[0].toml"))
        assert command("check", odd).out.startswith(f"{odd}: well.")


class TestTravel:
    def test_a_finished_run_is_shown_and_what_is_reused_is_talk(self, command: Command, mine: tuple[str, ...]) -> None:
        said = command("run", *mine)
        assert said.code == 0
        assert "accuracy" in said.out
        assert "Speed-up" in said.out
        assert "pass" in said.out
        shown = [line for line in said.out.splitlines() if line.endswith((".json", ".html", ".md"))]
        assert {Path(line).name for line in shown} == {"summary.json", "report.html", "model_card.md"}
        assert all(Path(line).is_file() for line in shown), "paths are whole, each on a line of its own"
        assert "reused: corpus, teacher, transfer, train, export, evaluate, audit, cost" in said.err
        assert "reused" not in said.out

    def test_json_is_what_python_gives(self, command: Command, mine: tuple[str, ...], travelled: Travelled) -> None:
        said = command("run", *mine, "--json")
        assert (said.code, said.err) == (0, "")
        run = stillroom.run(recipe.load(Path(mine[0])), work=travelled.work)
        assert digests(said.json()["stages"]) == digests(run.stages)
        assert {name: said.json()[name] for name in run.summary} == json.loads(json.dumps(run.summary))
        assert said.json()["documents"] == [str(path) for path in run.documents]

    @pytest.mark.parametrize("stage", STAGES)
    def test_each_stage_goes_as_far_as_its_name(
        self, command: Command, mine: tuple[str, ...], travelled: Travelled, stage: str
    ) -> None:
        programs = command(stage, *mine, "--json")
        assert (programs.code, programs.err) == (0, "")
        assert list(programs.json()["stages"]) == list(STAGES[: STAGES.index(stage) + 1])
        assert bool(programs.json()["documents"]) == (stage == "dossier")
        people = command(stage, *mine, "--quiet")
        assert people.code == 0
        if stage in travelled.run.artifacts:
            folder = travelled.run.artifacts[stage].folder
            assert people.out.splitlines()[-1] == f"{stage}: {folder} (reused)"
            assert people.err == ""

    def test_progress_is_talk_and_quiet_is_quiet(self, command: Command, toml: Path, tmp_path: Path) -> None:
        loud = command("corpus", toml, "--work", tmp_path / "loud")
        assert "corpus" in loud.err
        assert loud.out == f"corpus: {next((tmp_path / 'loud' / 'corpus').glob('[!.]*'))}\n"
        for word in ("-q", "--quiet", "--json"):
            assert command("corpus", toml, "--work", tmp_path / word, word).err == ""

    def test_a_gate_that_says_no_is_an_answer(self, command: Command, mine: tuple[str, ...]) -> None:
        said = command("gates", *mine, "--json", "--set", "gate.0.at_least=1.5")
        assert said.code == 1
        assert said.json()["gates"][0]["state"] == "fail"
        assert command("gates", *mine, "--set", "gate.0.at_least=1.5").code == 1

    def test_a_place_that_can_not_be_written_to(self, command: Command, toml: Path, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("a file", encoding="utf-8")
        for place in ("taken", "taken/deeper"):
            said = command("corpus", toml, "--work", tmp_path / place, "--json")
            assert said.code == 4
            assert said.json()["error"] == "OutsideError"
            assert "taken" in said.json()["problems"][0]["where"]

    def test_a_stop_is_told(self, command: Command, mine: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*arguments: Any, **options: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(pipeline, "run", interrupted)
        said = command("run", *mine)
        assert said.code == 130
        assert "goes on from there" in said.err
        assert said.out == ""


class TestPredict:
    ASKED = ("the film was great today", "we found it dull as ever", "")

    def test_a_line_a_text(self, command: Command, travelled: Travelled) -> None:
        said = command("predict", travelled.run.folder, *self.ASKED)
        assert (said.code, said.err) == (0, "")
        found = stillroom.load(travelled.run.folder).predict(self.ASKED)
        assert said.out == "".join(
            f"{one.label}\t{one.score:.3f}\t{text}\n" for text, one in zip(self.ASKED, found, strict=True)
        )
        assert [one.label for one in found[:2]] == ["positive", "negative"]

    def test_json_is_what_python_gives(self, command: Command, travelled: Travelled) -> None:
        for folder in (travelled.run.folder, travelled.run.artifacts["export"].folder):
            said = command("predict", folder, *self.ASKED, "naïve “café” 👍🏽", "--json", "--verify")
            assert (said.code, said.err) == (0, "")
            texts = [*self.ASKED, "naïve “café” 👍🏽"]
            found = stillroom.load(folder).predict(texts)
            assert said.json() == [{"source": text, **one.as_dict()} for text, one in zip(texts, found, strict=True)]
            assert "👍🏽" in said.out

    def test_files_patterns_and_stdin_in_their_order(
        self, command: Command, travelled: Travelled, tmp_path: Path
    ) -> None:
        (tmp_path / "b.txt").write_text("the film was dull today\n\nlast", encoding="utf-8")
        (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfthe film was great today\r\n")
        (tmp_path / "c.jsonl").write_text('{"id": 7, "text": "we found it warm"}\n', encoding="utf-8")
        files = ("-f", tmp_path / "*.txt", "-f", "-", "--file", tmp_path / "c.jsonl")
        said = command("predict", travelled.run.folder, *files, "--jsonl", stdin="from stdin\n")
        assert (said.code, said.err) == (0, "")
        rows = [json.loads(line) for line in said.out.splitlines()]
        asked = ["the film was great today", "the film was dull today", "", "last", "from stdin", "we found it warm"]
        assert [one["source"] for one in rows] == asked
        assert rows[-1]["id"] == 7
        found = stillroom.load(travelled.run.folder).predict(asked)
        assert [one["label"] for one in rows] == [one.label for one in found]
        named = command("predict", travelled.run.folder, "--field", "body", "--jsonl",
                        stdin='{"body": "we found it warm"}\n')  # fmt: skip
        assert json.loads(named.out)["source"] == "we found it warm"
        assert command("predict", travelled.run.folder, "--field", "body", stdin="").out == ""

    @pytest.mark.parametrize("form", [(), ("--jsonl",), ("--json",)])
    def test_more_texts_than_are_asked_at_once(
        self, command: Command, travelled: Travelled, tmp_path: Path, form: tuple[str, ...]
    ) -> None:
        texts = [f"{text} {number}" for number in range(700) for text in ("the film was great", "we found it dull")]
        path, out = tmp_path / "many.txt", tmp_path / "deep" / "said"
        path.write_text("\n".join(texts), encoding="utf-8")
        said = command("predict", travelled.run.folder, "-f", path, *form)
        assert said.code == 0
        assert ("predict: texts" in said.err) == (form != ("--json",)), "what takes long is told"
        kept = command("predict", travelled.run.folder, "-f", path, *form, "--out", out, "-q")
        assert kept == Said(0, "", "")
        assert out.read_text(encoding="utf-8") == said.out
        assert [one.name for one in out.parent.iterdir()] == ["said"]
        rows = said.json() if form == ("--json",) else said.out.splitlines()
        assert len(rows) == len(texts)
        if form:
            rows = [one if isinstance(one, dict) else json.loads(one) for one in rows]
            assert [one["source"] for one in rows] == texts
            assert {one["label"] for one in rows[::2]} == {"positive"}
            assert {one["label"] for one in rows[1::2]} == {"negative"}

    WRONG = (b'{"text": "fine"}\n{"txt": "x"}\n[1]\n{"text": 3}\n{"text"\ncaf\xe9\n\0\n{"text": "\\ud800"}\n"'
             + b"x" * 1_000_001 + b'"\n{"text": "last"}\n')  # fmt: skip

    def test_every_row_that_is_wrong_is_told_and_others_are_answered(
        self, command: Command, travelled: Travelled, tmp_path: Path
    ) -> None:
        path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
        path.write_bytes(self.WRONG)
        out.write_text("dear to me", encoding="utf-8")
        missing = tmp_path / "none.txt"
        said = command("predict", travelled.run.folder, "-f", path, "-f", missing, "-f", "none*.txt", "--jsonl")
        assert said.code == 2
        assert [json.loads(line)["source"] for line in said.out.splitlines()] == ["fine", "last"]
        told = "".join(said.err.split())  # lines are broken to fit a screen
        assert all(f"{path}:{line}found" in told for line in range(2, 10))
        assert str(missing) in told
        assert "none*.txt" in told
        kept = command("predict", travelled.run.folder, "-f", path, "--out", out, "--json")
        assert kept.code == 2
        problems = kept.json()["problems"]
        assert [one["where"] for one in problems] == [f"{path}:{line}" for line in range(2, 10)]
        words = ("`txt`", "list", "`text`", "JSON", "utf-8", "NUL", "surrogate", "1,000,000")
        for one, word in zip(problems, words, strict=True):
            assert word in one["found"] + one["todo"], one
        assert out.read_text(encoding="utf-8") == "dear to me"
        assert sorted(one.name for one in tmp_path.iterdir()) == ["out.jsonl", "rows.jsonl"]

    def test_of_many_wrong_rows_the_first_are_told_and_the_number(self, command: Command, travelled: Travelled) -> None:
        said = command("predict", travelled.run.folder, "--json", stdin=b"\0\n" * 2000)
        assert said.code == 2
        assert len(said.json()["problems"]) == 21
        assert "1,980 more" in said.json()["problems"][-1]["found"]

    def test_a_file_as_one_text(self, command: Command, proofreader_folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "report.txt"
        path.write_text("We recieved teh letter.\n\n" + "It is long. " * 300 + "\nTeh end.\n", encoding="utf-8")
        said = command("predict", proofreader_folder, "-f", path, "--whole", "--json")
        (one,) = said.json()
        text = path.read_text(encoding="utf-8")
        assert one["source"] == text
        assert [text[found["start"] : found["end"]] for found in one["corrections"]] == ["recieved", "teh", "Teh"]
        assert one["corrected"].endswith("The end.\n")
        people = command("predict", proofreader_folder, "-f", path, "--whole")
        assert people.out.count("\n") == 1
        assert people.out.endswith(f"\t{path}\n")

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_a_text_a_line_from_stdin(self, command: Command, travelled: Travelled, end: str) -> None:
        typed = "the film was great today" + end + end + "  wir fänden 中文 fein" + end
        said = command("predict", travelled.run.folder, "--json", stdin=typed)
        assert [one["source"] for one in said.json()] == ["the film was great today", "", "  wir fänden 中文 fein"]
        assert command("predict", travelled.run.folder, "--json", stdin=typed.removesuffix(end)).out == said.out

    def test_nothing_on_stdin(self, command: Command, travelled: Travelled) -> None:
        assert command("predict", travelled.run.folder) == Said(0, "", "")
        assert command("predict", travelled.run.folder, "--json").json() == []

    def test_bytes_that_are_no_text(self, command: Command, travelled: Travelled) -> None:
        said = command("predict", travelled.run.folder, "--json", stdin=b"fine\ncaf\xe9\n")
        assert said.code == 2
        assert "utf-8" in said.json()["problems"][0]["found"]
        assert "caf" not in said.out

    def test_what_it_can_not_load(self, command: Command, travelled: Travelled, tmp_path: Path) -> None:
        assert command("predict", tmp_path, "a text", "--json").code == 3
        assert command("predict", travelled.run.artifacts["corpus"].folder, "a text", "--json").code == 3
        said = command("predict", travelled.run.folder, "a text", "--runner", "nonsense", "--json")
        assert said.code == 2
        assert "static" in said.json()["problems"][0]["expected"]


class TestShow:
    def test_a_run(self, command: Command, travelled: Travelled) -> None:
        people, programs = (command("show", travelled.run.folder, *more) for more in ((), ("--json",)))
        assert (people.code, people.err, programs.code, programs.err) == (0, "", 0, "")
        assert programs.json() == journey.look(travelled.run.folder)
        assert programs.json()["name"] == "toy"
        assert "toy: teacher and student" in people.out
        shown = console.interval(programs.json()["student"]["scores"]["accuracy"]).partition(" ")[0]
        assert shown in people.out

    def test_an_artifact(self, command: Command, travelled: Travelled) -> None:
        for found in travelled.run.artifacts.values():
            for more in ((), ("--json",)):
                said = command("show", found.folder, *more)
                assert (said.code, said.err) == (0, "")
                assert said.json() == found.manifest == journey.look(found.folder)

    def test_nothing(self, command: Command, tmp_path: Path) -> None:
        said = command("show", tmp_path, "--json")
        assert said.code == 3
        assert said.json()["error"] == "ArtifactError"


class TestDoctor:
    def test_a_run_that_is_well(self, command: Command, travelled: Travelled) -> None:
        people, programs = (command("doctor", travelled.run.folder, *more) for more in ((), ("--json",)))
        assert (people.code, people.out, people.err) == (0, "Nothing is found to be wrong.\n", "")
        assert programs.json() == doctor.examine(travelled.run.folder).as_dict()

    def test_an_error_is_an_answer(self, command: Command, travelled: Travelled, tmp_path: Path) -> None:
        """The same run as far as its evaluation, which now says that the student stands under its floor."""
        work, run = tmp_path / "work", json.loads((travelled.run.folder / "run.json").read_text(encoding="utf-8"))
        shutil.copytree(travelled.run.folder, work / "runs" / "toy")
        judged = travelled.run.artifacts["evaluate"]
        told = judged.read_json("evaluation.json")
        told["difference"]["student_minus_baseline"]["accuracy"] = {"value": -0.1, "low": -0.2, "high": -0.05, "n": 9}
        made = Store(work).obtain("evaluation", settings={}, inputs={}, make=lambda draft: artifact.write_json(
            draft.folder / "evaluation.json", told))  # fmt: skip
        run["stages"] = {"evaluate": {"key": made.key, "digest": made.digest}}
        artifact.write_json(work / "runs" / "toy" / "run.json", run)
        people, programs = (command("doctor", work / "runs" / "toy", *more) for more in ((), ("--json",)))
        assert people.code == programs.code == 1
        (found,) = programs.json()["findings"]
        assert (found["symptom"], found["severity"]) == ("under_floor", "error")
        for part in (found["told"], found["cause"], found["change"], made.key):
            assert part in people.out
        assert "not looked at: padding: the run has no corpus, train" in people.err

    def test_nothing(self, command: Command, tmp_path: Path) -> None:
        said = command("doctor", tmp_path, "--json")
        assert said.code == 3
        assert said.json()["error"] == "ArtifactError"


class TestList:
    def test_all_and_the_runs(self, command: Command, travelled: Travelled) -> None:
        people, programs = (command("list", "--work", travelled.work, *more) for more in ((), ("--json",)))
        assert (people.code, people.err, programs.code, programs.err) == (0, "", 0, "")
        assert programs.json() == journey.listing(None, work=travelled.work)
        assert programs.json()["runs"]["toy"] == travelled.run.recipe.digest[:12]
        for family, members in programs.json().items():
            assert family in people.out
            for name, purpose in members.items():
                assert name in people.out
                assert purpose in people.out

    def test_a_family(self, command: Command, tmp_path: Path) -> None:
        said = command("list", "students", "--json", "--work", tmp_path)
        assert said.json() == journey.listing("students", work=tmp_path)
        assert set(said.json()["students"]) == set(plugins.names("students"))

    def test_no_such_family(self, command: Command) -> None:
        said = command("list", "stdents", "--json")
        assert said.code == 2
        assert said.json()["problems"][0]["todo"] == "Did you mean `students`?"


def _ships(member: type) -> bool:
    """Strangers' tasks come with a start of their own, if any."""
    return member.__module__.startswith("stillroom.")


class TestNew:
    @pytest.mark.parametrize("student", plugins.names("students"))
    def test_its_recipe_passes_the_check(self, command: Command, tmp_path: Path, student: str) -> None:
        path = tmp_path / "deep" / f"{student}.toml"
        said = command("new", path, "--student", student)
        assert (said.code, said.err) == (0, "")
        assert said.out == f"Wrote {path}. Check it: stillroom check {path}\n"
        checked = command("check", path, "--json")
        assert checked.code == 0
        assert checked.json()["student"] == student
        assert checked.json()["name"] == student

    @pytest.mark.parametrize("task", [one for one in plugins.names("tasks") if _ships(plugins.member("tasks", one))])
    def test_each_task_has_a_start(self, command: Command, tmp_path: Path, task: str) -> None:
        """With the student that suits it, and with each that answers so."""
        shape: str = plugins.member("tasks", task).shape
        able = [name for name in plugins.names("students") if shape in plugins.member("students", name).shapes]
        assert able
        for student in ("", *able):
            path = tmp_path / f"{task}-{student}.toml"
            assert command("new", path, "--task", task, *(["--student", student] if student else [])).code == 0
            checked = command("check", path, "--json")
            assert (checked.code, checked.json()["task"]) == (0, task), checked.json()
            assert student in ("", checked.json()["student"])

    def test_a_student_that_can_not_do_a_task(self, command: Command, tmp_path: Path) -> None:
        said = command("new", tmp_path / "mine.toml", "--task", "embeddings", "--student", "bag", "--json")
        assert said.code == 2
        assert said.json()["problems"][0]["expected"] == "a student that gives vectors"
        said = command("new", tmp_path / "mine.toml", "--task", "tokn_labelling", "--json")
        assert said.json()["problems"][0]["todo"] == "Did you mean `token_labelling`?"
        assert list(tmp_path.iterdir()) == []

    def test_it_has_a_line_for_every_right(self, command: Command, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        command("new", path)
        path.write_text(path.read_text(encoding="utf-8").replace("# retrieved =", "retrieved ="), encoding="utf-8")
        source = recipe.load(path).corpus
        assert {"source", "licence", "retrieved", "basis"} <= source.model_fields_set
        assert source.retrieved is not None

    @pytest.mark.parametrize("name", ["été.toml", "中文.toml", "a b.toml", "x" * 200 + ".toml", "[bold]x.toml", "--"])
    def test_whatever_the_file_is_called(self, command: Command, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        assert str(path) in command("new", path).out
        assert command("check", path, "--json").code == 0

    def test_json(self, command: Command, tmp_path: Path) -> None:
        assert command("new", tmp_path / "mine.toml", "--json").json() == {"recipe": str(tmp_path / "mine.toml")}

    def test_never_over_a_file(self, command: Command, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text("dear to me", encoding="utf-8")
        said = command("new", path, "--json")
        assert said.code == 2
        assert "there already" in said.json()["problems"][0]["found"]
        assert path.read_text(encoding="utf-8") == "dear to me"
        assert command("new", tmp_path, "--json").code == 2

    def test_no_such_student(self, command: Command, tmp_path: Path) -> None:
        said = command("new", tmp_path / "mine.toml", "--student", "sttic", "--json")
        assert said.code == 2
        assert said.json()["problems"][0]["todo"] == "Did you mean `static`?"
        assert list(tmp_path.iterdir()) == []

    def test_no_place_for_it(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("a file", encoding="utf-8")
        assert command("new", tmp_path / "taken" / "mine.toml", "--json").code == 4


def test_the_program_itself(travelled: Travelled) -> None:
    """In a process of its own, through a pipe: the same bytes as in this one, and no torch for a prediction."""
    code = "import sys; sys.modules['torch'] = None\nfrom stillroom.cli import main\nmain()"
    command = [sys.executable, "-c", code, "predict", str(travelled.run.folder), "--json"]
    done = subprocess.run(command, input="the film was great today\n", capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONWARNINGS": "error"})  # fmt: skip
    (found,) = stillroom.load(travelled.run.folder).predict(["the film was great today"])
    assert json.loads(done.stdout) == [{"source": "the film was great today", **found.as_dict()}]
    assert done.stderr == ""
