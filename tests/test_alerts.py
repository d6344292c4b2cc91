"""Alerts as a user sees them: the page, the event stream, the log, metrics, the command, the webhook."""

import hashlib
import hmac
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import admin, paths
from support.process import wait_until

pytestmark = pytest.mark.own


class Receiver:
    """A webhook's receiver on loopback that answers the statuses it is given, then 200."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.seen = []  # (headers, body)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.seen.append((dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def statuses_told(self):
        return [json.loads(body)["status"] for _, body in self.seen]


@pytest.fixture
def receiver():
    made = []

    def make(*statuses):
        made.append(Receiver(*statuses))
        return made[-1]

    yield make
    for one in made:
        one.close()


def config(talkers, alerts: str):
    return f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models: [{{id: alpha, file: {talkers / 'alpha.gguf'}}}, {{id: beta, file: {talkers / 'beta.gguf'}}}]
aliases: [{{name: chat, to: alpha@1}}]
alerts:
  memory: {{off: true}}
{alerts}
"""


def alerts(server, rule, *states):
    return [alert for alert in server.get("/admin/v1/alerts").json()["alerts"]
            if alert["rule"] == rule and (not states or alert["state"] in states)]


def alert_event(rule, state):
    return lambda event: event["type"] == "alert" and event["rule"] == rule and event["state"] == state


def test_from_pending_to_resolved_everywhere(start, talkers, tmp_path, receiver):
    hook = receiver(500)  # the first attempt fails
    file = tmp_path / "c.yaml"
    file.write_text(config(talkers, f"""
  model_load_time: {{threshold: 1ms, for: 2s, window: 6s}}
  webhook: {{url: "{hook.url}", secret: s3cret}}
"""))
    server = start("--config", file)
    events = admin.events(server)
    admin.act(server, "alpha", "load")
    pending = events.wait(alert_event("model_load_time", "pending"), "a pending alert")
    firing = events.wait(alert_event("model_load_time", "firing"), "a firing alert")
    assert pending["model"] == firing["model"] == "alpha"
    assert firing["value"] > firing["threshold"] == 0.001
    [alert] = alerts(server, "model_load_time", "firing")
    assert alert["since"] < alert["fired_at"] and alert["resolved_at"] is None
    assert "the longest load" in alert["summary"]
    state = [s.value for family in text_string_to_metric_families(server.get("/metrics").text)
             for s in family.samples if s.name == "switchyard_alert_state" and
             s.labels == {"rule": "model_load_time", "model": "alpha"}]
    assert state == [2]
    table = subprocess.run([paths.SWITCHYARD, "alerts", "--url", server.url], capture_output=True, text=True)
    assert table.returncode == 0 and "model_load_time" in table.stdout and "firing" in table.stdout
    server.wait_for_line(r"WARN +alerts: model_load_time fires: alpha: ")

    events.wait(alert_event("model_load_time", "resolved"), "the alert to be resolved")  # the window has passed
    server.wait_for_line(r"INFO +alerts: model_load_time is resolved")
    [alert] = alerts(server, "model_load_time")
    assert alert["state"] == "resolved" and alert["resolved_at"] > alert["fired_at"]
    wait_until(lambda: hook.statuses_told() == ["firing", "firing", "resolved"], "the webhook to be told of both")
    for headers, body in hook.seen:
        expected = "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
        assert headers["X-Switchyard-Signature"] == expected
    told = json.loads(hook.seen[1][1])
    assert told["version"] == "4" and told["commonLabels"]["alertname"] == "model_load_time"
    wait_until(lambda: server.get("/admin/v1/alerts").json()["webhook"] ==
               {"sent": 2, "failed": 0, "dropped": 0, "queued": 0}, "the count of what was sent")
    events.close()


