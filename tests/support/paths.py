"""Where things are. Each place can be moved by an environment variable."""

import os
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]

#: The server under test. llama-server itself is accepted too: it proves the tests right.
SWITCHYARD = Path(os.environ.get("SWITCHYARD_BIN", REPO / "build/bin/switchyard"))
#: llama-server built from the same source, for tests and benchmarks that compare.
PEER = Path(os.environ.get("SWITCHYARD_PEER", REPO / "build/bin/llama-server"))
#: The two real models.
MODELS = Path(os.environ.get("SWITCHYARD_MODELS", REPO / "models"))
#: llama.cpp's source, for gguf-py.
LLAMA = Path(os.environ.get("SWITCHYARD_LLAMA_DIR", REPO / "third_party/llama.cpp"))

SMOLLM2_FILE = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
GEMMA_FILE = MODELS / "gemma-3-270m-q4_k_m.gguf"
SMOLLM2 = SMOLLM2_FILE.name.removesuffix(".gguf")
GEMMA = GEMMA_FILE.name.removesuffix(".gguf")

#: Where engines live in all servers that do not say: "process" runs the whole suite with worker processes.
ISOLATION = os.environ.get("SWITCHYARD_ISOLATION", "")

#: True when the server under test is built with a sanitizer: several times as slow, with memory of its own.
SANITIZED = bool(os.environ.get("SWITCHYARD_SANITIZED"))

#: True when the server under test is llama-server: what it cannot do is then skipped.
TESTING_PEER = SWITCHYARD.name == "llama-server"

sys.path.insert(0, str(LLAMA / "gguf-py"))
