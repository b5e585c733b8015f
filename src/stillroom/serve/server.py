"""Starts the server: one process, or several behind one port."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, final

from stillroom.core.errors import ArtifactError, OutsideError, Problem, missing_extra
from stillroom.serve.settings import Serving

if TYPE_CHECKING:
    from uvicorn import Config, Server

_BACKLOG = 2048
_BEGIN_SECONDS = 120  # within which a worker that takes another's place has loaded and checked its students
_DAMAGED = 3  # what uvicorn exits with where an application does not begin


def run(serving: Serving) -> None:
    """Serve until told to stop.

    Raises:
        MissingExtra: the extra `serve` is not installed.
        InputError: keys, limits or models that can't be read.
        ArtifactError: a student that is damaged, or that does not answer as it did when it was shipped.
        OutsideError: the port is taken.
    """
    try:
        import uvicorn

        from stillroom.serve import app, doors, host, meters
    except ImportError as error:
        raise missing_extra("serve", package=error.name or "starlette", needed_by="stillroom serve") from error
    _speak()
    # Told to stop it ends well: uvicorn, when all is done, passes the signal on to whoever had it before.
    signal.signal(signal.SIGTERM, _end)
    os.environ[app.TOLD] = serving.model_dump_json()
    config = uvicorn.Config(
        f"{app.__name__}:{app.of_environment.__name__}", factory=True, host=serving.host, port=serving.port,
        workers=serving.workers, http=doors.Door, ws="none", lifespan="on", log_config=None, access_log=False,
        server_header=False, backlog=_BACKLOG,
        timeout_worker_healthcheck=_BEGIN_SECONDS, timeout_keep_alive=30,
        timeout_graceful_shutdown=int(serving.finish_seconds) + 1,
        ssl_certfile=serving.certificate, ssl_keyfile=serving.private_key,
    )  # fmt: skip
    if serving.workers == 1:
        _alone(host.Host(config), serving)
        return
    shared = meters.share()
    try:
        _together(config, serving)
    finally:
        meters.unshare(shared)


def _end(number: int, frame: Any) -> None:
    sys.exit(0)


def _alone(server: Server, serving: Serving) -> None:
    listening = _listen(server.config, serving)
    try:
        server.run([listening])
    except SystemExit as ended:
        if ended.code == _DAMAGED:
            raise _not_begun() from ended
        raise


def _together(config: Config, serving: Serving) -> None:
    from uvicorn.supervisors import multiprocess

    from stillroom.serve.host import Hosts, Worker

    listening = _listen(config, serving)
    multiprocess.Process = Worker  # type: ignore[misc]  # it can't be told otherwise what to make its workers of
    several = Hosts(config, sockets=[listening])
    several.run()
    if any(one.exitcode == _DAMAGED for one in several.processes):
        raise _not_begun()


def _not_begun() -> ArtifactError:
    todo = "See what it said before this."
    return ArtifactError(Problem("server", "a student that can't be served", "all of them sound", todo))


def _listen(config: Config, serving: Serving) -> socket.socket:
    """The port. It is taken before anything is loaded, so that one that is taken is told at once."""
    try:
        found = socket.create_server(
            (serving.host, serving.port), backlog=_BACKLOG,
            family=socket.AF_INET6 if ":" in serving.host else socket.AF_INET,
        )  # fmt: skip
    except OSError as error:
        where, todo = f"{serving.host}:{serving.port}", "Choose another with --port."
        raise OutsideError(Problem(where, error.strerror or "no such address", "a free port", todo)) from error
    found.set_inheritable(True)
    at = found.getsockname()
    scheme = "https" if config.is_ssl else "http"
    logging.getLogger("stillroom.serve").info("listening", extra={"told": {"at": f"{scheme}://{at[0]}:{at[1]}/"}})
    return found


@final
class _Lines(logging.Formatter):
    """A JSON document a line."""

    def format(self, record: logging.LogRecord) -> str:
        """When, how bad, what, and what is told of it. No text of anybody's is ever among it."""
        told: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        told |= getattr(record, "told", {})
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = str(record.exc_info[1])
        return json.dumps(told, ensure_ascii=False)


def _speak() -> None:
    """Lines on stderr, from the server and from what carries it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name, level in (("stillroom.serve", logging.INFO), ("uvicorn.error", logging.WARNING)):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(level)
