"""An API in this process that answers as OpenAI's does, misbehaves when told to, and counts what it really billed.

It makes up its answers, or stands before another server and gives what that one answers.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from tests.conftest import LABELS

FINE = ("fine", "great", "moving", "bright", "warm")
#: What a million tokens cost at this server: a token of a prompt is a millionth, one of a reply ten.
PRICES = {"price_per_million_input_tokens": 1.0, "price_per_million_output_tokens": 10.0}

Fault = Callable[[int], str]
"""What to do with the request of this number, the first being 0; "" for nothing amiss."""


def never(number: int) -> str:
    return ""


def about(last: str) -> str:
    """What is written of the last line of a prompt."""
    return f"about: {last}"


class Server(ThreadingHTTPServer):
    """Labels a text by whether it says something good; `plan` decides what goes wrong with which request."""

    daemon_threads = True

    def __init__(
        self, plan: Fault = never, *, patience: float = 0.0, behind: str = "", writes: Callable[[str], str] = about
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan, self.patience, self.behind, self.writes = plan, patience, behind, writes
        self.billed, self.bodies, self.keys = Decimal(0), list[dict[str, Any]](), list[str | None]()
        self.most_at_once, self._at_once = 0, 0
        self.lock, self.over = threading.Lock(), threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up on us has his reasons."""

    @contextlib.contextmanager
    def counted(self, body: dict[str, Any], key: str | None) -> Iterator[int]:
        with self.lock:
            self.bodies.append(body)
            self.keys.append(key)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            number = len(self.bodies) - 1
        try:
            yield number
        finally:
            with self.lock:
                self._at_once -= 1

    def bill(self, usage: Mapping[str, int]) -> None:
        with self.lock:
            self.billed += (Decimal(usage["prompt_tokens"]) + 10 * usage["completion_tokens"]) / 10**6


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    #: What is wrong with a reply that came in time.
    replies: ClassVar[dict[str, Any]] = {
        "refusal": {"refusal": "I can't help with that."},
        "refusal in words": {"content": "I’m sorry, but I can't assist with that request."},
        "empty": {"content": "", "logprobs": None},
        "no logprobs": {"logprobs": None},
        "chatter": {"content": "Well,", "top": [("Well", -0.1), ("The", -3.0)]},
        "cut": {"content": '{"label": "posi', "finish_reason": "length"},
        "other label": {"content": '{"label": "lukewarm"}'},
        "misquoted": {"content": json.dumps({"spans": [{"text": "nowhere", "label": LABELS[0]}]})},
        "no spans": {"content": '{"spans": {}}'},
        "rewritten": {"content": "I'm sorry, but this is nothing that I can help anybody with."},
    }

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.counted(body, self.headers.get("authorization")) as number:
            fault = self.server.plan(number)
            self.server.over.wait(self.server.patience)
            self._answer(body, fault)

    def _answer(self, body: dict[str, Any], fault: str) -> None:
        chat = self.path.endswith("/chat/completions")
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        status, _, header = fault.partition(" after ")
        # What turns somebody away does no work; of what else goes wrong nobody knows whether it is billed.
        free = status.isdigit() and int(status) < 500 and status != "408"
        reply = {} if free else self._behind(body, fault) if self.server.behind else self._made(body, prompt, fault)
        usage = reply.get("usage", {})
        if fault == "dear":
            usage["prompt_tokens"] = 10**5
        if not free:
            self.server.bill(usage)
        if status.isdigit():
            # A server may well repeat what it was asked.
            self._send(json.dumps({"error": {"message": prompt}}).encode(), int(status), header)
            return
        if fault == "hang":
            self.server.over.wait(30)
            return
        if fault == "cut connection":
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{")
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if fault == "no usage":
            del reply["usage"]
        whole = json.dumps(reply).encode()
        self._send(whole[:-9] if fault == "broken" else b'{"object": "list"}' if fault == "foreign" else whole)

    def _made(self, body: dict[str, Any], prompt: str, fault: str) -> dict[str, Any]:
        many = body.get("n", 1)
        usage = {"prompt_tokens": len(prompt.split()) + 9, "completion_tokens": min(body["max_tokens"], 7) * many}
        chat = self.path.endswith("/chat/completions")
        choices = [self._choice(body, prompt, chat=chat, fault=fault) for _ in range(many)]
        if many > 1 and not fault:  # the first one is unlike the others
            choices[0] |= {"message": {"role": "assistant", "content": "nonsense"}} if chat else {"text": "nonsense"}
        return {"choices": choices, "usage": usage}

    def _behind(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
        """What the server behind answers, but for what is to be wrong with it."""
        url = self.server.behind + self.path.removeprefix("/v1")
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310  it is on this machine
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  the same
            reply: dict[str, Any] = json.load(answer)
        changes = {**self.replies.get(fault, {})}
        choice = reply["choices"][0]
        beside = {"finish_reason", "logprobs"} & changes.keys() & choice.keys()
        choice.update({name: changes.pop(name) for name in beside})
        choice["message"].update(changes)  # of a chat, which is all that is put behind one of these
        return reply

    def _choice(self, body: dict[str, Any], prompt: str, *, chat: bool, fault: str) -> dict[str, Any]:
        good = any(word in prompt for word in FINE)
        changes = {**self.replies.get(fault, {})}
        top = changes.pop("top", [(" A", -4.0 if good else -0.5), ("B", -0.5 if good else -4.0), ("The", -2.0)])
        last = prompt.splitlines()[-1].strip()
        text = "AB"[good] if body.get("logprobs") else self.server.writes(last)
        if prompt.startswith("Correct"):
            text = last.replace("film", "films")
        if "response_format" in body:
            schema = body["response_format"]["json_schema"]["schema"]
            quoted = [{"text": one, "label": LABELS[1]} for one in FINE if one in prompt]
            quoted *= 2 if fault == "repeated" else 1
            text = json.dumps({"spans": quoted} if "spans" in schema["properties"] else {"label": LABELS[good]})
        text, finish = changes.pop("content", text), changes.pop("finish_reason", "stop")
        told: Any = {"content": [{"top_logprobs": [{"token": one, "logprob": share} for one, share in top]}]}
        if not chat:
            told = {"top_logprobs": [dict(top)]}
        told = changes.pop("logprobs", told if body.get("logprobs") else None)
        said = {"message": {"role": "assistant", "content": text, **changes}} if chat else {"text": text}
        return {"index": 0, "finish_reason": finish, "logprobs": told, **said}

    def _send(self, body: bytes, status: int = 200, retry_after: str = "") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if retry_after:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(
    plan: Fault = never, *, patience: float = 0.0, behind: str = "", writes: Callable[[str], str] = about
) -> Iterator[Server]:
    """A server for a while, or one that stands before another."""
    server = Server(plan, patience=patience, behind=behind, writes=writes)
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
