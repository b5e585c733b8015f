"""The student that picks sentences: how it reads, what it is fitted to, and that numpy picks what torch picks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillroom import fitness
from stillroom.core import batches, plugins
from stillroom.core import sentences as core
from stillroom.core.errors import MismatchError
from stillroom.core.recipe import parse
from stillroom.runtime.runners import Serve
from stillroom.students import Student, Writes
from stillroom.tasks.text_to_text import TextToText
from stillroom.teachers.sentence_transformer import Embedder
from tests.conftest import sentences

TASK = TextToText(goal="summary")
LINES = [text.capitalize() + "." for text, _ in sentences()]
DOCUMENTS = [" ".join(LINES[start * 7 % 400 : start * 7 % 400 + 3 + start % 5]) for start in range(60)]
ODD = ["", " \n", "great", "One. Two.", "naïve café. 中文。\u200b", "x" * 2000, " ".join(LINES[:80]), "👍. A film."]


def begun(folder: Path, embedder: Path, **settings: Any) -> tuple[Student, Writes]:
    student: Student = plugins.build("students", {"kind": "extractive", "dimensions": 12, **settings})
    studied = folder / "studied"
    if not studied.exists():
        studied.mkdir()
        student.study(Embedder(embedder, name="tiny"), studied)
    found: Any = student.begin(task=TASK, studied=studied, texts=iter(DOCUMENTS), seed=3)
    found.module.eval()
    return student, found


def stirred(network: Writes) -> Writes:
    """With weights that are not at their start, so that a part left out would show."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.3)
    return network


