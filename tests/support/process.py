"""Starts a server as a user would, talks to it, stops it and looks at what it left."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import requests

from . import paths

#: Generous: the machine may be busy with other things. Nothing waits this long when all is well.
DEADLINE = 120.0
LISTENING = re.compile(r"listening on ((?:https?|unix)://\S+)")


def wait_until(condition: Callable[[], object], what: str, deadline: float = DEADLINE, every: float = 0.02):
    """Polls until `condition` gives something true, and returns that."""
    end = time.monotonic() + deadline
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end, f"waited {deadline:.0f} s for {what}"
        time.sleep(every)


class Process:
    """A child whose output is read line by line as it comes."""

    def __init__(self, words: list, *, env: dict | None = None, cwd: Path | None = None):
        self.words = [str(word) for word in words]
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            self.words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=cwd,
            env={**os.environ, **(env or {})}, text=True, errors="replace", bufsize=1)
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def wait_for_line(self, pattern: str | re.Pattern, deadline: float = DEADLINE, start: int = 0) -> re.Match:
        """The first line from `start` on that matches; fails when the process ends without one."""
        end = time.monotonic() + deadline
        seen = start
        with self._news:
            while True:
                for line in self.lines[seen:]:
                    if match := re.search(pattern, line):
                        return match
                seen = len(self.lines)
                assert not self._ended, f"the server ended without printing {pattern!r}:\n{self.log}"
                left = end - time.monotonic()
                assert left > 0, f"no line {pattern!r} within {deadline} s:\n{self.log}"
                self._news.wait(left)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, deadline: float = DEADLINE) -> int:
        code = self._process.wait(deadline)
        self._reader.join(deadline)
        return code

    def kill(self) -> None:
        """Ends it and its children (llama-server's router has some)."""
        try:
            family = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.wait()

    def family(self) -> list[psutil.Process]:
        me = psutil.Process(self.pid)
        return [me, *me.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """The processes of isolated engines."""
        found = []
        for child in psutil.Process(self.pid).children():
            try:
                if child.cmdline()[1:2] == ["worker"]:
                    found.append(child)
            except psutil.Error:  # an inspection that has just ended
                pass
        return found

    def rss(self) -> int:
        """Resident bytes of the process itself."""
        return psutil.Process(self.pid).memory_info().rss

    def pss(self) -> int:
        """Proportional resident bytes of the process and its children."""
        total = 0
        for member in self.family():
            try:
                total += member.memory_full_info().pss
            except psutil.Error:
                pass
        return total

    def threads(self) -> int:
        return psutil.Process(self.pid).num_threads()


class Server(Process):
    """A server that speaks llama-server's API, found at `url` once it is ready."""

    def __init__(self, words: list, *, key: str | None = None, ready_path: str = "/health", verify=True,
                 prefix: str = "", wait: bool = True, **kwargs):
        super().__init__(words, **kwargs)
        self.key = key
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = verify
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=64)
        self.session.mount("http://", adapter)
        if Path(self.words[0]).name == "llama-server":
            self.session.headers["Connection"] = "close"  # it ends connections that it promised to keep
        if key:
            self.session.headers["Authorization"] = f"Bearer {key}"
        self.prefix = prefix
        self.url = ""
        try:
            self.address = self.wait_for_line(LISTENING).group(1)
            if self.address.startswith("http"):
                self.url = self.address + prefix
                if wait:
                    wait_until(lambda: self._ready(ready_path), "the server to be ready")
        except BaseException:
            self.kill()
            raise

    def _ready(self, path: str) -> bool:
        try:
            return self.get(path).status_code == 200
        except requests.ConnectionError:
            assert self.poll() is None, f"the server ended before it was ready:\n{self.log}"
            return False

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    def request(self, method: str, path: str, body=None, **kwargs) -> requests.Response:
        kwargs.setdefault("timeout", DEADLINE)
        if isinstance(body, (bytes, str)):
            kwargs["data"] = body
        elif body is not None:
            kwargs["json"] = body
        return self.session.request(method, self.url + path, **kwargs)

    def get(self, path: str, **kwargs) -> requests.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, body=None, **kwargs) -> requests.Response:
        return self.request("POST", path, body, **kwargs)

    def chat(self, model: str | None, text: str = "Hello", max_tokens: int = 8, **fields) -> requests.Response:
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, "temperature": 0,
                **fields}
        if model:
            body["model"] = model
        return self.post("/v1/chat/completions", body)

    def stream(self, path: str, body: dict, **kwargs) -> "EventStream":
        """A streamed reply; the request is sent and its head read here."""
        response = self.post(path, body, stream=True, **kwargs)
        return EventStream(response)

    def stream_chat(self, model: str | None, text: str = "Hello", max_tokens: int = 8, **fields) -> "EventStream":
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, "temperature": 0,
                "stream": True, **fields}
        if model:
            body["model"] = model
        return self.stream("/v1/chat/completions", body)

    def models(self) -> dict[str, dict]:
        reply = self.get("/v1/models")
        assert reply.status_code == 200, reply.text
        return {entry["id"]: entry for entry in reply.json()["data"]}

    def status(self, model: str) -> str:
        """llama-server's word for a model's state: unloaded, loading, loaded, sleeping."""
        return self.models()[model]["status"]["value"]

    def wait_status(self, model: str, *wanted: str, deadline: float = DEADLINE) -> str:
        return wait_until(lambda: (now := self.status(model)) in wanted and now,
                          f"{model} to be {' or '.join(wanted)}", deadline)

    def load(self, model: str) -> None:
        reply = self.post("/models/load", {"model": model})
        assert reply.status_code == 200 or "already" in reply.text, reply.text
        self.wait_status(model, "loaded")

    def unload(self, model: str) -> None:
        reply = self.post("/models/unload", {"model": model})
        assert reply.status_code == 200, reply.text
        self.wait_status(model, "unloaded")

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.session.close()
        if self.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end within {DEADLINE} s of SIGTERM:\n{self.log}") from None


