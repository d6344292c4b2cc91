"""On an NVIDIA GPU: where the bytes are, what loads and switches take, and that memory comes back. For a CUDA
build:

  SWITCHYARD_BIN=build-cuda/bin/switchyard SWITCHYARD_PEER=build-cuda/bin/llama-server bench/run gpu

Random weights in Q4_0, made here and deleted after; with SWITCHYARD_GPU_MODELS=DIR they are made there and
stay. Takes 6 GB of disk and 16 GB of the GPU. SWITCHYARD_GPU_LARGE=13b,34b,70b loads these, too, where GPU and
disk hold them (8, 19 and 39 GB of each)."""

import atexit
import contextlib
import ctypes
import functools
import json
import os
import shutil
import signal
import tempfile
import time
import traceback
from pathlib import Path

from common import (Background, Table, admin, complete, folder, gguf_files, median, mib, ms, ours, paths, peer, shown,
                    wait_inspected, wait_until)
from switch_table import CONTEXT, SIZES, file_bytes, hot_flips, read_pages, timed, timed_loads
from throughput import rate_of

FLAGS = ("--ctx-size", 8192, "--parallel", 4)
#: The 1B and 7B of the table by size, and a third to switch to.
MODELS = {"1b": SIZES["1B"][0], "7b": SIZES["7B"][0],
          "small": dict(embd=1024, ff=4096, layers=16, heads=16, kv_heads=4)}
LARGE = [name for name in os.environ.get("SWITCHYARD_GPU_LARGE", "").split(",") if name]
BY_SIZE = ("--ctx-size", CONTEXT, "--parallel", 1)
LOADS, PARKS, SWITCHES, RATES = 3, 5, 50, 7
GIB, MIB = 2 ** 30, 2 ** 20
SLACK = 32 * MIB  # of what is to be as before


class Gpu:
    """The first GPU as its driver sees it (NVML: what nvidia-smi reads)."""

    class _Memory(ctypes.Structure):
        _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]

    def __init__(self):
        self._nvml = ctypes.CDLL("libnvidia-ml.so.1")
        assert self._nvml.nvmlInit_v2() == 0, "no NVIDIA driver"
        self._device = ctypes.c_void_p()
        assert self._nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self._device)) == 0, "no GPU"
        name = ctypes.create_string_buffer(96)
        self._nvml.nvmlDeviceGetName(self._device, name, 96)
        self.name, self.total = name.value.decode(), self._read().total

    def _read(self):
        memory = self._Memory()
        assert self._nvml.nvmlDeviceGetMemoryInfo(self._device, ctypes.byref(memory)) == 0
        return memory

    def used(self) -> int:
        return self._read().used

    def settled(self, most: int | None = None, wait: float = 10) -> int:
        """What is used, once that is no more than `most` (or after `wait` seconds what it is then)."""
        end = time.monotonic() + wait
        while most is not None and (now := self.used()) > most and time.monotonic() < end:
            time.sleep(0.05)
        return self.used()


def on_device(server, model: str) -> dict:
    """The prediction's part on the GPU."""
    return next(item for item in admin.version(server, model)["predicted_bytes"] if item["device"] != "host")


def make_models(folder_: Path) -> None:
    folder_.mkdir(exist_ok=True)
    vocabulary = paths.SMOLLM2_FILE if paths.SMOLLM2_FILE.exists() else None
    shapes = {**MODELS, **{name: SIZES[name.upper()][0] for name in LARGE}}
    for seed, (name, shape) in enumerate(shapes.items()):
        if not (folder_ / f"{name}.gguf").exists():
            began = time.monotonic()
            gguf_files.make_random(folder_ / "new.part", vocabulary_of=vocabulary, seed=seed, **shape)
            (folder_ / "new.part").rename(folder_ / f"{name}.gguf")
            print(f"  made {name} in {time.monotonic() - began:.1f} s", flush=True)


@functools.cache
def _data() -> Path:
    path = Path(tempfile.mkdtemp(prefix="switchyard-bench-"))
    atexit.register(shutil.rmtree, path)
    return path


