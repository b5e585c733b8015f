"""Why a student came out as it did: every known symptom, looked for in what a run left behind, and nothing else.

No student is trained and nothing is chosen here. Test rows are read only where `evaluate` has read them already. All
p-values of an examination are corrected together (Holm 1979), so that a run that is well is accused by chance in one
examination of a thousand at most, by all tests taken together; each symptom's page says what else can mislead it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from stillroom import duplicates, intervals, minhash, runtime
from stillroom.core import artifact, plugins, recipe
from stillroom.core.artifact import Artifact
from stillroom.core.errors import ArtifactError, Problem
from stillroom.symptoms import FOLDERS, Case, Finding, Quiet, Seen, Symptom, Unseen
from stillroom.transfer_set import TransferSet

#: What chance may explain of all the findings of an examination taken together.
LEVEL = 1e-3
_RECIPE = "recipe.resolved.json"
_ORDER = {"error": 0, "warning": 1, "note": 2}


@final
@dataclass(frozen=True)
class Examination:
    """What was found, the worst first, and what could not be looked at."""

    name: str
    findings: tuple[Finding, ...]
    unseen: tuple[Unseen, ...]
    tests: int
    """How many p-values were corrected together."""

    @property
    def well(self) -> bool:
        """Whether nothing was found that has to be mended."""
        return all(one.severity != "error" for one in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The examination as a program reads it."""
        return {
            "name": self.name,
            "well": self.well,
            "level": LEVEL,
            "tests": self.tests,
            "findings": [one.as_dict() for one in self.findings],
            "unseen": [one.as_dict() for one in self.unseen],
        }


def examine(folder: Path) -> Examination:
    """Look for every symptom in a run, finished or broken off, from its artifacts alone.

    Raises:
        ArtifactError: no run there, or an artifact that is damaged.
    """
    case = _open(folder)
    seen: list[Seen] = []
    for name in plugins.names("symptoms"):
        symptom: Symptom = plugins.build("symptoms", name)
        missing = sorted(symptom.needs - set(case.artifacts), key=list(FOLDERS).index)
        if case.recipe.task.shape not in symptom.shapes:
            seen.append(symptom.unseen(f"it can't read the answers of a {case.recipe.task.kind} student"))
        elif missing:
            seen.append(symptom.unseen(f"the run has no {', '.join(missing)}"))
        else:
            seen += _looked(symptom, case)
    return _settled(case.recipe.name, seen)


def summary(folder: Path) -> dict[str, Any]:
    """The same as plain data, as a summary holds it: what was found, and what could not be looked at.

    Raises:
        ArtifactError: no run there, or an artifact that is damaged.
    """
    told = examine(folder).as_dict()
    return {name: told[name] for name in ("findings", "unseen")}


def _looked(symptom: Symptom, case: Case) -> list[Seen]:
    """What a symptom sees. One that fails has seen nothing, and says why: no run and no other symptom hangs on it."""
    try:
        return list(symptom.look(case))
    except Exception as error:  # whatever it stumbles on; its words are left out, as they may hold somebody's text
        return [symptom.unseen(f"looking for it failed ({type(error).__name__})")]


def _open(folder: Path) -> Case:
    told, resolved = (_read(folder / name) for name in (runtime.RUN, _RECIPE))
    found: dict[str, Artifact] = {}
    work = folder.resolve().parent.parent
    for stage, where in FOLDERS.items():
        key = told.get("stages", {}).get(stage, {}).get("key")
        if key is not None and (work / where / str(key)).is_dir():
            found[stage] = artifact.load(work / where / str(key))
    if "evaluate" in found and {"untested", "gold"} & set(found["evaluate"].manifest["facts"]):
        del found["evaluate"]  # no row to test on, or none with gold: it holds nothing to look at
    said = TransferSet(found["transfer"]) if "transfer" in found else None
    return Case(recipe.parse(resolved, where=str(folder / _RECIPE)), found, said, twins)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = Problem(str(path), "no JSON that can be read", "the folder of a run", "Name work/runs/<name>.")
        raise ArtifactError(problem) from error
    return found


def _settled(name: str, seen: Sequence[Seen]) -> Examination:
    """The findings that chance does not explain, once all that was tested is corrected together; causes come first."""
    tested = [one for one in seen if not isinstance(one, Unseen) and one.p is not None]
    adjusted = intervals.holm([one.p for one in tested if one.p is not None])
    corrected = dict(zip(map(id, tested), adjusted, strict=True))
    findings = []
    for one in seen:
        if isinstance(one, Quiet | Unseen):
            continue
        if one.p is None:
            findings.append(one)
        elif corrected[id(one)] <= LEVEL:
            findings.append(one.corrected(corrected[id(one)]))
    findings = [_explained(one, findings) for one in findings]
    worst_first = sorted(findings, key=lambda one: _ORDER[one.severity])
    return Examination(name, tuple(worst_first), tuple(one for one in seen if isinstance(one, Unseen)), len(tested))


def _explained(one: Finding, findings: Sequence[Finding]) -> Finding:
    for other in findings:
        if other.severity == "error" and one.symptom in plugins.build("symptoms", other.symptom).explains:
            return one.explained(other.symptom)
    return one


def twins(texts: Sequence[str], others: Sequence[str]) -> Mapping[int, int]:
    """Positions of texts that have a near twin among others, each with a twin's; the corpus has the same measure."""
    if not texts or not others:
        return {}
    plain, known = ([minhash.normalised(one) for one in side] for side in (texts, others))
    buckets: dict[int, list[int]] = {}
    for place, keys in _banded(known):
        for key in keys:
            bucket = buckets.setdefault(key, [])
            if len(bucket) < duplicates.NEIGHBOURS:
                bucket.append(place)
    found: dict[int, int] = {}
    for place, keys in _banded(plain):
        candidates = dict.fromkeys(other for key in keys for other in buckets.get(key, ()))
        own = minhash.shingles(plain[place])
        for other in candidates:
            if minhash.jaccard(own, minhash.shingles(known[other])) >= duplicates.JACCARD:
                found[place] = other
                break
    return found


def _banded(texts: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
    """Each text's place with the keys of its bands, some texts at a time: signatures take half a kilobyte each."""
    size = 1024
    for start in range(0, len(texts), size):
        keys = np.asarray(minhash.bands(minhash.signatures(texts[start : start + size])))
        for place, row in enumerate(keys.tolist()):
            yield start + place, row
