"""One run's record: which stage gave what, its summary, and the documents that people read."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from stillroom import corpus, emphasis, runtime
from stillroom.core import artifact, plugins, processes
from stillroom.core.artifact import Artifact
from stillroom.core.errors import ArtifactError, InputError, Problem, nearest
from stillroom.core.recipe import FAMILIES, Recipe
from stillroom.gates import Verdict, passed

SUMMARY = "summary.json"
_LAST = "cost"  # the last artifact: what follows is one process's work
_RECIPE, _WRITTEN = "recipe.resolved.json", "recipe.toml"

#: What there is of a teacher that spoke elsewhere, where another has been timed.
_UNTIMED: Mapping[str, Any] = {
    "texts_per_second": None,
    "latency_ms": dict.fromkeys(("p50", "p95", "p99")),
    "resident_mb": None,
    "reason": "it was asked elsewhere: nothing of it can be measured here",
}

Write = Callable[..., Sequence[Path]]
#: What an examination found, as keys of a summary.
Examine = Callable[[Path], Mapping[str, Any]]


@final
class Run:
    """What a journey has come to so far; `work/runs/<name>/` on disk."""

    def __init__(self, recipe: Recipe, *, work: Path, until: str, written: str | None = None) -> None:
        self.recipe, self.until, self._written = recipe, until, written or recipe.as_toml()
        self.folder = work / "runs" / recipe.name
        self.artifacts: dict[str, Artifact] = {}
        self.stages: dict[str, dict[str, Any]] = {}
        self.summary: dict[str, Any] = {}
        self.verdicts: Sequence[Verdict] = ()
        self.documents: Sequence[Path] = ()
        self._began = time.time()
        self._last = time.perf_counter()

    @property
    def passed(self) -> bool:
        """Whether every gate said yes."""
        return passed(self.verdicts)

    def reached(self, stage: str, found: Artifact) -> bool:
        """Note a stage's artifact; whether this is as far as the run should go, or as far as this process is needed."""
        self.artifacts[stage] = found
        if not processes.is_main():
            return stage in (self.until, _LAST)
        made = (found.folder / artifact.MANIFEST).stat().st_mtime
        self._note(stage, key=found.key, digest=found.digest, reused=made < self._began)
        return stage == self.until

    def _note(self, stage: str, *, key: str, digest: str, reused: bool) -> None:
        seconds = time.perf_counter() - self._last
        self._last = time.perf_counter()
        self.stages[stage] = {"key": key, "digest": digest, "seconds": round(seconds, 3), "reused": reused}
        kept = {name: {"key": one["key"], "digest": one["digest"]} for name, one in self.stages.items()}
        described = {"name": self.recipe.name, "recipe_digest": self.recipe.digest, "stages": kept}
        self._drop_what_another_recipe_left()
        artifact.write_json(self.folder / runtime.RUN, described)
        artifact.write_json(self.folder / _RECIPE, self.recipe.resolved())
        artifact.write_text(self.folder / _WRITTEN, self._written)

    def _drop_what_another_recipe_left(self) -> None:
        """A summary tells of one recipe's run: under another recipe of the same name it would tell of strangers."""
        before = _read(self.folder / runtime.RUN).get("recipe_digest")
        if before is not None and before != self.recipe.digest:
            (self.folder / SUMMARY).unlink(missing_ok=True)
            shutil.rmtree(self.folder / "dossier", ignore_errors=True)

    def forgot(self, found: Artifact | None) -> None:
        """Keep what was forgotten where the next recipe can name it; None: there is no such list."""
        folder = self.folder / emphasis.FOLDER
        if not processes.is_main():
            return
        if found is None:
            shutil.rmtree(folder, ignore_errors=True)
        elif _read(folder / artifact.MANIFEST).get("digest") != found.digest:
            artifact.copied(found, folder)

    def summarise(self) -> None:
        """Gather every figure from the artifacts that hold them."""
        self.summary = summary(self.recipe, self.artifacts)

    def examined(self, examine: Examine) -> None:
        """Have the run examined where the student came out under its floor, or under itself without a teacher."""
        if ends_low(self.summary):
            self.summary |= examine(self.folder)

    def gated(self, verdicts: Sequence[Verdict]) -> None:
        """Note what the gates said."""
        self.verdicts = verdicts
        self.summary["gates"] = [one.as_dict() for one in verdicts]
        key = self._key("gates")
        digest = artifact.sha256(artifact.canonical(self.summary["gates"]))
        self._note("gates", key=key, digest=digest, reused=False)
        self._write_summary()

    def documented(self, write: Write) -> None:
        """Write the documents, unless they tell of these very artifacts already."""
        key = self._key("dossier")
        folder = self.folder / "dossier"
        before = _read(folder / "sources.json")
        kept = before.get("key") == key and all(_same(folder / one, sha) for one, sha in before["files"].items())
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            shown = {**self.summary, "stages": self.stages}
            paths = write(shown, curves=_log(self.artifacts["train"]), folder=folder)
            files = {path.name: artifact.file_sha256(path) for path in paths}
            artifact.write_json(folder / "sources.json", {"key": key, "files": files})
        files = _read(folder / "sources.json")["files"]
        self.documents = [folder / name for name in files]
        self._note("dossier", key=key, digest=artifact.sha256(artifact.canonical(files)), reused=kept)
        self._write_summary()

    def _key(self, stage: str) -> str:
        digests = {name: one.digest for name, one in self.artifacts.items()}
        from stillroom import __version__

        told = {"recipe": self.recipe.digest, "gates": self.summary.get("gates"), "stillroom": __version__}
        told |= {"findings": self.summary["findings"]} if "findings" in self.summary else {}
        return artifact.key_of(stage, told, digests)

    def _write_summary(self) -> None:
        artifact.write_json(self.folder / SUMMARY, {**self.summary, "stages": self.stages})


