"""What a server is told: which students, where it listens, what it lets in and how long an answer may take."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from pydantic import Field, field_validator, model_validator

from stillroom.core import plugins
from stillroom.core.errors import InputError, Problem
from stillroom.core.plugins import Settings
from stillroom.serve.escalation import Behind
from stillroom.serve.guard import Guard

_NO_QUOTA = 1 << 16


@final
class Model(Settings):
    """A student that is served."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """What requests call it."""
    path: Path
    """A bundle, or the folder of a run; what a run points to is loaded anew when it changes."""
    runner: str | None = None
    """One of the bundle's runners; none: its default."""
    behind: Behind | None = None
    """Who is asked where it is not sure enough; its bundle has to carry a certificate (`stillroom cascade`)."""


@final
class Limits(Settings):
    """What is let in."""

    body_mb: float = Field(8.0, gt=0)
    """Of a request."""
    texts: int = Field(1024, ge=1)
    """Of a request."""
    characters: int = Field(1_000_000, ge=1)
    """Of a text."""
    connections: int = Field(1024, ge=1)
    """Open at a time, in each worker."""
    header_seconds: float = Field(10.0, gt=0)
    """Within which a request's head has to be there: who sends it letter by letter is cut off."""
    body_seconds: float = Field(30.0, gt=0)
    """Within which the rest has to be there."""
    rate: str | None = None
    """Requests of one key, or of one address where there are no keys, such as "600/minute"; none: no limit."""


@final
class Serving(Settings):
    """What a server is told."""

    models: tuple[Model, ...] = Field(min_length=1)
    """The students; one that is named twice is served in several versions, of which the last is meant by the name."""
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    workers: int = Field(1, ge=1)
    """Processes behind the one port."""
    deadline_ms: float = Field(2000.0, gt=0)
    """Within which a request is answered that names none; what can't be is refused at once."""
    drain_seconds: float = Field(0.0, ge=0)
    """How long it serves on, no longer ready, after it was told to stop: so long a balancer needs to notice."""
    finish_seconds: float = Field(30.0, gt=0)
    """How long it then works on what it has taken."""
    limits: Limits = Limits()
    keys: Path | None = None
    """A file of API keys' hashes, written by `stillroom keys`; also `STILLROOM_KEYS`. None: whoever reaches it asks."""
    trust: Path | None = None
    """A file of public keys, of `stillroom sign --new-key`: only students that one of them has signed are served. None:
    whoever made them."""
    guard: dict[str, Guard] = Field(default_factory=dict, repr=False)
    """What is looked for in texts, by the address that they come to, such as "/predict"; "*": at all others."""
    origins: tuple[str, ...] = ()
    """Web pages of other addresses that may ask, such as "https://example.org"; none."""
    certificate: Path | None = None
    private_key: Path | None = None
    """For TLS."""
    log: str = Field("troubles", pattern="^(troubles|all)$")
    """What is told of requests on stderr: those that went wrong, or all. Never a text: its hash and its length."""
    watch_seconds: float = Field(2.0, ge=0)
    """How often it looks whether a student has changed; 0: never."""

    @field_validator("models", mode="before")
    @classmethod
    def _some(cls, value: Any) -> Any:
        return [_named(one) if isinstance(one, str) else one for one in value] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _both(self) -> Serving:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("`certificate` and `private_key` together, or neither")
        return self

    @property
    def cores(self) -> int:
        """Those that each worker may use: of the process's, and not above what its container is given."""
        return max(cores() // self.workers, 1)


def _named(given: str) -> dict[str, Any]:
    """`name=path`, or a path whose last part is the name."""
    name, sign, path = given.partition("=")
    if not sign:
        name, path = Path(given).resolve().name, given
    return {"name": name, "path": path}


def load(file: Path | None, given: Mapping[str, Any]) -> Serving:
    """What a file says, and over it what the command line says.

    Raises:
        InputError: a file that can't be read, or settings that there are not, all of them at once.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            found = "no file" if isinstance(error, OSError) else f"no TOML ({error})"
            problem = Problem(str(file), found, "a file of settings, in TOML", "Correct the path or the file.")
            raise InputError(problem) from error
    values |= {name: one for name, one in given.items() if one not in (None, [], ())}
    made, problems = plugins.check(Serving, values, where="")
    if made is None or problems:
        raise InputError(*problems)
    return made


def cores() -> int:
    """How many cores this process may keep busy: by its affinity, and by the quotas of its control groups."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(own, _quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))), 1)


def _quota(told: Path, root: Path) -> int:
    """What a process may use, in whole cores (cgroup v2, then v1); without a limit, very many.

    `told` names its groups. A limit of a group above it holds as well, as of a service or a slice of systemd; inside a
    container its own group is the root.
    """
    most = _NO_QUOTA
    with contextlib.suppress(OSError):
        for line in told.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = root if not controllers else root / "cpu"
            group = top / path.strip("/")
            for one in (group, *group.parents):
                most = min(most, _limit(one))
                if one == top:
                    break
    return min(most, _limit(root), _limit(root / "cpu"))


def _limit(group: Path) -> int:
    """The quota of one group, in whole cores, at least one."""
    try:
        words: Sequence[str] = (group / "cpu.max").read_text().split()
    except OSError:
        try:
            words = [(group / name).read_text().strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
        except OSError:
            return _NO_QUOTA
    if len(words) != 2 or not words[0].isdigit() or not words[1].isdigit() or words[1] == "0":
        return _NO_QUOTA
    return max(int(words[0]) // int(words[1]), 1)
