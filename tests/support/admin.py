"""The admin API as the tests use it."""

from urllib.parse import quote

from .process import DEADLINE, EventLog, Server, wait_until


def version(server: Server, name: str) -> dict:
    """The state of one version: `name` is a model's id (its newest version) or model@version."""
    reply = server.get("/admin/v1/models/" + quote(name, safe=""))
    assert reply.status_code == 200, reply.text
    body = reply.json()
    return body["versions"][-1] if "versions" in body else body


def state(server: Server, name: str) -> str:
    return version(server, name)["state"]


def wait_state(server: Server, name: str, *wanted: str, deadline: float = DEADLINE) -> str:
    return wait_until(lambda: (now := state(server, name)) in wanted and now, f"{name} to be {' or '.join(wanted)}",
                      deadline)


def act(server: Server, name: str, what: str, expect: int = 200, **body):
    """POST /admin/v1/models/{name}/{what}; waits for the end of it unless wait=False."""
    reply = server.post(f"/admin/v1/models/{quote(name, safe='')}/{what}", body or None)
    assert reply.status_code == expect, reply.text
    return reply.json()


def alias(server: Server, name: str) -> dict:
    reply = server.get("/admin/v1/aliases/" + quote(name, safe=""))
    assert reply.status_code == 200, reply.text
    return reply.json()


def events(server: Server) -> EventLog:
    return EventLog(server, "/admin/v1/events")


def reached(model: str, state_name: str):
    """Matches the event of `model` getting to a state."""
    return lambda event: event["type"] == "state" and event["model"] == model and event.get("to") == state_name
