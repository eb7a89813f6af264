#!/usr/bin/env python3
"""Bans from a Python program: Couic's API over its Unix socket, with the standard library alone.

    program.py ban CIDR SECONDS REASON | batch SECONDS < LIST | list | why ADDRESS | unban CIDR | follow

The token is in a file: couicctl clients add -n example -g clientrw --policy drop --tag example --token-file FILE
"""

import http.client
import json
import os
import socket
import sys
import time

SOCKET = os.environ.get("COUIC_SOCKET", "/var/run/couic/couic.sock")
TOKEN_FILE = os.environ.get("COUIC_TOKEN_FILE", "/etc/example/couic.token")
TAG = "example"


class Refused(Exception):
    """The daemon answered with an error."""

    def __init__(self, status, answer):
        super().__init__(f"refused ({status} {answer['code']}): {answer['message']}")
        self.status = status


class UnixConnection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def call(method, path, body=None, kind="application/json", **headers):
    """The response. Waits if the daemon has too much to do (503), or this client adds too much a minute (429)."""
    with open(TOKEN_FILE) as file:  # each time: it may have been rotated
        headers["Authorization"] = "Bearer " + file.read().strip()
    if body is not None:
        headers["Content-Type"] = kind
    for attempt in range(5):
        connection = UnixConnection("couic", timeout=45)
        connection.request(method, "/v1" + path, body, headers)
        response = connection.getresponse()
        if response.status not in (429, 503) or attempt == 4:
            break
        time.sleep(int(response.getheader("Retry-After", "1")))
    if response.status >= 400:
        raise Refused(response.status, json.load(response))
    return response


def ban(cidr, seconds, reason):
    """Bans a network for some time. One that is banned already (409) is no failure."""
    entry = {"cidr": cidr, "ttl": int(seconds), "tag": TAG,
             "metadata": {"kind": "example", "detail": reason}}
    try:
        added = json.load(call("POST", "/drop", json.dumps(entry)))
    except Refused as error:
        if error.status != 409:
            raise
        print(f"{cidr} is there already")
    else:
        print(f"{added['cidr']} is dropped")


def batch(seconds):
    """Bans or renews what standard input lists: one request for any number of networks."""
    jobs = ({"action": "add", "entry": {"cidr": line.strip(), "ttl": int(seconds), "tag": TAG}}
            for line in sys.stdin if line.strip())
    body = "".join(json.dumps(job) + "\n" for job in jobs)
    outcome = json.load(call("POST", "/drop/batch", body, "application/x-ndjson"))
    print(f"{outcome['added']} added, {outcome['updated']} updated, {outcome['failed']} failed")
    for failure in outcome["failures"]:
        print(f"{failure['cidr']}: {failure['message']}")


def list_rules():
    """Lists the rules of this program, each as it arrives."""
    for line in call("GET", f"/drop?tag={TAG}", Accept="application/x-ndjson"):
        print(json.loads(line)["cidr"])


def why(address):
    """The verdict for an address, and the rule that decides."""
    lookup = json.load(call("GET", f"/lookup/{address}"))
    rule = lookup["decided_by"]
    print(lookup["verdict"] + (f": {rule['policy']} {rule['cidr']}" if rule else ""))


def unban(cidr):
    """Releases this program's claim. Others may hold the rule, too."""
    try:
        response = call("DELETE", f"/drop/{cidr}?tag={TAG}")
    except Refused as error:
        if error.status != 404:
            raise
        print(f"{cidr} is not there")
    else:
        held = response.getheader("couic-held-by")
        print(f"{cidr} is " + (f"still held: {held}" if held else "released"))


def follow():
    """Prints changes as they happen, over restarts of the daemon."""
    last = {}
    while True:
        try:
            kind = ""
            for line in call("GET", f"/events?tag={TAG}", **last):
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "id":
                    last = {"Last-Event-ID": value}
                elif field == "event":
                    kind = value
                elif field == "data" and kind == "gap":
                    print("some changes were missed: read the list again", flush=True)
                elif field == "data":
                    change = json.loads(value)
                    print(change["action"], change["policy"], change["cidr"], flush=True)
                elif not field:
                    kind = ""
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(1)


COMMANDS = {"ban": ban, "batch": batch, "list": list_rules, "why": why, "unban": unban, "follow": follow}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except (Refused, OSError) as error:
        sys.exit(str(error))