@contextlib.contextmanager
def models_folder():
    if given := os.environ.get("SWITCHYARD_GPU_MODELS"):
        make_models(Path(given))
        yield Path(given)
        return
    with folder() as own:
        make_models(own)
        yield own


@contextlib.contextmanager
def serving(models: Path, *words, limits: dict | None = None):
    """A server that knows what earlier ones have inspected and has nothing in memory."""
    config = _data() / "gpu.yaml"
    config.write_text(json.dumps({"limits": {"restore_resident": False, **(limits or {})}}))
    with ours("--config", config, "--models-dir", models, *words, data=_data()) as server:
        try:
            yield server
        except BaseException:
            print("\n".join(server.lines[-40:]), flush=True)
            raise


def text_of(server, model: str | None, tokens: int = 48, **fields) -> dict:
    body = {"prompt": "Once upon a time", "n_predict": tokens, "temperature": 0, "cache_prompt": False,
            "ignore_eos": True, **fields}
    reply = server.post("/completion", {**body, **({"model": model} if model else {})})
    assert reply.status_code == 200, reply.text
    return reply.json()


def sizes(table: Table, gpu: Gpu, models: Path) -> None:
    """Offload, prediction, loads, parking, hot switches, bytes given back: one server, one model at a time."""
    nothing = gpu.used()
    with serving(models, *BY_SIZE) as server:
        wait_inspected(server, *MODELS)
        raw = table.raw["sizes"] = {"nothing": nothing, "server": gpu.settled(nothing + SLACK)}
        admin.act(server, "small", "load")
        complete(server, "small", 1)
        admin.act(server, "small", "unload")
        context = raw["context"] = gpu.used() - nothing  # what the process keeps once it has used the GPU
        table.add("the server's process on the GPU before a first load; what stays once it has had a model",
                  f"{mib(raw['server'] - nothing)}; {mib(context)}")
        for name in ("1b", "7b"):
            of_size(table, gpu, server, models / f"{name}.gguf", nothing + context, LOADS)


def large(table: Table, gpu: Gpu, models: Path) -> None:
    nothing = gpu.used()
    for name in LARGE:
        if file_bytes(SIZES[name.upper()][0]) + 4 * GIB > gpu.total:
            continue
        with serving(models, *BY_SIZE) as server:
            wait_inspected(server, name, "small")
            admin.act(server, "small", "load")
            complete(server, "small", 1)
            admin.act(server, "small", "unload")
            of_size(table, gpu, server, models / f"{name}.gguf", gpu.used(), 0)
        assert gpu.settled(nothing + SLACK) <= nothing + SLACK


