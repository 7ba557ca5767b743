// Sends spans with OpenTelemetry's own SDK for Node and prints what it sent, one JSON object a line.
//
//     node sender.mjs grpc|proto|json ENDPOINT COUNT none|gzip

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.env.SENDER_MODULES + "/"));
const { SpanKind, SpanStatusCode, trace, context } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");

const [protocol, endpoint, countText, compression] = process.argv.slice(2);
const exporters = {
  grpc: ["@opentelemetry/exporter-trace-otlp-grpc", endpoint],
  proto: ["@opentelemetry/exporter-trace-otlp-proto", endpoint + "/v1/traces"],
  json: ["@opentelemetry/exporter-trace-otlp-http", endpoint + "/v1/traces"],
};
const [module, url] = exporters[protocol];
const { OTLPTraceExporter } = require(module);
const exporter = new OTLPTraceExporter({ url, compression });

const nanos = ([seconds, rest]) => (BigInt(seconds) * 1000000000n + BigInt(rest)).toString();
const printer = {
  export(spans, done) {
    for (const span of spans) {
      console.log(JSON.stringify({
        trace_id: span.spanContext().traceId,
        span_id: span.spanContext().spanId,
        parent_id: span.parentSpanContext?.spanId ?? "",
        name: span.name,
        kind: span.kind + 1,
        start: nanos(span.startTime),
        end: nanos(span.endTime),
        status: span.status.code,
        attributes: span.attributes,
        events: span.events.map((event) => event.name),
      }));
    }
    done({ code: 0 });
  },
  async shutdown() {},
};

function fly(height) {
  if (height < 0) throw new TypeError("the owl met a branch");
  return fly(height - 1);
}

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({
    "service.name": "owl-service",
    "service.version": "1.43.0",
    "deployment.environment.name": "production",
    "aws.ecs.task.arn": "arn:aws:ecs:us-east-1:111111111111:task/prod-ecs/10838bed421f43ef870af43feacbbb5b",
    "cloud.platform": "aws_ecs",
    "list": ["a", "b"],
    "number": 7,
  }),
  spanProcessors: [new BatchSpanProcessor(exporter), new BatchSpanProcessor(printer)],
});
provider.register();
const tracer = trace.getTracer("owl", "2.0");
for (let number = 0; number < Number(countText); number += 1) {
  const span = tracer.startSpan("GET /owls/{id}", { kind: SpanKind.SERVER });
  span.setAttributes({ "http.route": "/owls/{id}", number, ratio: number / 7 + 0.5, even: number % 2 === 0,
    names: ["uhu", "kauz", "Käuzchen ☃"] });
  tracer.startSpan("hoot", {}, trace.setSpan(context.active(), span)).end();
  if (number % 10 === 3) {
    try {
      fly(2);
    } catch (error) {
      span.recordException(error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: String(error) });
    }
  }
  span.end();
}
await provider.shutdown();
