"""A clock that jumps and a system that gives no more threads."""

import shutil
import tempfile
from pathlib import Path

import pytest

from support import admin, faults
from support.faults import BYSTANDER, VICTIM, Pulse, User
from support.process import Chat, wait_until

pytestmark = pytest.mark.own


@pytest.fixture
def open_folder():
    """Where another user may look, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="switchyard-test-"))
    folder.chmod(0o755)
    faults.make_models(folder)
    yield folder
    shutil.rmtree(folder)


def assert_nobody_notices(fault, site, tokens: int) -> None:
    """Users of both models live through it, and the server's own paths answer."""
    with Pulse(site.server):
        users = [User(site.server, model, tokens) for model in (VICTIM, BYSTANDER)]
        wait_until(lambda: all(user.replies for user in users), "everybody to have been answered")
        fault(site)
        for user in users:
            user.stop()
            assert not user.wrong and not user.errors, (user.wrong[:2], user.errors)


@pytest.mark.plain("libfaketime and AddressSanitizer call each other before either is ready")
def test_a_clock_that_jumps(open_folder):
    """Waits, idle times and deadlines are of the monotonic clock; the time of day is for people to read."""
    site = faults.site_with_clock(open_folder)
    server = site.server
    try:
        assert_nobody_notices(faults.clock_jumps, site, 200)
        assert admin.state(server, VICTIM) == admin.state(server, BYSTANDER) == "hot", "nobody was idle for a day"
        history = server.get("/admin/v1/aliases/chat").json()["history"]
        moved = [entry["to"] for entry in history[:6]]
        assert moved == [f"{BYSTANDER}@1", f"{VICTIM}@1"] * 3, "in the order of what happened, whatever the clock said"
    finally:
        assert server.stop() == 0


def test_no_more_threads(open_folder):
    site = faults.site_of_nobody(open_folder)
    try:
        assert_nobody_notices(faults.threads_used_up, site, 50)
        for model in (VICTIM, BYSTANDER):
            Chat(site.server.stream_chat(model)).assert_whole(model)
    finally:
        assert site.server.stop() == 0
