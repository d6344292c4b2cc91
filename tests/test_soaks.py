"""Minutes of many clients at once, behind ./run-tests --full: nothing but documented answers, a consistent
end, and memory that does not grow."""

import os
import random
import signal
import statistics
import threading
import time
from collections import Counter

import pytest

from support import admin, faults, gguf_files
from support.faults import Pulse, User
from support.process import Background, Chat, wait_until

pytestmark = [pytest.mark.own, pytest.mark.full, pytest.mark.timeout(3600)]
WORDS = {"1": "alpha", "2": "beta"}


def uss(server) -> int:
    return server.family()[0].memory_full_info().uss


def test_loads_that_fail_among_loads_that_succeed(start, tmp_path):
    """500 of each: whoever is being answered notices nothing, and nothing is kept of what failed."""
    models = tmp_path / "models"
    models.mkdir()
    good = gguf_files.make_talker(models / "alpha.gguf", "alpha")
    gguf_files.make_talker(models / "beta.gguf", "beta")
    large = gguf_files.make_talker(tmp_path / "large.gguf", "gamma")
    faults = ["truncated", "corrupted-header", "huge-string", "unknown-architecture", "too-large"]
    for fault in faults[:-1]:
        gguf_files.make_broken(models, fault, good)
    (tmp_path / "x.yaml").write_text(f"""
server: {{models_dir: {models}}}
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models:
  - {{id: too-large, file: {large}, args: {{ctx-size: 900000000}}}}
""")
    server = start("--config", tmp_path / "x.yaml", "--memory-budget", "4GiB")
    stop = threading.Event()

    def stay() -> int:
        replies = 0
        while not stop.is_set():
            chat = Chat(server.stream_chat("alpha", max_tokens=40, ignore_eos=True)).assert_whole("alpha")
            assert chat.text.split() == ["alpha"] * 40
            replies += 1
        return replies

    user = Background(stay)
    early = 0
    for number in range(500):
        fault = faults[number % len(faults)]
        failed = server.post("/models/load", {"model": fault, "wait": True})
        assert failed.status_code in (422, 507) and fault in failed.json()["error"]["message"], failed.text
        admin.act(server, "beta", "load")
        admin.act(server, "beta", "unload")
        if number == 200:
            early = uss(server)
    late = uss(server)
    assert user.running, user.result()
    stop.set()
    assert user.result() > 100
    assert admin.state(server, "alpha") == "hot"
    assert late < early * 1.02 + 2 * 2 ** 20, (early, late)


#: What a caller must be ready for while others load, unload and switch the same models (docs/api.md): 409 where
#: a newer switch came first or nothing is there to park or to roll back to, 503 where the model was unloaded while
#: it was waited for, 504 where the old version did not drain in time.
DOCUMENTED = {409: "conflict", 503: ("unavailable", "cancelled"), 504: "timeout"}


def test_a_storm_of_calls(start, tmp_path):
    """32 clients, 1024 random calls each."""
    lines = ""
    for version, word in WORDS.items():
        gguf_files.make_talker(tmp_path / f"{word}.gguf", word)
        lines += f"      - {{version: \"{version}\", file: {tmp_path}/{word}.gguf}}\n"
    gguf_files.make_talker(tmp_path / "gamma.gguf", "gamma")
    (tmp_path / "x.yaml").write_text(f"""
limits: {{models_max: 2, max_wait: 60s}}
defaults: {{args: {{threads: 1, ctx-size: 512, parallel: 4}}}}
models:
  - id: talker
    versions:
{lines}
  - {{id: other, file: {tmp_path}/gamma.gguf}}
aliases:
  - {{name: chat, to: talker@1}}
""")
    server = start("--config", tmp_path / "x.yaml")
    words = {"talker@1": "alpha", "talker@2": "beta", "other@1": "gamma"}
    seen, lock = Counter(), threading.Lock()

    def check(what, reply):
        with lock:
            seen[what, reply.status_code] += 1
        if reply.status_code in (200, 202):
            return
        error = reply.json()["error"]
        assert error["message"] and error["switchyard_code"] in DOCUMENTED.get(reply.status_code, ()), (
            what, reply.status_code, reply.text)

    def talk(name):
        reply = server.chat(name, max_tokens=3)
        check("chat", reply)
        if reply.status_code == 200:
            said = reply.json()["choices"][0]["message"]["content"].split()
            assert set(said) == {words[reply.headers["x-switchyard-version"]]}, (name, said)

    def client(seed):
        chance = random.Random(seed)
        for _ in range(1024):
            name = chance.choice(list(words))
            what = chance.choices(["chat", "load", "unload", "park", "resume", "switch", "rollback", "list"],
                                  [40, 8, 6, 8, 8, 10, 5, 15])[0]
            if what == "chat":
                talk(chance.choice([*words, "chat", "chat", "talker"]))
            elif what == "switch":
                policy, keep = chance.choice([("availability_preserving", "hot"), ("availability_preserving", "parked"),
                                              ("resource_preserving", "parked"), ("resource_preserving", "cold")])
                check(what, server.post("/admin/v1/aliases/chat/switch", {
                    "to": name, "wait": chance.random() < 0.5, "drain_timeout": "5s", "policy": policy,
                    "keep_old": keep}))
            elif what == "rollback":
                check(what, server.post("/admin/v1/aliases/chat/rollback"))
            elif what == "list":
                check(what, server.get(chance.choice(["/admin/v1/models", "/v1/models", "/admin/v1/aliases/chat"])))
            else:
                check(what, server.post(f"/admin/v1/models/{name.replace('@', '%40')}/{what}",
                                        {"wait": chance.random() < 0.5}))

    for one in [Background(client, seed) for seed in range(32)]:
        one.result(3000)
    print(dict(seen))

    def settled():
        versions = [version for name in ("talker", "other")
                    for version in server.get(f"/admin/v1/models/{name}").json()["versions"]]
        return all(version["state"] in ("hot", "parked", "cold") and version["leases"] == 0 for version in versions)

    wait_until(settled, "every version to come to rest")
    for name in words:
        talk(name)
    assert sum(count for (_, status), count in seen.items() if status == 200) > 32 * 1024 / 2


