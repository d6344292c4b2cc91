"""Two models, room for one, against llama-server's router and llama-swap: time to the first token
after a change, and the memory that it takes. With room for both: an alias that moves between them."""

import contextlib
import http.client
import json
import shutil
import time
from statistics import fmean

import llama_swap
from common import (GEMMA, SHORT, SMOLLM2, PeakMemory, Table, admin, complete, folder, median, mib, ms, ours, paths,
                    peer, shown, wait_inspected)

SIZES = ("--threads", 2, "--ctx-size", 2048)
FLAGS = ("--models-max", 1, *SIZES)
FILES = {SMOLLM2: paths.SMOLLM2_FILE, GEMMA: paths.GEMMA_FILE}
ROUNDS, MEMORY_ROUNDS, FIRST_LOADS, FLIPS = 6, 3, 5, 10
GOALS = {SMOLLM2: 0.4, GEMMA: 0.2}
US, ROUTER, SWAP = "Switchyard", "llama-server's router", "llama-swap"


def run() -> Table:
    words = ("--models-dir", paths.MODELS, *FLAGS)
    program = llama_swap.binary()
    table = Table("Switching with room for one, against llama-server's router" + (" and llama-swap" if program else ""),
                  [shown("switchyard", "serve", *words), shown("llama-server", *words)])
    if program:
        table.commands.append("llama-swap -config both.yaml    # each model: " + shown("llama-server", *SIZES))
        table.raw["llama_swap"] = llama_swap.version(program)
    else:
        print("  without llama-swap: no binary in SWITCHYARD_LLAMA_SWAP, build/peers or on the PATH", flush=True)
    programs = {US: lambda: ours(*words), ROUTER: lambda: peer(*words)}
    if program:
        programs[SWAP] = lambda: llama_swap.serving(program, FILES, *SIZES)
    firsts = changes(programs)
    peaks = {name: highest_pss(name, start) for name, start in programs.items()}
    against(table, firsts, peaks, ROUTER)
    if program:
        against(table, firsts, peaks, SWAP)
        against_better(table, firsts)
    table.raw["firsts_s"], table.raw["peak_pss"] = firsts, peaks
    first_loads(table, words)
    hot_flips(table)
    return table


def changes(programs: dict) -> dict:
    """Seconds to the first token of each change, by program and model."""
    with contextlib.ExitStack() as running:
        servers = {name: running.enter_context(start()) for name, start in programs.items()}
        wait_inspected(servers[US], SMOLLM2, GEMMA)
        for server in servers.values():
            for model in FILES:
                complete(server, model, 1)
        firsts = {name: {model: [] for model in FILES} for name in servers}
        for turn in range(ROUNDS):
            for model in FILES:
                admin.wait_state(servers[US], model, "parked")
                for name in servers if turn % 2 == 0 else reversed(servers):
                    firsts[name][model].append(complete(servers[name], model, 1).first)
        return firsts


def highest_pss(name: str, start) -> int:
    """Of a program that runs alone: beside others that map the same files it would count a share of them."""
    with start() as server, PeakMemory(server) as sampled:
        if name == US:
            wait_inspected(server, SMOLLM2, GEMMA)
        for _ in range(MEMORY_ROUNDS):
            for model in FILES:
                complete(server, model, 1)
    return sampled.peak


def against(table: Table, firsts: dict, peaks: dict, name: str) -> None:
    """One peer's rows; the goals are the router's."""
    has_goal, suffix = name == ROUTER, "" if name == ROUTER else f", against {name}"
    for model, goal in GOALS.items():
        a, b = firsts[US][model], firsts[name][model]
        ratio = median(x / y for x, y in zip(a, b))
        table.add(f"to {SHORT[model]}, loaded before{suffix}", ms(median(a)), ms(median(b)), f"{ratio:.2f}x",
                  f"<= {goal}x" if has_goal else "", ratio <= goal if has_goal else None)
    ratio = peaks[US] / peaks[name]
    table.add(f"highest PSS, children included{suffix}", mib(peaks[US]), mib(peaks[name]), f"{ratio:.2f}x",
              "<= 1.15x" if has_goal else "", ratio <= 1.15 if has_goal else None)


