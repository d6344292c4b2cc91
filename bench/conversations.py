"""There and back with a long prompt: what a conversation's return costs against its first pass."""

from common import GEMMA, SHORT, SMOLLM2, Table, complete, median, ms, ours, paths, peer, shown, wait_inspected

ROUNDS = 3
WORDS = ("--models-max", 1, "--threads", 2, "--ctx-size", 4096)


def prompt(about: str) -> str:
    """About 1500 tokens that share no beginning with another's."""
    return f"About the {about}. " + " ".join(
        f"On day {day} the {about} left the house at noon, saw {day + 3} boats and came home by night."
        for day in range(72))


def trips(server, model: str, other: str, kind: str) -> tuple[list[float], list[float]]:
    """First passes and returns, in seconds to the first token, with `other` in between."""
    first, back = [], []
    for turn in range(ROUNDS):
        text = prompt(f"{kind} number {turn}")
        complete(server, model, 1)  # hot, so that the first pass is the prompt's alone
        first.append(complete(server, model, 8, text, cache_prompt=True).first)
        complete(server, other, 1)
        back.append(complete(server, model, 8, text + " Then it", cache_prompt=True).first)
        complete(server, other, 1)
    return first, back


def run() -> Table:
    table = Table("A conversation of 1500 tokens leaves and comes back, room for one model",
                  [shown("switchyard", "serve", "--models-dir", "models", *WORDS),
                   shown("llama-server", "--models-dir", "models", *WORDS)])
    words = ("--models-dir", paths.MODELS, *WORDS)
    with ours(*words) as server, peer(*words) as router:
        wait_inspected(server, SMOLLM2, GEMMA)
        for model, other in ((SMOLLM2, GEMMA), (GEMMA, SMOLLM2)):
            first, back = trips(server, model, other, "fisherman")
            peer_first, peer_back = trips(router, model, other, "fisherman")
            table.raw[model] = {"first_s": first, "back_s": back, "peer_first_s": peer_first, "peer_back_s": peer_back}
            ratio = median(after / before for before, after in zip(first, back))
            peer_ratio = median(after / before for before, after in zip(peer_first, peer_back))
            table.add(f"{SHORT[model]}: first pass {ms(median(first))}; return", ms(median(back)),
                      ms(median(peer_back)), f"{ratio:.3f}x of the first pass (peer {peer_ratio:.2f}x)", "<= 0.1x",
                      ratio <= 0.1)
    return table