def test_nobody_fires_by_default_and_a_reload_changes_that(start, talkers, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(config(talkers, ""))
    server = start("--config", file)
    body = server.get("/admin/v1/alerts").json()
    assert body["alerts"] == [] and body["webhook"] is None
    rules = {rule["rule"]: rule for rule in body["rules"]}
    assert rules["model_load_time"]["threshold"] == 10 and rules["switch_success"]["threshold"] == 0.999
    assert rules["inference_latency"]["threshold"] == 1 and rules["memory"]["off"]
    table = subprocess.run([paths.SWITCHYARD, "alerts", "--url", server.url], capture_output=True, text=True)
    assert table.stdout == "Nothing fires; 7 rules are watched.\n"
    file.write_text(config(talkers, "  memory_budget: {threshold: 0, for: 0}"))
    changes = server.post("/admin/v1/config/reload").json()
    assert changes["settings"] == ["alerts"] and changes["needs_restart"] == []
    admin.act(server, "alpha", "load")
    wait_until(lambda: alerts(server, "memory_budget", "firing"), "the budget's alert")
    file.write_text(config(talkers, "  memory_budget: {treshold: 0}"))
    reply = server.post("/admin/v1/config/reload")
    assert reply.status_code == 400 and "did you mean 'threshold'" in reply.text


def test_a_reload_changes_the_webhook(start, talkers, tmp_path, receiver):
    """With none first, then one, then another with a secret, then none again."""
    file = tmp_path / "c.yaml"
    rule = "  memory_budget: {threshold: 0, for: 0}"
    file.write_text(config(talkers, rule))
    server = start("--config", file)
    admin.act(server, "alpha", "load")
    wait_until(lambda: alerts(server, "memory_budget", "firing"), "the budget's alert")

    def reload(text: str):
        file.write_text(config(talkers, text))
        changes = server.post("/admin/v1/config/reload").json()
        assert changes["settings"] == ["alerts"] and changes["needs_restart"] == []

    def again(lines: str):
        """The rule goes and comes, so that there is something to tell."""
        reload("  memory_budget: {off: true}" + lines)
        wait_until(lambda: not alerts(server, "memory_budget", "firing"), "it to be left")
        reload(rule + lines)
        wait_until(lambda: alerts(server, "memory_budget", "firing"), "it to fire again")

    first, second = receiver(), receiver()
    again(f"\n  webhook: {{url: '{first.url}'}}")
    wait_until(lambda: "firing" in first.statuses_told(), "the first webhook to be told")
    again(f"\n  webhook: {{url: '{second.url}', secret: s3cret}}")
    wait_until(lambda: "firing" in second.statuses_told(), "the second webhook to be told")
    assert "X-Switchyard-Signature" in second.seen[-1][0]
    told = len(first.seen)
    again("")
    assert server.get("/admin/v1/alerts").json()["webhook"] is None
    assert len(first.seen) == told


def test_a_switch_that_fails_and_a_receiver_that_is_away(start, talkers, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes((talkers / "beta.gguf").read_bytes()[:1000])
    file = tmp_path / "c.yaml"
    # Port 9 of loopback is nobody's: nothing is held up by it.
    file.write_text(config(talkers, '  webhook: {url: "http://127.0.0.1:9/", retries: 0}').replace(
        str(talkers / "beta.gguf"), str(broken)))
    server = start("--config", file)
    assert server.post("/admin/v1/aliases/chat/switch", {"to": "beta"}).status_code >= 400
    wait_until(lambda: alerts(server, "switch_success", "firing"), "the alert of the failed switch")
    assert server.chat("alpha").status_code == 200
    wait_until(lambda: server.get("/admin/v1/alerts").json()["webhook"]["failed"] == 1, "the webhook to give up")


def test_engines_that_break_again_and_again(start, talkers, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models: [{{id: alpha, file: {talkers / 'alpha.gguf'}, isolation: process, health: {{backoff: 10ms}}}}]
""")
    server = start("--config", config)
    assert server.chat("alpha").status_code == 200
    log = admin.events(server)

    def restarted(times):
        [version] = server.get("/admin/v1/health").json()["versions"]
        return version["restarts"] == times and version["state"] == "hot"

    for times in range(1, 4):
        server.workers()[0].kill()
        wait_until(lambda: restarted(times), f"restart {times}")
    fired = log.wait(lambda e: e["type"] == "alert" and e["rule"] == "engine_restarts", "the alert")
    assert fired["model"] == "alpha" and fired["value"] == 3
    log.close()