def padded(network: Writes, texts: list[str], targets: list[str] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    ids = network.encode(texts) if targets is None else TASK.form.taught(network, texts, targets)[0]
    found, mask = batches.pad(ids)
    return torch.from_numpy(found), torch.from_numpy(mask)


def generated(network: Writes, texts: list[str]) -> list[str]:
    return network.generate(*padded(network, texts), texts=texts)


@pytest.fixture
def network(tmp_path: Path, embedder_folder: Path) -> Writes:
    return stirred(begun(tmp_path, embedder_folder)[1])


def test_the_target_is_what_the_teacher_picked(network: Writes) -> None:
    texts = ["We found it dull. The film was great today. I call this weak.", "One. Two."]
    told = network.tell(*padded(network, texts, ["The film was great today.", "Two."]), frozenset())
    assert told["written"].tolist() == [[1], [1]]


def test_of_several_picks_none_is_made_twice(tmp_path: Path, embedder_folder: Path) -> None:
    network = stirred(begun(tmp_path, embedder_folder, sentences=3)[1])
    text = "We found it dull. The film was great today. I call this weak. As ever. At last."
    told = network.tell(*padded(network, [text, "One."], [f"{text[18:43]} I call this weak.", "One."]), frozenset())
    assert sorted(told["written"][0].tolist()) == [1, 2]
    assert told["written"][1].tolist() == [0, -1]
    first, second = told["sequence"][0]
    assert torch.isfinite(first).all()
    assert torch.isinf(second).tolist() == [place == told["written"][0, 0] for place in range(5)]
    assert torch.isinf(told["sequence"][1, 0]).tolist() == [False, True, True, True, True]


def test_neither_padding_nor_neighbours_nor_targets_count(network: Writes) -> None:
    with torch.inference_mode():
        alone = network.module(*padded(network, DOCUMENTS[:1]))
        beside = network.module(*padded(network, [DOCUMENTS[0], ODD[6], ""], [LINES[0], LINES[3], ""]))
    count = alone.shape[1]
    torch.testing.assert_close(beside[:1, :count], alone, atol=1e-5, rtol=1e-5)
    assert torch.isinf(beside[0, count:]).all()


def test_it_starts_as_what_is_nearest_to_the_middle(tmp_path: Path, embedder_folder: Path) -> None:
    network = begun(tmp_path, embedder_folder)[1]
    text = "Dull film today. Great film today. Great moving film today. Xyz."
    with torch.inference_mode():
        scores = network.module(*padded(network, [text]))[0]
    assert scores.argmax() in (1, 2)
    assert scores.argmin() == 3
    assert scores.abs().max() <= 10.0 + 1e-4, "ten times a cosine"


def test_every_trained_weight_gets_a_gradient(network: Writes) -> None:
    told = network.tell(*padded(network, DOCUMENTS[:20], [text[:40] for text in DOCUMENTS[:20]]), frozenset())
    torch.nn.functional.cross_entropy(told["sequence"].flatten(0, 1), told["written"].flatten()).backward()
    held = {id(one) for stratum in network.strata() for one in stratum}
    assert held == {id(one) for one in network.module.parameters()}
    for name, weight in network.module.named_parameters():
        if not weight.requires_grad:
            continue
        assert weight.grad is not None, name
        dense = weight.grad.coalesce().values() if weight.grad.is_sparse else weight.grad
        assert float(dense.abs().sum()) > 0, name


def test_it_learns_what_a_teacher_picks(tmp_path: Path, embedder_folder: Path) -> None:
    """A teacher that picks the sentence with `great` in it, wherever it stands."""
    network = begun(tmp_path, embedder_folder, token_dropout=0.0)[1]
    rng = np.random.default_rng(0)
    others, great = [one for one in LINES if "great" not in one], [one for one in LINES if "great" in one]
    targets = [str(rng.choice(great)) for _ in range(80)]
    texts = [" ".join(rng.permutation([*rng.choice(others, 4), target])) for target in targets]
    ids, mask = padded(network, texts[:60], targets[:60])
    optimizers = network.optimizers(3e-2)
    network.module.train()
    for _ in range(40):
        told = network.tell(ids, mask, frozenset())
        torch.nn.functional.cross_entropy(told["sequence"].flatten(0, 1), told["written"].flatten()).backward()
        for one in optimizers:
            one.step()
            one.zero_grad()
    network.module.eval()
    found = generated(network, texts[60:])
    assert np.mean([one == other for one, other in zip(found, targets[60:], strict=True)]) >= 0.75


@pytest.mark.parametrize("settings", [{}, {"sentences": 3}, {"unit": "lines", "sentences": 2}], ids=str)
def test_numpy_picks_what_torch_picks(settings: dict[str, Any], tmp_path: Path, embedder_folder: Path) -> None:
    student, network = begun(tmp_path, embedder_folder, **settings)
    stirred(network).save(tmp_path)
    again: Any = student.reopen(tmp_path, task=TASK)
    texts = [*DOCUMENTS, *ODD, "Ann: Great. Yes.\nBob: It was dull.\nAnn: As ever.\n"]
    runner = student.runner(tmp_path, texts=texts)
    assert runner is not None
    serve: Serve = runner.open(tmp_path, threads=1)
    found = serve(texts)
    assert found.tolist() == generated(again, texts)
    assert len(set(found)) > len(DOCUMENTS) / 2
    order = np.random.default_rng(1).permutation(len(texts))
    assert serve([texts[place] for place in order]).tolist() == found[order].tolist()
    assert [serve([text])[0] for text in texts] == found.tolist()
    assert plugins.build("runtime.runners", runner.model_dump(mode="json")) == runner
    assert serve([]).tolist() == []
    code = (
        "import json, sys; from pathlib import Path; from stillroom.core import plugins\n"
        "job = json.load(sys.stdin)\n"
        "said = plugins.build('runtime.runners', job['settings']).open(Path(job['folder']), threads=1)(job['texts'])\n"
        "assert not {'torch', 'transformers', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "print(json.dumps(said.tolist()))"
    )
    if not settings:
        job = {"settings": runner.model_dump(mode="json"), "folder": str(tmp_path), "texts": texts}
        done = subprocess.run([sys.executable, "-c", code], input=json.dumps(job), capture_output=True, text=True,
                              check=True)  # fmt: skip
        assert json.loads(done.stdout) == found.tolist()


@pytest.mark.parametrize("unit", ["sentences", "lines"])
def test_it_picks_the_best_that_there_is_room_for(unit: str, tmp_path: Path, embedder_folder: Path) -> None:
    student, network = begun(tmp_path, embedder_folder, unit=unit)
    stirred(network).save(tmp_path)
    runner = student.runner(tmp_path, texts=[])
    assert runner is not None
    serve: Any = runner.open(tmp_path, threads=1)
    texts = [*DOCUMENTS, *ODD] if unit == "sentences" else ["\n".join(one.split(". ")) for one in DOCUMENTS]
    best = serve(texts)
    for most in (3, 12, 40):
        found = serve.within(texts, [most] * len(texts))
        for text, own, one in zip(texts, best, found, strict=True):
            fits = [core.words(text[start:end]) <= most for start, end in core.spans(text, unit=unit)]
            assert core.words(one) <= most or (not any(fits) and one == own)
            if core.words(own) <= most:
                assert own in one, "the best one is among them"
        assert [serve.within([text], [most])[0] for text in texts] == found.tolist(), "one by one as together"
    mixed = serve.within(texts, [40, None] * (len(texts) // 2))
    assert mixed[1::2].tolist() == best[1::2].tolist()
    assert mixed[::2].tolist() == found[::2].tolist()
    assert max(map(core.words, found)) > 30


def test_what_it_picks_stands_in_the_text_and_in_its_order(tmp_path: Path, embedder_folder: Path) -> None:
    network = stirred(begun(tmp_path, embedder_folder, sentences=3)[1])
    for text, said in zip(DOCUMENTS, generated(network, DOCUMENTS), strict=True):
        places = [text.index(one) for one in said.split(". ")]
        assert len(places) == 3
        assert places == sorted(places)


def test_no_format_is_asked_of_it() -> None:
    found = parse({
        "name": "none", "task": {"kind": "text_to_text", "goal": "summary"},
        "corpus": {"kind": "sample", "name": "articles"}, "teacher": {"kind": "salience", "model": "a/b"},
        "student": {"kind": "extractive"}, "export": {"formats": ["ctranslate2"]},
    })  # fmt: skip
    with pytest.raises(MismatchError, match="its own weights"):
        fitness.check(found)
