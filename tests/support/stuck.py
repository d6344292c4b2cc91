"""Holds one thread of a child still, from outside: what a stuck decode looks like to the rest of it."""

import bisect
import contextlib
import ctypes
import functools
import os
import platform
import subprocess
import threading
import time
from pathlib import Path

import pytest

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, PTRACE_CONT, PTRACE_GETREGS = 0x4206, 0x4207, 17, 7, 12
WALL = 0x40000000
TRIES = 2000


def engine_loop(pid: int) -> int:
    """The thread of the oldest engine's loop; those that it starts have its name, too."""
    return min(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()
               if (task / "comm").read_text().strip() == "engine-loop")


@functools.cache
def _functions(program: str) -> tuple[list[int], list[str]]:
    """Where the program's functions begin, and their names."""
    symbols = subprocess.run(["nm", "-n", "--defined-only", program], capture_output=True, text=True, check=True)
    found = [line.split() for line in symbols.stdout.splitlines() if line.count(" ") >= 2]
    return [int(address, 16) for address, *_ in found], [name for _, _, name, *_ in found]


def _computes(tid: int, instruction: int) -> bool:
    """Whether the thread is within ggml: elsewhere it may hold a lock that all the process needs."""
    program = os.readlink(f"/proc/{tid}/exe")
    for line in Path(f"/proc/{tid}/maps").read_text().splitlines():
        if line.endswith(program):
            base = int(line.split("-")[0], 16) - int(line.split()[2], 16)
            break
    starts, names = _functions(program)
    at = bisect.bisect_right(starts, instruction - base) - 1
    return at >= 0 and ("ggml" in names[at] or "tinyBLAS" in names[at])


class _Holder:
    """ptrace belongs to the thread that attaches, so one thread does all of it."""

    def __init__(self, tid: int, computing: bool):
        self._tid, self._computing = tid, computing
        self._held, self._let_go = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._held.wait()
        if isinstance(self._error, AssertionError):
            raise self._error
        if self._error:
            pytest.skip(f"this machine does not allow ptrace: {self._error}")

    def _call(self, request: int, data=None) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(request, self._tid, None, data) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def _instruction(self) -> int:
        registers = (ctypes.c_ulonglong * 27)()  # struct user_regs_struct
        self._call(PTRACE_GETREGS, registers)
        return registers[16]

    def _hold(self) -> None:
        """Stops it where it computes (x86-64), or where it is."""
        self._call(PTRACE_SEIZE)
        for _ in range(TRIES):
            self._call(PTRACE_INTERRUPT)
            os.waitpid(self._tid, WALL)
            if not self._computing or platform.machine() != "x86_64" or _computes(self._tid, self._instruction()):
                return
            self._call(PTRACE_CONT)
            time.sleep(0.001)
        raise AssertionError(f"it was never seen computing in {TRIES} tries")

    def _run(self) -> None:
        try:
            self._hold()
        except (OSError, AssertionError) as error:
            self._error = error
            self._held.set()
            return
        self._held.set()
        self._let_go.wait()
        with contextlib.suppress(OSError):  # it may have ended with its process
            self._call(PTRACE_DETACH)

    def release(self) -> None:
        self._let_go.set()
        self._thread.join()


@contextlib.contextmanager
def held_still(tid: int, computing: bool = True):
    """`computing`: it has work; one that waits for some holds nothing, wherever that is."""
    holder = _Holder(tid, computing)
    try:
        yield
    finally:
        holder.release()
