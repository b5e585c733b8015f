"""The guard: how well its students tell injections, how often they err on texts that mean no harm, and how quickly.

On the rows of `bench/injections.py`, with the bundles of `recipes/injection.toml` and `recipes/instructions.toml`.
Thresholds are chosen on texts of dev without injections; the test is looked at once. The teacher is metatronnanoguard,
as its package has it. Intervals of shares are exact; those of AUC are percentiles of a bootstrap over rows or, of
e-mails, over e-mails and kinds of instructions at once. Speed is texts by CPU-second, one text at a time, one thread.

    python bench/guard.py work/guard --prompts work/runs/injection --documents work/runs/instructions [--dev] [--json]
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ |= {"TOKENIZERS_PARALLELISM": "false"}

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stillroom import intervals
from stillroom.core.errors import InputError
from stillroom.detectors import _reading
from stillroom.detectors import unicode as odd
from stillroom.detectors.injection import Injection, chosen
from stillroom.detectors.personal import KINDS, Personal

Row = dict[str, Any]
Scores = NDArray[np.float64]
Ask = Callable[[Sequence[str]], Scores]
CONFIDENCE, RESAMPLES, SHARES = 0.95, 2000, (0.01, 0.05)
DOCUMENTS = {"mail", "news", "wiki", "reviews", "code", "table", "e-mails", "dialogue"}
#: What of the synthetic personal data of Presidio our kinds are.
PRESIDIO = {"EMAIL_ADDRESS": "e-mail", "PHONE_NUMBER": "phone", "IBAN_CODE": "iban", "CREDIT_CARD": "card",
            "IP_ADDRESS": "ip", "US_SSN": "social security", "STREET_ADDRESS": "street"}  # fmt: skip


def rows(path: Path) -> list[Row]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def student(folder: str, *, label: str, reads: Literal["whole", "sentences"]) -> Ask:
    """A student as it stands in a chain: behind `unicode`."""
    found = Injection(bundle=folder, labels=(label,), reads=reads, threshold=1.0)

    def ask(texts: Sequence[str]) -> Scores:
        return found.scores([_reading.whole(text).without(odd.look(text).places).text for text in texts])

    return ask


def auc(harm: Scores, plain: Scores, one: Scores | None = None, other: Scores | None = None) -> float:
    """How often a text with an injection has the higher score, ties by half; weighted."""
    one, other = (np.ones(len(some)) if given is None else given for some, given in ((harm, one), (plain, other)))
    order = np.argsort(plain, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(other[order])])
    lower, upper = (below[np.searchsorted(plain[order], harm, side=side)] for side in ("left", "right"))
    pairs = float(one.sum() * other.sum())
    return float((one * (lower + upper) / 2).sum()) / pairs if pairs else float("nan")


def bounds(value: float, draws: Sequence[float], n: int) -> intervals.Interval:
    """Percentiles of resamples, if nearly all of them can tell the figure."""
    tail, told = (1 - CONFIDENCE) / 2, [one for one in draws if np.isfinite(one)]
    if len(told) < 0.99 * len(draws):
        return intervals.not_measurable(n, "too few e-mails or kinds of instructions")
    low, high = np.quantile(told, [tail, 1 - tail]).tolist()
    return intervals.Interval(value, low, high, n)


def mixed_auc(harm: Scores, plain: Scores) -> intervals.Interval:
    """AUC with its interval over rows, those of each side drawn among themselves."""
    rng = np.random.default_rng(0)
    draws = [auc(rng.choice(harm, len(harm)), rng.choice(plain, len(plain))) for _ in range(RESAMPLES)]
    return bounds(auc(harm, plain), draws, len(harm) + len(plain))


def over(one: tuple[Scores, Scores], other: tuple[Scores, Scores]) -> intervals.Interval:
    """How much higher one's AUC is than another's, on the same resamples of the same texts."""
    rng = np.random.default_rng(0)
    (harm, plain), draws = (len(side) for side in one), []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, harm, harm), rng.integers(0, plain, plain)
        draws.append(auc(one[0][drawn[0]], one[1][drawn[1]]) - auc(other[0][drawn[0]], other[1][drawn[1]]))
    return bounds(auc(*one) - auc(*other), draws, harm + plain)


def mail_auc(scores: Scores, found: Sequence[Row]) -> intervals.Interval:
    """AUC with its interval over e-mails and kinds of instructions, both drawn at once (Owen 2007)."""
    rng = np.random.default_rng(0)
    mails = {text: place for place, text in enumerate(dict.fromkeys(one["context"] for one in found))}
    kinds = {kind: place for place, kind in enumerate(dict.fromkeys(one["kind"] for one in found if "kind" in one))}
    harm = np.array(["kind" in one for one in found])
    mail = np.array([mails[one["context"]] for one in found])
    kind = np.array([kinds[one["kind"]] for one in found if "kind" in one])

    def drawn(count: int) -> Scores:
        return np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)

    draws = []
    for _ in range(RESAMPLES):
        by_mail, by_kind = drawn(len(mails)), drawn(len(kinds))
        draws.append(auc(scores[harm], scores[~harm], by_mail[mail[harm]] * by_kind[kind], by_mail[mail[~harm]]))
    return bounds(auc(scores[harm], scores[~harm]), draws, len(found))


def share(scores: Scores, threshold: float) -> intervals.Interval:
    """How many are told."""
    return intervals.clopper_pearson(int((scores >= threshold).sum()), len(scores), CONFIDENCE)


def thresholds(scores: Scores) -> dict[float, float | None]:
    """By what share of these, which hold no injection, may be told."""
    found: dict[float, float | None] = {}
    for allowed in SHARES:
        try:
            found[allowed] = chosen(scores, false_positives=allowed)
        except InputError:
            found[allowed] = None
    return found


def parts(folder: Path, *, dev: bool) -> Mapping[str, list[Row]]:
    """The rows that are measured on: those of dev while something is being chosen."""
    if dev:
        return {"texts": rows(folder / "prompts" / "dev.jsonl"), "mails": rows(folder / "trials" / "emails_dev.jsonl")}
    sets = {name: rows(folder / "trials" / f"{name}.jsonl") for name in ("xstest", "bastion")
            if (folder / "trials" / f"{name}.jsonl").is_file()}  # fmt: skip
    mails = rows(folder / "trials" / "emails_test.jsonl")
    return {"texts": rows(folder / "prompts" / "test.jsonl"), **sets, "mails": mails}


def prompts(folder: Path, asks: Mapping[str, Ask], *, dev: bool) -> Iterator[Row]:
    """Whole texts: what people type."""
    found = parts(folder, dev=dev)
    quiet = [one["text"] for one in rows(folder / "prompts" / "dev.jsonl") if one["label"] == "ordinary"]
    its: tuple[Scores, Scores] | None = None
    for name, ask in asks.items():
        said = {part: ask([one["text"] for one in some]) for part, some in found.items() if part != "mails"}
        sources = {part: np.array([one["source"] for one in found[part]]) for part in said}
        harm = {part: np.array([one["label"] == "injection" for one in found[part]]) for part in said}
        attacks = np.concatenate([said[part][harm[part] & (sources[part] != "slipped")] for part in said])
        plain = np.concatenate([said[part][~harm[part]] for part in said])
        limits = thresholds(ask(quiet))
        line: Row = {"system": name, "auc": mixed_auc(attacks, plain).as_dict()}
        its = (attacks, plain) if its is None else its
        if its[0] is not attacks:
            line[f"auc, over {next(iter(asks))}"] = over((attacks, plain), its).as_dict()
        for part in said:
            if harm[part].any() and not harm[part].all():
                line[f"auc, {part}"] = mixed_auc(said[part][harm[part]], said[part][~harm[part]]).as_dict()
        for allowed, limit in limits.items():
            if limit is not None:
                told: Row = {"recall": share(attacks, limit).as_dict(), "false": share(plain, limit).as_dict()}
                for part in said:
                    told |= (
                        {f"recall, {part}": share(said[part][harm[part]], limit).as_dict()} if harm[part].any() else {}
                    )
                    told[f"false, {part}"] = share(said[part][~harm[part]], limit).as_dict()
                line[f"at {allowed:.0%}"] = told
        yield line


def documents(folder: Path, asks: Mapping[str, Ask], *, dev: bool) -> Iterator[Row]:
    """E-mails with an instruction slipped in."""
    found = parts(folder, dev=dev)
    mails = found["mails"]
    harm = np.array([one["label"] == "injection" for one in mails])
    quiet = [one["text"] for one in rows(folder / "prompts" / "dev.jsonl")
             if one["source"] in DOCUMENTS and one["label"] == "ordinary"]  # fmt: skip
    plain = [one["text"] for one in found["texts"] if one["source"] in DOCUMENTS and one["label"] == "ordinary"]
    for name, ask in asks.items():
        said = ask([one["text"] for one in mails])
        line: Row = {"system": name, "auc": mail_auc(said, mails).as_dict()}
        for where in ("start", "middle", "end"):
            some = [number for number, one in enumerate(mails) if one.get("where") in (where, None)]
            line[f"auc, {where}"] = mail_auc(said[some], [mails[number] for number in some]).as_dict()
        others = ask(plain)
        for allowed, limit in thresholds(ask(quiet)).items():
            if limit is not None:
                line[f"at {allowed:.0%}"] = {
                    "recall": share(said[harm], limit).as_dict(),
                    "false, these e-mails": share(said[~harm], limit).as_dict(),
                    "false, other documents": share(others, limit).as_dict(),
                }
        yield line


def teacher(folder: Path) -> tuple[Ask, Mapping[str, float]]:
    """What the teacher said, and the CPU-seconds that it took a text."""
    said = rows(folder / "said.jsonl")
    scores, seconds = ({one["text"]: one[name] for one in said} for name in ("injection", "seconds"))
    return lambda texts: np.array([scores[text] for text in texts]), seconds


def speed(folder: Path, asks: Mapping[str, Ask], seconds: Mapping[str, float]) -> Iterator[Row]:
    """Texts a CPU-second, one at a time, on texts new to the student; the teacher's were noted when asked."""
    texts = [one["text"] for one in rows(folder / "prompts" / "test.jsonl")][::2]
    warm = [one["text"] for one in rows(folder / "prompts" / "dev.jsonl")]
    its = float(np.median([seconds[text] for text in texts]))
    yield {"system": "teacher", "texts": len(texts), "ms": its * 1000}
    for name, ask in asks.items():
        if name == "teacher":
            continue
        for text in warm:
            ask([text])
        rounds = []
        for _ in range(3):
            started = time.process_time()
            for text in texts:
                ask([text])
            rounds.append((time.process_time() - started) / len(texts))
        own = float(np.median(rounds))
        yield {"system": name, "texts": len(texts), "ms": own * 1000, "times": its / own,
               "times, rounds": [its / max(rounds), its / min(rounds)]}  # fmt: skip


