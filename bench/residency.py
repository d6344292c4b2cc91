"""From nothing and from parked to the first token."""

from common import GEMMA, Table, admin, complete, folder, gguf_files, median, ms, ours, paths, shown, wait_inspected

ROUNDS = 5
BILLION = dict(embd=2048, ff=8192, layers=16, heads=32, kv_heads=8)  # 1.07e9 parameters with SmolLM2's vocabulary


def run() -> Table:
    flags = ("--threads", 2, "--ctx-size", 2048)
    table = Table("Parked against cold, to the first token", [shown("switchyard", "serve", "--models-dir", "models", *flags)])
    with folder() as models:
        (models / paths.GEMMA_FILE.name).symlink_to(paths.GEMMA_FILE)
        gguf_files.make_random(models / "random-1b-q4_0.gguf", vocabulary_of=paths.SMOLLM2_FILE, **BILLION)
        with ours("--models-dir", models, *flags) as server:
            for model, name in (("random-1b-q4_0", "random 1.07B Q4_0"), (GEMMA, "Gemma 3 270M")):
                wait_inspected(server, model)
                complete(server, model, 2)
                cold, parked, hot, ratios = [], [], [], []
                for _ in range(ROUNDS):
                    admin.act(server, model, "unload")
                    cold.append(complete(server, model, 1).first)
                    admin.act(server, model, "park")
                    parked.append(complete(server, model, 1).first)
                    hot.append(complete(server, model, 1).first)
                    ratios.append(cold[-1] / parked[-1])
                table.raw[model] = {"cold_s": cold, "parked_s": parked, "hot_s": hot}
                ratio = median(ratios)
                table.add(f"{name}: cold {ms(median(cold))}, hot {ms(median(hot))}; parked", ms(median(parked)), "",
                          f"{ratio:.1f}x quicker than cold", ">= 5x", ratio >= 5)
                admin.act(server, model, "unload")
    return table
