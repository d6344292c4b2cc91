"""Makes GGUF files: small models that say what a test wants, large random ones, LoRA adapters and
files that are broken in a chosen way."""

import struct
from pathlib import Path

import numpy as np

from . import paths  # noqa: F401  (puts gguf-py on the path)
import gguf
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

#: Words that a `talker` may say, each one token.
WORDS = ["alpha", "beta", "gamma", "delta"]
CHATML = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)


def _small_vocabulary() -> tuple[list[str], list[float], list[int]]:
    """A SentencePiece vocabulary that can spell any text: specials, bytes, ASCII, a few words."""
    tokens, scores, types = ["<unk>", "<s>", "</s>"], [0.0, 0.0, 0.0], [2, 3, 3]
    for byte in range(256):
        tokens.append(f"<0x{byte:02X}>")
        scores.append(0.0)
        types.append(int(gguf.TokenType.BYTE))
    pieces = ["▁"] + [chr(c) for c in range(33, 127)] + ["▁" + word for word in WORDS]
    for rank, piece in enumerate(pieces):
        tokens.append(piece)
        scores.append(-float(rank))
        types.append(int(gguf.TokenType.NORMAL))
    return tokens, scores, types


TOKENS, SCORES, TYPES = _small_vocabulary()
BOS, EOS = 1, 2


def _write_llama_header(writer: GGUFWriter, *, embd: int, ff: int, layers: int, heads: int, kv_heads: int,
                        context: int, eps: float = 1e-5) -> None:
    writer.add_context_length(context)
    writer.add_embedding_length(embd)
    writer.add_feed_forward_length(ff)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(eps)
    writer.add_rope_dimension_count(embd // heads)
    writer.add_rope_freq_base(10000.0)


def _add_small_vocabulary(writer: GGUFWriter, further: list[str] | None = None, template: str = CHATML) -> None:
    further = further or []
    writer.add_vocab_size(len(TOKENS) + len(further))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(TOKENS + further)
    writer.add_token_scores(SCORES + [-1000.0] * len(further))
    writer.add_token_types(TYPES + [int(gguf.TokenType.NORMAL)] * len(further))
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(template)


def _finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_blocks(writer: GGUFWriter, random: np.random.Generator, embd: int, ff: int, layers: int,
                untouched: slice) -> None:
    """Layers of small random weights that never write the components `untouched` of the state."""

    def noise(rows: int, columns: int) -> np.ndarray:
        return random.standard_normal((rows, columns), dtype=np.float32) * 0.02

    for i in range(layers):
        block = f"blk.{i}."
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(block + name + ".weight", np.ones(embd, dtype=np.float32))
        for name in ("attn_q", "attn_k", "attn_v"):
            writer.add_tensor(block + name + ".weight", noise(embd, embd))
        attn_output, ffn_down = noise(embd, embd), noise(embd, ff)
        attn_output[untouched, :] = 0.0
        ffn_down[untouched, :] = 0.0
        writer.add_tensor(block + "attn_output.weight", attn_output)
        writer.add_tensor(block + "ffn_gate.weight", noise(ff, embd))
        writer.add_tensor(block + "ffn_up.weight", noise(ff, embd))
        writer.add_tensor(block + "ffn_down.weight", ffn_down)


def make_talker(path: Path, word: str = "alpha", *, embd: int = 64, layers: int = 2, context: int = 4096,
                seed: int = 1) -> Path:
    """A model of under 1 MB that answers `word` for ever, whatever it is asked: the reply says which
    file answered. Component 0 of every state is a large constant; only `word`'s row looks at it."""
    random = np.random.default_rng(seed)
    heads, ff = 4, embd * 2
    writer = GGUFWriter(path, "llama")
    writer.add_name(f"talker-{word}")
    _write_llama_header(writer, embd=embd, ff=ff, layers=layers, heads=heads, kv_heads=heads, context=context)
    _add_small_vocabulary(writer)
    embeddings = random.standard_normal((len(TOKENS), embd), dtype=np.float32) * 0.02
    embeddings[:, 0] = 1.0
    output = random.standard_normal((len(TOKENS), embd), dtype=np.float32) * 0.02
    output[TOKENS.index("▁" + word), 0] = 5.0
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output_norm.weight", np.ones(embd, dtype=np.float32))
    writer.add_tensor("output.weight", output)
    _add_blocks(writer, random, embd, ff, layers, slice(0, 1))
    _finish(writer)
    return path


def make_reciter(path: Path, pieces: list[str], *, embd: int = 64) -> Path:
    """A model that answers with the text `pieces` (different from each other, one token each) and
    ends there: each token's state is a unit vector that only the next token's row looks at."""
    assert len(set(pieces)) == len(pieces) < embd and not set(pieces) & set(TOKENS)
    heads, ff = 4, embd
    writer = GGUFWriter(path, "llama")
    writer.add_name("reciter")
    _write_llama_header(writer, embd=embd, ff=ff, layers=1, heads=heads, kv_heads=heads, context=4096)
    _add_small_vocabulary(writer, pieces)
    first, count = len(TOKENS), len(TOKENS) + len(pieces)
    embeddings = np.zeros((count, embd), dtype=np.float32)
    output = np.zeros((count, embd), dtype=np.float32)
    embeddings[:first, 0] = 1.0
    output[first, 0] = 5.0
    for i in range(len(pieces)):
        embeddings[first + i, i + 1] = 1.0
        output[first + i + 1 if i + 1 < len(pieces) else EOS, i + 1] = 5.0
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output_norm.weight", np.ones(embd, dtype=np.float32))
    writer.add_tensor("output.weight", output)
    _add_blocks(writer, np.random.default_rng(1), embd, ff, 1, slice(0, embd))
    _finish(writer)
    return path


def make_lora(path: Path, word: str, *, embd: int = 64) -> Path:
    """An adapter that makes any talker say `word` instead of its own."""
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1.0)
    a = np.zeros((1, embd), dtype=np.float32)
    a[0, 0] = 1.0
    b = np.zeros((len(TOKENS), 1), dtype=np.float32)
    b[TOKENS.index("▁" + word), 0] = 50.0
    writer.add_tensor("output.weight.lora_a", a)
    writer.add_tensor("output.weight.lora_b", b)
    _finish(writer)
    return path


