"""Evidence of a whole run, made up, with every part that a document can tell of."""

from __future__ import annotations

from typing import Any

from stillroom.core import artifact

STAGES = ("corpus", "teacher", "transfer", "train", "export", "evaluate", "audit", "cost", "gates")


def interval(value: float, half: float, n: int = 2132) -> dict[str, Any]:
    return {"value": value, "low": round(value - half, 6), "high": round(value + half, 6), "n": n}


def figures(accuracy: float, macro: float, ece: float, nll: float) -> dict[str, Any]:
    return {
        "accuracy": interval(accuracy, 0.016),
        "macro_f1": interval(macro, 0.017),
        "ece": interval(ece, 0.008),
        "nll": interval(nll, 0.03),
    }


def piece(family: str, name: str, n: int, kept: float, half: float) -> dict[str, Any]:
    return {
        "family": family,
        "name": name,
        "n": n,
        "state": "measured",
        "reason": "",
        "teacher": interval(0.857, half, n),
        "student": interval(round(0.857 * kept, 4), half, n),
        "retention": interval(kept, half, n),
        "negative_flips": {**interval(round((1 - kept) + 0.03, 4), 0.01, n), "count": round(n * (1.03 - kept))},
    }


def unmeasured(family: str, name: str, n: int) -> dict[str, Any]:
    reason = f"{n} rows; 100 are needed"
    nothing = {"value": None, "low": None, "high": None, "n": n, "reason": reason}
    told = {"family": family, "name": name, "n": n, "state": "not measurable", "reason": reason}
    return {**told, "teacher": nothing, "student": nothing, "retention": nothing, "negative_flips": None}


def bins(sharpness: float) -> list[dict[str, Any]]:
    found = []
    for number in range(15):
        low, high = round(number / 15, 6), round((number + 1) / 15, 6)
        if high <= 0.5:
            found.append({"low": low, "high": high, "n": 0, "confidence": None, "accuracy": None})
            continue
        middle = (max(low, 0.5) + high) / 2
        n = round(60 + 1500 * max(0.0, middle - 0.5) ** (2 * sharpness))
        right = middle - 0.05 * (sharpness - 0.9) * (middle - 0.4) * 10
        found.append({"low": low, "high": high, "n": n, "confidence": round(middle, 5), "accuracy": round(right, 5)})
    return found


def slices() -> list[dict[str, Any]]:
    return [
        piece("class", "negative", 1066, 0.949, 0.019),
        piece("class", "positive", 1066, 0.955, 0.018),
        *(piece("length", f"{place} of 5: {told}", 426, kept, 0.026) for place, told, kept in LENGTHS),
        piece("domain", "movies", 2132, 0.952, 0.013),
        piece("domain", "products", 1610, 0.931, 0.021),
        piece("domain", "tweets", 1840, 0.962, 0.019),
        unmeasured("domain", "editorials", 61),
        *(piece("teacher_confidence", f"{place} of 5: {told}", 427, kept, 0.04) for place, told, kept in SURE),
    ]


LENGTHS = ((1, "4–62", 0.971), (2, "63–95", 0.955), (3, "96–123", 0.951), (4, "124–156", 0.944), (5, "157–267", 0.938))
SURE = ((1, "0.500–0.871", 0.892), (2, "0.872–0.968", 0.921), (3, "0.969–0.990", 0.957), (4, "0.991–0.996", 0.989))


def forgotten_slice(
    family: str, name: str, n: int, rate: float, lift: float, q: float, *, more: bool
) -> dict[str, Any]:
    told = {**interval(rate, 0.02, n), "count": round(rate * n)}
    return {"family": family, "name": name, "n": n, "rate": told, "lift": interval(lift, 0.4, n), "q": q, "more": more}


