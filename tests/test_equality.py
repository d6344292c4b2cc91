"""Replies equal llama-server's own, built from the same source: bodies, errors and stream frames, at
temperature 0, one request at a time, one thread. Ids, times and timings are left out.

Different on purpose, and so not here: a body that is no JSON object gives 400 (llama-server 500, or a
reply made of defaults), see test_bad_input.py."""

import re

import pytest

from support import paths
from support.paths import GEMMA
from support.process import EventStream, Server, wait_until

VOLATILE = {"created", "created_at", "completed_at", "timings", "id_task", "id_slot", "t_last", "modified_at",
            "time_ms", "media_marker"}
ID = re.compile(r"^(chatcmpl|cmpl|resp|msg|rs|fc|call|toolu)[-_]\w{8,}$")
FLAGS = ("--threads", 1, "--ctx-size", 1024)

USER = [{"role": "user", "content": "Name three colours."}]
GREEDY = {"temperature": 0, "cache_prompt": False}
SCHEMA = {"type": "object", "properties": {"n": {"enum": [1, 2, 3]}}, "required": ["n"]}
TOOL = {"type": "function", "function": {"name": "f", "description": "does f", "parameters": {
    "type": "object", "properties": {"x": {"type": "integer"}}}}}


def chat(**fields):
    return "POST", "/v1/chat/completions", {"messages": USER, "max_tokens": 6, **GREEDY, **fields}


def completion(path="/completion", **fields):
    return "POST", path, {"prompt": "The capital of France is", "n_predict": 5, **GREEDY, **fields}


#: Replies with generated text; both models.
GENERATED = {
    "chat": chat(),
    "chat-alias-path": ("POST", "/chat/completions", chat()[2]),
    "chat-system": chat(messages=[{"role": "system", "content": "Be brief."}, *USER]),
    "chat-turns": chat(messages=[*USER, {"role": "assistant", "content": "Red."},
                                 {"role": "user", "content": "And?"}]),
    "chat-parts": chat(messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]),
    "chat-stream": chat(stream=True),
    "chat-stream-usage": chat(stream=True, stream_options={"include_usage": True}),
    "chat-json": chat(max_tokens=16, response_format={"type": "json_object", "schema": SCHEMA}),
    "chat-logprobs": chat(logprobs=True, top_logprobs=2, max_tokens=3),
    "completion": completion(),
    "completion-stream": completion(stream=True),
    "v1-completion": completion("/v1/completions"),
    "messages": ("POST", "/v1/messages", {"messages": USER, "max_tokens": 5, **GREEDY}),
    "messages-stream": ("POST", "/v1/messages", {"messages": USER, "max_tokens": 5, "stream": True, **GREEDY}),
    "responses": ("POST", "/v1/responses", {"input": "Hello", "max_output_tokens": 5, **GREEDY}),
    "responses-stream": ("POST", "/v1/responses", {"input": "Hello", "max_output_tokens": 5, "stream": True,
                                                   **GREEDY}),
    "tokenize": ("POST", "/tokenize", {"content": "Hello wörld"}),
    "apply-template": ("POST", "/apply-template", {"messages": USER}),
}

