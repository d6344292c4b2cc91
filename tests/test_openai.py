"""The official openai client on both real models."""

import json

import openai
import pytest

from support import gguf_files, paths
from support.paths import GEMMA, SMOLLM2
from support.process import wait_until

BOTH = pytest.mark.parametrize("model", [SMOLLM2, GEMMA])
HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]


def client_of(server, **kwargs) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key=server.key or "none", max_retries=0, timeout=120,
                         **kwargs)


@pytest.fixture
def client(fleet):
    with client_of(fleet) as client:
        yield client


@BOTH
def test_chat(client, model):
    reply = client.chat.completions.create(model=model, messages=HELLO, max_tokens=12, temperature=0)
    assert reply.model == model
    assert reply.choices[0].message.content.strip()
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage.prompt_tokens > 5 and 0 < reply.usage.completion_tokens <= 12
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


@BOTH
def test_stream_says_the_same_as_a_whole_reply(client, model):
    asked = dict(model=model, messages=HELLO, max_tokens=12, temperature=0, extra_body={"cache_prompt": False})
    whole = client.chat.completions.create(**asked)
    text, finish, usage, names = "", None, None, set()
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        names.add(chunk.model)
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert text == whole.choices[0].message.content
    assert finish == whole.choices[0].finish_reason
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert names == {model}


@BOTH
def test_stop_word(client, model):
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Count: one, two, three, four"}], max_tokens=24,
        temperature=0, stop=["e"])
    assert "e" not in (reply.choices[0].message.content or "")


@BOTH
def test_json_schema_output(client, model):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 2, 3]}},
              "required": ["ok", "n"], "additionalProperties": False}
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Answer in JSON."}], max_tokens=48, temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}})
    answer = json.loads(reply.choices[0].message.content)
    assert isinstance(answer["ok"], bool) and answer["n"] in (1, 2, 3) and set(answer) == {"ok", "n"}


@BOTH
def test_log_probabilities(client, model):
    reply = client.chat.completions.create(model=model, messages=HELLO, max_tokens=3, temperature=0, logprobs=True,
                                           top_logprobs=3)
    tokens = reply.choices[0].logprobs.content
    assert len(tokens) == reply.usage.completion_tokens
    for token in tokens:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token  # greedy takes the best


def test_several_choices(client):
    reply = client.chat.completions.create(model=SMOLLM2, messages=HELLO, max_tokens=4, n=2)
    assert sorted(choice.index for choice in reply.choices) == [0, 1]
    assert all(choice.message.content for choice in reply.choices)


@BOTH
def test_completions(client, model):
    reply = client.completions.create(model=model, prompt="The capital of France is", max_tokens=6, temperature=0)
    assert reply.object == "text_completion" and reply.model == model
    assert reply.choices[0].text.strip()


def test_streamed_completion(client):
    asked = dict(model=SMOLLM2, prompt="The capital of France is", max_tokens=6, temperature=0)
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True))
    assert "Paris" in text


def test_responses(client):
    reply = client.responses.create(model=SMOLLM2, input="Say hello.", max_output_tokens=8, temperature=0)
    assert reply.status in ("completed", "incomplete") and reply.output_text.strip()
    kinds = [event.type for event in client.responses.create(
        model=SMOLLM2, input="Say hello.", max_output_tokens=8, temperature=0, stream=True)]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert "response.output_text.delta" in kinds


def test_model_list(client):
    assert {SMOLLM2, GEMMA} <= {model.id for model in client.models.list().data}


def test_unknown_model_names_the_nearest(client):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=SMOLLM2 + "x", messages=HELLO)
    if paths.TESTING_PEER:
        assert caught.value.status_code == 400
    else:
        assert caught.value.status_code == 404 and SMOLLM2 in str(caught.value)


def test_bad_requests(client):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=SMOLLM2, messages=[{"role": "user", "content": {"not": "a list"}}])
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=SMOLLM2, messages=HELLO, response_format={"type": "nonsense"})
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=SMOLLM2, prompt="word " * 4000, max_tokens=1)
    assert "exceed" in str(caught.value)


def test_a_client_that_leaves_frees_its_slot(fleet, client):
    stream = client.chat.completions.create(model=SMOLLM2, messages=HELLO, max_tokens=2000, stream=True,
                                            temperature=0, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()
    wait_until(lambda: not any(slot["is_processing"] for slot in fleet.get(f"/slots?model={SMOLLM2}").json()),
               "the slot of the client that left")


def test_embeddings(start, real_models):
    server = start("-m", paths.SMOLLM2_FILE, "--embeddings", "--pooling", "mean", "--threads", 1, "--ctx-size", 512)
    with client_of(server) as client:
        reply = client.embeddings.create(model="any", input=["a cat", "a kitten", "the stock market fell"],
                                         encoding_format="float")
    one, two, three = (item.embedding for item in reply.data)
    assert len(one) == 576 and abs(sum(x * x for x in one) - 1) < 1e-3
    assert sum(a * b for a, b in zip(one, two)) > sum(a * b for a, b in zip(one, three))


def test_tools(start, tmp_path):
    """A model whose answer is a tool call in the words of its template; neither real model's template
    has tools."""
    model = gguf_files.make_reciter(tmp_path / "caller.gguf", [
        "<tool_call>", "\n{", '"name":', ' "get_weather",', ' "arguments":', ' {"city":', ' "Paris"}', "}\n",
        "</tool_call>"])
    template = paths.LLAMA / "models/templates/NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja"
    server = start("-m", model, "--jinja", "--chat-template-file", template, "--threads", 1)
    tool = {"type": "function", "function": {
        "name": "get_weather", "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
    asked = dict(model="caller", messages=[{"role": "user", "content": "What is the weather in Paris?"}],
                 temperature=0, tools=[tool])
    with client_of(server) as client:
        choice = client.chat.completions.create(**asked).choices[0]
        call = choice.message.tool_calls[0].function
        assert choice.finish_reason == "tool_calls"
        assert call.name == "get_weather" and json.loads(call.arguments) == {"city": "Paris"}
        name = arguments = ""
        for chunk in client.chat.completions.create(**asked, stream=True):
            for part in (chunk.choices and chunk.choices[0].delta.tool_calls) or []:
                name += part.function.name or ""
                arguments += part.function.arguments or ""
    assert name == "get_weather" and json.loads(arguments) == {"city": "Paris"}
