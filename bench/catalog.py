"""A catalog of a thousand models of which none is loaded."""

import shutil
import time

from common import (Server, Table, admin, folder, gguf_files, median, ms, serve_words, shown, wait_until)

MODELS = 1000


def list_times(server) -> list[float]:
    times = []
    for _ in range(60):
        begin = time.perf_counter()
        server.get("/v1/models").raise_for_status()
        times.append(time.perf_counter() - begin)
    return times


def resident(models, data) -> tuple[float, int, int, list[float], list[float]]:
    """Seconds to ready, resident bytes then and after every file was inspected, times of /v1/models
    while files are inspected and at rest."""
    words = serve_words("--models-dir", models, "--data-dir", data)
    began = time.perf_counter()
    server = Server(words, ready_path="/ready")
    took = time.perf_counter() - began
    try:
        at_start = server.rss()
        busy = list_times(server)
        wait_until(lambda: all("predicted_bytes" in model["versions"][0]
                               for model in server.get("/admin/v1/models").json()["models"]),
                   "inspections", deadline=300, every=0.5)
        rss = server.rss()
        return took, at_start, rss, busy, list_times(server)
    finally:
        server.stop()


def run() -> Table:
    table = Table(f"A catalog of {MODELS} models", [shown("switchyard", "serve", "--models-dir", "models")])
    with folder() as root:
        one, many = root / "one", root / "many"
        one.mkdir()
        many.mkdir()
        file = gguf_files.make_talker(one / "m0000.gguf")
        for i in range(MODELS):
            shutil.copy(file, many / f"m{i:04}.gguf")
        _, base_start, base, _, _ = resident(one, root / "data-one")
        took, at_start, after, busy, times = resident(many, root / "data-many")
    table.raw = {"start_s": took, "list_s": times, "list_busy_s": busy, "rss_one": [base_start, base], "rss_many": [at_start, after]}
    table.add("start until ready", ms(took), "", "", "< 1 s", took < 1)
    table.add("GET /v1/models, median", ms(median(times)), "", "", "< 20 ms", median(times) < 0.02)
    table.add("the same while the files are inspected", ms(median(busy)))
    for when, bytes_each in (("as started", (at_start - base_start) / (MODELS - 1)),
                             ("all inspected", (after - base) / (MODELS - 1))):
        table.add(f"resident memory for each cold model, {when}", f"{bytes_each / 1024:.2f} KiB", "", "", "< 4 KiB",
                  bytes_each < 4096)
    return table