def personal(path: Path) -> Iterator[Row]:
    """What is found of the synthetic personal data of Presidio: a span counts where half of it is covered."""
    look = Personal().open()
    found = json.loads(gzip.decompress(path.read_bytes()))
    hits, gold, told, right = (dict.fromkeys(KINDS, 0) for _ in range(4))
    for one in found:
        places = look(one["full_text"]).places
        spans = [
            (PRESIDIO.get(span["entity_type"]), span["start_position"], span["end_position"]) for span in one["spans"]
        ]
        for place in places:
            told[place.name] += 1
            right[place.name] += any(start < place.end and place.start < end for _, start, end in spans)
        for kind, start, end in spans:
            if kind is not None:
                covered = sum(max(0, min(end, place.end) - max(start, place.start)) for place in places)
                gold[kind] += 1
                hits[kind] += covered * 2 >= end - start
    for kind in KINDS:
        yield {"kind": kind, "recall": intervals.clopper_pearson(hits[kind], gold[kind], CONFIDENCE).as_dict(),
               "any span": intervals.clopper_pearson(right[kind], told[kind], CONFIDENCE).as_dict()}  # fmt: skip


class _Timed:
    """A student that is loaded once, for timing."""

    def __init__(self, ask: Injection) -> None:
        self._look = ask.open()

    def __call__(self, texts: Sequence[str]) -> Scores:
        """Scores, one text after the other."""
        cleared = [_reading.whole(text).without(odd.look(text).places).text for text in texts]
        return np.array([self._look(text).score for text in cleared])


