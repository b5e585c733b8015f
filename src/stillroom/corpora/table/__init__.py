"""Rows in the user's files: csv, tsv, jsonl, parquet, conll, a folder of the `datasets` library; here or remote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, final

from pydantic import BeforeValidator, Field, field_validator, model_validator

from stillroom.core.artifact import canonical, sha256
from stillroom.core.errors import CorpusError, Problem
from stillroom.corpora import Row, Source, Split, Stream
from stillroom.corpora.table import columnar, conll, lines, places
from stillroom.corpora.table.columns import Wanted
from stillroom.tasks import Task


def _many(value: Any) -> Any:
    """One path or several, as several."""
    several = value if isinstance(value, list | tuple) else (value,)
    return tuple(item if isinstance(item, str) else str(item) for item in several)


Paths = Annotated[tuple[str, ...], BeforeValidator(_many)]

#: The fields that hold paths, and what is asked of the rows behind them.
_LABELLED: tuple[Split, ...] = ("train", "dev", "test", "labelled")


@final
class Table(Source):
    """Rows in files: each field named after a split takes a path, a glob, a URL of fsspec's, or a list of them."""

    kind: Literal["table"] = "table"
    train: Paths = ()
    """Labelled rows to train on."""
    dev: Paths = ()
    """Labelled rows to choose by."""
    test: Paths = ()
    """Labelled rows that only the evaluation sees."""
    labelled: Paths = ()
    """Labelled rows without a split: the hash of their text decides among the splits that have no path of their own."""
    unlabelled: Paths = ()
    """Rows of which only the text is read."""
    outside: Mapping[str, Paths] = Field(default_factory=dict)
    """Labelled rows of other domains, by the domain's name: slices of the test."""

    text: str = Field("text", min_length=1)
    """The column that holds the text."""
    label: str = "label"
    """The column that holds the label; "": there is none, and what the teacher says stands for it."""
    other: str = ""
    """The column of a second text, where labelled rows are pairs: the label then says how near the two are."""
    columns: tuple[str, ...] = ()
    """Further columns to keep, to slice by."""
    domain: str = ""
    """The name of the main domain."""
    encoding: str = "utf-8"
    """How the text files are encoded."""
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "conll"] = "auto"
    """What the files are; `auto` goes by the ending of their names."""
    scheme: Literal["auto", "IOB1", "IOB2", "BILOU", "IO"] = "auto"
    """How the tags of `conll` files are to be read; `auto` looks at them first."""
    quoting: Literal["auto", "yes", "no"] = "auto"
    """Whether `"` groups: `auto` says yes in csv and no in tsv, where it is most often just a character."""

    @field_validator("encoding")
    @classmethod
    def _lines_end_in_one_byte(cls, encoding: str) -> str:
        try:
            ends = "\n".encode(encoding)
        except (LookupError, UnicodeError) as error:
            raise ValueError("an encoding that Python knows, such as utf-8, latin-1 or cp1252") from error
        if ends != b"\n":
            raise ValueError("an encoding in which a line ends with one byte; save UTF-16 and UTF-32 as utf-8 first")
        return encoding

    @model_validator(mode="after")
    def _enough(self) -> Table:
        if self.other and not self.label:
            raise ValueError("a `label` that says how near the two texts of a pair are")
        if self.other and self.labelled:
            raise ValueError("`dev` and `test` in place of `labelled`, so that both texts of a pair are in one split")
        if self.only_tests:
            return self
        if not self.labelled and not (self.dev and self.test):
            raise ValueError("`labelled`, or both `dev` and `test`: without them nothing can be chosen or measured")
        if not (self.train or self.labelled or self.unlabelled):
            raise ValueError("`train`, `labelled` or `unlabelled`: something to train on")
        return self

    @property
    def only_tests(self) -> bool:
        """Where there is `test`, and perhaps `outside`, alone."""
        return bool(self.test) and not (self.train or self.dev or self.labelled or self.unlabelled)

    def extras(self) -> tuple[str, ...]:
        """The further columns."""
        return self.columns

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file, by its name, and of the class names that stand in a file beside it."""
        files = {file.name: file for _, _, files in self._files() for file in files}
        digests = {name: places.sha256(file) for name, file in files.items()}
        classes = {name: dict(file.classes) for name, file in files.items() if file.classes}
        return digests | {f"{name}, class names": sha256(canonical(found)) for name, found in classes.items()}

    def streams(self, task: Task) -> Iterator[Stream]:
        """One stream for each split and domain that has files, and one for the second texts of pairs."""
        for split, domain, files in self._files():
            yield Stream(split, domain, self._rows(files, split), gold=bool(self.label))
            if self.other and split != "unlabelled":
                yield Stream(split, domain, self._read_all(files, Wanted(self.other, None, (), False)), gold=False)

    def _files(self) -> list[tuple[Split, str, Sequence[places.File]]]:
        """The files of each split and domain; all that can't be found is told at once."""
        asked: list[tuple[Split, str, Paths]] = [
            ("train", self.domain, self.train),
            ("dev", self.domain, self.dev),
            ("test", self.domain, self.test),
            ("labelled", self.domain, self.labelled),
            ("unlabelled", self.domain, self.unlabelled),
            *(("outside", name, paths) for name, paths in self.outside.items()),
        ]
        found: list[tuple[Split, str, Sequence[places.File]]] = []
        problems: list[Problem] = []
        for split, domain, paths in asked:
            files: list[places.File] = []
            for path in paths:
                try:
                    files += places.find(path, split=split, format=self.format)
                except CorpusError as error:
                    problems += error.problems
            if files:
                found.append((split, domain, files))
        if problems:
            raise CorpusError(*problems)
        return found

    def _rows(self, files: Sequence[places.File], split: Split) -> Iterator[Row | Problem]:
        wanted = Wanted(
            text=self.text,
            label=self.label or None if split != "unlabelled" else None,
            columns=self.columns,
            columns_required=split in _LABELLED,
            other=self.other or None if split != "unlabelled" else None,
        )
        yield from self._read_all(files, wanted)

    def _read_all(self, files: Sequence[places.File], wanted: Wanted) -> Iterator[Row | Problem]:
        for file in files:
            yield from self._read(file, wanted)

    def _read(self, file: places.File, wanted: Wanted) -> Iterator[Row | Problem]:
        """The rows of one file; one without any is a problem too."""
        empty = True
        for row in self._parse(file, wanted):
            empty = False
            yield row
        if empty:
            yield Problem(file.name, "no rows", "at least one", "Give it rows, or take it out of the recipe.")

    def _parse(self, file: places.File, wanted: Wanted) -> Iterator[Row | Problem]:
        with places.opened(file) as stream:
            if file.format == "parquet":
                yield from columnar.parquet(stream, name=file.name, wanted=wanted)
            elif file.format == "arrow":
                yield from columnar.arrow(stream, name=file.name, wanted=wanted, classes=file.classes)
            else:
                decoded = lines.Lines(
                    stream, name=file.name, encoding=self.encoding, max_characters=self.max_characters
                )
                if file.format == "jsonl":
                    yield from lines.jsonl(decoded, wanted=wanted)
                elif file.format == "conll":
                    tagged = wanted.label is not None
                    scheme = self._scheme(file) if tagged else "IO"
                    yield from conll.rows(decoded, scheme=scheme, tagged=tagged, drop_empty=self.empty == "drop")
                else:
                    yield from lines.separated(decoded, wanted=wanted, **self._dialect(file.format))

    def _scheme(self, file: places.File) -> conll.Scheme:
        """The scheme of a file's tags."""
        if self.scheme != "auto":
            return self.scheme
        with places.opened(file) as stream:
            return conll.scheme_of(
                lines.Lines(stream, name=file.name, encoding=self.encoding, max_characters=self.max_characters)
            )

    def _dialect(self, form: str) -> Mapping[str, Any]:
        quoted = self.quoting == "yes" or (self.quoting == "auto" and form == "csv")
        return {"delimiter": "\t" if form == "tsv" else ",", "quoted": quoted}