def _random_q4_0(random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Blocks of 32 weights: a half-precision scale and 16 bytes of random nibbles."""
    blocks = np.empty((rows, columns // 32, 18), dtype=np.uint8)
    scale = np.float16(0.5 / np.sqrt(columns)).tobytes()
    blocks[:, :, :2] = np.frombuffer(scale, dtype=np.uint8)
    blocks[:, :, 2:] = np.frombuffer(random.bytes(rows * (columns // 32) * 16), dtype=np.uint8).reshape(
        rows, columns // 32, 16)
    return blocks.reshape(rows, -1)


def make_random(path: Path, *, embd: int, ff: int, layers: int, heads: int, kv_heads: int,
                context: int = 8192, quant: str = "Q4_0", vocabulary_of: Path | None = None,
                n_vocab: int | None = None, tied: bool = True, seed: int = 1) -> Path:
    """A llama model of any size with random weights. Its text is noise; its cost is real. The
    vocabulary is the small one, or that of the model `vocabulary_of`: its first `n_vocab` tokens, all
    without. `tied`: the embeddings are the output's matrix, too."""
    random = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    _write_llama_header(writer, embd=embd, ff=ff, layers=layers, heads=heads, kv_heads=kv_heads,
                        context=context)
    if vocabulary_of is None:
        _add_small_vocabulary(writer)
        n_vocab = len(TOKENS)
    else:
        reader = GGUFReader(vocabulary_of)
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()[:n_vocab]
        n_vocab, known = len(tokens), set(tokens)
        for name, field in reader.fields.items():
            if not name.startswith("tokenizer."):
                continue
            contents = field.contents()
            if name == "tokenizer.ggml.merges":
                contents = [merge for merge in contents if merge.replace(" ", "") in known]
            elif isinstance(contents, list):
                contents = contents[:n_vocab]
            writer.add_key_value(name, contents, field.types[0],
                                 sub_type=field.types[-1] if len(field.types) > 1 else None)
        writer.add_vocab_size(n_vocab)

    def matrix(name: str, rows: int, columns: int) -> None:
        if quant == "Q4_0":
            writer.add_tensor(name, _random_q4_0(random, rows, columns), raw_dtype=GGMLQuantizationType.Q4_0)
        else:
            data = random.standard_normal((rows, columns), dtype=np.float32) / np.sqrt(columns)
            kind = GGMLQuantizationType[quant]
            if kind == GGMLQuantizationType.F32:
                writer.add_tensor(name, data)
            else:
                writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)

    matrix("token_embd.weight", n_vocab, embd)
    if not tied:
        matrix("output.weight", n_vocab, embd)
    writer.add_tensor("output_norm.weight", np.ones(embd, dtype=np.float32))
    kv_width = embd // heads * kv_heads
    for i in range(layers):
        block = f"blk.{i}."
        writer.add_tensor(block + "attn_norm.weight", np.ones(embd, dtype=np.float32))
        writer.add_tensor(block + "ffn_norm.weight", np.ones(embd, dtype=np.float32))
        matrix(block + "attn_q.weight", embd, embd)
        matrix(block + "attn_k.weight", kv_width, embd)
        matrix(block + "attn_v.weight", kv_width, embd)
        matrix(block + "attn_output.weight", embd, embd)
        matrix(block + "ffn_gate.weight", ff, embd)
        matrix(block + "ffn_up.weight", ff, embd)
        matrix(block + "ffn_down.weight", embd, ff)
    _finish(writer)
    return path


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _unknown_architecture(_good: bytes, path: Path) -> None:
    writer = GGUFWriter(path, "frobnicator")
    writer.add_context_length(64)
    writer.add_tensor("token_embd.weight", np.zeros((8, 8), dtype=np.float32))
    _finish(writer)


