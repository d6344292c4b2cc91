"""More than the server can take: each request is answered or refused in a typed way, the engines come free
again, and /health, /ready and /metrics answer all the while."""

import socket

import openai
import pytest
import requests

from support import admin
from support.faults import Pulse, chat_request, raw
from support.process import Background, Chat, DEADLINE, Server, serve_words, wait_until

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 8192, "--parallel", 4)
READERS = 200


def no_leases(server, model="alpha"):
    wait_until(lambda: admin.version(server, model)["leases"] == 0, "every lease to be given back")


@pytest.fixture
def configured(start, talkers, tmp_path):
    """configured(limits, *words) -> a server of the talkers with these limits."""

    def begin(limits: str, *words) -> Server:
        file = tmp_path / "config.yaml"
        file.write_text(f"limits: {limits}\n")
        server = start("--config", file, "--models-dir", talkers, *NEAR, *words)
        assert server.chat("alpha").status_code == 200
        return server

    return begin


def test_a_flood_against_a_short_queue(configured):
    server = configured("{max_queue_per_model: 8}")
    replies = []
    with Pulse(server):
        asked = [Background(server.chat, "alpha", max_tokens=200, ignore_eos=True) for _ in range(64)]
        replies = [one.result() for one in asked]
        dialect = [Background(server.post, "/v1/messages", {"model": "alpha", "max_tokens": 200, "messages": [
            {"role": "user", "content": "x"}]}) for _ in range(64)]
        replies_of_anthropic = [one.result() for one in dialect]
    for group in (replies, replies_of_anthropic):
        assert {reply.status_code for reply in group} <= {200, 429}
        assert sum(reply.status_code == 200 for reply in group) >= 12, "four slots and a queue of eight"
    refused = [reply for reply in replies if reply.status_code == 429]
    assert refused, "64 at once fit into a queue of 8"
    for reply in refused:
        assert reply.json()["error"]["type"] == "rate_limit_error" and reply.headers["Retry-After"] == "1"
    for reply in replies_of_anthropic:
        if reply.status_code == 429:
            assert reply.json()["type"] == "error" and reply.json()["error"]["type"] == "rate_limit_error"
    assert all(len(reply.json()["choices"][0]["message"]["content"].split()) == 200
               for reply in replies if reply.status_code == 200)
    no_leases(server)


def test_the_official_client_gets_through(configured):
    """It tries again by itself after what Retry-After says."""
    server = configured("{max_queue_per_model: 1}", "--parallel", 1)
    impatient = openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)
    patient = openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=20)
    ask = {"model": "alpha", "messages": [{"role": "user", "content": "x"}], "max_tokens": 300}

    def try_once():
        try:
            impatient.chat.completions.create(**ask)
            return None
        except openai.RateLimitError as error:
            return error

    errors = [one.result() for one in [Background(try_once) for _ in range(12)]]
    assert any(errors) and all(error.request_id for error in errors if error)
    asked = [Background(patient.chat.completions.create, **ask) for _ in range(6)]
    assert all(one.result().choices[0].message.content for one in asked)


def test_a_client_that_stops_waiting_leaves_the_queue(start, slow_talkers):
    server = start("--models-dir", slow_talkers, *NEAR, "--parallel", 1)
    busy = Background(server.chat, "alpha", max_tokens=1500, ignore_eos=True)
    wait_until(lambda: admin.version(server, "alpha")["leases"] == 1, "the slot to be taken")
    late = server.post("/v1/chat/completions", {"model": "alpha", "messages": [{"role": "user", "content": "x"}]},
                       headers={"x-request-timeout": "100ms"})
    assert busy.running, "the slot was free too early to show anything"
    assert late.status_code == 504 and late.json()["error"]["switchyard_code"] == "timeout", late.text
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0, timeout=0.3)
    with pytest.raises((openai.APITimeoutError, openai.InternalServerError)):
        client.chat.completions.create(model="alpha", messages=[{"role": "user", "content": "x"}])
    assert busy.result().status_code == 200
    no_leases(server)


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_beside_another_stream_a_clients_time_counts_too(start, slow_talkers, isolation):
    """llama.cpp looks up from waiting after a second without anybody's tokens only."""
    server = start("--models-dir", slow_talkers, "--threads", 1, "--ctx-size", 16384, "--parallel", 2, "--isolation",
                   isolation)
    assert server.chat("alpha").status_code == 200
    told = []
    stream = Background(lambda: Chat(server.stream_chat("alpha", "x", max_tokens=6000, ignore_eos=True),
                                     on_token=lambda: told.append(1)))
    wait_until(lambda: len(told) > 3, "tokens")
    late = server.post("/v1/completions", {"model": "alpha", "prompt": "a", "max_tokens": 4000, "ignore_eos": True},
                       headers={"x-request-timeout": "300ms"})
    assert late.status_code == 504, late.text
    with pytest.raises(requests.RequestException):
        server.post("/v1/completions", {"model": "alpha", "prompt": "a", "max_tokens": 4000, "ignore_eos": True},
                    timeout=0.5)
    wait_until(lambda: admin.version(server, "alpha")["leases"] == 1, "whoever has left to give its slot back")
    assert stream.running, "the stream goes on all the while"
    server.kill()


