"""The guard's student by its recipe: rows of the bench, a teacher's recorded words, and a detector at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import pipeline
from stillroom.core import recipe
from stillroom.detectors.injection import Injection, chosen
from stillroom.serve import guard
from stillroom.serve.guard import Guard

ROOT = Path(__file__).parents[2]
BIPIA = ROOT.parent / "shared" / "data" / "prompt_injection" / "bipia"
SPLITS = (("train", 160, 1), ("dev", 120, 2), ("test", 60, 3))


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.slow
@pytest.mark.skipif(not BIPIA.is_dir(), reason="BIPIA is not on this machine")
def test_the_recipe_makes_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import injections  # type: ignore[import-not-found]

    found: dict[str, list[dict[str, Any]]] = {}
    for split, count, seed in SPLITS:
        rows = [{"text": text, "label": label, "source": "made"} for label, text in injections.made(count, start=seed)]
        part = "test" if split == "test" else "train"
        mails = [json.loads(line)["context"] for line in injections.lines(BIPIA / f"email_{part}.jsonl")]
        mails = {"train": mails[:35], "dev": mails[35:], "test": mails}[split]
        slipped = injections.tried(mails, injections.of_split(BIPIA, split), count=60)
        rows += [{"text": mail, "label": "ordinary", "source": "e-mails"} for mail in mails]
        rows += [{"text": one["text"], "label": "injection", "source": "slipped"} for one in slipped]
        found[split] = list({row["text"]: row for row in rows}.values())
    paths = {split: write(tmp_path / f"{split}.jsonl", rows) for split, rows in found.items()}
    # A teacher that is nearly sure of what is made, and knows nothing of e-mails: gold has to tell of those.
    said = {row["text"]: (0.95 if row["label"] == "injection" else 0.05) if row["source"] == "made" else 0.3
            for rows in found.values() for row in rows}  # fmt: skip
    recorded = [{"text": text, "probabilities": [1 - one, one]} for text, one in said.items()]
    laid = [f"corpus.{split}={json.dumps(path)}" for split, path in paths.items()]
    laid += ["corpus.unlabelled=[]", f"teacher.outputs={json.dumps(write(tmp_path / 'said.jsonl', recorded))}"]
    built = recipe.load(ROOT / "recipes" / "injection.toml", laid)
    run = pipeline.run(built, work=tmp_path / "work", until="export")

    student = Injection(bundle=str(run.folder), threshold=1.0)
    quiet = [row["text"] for row in found["dev"] if row["label"] == "ordinary"]
    threshold = chosen(student.scores(quiet), false_positives=0.05)
    test = [row for row in found["test"] if row["source"] == "made"]
    harm = np.array([row["label"] == "injection" for row in test])
    told = student.scores([row["text"] for row in test]) >= threshold
    assert told[harm].mean() > 0.9
    assert told[~harm].mean() < 0.2
    rule = {"detector": student.model_dump() | {"threshold": threshold}, "action": "refuse"}
    chain = guard.open(Guard(input=["unicode", rule]).input)
    attack = next(row["text"] for row, one in zip(test, harm, strict=True) if one)
    assert chain.look(attack).refused
    assert chain.look("\u200b".join(attack)).refused, "hidden from readers"
    assert chain.look("When does the library open on Sundays?").refused is None