class EventStream:
    """Server-sent events of one response: iterates (event name, parsed data); `[DONE]` stays text."""

    def __init__(self, response: requests.Response):
        self.response = response
        self.status = response.status_code

    def __iter__(self) -> Iterator[tuple[str, object]]:
        event = "message"
        for line in self.response.iter_lines(chunk_size=None):
            line = line.decode("utf-8")
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith(("data:", "error:")):
                if line.startswith("error:"):
                    event = "error"
                data = line.split(":", 1)[1].strip()
                yield event, data if data == "[DONE]" else json.loads(data)
            elif not line:
                event = "message"

    def data(self) -> list:
        return [data for _, data in self]

    def close(self) -> None:
        self.response.close()


class Chat:
    """A chat stream read to its end: what a client of the OpenAI API sees."""

    def __init__(self, stream: EventStream, on_token: Callable[[], None] | None = None):
        self.status = stream.status
        self.text = ""
        self.finish_reason = None
        self.models: set[str] = set()
        self.done = False
        self.error = None
        self.times: list[float] = []
        if self.status != 200:
            self.error = stream.response.text
            return
        for _, data in stream:
            if data == "[DONE]":
                self.done = True
            elif "error" in data:
                self.error = data["error"]
            else:
                self.models.add(data["model"])
                for choice in data["choices"]:
                    piece = choice["delta"].get("content") or choice["delta"].get("reasoning_content")
                    if piece:
                        self.text += piece
                        self.times.append(time.monotonic())
                        if on_token:
                            on_token()
                    self.finish_reason = choice["finish_reason"] or self.finish_reason

    def assert_whole(self, model: str | None = None) -> "Chat":
        assert self.status == 200 and self.error is None, f"{self.status} {self.error}"
        assert self.done and self.finish_reason in ("stop", "length"), (self.done, self.finish_reason, self.text[-80:])
        if model:
            assert self.models == {model}
        return self


class Background:
    """Runs one call in a thread; result() waits for it and gives its value or its error."""

    def __init__(self, call: Callable, *args, **kwargs):
        self._value = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call, args, kwargs), daemon=True)
        self._thread.start()

    def _run(self, call, args, kwargs) -> None:
        try:
            self._value = call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  (handed to whoever asks)
            self._error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self, deadline: float = DEADLINE):
        self._thread.join(deadline)
        assert not self.running, f"still running after {deadline} s"
        if self._error:
            raise self._error
        return self._value


class EventLog:
    """Collects a stream of events in the background; wait() blocks until one fits."""

    def __init__(self, server: Server, path: str):
        self.events: list[dict] = []
        self._news = threading.Condition()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
        connection.connect()
        self._socket = connection.sock
        connection.request("GET", server.prefix + path, headers={
            "Authorization": f"Bearer {server.key}"} if server.key else {})
        self._response = connection.getresponse()
        assert self._response.status == 200, self._response.read()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self._response:
                if line.startswith(b"data:"):
                    with self._news:
                        self.events.append(json.loads(line[5:]))
                        self._news.notify_all()
        except (http.client.HTTPException, OSError, ValueError):
            pass  # closed, or the server went: what was seen counts

    def wait(self, fits: Callable[[dict], bool], what: str, deadline: float = DEADLINE) -> dict:
        end = time.monotonic() + deadline
        with self._news:
            while True:
                for event in self.events:
                    if fits(event):
                        return event
                left = end - time.monotonic()
                assert left > 0, f"no event for {what} within {deadline} s; seen: {self.events}"
                self._news.wait(left)

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(DEADLINE)


def serve_words(*words) -> list[str]:
    """The command line of the server under test."""
    command = [str(paths.SWITCHYARD)]
    if not paths.TESTING_PEER:
        command.append("serve")
        if paths.ISOLATION and "--isolation" not in words:
            words = ("--isolation", paths.ISOLATION, *words)
    if "--port" not in words and not any(str(word).endswith(".sock") for word in words):
        words = ("--port", 0, *words)
    return [*command, *(str(word) for word in words)]


def peer_words(*words) -> list[str]:
    return [str(paths.PEER), "--port", "0", *(str(word) for word in words)]
