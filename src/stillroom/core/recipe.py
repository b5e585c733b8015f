"""The recipe: one frozen, typed tree that holds every setting.

TOML, Python and `--set a.b=c` build the same object. It names members, never import paths: reading one runs no code
that it brings. Every problem is reported at once, by key, with the nearest valid name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from pydantic import Field, ValidationInfo, field_validator, model_validator

from stillroom.core import artifact, plugins, toml
from stillroom.core.errors import Problem, RecipeError, nearest
from stillroom.core.plugins import Settings

if TYPE_CHECKING:
    from stillroom.aspects import Aspect
    from stillroom.augmentations import Augmentation
    from stillroom.corpora import Source
    from stillroom.formats import Format
    from stillroom.layouts import Layout
    from stillroom.objectives import Objective
    from stillroom.probes import Probe
    from stillroom.students import Student
    from stillroom.tasks import Task
    from stillroom.teachers import Teacher
else:
    # A member is checked by its own class before the recipe is put together: see `parse`.
    Aspect = Augmentation = Source = Format = Layout = Objective = Probe = Student = Task = Teacher = Any

#: The keys of a recipe that name members, and their families.
FAMILIES = {
    "task": "tasks",
    "corpus": "corpora",
    "teacher": "teachers",
    "student": "students",
    "peer": "students",
    "objective": "objectives",
}
_AUGMENT = "augmentations"


def _built(value: Any, info: ValidationInfo) -> Any:
    """The members of the family of the field's name."""
    return plugins.built(str(info.field_name), value)


def _standard() -> tuple[Aspect, ...]:
    return tuple(plugins.free("aspects"))


@final
class Transfer(Settings):
    """How the teacher is asked."""

    parts: ClassVar[Mapping[str, str]] = {"augment": "augmentations"}

    shard_rows: int | None = Field(None, ge=1)
    """Texts a shard: what a killed run loses at most, and how often it is told how far it is; none: 2,048, or 128 where
    the teacher writes, which takes it seconds a text."""
    # Larger batches leave a CPU's cache. Texts a second on two threads, 512 texts of SST in fp32, median of three:
    # 256 tokens 169, 512 183, 1024 167, 2048 176, 3072 160, 6144 135. In this middle, longer texts still share one.
    tokens_per_batch: int = Field(1024, ge=1)
    """Padded tokens a batch. A language model writes behind four times as many at once."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 where the CPU computes in it and the teacher's answers agree with fp32 within the bound."""
    bound: float = Field(0.05, gt=0)
    """The largest difference of any probability on the probe that still counts as agreement."""
    augment: tuple[Augmentation, ...] = ()
    """Further texts to ask about, made of training rows: each a table of the family `augmentations`."""
    also: tuple[str, ...] = ()
    """Signals to record beyond those that the objectives look at, so that several students share one transfer set."""
    emphasise: str = ""
    """A folder `work/runs/<name>/forgotten` of a run before: its rows come more often. No teacher is asked anew."""
    emphasis: float = Field(4.0, gt=0)
    """A row of that folder comes 1 + this · the share of it that students forgot times as often as others."""


@final
class Train(Settings):
    """How the student is fitted, whatever it is."""

    epochs: int | None = Field(None, ge=1)
    """Passes over the transfer set; None: as many as the student asks for."""
    batch_size: int | None = Field(None, ge=1)
    """Texts a step; None: as the student asks for."""
    learning_rate: float | None = Field(None, gt=0)
    """The peak; None: as the student asks for."""
    patience: int = Field(3, ge=1)
    """Epochs without a better dev score before it stops."""
    curriculum: float = Field(0.0, ge=0, lt=1)
    """The share of training in which rows that the teacher is unsure of are held back, and come in little by little."""
    unfreeze: float = Field(0.0, ge=0, lt=1)
    """The share of training in which the student is thawed from its head down (XtremeDistil 2004.05686)."""
    quantization_aware: float = Field(0.0, ge=0, le=1)
    """The share of epochs, at the end, under the rounding of `onnx_int8`, for the student `transformer`: dev then
    chooses among these alone."""
    seeds: int = Field(1, ge=1)
    """With how many seeds the student is fitted: the first ships, the others tell what seeds alone change."""
    rounds: int = Field(1, ge=1)
    """Born-again rounds (Furlanello et al. 1805.04770): from the second on, the student before is the teacher."""
    checkpoint_seconds: float = Field(20.0, ge=0)
    """How much work a killed run loses at most, in seconds of training."""

    def decides(self) -> dict[str, Any]:
        """What of its settings one fit hangs on."""
        return self.model_dump(mode="json", exclude={"checkpoint_seconds", "rounds", "seeds"})