#: The rest; one model is enough.
FURTHER = {
    "chat-n2": chat(n=2),
    "chat-stop": chat(stop=["e"], max_tokens=12),
    "chat-tools": chat(tools=[TOOL]),
    "chat-tools-required": chat(tools=[TOOL], tool_choice="required"),
    "chat-json-schema": chat(max_tokens=16, response_format={
        "type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}),
    "chat-grammar": chat(grammar='root ::= "yes" | "no"'),
    "chat-seeded": chat(temperature=0.8, seed=7),
    "chat-bias": chat(logit_bias=[["the", -5]]),
    "chat-progress": chat(stream=True, return_progress=True),
    "chat-stream-logprobs": chat(stream=True, logprobs=True, top_logprobs=1, max_tokens=2),
    "chat-control-unknown": ("POST", "/v1/chat/completions/control", {"id": "chatcmpl-none", "action": "reasoning_end"}),
    "completion-probs": completion(n_probs=2),
    "completion-many": completion(prompt=["One", "Two"]),
    "completion-tokens": completion(prompt=[1, 2, 3]),
    "completion-return-tokens": completion(return_tokens=True),
    "completion-legacy-path": completion("/completions"),
    "v1-completion-stream": completion("/v1/completions", stream=True),
    "v1-completion-echo-n": completion("/v1/completions", n=2),
    "completion-zero": completion(n_predict=0),
    "count-chat": ("POST", "/v1/chat/completions/input_tokens", {"messages": USER}),
    "count-chat-path": ("POST", "/chat/completions/input_tokens", {"messages": USER}),
    "count-messages": ("POST", "/v1/messages/count_tokens", {"messages": USER}),
    "count-responses": ("POST", "/v1/responses/input_tokens", {"input": "Hello"}),
    "tokenize-pieces": ("POST", "/tokenize", {"content": "Hello", "with_pieces": True, "add_special": True}),
    "tokenize-empty": ("POST", "/tokenize", {}),
    "detokenize": ("POST", "/detokenize", {"tokens": [504, 3575, 282]}),
    "detokenize-empty": ("POST", "/detokenize", {}),
    "infill": ("POST", "/infill", {"input_prefix": "a", "input_suffix": "b", "n_predict": 2}),
    "embeddings-off": ("POST", "/v1/embeddings", {"input": "x"}),
    "embedding-off": ("POST", "/embedding", {"content": "x"}),
    "rerank-off": ("POST", "/v1/rerank", {"query": "q", "documents": ["a"]}),
    "audio-off": ("POST", "/v1/audio/transcriptions", {"file": "x"}),
    "lora": ("GET", "/lora-adapters", None),
    "lora-set-none": ("POST", "/lora-adapters", []),
    "lora-wrong": ("POST", "/lora-adapters", {"id": 1}),
    "slot-save-off": ("POST", "/slots/0?action=save", {"filename": "a"}),
    "slot-bad-action": ("POST", "/slots/0?action=dance", {}),
    "slot-erase": ("POST", "/slots/0?action=erase", {}),
    "slot-no-number": ("POST", "/slots/abc?action=erase", {}),
    "props-post": ("POST", "/props", {}),
    "models": ("GET", "/v1/models", None),
    "models-path": ("GET", "/models", None),
    "health": ("GET", "/health", None),
    "v1-health": ("GET", "/v1/health", None),
    "tools-off": ("GET", "/tools", None),
    "cors-proxy-off": ("GET", "/cors-proxy", None),
    "streams-lookup": ("POST", "/v1/streams/lookup", {"ids": ["a"]}),
    "streams-lookup-wrong": ("POST", "/v1/streams/lookup", {}),
    "stream-none": ("GET", "/v1/stream", None),
    "stream-delete": ("DELETE", "/v1/stream?conv_id=none", None),
    "no-such-path": ("GET", "/v1/nothing", None),
    "wrong-method": ("GET", "/v1/chat/completions", None),
    "wrong-method-2": ("DELETE", "/tokenize", None),
    # errors
    "no-messages": ("POST", "/v1/chat/completions", {"max_tokens": 2}),
    "messages-text": chat(messages="hello"),
    "messages-number": chat(messages=3),
    "message-no-role": chat(messages=[{"content": "x"}]),
    "message-no-content": chat(messages=[{"role": "user"}]),
    "message-image": chat(messages=[{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]),
    "message-bad-part": chat(messages=[{"role": "user", "content": [{"type": "smell"}]}]),
    "bad-max-tokens": chat(max_tokens="many"),
    "bad-temperature": chat(temperature="hot"),
    "bad-stop": chat(stop=5),
    "bad-stream": chat(stream="maybe"),
    "bad-grammar": chat(grammar="root ::= ("),
    "grammar-and-schema": chat(grammar='root ::= "a"', json_schema=SCHEMA),
    "bad-format": chat(response_format={"type": "poem"}),
    "bad-tools": chat(tools={"no": "list"}),
    "bad-tool-choice": chat(tools=[TOOL], tool_choice="sometimes"),
    "bad-lora": chat(lora=[{"id": 99, "scale": 1}]),
    "bad-samplers": completion(samplers=3),
    "bad-slot": completion(id_slot=999),
    "no-prompt": ("POST", "/completion", {"n_predict": 2}),
    "prompt-number": completion(prompt=7),
    "prompt-empty": completion(prompt=""),
    "too-long": completion(prompt="word " * 3000),
    "too-long-stream": completion(prompt="word " * 3000, stream=True),
    "logprobs-without": chat(top_logprobs=3),
    "messages-no-max": ("POST", "/v1/messages", {"messages": USER, "temperature": 0, "stop_sequences": ["e"]}),
    "messages-bad": ("POST", "/v1/messages", {"max_tokens": 5}),
    "responses-bad": ("POST", "/v1/responses", {"max_output_tokens": 5}),
    "responses-previous": ("POST", "/v1/responses", {"input": "x", "previous_response_id": "resp_1"}),
}


def plain(value):
    """The value without what differs between any two runs."""
    if isinstance(value, dict):
        return {key: "<id>" if key == "id" and isinstance(entry, str) and ID.match(entry) else plain(entry)
                for key, entry in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, str) and ID.match(value):
        return "<id>"
    return value


def answer(server: Server, case, extra: dict):
    method, path, body = case
    if isinstance(body, dict):
        body = {**body, **extra}
    reply = server.request(method, path, body, stream=True, headers={"Content-Type": "application/json"})
    kind = reply.headers.get("Content-Type", "")
    if kind.startswith("text/event-stream"):
        content = [(event, plain(data)) for event, data in EventStream(reply)]
    else:
        try:
            content = plain(reply.json())
        except ValueError:
            content = reply.text
    return {"status": reply.status_code, "type": kind if content else "", "body": content}


@pytest.fixture(scope="module")
def pair(require_binary, peer_binary, real_models, tmp_path_factory):
    """SmolLM2 on our server in the place of llama-server, and on llama-server."""
    from conftest import _session_server
    from support.process import peer_words
    words = ("-m", paths.SMOLLM2_FILE, "--alias", "smol", *FLAGS)
    ours, theirs = _session_server(tmp_path_factory, *words), Server(peer_words(*words))
    yield ours, theirs
    theirs.stop()
    assert ours.stop() == 0


@pytest.fixture(scope="module")
def gemma_pair(require_binary, peer_binary, real_models, tmp_path_factory):
    """Gemma 3 from our catalog, by name, and alone on llama-server."""
    from conftest import _session_server
    from support.process import peer_words
    ours = _session_server(tmp_path_factory, "--models-dir", real_models, *FLAGS)
    theirs = Server(peer_words("-m", paths.GEMMA_FILE, "--alias", GEMMA, *FLAGS))
    yield ours, theirs
    theirs.stop()
    assert ours.stop() == 0


@pytest.mark.parametrize("name", [*GENERATED, *FURTHER])
def test_one_model(pair, name):
    case = {**GENERATED, **FURTHER}[name]
    ours, theirs = (answer(server, case, {}) for server in pair)
    assert ours == theirs


@pytest.mark.parametrize("name", GENERATED)
def test_catalog(gemma_pair, name):
    ours, theirs = (answer(server, GENERATED[name], {"model": GEMMA}) for server in gemma_pair)
    assert ours == theirs


def test_fresh_server(real_models, start, start_peer):
    """What an idle server says of itself; with --metrics, `-m` mode gives llama-server's own text."""
    words = ("-m", paths.SMOLLM2_FILE, "--alias", "smol", "--metrics", *FLAGS)
    ours, theirs = start(*words), start_peer(*words)

    def metrics(server):
        text = server.get("/metrics").text.splitlines()
        counted = ("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total", "llamacpp:n_decode_total")
        return [line if line.startswith(("#", *counted)) else line.split()[0] for line in text if line]

    for path in ("/props", "/v1/models"):
        case = ("GET", path, None)
        assert answer(ours, case, {}) == answer(theirs, case, {}), path
    # A probe has proven ours after its load, or is at it: while it runs its slot is processing, then as before.
    wait_until(lambda: ours.get("/slots").json() == theirs.get("/slots").json(), "the slots of a new server")
    assert metrics(ours) == metrics(theirs), "probes are not counted"
    for server in (ours, theirs):
        assert server.chat(None, max_tokens=2, ignore_eos=True).status_code == 200
    assert metrics(ours) == metrics(theirs)
    assert "llamacpp:tokens_predicted_total 2" in metrics(ours)


@pytest.mark.parametrize("more", [(), ("--alias", "zeta,beta", "--tags", "y,x"), ("--alias", "alpha"),
                                  ("--alias", "alpha,other")])
def test_names_of_the_one_model(talkers, start, start_peer, more):
    words = ("-m", talkers / "alpha.gguf", *more, *FLAGS)
    ours, theirs = start(*words), start_peer(*words)
    for case in (("GET", "/v1/models", None), chat(), completion(), ("POST", "/v1/messages", {
            "messages": [{"role": "user", "content": "x"}], "max_tokens": 2, "model": "any"})):
        assert answer(ours, case, {}) == answer(theirs, case, {}), case


def test_embeddings(real_models, start, start_peer):
    words = ("-m", paths.SMOLLM2_FILE, "--alias", "smol", "--embeddings", "--pooling", "mean", *FLAGS)
    ours, theirs = start(*words), start_peer(*words)
    for case in [("POST", "/v1/embeddings", {"input": "a cat"}),
                 ("POST", "/v1/embeddings", {"input": ["a", "b"], "encoding_format": "base64"}),
                 ("POST", "/embedding", {"content": "a cat"}),
                 ("POST", "/v1/embeddings", {"input": []}), ("POST", "/v1/embeddings", {})]:
        assert answer(ours, case, {}) == answer(theirs, case, {}), case


def test_lora(talkers, start, start_peer, tmp_path):
    """Adapters are listed, set for all requests and chosen by one request as in llama-server."""
    from support import gguf_files
    adapter = gguf_files.make_lora(tmp_path / "beta-lora.gguf", "beta")
    words = ("-m", talkers / "alpha.gguf", "--alias", "talker", "--lora", adapter, *FLAGS)
    ours, theirs = start(*words), start_peer(*words)
    for case in [("GET", "/lora-adapters", None), chat(),
                 chat(lora=[{"id": 0, "scale": 0.0}]), ("POST", "/lora-adapters", [{"id": 0, "scale": 0.0}]),
                 ("GET", "/lora-adapters", None), chat(), chat(lora=[{"id": 0, "scale": 1.0}])]:
        got = answer(ours, case, {})
        assert got == answer(theirs, case, {}), case
    assert "beta" in str(got["body"])


def test_slot_save_and_restore(real_models, start, start_peer, tmp_path):
    replies = []
    for server_of, name in ((start, "ours"), (start_peer, "theirs")):
        (tmp_path / name).mkdir()
        server = server_of("-m", paths.SMOLLM2_FILE, "--alias", "smol", "--slot-save-path", tmp_path / name,
                           "--parallel", 1, *FLAGS)
        seen = [answer(server, completion(cache_prompt=True), {}),
                answer(server, ("POST", "/slots/0?action=save", {"filename": "a.bin"}), {}),
                answer(server, ("POST", "/slots/0?action=erase", {}), {}),
                answer(server, ("POST", "/slots/0?action=restore", {"filename": "a.bin"}), {}),
                answer(server, ("POST", "/slots/0?action=restore", {"filename": "../a.bin"}), {}),
                answer(server, completion(cache_prompt=True), {})]
        replies.append(seen)
    assert replies[0] == replies[1]
