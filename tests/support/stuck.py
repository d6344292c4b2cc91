"""Holds one thread of a child still, from outside: what a stuck decode looks like to the rest of it."""

import contextlib
import ctypes
import os
import threading
from pathlib import Path

import pytest

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


def engine_loop(pid: int) -> int:
    """The thread of the oldest engine's loop; those that it starts have its name, too."""
    return min(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()
               if (task / "comm").read_text().strip() == "engine-loop")


class _Holder:
    """ptrace belongs to the thread that attaches, so one thread does all of it."""

    def __init__(self, tid: int):
        self._tid = tid
        self._held, self._let_go = threading.Event(), threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._held.wait()
        if self._error:
            pytest.skip(f"this machine does not allow ptrace: {self._error}")

    def _call(self, request: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(request, self._tid, None, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def _run(self) -> None:
        try:
            self._call(PTRACE_SEIZE)
            self._call(PTRACE_INTERRUPT)
            os.waitpid(self._tid, WALL)
        except OSError as error:
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
def held_still(tid: int):
    holder = _Holder(tid)
    try:
        yield
    finally:
        holder.release()