def main() -> None:
    """Print what was measured, a line of JSON each, or a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", help="a run of recipes/injection.toml")
    parser.add_argument("--documents", help="a run of recipes/instructions.toml")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="where the sets are")
    parser.add_argument("--dev", action="store_true", help="measure on dev, while something is being chosen")
    parser.add_argument("--json", action="store_true")
    chosen_ = parser.parse_args()
    said, seconds = teacher(chosen_.folder) if (chosen_.folder / "said.jsonl").is_file() else (None, {})
    whole: dict[str, Ask] = {"teacher": said} if said else {}
    read: dict[str, Ask] = dict(whole)
    timed: dict[str, Ask] = {}
    if chosen_.prompts:
        whole["injection"] = read["injection"] = student(chosen_.prompts, label="injection", reads="whole")
        read["injection, sentences"] = student(chosen_.prompts, label="injection", reads="sentences")
        timed["injection"] = _Timed(Injection(bundle=chosen_.prompts, threshold=1.0))
    if chosen_.documents:
        read["instructions, whole"] = student(chosen_.documents, label="instruction", reads="whole")
        read["instructions, sentences"] = student(chosen_.documents, label="instruction", reads="sentences")
        settings = Injection(bundle=chosen_.documents, labels=("instruction",), reads="sentences", threshold=1.0)
        timed["instructions, sentences"] = _Timed(settings)
    documented = {name: ask for name, ask in read.items() if name != "teacher"}
    tables: dict[str, list[Row]] = {
        "prompts": list(prompts(chosen_.folder, whole, dev=chosen_.dev)) if whole else [],
        "e-mails": list(documents(chosen_.folder, documented, dev=chosen_.dev)),
    }
    if said:
        mails = parts(chosen_.folder, dev=chosen_.dev)["mails"]
        scores = said([one["text"] for one in mails])
        tables["e-mails"].insert(0, {"system": "teacher", "auc": mail_auc(scores, mails).as_dict()})
    if not chosen_.dev:
        tables["speed"] = list(speed(chosen_.folder, timed, seconds)) if said else []
        presidio = chosen_.shared / "data/privacy/presidio_synth_pii/synth_dataset_v2.json.gz"
        tables["personal"] = list(personal(presidio)) if presidio.is_file() else []
    if chosen_.json:
        print(json.dumps(tables))
        return
    for name, lines in tables.items():
        print(f"\n{name}")
        for line in lines:
            print(*(f"{key}: {shown(one)}" for key, one in line.items()), sep="\n  ")


def shown(value: Any) -> str:
    """A figure with its interval."""
    if not isinstance(value, dict):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    if "value" not in value:
        return "; ".join(f"{key} {shown(one)}" for key, one in value.items())
    if value["value"] is None:
        return f"not measurable ({value['reason']})"
    return f"{value['value']:.3f} ({value['low']:.3f}–{value['high']:.3f}, n {value['n']})"


if __name__ == "__main__":
    main()
