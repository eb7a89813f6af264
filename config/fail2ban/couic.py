"""fail2ban bans through Couic, inside fail2ban's own process. docs/fail2ban.md explains it.

For all jails, in /etc/fail2ban/jail.d/couic.local (couicctl setup writes it):

    [DEFAULT]
    banaction = couic.py
    banaction_allports = couic.py

Options, as in banaction = couic.py[socket="/run/couic/couic.sock", token_file="/etc/couic/fail2ban.token"]: see OPTIONS.

What it guarantees:
- A jail does not wait for Couic. Its bans and unbans are gathered by a thread and sent as batches over the Unix socket.
- While Couic is away or busy they wait, the last one for each address, and none is lost but those beyond `queue`.
- A rule ends when the ban does, also after a restart of fail2ban, and never before: a renewal does not shorten it.
- A stop of fail2ban or of a jail leaves the rules. An unban by an administrator deletes them, one or all.
- What Couic refuses, as a ban of this host's own address, is said in fail2ban.log and not tried again.

Needs Python 3.7 and fail2ban 0.11, and nothing else.
"""

import http.client
import json
import math
import random
import socket
import threading
import time

from fail2ban.helpers import getLogger
from fail2ban.server.action import ActionBase

logSys = getLogger("fail2ban.couic")

OPTIONS = {
    # Couic's socket, as in [server] of couic.toml.
    "socket": "/var/run/couic/couic.sock",
    # A file with the token: couicctl clients add -n fail2ban -g clientrw --policy drop --token-file /etc/couic/fail2ban.token
    "token_file": "/etc/couic/fail2ban.token",
    # How many changes of this jail may wait.
    "queue": 100000,
    # Seconds that a stop may wait for Couic.
    "stop_timeout": 5,
}
# What the jail.conf of fail2ban and distributions gives to every action.
OF_OTHER_ACTIONS = {"actname", "name", "port", "protocol", "chain", "bantime", "blocktype", "returntype", "rejecttype"}

# Seconds: how long changes are gathered, and how long Couic may take for an answer.
GATHER = 0.05
TIMEOUT = 10
# Seconds between attempts, doubled each time: while nothing answers, and while what answers refuses.
FIRST_PAUSE = 0.2
LONGEST_AWAY = 2
LONGEST_REFUSED = 15
# The most that Retry-After may ask for.
LONGEST_ASKED = 60
# How long a ban waits for a place in the queue while Couic answers.
LONGEST_FULL = 1
# An answer lists so many failures.
BATCH = 1000
LONGEST_ANSWER = 4 << 20
LONGEST_TOKEN = 256
LONGEST_TAG = 64


def tag_of(jail):
    """The tag of a jail, as couicctl maps names: www.example.org becomes www_example_org."""
    fitting = (c if c.isascii() and (c.isalnum() or c == "-") else "_" for c in jail[:LONGEST_TAG])
    tag = "".join(fitting)
    return "untagged_" if tag == "untagged" else tag


