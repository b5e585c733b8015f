"""From an address and a method to what answers there: by a look-up, and by patterns where an address holds names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import final

from starlette.routing import compile_path

from stillroom.serve.faults import refusal
from stillroom.serve.protocols import Path


@final
class Routes:
    """All addresses of a server."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._plain: dict[str, dict[str, Path]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Path]]] = {}
        for one in paths:
            if "{" in one.at:
                self._patterns.setdefault(one.at, (compile_path(one.at)[0], {}))[1][one.method] = one
            else:
                self._plain.setdefault(one.at, {})[one.method] = one

    def find(self, address: str, method: str) -> tuple[Path, Mapping[str, str]]:
        """What answers there, and the names in the address.

        Raises:
            Fault: nothing answers there, or not to that method.
        """
        told: Mapping[str, str] = {}
        some = self._plain.get(address)
        if some is None:
            at, told = self._pattern(address)
            if at is None:
                raise refusal(404, "no_such_address", "path", "an address that there is not", "one of /openapi.json",
                              "Correct it.")  # fmt: skip
            some = self._patterns[at][1]
        found = some.get("GET" if method == "HEAD" else method)
        if found is None:
            fault = refusal(405, "no_such_method", "method", "one that this address has not", " or ".join(sorted(some)),
                            "Correct it.")  # fmt: skip
            fault.headers["allow"] = ", ".join(sorted(some))
            raise fault
        return found, told

    def at(self, address: str) -> str | None:
        """The address as it is described; None: there is no such."""
        return address if address in self._plain else self._pattern(address)[0]

    def _pattern(self, address: str) -> tuple[str | None, Mapping[str, str]]:
        """The pattern that an address is of, and the names in it."""
        for at, (pattern, _) in self._patterns.items():
            if match := pattern.match(address):
                return at, match.groupdict()
        return None, {}
