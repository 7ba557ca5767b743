#!/usr/bin/env python3
"""Asks other people's code what it thinks of the golden envelopes of exceptions.

Each event goes through Relay's own normaliser (pip: sentry-relay), which must find nothing to change, and each envelope
through sentry-sdk's reader. With --schemas, a directory that holds `sentry-event.schema.json`, events are checked against
that too (pip: jsonschema). A copy of one event is then damaged in the ways that Sentry punishes without a word; every
damage must be noticed here, or the check itself is at fault.

    target/sdks/python/bin/python tests/tools/check_errors.py tests/fixtures/sinks/sentry-errors --schemas DIR

`scripts/test` makes that Python and runs this (tests/it/golden.rs). Exits with 1 if anything is wrong, and with 2
if there was nothing to check.
"""

import argparse
import copy
import datetime
import json
import pathlib
import re
import sys

EVENT_BYTES_MAX = 1 << 20
KEPT = ("event_id", "level", "platform", "logger", "release", "environment", "transaction", "breadcrumbs", "extra")
FRAME_FIELDS = ("filename", "function", "module", "lineno", "colno", "context_line", "in_app")


def normalised(event, sent_at):
    """What Relay makes of an event. Its clock is the machine's, so all times are moved to now."""
    from sentry_relay.processing import StoreNormalizer

    shift = datetime.datetime.now(datetime.timezone.utc) - sent_at
    moved = copy.deepcopy(event)
    moved["timestamp"] = (moment(event["timestamp"]) + shift).isoformat()
    normalizer = StoreNormalizer(
        project_id=1,
        client="tawny/0.1.0",
        key_id="1",
        protocol_version="7",
        enable_trimming=True,
        remove_other=True,
        max_secs_in_future=60,
        max_secs_in_past=2592000,
    )
    return moved, normalizer.normalize_event(copy.deepcopy(moved))


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def faults_of(event, sent_at):
    """All that Relay would change, and what no receiver can see but a reader would miss."""
    before, after = normalised(event, sent_at)
    faults = []
    if after.get("errors"):
        faults.append(f"errors {after['errors']}")
    if after.get("_meta"):
        faults.append(f"_meta {json.dumps(after['_meta'])[:300]}")
    for field in KEPT:
        left, right = before.get(field), after.get(field)
        if field == "breadcrumbs" and left:
            left = [(crumb["message"], crumb.get("data")) for crumb in left["values"]]
            right = [(crumb["message"], crumb.get("data")) for crumb in right["values"]]
        if field == "release" and left is None:
            continue
        if left != right:
            faults.append(f"{field} {str(left)[:200]!r} became {str(right)[:200]!r}")
    tags = dict(after.get("tags") or [])
    expected_tags = dict(before["tags"])
    if "server_name" in before:
        expected_tags["server_name"] = before["server_name"]
    for key, value in expected_tags.items():
        if tags.get(key) != value:
            faults.append(f"tag {key} {value!r} became {tags.get(key)!r}")
    for name, context in before["contexts"].items():
        kept = after["contexts"].get(name) or {}
        if any(kept.get(key) != value for key, value in context.items()):
            faults.append(f"context {name} was changed")
    faults += exception_faults(before["exception"]["values"], after["exception"]["values"])
    if "fingerprint" in before:
        faults.append("a fingerprint hides the comparison of platforms")
    if "platform" in before["tags"]:
        faults.append("a tag is called platform")
    return faults


def exception_faults(before, after):
    faults = []
    if len(before) != len(after):
        return [f"{len(before)} exceptions became {len(after)}"]
    for at, (left, right) in enumerate(zip(before, after)):
        for field in ("type", "value", "module"):
            if left.get(field) != right.get(field) and (left.get(field) or right.get(field)):
                faults.append(f"exception {at} {field} {left.get(field)!r} became {right.get(field)!r}"[:300])
        for key, value in left["mechanism"].items():
            if right["mechanism"].get(key) != value:
                faults.append(f"exception {at} mechanism {key} became {right['mechanism'].get(key)!r}")
        frames = (left.get("stacktrace") or {}).get("frames", [])
        kept = (right.get("stacktrace") or {}).get("frames", [])
        if len(frames) != len(kept):
            faults.append(f"exception {at}: {len(frames)} frames became {len(kept)}")
        for number, (sent, stored) in enumerate(zip(frames, kept)):
            for field in FRAME_FIELDS:
                if sent.get(field) is not None and sent[field] != stored.get(field):
                    faults.append(f"exception {at} frame {number} {field} became {stored.get(field)!r}"[:300])
    ids = [value["mechanism"]["exception_id"] for value in before]
    if ids != sorted(ids, reverse=True) or ids[-1] != 0:
        faults.append(f"the outermost exception is not the last: {ids}")
    parents = [value["mechanism"].get("parent_id") for value in before]
    if any((parent is None) != (number == 0) or (parent or 0) > number for number, parent in zip(ids, parents)):
        faults.append(f"parents {parents} of {ids}")
    return faults


