"""Where it listens: TLS, a Unix socket, a prefix; and what browsers ask."""

import shutil
import subprocess

import httpx
import pytest

from support import paths
from support.process import Server, serve_words

NEAR = ("--threads", 1, "--ctx-size", 512)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return folder / "key.pem", folder / "cert.pem"


@pytest.mark.own
def test_tls(start, talkers, certificate):
    key, cert = certificate
    server = start("--models-dir", talkers, "--ssl-key-file", key, "--ssl-cert-file", cert, *NEAR, verify=str(cert))
    assert server.url.startswith("https://")
    assert server.chat("alpha").status_code == 200
    assert server.stream_chat("alpha").data()[-1] == "[DONE]"


@pytest.mark.own
def test_tls_needs_both_files(certificate, talkers):
    done = subprocess.run(serve_words("--models-dir", talkers, "--ssl-key-file", certificate[0]), capture_output=True,
                          text=True, timeout=60)
    assert done.returncode not in (0, -6, -11) and "ssl" in (done.stdout + done.stderr).lower()


def test_unix_socket(start, talkers, tmp_path):
    path = tmp_path / "s.sock"
    server = start("--models-dir", talkers, "--host", path, *NEAR)
    assert server.address == f"unix://{path}"
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://unix", timeout=60) as client:
        assert client.get("/health").json() == {"status": "ok"}
        reply = client.post("/v1/chat/completions", json={
            "model": "alpha", "messages": [{"role": "user", "content": "x"}], "max_tokens": 3})
        assert reply.status_code == 200


@pytest.mark.own
def test_a_socket_left_behind_is_replaced(start, talkers, tmp_path):
    path = tmp_path / "s.sock"
    first = start("--models-dir", talkers, "--host", path, *NEAR)
    first.kill()
    second = start("--models-dir", talkers, "--host", path, *NEAR)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://unix") as client:
        assert client.get("/health").status_code == 200
    assert second.stop() == 0


@pytest.mark.own
def test_address_in_use_is_a_sentence(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    done = subprocess.run(serve_words("--port", server.port, "--models-dir", talkers), capture_output=True, text=True,
                          timeout=60)
    assert done.returncode not in (0, -6, -11) and str(server.port) in done.stdout + done.stderr


def test_prefix(start, talkers):
    server = start("--models-dir", talkers, "--api-prefix", "/v9", *NEAR, prefix="/v9")
    assert server.chat("alpha").status_code == 200
    assert server.get("/v1/models").status_code == 200
    bare = server.session.get(server.address + "/v1/models", timeout=30)
    assert bare.status_code == 404


@pytest.mark.own
def test_public_bind_needs_a_key(talkers):
    done = subprocess.run(serve_words("--host", "0.0.0.0", "--models-dir", talkers), capture_output=True, text=True,
                          timeout=60)
    assert done.returncode not in (0, -6, -11) and "key" in done.stdout + done.stderr


ORIGIN = {"Origin": "http://page.example"}


def seen_by_a_browser(server: Server):
    """The CORS answers of a server: status and headers."""
    replies = [server.request("OPTIONS", "/v1/chat/completions", headers={
                   **ORIGIN, "Access-Control-Request-Method": "POST"}),
               server.get("/health", headers=ORIGIN), server.get("/health"), server.get("/nothing", headers=ORIGIN),
               server.get("/health", headers={"Origin": "http://localhost:3000"})]
    return [(reply.status_code, {name.lower(): value for name, value in reply.headers.items()
                                 if name.lower().startswith("access-control") and value}) for reply in replies]


@pytest.mark.parametrize("words", [(), ("--cors-origins", "https://a.example"), ("--cors-origins", "localhost"),
                                   ("--no-cors-credentials",)], ids=lambda words: "=".join(words) or "default")
def test_cors(start, start_peer, talkers, words):
    ours, theirs = (begin("--models-dir", talkers, *words, *NEAR) for begin in (start, start_peer))
    seen = seen_by_a_browser(theirs)
    for _, headers in seen:  # of ours only
        methods = headers.get("access-control-allow-methods")
        if methods:
            headers["access-control-allow-methods"] = methods.replace("POST, DELETE", "POST, PUT, DELETE")
    assert seen_by_a_browser(ours) == seen


@pytest.mark.own
def test_what_is_not_there_says_so(start, talkers):
    """Server tools, the CORS proxy: off as in llama-server, or refused with a sentence."""
    server = start("--models-dir", talkers, *NEAR)
    for path in ("/tools", "/cors-proxy"):
        reply = server.get(path)
        assert reply.status_code in (403, 501) and reply.json()["error"]["message"]


def test_front_page(choir):
    if paths.TESTING_PEER:
        pytest.skip("llama-server was built without its page")
    assert choir.get("/").status_code == 200
