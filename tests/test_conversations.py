"""Conversations survive their model's absence: the prompt is not evaluated again, the reply is the same."""

import pytest

from support import admin
from support.conversations import Conversation, metric, other, story
from support.paths import GEMMA, SMOLLM2, SMOLLM2_FILE
from support.process import wait_until

pytestmark = pytest.mark.own
BOTH = pytest.mark.parametrize("model", [SMOLLM2, GEMMA])
#: One thread and one stream: what is computed is the same each time.
EXACT = ("--threads", 1, "--ctx-size", 4096)
QUESTIONS = ("Who left the house?", "When was that?", "And the boats?", "Did it rain?")


def files(data):
    return sorted(data.glob("conversations/*/*.conversation"))


@BOTH
def test_the_reply_is_the_one_without_the_trip(start, real_models, tmp_path, model):
    """To another model and back, parked, unloaded, and over a restart: each turn as if it had stayed."""
    words = ("--models-dir", real_models, "--models-max", 1, *EXACT)
    staying = start(*words)
    undisturbed = Conversation(model).say(staying)
    for question in QUESTIONS:
        undisturbed.say(staying, question)
    staying.stop()

    server = start(*words, "--data-dir", tmp_path / "kept")
    travelling = Conversation(model).say(server)
    assert travelling.prompt >= 1200
    assert server.chat(other(model), max_tokens=1).status_code == 200
    travelling.continued(server, QUESTIONS[0])
    admin.act(server, model, "park")
    travelling.continued(server, QUESTIONS[1])
    admin.act(server, model, "unload")
    travelling.continued(server, QUESTIONS[2])
    assert metric(server, 'switchyard_conversations_total{event="restored"}') == 3
    assert server.stop() == 0
    server = start(*words, "--data-dir", tmp_path / "kept")
    travelling.continued(server, QUESTIONS[3])
    assert travelling.replies == undisturbed.replies


@BOTH
def test_more_conversations_than_slots(start, real_models, model):
    server = start("--models-dir", real_models, "--parallel", 1, *EXACT)
    talks = [Conversation(model, about, 25) for about in ("baker", "miller", "sailor")]
    for talk in talks:
        talk.say(server)
    for talk in talks:
        talk.continued(server, "Who was it?")
    admin.act(server, model, "park")
    for talk in reversed(talks):
        talk.continued(server, "Where did they go?")


def test_a_long_common_beginning_hides_none(start, real_models):
    """A slot that shares most of a prompt is not good enough while a kept state shares all of it."""
    server = start("--models-dir", real_models, "--parallel", 2, *EXACT)
    talks = [Conversation(SMOLLM2, "farmer", 30) for _ in range(3)]
    for talk, end in zip(talks, ("north", "south", "east")):
        talk.messages[0]["content"] += " " + story(f"wind from the {end}", 12)
        talk.say(server)
    for talk in talks:
        talk.continued(server, "What came next?")
    admin.act(server, SMOLLM2, "unload")
    for talk in talks:
        talk.continued(server, "And then?")


def catalog(*versions: str) -> str:
    rows = "".join(f"      - {{version: '{version}', file: {SMOLLM2_FILE}}}\n" for version in versions)
    return f"models:\n  - id: small\n    versions:\n{rows}"


def test_versions_do_not_share_and_what_is_removed_is_gone(start, real_models, tmp_path):
    config, data = tmp_path / "switchyard.yaml", tmp_path / "kept"
    config.write_text(catalog("1", "2", "3"))
    server = start("--config", config, "--data-dir", data, *EXACT)
    for version in ("1", "2", "3"):
        assert Conversation(f"small@{version}", sentences=8).say(server).cached == 0, "the same file, another version"
        admin.act(server, f"small@{version}", "unload")
    wait_until(lambda: len(files(data)) == 3, "three files")
    for file in files(data):
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == file.parent.parent.stat().st_mode & 0o777 == 0o700
    config.write_text(catalog("1", "3"))
    assert server.post("/admin/v1/config/reload").status_code == 200
    wait_until(lambda: len(files(data)) == 2, "the removed version's file to go")
    assert server.stop() == 0
    config.write_text(catalog("3"))
    server = start("--config", config, "--data-dir", data, *EXACT)
    wait_until(lambda: len(files(data)) == 1, "the file of the version removed meanwhile to go")