@final
class Evaluate(Settings):
    """How scores get their intervals."""

    resamples: int = Field(5000, ge=200)
    """Bootstrap resamples for each figure."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """The level of every interval."""
    min_slice_rows: int = Field(100, ge=2)
    """Below this, a slice is not measurable."""
    teachers: int = Field(1, ge=1)
    """With how many seeds a teacher that is fitted here is fitted: the others answer the test alone, and tell how far
    two teachers agree, and what most of them say."""
    show_texts: bool = False
    """Whether examples show their texts, all that may be personal put out; else every letter is an x."""
    aspects: tuple[Aspect, ...] = Field(default_factory=_standard)
    """What texts are sliced by: names (or tables) from the family `aspects`; else all that need no setting."""
    teacher_saw: tuple[str, ...] = ()
    """Files (csv, tsv, jsonl, parquet, a column `text`) of what the teacher was trained on: test rows are looked for
    among them."""
    embedder: str | None = None
    """A run or bundle whose student gives vectors: test rows that mean nearly what was learned are looked for too."""
    least_cosine: float = Field(0.95, gt=0, le=1)
    """How near two of its vectors have to be for that."""

    _members = field_validator("aspects", mode="before")(_built)


@final
class Audit(Settings):
    """What teacher and student are asked beyond the test."""

    probes: tuple[Probe, ...] | None = None
    """Names (or tables) from the family `probes`; [] for none. None: all that need no setting and no package more; of
    those who write texts, which takes long, nothing."""
    rows: int = Field(200, ge=1)
    """With how many test rows to begin, drawn by chance: each is asked about in several forms."""
    ask_teacher: bool | None = None
    """Whether the teacher is asked too; none: where it computes here, so that nobody bills for it."""

    _members = field_validator("probes", mode="before")(_built)


@final
class Cost(Settings):
    """What computing costs."""

    price_per_vcpu_hour: float = Field(0.04, gt=0)
    """In `currency`."""
    currency: str = "USD"
    """Of every price."""
    utilisation: float = Field(1.0, gt=0, le=1)
    """The share of paid time in which the machine has work."""
    texts: int = Field(256, ge=16)
    """How many texts are timed; where they are few, so are those that are timed alone."""
    repeats: int = Field(5, ge=3)
    """Interleaved rounds, of which the median counts."""


@final
class Export(Settings):
    """What the bundle holds beside the student's own weights."""

    formats: tuple[Format, ...] = ()
    """Names (or tables) from the family `formats`."""
    layouts: tuple[Layout, ...] = ()
    """Names from the family `layouts`: folders in the bundle that other libraries load."""
    golden: int = Field(16, ge=1)
    """Inputs with expected outputs that a server checks before it says that it is ready."""

    _members = field_validator("formats", "layouts", mode="before")(_built)


@final
class Gate(Settings):
    """A condition on a measured figure, judged on the bound of its interval."""

    measure: str
    """A path into the summary, such as `retention.accuracy` or `worst_slice.retention`."""
    at_least: float | None = None
    """The lower end of the interval has to reach it."""
    at_most: float | None = None
    """The upper end of the interval may not pass it."""

    @model_validator(mode="after")
    def _one_limit(self) -> Gate:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("exactly one of `at_least` and `at_most`")
        return self


