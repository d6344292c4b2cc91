"""Files that change under a running model: their own replies end with an error, nothing else notices."""

import os
import shutil
import threading

import pytest

from support import admin, gguf_files
from support.process import Background, Chat, DEADLINE, wait_until

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 8192, "--parallel", 2)
LONG = 1800


@pytest.fixture
def pair(start, tmp_path):
    """A server with two models that take some time to say much, and their folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    for word in ("alpha", "beta"):
        gguf_files.make_talker(folder / f"{word}.gguf", word, embd=384, layers=4, context=8192)
    server = start("--models-dir", folder, *NEAR)
    for word in ("alpha", "beta"):
        assert server.chat(word).status_code == 200
    return server, folder


class Streams:
    """One long stream of each model, both of them under way."""

    def __init__(self, server, words=("alpha", "beta")):
        self.going = {word: threading.Event() for word in words}
        self._chats = {word: Background(self._read, server, word) for word in words}
        for word, event in self.going.items():
            assert event.wait(DEADLINE), f"no token of {word}"

    def _read(self, server, word):
        seen = 0

        def on_token():
            nonlocal seen
            seen += 1
            if seen == 5:
                self.going[word].set()

        return Chat(server.stream_chat(word, max_tokens=LONG, ignore_eos=True), on_token)

    def result(self, word) -> Chat:
        return self._chats[word].result()


def test_a_file_cut_short_while_it_is_mapped(pair):
    """The kernel answers reads of the missing pages with SIGBUS, which ends a process by default."""
    server, folder = pair
    file = folder / "alpha.gguf"
    whole = Background(server.chat, "alpha", max_tokens=LONG, ignore_eos=True)
    streams = Streams(server)
    shutil.copy(file, folder.parent / "kept.gguf")
    os.truncate(file, file.stat().st_size // 3)

    cut = streams.result("alpha")
    assert cut.error and not cut.done, cut.text[-60:]
    assert cut.error["switchyard_code"] == "corrupt_file" and "truncated while it was in use" in cut.error["message"]
    assert set(cut.text.split()) == {"alpha"}, "nothing that zeros have said"
    refused = whole.result()  # nothing had been said: asked again, of an engine that cannot be loaded
    assert refused.status_code == 422 and "truncated" in refused.json()["error"]["message"], refused.text
    streams.result("beta").assert_whole("beta")

    again = server.chat("alpha")
    assert again.status_code in (422, 503) and "alpha.gguf" in again.json()["error"]["message"], again.text
    assert server.chat("beta").status_code == 200 and server.get("/health").status_code == 200

    os.rename(folder.parent / "kept.gguf", file)
    assert server.post("/admin/v1/config/reload").status_code == 200
    wait_until(lambda: server.chat("alpha").status_code == 200, "the whole file to answer", every=0.2)
    Chat(server.stream_chat("alpha")).assert_whole("alpha")


def test_a_parked_models_file_is_cut_short(pair):
    server, folder = pair
    admin.act(server, "alpha", "park")
    file = folder / "alpha.gguf"
    os.truncate(file, file.stat().st_size - 100)  # within the last page: no signal, but zeros
    reply = server.chat("alpha")
    assert reply.status_code in (422, 503) and "alpha.gguf" in reply.json()["error"]["message"], reply.text
    assert server.chat("beta").status_code == 200


def test_a_file_replaced_by_a_rename_goes_on_under_its_model(pair):
    server, folder = pair
    gguf_files.make_talker(folder.parent / "next.gguf", "gamma", embd=384, layers=4, context=8192)
    streams = Streams(server, ("alpha",))
    os.rename(folder.parent / "next.gguf", folder / "alpha.gguf")
    assert set(streams.result("alpha").assert_whole("alpha").text.split()) == {"alpha"}
    assert set(Chat(server.stream_chat("alpha")).assert_whole().text.split()) == {"alpha"}, "until a reload"


def test_who_waits_for_a_file_that_is_replaced_is_answered_by_the_new_one(start, tmp_path):
    """Asked for by the model's name: the version that it meant is gone by then."""
    folder = tmp_path / "models"
    folder.mkdir()
    for word in ("alpha", "beta"):
        gguf_files.make_talker(folder / f"{word}.gguf", word, embd=384, layers=4, context=8192)
    server = start("--models-dir", folder, *NEAR, "--models-max", 1)
    streams = Streams(server, ("beta",))
    waiting = [Background(server.chat, "alpha", max_tokens=4) for _ in range(4)]
    wait_until(lambda: admin.version(server, "alpha")["waiting"] == 4, "them to wait for room")
    gguf_files.make_talker(tmp_path / "next.gguf", "gamma")
    os.rename(tmp_path / "next.gguf", folder / "alpha.gguf")
    assert server.post("/admin/v1/config/reload").status_code == 200
    streams.result("beta").assert_whole("beta")
    for reply in [one.result() for one in waiting]:
        assert reply.status_code == 200, reply.text
        assert set(reply.json()["choices"][0]["message"]["content"].split()) == {"gamma"}
