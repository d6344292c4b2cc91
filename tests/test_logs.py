"""The log: a line for each request, machine-readable where asked for, without what requests carry."""

import json

import pytest

from support.process import Chat, wait_until

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 1024)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
KEY = "sk-very-secret-4711"
MARKER = "xyzzymarker"


def request_lines(server):
    lines = [json.loads(line) for line in server.lines if line.startswith("{")]
    return [line for line in lines if line.get("component") == "request"]


def test_a_line_for_each_request(start, talkers):
    server = start("--models-dir", talkers, "--log-format", "json", *NEAR)
    headers = {"x-request-id": "abc-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    reply = server.post("/v1/chat/completions", {"model": "alpha", "messages": [{"role": "user", "content": "x"}],
                                                 "max_tokens": 5}, headers=headers)
    assert reply.headers["x-request-id"] == "abc-1"
    assert reply.headers["traceparent"].split("-")[1] == TRACE
    usage = reply.json()["usage"]
    whole = wait_until(lambda: next((line for line in request_lines(server) if line["request_id"] == "abc-1"), None),
                       "the line of the request")
    assert whole["model"] == "alpha@1" and whole["status"] == 200 and whole["outcome"] == "answered"
    assert (whole["prompt_tokens"], whole["generated_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert 0 < whole["queued_ms"] <= whole["first_byte_ms"] <= whole["total_ms"]
    assert whole["bytes"] == len(reply.content) and whole["trace_id"] == TRACE
    assert whole["parent_id"] == "00f067aa0ba902b7" and whole["span_id"] == reply.headers["traceparent"].split("-")[2]

    for path, body in (("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
                       ("/v1/messages", {"messages": [{"role": "user", "content": "x"}]}),
                       ("/v1/responses", {"input": "x", "max_output_tokens": 4}),
                       ("/completion", {"prompt": "x", "n_predict": 4})):
        name = path.replace("/", ".")
        stream = server.post(path, {"model": "alpha", "max_tokens": 4, "stream": True, **body},
                             headers={"x-request-id": name})
        assert stream.status_code == 200, stream.text
        line = wait_until(lambda: next((one for one in request_lines(server) if one["request_id"] == name), None),
                          "the line of the stream")
        assert line["generated_tokens"] == 4 and line["prompt_tokens"] > 0, line


def test_prompts_and_keys_are_not_logged(start, talkers):
    """A server that tells all it can, asked in every way that goes wrong."""
    server = start("--models-dir", talkers, "--log-format", "json", "-lv", 5, "--api-key", KEY, *NEAR, key=KEY)
    said = {"role": "user", "content": f"{MARKER} once more"}
    Chat(server.stream_chat("alpha", text=MARKER, max_tokens=4)).assert_whole()
    bodies = [
        {"model": "alpha", "messages": [said], "max_tokens": 4},
        {"model": "alpha", "messages": [said], "max_tokens": 4, "grammar": "root ::= ("},
        {"model": "alpha", "messages": [said], "response_format": {"type": "json_schema", "json_schema": {"schema": 3}}},
        {"model": "alpha", "messages": [said], "tools": [{"type": "nonsense"}]},
        {"model": "alpha", "messages": [{"role": "user", "content": (MARKER + " ") * 3000}]},
        {"model": "alpha", "messages": said},
        {"model": "alpha", "messages": [{"role": "user", "content": {"type": MARKER}}]},
        {"model": "alpha", "messages": [said], "n_probs": "many", "temperature": MARKER},
        {"model": f"{MARKER}", "messages": [said]},
    ]
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/completion", "/v1/embeddings", "/tokenize",
                 "/apply-template", "/infill"):
        for body in bodies[:-1]:
            server.post(path, {**body, "prompt": MARKER, "input": MARKER, "content": MARKER})
    server.post("/v1/chat/completions", '{"model": "alpha", "x": "' + MARKER)
    server.get("/health?api_key=" + KEY)
    server.session.headers["Authorization"] = "Bearer wrong-" + KEY
    assert server.chat("alpha", text=MARKER).status_code == 401
    assert server.stop() == 0
    leaks = [line for line in server.lines if MARKER in line or KEY in line]
    assert not leaks, leaks[:3]
    assert len(request_lines(server)) > 60
    own = [json.loads(line) for line in server.lines if line.startswith("{")]
    tagged = [line for line in own if line["component"] == "alpha@1" and line["level"] == "debug"]
    assert tagged, "llama.cpp's own lines name the engine"


def test_prompts_are_logged_where_asked_for(start, talkers, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("log: {format: text, prompts: true}\n")
    server = start("--config", config, "--models-dir", talkers, *NEAR)
    assert server.chat("alpha", text=MARKER).status_code == 200
    server.wait_for_line(f"request: .*model=alpha@1.*{MARKER}")
    config.write_text("log: {format: json, requests: false}\n")
    assert server.post("/admin/v1/config/reload").status_code == 200
    server.wait_for_line(r"request.*/admin/v1/config/reload")  # that of the reload, which had begun before
    seen = len(server.lines)
    assert server.chat("alpha", text=MARKER).status_code == 200
    assert server.stop() == 0
    later = server.lines[seen:]
    assert later and not [line for line in later if MARKER in line or '"request"' in line]
