"""Sends spans with OpenTelemetry's own SDK for Python and prints what it sent, one JSON object a line.

    sender.py grpc|http ENDPOINT COUNT none|gzip
"""

import json
import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode


class Printer(SpanExporter):
    """Says what the other exporter was given as well."""

    def export(self, spans):
        for span in spans:
            context = span.get_span_context()
            print(json.dumps({
                "trace_id": format(context.trace_id, "032x"),
                "span_id": format(context.span_id, "016x"),
                "parent_id": format(span.parent.span_id, "016x") if span.parent else "",
                "name": span.name,
                "kind": {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}[span.kind.name],
                "start": span.start_time,
                "end": span.end_time,
                "status": {"UNSET": 0, "OK": 1, "ERROR": 2}[span.status.status_code.name],
                "attributes": {key: list(value) if isinstance(value, tuple) else value
                               for key, value in span.attributes.items()},
                "events": [event.name for event in span.events],
            }))
        return SpanExportResult.SUCCESS

    def shutdown(self):
        pass


def exporter(protocol, endpoint, compression):
    if protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        chosen = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        return OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=chosen)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    chosen = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    return OTLPSpanExporter(endpoint=endpoint + "/v1/traces", compression=chosen)


def fly(height):
    if height < 0:
        raise ValueError("the owl met a branch at height %d" % height)
    return fly(height - 1)


def main():
    protocol, endpoint, count, compression = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    resource = Resource.create({
        "service.name": "owl-service",
        "service.version": "1.43.0",
        "deployment.environment.name": "production",
        "k8s.cluster.name": "prod-c2-use1",
        "k8s.pod.name": "owl-service-7d4b9c6f5-x2x7k",
        "k8s.pod.uid": "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff",
        "cloud.platform": "aws_eks",
        "list": ["a", "b"],
        "number": 7,
    })
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter(protocol, endpoint, compression)))
    provider.add_span_processor(BatchSpanProcessor(Printer()))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("owl", "2.0")
    for number in range(count):
        with tracer.start_as_current_span("GET /owls/{id}", kind=SpanKind.SERVER) as span:
            span.set_attributes({"http.route": "/owls/{id}", "number": number, "ratio": number / 7,
                                 "even": number % 2 == 0, "names": ["uhu", "kauz", "Käuzchen \u2603"]})
            with tracer.start_as_current_span("hoot"):
                pass
            if number % 10 == 3:
                try:
                    fly(2)
                except ValueError as error:
                    span.record_exception(error)
                    span.set_status(Status(StatusCode.ERROR, str(error)))
    provider.shutdown()


main()
