"""Tokens a second with one and four streams, and what our front adds to the time to first token."""

from common import SMOLLM2, Background, Table, complete, folder, gguf_files, median, ms, ours, paths, peer, shown

FLAGS = ("--threads", 2, "--ctx-size", 4096, "--parallel", 4)
TOKENS, ROUNDS, FIRST_TOKENS = 96, 7, 150


def rate_of(server, streams: int) -> float:
    """Tokens a second of all streams together, first to last token."""
    replies = [one.result() for one in [Background(complete, server, None, TOKENS) for _ in range(streams)]]
    begin, end = min(reply.times[0] for reply in replies), max(reply.times[-1] for reply in replies)
    return (sum(len(reply.times) for reply in replies) - streams) / (end - begin)


def run() -> Table:
    words = ("-m", paths.SMOLLM2_FILE, *FLAGS)
    table = Table("Throughput and time to first token against llama-server",
                  [shown("switchyard", "serve", *words), shown("llama-server", *words)])
    with ours(*words) as us, peer(*words) as them:
        for server in (us, them):
            complete(server, None, 8)
        for streams in (1, 4):
            pairs = []
            for turn in range(ROUNDS):
                order = (us, them) if turn % 2 == 0 else (them, us)
                rates = {id(server): rate_of(server, streams) for server in order}
                pairs.append((rates[id(us)], rates[id(them)]))
            table.raw[f"tokens_per_second_{streams}"] = pairs
            ratio = median(a / b for a, b in pairs)
            table.add(f"{streams} stream{'s' if streams > 1 else ''}, SmolLM2",
                      f"{median(a for a, _ in pairs):.1f} tokens/s", f"{median(b for _, b in pairs):.1f} tokens/s",
                      f"{ratio:.3f}", ">= 0.99", ratio >= 0.99)
    with folder() as models:
        words = ("-m", gguf_files.make_talker(models / "tiny.gguf"), "--threads", 1, "--ctx-size", 2048)
        with ours(*words) as us, peer(*words) as them:
            firsts = {id(us): [], id(them): []}
            for turn in range(FIRST_TOKENS + 10):
                for server in (us, them) if turn % 2 == 0 else (them, us):
                    firsts[id(server)].append(complete(server, None, 2).first)
            mine, theirs = (median(firsts[id(server)][10:]) for server in (us, them))
    table.raw["first_token_s"] = {"ours": mine, "peer": theirs}
    table.add("first token of a hot model of 0.5 MB (nearly all of it is the front)", ms(mine), ms(theirs),
              f"{(mine - theirs) * 1000:+.2f} ms", "< 1 ms more", mine - theirs < 0.001)
    return table
