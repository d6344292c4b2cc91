"""The official anthropic client on both real models."""

import anthropic
import pytest

from support.paths import GEMMA, SMOLLM2

BOTH = pytest.mark.parametrize("model", [SMOLLM2, GEMMA])
GREEDY = {"temperature": 0}
HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]


@pytest.fixture
def client(fleet):
    with anthropic.Anthropic(base_url=fleet.url, api_key="none", max_retries=0, timeout=120) as client:
        yield client


@BOTH
def test_message(client, model):
    reply = client.messages.create(model=model, messages=HELLO, max_tokens=8, extra_body=GREEDY)
    assert reply.model == model and reply.role == "assistant"
    assert reply.content[0].type == "text" and reply.content[0].text.strip()
    assert reply.stop_reason in ("end_turn", "max_tokens")
    assert reply.usage.input_tokens > 0 and 0 < reply.usage.output_tokens <= 8


@BOTH
def test_stream(client, model):
    with client.messages.stream(model=model, messages=HELLO, max_tokens=8, extra_body=GREEDY) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert message.content[0].text.strip() and message.stop_reason in ("end_turn", "max_tokens")


def test_system_prompt_counts(client):
    plain = client.messages.count_tokens(model=SMOLLM2, messages=HELLO).input_tokens
    longer = client.messages.count_tokens(model=SMOLLM2, messages=HELLO, system="You are a very polite pirate. " * 5)
    assert longer.input_tokens > plain > 0


def test_stop_sequence(client):
    reply = client.messages.create(model=SMOLLM2, max_tokens=32, extra_body=GREEDY, stop_sequences=["three"],
                                   messages=[{"role": "user", "content": "Repeat: one two three four"}])
    assert all("three" not in block.text for block in reply.content)


def test_errors(client):
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="no-such-model", messages=HELLO, max_tokens=4)
    assert caught.value.status_code in (400, 404)
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model=SMOLLM2, messages=[{"role": "user", "content": "word " * 4000}], max_tokens=4)
