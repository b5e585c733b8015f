"""Who made a bundle: an Ed25519 signature of its manifest, which holds the hash of every file, beside the manifest."""

from __future__ import annotations

import base64
import binascii
import contextlib
import importlib.util
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillroom.core import artifact
from stillroom.core.artifact import Artifact
from stillroom.core.errors import ArtifactError, InputError, OutsideError, Problem, missing_extra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = "manifest.sig"
_START = "ed25519:"
_KEY, _SIGNATURE = 32, 64  # bytes


def new_key(file: Path) -> str:
    """Write a new private key, which only its owner may read, and give the line of its public key for `trusted`.

    Raises:
        OutsideError: there is a file already, or none can be written.
    """
    _see_library(file)
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    artifact.make_folder(file.parent)
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
            written.write(pem)
    except OSError as error:
        todo = "Choose another name: a key that is lost can't be made again."
        raise OutsideError(
            Problem(str(file), str(error.strerror).lower(), "a file that is not there yet", todo)
        ) from error
    return f"{'-'.join(file.stem.split()).lstrip('#') or 'key'} {_public(key)}"


def sign(bundle: Artifact, file: Path) -> str:
    """Sign a bundle by the private key in a file; what was signed before is signed anew. Its public key.

    Raises:
        InputError: no private key that can be read.
        OutsideError: the bundle's folder can't be written to.
    """
    key = _private(file)
    told = {"key": _public(key), "signature": _encoded(key.sign(_manifest(bundle)))}
    artifact.write_json(bundle.folder / FILE, told)
    return told["key"]


def check(bundle: Artifact, *, trusted: Collection[str] | None = None) -> None:
    """See that a bundle is signed by one of the trusted keys; without such keys, that a signature it has is its own.

    Raises:
        ArtifactError: it is not.
        MissingExtra: there is a signature, and nothing here that could check it.
    """
    path = bundle.folder / FILE
    if not path.is_file():
        if trusted is not None:
            expected = "one by a key that is trusted"
            raise ArtifactError(Problem(str(path), "no signature", expected, "Sign it: stillroom sign RUN --key FILE."))
        return
    key, signature = _read(path)
    if trusted is not None and _START + _encoded(key) not in trusted:
        todo = "Have it signed by somebody who is trusted, or trust this one too."
        raise ArtifactError(Problem(str(path), "a signature by another key", "one by a key that is trusted", todo))
    _see_library(path)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _manifest(bundle))
    except (InvalidSignature, ValueError) as error:
        todo = "Don't use it: it is not what was signed. Get it again from who made it."
        raise ArtifactError(
            Problem(str(path), "a signature of something else", "one of this manifest", todo)
        ) from error


def trusted(file: Path) -> dict[str, str]:
    """The public keys in a file, a line each, `NAME ed25519:BASE64`, and whose each is; lines with `#` aside.

    Raises:
        InputError: lines that are none, all of them at once; or no key at all.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        todo = "Make one: stillroom sign --new-key FILE >> TRUSTED"
        raise InputError(Problem(str(file), "no file of keys that can be read", "one", todo)) from error
    found, problems = {}, []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) == 2 and words[1].startswith(_START) and len(_decoded(words[1].removeprefix(_START))) == _KEY:
            found[words[1]] = words[0]
        else:
            todo = "Write it with `stillroom sign --new-key`."
            problems.append(Problem(f"{file}, line {number}", "no public key", "`NAME ed25519:BASE64`", todo))
    if not found and not problems:
        problems.append(Problem(str(file), "no key", "one at least", "Make one: stillroom sign --new-key FILE"))
    if problems:
        raise InputError(*problems)
    return found


def _manifest(bundle: Artifact) -> bytes:
    """The manifest as it is written, where that is still the one by which the bundle's files were checked."""
    path = bundle.folder / artifact.MANIFEST
    try:
        told = path.read_bytes()
        same = json.loads(told) == bundle.manifest
    except (OSError, ValueError):
        same = False
    if not same:
        raise ArtifactError(Problem(str(path), "another manifest than a moment ago", "the same", "Load it again."))
    return told


def _read(path: Path) -> tuple[bytes, bytes]:
    """A public key and what it signed."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        key, signature = _decoded(told["key"].removeprefix(_START)), _decoded(told["signature"])
        fine = told["key"].startswith(_START) and (len(key), len(signature)) == (_KEY, _SIGNATURE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        fine = False
    if not fine:
        todo = "Have it signed again."
        raise ArtifactError(Problem(str(path), "no signature that can be read", "one of `stillroom sign`", todo))
    return key, signature


def _private(file: Path) -> Ed25519PrivateKey:
    _see_library(file)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    found: Any = None
    with contextlib.suppress(OSError, ValueError, TypeError, UnsupportedAlgorithm):  # whose words might hold some of it
        found = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(found, Ed25519PrivateKey):
        expected = "an Ed25519 key in PEM, without a password"
        todo = "Make one: stillroom sign --new-key FILE"
        raise InputError(Problem(str(file), "no private key that can be read", expected, todo))
    return found


def _public(key: Ed25519PrivateKey) -> str:
    return _START + _encoded(key.public_key().public_bytes_raw())


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str) -> bytes:
    """What stands in base64; nothing where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _see_library(needed_by: Path) -> None:
    """Say what to install where there is nothing to sign with."""
    if importlib.util.find_spec("cryptography") is None:
        raise missing_extra("serve", package="cryptography", needed_by=str(needed_by))