def check(file, schema):
    from sentry_sdk.envelope import Envelope

    body = file.read_bytes().split(b"\n\n", 1)[1]
    first, item, rest = body.split(b"\n", 2)
    headers, item = json.loads(first), json.loads(item)
    payload = rest[: item["length"]]
    event = json.loads(payload)
    faults = []
    parsed = Envelope.deserialize(body)
    kinds = [part.type for part in parsed.items]
    if kinds not in (["event"], ["event", "client_report"]):
        faults.append(f"sentry-sdk reads {kinds}")
    elif parsed.items[0].payload.json != event:
        faults.append("sentry-sdk reads another event: the length is wrong")
    for report in parsed.items[1:]:
        told = json.loads(report.payload.get_bytes())
        if any(one["category"] != "error" or one["quantity"] < 1 for one in told["discarded_events"]):
            faults.append(f"the report {told}")
    if headers["event_id"] != event["event_id"] or not re.fullmatch("[0-9a-f]{32}", event["event_id"]):
        faults.append("the ids differ, or are none")
    if len(payload) > EVENT_BYTES_MAX:
        faults.append(f"{len(payload)} bytes")
    faults += faults_of(event, moment(headers["sent_at"]))
    if schema:
        import jsonschema

        validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft7Validator)
        found = validator(schema).iter_errors(event)
        faults += [f"schema: {list(error.path)}: {error.message}"[:300] for error in found]
    return event, moment(headers["sent_at"]), faults


def damaged(event):
    """Copies of an event, each with one of the faults that Sentry takes without a word."""

    def copy_with(change):
        other = copy.deepcopy(event)
        change(other)
        return other

    last = lambda other: other["exception"]["values"][-1]
    yield "an id of too few digits", copy_with(lambda other: other.update(event_id="abc"))
    yield "the level `warn`", copy_with(lambda other: other.update(level="warn"))
    yield "the platform `kotlin`", copy_with(lambda other: other.update(platform="kotlin"))
    yield "a release with a slash", copy_with(lambda other: other.update(release="registry/owl:1"))
    yield "the environment `none`", copy_with(lambda other: other.update(environment="None"))
    yield "a tag key with a slash", copy_with(lambda other: other["tags"].update({"app.kubernetes.io/name": "owl"}))
    yield "a tag value of 201 characters", copy_with(lambda other: other["tags"].update(owner="o" * 201))
    yield "a line number as text", copy_with(lambda other: last(other)["stacktrace"]["frames"][0].update(lineno="12"))
    yield "251 frames", copy_with(
        lambda other: last(other)["stacktrace"].update(frames=last(other)["stacktrace"]["frames"][:1] * 251)
    )
    yield "a trace id of zeros", copy_with(lambda other: other["contexts"]["trace"].update(trace_id="0" * 32))
    yield "the status `error`", copy_with(lambda other: other["contexts"]["trace"].update(status="error"))
    yield "a context that is a text", copy_with(lambda other: other["contexts"].update(otel="text"))
    yield "a fingerprint", copy_with(lambda other: other.update(fingerprint=["x"]))
    yield "a tag `platform`", copy_with(lambda other: other["tags"].update(platform="eks"))
    yield "the outermost first", copy_with(lambda other: other["exception"]["values"].reverse())


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("fixtures", type=pathlib.Path)
    arguments.add_argument("--schemas", type=pathlib.Path)
    given = arguments.parse_args()
    schema = json.loads((given.schemas / "sentry-event.schema.json").read_text()) if given.schemas else None
    files = sorted(given.fixtures.glob("*.http"))
    if not files:
        print(f"no envelopes in {given.fixtures}", file=sys.stderr)
        return 2
    fault_count, sample = 0, None
    for file in files:
        event, sent_at, faults = check(file, schema)
        for fault in faults:
            print(f"{file.name}: {fault}", file=sys.stderr)
        fault_count += len(faults)
        if len(event["exception"]["values"]) > 1 and "stacktrace" in event["exception"]["values"][-1] and not faults:
            sample = (event, sent_at)
    unnoticed = [] if sample else ["no sound event with a cause to damage"]
    damage_count = 0
    for name, event in damaged(sample[0]) if sample else ():
        damage_count += 1
        try:
            noticed = faults_of(event, sample[1])
        except (AttributeError, KeyError, TypeError):
            noticed = True
        if not noticed:
            unnoticed.append(f"this damage was not noticed: {name}")
    for fault in unnoticed:
        print(fault, file=sys.stderr)
    if not schema:
        print("without --schemas: Sentry's schema was not asked")
    print(f"{len(files)} envelopes, {damage_count} damages: {fault_count + len(unnoticed)} faults")
    return 1 if fault_count or unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
