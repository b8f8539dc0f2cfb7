"""A collector of traces on loopback that speaks OTLP over HTTP, and keeps what it is sent."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

MAX_BYTES = 16 << 20


class Collector:
    """What it was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers: list[dict[str, str]] = []
        """Of each request."""
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.came = threading.Event()

    def named(self, name: str) -> list[Any]:
        """The spans of this name, in the order of their starts."""
        found = [span for span in self.spans if span.name == name]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


def attributes_of(found: Any) -> dict[str, Any]:
    """A span's or a resource's."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in found.attributes}


@contextmanager
def collecting(*, status: int = 200) -> Iterator[Collector]:
    """One that answers with this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers["Content-Length"]), MAX_BYTES))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces" and status == 200:
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append(attributes_of(sent.resource))
                    for scope in sent.scope_spans:
                        collector.spans.extend(scope.spans)
            collector.came.set()
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status if self.path == "/v1/traces" else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base has it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
