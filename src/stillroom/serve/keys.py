"""Who may ask: API keys, of which only hashes are kept, with what each is good for and until when."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import final

from stillroom.core.errors import InputError, Problem

VARIABLE = "STILLROOM_KEYS"
#: What a key may be good for: to ask students; to read the metrics.
SCOPES = ("predict", "metrics")
_START = "srk_"  # so that a key that leaks is found by those who look for such things
_LOOK_SECONDS = 1.0


@final
@dataclass(frozen=True)
class Key:
    """A key that is known."""

    name: str
    scopes: frozenset[str]
    digest: bytes
    """SHA-256 of it. A key is 256 bits of chance: nobody finds it by trying, so that no slow hash is needed."""
    until: date | None = None
    """The last day on which it is good."""

    def line(self) -> str:
        """As it stands in a file."""
        until = f" until={self.until.isoformat()}" if self.until else ""
        return f"{self.name} {','.join(sorted(self.scopes))} sha256:{self.digest.hex()}{until}"


def make(name: str, *, scopes: Iterable[str] = ("predict",), days: int | None = None) -> tuple[str, Key]:
    """A new key, to be shown once, and what is kept of it.

    Raises:
        InputError: a name with white space in it, or a scope that there is not.
    """
    wanted = frozenset(scopes)
    if not name or name != "".join(name.split()) or name.startswith("#"):
        raise InputError(Problem("name", f"`{name}`", "a word", "Name it by who will use it, without spaces."))
    if not wanted or not wanted <= set(SCOPES):
        found = ", ".join(sorted(wanted - set(SCOPES))) or "none"
        raise InputError(Problem("scope", found, f"some of {', '.join(SCOPES)}", "Correct it."))
    secret = _START + secrets.token_urlsafe(32)
    until = datetime.now(UTC).date() + timedelta(days=days) if days is not None else None
    return secret, Key(name, wanted, _digest(secret), until)


def read(text: str, *, where: str) -> tuple[Key, ...]:
    """The keys of a file: a line each, `NAME SCOPES sha256:HEX [until=DATE]`; empty lines and those with `#` aside.

    Raises:
        InputError: lines that are none, all of them at once. No line is repeated in the message.
    """
    keys, problems = [], []
    for number, line in enumerate(text.replace(";", "\n").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            keys.append(_key(words))
        except ValueError as error:
            expected = f"`NAME SCOPES sha256:HEX [until=DATE]`, scopes of {', '.join(SCOPES)}"
            problems.append(Problem(f"{where}, line {number}", str(error), expected, "Write it with `stillroom keys`."))
    if problems:
        raise InputError(*problems)
    return tuple(keys)


def _key(words: list[str]) -> Key:
    if len(words) not in (3, 4) or not words[2].startswith("sha256:"):
        raise ValueError(f"{len(words)} words that are no key's line")
    scopes = frozenset(words[1].split(","))
    if not scopes <= set(SCOPES):
        raise ValueError("a scope that there is not")
    try:
        digest = bytes.fromhex(words[2].removeprefix("sha256:"))
        until = date.fromisoformat(words[3].removeprefix("until=")) if len(words) == 4 else None
    except ValueError:
        raise ValueError("a hash or a date that can't be read") from None
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError("a hash of another length")
    return Key(words[0], scopes, digest, until)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


@final
class Ring:
    """The keys that are good now. A file that changes is read again, so that keys come and go while it serves."""

    def __init__(self, file: Path | None, *, environment: Mapping[str, str] = os.environ) -> None:
        """Raises InputError where a file or the variable can't be read, or holds no key."""
        self._file = file
        self._own = read(environment.get(VARIABLE, ""), where=VARIABLE)
        self._stamp: tuple[int, int] | None = None
        self._looked = 0.0
        self._keys = self._own
        if file is not None:
            self._reread(file)
        self.locked = file is not None or bool(self._own)
        """Whether a key is needed."""
        if self.locked and not self._keys:
            found, todo = "no key", "Make one: stillroom keys --name somebody"
            raise InputError(Problem(str(file), found, "a key at least", todo))

    def who(self, secret: str | None, *, scope: str) -> Key | None:
        """Whose key this is, where it is good for that; None: it is not. Every known key is compared, in equal time."""
        self._look()
        digest = _digest(secret or "")
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None or secret is None or scope not in found.scopes:
            return None
        return None if found.until and datetime.now(UTC).date() > found.until else found

    def _look(self) -> None:
        now = time.monotonic()
        if self._file is not None and now - self._looked > _LOOK_SECONDS:
            try:
                self._reread(self._file)
            except InputError:  # a file half written, or gone for a moment: the keys stay those that they were
                self._looked = now

    def _reread(self, file: Path) -> None:
        self._looked = time.monotonic()
        try:
            told = file.stat()
            stamp = told.st_mtime_ns, told.st_size
            if stamp == self._stamp:
                return
            found = read(file.read_text(encoding="utf-8"), where=str(file))
        except (OSError, UnicodeDecodeError) as error:
            todo = "Make one: stillroom keys --name somebody >> FILE"
            raise InputError(Problem(str(file), "no file of keys that can be read", "one", todo)) from error
        self._stamp, self._keys = stamp, (*found, *self._own)
