"""The reference table of this field: load time, memory and switch time by model size. Random weights in
Q4_0, made here and deleted after."""

import os
import time

import psutil
from common import Table, admin, complete, folder, gguf_files, median, ms, ours, paths, settled, shown, wait_inspected

GIB = 2 ** 30
LLAMA2 = dict(n_vocab=32000, tied=False)
#: The shapes of Llama 3.2, Llama 2, Mistral and Code Llama; the reference's (load ms, memory GB, switch ms).
SIZES = {
    "1B": (dict(embd=2048, ff=8192, layers=16, heads=32, kv_heads=8), None),
    "7B": (dict(embd=4096, ff=11008, layers=32, heads=32, kv_heads=32, **LLAMA2), (1200, 4.5, 50)),
    "7B-GQA": (dict(embd=4096, ff=14336, layers=32, heads=32, kv_heads=8, **LLAMA2), (1200, 4.5, 50)),
    "13B": (dict(embd=5120, ff=13824, layers=40, heads=40, kv_heads=40, **LLAMA2), (2100, 7.8, 75)),
    "34B": (dict(embd=8192, ff=22016, layers=48, heads=64, kv_heads=8, **LLAMA2), (4500, 18.2, 150)),
    "70B": (dict(embd=8192, ff=28672, layers=80, heads=64, kv_heads=8, **LLAMA2), (8900, 35.6, 280)),
}
CONTEXT, ROUNDS = 2048, 3


def file_bytes(shape: dict) -> int:
    """Of Q4_0, 4.5 bits a weight, without the vocabulary."""
    kv_width = shape["embd"] // shape["heads"] * shape["kv_heads"]
    layer = 2 * shape["embd"] ** 2 + 2 * shape["embd"] * kv_width + 3 * shape["embd"] * shape["ff"]
    return int(shape["layers"] * layer * 4.5 / 8)


def forget_pages(path) -> None:
    """Drops the file from the page cache."""
    with open(path, "rb") as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_pages(path) -> None:
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def timed(server, model, action) -> float:
    """Seconds from the request to the engine being ready, by the clock of whoever asks."""
    began = time.perf_counter()
    admin.act(server, model, action)
    return time.perf_counter() - began


def measure(table: Table, name: str, shape: dict, reference) -> None:
    flags = ("--threads", 2, "--ctx-size", CONTEXT, "--parallel", 1)
    with folder() as models:
        file = gguf_files.make_random(models / f"random-{name.lower()}.gguf", vocabulary_of=paths.SMOLLM2_FILE, **shape)
        gguf_files.make_random(models / "small.gguf", vocabulary_of=paths.SMOLLM2_FILE, embd=512, ff=1024, layers=4,
                               heads=8, kv_heads=8)
        model, loads, memory = file.stem, {}, {}
        for way, words in (("repacked", ()), ("mapped", ("--no-repack",))):
            with ours("--models-dir", models, *flags, *words) as server:
                wait_inspected(server, model, "small")
                cold, warm = timed_loads(server, model, file, ROUNDS)
                loads[way] = {"cold_s": cold, "warm_s": warm}
                before = server.rss()
                complete(server, model, 1, prompt="Hello " * 600)
                need = admin.version(server, model)["predicted_bytes"][0]
                memory[way] = {"predicted": need["total"] - need["prompt_cache"], "actual": settled(server) - before,
                               "context": need["context"]}
                if way == "mapped":
                    continue
                parked, parked_first, hot_first = [], [], []
                for _ in range(ROUNDS):
                    admin.act(server, model, "park")
                    parked.append(timed(server, model, "resume"))
                    admin.act(server, model, "park")
                    parked_first.append(complete(server, model, 1).first)
                    hot_first.append(complete(server, model, 1).first)
                hot = hot_flips(server, model)
        table.raw[name] = {**loads, "memory": memory, "parked_s": parked,
                           "parked_first_s": parked_first, "hot_first_s": hot_first, "hot_flip_s": hot}
        for way, figures in loads.items():
            goal = f"<= {reference[0]} ms" if reference and way == "mapped" else ""
            best = median(figures["warm_s"])
            table.add(f"{name}: load, {way}; page cache cold {ms(median(figures['cold_s']))}, warm", ms(best), goal=goal,
                      met=best * 1000 <= reference[0] if goal else None)
        for way, figures in memory.items():
            table.add(f"{name}: memory, {way}; predicted {figures['predicted'] / 1e9:.2f} GB{room(figures, reference)}; actual",
                      f"{figures['actual'] / 1e9:.2f} GB", goal=f"<= {reference[1]} GB" if reference else "",
                      met=figures["actual"] / 1e9 <= reference[1] if reference else None)
        for what, ready, first in (("parked", parked, parked_first), ("hot", hot, hot_first)):
            table.add(f"{name}: switch to {what}; first token {ms(median(first))}, engine ready", ms(median(ready)),
                      goal=f"<= {reference[2]} ms" if reference else "",
                      met=median(ready) * 1000 <= reference[2] if reference else None)


def room(figures: dict, reference) -> str:
    """How many tokens of context the reference's memory would hold."""
    if reference is None:
        return ""
    beside = reference[1] * 1e9 - (figures["actual"] - figures["context"])
    return f"; {reference[1]} GB hold {max(0, int(beside / figures['context'] * CONTEXT)):,} tokens"


def timed_loads(server, model, file, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of loads with the page cache cold, and warm, in turns; the model is cold afterwards."""
    cold, warm = [], []
    for _ in range(rounds):
        forget_pages(file)
        cold.append(timed(server, model, "load"))
        admin.act(server, model, "unload")
        read_pages(file)
        warm.append(timed(server, model, "load"))
        admin.act(server, model, "unload")
    return cold, warm


def hot_flips(server, model) -> list[float]:
    """An alias moves between two hot models."""
    admin.act(server, model, "load")
    admin.act(server, "small", "load")
    assert server.request("PUT", "/admin/v1/aliases/table", {"to": "small"}).status_code in (200, 201)
    taken = []
    for _ in range(ROUNDS):
        for to in (model, "small"):
            began = time.perf_counter()
            reply = server.post("/admin/v1/aliases/table/switch", {"to": to, "keep_old": "hot"})
            assert reply.status_code == 200, reply.text
            if to == model:
                taken.append(time.perf_counter() - began)
    return taken


def run() -> Table:
    words = ("--models-dir", "models", "--threads", 2, "--ctx-size", CONTEXT, "--parallel", 1)
    table = Table("Load, memory and switch by size", [shown("switchyard", "serve", *words)])
    for name, (shape, reference) in SIZES.items():
        size, free = file_bytes(shape), psutil.virtual_memory().available
        if size * 2.2 > free:  # the weights and, repacked or being made, as much again
            table.add(name, f"skipped: {size / GIB:.0f} GiB of weights need {size * 2.2 / GIB:.0f} GiB, "
                            f"{free / GIB:.0f} are free")
            continue
        measure(table, name, shape, reference)
    return table
