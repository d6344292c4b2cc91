"""Keep-alive that is kept: through client pools, through nginx, with thousands of idle connections
and with readers that are slow."""

import http.client
import re
import resource
import shutil
import socket
import subprocess
import threading

import httpx
import pytest
import requests

from support.process import Background, wait_until

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 8192, "--parallel", 4)  # 2048 tokens for each of four
CLIENTS, EACH = 6, 250
BODY = {"model": "alpha", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2, "temperature": 0,
        "stream": True}


@pytest.fixture(scope="module")
def server(require_binary, talkers, tmp_path_factory):
    from conftest import _session_server
    server = _session_server(tmp_path_factory, "--models-dir", talkers, *NEAR)
    assert server.chat("alpha").status_code == 200
    yield server
    assert server.stop() == 0


def run_clients(ask):
    """CLIENTS threads, EACH requests; the list of what went wrong."""
    faults = []

    def client():
        for _ in range(EACH):
            try:
                status, text = ask()
                if status != 200 or not text.rstrip().endswith("data: [DONE]"):
                    faults.append(f"{status} {text[-200:]}")
            except Exception as error:  # noqa: BLE001  (each one counts as a failed request)
                faults.append(repr(error))

    for one in [Background(client) for _ in range(CLIENTS)]:
        one.result(200)
    return faults


def test_client_pool(server):
    """1500 streamed requests over at most six connections, none fails, none is retried."""
    session = requests.Session()
    session.trust_env = False
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=CLIENTS, pool_block=True, max_retries=0)
    session.mount("http://", adapter)

    def ask():
        reply = session.post(server.url + "/v1/chat/completions", json=BODY, timeout=60)
        return reply.status_code, reply.text

    assert run_clients(ask) == []
    pools = [adapter.poolmanager.pools[key] for key in adapter.poolmanager.pools.keys()]
    assert sum(pool.num_requests for pool in pools) == CLIENTS * EACH
    assert sum(pool.num_connections for pool in pools) <= CLIENTS, "connections were closed and opened again"


@pytest.fixture
def nginx(server, tmp_path):
    """A plain nginx with a keep-alive pool to the server, on a Unix socket of its own."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not binary:
        pytest.skip("nginx is not installed (Debian package nginx-light)")
    path = tmp_path / "nginx.sock"
    temp = "\n".join(f"  {kind}_temp_path {tmp_path}/{kind};"
                     for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(f"""
daemon off;
pid {tmp_path}/nginx.pid;
error_log {tmp_path}/error.log info;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
{temp}
  upstream backend {{ server 127.0.0.1:{server.port}; keepalive 4; }}
  server {{
    listen unix:{path};
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
""")
    process = subprocess.Popen([binary, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e",
                                str(tmp_path / "error.log")])
    wait_until(lambda: path.exists() or process.poll() is not None, "nginx to listen", 10)
    assert process.poll() is None, (tmp_path / "error.log").read_text()
    yield path, tmp_path / "error.log"
    process.terminate()
    process.wait(10)


def test_through_nginx(nginx):
    path, errors = nginx
    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(path), limits=httpx.Limits(max_connections=CLIENTS)),
                          base_url="http://proxied", timeout=60)

    def ask():
        reply = client.post("/v1/chat/completions", json=BODY)
        return reply.status_code, reply.text

    with client:
        assert run_clients(ask) == []
    assert "upstream prematurely closed" not in errors.read_text()


def test_errors_do_not_close(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.connect()
    local = connection.sock.getsockname()
    json_type = {"Content-Type": "application/json"}
    for i in range(130):
        for method, path, body, status in (("GET", "/health", None, 200), ("GET", "/nothing", None, 404),
                                           ("POST", "/v1/chat/completions", "{", 400),
                                           ("POST", "/v1/chat/completions", '{"model": "no", "messages": []}', 404)):
            connection.request(method, path, body, json_type)
            reply = connection.getresponse()
            reply.read()
            assert reply.status == status or (path != "/health" and reply.status >= 400)
            assert not reply.will_close, (path, i)
    assert connection.sock.getsockname() == local


def test_connection_close_is_honoured(server):
    for head in ("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET /health HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
            sock.sendall(head.encode())
            data = b""
            while piece := sock.recv(65536):
                data += piece
            assert b" 200 " in data.split(b"\r\n")[0] and data.endswith(b'{"status":"ok"}')


def test_pipelined_requests_are_answered_in_order(server):
    with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
                     b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"200", b"404", b"200"]


def test_chunked_request_and_expect_continue(server):
    body = b'{"model": "alpha", "content": "hello"}'
    with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
        sock.sendall(b"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: "
                     b"chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        for piece in (body[:5], body[5:]):
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert b" 200 " in data.split(b"\r\n")[0] and b'"tokens"' in data


def test_malformed_requests(server):
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"HELLO\r\n\r\n", b"GET\r\n\r\n",
                    b"GET / HTTP/9.9\r\n\r\n", b"GET /health HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                    b"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                    b"GET /health HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
            try:
                sock.sendall(garbage)
                sock.shutdown(socket.SHUT_WR)
                data = sock.recv(65536)
            except ConnectionError:
                continue
            assert not data or data.split(b" ")[1][:1] == b"4", (garbage[:40], data[:80])
    assert server.get("/health").status_code == 200


def test_idle_connections_cost_no_threads(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3000
    if hard != resource.RLIM_INFINITY and hard < wanted + 200:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 200), hard))
    before = server.threads()
    idle = []
    try:
        for i in range(wanted):
            sock = socket.create_connection(("127.0.0.1", server.port), 30)
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            idle.append(sock)
            if i % 100 == 99:
                for one in idle[-100:]:
                    assert b"200" in one.recv(1000)
        assert server.threads() <= before + 16
        assert server.get("/health").status_code == 200
        assert server.chat("alpha").status_code == 200
        for one in idle[::100]:
            one.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in one.recv(1000)
    finally:
        for one in idle:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_slow_reader_gets_everything_and_delays_nobody(server):
    """More than a socket's buffers hold is generated before the first byte is read."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", server.port))
        body = (b'{"model": "alpha", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1800, '
                b'"temperature": 0, "stream": true, "ignore_eos": true}')
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        for _ in range(20):
            assert server.chat("alpha", max_tokens=20).status_code == 200
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert data.count(b'"content":" alpha"') == 1800
    assert b"data: [DONE]" in data and data.endswith(b"0\r\n\r\n")


def test_many_clients_that_leave(server):
    """Clients that go away in the middle free their slots and threads."""
    before = server.threads()

    def leave():
        stream = server.stream_chat("alpha", max_tokens=1500, ignore_eos=True)
        next(iter(stream))
        stream.close()

    threads = [threading.Thread(target=leave) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    wait_until(lambda: not any(slot["is_processing"] for slot in server.get("/slots?model=alpha").json()),
               "the slots to be free")
    wait_until(lambda: server.threads() <= before + 32, "the threads to be few again")
    assert server.chat("alpha").status_code == 200
