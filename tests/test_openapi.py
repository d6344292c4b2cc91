"""/openapi.json is true: schemathesis asks what it describes and compares the answers."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = [pytest.mark.own, pytest.mark.filterwarnings("ignore")]
KEY = "sk-openapi"
AUTHORIZED = {"X-Api-Key": KEY}
#: Streams without an end, and commands that would fetch from the network.
ENDLESS = r"^/(admin/v1/events|models/sse)$"


@pytest.fixture(scope="module")
def server(require_binary, talkers, tmp_path_factory):
    from conftest import _session_server
    config = tmp_path_factory.mktemp("openapi") / "c.yaml"
    config.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models:
  - {{id: alpha, file: {talkers / 'alpha.gguf'}}}
  - {{id: beta, file: {talkers / 'beta.gguf'}}}
aliases: [{{name: chat, to: alpha@1}}]
""")
    # With a key of its own: the operations that make keys would close an open server to the rest.
    server = _session_server(tmp_path_factory, "--config", config, "--api-key", KEY)
    server.session.headers["Authorization"] = f"Bearer {KEY}"
    yield server
    assert server.stop() == 0


def test_document(server):
    document = server.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/admin/v1/models", "/admin/v1/models/{id}", "/admin/v1/events", "/v1/chat/completions",
            "/metrics"} <= set(document["paths"])
    ids = [operation["operationId"] for path in document["paths"].values() for name, operation in path.items()
           if name in ("get", "post", "delete", "put", "patch")]
    assert len(ids) == len(set(ids))


def test_every_operation(server):
    """Eight made-up requests for each operation: statuses, types and bodies are the described ones."""
    schema = schemathesis.openapi.from_url(server.url + "/openapi.json", headers=AUTHORIZED).exclude(path_regex=ENDLESS)
    asked = []
    for found in schema.get_all_operations():
        operation = found.ok()
        asked.append(operation.label)

        @settings(max_examples=8, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case):
            case.call_and_validate(timeout=120, headers=AUTHORIZED, checks=[
                not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
                response_schema_conformance])

        check()
    assert len(asked) > 20, asked