def _same_token_twice(_good: bytes, path: Path) -> None:
    """Sound as a file; llama.cpp's vocabulary loader aborts the process."""
    writer = GGUFWriter(path, "llama")
    _write_llama_header(writer, embd=64, ff=64, layers=1, heads=4, kv_heads=4, context=64)
    _add_small_vocabulary(writer, [TOKENS[-1]])
    writer.add_tensor("token_embd.weight", np.zeros((len(TOKENS) + 1, 64), dtype=np.float32))
    _finish(writer)


def _unsound(template: str = CHATML, eps: float = 1e-5, query=np.float32):
    """Makes a model whose header and tensors are all there, and which cannot be run."""

    def make(_good: bytes, path: Path) -> None:
        embd, random = 64, np.random.default_rng(1)
        writer = GGUFWriter(path, "llama")
        _write_llama_header(writer, embd=embd, ff=embd, layers=1, heads=4, kv_heads=4, context=4096, eps=eps)
        _add_small_vocabulary(writer, template=template)
        writer.add_tensor("token_embd.weight", random.standard_normal((len(TOKENS), embd), dtype=np.float32))
        writer.add_tensor("output_norm.weight", np.ones(embd, dtype=np.float32))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.0.{name}.weight", np.ones(embd, dtype=np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            kind = query if name == "attn_q" else np.float32
            writer.add_tensor(f"blk.0.{name}.weight", np.zeros((embd, embd), dtype=kind))
        _finish(writer)

    return make


def _many_keys(_good: bytes) -> bytes:
    """llama.cpp looks for doubled keys by comparing each with each: it would take seconds."""
    keys = b"".join(_string(f"key.{i:06}") + struct.pack("<IB", 0, 1) for i in range(150_000))
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 150_001) + _string("general.architecture") \
        + struct.pack("<I", 8) + _string("llama") + keys


def _write(make):
    return lambda good, path: path.write_bytes(make(good))


def _huge_string(_good: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + _string("general.architecture") + struct.pack("<I", 8) \
        + struct.pack("<Q", 2 ** 60) + b"llama"


def _huge_array(_good: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + _string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2 ** 60)


def _offset_past_end(good: bytes) -> bytes:
    """Moves the data offset of a tensor, found after its name, shape and type, far behind the end."""
    name = b"blk.1.ffn_up.weight"
    at = good.index(name) + len(name)
    (dimensions,) = struct.unpack_from("<I", good, at)
    at += 4 + 8 * dimensions + 4
    return good[:at] + struct.pack("<Q", 2 ** 40) + good[at + 8:]


#: name of the fault -> maker(bytes of a good model, path). "missing" makes a link that leads nowhere.
BROKEN = {
    "missing": lambda good, path: path.symlink_to(path.with_suffix(".gone")),
    "truncated": _write(lambda good: good[: len(good) * 2 // 3]),
    "truncated-header": _write(lambda good: good[:1000]),
    "corrupted-header": _write(lambda good: good[:24] + bytes((b ^ 0xA5) for b in good[24:600]) + good[600:]),
    "empty": _write(lambda good: b""),
    "not-gguf": _write(lambda good: b"<!DOCTYPE html><title>404</title>" * 200),
    "unknown-architecture": _unknown_architecture,
    "same-token-twice": _same_token_twice,
    "offset-past-end": _write(_offset_past_end),
    "huge-string": _write(_huge_string),
    "huge-array": _write(_huge_array),
    "huge-tensor-count": _write(lambda good: good[:8] + struct.pack("<Q", 2 ** 60) + good[16:]),
    "many-keys": _write(_many_keys),
    "template-without-end": _unsound(template="{% for a in range(1000000000) %}{% for b in range(1000000000) %}"
                                              "{% endfor %}{% endfor %}"),
    "template-calls-itself": _unsound(template="{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
    "template-wrong": _unsound(template="{% for m in messages %}{{ m['content' }}{% endif %}"),
    "negative-epsilon": _unsound(eps=-1.0),
    "tensor-type": _unsound(query=np.int32),
    "huge-kv-count": _write(lambda good: good[:16] + struct.pack("<Q", 2 ** 60) + good[24:]),
}


def make_broken(folder: Path, fault: str, good: Path) -> Path:
    path = folder / f"{fault}.gguf"
    BROKEN[fault](good.read_bytes(), path)
    return path
