"""Two models, room for one, against llama-server's router: time to the first token after a change,
and the memory that it takes."""

import shutil

from common import (GEMMA, SHORT, SMOLLM2, PeakMemory, Table, complete, folder, median, mib, ms, ours, paths, peer,
                    shown, wait_inspected)

FLAGS = ("--models-max", 1, "--threads", 2, "--ctx-size", 2048)
ROUNDS, FIRST_LOADS = 6, 3
GOALS = {SMOLLM2: 0.4, GEMMA: 0.2}


def run() -> Table:
    words = ("--models-dir", paths.MODELS, *FLAGS)
    table = Table("Switching with room for one, against llama-server's router",
                  [shown("switchyard", "serve", *words), shown("llama-server", *words)])
    with ours(*words) as us, peer(*words) as them, PeakMemory(us) as mine, PeakMemory(them) as theirs:
        wait_inspected(us, SMOLLM2, GEMMA)
        for server in (us, them):
            for model in (SMOLLM2, GEMMA):
                complete(server, model, 1)
        firsts = {(id(server), model): [] for server in (us, them) for model in (SMOLLM2, GEMMA)}
        for turn in range(ROUNDS):
            for model in (SMOLLM2, GEMMA):
                for server in (us, them) if turn % 2 == 0 else (them, us):
                    firsts[id(server), model].append(complete(server, model, 1).first)
    for model in (SMOLLM2, GEMMA):
        a, b = firsts[id(us), model], firsts[id(them), model]
        table.raw[model] = {"ours_s": a, "peer_s": b}
        ratio = median(x / y for x, y in zip(a, b))
        table.add(f"to {SHORT[model]}, loaded before", ms(median(a)), ms(median(b)), f"{ratio:.2f}x",
                  f"<= {GOALS[model]}x", ratio <= GOALS[model])
    table.raw["peak_pss"] = {"ours": mine.peak, "peer": theirs.peak}
    ratio = mine.peak / theirs.peak
    table.add("highest PSS, children included", mib(mine.peak), mib(theirs.peak), f"{ratio:.2f}x", "<= 1.15x",
              ratio <= 1.15)
    first_loads(table, words)
    return table


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
