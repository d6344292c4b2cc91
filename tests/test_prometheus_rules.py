"""deploy/prometheus/switchyard.rules.yml is sound PromQL over metrics that a live server has."""

import re
import shutil
import subprocess

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support import paths
from support.process import Chat, wait_until

pytestmark = pytest.mark.own
FILE = paths.REPO / "deploy/prometheus/switchyard.rules.yml"
RULES = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
#: What Prometheus adds itself.
OWN_METRICS, OWN_LABELS = {"up"}, {"instance", "job"}


def selectors(expression: str):
    """(metric, {label: value or None}) of everything that an expression reads. None: not one value."""
    found = []

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, {m.name: m.value if m.op == promql_parser.MatchOp.Equal else None
                                      for m in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def grouped_by(expression: str):
    return {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}


@pytest.fixture(scope="module")
def live(require_binary, talkers, tmp_path_factory):
    """name -> label sets, of a server that has loaded, answered, switched and failed."""
    from conftest import _session_server
    folder = tmp_path_factory.mktemp("rules")
    config = folder / "c.yaml"
    config.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models: [{{id: alpha, file: {talkers / 'alpha.gguf'}}}, {{id: beta, file: {talkers / 'beta.gguf'}}}]
aliases: [{{name: chat, to: alpha@1}}]
""")
    server = _session_server(tmp_path_factory, "--config", config)
    try:
        Chat(server.stream_chat("chat", max_tokens=4)).assert_whole()
        assert server.post("/admin/v1/aliases/chat/switch", {"to": "beta"}).status_code == 200

        def samples():
            text = server.get("/metrics").text
            metrics = {}
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    metrics.setdefault(sample.name, []).append(sample.labels)
            late = {"switchyard_time_to_first_token_seconds_bucket", "switchyard_alert_value"}
            return metrics if late <= set(metrics) else None

        return wait_until(samples, "the record of the request, and the alerts' first second")
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_rule(rule, live):
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
    promql_parser.parse_duration(rule.get("for", "1s"))
    read = selectors(rule["expr"])
    assert read
    for metric, labels in read:
        if metric in OWN_METRICS:
            continue
        assert metric in live, f"a live server has no {metric}"
        for label, value in labels.items():
            values = {sample.get(label) for sample in live[metric]}
            assert values != {None}, f"{metric} has no label {label}"
            # The value of a rule is there once it has one.
            assert value is None or metric == "switchyard_alert_value" or value in values, (metric, label, values)
        for label in grouped_by(rule["expr"]) - OWN_LABELS:
            assert any(label in sample for name, _ in read for sample in live[name]), f"nothing has a label {label}"


def test_every_rule_of_the_server_has_one_here():
    names = {rule["alert"] for rule in RULES}
    assert {"SwitchyardModelLoadTime", "SwitchyardMemory", "SwitchyardInferenceLatency", "SwitchyardSwitchSuccess",
            "SwitchyardQueueWait", "SwitchyardErrorRate", "SwitchyardEngineRestarts",
            "SwitchyardMemoryBudget"} <= names
    assert len(names) == len(RULES)


def test_the_parser_finds_mistakes():
    for wrong in ("sum(rate(x))", "rate(x[5m]", "x > > 1", "histogram_quantile(x)", "nosuch(x)"):
        with pytest.raises(ValueError):
            promql_parser.parse(wrong)


def test_promtool_agrees():
    if not shutil.which("promtool"):
        pytest.skip("promtool is not here; the parser above has read the rules")
    done = subprocess.run(["promtool", "check", "rules", str(FILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
