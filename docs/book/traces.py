#!/usr/bin/env python3
"""Hands the services' traces to a Zipkin, which takes no OTLP. The picture docs/traces.png was made with it:

1. Start Zipkin's server 3.6.1 of Maven Central: QUERY_PORT=9411 java -jar zipkin-server-3.6.1-slim.jar
2. Start this: pip install opentelemetry-proto && docs/book/traces.py 4318 http://127.0.0.1:9411
3. Start a Kafka, `simulator --users 6 --workspaces 1 --api-keys 5 --write-config graph.toml`, the processor and the
   sink, these two with OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318, then run `producer poll` with it.
4. Add a member of the workspace (POST /_simulator/mutations, `give_membership`), and poll again.
5. Open the newest trace in Zipkin, and collapse the listings without a change.
"""

import gzip
import json
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def attributes(pairs):
    """As Zipkin's tags, which are strings."""
    return {pair.key: str(getattr(pair.value, pair.value.WhichOneof("value"))) for pair in pairs}


def converted(span, service):
    """A span as Zipkin has it. It has no links."""
    result = {
        "traceId": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "name": span.name,
        "timestamp": span.start_time_unix_nano // 1000,
        "duration": max(1, (span.end_time_unix_nano - span.start_time_unix_nano) // 1000),
        "localEndpoint": {"serviceName": service},
        "tags": attributes(span.attributes),
    }
    if span.parent_span_id:
        result["parentId"] = span.parent_span_id.hex()
    kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
    if kind != "INTERNAL":
        result["kind"] = kind
    if span.status.code == Status.STATUS_CODE_ERROR:
        result["tags"]["error"] = span.status.message
    return result


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        spans = []
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = attributes(part.resource.attributes)["service.name"]
            spans += [converted(span, service) for scope in part.scope_spans for span in scope.spans]
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{zipkin}/api/v2/spans", json.dumps(spans).encode(), headers)
        urllib.request.urlopen(request).close()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


port, zipkin = int(sys.argv[1]), sys.argv[2].rstrip("/")
ThreadingHTTPServer(("127.0.0.1", port), Collector).serve_forever()
