"""Who made a bundle is proved by a signature: what is altered, signed by another or not at all is never served."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

import stillroom
from stillroom import runtime
from stillroom.cli import app as commands
from stillroom.core import artifact
from stillroom.core.errors import ArtifactError, InputError, MissingExtra, OutsideError
from stillroom.runtime import signatures
from stillroom.serve import app
from stillroom.serve.shelf import Shelf
from tests.serve.conftest import serving


@pytest.fixture
def bundle(folder: Path, tmp_path: Path) -> Path:
    """A bundle, not signed."""
    found = tmp_path / "bundle"
    shutil.copytree(runtime.place(folder), found)
    return found


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Two keys, of which `trusted` holds the first."""
    lines = {name: signatures.new_key(tmp_path / f"{name}.pem") for name in ("ours", "theirs")}
    (tmp_path / "trusted").write_text(f"# Who may sign.\n\n{lines['ours']}\n", encoding="utf-8")
    return {name: tmp_path / f"{name}.pem" for name in lines} | {"trusted": tmp_path / "trusted"}


def _sign(bundle: Path, key: Path) -> str:
    return signatures.sign(runtime.open_bundle(bundle), key)


def _altered(bundle: Path) -> None:
    """Another file among its files, with a manifest that is right for it: only a signature tells."""
    (bundle / "note.txt").write_text("Another one.", encoding="utf-8")
    manifest = json.loads((bundle / artifact.MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["note.txt"] = artifact.file_sha256(bundle / "note.txt")
    facts = {name: manifest[name] for name in ("files", "facts", "stage")}
    manifest["digest"] = artifact.sha256(artifact.canonical(facts))
    artifact.write_json(bundle / artifact.MANIFEST, manifest)
    runtime.open_bundle(bundle)


def test_a_private_key_is_its_owners_alone_and_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "new" / "my key.pem"
    line = signatures.new_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    with pytest.raises(OutsideError, match="file exists"):
        signatures.new_key(file)
    assert file.read_bytes() == before
    name, key = line.split()
    assert (name, key[:8], len(base64.b64decode(key[8:]))) == ("my-key", "ed25519:", 32)
    (tmp_path / "trusted").write_text(line, encoding="utf-8")
    assert signatures.trusted(tmp_path / "trusted") == {key: "my-key"}


def test_what_is_signed_is_known_by_whose_key_it_was(bundle: Path, keys: dict[str, Path]) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    trusted = signatures.trusted(keys["trusted"])
    digest = runtime.open_bundle(bundle).digest
    assert _sign(bundle, keys["ours"]) in trusted
    assert stillroom.load(bundle, verify=True, trusted=trusted).digest == digest, "a signature stands beside it"
    told = json.loads((bundle / signatures.FILE).read_text(encoding="utf-8"))
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(told["key"].removeprefix("ed25519:")))
    public.verify(base64.b64decode(told["signature"]), (bundle / artifact.MANIFEST).read_bytes())
    assert _sign(bundle, keys["theirs"]) not in trusted
    stillroom.load(bundle, verify=True)
    with pytest.raises(ArtifactError, match="by another key"):
        stillroom.load(bundle, trusted=trusted)


def test_without_a_signature_only_who_trusts_nobody_in_particular_takes_it(bundle: Path, keys: dict[str, Path]) -> None:
    stillroom.load(bundle, verify=True)
    with pytest.raises(ArtifactError, match="no signature"):
        stillroom.load(bundle, trusted=signatures.trusted(keys["trusted"]))
    with pytest.raises(ArtifactError, match="no signature"):
        stillroom.load(bundle, trusted=())


@pytest.mark.parametrize("trusting", [True, False])
def test_what_was_altered_after_it_was_signed_is_refused(trusting: bool, bundle: Path, keys: dict[str, Path]) -> None:
    trusted = signatures.trusted(keys["trusted"]) if trusting else None
    _sign(bundle, keys["ours"])
    _altered(bundle)
    with pytest.raises(ArtifactError, match="of something else"):
        stillroom.load(bundle, verify=True, trusted=trusted)
    told = CliRunner().invoke(commands, ["predict", str(bundle), "--verify", "a text"])
    assert isinstance(told.exception, ArtifactError)
    _sign(bundle, keys["ours"])
    stillroom.load(bundle, verify=True, trusted=trusted)


def test_a_trusted_name_on_another_signature_helps_nobody(bundle: Path, keys: dict[str, Path]) -> None:
    ours = _sign(bundle, keys["ours"])
    _sign(bundle, keys["theirs"])
    file = bundle / signatures.FILE
    artifact.write_json(file, {**json.loads(file.read_text(encoding="utf-8")), "key": ours})
    with pytest.raises(ArtifactError, match="of something else"):
        stillroom.load(bundle, trusted=[ours])


@pytest.mark.parametrize(
    "told",
    [
        "", "[]", "{}", '{"key": "ed25519:", "signature": ""}', '{"key": 3, "signature": 4}',
        json.dumps({"key": "ed25519:" + "A" * 43 + "=", "signature": "A" * 86}),
        json.dumps({"key": "rsa:" + "A" * 43 + "=", "signature": "A" * 86 + "=="}),
    ],
)  # fmt: skip
def test_what_is_no_signature_is_refused(told: str, bundle: Path) -> None:
    (bundle / signatures.FILE).write_text(told, encoding="utf-8")
    with pytest.raises(ArtifactError, match="no signature that can be read"):
        stillroom.load(bundle, verify=True)
    stillroom.load(bundle)


def test_who_can_not_check_a_signature_is_told_and_does_not_pass_it_over(
    bundle: Path, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _sign(bundle, keys["ours"])
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtra, match=r"stillroom\[serve\]"):
        stillroom.load(bundle, verify=True)
    stillroom.load(bundle)


@pytest.mark.parametrize("told", [b"", b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n", None])
def test_what_is_no_private_key_is_refused_and_not_repeated(told: bytes | None, bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    if told is not None:
        file.write_bytes(told)
    with pytest.raises(InputError, match="no private key") as caught:
        _sign(bundle, file)
    assert "secret" not in str(caught.value)
    assert not (bundle / signatures.FILE).exists()


def test_a_key_of_another_kind_or_with_a_password_signs_nothing(bundle: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    kinds: list[tuple[Any, Any]] = [
        (ec.generate_private_key(ec.SECP256R1()), serialization.NoEncryption()),
        (ed25519.Ed25519PrivateKey.generate(), serialization.BestAvailableEncryption(b"password")),
    ]
    for key, locked in kinds:
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
        (tmp_path / "key.pem").write_bytes(pem)
        with pytest.raises(InputError, match="without a password"):
            _sign(bundle, tmp_path / "key.pem")


def test_every_line_that_is_no_key_is_told(tmp_path: Path) -> None:
    file = tmp_path / "trusted"
    file.write_text("a b c\n\n# well\nme ed25519:AAAA\nme rsa:AAAA\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        signatures.trusted(file)
    assert [one.where.rpartition(" ")[2] for one in caught.value.problems] == ["1", "4", "5"]
    file.write_text("# nobody\n", encoding="utf-8")
    with pytest.raises(InputError, match="no key"):
        signatures.trusted(file)
    with pytest.raises(InputError, match="no file of keys"):
        app.make(serving(tmp_path, trust=tmp_path / "nowhere"))


def test_the_command_makes_a_key_and_signs_a_run(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(folder.parent.parent, work)
    run = work / "runs" / folder.name
    line = CliRunner().invoke(commands, ["sign", "--new-key", str(tmp_path / "me.pem")]).stdout.strip()
    told = CliRunner().invoke(commands, ["sign", str(run), "--key", str(tmp_path / "me.pem"), "--json"])
    assert json.loads(told.stdout)["key"] == line.split()[1]
    assert (runtime.place(run) / signatures.FILE).is_file()
    stillroom.load(run, trusted=[line.split()[1]])
    assert CliRunner().invoke(commands, ["sign", str(run), "--key", str(tmp_path / "me.pem")]).exit_code == 0
    for wrong in ([str(run)], ["--key", "a"], [], [str(run), "--key", "a", "--new-key", "b"]):
        assert CliRunner().invoke(commands, ["sign", *wrong]).exit_code == 2


def test_a_server_is_ready_only_with_what_is_signed(bundle: Path, keys: dict[str, Path]) -> None:
    settings = serving(bundle, trust=keys["trusted"])
    for sign in (lambda: None, lambda: _sign(bundle, keys["theirs"])):
        sign()
        with pytest.raises(ArtifactError), TestClient(app.make(settings)):
            pass
    _sign(bundle, keys["ours"])
    with TestClient(app.make(settings)) as client:
        assert client.get("/ready").status_code == 200
        assert client.post("/predict", json={"text": "a"}).status_code == 200
    _altered(bundle)
    for trust in (keys["trusted"], None):
        with pytest.raises(ArtifactError), TestClient(app.make(serving(bundle, trust=trust))):
            pass


def test_it_ends_with_the_code_of_a_bad_artifact(bundle: Path, keys: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "stillroom.cli", "serve", str(bundle), "--port", "0", "--trust"]
    ended = subprocess.run([*command, str(keys["trusted"])], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 3
    assert "no signature" in ended.stderr
    ended = subprocess.run([*command, str(bundle / "nowhere")], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2


def test_a_student_that_changes_is_changed_once_it_is_signed(
    folder: Path, tmp_path: Path, keys: dict[str, Path]
) -> None:
    work = tmp_path / "work"
    shutil.copytree(folder.parent.parent, work)
    run = work / "runs" / folder.name
    first = runtime.place(run)
    second = first.with_name("second")
    shutil.copytree(first, second)
    _altered(second)
    _sign(first, keys["ours"])

    async def change() -> None:
        shelf = Shelf(serving(run, trust=keys["trusted"]))
        await shelf.open()
        before = shelf.find("toy").version
        told = json.loads((run / runtime.RUN).read_text(encoding="utf-8"))
        told["stages"]["export"] |= {"key": "second"}
        artifact.write_json(run / runtime.RUN, told)
        for sign in (lambda: None, lambda: _sign(second, keys["theirs"])):
            sign()
            await shelf.renew()
            assert shelf.find("toy").version == before
            assert list(shelf.troubles) == ["toy"]
        _sign(second, keys["ours"])
        await shelf.renew()
        assert shelf.find("toy").version == runtime.open_bundle(second).digest.removeprefix("sha256:")[:12] != before
        assert not shelf.troubles
        await shelf.close()

    asyncio.run(change())
