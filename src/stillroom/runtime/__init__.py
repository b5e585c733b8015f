"""Loads a bundle and predicts: numpy, tokenizers and ONNX Runtime, never torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from stillroom.core import artifact, plugins
from stillroom.core.errors import ArtifactError, InputError, Problem
from stillroom.runtime import deferral, signatures
from stillroom.runtime.deferral import Cascade, Decision

if TYPE_CHECKING:
    from stillroom.runtime.encoders import Reach
    from stillroom.runtime.runners import Bounded, Pen, Runner
    from stillroom.shapes import Outputs
    from stillroom.tasks import Task

BUNDLE = "bundle.json"
GOLDEN = "golden.jsonl"
RUN = "run.json"
CASCADE = "cascade.json"
"""In the folder of a run: which bundle carries the certificate of the run's own bundle."""


@final
class Predictor:
    """A student that answers: the same object in Python, on the command line, in a server and in tests."""

    def __init__(self, bundle: artifact.Artifact, *, runner: str | None = None, threads: int = 1) -> None:
        described = bundle.read_json(BUNDLE)
        name = runner or described["default"]
        if name not in described["runners"]:
            known = ", ".join(sorted(described["runners"]))
            raise InputError(
                Problem(str(bundle.folder), f"no runner `{name}`", f"one of: {known}", "Name one of them.")
            )
        self.task: Task = plugins.build("tasks", described["task"])
        self._form = self.task.form
        self.runner = name
        self.digest = bundle.digest
        self.folder = bundle.folder
        self.parity = float(described["runners"][name]["parity"])
        self.temperature = float(described.get("temperature", 1.0))
        member: Runner = plugins.build("runtime.runners", described["runners"][name]["settings"])
        self.pads, self.parallel = member.pads, member.parallel
        self._member = member
        self._serve = member.open(bundle.folder, threads=threads)
        carried = deferral.FILE in bundle.manifest["files"]
        cascade = deferral.read(bundle.folder / deferral.FILE) if carried else None
        # What serves otherwise may answer otherwise: nothing is certified of that.
        self._cascade = cascade if cascade is not None and cascade.certificate.runner == name else None

    @property
    def cascade(self) -> Cascade | None:
        """How sure the student has to be for its answer to stand, and the certificate of that; None: not certified."""
        return self._cascade

    def outputs(self, texts: Sequence[str]) -> Outputs:
        """The raw outputs in the order of the texts, in the shape of the task: for one label a text, logits."""
        _refuse_unreadable(texts)
        return self._serve(texts) if texts else self._form.join([], outputs=len(self.task.outputs))

    def reach(self, texts: Sequence[str]) -> list[int]:
        """How many characters of each text the student reads, from its beginning; a longer text is cut there."""
        _refuse_unreadable(texts)
        return self._reach(texts)

    @property
    def cuts(self) -> bool:
        """Whether there are texts that are too long for it to read whole."""
        from stillroom.runtime.encoders import whole

        return self._reach is not whole

    @property
    def pen(self) -> Pen | None:
        """What writes behind a text token by token; None: it does not write, or all at once."""
        from stillroom.runtime.runners import Writes

        return self._serve.write if isinstance(self._serve, Writes) else None

    def tokens(self, texts: Sequence[str]) -> int:
        """How many tokens of its own it reads of some texts together; one that reads none says 0."""
        _refuse_unreadable(texts)
        return self._count(texts)

    @cached_property
    def _count(self) -> Callable[[Sequence[str]], int]:
        return self._member.open_count(self.folder)

    @cached_property
    def _reach(self) -> Reach:
        return self._member.open_reach(self.folder)

    def calibrated(self, texts: Sequence[str]) -> Outputs:
        """The outputs over the temperature that dev chose: what predictions are made of, as sure as they are right."""
        said = self.outputs(texts)
        return (
            said
            if self.temperature == 1.0
            else self._form.with_values(said, self._form.values(said) / self.temperature)
        )

    def predict(self, texts: Sequence[str], *, length: int | Sequence[int | None] | None = None) -> list[Any]:
        """A prediction for each text, in the order of the texts.

        `length`: of how many words each is to be at most, or one such number a text; None: as long as it comes. It
        holds whole sentences, unless the first is longer: then it is cut there, and says so.

        Raises:
            InputError: not a list of strings, or a length of what has none.
        """
        if length is None:
            return self.task.decode(self.calibrated(texts), texts)
        _refuse_unreadable(texts)
        each = [length] * len(texts) if isinstance(length, int) else list(length)
        for one in {*each} - {None}:
            self.check_length(one)
        within, bounded = self.task.within, self._bounded
        if within is None or bounded is None:  # then no length was wished of any of them
            return self.predict(texts)
        said = self.task.decode(bounded.within(texts, each), texts)
        return [one if most is None else within(one, most) for one, most in zip(said, each, strict=True)]

    @property
    def takes_length(self) -> bool:
        """Whether it can be told how long a prediction is to be."""
        return self.task.within is not None and self._bounded is not None

    @property
    def _bounded(self) -> Bounded | None:
        from stillroom.runtime.runners import Bounded

        return self._serve if isinstance(self._serve, Bounded) else None

    def check_length(self, length: int | None) -> None:
        """Stop a length that no prediction of it can have.

        Raises:
            InputError: below one word, or this student takes none.
        """
        if length is not None and not self.takes_length:
            expected = "none: only what summarises takes one"
            raise InputError(Problem("length", "a length", expected, "Leave it out."))
        if length is not None and length < 1:
            raise InputError(Problem("length", f"{length} words", "one or more", "Ask for more."))

    def golden_texts(self) -> list[str]:
        """Texts that the bundle was shipped with, together with its answers to them.

        Raises:
            ArtifactError: there are none that can be read.
        """
        return self._golden()[0]

    def decide(self, texts: Sequence[str]) -> list[Decision]:
        """A prediction for each text, and whether the student is sure enough for it: else its teacher should be asked.

        Raises:
            InputError: not a list of strings, or a bundle that carries no certificate for this runner.
        """
        return self.decided(self.calibrated(texts), texts)

    def decided(self, said: Outputs, texts: Sequence[str]) -> list[Decision]:
        """The same from outputs that are there already, `calibrated` ones.

        Raises:
            InputError: a bundle that carries no certificate for this runner.
        """
        if self._cascade is None:
            found = f"no certificate for the runner `{self.runner}`"
            todo = "Certify its run: stillroom cascade work/runs/NAME."
            raise InputError(Problem(str(self.folder), found, "a bundle that carries one", todo))
        confidence = self._cascade.calibrated(self.task.sureness(said))
        sure = self._cascade.sure(confidence).tolist()
        return list(map(Decision, self.task.decode(said, texts), sure, confidence.tolist()))

    def verify(self) -> None:
        """Check this machine's answers against those that the bundle was shipped with.

        Raises:
            ArtifactError: an answer differs by more than the runner's stated parity, or there are none to check.
        """
        texts, expected = self._golden()
        gap = self._form.gap(self.outputs(texts), expected)
        if not gap <= self.parity:  # a gap that is no number is no agreement
            raise ArtifactError(
                Problem(
                    str(self.folder / GOLDEN),
                    f"outputs of runner `{self.runner}` that differ by {gap:.3g}",
                    f"at most {self.parity:.3g}",
                    "Don't serve this bundle here: export it again on a machine like this one.",
                )
            )

    def _golden(self) -> tuple[list[str], Outputs]:
        path = self.folder / GOLDEN
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            texts, expected = [row["text"] for row in rows], self._form.of_lines(rows)
            unfit = self._form.unfit(expected, texts=len(texts), outputs=len(self.task.outputs))
        except (ValueError, KeyError, TypeError):
            texts, expected, unfit = [], None, None
        if not texts or unfit or not all(isinstance(text, str) for text in texts):
            expected = f"texts with {len(self.task.outputs)} outputs each"
            raise ArtifactError(
                Problem(str(path), "no golden answers that can be read", expected, "Export the bundle again.")
            )
        return texts, expected


