"""What it costs to find out which version a request gets, with 10,000 aliases that are split."""

import json
import subprocess

from common import Table, paths

TARGET = "routing_decision"


def run() -> Table:
    build = paths.SWITCHYARD.parent.parent
    program = build / "bin" / TARGET
    table = Table("A routing decision among 10,000 split aliases", [f"ninja -C build {TARGET}", f"build/bin/{TARGET}"])
    subprocess.run(["ninja", "-C", str(build), TARGET], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([program, "--benchmark_format=json"], check=True, capture_output=True, text=True)
    table.raw = json.loads(done.stdout)["benchmarks"]
    for row in table.raw:
        threads = row["threads"]
        table.add(f"{threads} thread{'s' * (threads > 1)} deciding at once", f"{row['real_time'] * threads:.0f} ns", "",
                  "", "< 1 µs", row["real_time"] * threads < 1000)
    return table
