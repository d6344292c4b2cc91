"""What serving from the mapped weights at once, and repacking them behind, could gain: both kinds of weights
from cold to the first token, and what the unrepacked ones cost until they are replaced."""

from common import (GEMMA, SHORT, SMOLLM2, Table, admin, complete, folder, gguf_files, median, ms, ours, paths, shown,
                    wait_inspected)
from residency import BILLION

ROUNDS = 4
FLAGS = ("--threads", 2, "--ctx-size", 2048)
WAYS = {"repacked": (), "mapped": ("--no-repack",)}
PROMPT = "Hello " * 600


def one_round(server, model: str, seen: dict) -> None:
    admin.act(server, model, "unload")
    seen["cold_s"].append(complete(server, model, 1).first)
    seen["prompt_s"].append(complete(server, model, 1, prompt=PROMPT).first)
    seen["rate"].append(complete(server, model, 100).rate)


def run() -> Table:
    table = Table("Repacked against mapped weights, from cold",
                  [shown("switchyard", "serve", "--models-dir", "models", *FLAGS, *way) for way in WAYS.values()])
    names = {SMOLLM2: SHORT[SMOLLM2], GEMMA: SHORT[GEMMA], "random-1b-q4_0": "random 1.07B Q4_0"}
    with folder() as models:
        for file in (paths.SMOLLM2_FILE, paths.GEMMA_FILE):
            (models / file.name).symlink_to(file)
        gguf_files.make_random(models / "random-1b-q4_0.gguf", vocabulary_of=paths.SMOLLM2_FILE, **BILLION)
        with ours("--models-dir", models, *FLAGS) as repacked, ours("--models-dir", models, *FLAGS, "--no-repack") as mapped:
            servers = {"repacked": repacked, "mapped": mapped}
            for server in servers.values():
                wait_inspected(server, *names)
            for model, name in names.items():
                seen = {way: {"cold_s": [], "prompt_s": [], "rate": []} for way in servers}
                for turn in range(ROUNDS):
                    for way in servers if turn % 2 == 0 else reversed(servers):
                        one_round(servers[way], model, seen[way])
                for server in servers.values():
                    admin.act(server, model, "unload")
                table.raw[model] = seen
                add(table, name, seen["repacked"], seen["mapped"])
    return table


def add(table: Table, name: str, repacked: dict, mapped: dict) -> None:
    def ratio(what: str) -> float:
        return median(b / a for a, b in zip(repacked[what], mapped[what]))

    saved = median(a - b for a, b in zip(repacked["cold_s"], mapped["cold_s"]))
    table.add(f"{name}: cold to the first token, repacked {ms(median(repacked['cold_s']))}; mapped",
              ms(median(mapped["cold_s"])), "", f"{ratio('cold_s'):.2f}x ({saved * 1000:+.0f} ms saved)")
    table.add(f"{name}: prompt of 600 tokens, repacked {ms(median(repacked['prompt_s']))}; mapped",
              ms(median(mapped["prompt_s"])), "", f"{ratio('prompt_s'):.2f}x")
    table.add(f"{name}: one stream, repacked {median(repacked['rate']):.1f} tokens/s; mapped",
              f"{median(mapped['rate']):.1f} tokens/s", "", f"{ratio('rate'):.2f}x")
