"""llama-swap as a second peer: one llama-server process for each model, one of them at a time.

Its binary is looked for at SWITCHYARD_LLAMA_SWAP, then as build/peers/llama-swap, then on the PATH."""

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

from common import Server, folder, paths


def binary() -> Path | None:
    asked = os.environ.get("SWITCHYARD_LLAMA_SWAP")
    found = asked or shutil.which(paths.REPO / "build/peers/llama-swap") or shutil.which("llama-swap")
    return Path(found) if found else None


def version(program: Path) -> str:
    return subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout.strip()


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def serving(program: Path, files: dict[str, Path], *flags):
    """llama-swap with its defaults; each model's llama-server gets `flags`."""
    own_port, *ports = free_ports(1 + len(files))
    models = {}
    for (model, file), port in zip(files.items(), ports):
        words = (paths.PEER, "--port", port, "--model", file, *flags)
        models[model] = {"cmd": shlex.join(str(word) for word in words), "proxy": f"http://127.0.0.1:{port}"}
    with folder() as own:
        config = own / "llama-swap.yaml"
        config.write_text(json.dumps({"models": models}))  # JSON is YAML
        server = Server([program, "-config", config, "-listen", f"127.0.0.1:{own_port}"])
        try:
            yield server
        finally:
            server.stop()
