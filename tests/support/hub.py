"""A local stand-in for the model hub: the two API calls that llama.cpp's downloader makes, and files."""

import http.server
import json
import threading
from pathlib import Path

COMMIT = "a" * 40


class Hub:
    """Serves {repository: {file name: path}} on a free port; set `gate` to hold file downloads."""

    def __init__(self, repositories: dict[str, dict[str, Path]]):
        self.repositories = repositories
        self.fetched: list[str] = []
        self.tokens: list[str | None] = []
        self.gate = threading.Event()
        self.gate.set()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub._answer(self, body=True)

            def do_HEAD(self):
                hub._answer(self, body=False)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, request, body: bool) -> None:
        self.tokens.append(request.headers.get("Authorization"))
        parts = request.path.split("?")[0].strip("/").split("/")
        status, data = 404, b'{"error": "Repository not found"}'
        if parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in self.repositories:
            status = 200
            data = json.dumps(self._refs() if parts[4] == "refs" else self._tree("/".join(parts[2:4]))).encode()
        elif len(parts) >= 5 and parts[2] == "resolve":
            file = self.repositories.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
            if file:
                status, data = 200, file.read_bytes()
                if body:
                    self.fetched.append(parts[-1])
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.send_header("ETag", '"1"')
        request.end_headers()
        if not body:
            return
        try:
            if parts[2:3] == ["resolve"] and status == 200:
                request.wfile.write(data[:1000])
                request.wfile.flush()
                self.gate.wait(60)
                data = data[1000:]
            request.wfile.write(data)
        except OSError:
            pass  # cancelled by the client

    @staticmethod
    def _refs():
        return {"branches": [{"name": "main", "targetCommit": COMMIT}]}

    def _tree(self, repository: str):
        return [{"type": "file", "path": name, "oid": f"{number + 1:040x}"}
                for number, name in enumerate(self.repositories[repository])]

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