#: Faults that may come at any moment; what is not the victim's must not notice one of them.
AT_RANDOM = {
    "SIGKILL": faults.worker_signal(signal.SIGKILL), "SIGSEGV": faults.worker_signal(signal.SIGSEGV),
    "SIGSTOP": faults.worker_signal(signal.SIGSTOP), "out of memory": faults.worker_out_of_memory,
    "load killed": faults.load_killed_halfway, "file replaced": faults.file_replaced,
    "database locked": faults.database_locked, "descriptors": faults.few_descriptors,
    "resets": faults.client_resets, "slow readers": faults.slow_readers, "idle connections": faults.idle_connections,
    "unload": lambda site: admin.act(site.server, faults.VICTIM, "unload"),
    "park": lambda site: site.server.post(f"/admin/v1/models/{faults.VICTIM}/park"),
}


def test_faults_at_random(tmp_path):
    """16 streams for SWITCHYARD_SOAK_MINUTES (20): no wrong reply, every failure a typed error, the model that is left
    alone answers always, and memory does not grow."""
    minutes = float(os.environ.get("SWITCHYARD_SOAK_MINUTES", "20"))
    seed = int(os.environ.get("SWITCHYARD_SOAK_SEED", random.randrange(1 << 30)))
    print(f"SWITCHYARD_SOAK_SEED={seed}")
    chance = random.Random(seed)
    faults.make_models(tmp_path)
    site = faults.Site(tmp_path, "process")
    server = site.server
    injected, memory = Counter(), []
    try:
        with Pulse(server) as pulse:
            own = [User(server, faults.VICTIM, chance.randrange(1, 300)) for _ in range(8)]
            others = [User(server, faults.BYSTANDER, chance.randrange(1, 300)) for _ in range(8)]
            end = time.monotonic() + minutes * 60
            while time.monotonic() < end:
                name = chance.choice(list(AT_RANDOM))
                AT_RANDOM[name](site)
                injected[name] += 1
                before = sum(len(user.replies) for user in own)
                wait_until(lambda: sum(len(user.replies) for user in own) > before + 8, f"answers after {name}")
                memory.append(uss(server))
                time.sleep(chance.random())  # the pace of a soak, not a wait for something
            for user in own + others:
                user.stop()
    finally:
        code = server.stop()
    errors = sum((user.errors for user in own), Counter())
    latencies = {path: sorted(seconds)[int(len(seconds) * 0.99)] for path, seconds in pulse.seconds.items()}
    early = statistics.median(memory[len(memory) // 5:2 * len(memory) // 5])
    late = statistics.median(memory[-(len(memory) // 5):])
    print(dict(injected), {"own": sum(len(user.replies) for user in own),
                           "others": sum(len(user.replies) for user in others)},
          dict(errors), {path: f"p99 {second * 1000:.1f} ms" for path, second in latencies.items()},
          "MiB:", [round(size / 2 ** 20, 1) for size in memory[::max(1, len(memory) // 20)]])
    assert code == 0
    assert not [words for user in own + others for words in user.wrong]
    assert not sum((user.errors for user in others), Counter()), "who is not concerned notices nothing"
    documented = {"unavailable", "cancelled", "server_error"}  # the last is llama.cpp's, without memory
    assert {words.split()[1] for words in errors} <= documented, errors
    assert late < early * 1.02 + 2 * 2 ** 20, (early, late)