@final
class Search(Settings):
    """How the best student for a budget is looked for, and the budget."""

    minutes: float = Field(10.0, gt=0)
    """How long to search. The chosen student's run, with its twin, test and cost, comes after that."""
    max_disk_mb: float | None = Field(None, gt=0)
    """What the files that serve the student may take."""
    max_latency_ms: float | None = Field(None, gt=0)
    """What the median text may take, alone, on one thread of this machine."""
    min_retention: float | None = Field(None, gt=0)
    """The least share of the teacher's dev score."""
    seeds: int = Field(1, ge=1)
    """With how many seeds a point is fitted before it is judged; the first one is what is bundled."""
    families: tuple[str, ...] = ()
    """Kinds of students to try; none: all there are."""
    rungs: int | None = Field(None, ge=1)
    """How many of each kind's settings to try, the smallest first; none: all that it offers."""
    proposals: int = Field(8, ge=0)
    """How many further settings to try for each kind, while there is time."""

    @field_validator("families")
    @classmethod
    def _known(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        known = plugins.names("students")
        if unknown := [one for one in families if one not in known]:
            raise ValueError("; ".join(f"kinds of students, which `{one}` is not. {nearest(one, known)}"
                                       for one in unknown))  # fmt: skip
        return families


@final
class Recipe(Settings):
    """Everything that one journey depends on."""

    name: str
    seed: int = Field(7, ge=0)
    task: Task
    corpus: Source
    teacher: Teacher
    student: Student
    peer: Student | None = None
    objective: tuple[Objective, ...] = ()
    gate: tuple[Gate, ...] = ()
    transfer: Transfer = Transfer()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    audit: Audit = Audit()
    cost: Cost = Cost()
    export: Export = Export()
    search: Search = Search()

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError("letters, digits, dots, dashes and underscores (it becomes a folder's name)")
        return name

    @property
    def probes(self) -> tuple[Probe, ...]:
        """What teacher and student are put to beyond the test."""
        if self.audit.probes is not None:
            return self.audit.probes
        free = () if self.task.form.may_write else plugins.free("probes")
        return tuple(one for one in free if not one.packages)

    @property
    def digest(self) -> str:
        """The hash of the resolved recipe."""
        return artifact.sha256(artifact.canonical(self.resolved()))

    def resolved(self) -> dict[str, Any]:
        """Every setting, defaults included, as plain data: what is saved beside each result."""
        plain = self.model_dump(mode="json", serialize_as_any=True)
        return dict(plain)

    def as_toml(self) -> str:
        """Every setting as TOML, for a recipe that was built in Python: read again, it is the same recipe."""
        return toml.written(self.resolved())


def load(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file, with `a.b=c` overrides laid over it.

    Raises:
        RecipeError: it can't be read, or anything in it is wrong; all problems at once.
    """
    try:
        data = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(Problem(str(path), str(error), "TOML", "Correct the line it names.")) from error
    for override in overrides:
        _lay(data, override)
    return parse(data, where=str(path))


def as_written(path: Path, overrides: Sequence[str] = ()) -> str:
    """A recipe as somebody wrote it, to be kept beside what it gave; what was laid over it stands at its head.

    Raises:
        RecipeError: it can't be read.
    """
    laid = ["#   --set " + "\n#     ".join(one.splitlines()) for one in overrides]
    return "\n".join([*(["# Laid over what follows:", *laid, ""] if laid else []), _text(path)])


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise RecipeError(
            Problem(str(path), f"no file that can be read ({error.strerror})", "a recipe", "Check the path.")
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(
            Problem(f"{path}, byte {error.start}", "bytes that are not UTF-8", "TOML in UTF-8", "Save it as UTF-8.")
        ) from error


def parse(data: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """The recipe made from plain data.

    Raises:
        RecipeError: anything in it is wrong; all problems at once.
    """
    values: dict[str, Any] = dict(data)
    problems: list[Problem] = []
    for key, family in FAMILIES.items():
        if values.get(key) is None:
            continue
        values[key], more = plugins.members(family, values[key], where=key)
        problems += more
    transfer = values.get("transfer")
    if isinstance(transfer, dict) and transfer.get("augment") is not None:
        made, more = plugins.members(_AUGMENT, transfer["augment"], where="transfer.augment")
        values["transfer"] = {**transfer, "augment": made}
        problems += more
    recipe, more = plugins.check(Recipe, values, where="")
    problems += [problem for problem in more if not _told_already(problem, problems)]
    if recipe is None or problems:
        raise RecipeError(*(Problem(f"{where}: {p.where}", p.found, p.expected, p.todo) for p in problems))
    return recipe


def _told_already(problem: Problem, problems: Sequence[Problem]) -> bool:
    if problem.where.startswith("transfer."):
        return any(told.where.startswith(problem.where) for told in problems)
    return any(told.where.split(".")[0].split("[")[0] == problem.where.split(".")[0] for told in problems)


def _lay(data: dict[str, Any], override: str) -> None:
    """Lay one `a.b=c` over the data; the value is read as TOML, or else as a bare word."""
    path, sign, text = override.partition("=")
    if not sign or not path.strip():
        raise RecipeError(
            Problem(f"--set {override}", "no `key=value`", "for example student.dimensions=128", "Add it.")
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = path.strip().split(".")
    place: Any = data
    for part in parents:
        place = _step(place, part, override)
    if isinstance(place, list):
        place[_position(place, last, override)] = value
    else:
        place[last] = value


def _step(place: Any, part: str, override: str) -> Any:
    """The table or list that a part of an override's path leads to."""
    found = place[_position(place, part, override)] if isinstance(place, list) else place.setdefault(part, {})
    if not isinstance(found, dict | list):
        raise RecipeError(Problem(f"--set {override}", f"a value at `{part}`", "a table", "Shorten the key."))
    return found


def _position(place: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        expected = f"a number below {len(place)}"
        raise RecipeError(Problem(f"--set {override}", f"`{part}`", expected, "Name one that the recipe has."))
    return int(part)
