"""The agent's metrics in Prometheus' text format, and the port that serves them. Labels are bounded.

Called by the agent if a bind address is given; the server's modules are imported only then, for 0.7 MiB.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

Series = tuple[str, str, str, dict[str, str], float]
"""Name without its prefix, type, help, labels, value."""

_PREFIX = "resilience_"


def render(series: Iterable[Series]) -> str:
    """The text of all series; help and type once per name, so those of one name are given together."""
    lines: list[str] = []
    last = ""
    for name, kind, about, labels, value in series:
        whole = _PREFIX + name
        if name != last:
            lines += [f"# HELP {whole} {about}", f"# TYPE {whole} {kind}"]
            last = name
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{whole}{{{inside}}} {value:.10g}" if inside else f"{whole} {value:.10g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def serve(bind: str, text: Callable[[], str]) -> Callable[[], None]:
    """Serve /metrics at HOST:PORT in a thread; the answer stops it. Raises OSError, and ValueError for no address."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Answer(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            found = self.path in ("/metrics", "/healthz")
            body = text().encode() if self.path == "/metrics" else b"ok\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body if found else b"")

        def log_message(self, *_: Any) -> None:
            """Say nothing: a scrape is no event."""

    host, _, port = bind.rpartition(":")
    server = HTTPServer((host.strip("[]"), int(port)), Answer)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop
