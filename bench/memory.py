"""Predicted memory against what the process grows by. The command for one model:
`bench/run memory`, which reads VmRSS in /proc/PID/status before the load and after a prompt of one
full micro-batch (512 tokens)."""

from common import (GEMMA, SHORT, SMOLLM2, Table, admin, complete, folder, gguf_files, mib, ours, paths, settled, shown,
                    wait_inspected)

FLAGS = ("--threads", 2, "--ctx-size", 4096, "--parallel", 2, "--cache-ram", 0)
RANDOM = {
    "random-110m-q4_0": dict(embd=768, ff=2048, layers=12, heads=12, kv_heads=12, vocabulary_of=paths.SMOLLM2_FILE),
    "random-250m-f16": dict(embd=1024, ff=2816, layers=16, heads=16, kv_heads=4, quant="F16",
                            vocabulary_of=paths.SMOLLM2_FILE),
    "random-400m-q8_0": dict(embd=1536, ff=4096, layers=16, heads=24, kv_heads=8, quant="Q8_0"),
}


def run() -> Table:
    table = Table("Predicted against actual memory", [shown("switchyard", "serve", "--models-dir", "models", *FLAGS)])
    with folder() as models:
        for file in (paths.SMOLLM2_FILE, paths.GEMMA_FILE):
            (models / file.name).symlink_to(file)
        for name, shape in RANDOM.items():
            gguf_files.make_random(models / f"{name}.gguf", **shape)
        for model in (SMOLLM2, GEMMA, *RANDOM):
            with ours("--models-dir", models, *FLAGS) as server:
                wait_inspected(server, model)
                need = admin.version(server, model)["predicted_bytes"][0]
                predicted = need["total"] - need["prompt_cache"]
                before = server.rss()
                admin.act(server, model, "load")
                complete(server, model, 4, prompt=[300] * 520)
                actual = settled(server) - before
            table.raw[model] = {"predicted": need, "actual": actual}
            error = predicted / actual - 1
            table.add(SHORT.get(model, model), f"predicted {mib(predicted)}, actual {mib(actual)}", "",
                      f"{error:+.1%}", "within 5 %, not under by more than 2 %", -0.02 <= error <= 0.05)
    return table