def test_slow_readers_give_the_engine_back(configured):
    """200 clients that ask for a long stream and read nothing of it."""
    server = configured("{slow_reader_timeout: 1s}", "--parallel", 8, "--ctx-size", 8192)
    readers = []
    try:
        with Pulse(server):
            for _ in range(READERS):
                sock = socket.socket()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.settimeout(DEADLINE)
                sock.connect(("127.0.0.1", server.port))
                # Long pieces: what the sockets take in between is filled soon.
                sock.sendall(chat_request(max_tokens=300, logprobs=True, top_logprobs=20))
                readers.append(sock)
            no_leases(server)
            Chat(server.stream_chat("alpha")).assert_whole("alpha")
        ends = []
        for sock in readers:
            data = b""
            while piece := sock.recv(1 << 20):
                data += piece
            ends.append(data[-600:])
    finally:
        for sock in readers:
            sock.close()
    whole = [end for end in ends if b"data: [DONE]" in end]
    timed_out = [end for end in ends if b"slow_reader_timeout" in end and b"data: [DONE]" not in end]
    assert timed_out and len(whole) + len(timed_out) == READERS, (len(whole), len(timed_out))


def test_idle_connections_take_neither_the_last_descriptor_nor_the_models(require_binary, talkers, tmp_path):
    """128 descriptors, 400 connections that do nothing and 50 that never end their head."""
    words = serve_words("--models-dir", talkers, *NEAR, "--data-dir", tmp_path / "data")
    server = Server(["bash", "-c", 'ulimit -n 128 && exec "$@"', "bash", *words])
    idle = []
    try:
        with Pulse(server) as pulse:
            for i in range(450):
                sock = socket.create_connection(("127.0.0.1", server.port), 30)
                idle.append(sock)
                if i % 9 == 0:
                    sock.sendall(b"GET /health HTTP/1.1\r\nHost")
                if i % 40 == 39:  # faster than a client can send its request, any connection is the oldest
                    pulse.next_round()
            for word in ("alpha", "beta", "gamma"):  # loading takes descriptors, too
                reply = server.chat(word)
                assert reply.status_code == 200, reply.text
        assert not [line for line in server.lines if "cannot accept" in line]
    finally:
        for sock in idle:
            sock.close()
        assert server.stop() == 0


def test_two_thousand_idle_connections(configured):
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3000:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    server = configured("{}")
    idle = []
    try:
        with Pulse(server):
            for _ in range(2000):
                idle.append(socket.create_connection(("127.0.0.1", server.port), 30))
            for _ in range(10):
                assert server.chat("alpha").status_code == 200
            idle[0].sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle[0].recv(100).startswith(b"HTTP/1.1 200")
    finally:
        for sock in idle:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_few_threads_answer_many(configured):
    server = configured("{}", "--threads-http", 2)
    with Pulse(server):
        asked = [Background(server.chat, "alpha", max_tokens=20) for _ in range(40)]
        assert {one.result().status_code for one in asked} == {200}
    assert server.threads() < 60


def test_client_resets_at_every_byte(configured):
    """A client that resets its connection after k bytes of a streamed reply, for k up to its length."""
    server = configured("{}")
    request = chat_request(max_tokens=6)
    length = len(raw(server.port, request))
    assert length > 500
    with Pulse(server):
        for count in [*range(40), *range(40, length, 23)]:
            with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
                sock.sendall(request)
                left = count
                while left and (piece := sock.recv(left)):
                    left -= len(piece)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    no_leases(server)
    Chat(server.stream_chat("alpha")).assert_whole("alpha")
