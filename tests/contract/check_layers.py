#!/usr/bin/env python3
"""Checks that folders see only what the architecture lets them see.

check_layers.py SOURCE_ROOT COMPILE_COMMANDS

1. Lifecycle, routing, tenants, alerts, experiments, memory pressure and the service's notifications include
   their own kind only: no llama.cpp, HTTP or JSON header, and their compiler is not even shown where those are.
2. llama.cpp's headers are included in src/engine and nowhere else: its headers are the ones that
   are named without a folder.
3. The public headers include the standard library and each other only.
"""

import json
import re
import shlex
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)

#: Folders whose code must build without an engine, and what it may include.
PURE = {
    "alerts": {"alerts", "base", "telemetry", "switchyard"},
    "experiments": {"base", "experiments", "store", "telemetry", "switchyard"},
    "models": {"base", "engine/api", "models", "store", "telemetry", "switchyard"},
    "pressure": {"base", "pressure", "telemetry", "switchyard"},
    "service": {"base", "service", "telemetry", "switchyard"},
    "health": {"base", "engine/api", "health", "models", "store", "telemetry", "switchyard"},
    "tenants": {"base", "store", "telemetry", "switchyard", "tenants"},
    "traffic": {"base", "models", "store", "telemetry", "switchyard", "traffic"},
}
#: Libraries that pure folders may use, beside the standard library.
PURE_SYSTEM = {"fmt", "gtest", "gmock", "openssl", "rapidcheck"}
#: Words in an include path that give llama.cpp, JSON or HTTP away.
FORBIDDEN_PATH = re.compile(r"llama|nlohmann|httplib|vendor|boost", re.IGNORECASE)


def includes(file: Path):
    """(quote, name) of every include of a file."""
    return INCLUDE.findall(file.read_text())


def folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def check_pure(root: Path):
    for folder, allowed in PURE.items():
        for file in sorted((root / "src" / folder).rglob("*.[hc]*")):
            if file.suffix not in (".h", ".cpp"):
                continue
            for quote, name in includes(file):
                if quote == '"' and folder_of(name) not in allowed:
                    yield f"{file.relative_to(root)} includes {name}; {folder}/ may use {', '.join(sorted(allowed))}"
                if quote == "<" and "/" in name and name.split("/")[0] not in PURE_SYSTEM | {"sys"}:
                    yield f"{file.relative_to(root)} includes <{name}>"


def check_llama(root: Path):
    for file in sorted((root / "src").rglob("*.[hc]*")):
        if file.suffix not in (".h", ".cpp") or file.is_relative_to(root / "src/engine"):
            continue
        for quote, name in includes(file):
            if quote == '"' and "/" not in name or re.match(r"(llama|ggml|gguf|mtmd)", name):
                yield f"{file.relative_to(root)} includes {name}; only src/engine includes llama.cpp"


def check_public(root: Path):
    for file in sorted((root / "include").rglob("*.h")):
        for quote, name in includes(file):
            if (quote == '"' and folder_of(name) != "switchyard") or (quote == "<" and "/" in name):
                yield f"{file.relative_to(root)} includes {name}; public headers stand alone"


def check_include_paths(root: Path, commands: list):
    for entry in commands:
        file = (Path(entry["directory"]) / entry["file"]).resolve()
        if not any(file.is_relative_to(root / "src" / folder) for folder in PURE):
            continue
        words = shlex.split(entry["command"])
        for at, word in enumerate(words):
            match = re.match(r"-(I|isystem|iquote)(.*)", word)
            path = match and (match[2] or words[at + 1])
            if path and not Path(path).is_relative_to("/usr"):
                inside = Path(path).resolve()
                text = str(inside.relative_to(root)) if inside.is_relative_to(root) else str(inside)
                if FORBIDDEN_PATH.search(text):
                    yield f"{file.relative_to(root)} is compiled with {path} in reach"


def check(root: Path, commands: list) -> list:
    root = root.resolve()
    return [
        *check_pure(root),
        *check_llama(root),
        *check_public(root),
        *check_include_paths(root, commands),
    ]


def main() -> int:
    root, commands = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    findings = check(root, commands)
    print("\n".join(findings) or "every folder keeps to its own")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