def of_size(table: Table, gpu: Gpu, server, file: Path, floor: int, loads: int) -> None:
    name = file.stem
    load_goal, memory_goal, switch_goal = SIZES[name.upper()][1] or (None, None, None)
    cold, warm = timed_loads(server, name, file, loads)
    before = gpu.settled(floor + SLACK)
    read_pages(file)
    warm.append(timed(server, name, "load"))
    version, need = admin.version(server, name), on_device(server, name)
    loaded = gpu.used() - before
    complete(server, name, 64, prompt=[300] * 1500)
    worked = gpu.used() - before
    first, parks, hot = [], [], []
    for _ in range(PARKS):
        hot.append(complete(server, name, 1).first)
        admin.act(server, name, "park")
        parked = gpu.used() - before
        parks.append(timed(server, name, "resume"))
        admin.act(server, name, "park")
        first.append(complete(server, name, 1).first)
    flips = hot_flips(server, name)
    assert server.request("DELETE", "/admin/v1/aliases/table").status_code < 300
    for model in ("small", name):
        admin.act(server, model, "unload")
    after = gpu.settled(before + SLACK)
    layers, all_layers = int(version["resolved_args"].get("n-gpu-layers", -1)), version["n_layers"]
    table.raw[name] = {"cold_s": cold, "warm_s": warm, "predicted": version["predicted_bytes"], "loaded": loaded,
                       "worked": worked, "parked": parked, "parked_s": parks, "parked_first_s": first,
                       "hot_first_s": hot, "hot_flip_s": flips, "before": before, "after": after,
                       "n_gpu_layers": layers, "n_layers": all_layers}
    table.add(f"{name}: layers on the GPU", f"{min(layers, all_layers)} of {all_layers}", goal="all",
              met=layers >= all_layers)
    table.add(f"{name}: predicted {mib(need['total'])} on {need['device']}; taken when loaded, after work",
              f"{mib(loaded)}, {mib(worked)}", ratio=f"{need['total'] / worked - 1:+.1%}",
              goal="within 5 %, not under by more than 2 %", met=-0.02 <= need["total"] / worked - 1 <= 0.05)
    table.add(f"{name}: on the GPU with a context of {CONTEXT} tokens", f"{worked / 1e9:.2f} GB",
              goal=f"<= {memory_goal} GB" if memory_goal else "", met=worked <= memory_goal * 1e9 if memory_goal else None)
    seen = f"page cache cold {ms(median(cold))}, warm" if cold else "page cache warm, once"
    table.add(f"{name}: load; {seen}", ms(median(warm)),
              goal=f"<= {load_goal} ms" if load_goal else "",
              met=median(warm) * 1000 <= load_goal if load_goal else None)
    for what, ready, token in (("parked", parks, first), ("hot", flips, hot)):
        table.add(f"{name}: switch to {what}; first token {ms(median(token))}, engine ready", ms(median(ready)),
                  goal=f"<= {switch_goal} ms" if switch_goal else "",
                  met=median(ready) * 1000 <= switch_goal if switch_goal else None)
    table.add(f"{name}: parked it keeps on the GPU (its weights are {mib(need['weights_private'])})", mib(parked))
    table.add(f"{name}: left on the GPU by load, work, park and unload", mib(max(after - before, 0)),
              goal=f"<= {mib(SLACK)}", met=after - before <= SLACK)


def budget(table: Table, gpu: Gpu, models: Path) -> None:
    """A budget of the device with room for one of two: requests make them take turns."""
    floor = gpu.used()
    with serving(models, *FLAGS) as server:
        wait_inspected(server, *MODELS)
        need = {name: on_device(server, name) for name in MODELS}
    room = need["7b"]["total"] + 64 * MIB
    used, firsts, texts, failed = [], {"7b": [], "1b": []}, {"7b": set(), "1b": set()}, 0
    limits = {"device_budgets": {need["7b"]["device"]: room}, "min_residency": "0s"}
    with serving(models, *FLAGS, limits=limits) as server:
        wait_inspected(server, *MODELS)
        for name in ("7b", "1b"):
            complete(server, name, 1)
        for turn in range(SWITCHES):
            name = ("7b", "1b")[turn % 2]
            began = time.perf_counter()
            try:
                firsts[name].append(complete(server, name, 1).first)
            except AssertionError as error:
                print(f"  switch {turn} to {name} failed after {time.perf_counter() - began:.1f} s: {error}")
                failed += 1
            used.append(gpu.used() - floor)
            if turn % 10 < 2:
                texts[name].add(text_of(server, name)["content"])
        for name in ("7b", "1b"):
            admin.act(server, name, "unload")
        context = gpu.settled(floor, wait=1) - floor
    left = gpu.settled(floor + SLACK) - floor
    drift = max(max(used[i::2][-5:]) - max(used[i::2][:5]) for i in (0, 1))
    table.raw["budget"] = {"need": need, "room": room, "used": used, "firsts_s": firsts, "failed": failed,
                           "context": context, "left": left, "texts": {k: sorted(v) for k, v in texts.items()}}
    table.add(f"{SWITCHES} switches between 1b and 7b, device budget {mib(room)}: failed requests", str(failed), goal="0",
              met=failed == 0)
    table.add("the same: first token of 1b (cold in between), of 7b (parked)",
              f"{ms(median(firsts['1b']))}, {ms(median(firsts['7b']))}")
    table.add(f"the same: most on the GPU beside the process's own {mib(context)}", mib(max(used) - context),
              goal=f"<= {mib(room * 1.05)}", met=max(used) - context <= room * 1.05)
    table.add("the same: more on the GPU after the last five than after the first five", mib(max(drift, 0)),
              goal=f"<= {mib(SLACK)}", met=drift <= SLACK)
    table.add("the same: different texts of one prompt, temperature 0",
              f"{len(texts['1b'])} of 1b, {len(texts['7b'])} of 7b", goal="1 each",
              met=len(texts["1b"]) == len(texts["7b"]) == 1)
    table.add("the server ended: left on the GPU", mib(max(left, 0)), goal=f"<= {mib(SLACK)}", met=left <= SLACK)


