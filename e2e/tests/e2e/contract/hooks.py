"""What schemathesis has to know of Couic: its lines, and which refusals of valid requests are no fault of the document."""

import json

import schemathesis
from schemathesis.core.failures import Failure


@schemathesis.serializer("application/x-ndjson")
def write_lines(ctx, value):
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def read_lines(ctx, response):
    # The schema is that of an item.
    lines = response.content.splitlines()
    return json.loads(lines[0]) if lines else {"creation": 0, "cidr": "0.0.0.0/0", "tag": None, "expiration": 0}


def is_told_otherwise(case, status, error):
    """Rules between values, which a schema cannot have, and which the descriptions have."""
    message, fields = error["message"], list(error["errors"])
    if status == 400:
        told = (
            # Of IPv4.
            "the prefix length must be a number from 0 to 32",
            # One of both.
            "missing field `expiration`, or `ttl`",
            # 1.0 is an integer to JSON Schema.
            "invalid type: floating point",
        )
        return any(words in message for words in told)
    return all(
        # In the present state: a guard rail, a table that is full.
        error["errors"][field]["code"] == "processing"
        # Not in the past.
        or field.endswith("expiration")
        # That of the path, if any.
        or (field == "name" and case.method == "PUT")
        # The text of a list.
        or field in ("line", "list")
        # Not for every group.
        or (field.startswith("limits") and "of rules hold for the group" in message)
        for field in fields
    )


@schemathesis.check
def valid_is_not_refused(ctx, response, case):
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code not in (400, 422):
        return
    error = json.loads(response.content)
    # "processing" is a refusal in the present state.
    if response.status_code == 422 and error["code"] != "invalid":
        return
    if not is_told_otherwise(case, response.status_code, error):
        raise Failure(
            operation=case.operation.label,
            title="A request that the document allows is refused",
            message=error["message"],
        )
