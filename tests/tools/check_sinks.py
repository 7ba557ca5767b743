#!/usr/bin/env python3
"""Asks other people's code what it thinks of the golden files of the sinks.

Sentry events go through Relay's own normaliser (pip: sentry-relay), which must find nothing to change, and
through sentry-sdk's reader of envelopes; webhook signatures are made again by the reference library (pip:
standardwebhooks). With --schemas, a directory that holds `sentry-event.schema.json` and
`pagerduty-events-v2.openapi.json`, bodies are checked against those too (pip: jsonschema).

    target/sdks/python/bin/python tests/tools/check_sinks.py tests/fixtures/sinks --schemas DIR

`scripts/test` makes that Python and runs this (tests/it/golden.rs). Exits with 1 if anything is wrong, and with 2
if there was nothing to check.
"""

import argparse
import datetime
import json
import pathlib
import sys

# The test key of the golden files; no secret.
WEBHOOK_SECRET = "whsec_b3dsLXJlbGF5LXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc="
PINNED_COUNTS = ("num_firing", "num_resolved")


class Faults(list):
    """Collects what is wrong instead of stopping at the first."""

    def expect(self, holds, file, text):
        if not holds:
            self.append(f"{file}: {text}")


def read(file):
    """The URL, the headers and the body of a golden request."""
    head, body = file.read_bytes().split(b"\n\n", 1)
    lines = head.decode().split("\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return lines[0].split(" ", 1)[1], headers, body


def schema_faults(schema, document):
    import jsonschema

    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft7Validator)
    return [f"{list(error.path)}: {error.message}" for error in validator(schema).iter_errors(document)]


def relay_faults(event, sent_at):
    """What Relay would change. Its clock is the machine's, so the event is moved to now by whole seconds."""
    from sentry_relay.processing import StoreNormalizer

    moved = dict(event)
    shift = datetime.datetime.now(datetime.timezone.utc) - sent_at
    moved["timestamp"] = (parse(event["timestamp"]) + shift).isoformat()
    kept = StoreNormalizer(
        project_id=1,
        client="tawny/0.1.0",
        key_id="1",
        protocol_version="7",
        enable_trimming=True,
        remove_other=True,
        max_secs_in_future=60,
        max_secs_in_past=2592000,
    ).normalize_event(dict(moved))
    faults = [f"relay: errors {kept['errors']}"] if kept.get("errors") else []
    if kept.get("_meta"):
        faults.append(f"relay: _meta {json.dumps(kept['_meta'])}")
    for field in ("event_id", "level", "platform", "logger", "release", "environment", "fingerprint", "contexts"):
        before, after = moved.get(field), kept.get(field)
        if field == "contexts":
            # Relay adds a type to each context and a trace of its own.
            after = {name: without_type(after.get(name)) for name in before}
        if before != after:
            faults.append(f"relay: {field} {before!r} became {after!r}")
    tags = dict(kept.get("tags") or [])
    for key, value in event["tags"].items():
        if tags.get(key) != value:
            faults.append(f"relay: tag {key} {value!r} became {tags.get(key)!r}")
    return faults


def without_type(context):
    return {key: value for key, value in (context or {}).items() if key != "type"}


def parse(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def check_sentry(file, faults, schemas):
    from sentry_sdk.envelope import Envelope

    _, _, body = read(file)
    headers, item, payload = body.split(b"\n", 2)
    headers, item, event = json.loads(headers), json.loads(item), json.loads(payload)
    faults.expect(item["length"] == len(payload), file, f"length {item['length']} is not {len(payload)}")
    faults.expect(headers["event_id"] == event["event_id"], file, "the two ids differ")
    parsed = Envelope.deserialize(body)
    faults.expect([item.type for item in parsed.items] == ["event"], file, "sentry-sdk reads no event")
    faults.expect("platform" not in event["tags"], file, "a tag is called platform")
    faults.extend(f"{file}: {fault}" for fault in relay_faults(event, parse(headers["sent_at"])))
    if schemas:
        schema = json.loads((schemas / "sentry-event.schema.json").read_text())
        faults.extend(f"{file}: schema: {fault}" for fault in schema_faults(schema, event))


def check_pagerduty(file, faults, schemas):
    url, _, body = read(file)
    event = json.loads(body)
    is_change = url.endswith("/v2/change/enqueue")
    payload, details = event["payload"], event["payload"]["custom_details"]
    faults.expect(len(body) <= 512_000, file, f"{len(body)} bytes")
    faults.expect(1 <= len(payload["summary"]) <= 1024, file, "the summary's length")
    if is_change:
        faults.expect(not {"event_action", "dedup_key", "images"} & set(event), file, "fields that no change has")
        faults.expect("severity" not in payload, file, "a change with a severity")
    else:
        faults.expect(0 < len(event["dedup_key"]) <= 255, file, "the key's length")
        faults.expect(payload["severity"] in ("critical", "error", "warning", "info"), file, "the severity")
        faults.expect(bool(payload["source"]), file, "no source")
        ours = [key for key in details if not key.startswith("tawny.")]
        faults.expect(set(ours) <= {"firing", "resolved", "omitted", *PINNED_COUNTS}, file, f"details {ours}")
    if schemas:
        document = json.loads((schemas / "pagerduty-events-v2.openapi.json").read_text())
        path = "~1change~1enqueue" if is_change else "~1enqueue"
        document["$ref"] = f"#/paths/{path}/post/requestBody/content/application~1json/schema"
        faults.extend(f"{file}: schema: {fault}" for fault in schema_faults(document, event))


def check_webhook(file, faults, _schemas):
    from standardwebhooks.webhooks import Webhook

    _, headers, body = read(file)
    moment = datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), datetime.timezone.utc)
    expected = Webhook(WEBHOOK_SECRET).sign(headers["webhook-id"], moment, body.decode())
    faults.expect(headers["webhook-signature"] == expected, file, "standardwebhooks signs otherwise")
    faults.expect(len(body) < 20_000, file, f"{len(body)} bytes")
    faults.expect(set(json.loads(body)) == {"type", "timestamp", "data"}, file, "the body's fields")


def check_honeycomb(file, faults, _schemas):
    _, headers, body = read(file)
    batch = json.loads(body)
    faults.expect("x-honeycomb-team" in headers, file, "no key")
    for event in batch:
        faults.expect(set(event) == {"time", "samplerate", "data"}, file, f"fields {sorted(event)}")
        flat = all(not isinstance(value, (dict, list)) for value in event["data"].values())
        faults.expect(flat, file, "nested values")
        parse(event["time"])


CHECKS = {
    "sentry": check_sentry,
    "pagerduty": check_pagerduty,
    "webhook": check_webhook,
    "honeycomb": check_honeycomb,
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("fixtures", type=pathlib.Path, help="the directory with one directory per kind of sink")
    arguments.add_argument("--schemas", type=pathlib.Path, help="the directory with the vendors' schemas")
    given = arguments.parse_args()
    faults, counts = Faults(), {}
    for kind, check in CHECKS.items():
        for file in sorted((given.fixtures / kind).glob("*.http")):
            check(file, faults, given.schemas)
            counts[kind] = counts.get(kind, 0) + 1
    for fault in faults:
        print(fault, file=sys.stderr)
    missing = [kind for kind in CHECKS if kind not in counts]
    if missing:
        print(f"no golden files for {', '.join(missing)} in {given.fixtures}", file=sys.stderr)
        return 2
    if not given.schemas:
        print("without --schemas: the vendors' schemas were not asked")
    print(f"{', '.join(f'{kind} {count}' for kind, count in counts.items())}: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
