#!/usr/bin/env python3
"""Sends one streamed chat to a running server and prints the reply and the time to its first token.

chat.py URL MODEL TEXT: exit status 0 when a whole, non-empty reply came.
"""

import http.client
import json
import sys
import time
import urllib.parse


def chat(url: str, model: str, text: str) -> tuple[str, float, float]:
    """The reply, seconds to the first token, seconds in all."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=300)
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 64,
        "temperature": 0,
        "stream": True,
    }
    start = time.monotonic()
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
    )
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"HTTP {response.status}: {response.read().decode(errors='replace')}")
    reply, first, ended = "", None, False
    for line in response:
        if not line.startswith(b"data: "):
            continue
        data = line[len(b"data: ") :].strip()
        if data == b"[DONE]":
            ended = True
            continue
        event = json.loads(data)
        if "error" in event:
            raise RuntimeError(json.dumps(event["error"]))
        for choice in event.get("choices", []):
            piece = choice["delta"].get("content") or choice["delta"].get("reasoning_content")
            if piece:
                first = first or time.monotonic() - start
                reply += piece
    if not ended or first is None:
        raise RuntimeError(f"the stream ended early; so far: {reply!r}")
    return reply, first, time.monotonic() - start


def main() -> int:
    url, model, text = sys.argv[1:]
    try:
        reply, first, whole = chat(url, model, text)
    except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
        print(f"    {model}: no reply: {error}", file=sys.stderr)
        return 1
    print(f"    {model}: {' '.join(reply.split())}")
    print(f"      first token after {first * 1000:.0f} ms (its load included), whole reply {whole:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