@BOTH
def test_other_settings_in_place_keep_weights_and_conversations(start, real_models, tmp_path, model):
    """Another context size, then other slots: the weights are not loaded again, the conversation goes on; what
    cannot be is refused and changes nothing."""
    config = tmp_path / "switchyard.yaml"

    def settings(**args):
        rows = "".join(f", {name.replace('_', '-')}: {value}" for name, value in args.items())
        config.write_text(f"models:\n  - {{id: m, file: {real_models / model}.gguf, args: {{threads: 1{rows}}}}}\n")
        return server and server.post("/admin/v1/config/reload")

    server = None
    settings(ctx_size=2048)
    server = start("--config", config, "--models-max", 1)
    talk = Conversation("m").say(server)
    for args, question in zip(({"ctx_size": 4096}, {"ctx_size": 4096, "parallel": 2}, {"ctx_size": 4096, "parallel": 1}),
                              QUESTIONS):
        log = admin.events(server)
        assert settings(**args).status_code == 200
        back = log.wait(admin.reached("m", "hot"), "the model with its new settings")
        log.close()
        assert back["origin"] == "parked" and back["n_ctx"] == 4096
        talk.continued(server, question)
    refused = settings(ctx_size=4096, lora=tmp_path / "absent.gguf")
    assert refused.status_code == 400 and "absent.gguf" in refused.text
    assert admin.state(server, "m") == "hot"
    talk.continued(server, QUESTIONS[3])


def test_a_damaged_file_is_removed_and_the_rest_goes_on(start, real_models, tmp_path):
    words = ("--models-dir", real_models, "--data-dir", tmp_path, *EXACT)
    server = start(*words)
    Conversation(SMOLLM2, "cat", 10).say(server)
    assert server.stop() == 0
    [file] = files(tmp_path)
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    file.write_bytes(raw)
    (file.parent / "0000000000000fff.conversation").write_bytes(b"nonsense")
    server = start(*words)
    talk = Conversation(SMOLLM2, "cat", 10).say(server)
    assert talk.cached == 0
    wait_until(lambda: not files(tmp_path), "both files to go")
    assert metric(server, 'switchyard_conversations_total{event="unreadable"}') == 2


def test_a_kill_loses_nothing_that_was_written(start, real_models, tmp_path):
    words = ("--models-dir", real_models, "--data-dir", tmp_path, *EXACT)
    server = start(*words)
    talk = Conversation(SMOLLM2, "dog", 20).say(server)
    admin.act(server, SMOLLM2, "unload")
    wait_until(lambda: files(tmp_path), "the file")
    server.kill()
    server = start(*words)
    talk.continued(server, "Who was it?")


def test_both_tiers_can_be_switched_off(start, real_models, tmp_path):
    config = tmp_path / "switchyard.yaml"
    config.write_text("conversations: {memory: 0, disk: 0}\n")
    server = start("--models-dir", real_models, "--config", config, "--data-dir", tmp_path, *EXACT)
    talk = Conversation(SMOLLM2, "hen", 10).say(server)
    admin.act(server, SMOLLM2, "unload")
    assert talk.say(server, "Who?").cached == 0
    assert not (tmp_path / "conversations").exists()


def test_clients_can_still_not_save_slots(start, real_models):
    server = start("--models-dir", real_models, *EXACT)
    Conversation(SMOLLM2, "goat", 5).say(server)
    reply = server.post(f"/slots/0?action=save&model={SMOLLM2}", {"model": SMOLLM2, "filename": "x"})
    assert reply.status_code == 501, reply.text