class Unavailable(Exception):
    """A batch was not carried out, and may be later."""

    def __init__(self, why, longest=LONGEST_REFUSED, pause=0):
        super().__init__(why)
        self.longest = longest
        self.pause = pause


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Couic:
    """The daemon. A connection lasts for one burst of batches: one that idles may be closed by the other side."""

    def __init__(self, options):
        self.options = options
        self.connection = None
        self.token = None

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def batch(self, jobs):
        """Sends jobs, and returns those that failed, as Couic lists them."""
        try:
            if self.connection is None:
                self.token = self.read_token()
                self.connection = UnixConnection(self.options["socket"])
            return self.post(jobs)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            text = "couic does not answer at %s: %s" % (self.options["socket"], error or type(error).__name__)
            raise Unavailable(text, LONGEST_AWAY)
        except Unavailable:
            # The next attempt reads the token again: it may have been rotated.
            self.close()
            raise

    def read_token(self):
        path = self.options["token_file"]
        try:
            with open(path, "rb") as file:
                token = file.read(LONGEST_TOKEN + 1).strip()
        except OSError as error:
            raise Unavailable("the token cannot be read: %s: %s" % (path, error.strerror))
        if not 0 < len(token) <= LONGEST_TOKEN or not all(32 < byte < 127 for byte in token):
            raise Unavailable("%s holds no token" % path)
        return token.decode("ascii")

    def post(self, jobs):
        headers = {
            "Authorization": "Bearer " + self.token,
            "Content-Type": "application/x-ndjson",
            "User-Agent": "fail2ban",
        }
        body = "".join(json.dumps(job) + "\n" for job in jobs).encode()
        self.connection.request("POST", "/v1/drop/batch", body, headers)
        response = self.connection.getresponse()
        text = response.read(LONGEST_ANSWER)
        try:
            answer = json.loads(text.decode())
            if response.status == 200:
                kinds = ("added", "updated", "unchanged", "removed", "failed")
                done = sum(answer[kind] for kind in kinds) + answer.get("released", 0)
                failures = [(int(f["index"]), f["code"], f["message"]) for f in answer["failures"]]
            else:
                said = answer["message"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unavailable("what answers at %s is not couic: status %d" % (self.options["socket"], response.status))
        if response.status == 401:
            raise Unavailable("the token in %s is refused: %s" % (self.options["token_file"], said))
        if response.status != 200:
            raise Unavailable("couic answers %d: %s" % (response.status, said), pause=seconds(response))
        if done != len(jobs) or any(index >= len(jobs) for index, _, _ in failures):
            raise Unavailable("couic's answer is not one to %d changes" % len(jobs))
        return failures


def counted(changes):
    return "1 change was" if changes == 1 else "%d changes were" % changes


def seconds(response):
    """Retry-After, within bounds."""
    asked = response.getheader("Retry-After", "")
    return min(int(asked), LONGEST_ASKED) if asked.isdigit() else 0


class Sender:
    """The changes of one jail on their way: the last one for each address, sent by a thread."""

    def __init__(self, jail, options):
        self.jail = jail
        self.tag = tag_of(jail)
        self.couic = Couic(options)
        self.changed = threading.Condition()
        self.waiting = {}
        self.closing = False
        self.too_many = 0
        # Since when it has failed, and what was said about that.
        self.failing = None
        self.said = None
        self.thread = None

    def put(self, ip, until, reason=None):
        """Queues a ban until a time in Unix seconds (0 = for ever), or an unban (None)."""
        with self.changed:
            # A start may be faster than Couic for a moment. One that does not answer is not waited for.
            self.changed.wait_for(lambda: self.has_room(ip) or self.failing is not None, LONGEST_FULL)
            before = self.waiting.get(ip)
            if not self.has_room(ip):
                self.too_many += 1
                if self.too_many == 1:
                    logSys.error("[%s] %d changes wait for couic, and further ones are not kept", self.jail, len(self.waiting))
                return
            # An unban that has not been sent ends what a ban after it must not extend.
            is_exact = before is not None and (before[0] is None or not before[2])
            self.waiting[ip] = (until, reason, not is_exact)
            if len(self.waiting) in (1, BATCH):
                self.changed.notify_all()
            # Begun here, and not with the jail: threads do not survive a fork.
            if self.thread is None or not self.thread.is_alive():
                self.closing = False
                self.thread = threading.Thread(target=self.run, name="f2b/couic", daemon=True)
                self.thread.start()

    def has_room(self, ip):
        return ip in self.waiting or len(self.waiting) < int(self.couic.options["queue"])

    def close(self, timeout):
        """Sends what waits, if Couic answers."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
            thread = self.thread
        if thread is not None:
            thread.join(timeout)
        with self.changed:
            if self.waiting:
                logSys.error(
                    "[%s] %s not made: %s. Bans are made at the next start, unbans end in time",
                    self.jail, counted(len(self.waiting)), self.said or "couic does not answer")

    def run(self):
        failures = 0
        while True:
            batch = self.take()
            if not batch:
                self.couic.close()
                return
            try:
                again = self.send(batch)
                # A rate that is limited lets some through: no reason for longer pauses.
                failures = failures + 1 if len(again) == len(batch) else min(len(again), 1)
                pause, longest = 0, LONGEST_REFUSED
            except Unavailable as error:
                again, pause, longest = batch, error.pause, error.longest
                failures += 1
                self.failed(str(error))
            except Exception as error:  # A mistake of this file must not end the thread: the jail would ban no more.
                again, pause, longest = {}, 0, LONGEST_REFUSED
                logSys.exception("[%s] %s not made: %s", self.jail, counted(len(batch)), error)
            if again and not self.wait_with(again, max(pause, pause_after(failures, longest))):
                self.couic.close()
                return

    def take(self):
        """The next batch, once there is one; None at the end."""
        with self.changed:
            if not self.waiting:
                self.couic.close()
            self.changed.wait_for(lambda: self.waiting or self.closing)
            if not self.closing:
                self.changed.wait_for(lambda: self.closing or len(self.waiting) >= BATCH, GATHER)
            batch = {ip: self.waiting.pop(ip) for ip in list(self.waiting)[:BATCH]}
            self.changed.notify_all()
            if self.too_many and batch:
                logSys.error(
                    "[%s] %s not kept. Once couic answers: fail2ban-client reload --restart %s",
                    self.jail, counted(self.too_many), self.jail)
                self.too_many = 0
            return batch

    def send(self, batch):
        """Sends a batch, and returns what is to be tried again."""
        now = time.time()
        # Of a ban that has ended there is nothing to add.
        batch = [(ip, change) for ip, change in batch.items() if not change[0] or change[0] > now]
        if not batch:
            return {}
        failures = self.couic.batch([self.job(ip, change) for ip, change in batch])
        refused = [(batch[i][0], text) for i, code, text in failures if code not in ("internal", "rate_limited")]
        again = {batch[i][0]: batch[i][1] for i, code, _ in failures if code in ("internal", "rate_limited")}
        if refused:
            ip, text = refused[0]
            # How a program goes over a guard rail is no matter of fail2ban's.
            text = text.split(". If you mean it")[0]
            more = " (%d more were refused with it)" % (len(refused) - 1) if len(refused) > 1 else ""
            logSys.error("[%s] %s: %s%s", self.jail, ip, text, more)
        if again:
            self.failed(next(text for _, code, text in failures if code in ("internal", "rate_limited")))
        elif self.failing is not None:
            logSys.notice("[%s] couic answers again, after %d s", self.jail, time.monotonic() - self.failing)
            self.failing = self.said = None
        return again

    def job(self, ip, change):
        until, reason, longer = change
        entry = {"cidr": ip, "tag": self.tag}
        if until is None:
            return {"action": "remove", "entry": entry}
        entry.update(expiration=until, guard={}, longer=longer, metadata={"kind": "fail2ban", "detail": reason})
        return {"action": "add", "entry": entry}

    def failed(self, why):
        """Says once what is wrong, until it is something else."""
        if self.failing is None:
            self.failing = time.monotonic()
        if why != self.said:
            self.said = why
            logSys.error("[%s] %s. Changes wait meanwhile", self.jail, why)

    def wait_with(self, again, pause):
        """Puts changes back behind newer ones of the same addresses, and pauses. False = it is to end."""
        with self.changed:
            again.update(self.waiting)
            self.waiting = again
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.closing, pause)
            return not self.closing


def pause_after(failures, longest):
    pause = min(FIRST_PAUSE * 2 ** min(failures - 1, 16), longest)
    return pause * random.uniform(0.75, 1)


class Action(ActionBase):
    """What fail2ban calls, from the thread of the jail and from that of its commands."""

    # Compared by fail2ban with the epochs of bans: see consistencyCheck.
    banEpoch = 0

    def __init__(self, jail, name, **options):
        super().__init__(jail, name)
        self.sender = Sender(jail.name, self.read(options))

    def read(self, options):
        for unknown in sorted(set(options) - set(OPTIONS) - OF_OTHER_ACTIONS):
            logSys.warning("[%s] couic.py has no option %s", self._jail.name, unknown)
        return {key: options.get(key, default) for key, default in OPTIONS.items()}

    def ban(self, aInfo):
        """A ban, a renewal at a start of fail2ban, and one that lasts longer since bantime.increment."""
        length = int(aInfo["bantime"])
        # Not from now on: after a restart of fail2ban the ban has run for a while.
        until = 0 if length < 0 else math.ceil(float(aInfo["time"]) + length)
        self.sender.put(str(aInfo["ip"]), until, "%s: %s failures" % (self._jail.name, aInfo["failures"]))

    prolong = ban
    _prolongable = True

    def unban(self, aInfo):
        self.sender.put(str(aInfo["ip"]), None)

    def flush(self):
        """Called in place of single unbans: at a stop, where the rules stay; and by unban --all, reload --unban and a reload
        that takes this action away, where False has fail2ban unban one address after the other."""
        return not self._jail.actions.active

    def stop(self):
        self.sender.close(float(self.sender.couic.options["stop_timeout"]))

    def consistencyCheck(self, beforeRepair=None):
        """Called when a source that is banned goes on for more than 3 s: its rule may have been deleted in Couic. With a new
        epoch fail2ban bans such sources again."""
        self._jail.actions.banEpoch += 1
        self.banEpoch = self._jail.actions.banEpoch
        return True

    def clearAllParams(self):
        """With reload, tells fail2ban that a reload may keep this action: otherwise it would unban all."""

    def reload(self, **options):
        self.sender.couic.options = self.read(options)