def full() -> dict[str, Any]:
    """A whole summary. Every figure in it is made up: it shows what a report looks like, and nothing else."""
    cost = {"parameters": 22_713_984, "flops_per_text": 1.24e9, "resident_mb": 612.4, "disk_mb": 91.7}
    small = {"parameters": 7_883_522, "flops_per_text": 20_480, "resident_mb": 96.3, "disk_mb": 15.9}
    return {
        "name": "fixture-reviews",
        "task": "classification",
        "hub_task": "text-classification",
        "seed": 7,
        "recipe_digest": artifact.sha256(b"recipe"),
        "stillroom": "0.1.0",
        "created": "2026-01-05T10:00:00+00:00",
        "labels": ["negative", "positive"],
        "confidence": 0.95,
        "rows": {"test": 2132, "outside": 3511},
        "teacher": {
            "identity": {
                "name": "fixture encoder, fine-tuned",
                "weights": artifact.sha256(b"weights"),
                "tokenizer": artifact.sha256(b"tokenizer"),
                "labels": ["negative", "positive"],
                "licence": "Apache-2.0",
            },
            "scores": figures(0.857, 0.856, 0.041, 0.352),
            "cost": {
                **cost,
                "texts_per_second": 118.2,
                "latency_ms": {"p50": 9.1, "p95": 14.8, "p99": None, "n": 60},
                "price_per_million_texts": 0.094,
            },
        },
        "student": {
            "kind": "static",
            "runner": "static",
            "scores": {**figures(0.816, 0.815, 0.022, 0.421), "agreement": interval(0.893, 0.013)},
            "cost": {
                **small,
                "texts_per_second": 36_900.0,
                "latency_ms": {"p50": 0.041, "p95": 0.068, "p99": 0.094, "n": 1000},
                "price_per_million_texts": 0.000301,
            },
            "calibration": {"temperature": 1.37, "rows": 544, "nll_before": 0.46, "nll_after": 0.43},
            "variants": [
                {
                    "format": "static",
                    "kept": True,
                    "reason": "passed its checks",
                    "checks": {"largest_difference": 0.0042, "metric_loss": 0.0, "speed": 4.1},
                },
                {
                    "format": "onnx_int8",
                    "kept": False,
                    "reason": "no quicker than what it came from (0.8×)",
                    "checks": {"largest_difference": 0.13, "metric_loss": 0.004, "speed": 0.8},
                },
                {"format": "onnx", "kept": True, "reason": "passed its checks"},
            ],
            "checks": {
                "static": {"largest_difference": 0.0042, "metric_loss": 0.0, "speed": 4.1, "texts_per_second": 41_000},
                "onnx": {"largest_difference": 0.0, "metric_loss": 0.002, "speed": 1.2, "texts_per_second": 10_250},
            },
            "checked_by": "accuracy",
        },
        "undistilled": {"scores": {**figures(0.789, 0.789, 0.087, 0.502), "agreement": interval(0.851, 0.015)}},
        "baseline": {
            "name": "TF-IDF with logistic regression",
            "scores": {**figures(0.771, 0.771, 0.035, 0.486), "agreement": interval(0.822, 0.016)},
        },
        "retention": {"accuracy": interval(0.952, 0.013), "macro_f1": interval(0.9518, 0.0131)},
        "difference": {
            "student_minus_teacher": {"accuracy": interval(-0.041, 0.012), "nll": interval(0.069, 0.021)},
            "student_minus_undistilled": {"accuracy": interval(0.027, 0.013), "nll": interval(-0.081, 0.026)},
            "student_minus_baseline": {"accuracy": interval(0.045, 0.015), "nll": interval(-0.065, 0.024)},
        },
        "agreement": interval(0.893, 0.013),
        "negative_flips": {**interval(0.074, 0.011), "count": 158},
        "positive_flips": {**interval(0.033, 0.008), "count": 70},
        "mcnemar": {
            "teacher": {"b": 158, "c": 70, "p": 5.6e-9, "p_holm": 1.1e-8},
            "undistilled": {"b": 141, "c": 199, "p": 0.0020, "p_holm": 0.0020},
            "baseline": {"b": 155, "c": 251, "p": 2.1e-6, "p_holm": 4.2e-6},
        },
        "speedup": {"value": 312.2, "low": 301.4, "high": 319.9, "n": 5},
        "break_even_texts": 1_840_000.0,
        "price": {"per_vcpu_hour": 0.04, "currency": "USD", "utilisation": 1.0},
        "hidden": {"seconds": {"teacher": 131.0, "transfer": 41.7, "train": 9.4}, "cores": 2, "spend": 0.00114},
        "slices": slices(),
        "worst_slice": {
            "family": "teacher_confidence",
            "name": "1 of 5: 0.500–0.871",
            "n": 427,
            "retention": interval(0.892, 0.044, 5643),
        },
        "divergence": {
            **{
                kind: {
                    **{
                        name: interval(0.08 * place, 0.004)
                        for place, name in enumerate(("mean", "p50", "p95", "p99"), 1)
                    },
                    "max": {"value": 2.75, "n": 2132},
                }
                for kind in ("forward_kl", "reverse_kl", "jensen_shannon")
            },
            "churn": interval(0.107, 0.013),
            "wrong_flips": interval(0.012, 0.005),
        },
        "risk_coverage": {
            "teacher": [{"coverage": 0.5, "risk": 0.02}, {"coverage": 1.0, "risk": 0.143}],
            "student": [{"coverage": 0.5, "risk": 0.04}, {"coverage": 1.0, "risk": 0.184}],
        },
        "flipped": [
            {
                "id": "0a1b2c",
                "text": "xx xxx xxxxx xx xxx xxxx",
                "teacher": "neg",
                "teacher_confidence": 0.97,
                "student": "pos",
                "student_confidence": 0.88,
            }
        ],
        "discovered": {
            "halves": [1066, 1066],
            "confirmed": {"value": 1, "n": 1066},
            "slices": [
                {
                    "rule": "negation ≥ 1 and length ≥ 81",
                    "n": 143,
                    "negative_flips": interval(0.189, 0.06, 143),
                    "elsewhere": 0.061,
                    "lift": 3.1,
                    "p_holm": 0.00021,
                    "confirmed": True,
                },
                {
                    "rule": "year is 2001",
                    "n": 88,
                    "negative_flips": interval(0.102, 0.06, 88),
                    "elsewhere": 0.073,
                    "lift": 1.4,
                    "p_holm": 0.31,
                    "confirmed": False,
                },
            ],
        },
        "forgotten": {
            "called": "forgotten",
            "seeds": 3,
            "teachers": 1,
            "rate": {**interval(0.094, 0.012), "count": 200},
            "null": {**interval(0.047, 0.008), "each": [0.045, 0.049, 0.047]},
            "excess": interval(0.046, 0.009),
            "sure": interval(0.31, 0.07, 200),
            "learned": {**interval(0.061, 0.004, 19_190), "count": 1171, "listed": 2210},
            "spread": {
                **interval(0.0041, 0.002, 3),
                "metric": "accuracy",
                "lowest": 0.811,
                "highest": 0.819,
                "of_rows": 0.0083,
            },
            "slices": [
                forgotten_slice("negation", "2 or more", 143, 0.21, 2.5, 0.00004, more=True),
                forgotten_slice("class", "positive", 1066, 0.098, 1.1, 0.42, more=False),
                {
                    **forgotten_slice("domain", "editorials", 61, 0.1, 1.0, 1.0, more=False),
                    "q": None,
                    "lift": {"value": None, "low": None, "high": None, "n": 61, "reason": "61 rows; 100 are needed"},
                },
            ],
            "top": [
                {
                    "id": artifact.text_id("one")[:32],
                    "strength": 1.0,
                    "teacher": "positive",
                    "students": "negative",
                    "confidence": 0.993,
                    "sure": True,
                },
                {
                    "id": artifact.text_id("two")[:32],
                    "strength": 0.6666667,
                    "teacher": "negative",
                    "students": "positive",
                    "confidence": 0.61,
                    "sure": False,
                },
            ],
        },
        "ceiling": {
            "student_student": interval(0.947, 0.007),
            "teacher_teacher": {"value": None, "low": None, "high": None, "n": 2132, "reason": "one teacher"},
        },
        "contamination": contamination(),
        "reliability": {"teacher": bins(1.15), "student": bins(1.0)},
        "verdict": {
            "sentence": "The teacher helps: accuracy 0.816 with the teacher’s words, 0.789 without them.",
            "worth": "helps",
            "difference": interval(0.027, 0.013),
        },
        "gates": gates(),
        "corpus": {
            "rows": {"train": 7986, "dev": 544, "test": 2132, "unlabelled": 11_204, "outside": 3511},
            "labels": {
                "train": {"negative": 3993, "positive": 3993},
                "dev": {"negative": 272, "positive": 272},
                "test": {"negative": 1066, "positive": 1066},
            },
            "notes": ["These figures are made up for a test."],
            "duplicates": {"exact": {"train": 12, "unlabelled": 204}, "near, dropped from train": 9},
            "rights": {
                "source": "A fixture",
                "licence": "MIT",
                "retrieved": "2026-01-04",
                "basis": "the licence",
                "gaps": ["who wrote the unlabelled text is not recorded"],
            },
        },
        "transfer": {
            "precision": {"precision": "bf16", "reason": "probabilities differ by at most 0.0121"},
            "texts": 19_734,
            "seconds": 41.7,
            "texts_per_second": 473.2,
            "tokens": 561_204,
        },
        "machine": {"cpu": "A fixture’s processor", "cores": 2, "flags": ["avx512f", "avx512_bf16"]},
        "notes": ["Teacher: it does not beat frozen embeddings with logistic regression."],
        "stages": {
            stage: {
                "key": artifact.sha256(f"key of {stage}".encode())[:24],
                "digest": artifact.sha256(stage.encode()),
                "seconds": 3.2 * place,
                "reused": stage in ("corpus", "teacher"),
            }
            for place, stage in enumerate(STAGES, start=1)
        },
    }