def card_as_budget(table: Table, gpu: Gpu, models: Path) -> None:
    """No budget is given, and two models that the card holds one of ask for it in turns."""
    cache = 32 * 2 * 4096 * 2  # bytes a token of the 7B's context
    tokens = int(gpu.total * 0.55 - 4 * GIB) // cache // 256 * 256
    with folder() as own:
        for name in ("large-1", "large-2"):
            (own / f"{name}.gguf").symlink_to(models / "7b.gguf")
        words = ("--ctx-size", tokens, "--parallel", 1)
        with serving(own, *words) as server:
            wait_inspected(server, "large-1", "large-2")
            need = on_device(server, "large-1")["total"]
            states, firsts = [], []
            for turn in range(4):
                firsts.append(complete(server, f"large-{turn % 2 + 1}", 1).first)
                states.append([admin.state(server, f"large-{i}") for i in (1, 2)])
    table.raw["card"] = {"need": need, "ctx": tokens, "firsts_s": firsts, "states": states, "total": gpu.total}
    table.add(f"without a device budget, two models of {need / GIB:.0f} GiB on {gpu.total / GIB:.0f} GiB: switches "
              "without a failure", "4 of 4", ratio=f"first token {ms(median(firsts))}", goal="4 of 4", met=True)


def throughput(table: Table, models: Path) -> None:
    for name in ("1b", "7b"):
        words = ("-m", models / f"{name}.gguf", *FLAGS)
        with ours(*words) as us, peer(*words) as them:
            for server in (us, them):
                rate_of(server, 4)
            raw = table.raw[f"throughput_{name}"] = {}
            for streams in (1, 4):
                pairs = []
                for turn in range(RATES):
                    order = (us, them) if turn % 2 == 0 else (them, us)
                    rates = {id(server): rate_of(server, streams) for server in order}
                    pairs.append((rates[id(us)], rates[id(them)]))
                raw[str(streams)] = pairs
                ratio = median(a / b for a, b in pairs)
                table.add(f"{name}, {streams} stream{'s' if streams > 1 else ''}",
                          f"{median(a for a, _ in pairs):.0f} tokens/s", f"{median(b for _, b in pairs):.0f} tokens/s",
                          f"{ratio:.3f}", ">= 0.99", ratio >= 0.99)
            complete(us, None, 1, prompt=[299] * 1900), complete(them, None, 1, prompt=[299] * 1900)
            prompts = [(complete(us, None, 1, prompt=[300 + turn] * 1900).first,
                        complete(them, None, 1, prompt=[300 + turn] * 1900).first) for turn in range(RATES)]
            raw["prompt_s"] = prompts
            table.add(f"{name}: first token after a prompt of 1900 tokens", ms(median(a for a, _ in prompts)),
                      ms(median(b for _, b in prompts)), f"{median(a / b for a, b in prompts):.2f}x")
            same = text_of(us, None)["content"] == text_of(them, None)["content"]
            raw["same_text"] = same
            table.add(f"{name}: the same text from both, temperature 0", "yes" if same else "no", goal="yes", met=same)