def _same(path: Path, sha: str) -> bool:
    return path.is_file() and artifact.file_sha256(path) == sha


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _log(trained: Artifact) -> list[dict[str, Any]]:
    lines = (trained.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def summary(recipe: Recipe, artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """Every figure of a run, each from the artifact that measured it. Nothing is typed in."""
    from stillroom import __version__, cost, floors
    from stillroom.audit import FILE as PROBED
    from stillroom.evaluate import FILE as EVALUATION

    scores = artifacts["evaluate"].read_json(EVALUATION)
    probed = artifacts["audit"].read_json(PROBED)
    costs = artifacts["cost"].read_json(cost.FILE)
    bundle = artifacts["export"].read_json(runtime.BUNDLE)
    said = artifacts["transfer"]
    systems = scores.pop("systems")
    sides = {side: {**systems.get(side, {}), "cost": _without_rounds(costs[side])} for side in ("teacher", "student")}
    sides["teacher"]["identity"] = said.manifest["facts"]["teacher"]
    sides["student"] |= {
        "kind": bundle["student"],
        "runner": bundle["default"],
        "variants": artifacts["export"].manifest["facts"]["variants"],
        "calibration": artifacts["export"].manifest["facts"]["calibration"],
        "checks": artifacts["export"].circumstances["checks"],
        "checked_by": artifacts["export"].circumstances.get("checked_by", ""),
    }
    timed = "rounds" in costs["teacher"]
    if not timed:
        sides["teacher"]["cost"] = {**_UNTIMED, **sides["teacher"]["cost"]}
    return {
        "name": recipe.name,
        "task": recipe.task.kind,
        "hub_task": recipe.task.hub_task,
        "seed": recipe.seed,
        "recipe_digest": recipe.digest,
        "stillroom": __version__,
        "created": artifacts["cost"].circumstances["started"],
        "labels": list(recipe.task.names),
        **sides,
        "undistilled": systems.get("undistilled"),
        "baseline": {"name": floors.of(recipe.task).name, **systems["baseline"]} if "baseline" in systems else None,
        **scores,
        **probed,
        "speedup": cost.speedup({side: costs[side]["rounds"] for side in ("teacher", "student")}) if timed else None,
        **{name: costs[name] for name in ("break_even_texts", "price", "hidden", "machine")},
        "corpus": _corpus(artifacts["corpus"]),
        "transfer": _transfer(said),
        "notes": _notes(artifacts),
    }


def ends_low(told: Mapping[str, Any]) -> bool:
    """Whether a summary has the student under its baseline or its undistilled twin, by the primary metric's value."""
    metric = next(iter(told["retention"]), "")
    found = [told["difference"].get(f"student_minus_{other}", {}).get(metric) for other in ("baseline", "undistilled")]
    return any(one is not None and one["value"] is not None and one["value"] < 0 for one in found)


def _without_rounds(side: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in side.items() if name != "rounds"}


def _corpus(found: Artifact) -> dict[str, Any]:
    return {**found.read_json("report.json"), "rights": corpus.rights(found)}


def _transfer(said: Artifact) -> dict[str, Any]:
    ledger = {name: value for name, value in said.circumstances["ledger"].items() if name != "shards"}
    made = said.manifest["facts"].get("augment")
    return {"precision": said.manifest["facts"]["precision"], **ledger, **({"augment": made} if made else {})}


def _notes(artifacts: Mapping[str, Artifact]) -> list[str]:
    warning = artifacts["teacher"].manifest["facts"].get("warning")
    notes = [f"Teacher: {warning}."] if warning else []
    unanswered: Mapping[str, int] = artifacts["transfer"].manifest["facts"].get("unanswered", {})
    tested = artifacts["evaluate"].manifest["facts"].get("unanswered", 0)
    if unanswered or tested:
        notes.append("Texts that the teacher has no answer for were left out: of those to learn from "
                     f"{_counted(unanswered) or 'none'}; of those to test on {tested:,}.")  # fmt: skip
    for one in artifacts["transfer"].circumstances["ledger"].get("forecasts", ()):
        if one["needed"] > one["cap"]:
            notes.append(f"By the first {one['paid']:,} texts that {one['model']} was paid for, all were thought to "
                         f"need {one['needed']:.4g}, where `teacher.max_spend` was {one['cap']:g}.")  # fmt: skip
    if heeded := artifacts["train"].manifest["facts"].get("emphasised"):
        notes.append(f"The student heeds {heeded['rows']:,} rows more, since students before it forgot them; "
                     f"{heeded['not_here']:,} rows of that list are not learned from here.")  # fmt: skip
    if tally := artifacts["transfer"].manifest["facts"].get("tally"):
        notes.append(f"Parts of the teacher's answers to the texts to learn from: {_counted(tally)}.")
    return notes


def _counted(counts: Mapping[str, int]) -> str:
    """How many of each, as people read it."""
    return ", ".join(f"{what} {count:,}" for what, count in counts.items())


def look(folder: Path) -> dict[str, Any]:
    """The summary of a run, or the manifest of an artifact (checked).

    Raises:
        ArtifactError: neither is there, or it is damaged.
    """
    path = next((folder / name for name in (SUMMARY, runtime.RUN) if (folder / name).is_file()), None)
    if path is None:
        return dict(artifact.load(folder).manifest)
    found = _read(path)
    if not found:
        raise ArtifactError(Problem(str(path), "no JSON that can be read", "a run's record", "Run the recipe again."))
    return found


def listing(family: str | None, *, work: Path) -> dict[str, Any]:
    """The members of one family with what each is for, or of all families, and the runs.

    Raises:
        InputError: no such family.
    """
    known = (
        *dict.fromkeys(FAMILIES.values()),
        "aspects",
        "augmentations",
        "detectors",
        "formats",
        "layouts",
        "metrics",
        "documents",
        "perturbations",
        "probes",
        "symptoms",
    )
    if family is not None and family not in known:
        raise InputError(Problem("list", f"`{family}`", "a family", nearest(family, known)))
    found: dict[str, Any] = {
        one: {name: _purpose(one, name) for name in plugins.names(one)}
        for one in (known if family is None else [family])
    }
    if family is None:
        runs = sorted((work / "runs").glob(f"*/{runtime.RUN}"))
        found["runs"] = {path.parent.name: _read(path).get("recipe_digest", "")[:12] for path in runs}
    return found


def _purpose(family: str, name: str) -> str:
    return (plugins.member(family, name).__doc__ or "").strip().splitlines()[0]
