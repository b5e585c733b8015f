"""The student's tokenizer does not know the words of the test."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, final

from stillroom.symptoms import ANY, Case, Finding, Quiet, Seen, Symptom, _chance

_FILE = "tokenizer.json"
_SHARE = 0.01
_MUCH = 0.1
_TIMES = 2.0
_TEXTS = 5000


@final
class UnknownTokens(Symptom):
    """The student's tokenizer does not know the words of the test: far fewer than of training rows, or of either."""

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "transfer", "train", "evaluate"})
    shapes: ClassVar[frozenset[str]] = ANY
    threshold: ClassVar[str] = (
        "one token in a hundred of the test unknown, twice as many as in training texts, and more test texts with "
        "an unknown token (one-sided exact); one in ten is an error, also where training texts are no better known"
    )
    false_alarms: ClassVar[str] = "exact test over texts; at most the doctor's level"

    kind: Literal["unknown_tokens"] = "unknown_tokens"

    def look(self, case: Case) -> Iterator[Seen]:
        """Test texts against those that were learned from."""
        path = case.artifacts["train"].folder / _FILE
        if not path.is_file():
            return  # it reads without a vocabulary: nothing is unknown to it
        taught = case.some(_TEXTS, "train", "unlabelled", columns=["text"])["text"].to_pylist()
        test = case.rows("test", ["id", "text"]).sort_by("id").slice(0, _TEXTS)["text"].to_pylist()
        learned, tested = _unknown(path, taught), _unknown(path, test)
        if learned is None or tested is None or not taught or not test:
            return  # a tokenizer of bytes has no unknown token
        (share, texts), (test_share, test_texts) = learned, tested
        p = _chance.larger_share(test_texts, len(test), texts, len(taught))
        everywhere = test_share < _TIMES * share
        if test_share < (_MUCH if everywhere else _SHARE):
            yield Quiet(p)
            return
        field = "The texts are" if everywhere else "The test is"
        yield Finding(
            self.kind,
            "error" if test_share >= _MUCH else "warning",
            f"{test_share:.1%} of the tokens of test texts are unknown to the student's tokenizer, and {share:.1%} of "
            "those that it learned from.",
            f"{field} in another language or script, or of another field, than the tokenizer was made for.",
            "Choose a teacher whose tokenizer knows these words, or a student that reads without one (`bag`).",
            ("teacher", "student.kind"),
            (
                case.fact("unknown in test", test_share, "corpus", "test.parquet: text"),
                case.fact("unknown in learned texts", share, "transfer", "shard-*.parquet: text"),
                case.fact("tokenizer", case.artifacts["train"].file_digest(_FILE)[:12], "train", _FILE),
            ),
            None if everywhere else p,
        )


def _unknown(path: Path, texts: Sequence[str]) -> tuple[float, int] | None:
    """The share of unknown tokens, and in how many texts there is one; None where no token stands for the unknown."""
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # Word pieces and merges name the token, Unigram gives its number, and says so in its file alone.
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    unknown = model.get("unk_id")
    if unknown is None and model.get("unk_token"):
        unknown = tokenizer.token_to_id(model["unk_token"])
    if unknown is None:
        return None
    ids = [one.ids for one in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    missed = [one.count(unknown) for one in ids]
    return sum(missed) / max(1, sum(map(len, ids))), sum(count > 0 for count in missed)