def conversation(table: Table, models: Path) -> None:
    """What a conversation on the GPU costs after its model was parked, and after it was unloaded."""
    with serving(models, *FLAGS) as server:
        wait_inspected(server, "7b")
        raw = table.raw["conversation"] = {}
        for way in ("park", "unload"):
            prompt = [300 + len(way) + i % 50 for i in range(1500)]
            asked = dict(model="7b", n_predict=16, temperature=0, cache_prompt=True, ignore_eos=True)
            before = server.post("/completion", {**asked, "prompt": prompt}).json()
            again = server.post("/completion", {**asked, "prompt": prompt}).json()
            admin.act(server, "7b", way)
            after = server.post("/completion", {**asked, "prompt": prompt}).json()
            raw[way] = {"first": before["timings"], "again": again["timings"], "after": after["timings"],
                        "same": after["content"] == again["content"], "same_as_first": after["content"] == before["content"]}
            cached = after["timings"]["cache_n"]
            table.add(f"7b: of a prompt of {len(prompt)} tokens, not evaluated again after {way}", f"{cached} tokens",
                      goal=f">= {len(prompt) - 8}", met=cached >= len(prompt) - 8)


def isolated(table: Table, gpu: Gpu, models: Path) -> None:
    """A worker with its model on the GPU is killed."""
    nothing = gpu.used()
    with serving(models, *FLAGS, "--isolation", "process") as server:
        wait_inspected(server, *MODELS, *LARGE)  # an inspection takes some of the GPU while it runs
        began = gpu.settled(nothing + SLACK) - nothing
        complete(server, "1b", 8)
        need, loaded = on_device(server, "1b")["total"], gpu.used() - nothing
        (worker,) = server.workers()
        killed = time.perf_counter()
        os.kill(worker.pid, signal.SIGKILL)
        wait_until(lambda: worker.pid not in {one.pid for one in server.workers()}, "the death to be seen")
        while True:  # refused while it is known to be broken; a client would try again, too
            try:
                complete(server, "1b", 1)
                break
            except AssertionError:
                assert time.perf_counter() - killed < 30
                time.sleep(0.02)
        back = time.perf_counter() - killed
        again = gpu.used() - nothing
        admin.act(server, "1b", "unload")
        left = gpu.settled(nothing + began + SLACK) - nothing
    table.raw["isolated"] = {"server": began, "predicted": need, "loaded": loaded, "again": again, "left": left,
                             "back_s": back}
    table.add("isolation: process, 1b: on the GPU (predicted), of it beside the model",
              f"{mib(loaded)} ({mib(need)})", ratio=mib(loaded - need))
    table.add("its worker is killed: from there to the next first token", ms(back))
    table.add("the same: more on the GPU than before the kill", mib(max(again - loaded, 0)), goal=f"<= {mib(SLACK)}",
              met=again - loaded <= SLACK)
    table.add("the same, unloaded: left on the GPU", mib(max(left, 0)), goal=f"<= {mib(SLACK)}", met=left <= SLACK)


def run() -> Table:
    gpu = Gpu()
    table = Table(f"On a GPU: {gpu.name}, {gpu.total / GIB:.0f} GiB", [
        shown("switchyard", "serve", "--models-dir", "models", *BY_SIZE) + "    # by size",
        shown("switchyard", "serve", "--models-dir", "models", *FLAGS) + "    # the rest",
        shown("llama-server", "-m", "7b.gguf", *FLAGS)])
    with models_folder() as models:
        for part, arguments in ((sizes, (table, gpu, models)), (throughput, (table, models)),
                                (budget, (table, gpu, models)), (isolated, (table, gpu, models)),
                                (conversation, (table, models)), (card_as_budget, (table, gpu, models)), (large, (table, gpu, models))):
            began = time.monotonic()
            try:
                part(*arguments)
            except Exception as error:  # noqa: BLE001  (the other parts have their say)
                traceback.print_exc()
                table.raw[f"{part.__name__}_failed"] = traceback.format_exc()
                table.add(part.__name__.replace("_", " "), f"failed: {str(error).splitlines()[0][:120]}", goal="works", met=False)
            print(f"  {part.__name__}: {time.monotonic() - began:.0f} s", flush=True)
            if kept := os.environ.get("SWITCHYARD_BENCH_RAW"):
                Path(kept).write_text(json.dumps(table.raw, indent=1))
    return table
