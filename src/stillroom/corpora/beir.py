"""Documents, queries, and which documents answer which query: a folder as BEIR has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, final

from pydantic import Field, SerializeAsAny, field_validator

from stillroom.core import plugins
from stillroom.core.artifact import text_id
from stillroom.core.errors import CorpusError, Problem
from stillroom.corpora import Row, Source, Stream
from stillroom.corpora.table import lines, places
from stillroom.corpora.table.columns import Wanted
from stillroom.tasks import Task

#: Where a sentence ends: at a full stop and the like before white space and what can begin another; at one before a
#: capital that white space was lost before, as in abstracts; at one of CJK's.
_ENDS = re.compile(r"""(?<=[.!?])\s+(?=["'(\[]?[^\W\d_a-z])|(?<=[a-z)]\.)(?=[A-Z])|(?<=[。！？])""")
_SHORTEST = 16  # characters; what is shorter is more often a heading's number than a sentence


@final
class Beir(Source):
    """Documents, queries, and which documents answer which query: a folder as BEIR has it (Thakur et al. 2021).

    Documents are learned from, whole and sentence by sentence, and searched; queries of the judged split are the test.
    Queries that have no judgement there go to dev as texts.
    """

    parts: ClassVar[Mapping[str, str]] = {"beside": "corpora"}

    kind: Literal["beir"] = "beir"
    folder: str
    """Where its files are."""
    documents: str = "corpus.jsonl"
    """The file of documents: `_id`, `title`, `text`; its name may end in `.gz`, as the others' may."""
    queries: tuple[str, ...] = ("queries.jsonl",)
    """The files of queries: `_id`, `text`."""
    judgements: str = "qrels/test.tsv"
    """The file of judgements to test on: `query-id`, `corpus-id`, `score`, 0 for what is not relevant."""
    sentences: bool = True
    """Whether each sentence of the documents is learned from too: a question is as short as one, and is to find what
    says the same."""
    name: str = Field("documents", min_length=1)
    """What the collection is called in reports."""
    beside: SerializeAsAny[Source] | None = None
    """A source of further rows: texts to learn from, pairs to test on."""

    @field_validator("beside", mode="before")
    @classmethod
    def _member(cls, value: Any) -> Any:
        """A plain table, as a manifest holds it, becomes the source that it describes."""
        return plugins.build("corpora", value) if isinstance(value, dict) else value

    @property
    def inside(self) -> Mapping[str, Source]:
        """The further source."""
        return {} if self.beside is None else {"beside": self.beside}

    def extras(self) -> tuple[str, ...]:
        """Those of the further rows."""
        return () if self.beside is None else self.beside.extras()

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file."""
        own = {file.name: places.sha256(file) for file in self._files().values()}
        more = {} if self.beside is None else self.beside.digests()
        return {**own, **{f"beside.{name}": digest for name, digest in more.items()}}

    def streams(self, task: Task) -> Iterator[Stream]:
        """Documents, judged queries, the other queries, and the further rows."""
        files = self._files()
        judged = self._judged(files)
        yield Stream("unlabelled", self.name, self._documents(files))
        if self.sentences:
            yield Stream("unlabelled", "", self._sentences(files))
        yield Stream("test", "", self._asked(files, judged))
        yield Stream("dev", "", self._other(files, judged), gold=False)
        if self.beside is not None:
            yield from self.beside.streams(task)

    def _files(self) -> dict[str, places.File]:
        """Each file by its name in the recipe; all that can't be found is told at once."""
        found: dict[str, places.File] = {}
        problems: list[Problem] = []
        for name in (self.documents, *self.queries, self.judgements):
            form: Literal["tsv", "jsonl"] = "tsv" if name == self.judgements else "jsonl"
            path = f"{self.folder.rstrip('/')}/{name}"
            try:
                found[name] = places.find(path, split="test", format=form)[0]
            except CorpusError as error:
                problems += error.problems
        if problems:
            raise CorpusError(*problems)
        return found

    def _read(self, file: places.File, wanted: Wanted) -> Iterator[Row | Problem]:
        with places.opened(file) as stream:
            decoded = lines.Lines(stream, name=file.name, encoding="utf-8", max_characters=self.max_characters)
            if file.format == "tsv":
                yield from lines.separated(decoded, wanted=wanted, delimiter="\t", quoted=False)
            else:
                yield from lines.jsonl(decoded, wanted=wanted)

    def _documents(self, files: Mapping[str, places.File]) -> Iterator[Row | Problem]:
        """Each with its title before its text."""
        yield from (row if isinstance(row, Problem) else row[1] for row in self._named(files))

    def _named(self, files: Mapping[str, places.File]) -> Iterator[tuple[str, Row] | Problem]:
        """Documents by their own ids."""
        wanted = Wanted(text="text", label=None, columns=("_id", "title"), columns_required=False)
        for row in self._read(files[self.documents], wanted):
            if isinstance(row, Problem):
                yield row
                continue
            title = row.columns.get("title", "")
            yield row.columns.get("_id", ""), Row(f"{title} {row.text}".strip(), None, row.where)

    def _sentences(self, files: Mapping[str, places.File]) -> Iterator[Row | Problem]:
        """Titles, and the sentences of documents."""
        wanted = Wanted(text="text", label=None, columns=("title",), columns_required=False)
        for row in self._read(files[self.documents], wanted):
            if isinstance(row, Row):  # what is none was told of where documents are read
                parts = (one.strip() for one in (row.columns.get("title", ""), *_ENDS.split(row.text)))
                yield from (Row(one, None, row.where) for one in parts if len(one) >= _SHORTEST)

    def _queries(self, files: Mapping[str, places.File]) -> Iterator[Row | Problem]:
        wanted = Wanted(text="text", label=None, columns=("_id",), columns_required=True)
        for name in self.queries:
            yield from self._read(files[name], wanted)

    def _judged(self, files: Mapping[str, places.File]) -> dict[str, dict[str, float] | Problem]:
        """By query: grades by the id of each document's text, or what is wrong with them."""
        known = {row[0]: text_id(row[1].text) for row in self._named(files) if not isinstance(row, Problem)}
        wanted = Wanted(text="corpus-id", label="score", columns=("query-id",), columns_required=True)
        found: dict[str, dict[str, float] | Problem] = {}
        for row in self._read(files[self.judgements], wanted):
            if isinstance(row, Problem):
                raise CorpusError(row)
            query = row.columns["query-id"]
            grades = found.setdefault(query, {})
            try:
                grade = float(row.label or "")
            except ValueError:
                found[query] = Problem(row.where, f"the score `{row.label}`", "a number", "Correct the row.")
                continue
            if row.text not in known:
                todo = "Take the row out, or add the document."
                found[query] = Problem(row.where, f"the document `{row.text}`", f"one of {self.documents}", todo)
            elif isinstance(grades, dict) and grade > 0:
                grades[known[row.text]] = max(grade, grades.get(known[row.text], 0.0))
        return found

    def _asked(
        self, files: Mapping[str, places.File], judged: Mapping[str, dict[str, float] | Problem]
    ) -> Iterator[Row | Problem]:
        """The queries that something answers."""
        seen: set[str] = set()
        for row in self._queries(files):
            if isinstance(row, Problem):
                yield row
                continue
            grades = judged.get(row.columns["_id"])
            seen.add(row.columns["_id"])
            if isinstance(grades, Problem):
                yield grades
            elif grades:
                yield Row(row.text, {"among": self.name, "relevant": grades}, row.where)
        for query in sorted(set(judged) - seen)[:20]:
            todo = "Take the row out, or add the query."
            yield Problem(files[self.judgements].name, f"the query `{query}`", f"one of {self.queries[0]}", todo)

    def _other(
        self, files: Mapping[str, places.File], judged: Mapping[str, dict[str, float] | Problem]
    ) -> Iterator[Row | Problem]:
        """The queries that are not judged, as texts."""
        for row in self._queries(files):
            if isinstance(row, Row) and row.columns["_id"] not in judged:
                yield Row(row.text, None, row.where)