def _refuse_unreadable(texts: Sequence[str]) -> None:
    """Stop what no student can read.

    Raises:
        InputError: no list of strings, or a string with half a surrogate pair, which no encoding can write.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Sequence):
        found, expected = f"a {type(texts).__name__}", "a list of strings"
        raise InputError(Problem("texts", found, expected, "Put the text in a list."))
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            found = f"a {type(text).__name__}"
            raise InputError(Problem(f"texts[{place}]", found, "a string", "Leave it out, or make it a string."))
        try:
            if not text.isascii():
                text.encode()
        except UnicodeEncodeError as error:
            found = f"half a surrogate pair at character {error.start}"
            todo = "Decode the text properly, or replace the character."
            raise InputError(Problem(f"texts[{place}]", found, "text that UTF-8 can write", todo)) from error


def load(
    folder: str | Path,
    *,
    verify: bool = False,
    runner: str | None = None,
    threads: int = 1,
    trusted: Collection[str] | None = None,
) -> Predictor:
    """The student in a bundle's folder, or in the folder of a run, every file checked against the manifest.

    `verify` also checks its signature, where it has one, and its answers to the golden inputs. `runner` names another
    of its runners than the default. `trusted`: the public keys (`signatures.trusted`) of which one has to have signed
    it.

    Raises:
        ArtifactError: no bundle there, or a damaged one, or one whose answers are not what they were, or whose
            signature is not its own or none that is trusted.
    """
    bundle = open_bundle(Path(folder))
    if verify or trusted is not None:
        signatures.check(bundle, trusted=trusted)
    predictor = Predictor(bundle, runner=runner, threads=threads)
    if verify:
        predictor.verify()
    return predictor


def place(folder: Path) -> Path:
    """Where the bundle of a folder is: there, or where the run in it has it.

    Raises:
        ArtifactError: a run without a bundle, or whose record can't be read.
    """
    return folder.resolve().parent.parent / "bundle" / _key(folder) if (folder / RUN).is_file() else folder


def open_bundle(folder: Path) -> artifact.Artifact:
    """The bundle in a folder, or of the run in it, every file checked against the manifest.

    Raises:
        ArtifactError: none there, or a damaged one.
    """
    found = artifact.load(place(folder))
    if BUNDLE not in found.manifest["files"]:
        expected = "a bundle (or the folder of a run)"
        raise ArtifactError(
            Problem(str(folder), f"an artifact of the stage `{found.manifest['stage']}`", expected, "Check the path.")
        )
    return found


def _key(folder: Path) -> str:
    """The key of the bundle of a run: the one that carries the certificate of its own, where there is one."""
    try:
        stages = json.loads((folder / RUN).read_text(encoding="utf-8"))["stages"]
        own = str(stages["export"]["key"]) if "export" in stages else None
        digest = str(stages["export"].get("digest")) if "export" in stages else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = Problem(str(folder / RUN), "no record of a run that can be read", "JSON", "Run the recipe again.")
        raise ArtifactError(problem) from error
    if own is None:
        problem = Problem(str(folder), "a run without a bundle", "a finished run", "Run its recipe to the end.")
        raise ArtifactError(problem)
    carried = certified(folder)
    # Another recipe's run of the same name has another bundle, of which nothing was certified.
    return carried["bundle"] if carried is not None and carried["of"] == digest else own


def certified(folder: Path) -> dict[str, str] | None:
    """A run's record of what was certified: `of` which bundle, which `bundle` carries it, which `cascade` it rests on.

    None: there is none.

    Raises:
        ArtifactError: it can't be read.
    """
    path = folder / CASCADE
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(told[name]) for name in ("of", "bundle", "cascade")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        todo = "Remove it, and certify the run again: stillroom cascade."
        raise ArtifactError(Problem(str(path), "no record that can be read", "JSON", todo)) from error