def contamination() -> dict[str, Any]:
    """Some test rows that were seen before, with a teacher of whom nobody knows."""
    figures = {"teacher": interval(0.857, 0.02, 2075), "student": interval(0.811, 0.02, 2075)}
    unknown = {"value": None, "low": None, "high": None, "n": 57, "reason": "57 rows; 100 are needed"}
    return {
        "test_rows_shared": {"value": 57, "n": 2132},
        "dev_rows_shared": {"value": 0, "n": 544},
        "teacher_rows_shared": {"value": None, "n": 2132, "reason": "what the teacher was trained on is not known"},
        "sides": [{"side": "train", "rows": 7986, "short": 901}, {"side": "test", "rows": 2132, "short": 311}],
        "pairs": [
            {"of": "dev", "with": "train", "rows": 544, "others": 7986, "exact": 0, "grams": 0, "near": 0, "any": 0},
            {"of": "test", "with": "transfer", "rows": 2132, "others": 11_748, "exact": 3, "grams": 52, "near": 8,
             "any": 57},
        ],
        "by_design": [{"of": "transfer", "with": "train", "why": "made of these rows"}],
        "scores": {
            "metric": "accuracy",
            "all": {"teacher": interval(0.857, 0.016), "student": interval(0.816, 0.016),
                    "retention": interval(0.952, 0.013)},
            "clean": {**figures, "retention": interval(0.946, 0.014, 2075)},
            "contaminated": dict.fromkeys(("teacher", "student", "retention"), unknown),
        },
        "flagged": [{"id": "ab" * 16, "of": "test", "with": "transfer", "other": "cd" * 16, "method": "grams"}],
        "sentences": ["57 of 2,132 test rows share their text.", "What the teacher was trained on is not known."],
    }  # fmt: skip


