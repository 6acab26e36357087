# SPDX-License-Identifier: Apache-2.0
"""What the tests of connection share: ends of connections, and how what is told of them is looked at."""
import ctypes
import os
import random
import socket
import unittest

COMMAND = open("/proc/self/comm").read().strip()
OWN = {"pid": os.getpid(), "uid": os.getuid(), "command": COMMAND}
HOUR = ("--set", "update_interval_ns=1h")  # a test that takes long has no updates either
NO_COUNTERS = {"sent_bytes": None, "received_bytes": None, "duration_ns": None}


def listener(address="127.0.0.1", family=socket.AF_INET):
    s = socket.socket(family)
    s.bind((address, free_port(family)))
    s.listen(128)
    return s, s.getsockname()[1]


def free_port(family=socket.AF_INET, kind=socket.SOCK_STREAM):
    """A port nobody has, outside the range from which clients get theirs."""
    for port in random.sample(range(20000, 32000), 100):
        with socket.socket(family, kind) as s:
            try:
                s.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
                return port
            except OSError:
                pass
    raise AssertionError("no port is free")


def read_all(s, size):
    left = size
    while left:
        data = s.recv(min(left, 1 << 20))
        if not data:
            raise AssertionError("the peer closed %d bytes too early" % left)
        left -= len(data)


def await_end(s):
    """Until the peer's FIN is here."""
    while s.recv(65536):
        pass


def await_reset(s):
    try:
        await_end(s)
    except ConnectionResetError:
        return
    raise AssertionError("no reset came")


def child(function, *arguments):
    """Runs in a forked process; its pid."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            function(*arguments)
            code = 0
        finally:
            os._exit(code)
    return pid


def end_child(pid):
    if os.waitpid(pid, 0)[1]:
        raise AssertionError("the child failed")


def disconnect(s):
    """connect() to AF_UNSPEC, which Python has no call for."""
    if ctypes.CDLL(None, use_errno=True).connect(s.fileno(), bytes(16), 16):
        raise OSError(ctypes.get_errno(), "disconnect")


class Case(unittest.TestCase):
    maxDiff = None

    def expect(self, event, **fields):
        self.assertEqual({k: event.get(k, "missing") for k in fields}, fields, event)

    def expect_kinds(self, events, *kinds):
        self.assertEqual([e["kind"] for e in events], list(kinds), events)

    def expect_ledger(self, trace):
        if "residual" in trace.ledger:
            self.assertEqual(trace.ledger["residual"], 0, trace.stderr)
            for loss in ("map_full", "ring_full", "missed"):
                self.assertEqual(trace.ledger[loss], 0, trace.stderr)

    def of_port(self, trace, port, role=None):
        """What one end of the connections with a server's port says; both ends, without a role."""
        ends = {"client": "remote_port", "server": "local_port"}
        return [e for e in trace.events
                if any(e[field] == port for r, field in ends.items() if role in (None, r)) and
                (role is None or e["role"] == role)]
