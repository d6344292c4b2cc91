"""Fixtures of the end-to-end tests: models, servers, clients. See README.md in this folder."""

import pytest

from support import gguf_files, paths
from support.process import Server, peer_words, serve_words

#: One thread an engine: replies are repeatable and nothing spins at barriers on a busy machine.
QUIET = ("--threads", 1, "--ctx-size", 2048)


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the slow tests too")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: slow; only with --full")
    config.addinivalue_line("markers", "own: not for llama-server, when that is what is tested")
    config.addinivalue_line("markers", "plain(why): not for a binary with a sanitizer")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "full" in item.keywords and not config.getoption("--full"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --full"))
        if "own" in item.keywords and paths.TESTING_PEER:
            item.add_marker(pytest.mark.skip(reason="llama-server does not do this"))
        if paths.SANITIZED and (mark := item.get_closest_marker("plain")):
            item.add_marker(pytest.mark.skip(reason=f"not under a sanitizer: {mark.args[0]}"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of the log of every server that a failed test used."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for name, value in item.funcargs.items():
            if isinstance(value, Server):
                report.sections.append((f"log of {name}", "\n".join(value.lines[-60:])))


@pytest.fixture(scope="session")
def real_models():
    """The folder with SmolLM2 and Gemma 3."""
    for file in (paths.SMOLLM2_FILE, paths.GEMMA_FILE):
        if not file.exists():
            pytest.skip(f"{file.name} is not in {paths.MODELS}: run ./scripts/setup")
    return paths.MODELS


@pytest.fixture(scope="session")
def talkers(tmp_path_factory):
    """A folder with three tiny models, each of which says only its own name."""
    folder = tmp_path_factory.mktemp("talkers")
    for word in ("alpha", "beta", "gamma"):
        gguf_files.make_talker(folder / f"{word}.gguf", word)
    return folder


@pytest.fixture(scope="session")
def slow_talkers(tmp_path_factory):
    """The same, about 2 ms a token, so that a stream of 1000 tokens keeps a model busy."""
    folder = tmp_path_factory.mktemp("slow-talkers")
    for word in ("alpha", "beta"):
        gguf_files.make_talker(folder / f"{word}.gguf", word, embd=384, layers=4, context=8192)
    return folder


@pytest.fixture(scope="session")
def require_binary():
    if not paths.SWITCHYARD.exists():
        pytest.exit(f"{paths.SWITCHYARD} is not there: build it first (./run-tests does)", returncode=2)


@pytest.fixture
def start(require_binary, request, tmp_path):
    """start(*words, key=..., ...) -> Server. Every server must end with 0 on SIGTERM."""
    servers: list[Server] = []

    def start_server(*words, **kwargs) -> Server:
        if not paths.TESTING_PEER and "--data-dir" not in words:
            words += ("--data-dir", tmp_path / f"data{len(servers)}")
        server = Server(serve_words(*words), **kwargs)
        servers.append(server)
        return server

    yield start_server
    codes = {}
    for server in servers:
        if server.poll() is None:
            codes[server.pid] = server.stop()
    assert all(code == 0 for code in codes.values()), f"exit statuses {codes}"


def _session_server(tmp_path_factory, *words):
    if not paths.TESTING_PEER:
        words += ("--data-dir", tmp_path_factory.mktemp("data"))
    return Server(serve_words(*words))


@pytest.fixture(scope="session")
def fleet(require_binary, real_models, tmp_path_factory):
    """One server with both real models, room for both."""
    server = _session_server(tmp_path_factory, "--models-dir", real_models, *QUIET)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def choir(require_binary, talkers, tmp_path_factory):
    """One server with the tiny models, room for all."""
    server = _session_server(tmp_path_factory, "--models-dir", talkers, *QUIET)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def peer_binary():
    if not paths.PEER.exists():
        pytest.skip(f"no llama-server to compare with at {paths.PEER}: build the target llama-server")
    return paths.PEER


@pytest.fixture
def start_peer(peer_binary):
    """start_peer(*words) -> llama-server with these words."""
    servers: list[Server] = []

    def start_server(*words, **kwargs) -> Server:
        servers.append(Server(peer_words(*words), **kwargs))
        return servers[-1]

    yield start_server
    for server in servers:
        server.stop()