def against_better(table: Table, firsts: dict) -> None:
    """Against whichever peer is the quicker one, by its median."""
    both = {name: [fmean(pair) for pair in zip(*times.values())] for name, times in firsts.items()}
    to_gemma = {name: times[GEMMA] for name, times in firsts.items()}
    for what, times, goal in (("mean of both directions", both, 0.3),
                              (f"to {SHORT[GEMMA]}, parked in memory", to_gemma, 0.15)):
        better = min((ROUTER, SWAP), key=lambda name: median(times[name]))
        ratio = median(x / y for x, y in zip(times[US], times[better]))
        table.add(f"{what}, against the better peer ({better})", ms(median(times[US])), ms(median(times[better])),
                  f"{ratio:.2f}x", f"<= {goal}x", ratio <= goal)


def first_loads(table: Table, words) -> None:
    """The very first load in a new process: with the file's inspection known, and without."""
    seen = {(kind, model): [] for kind in ("inspected", "uninspected", "peer") for model in (SMOLLM2, GEMMA)}
    with folder() as known:
        with ours(*words, data=known) as server:
            wait_inspected(server, SMOLLM2, GEMMA)
        for _ in range(FIRST_LOADS):
            for model in (SMOLLM2, GEMMA):
                # A copy each time: a server comes back with what the last one had in memory.
                with folder() as copy:
                    shutil.copytree(known, copy, dirs_exist_ok=True)
                    with ours(*words, data=copy) as server:
                        wait_inspected(server, model)
                        seen["inspected", model].append(complete(server, model, 1).first)
                with ours(*words) as server:
                    seen["uninspected", model].append(complete(server, model, 1).first)
                with peer(*words) as server:
                    seen["peer", model].append(complete(server, model, 1).first)
    for model in (SMOLLM2, GEMMA):
        theirs = seen["peer", model]
        for kind, goal in (("inspected", 0.6), ("uninspected", None)):
            mine = seen[kind, model]
            ratio = median(a / b for a, b in zip(mine, theirs))
            table.raw[f"first_{kind}_{model}"] = {"ours_s": mine, "peer_s": theirs}
            table.add(f"very first load of {SHORT[model]}, {kind}", ms(median(mine)), ms(median(theirs)),
                      f"{ratio:.2f}x", f"<= {goal}x" if goal else "", ratio <= goal if goal else None)


def hot_flips(table: Table) -> None:
    """An alias that moves between two hot models; no peer has one. Plain requests change models, too.
    Each turn's times are means over both models."""
    words = ("--models-dir", paths.MODELS, "--models-max", 2, *SIZES)
    table.commands.append(shown("switchyard", "serve", *words) + "    # the alias")
    plain, answers, firsts = [], [], []
    with ours(*words) as server:
        wait_inspected(server, SMOLLM2, GEMMA)
        for model in FILES:
            complete(server, model, 1)
        server.request("PUT", "/admin/v1/aliases/chat", {"to": GEMMA}).raise_for_status()
        for _ in range(FLIPS):
            plain.append(fmean(complete(server, model, 1).first for model in FILES))
            flips = [(switch_alias(server, "chat", model), complete(server, "chat", 1).first) for model in FILES]
            answers.append(fmean(answer for answer, _ in flips))
            firsts.append(fmean(first for _, first in flips))
    table.raw["hot_flip"] = {"plain_s": plain, "answer_s": answers, "first_s": firsts}
    ratio = median(b / a for a, b in zip(plain, firsts))
    table.add("hot alias flip, two hot models: from the switch to its answer", ms(median(answers)))
    table.add("from the switch to the first token of a request sent after its answer",
              ms(median(a + b for a, b in zip(answers, firsts))))
    table.add(f"first token of that request alone (where nothing was switched: {ms(median(plain))})",
              ms(median(firsts)), "", f"{ratio:.2f}x of one without a switch")


def switch_alias(server, alias: str, model: str) -> float:
    """Seconds until the answer, on a connection of its own; the old model stays hot."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.connect()
    began = time.perf_counter()
    connection.request("POST", f"/admin/v1/aliases/{alias}/switch", json.dumps({"to": model, "keep_old": "hot"}))
    reply = connection.getresponse()
    body = reply.read()
    took = time.perf_counter() - began
    connection.close()
    assert reply.status == 200, body
    return took