def gates() -> list[dict[str, Any]]:
    def gate(measure: str, state: str, sense: str, limit: float, *found: float | None) -> dict[str, Any]:
        value, low, high = found
        told = {"measure": measure, "state": state, "sense": sense, "limit": limit}
        return {**told, "value": value, "low": low, "high": high, "reason": f"why it is {state}", "advice": ""}

    return [
        gate("retention.accuracy", "pass", "at_least", 0.92, 0.952, 0.939, 0.965),
        gate("speedup", "pass", "at_least", 150.0, 312.2, 301.4, 319.9),
        {
            **gate("worst_slice.retention", "inconclusive", "at_least", 0.88, 0.892, 0.848, 0.936),
            "advice": "About 5,330 more rows would settle it; it would then pass.",
        },
        gate("student.cost.resident_mb", "fail", "at_most", 90.0, 96.3, None, None),
        gate("student.scores.recall", "not measurable", "at_least", 0.9, None, None, None),
    ]


def log() -> list[dict[str, Any]]:
    rows = []
    for epoch in range(1, 13):
        kl, hard = 0.08 + 0.55 / epoch, 0.03 + 0.07 / epoch
        dev = {
            "accuracy": round(0.815 - 0.12 / epoch**1.4 - 0.0004 * epoch, 5),
            "loss": 0.14 + 0.5 / epoch + 0.002 * epoch,
            "rows": 544.0,
        }
        terms = {"forward_kl": kl, "hard_label": hard}
        loss = kl + hard
        rows.append(
            {"epoch": epoch, "step": 250 * epoch, "loss": loss, "terms": terms, "dev": dev, "learning_rate": 1e-3}
        )
    return rows


def made_up() -> dict[str, Any]:
    """A run that learned from made texts."""
    less = {"made": interval(0.93, 0.01), "real": interval(0.81, 0.02), "real_minus_made": interval(-0.12, 0.024)}
    told = {
        "told_apart": interval(0.983, 0.009),
        "agreement": less,
        "confidence": less,
        "sentence": "Far <b>apart</b>.",
    }
    summary = {**full(), "gap": told}
    summary["corpus"] = {
        **summary["corpus"],
        "rights": {**summary["corpus"]["rights"], "real": {"source": "Real ones"}},
    }
    return summary
