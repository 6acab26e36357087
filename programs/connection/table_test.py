# SPDX-License-Identifier: Apache-2.0
"""The table of connections: what lasts is told again, what the kernel cannot tell is found out, what finds no room is counted."""
import errno
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import ROOT, Trace  # noqa: E402
from ends import HOUR, OWN, Case, await_end, child, end_child, free_port, listener, read_all  # noqa: E402


class Updates(Case):
    def test_long_lived(self):
        """At each interval (10 s), one update of each end, whoever else holds the socket; the owner follows it."""
        server, port = listener()
        with Trace("connection") as trace:
            client = socket.create_connection(("127.0.0.1", port))
            accepted, _ = server.accept()
            client.sendall(b"x" * 123)
            read_all(accepted, 123)
            copies = [client.dup() for _ in range(3)]
            ours, theirs = socket.socketpair()
            pid = child(lambda: ([s.close() for s in (client, *copies)], theirs.recv(1)))
            accepted.close()  # the child has it still, and from now on alone
            time.sleep(42)
            ours.send(b"x")
            end_child(pid)
            for s in (client, *copies):
                s.close()
        for s in (server, ours, theirs):
            s.close()
        self.expect_ledger(trace)
        for role in ("client", "server"):
            events = self.of_port(trace, port, role)
            updates = [e for e in events if e["kind"] == "update"]
            self.assertIn(len(updates), (3, 4), events)
            sent, received = (123, 0) if role == "client" else (0, 123)
            for e in updates:
                self.expect(e, state="established", sent_bytes=sent, received_bytes=received, error=None)
            self.assertEqual(len({e["duration_ns"] for e in updates}), len(updates))
            self.expect(updates[-1], pid=os.getpid() if role == "client" else pid)


def build_variant(directory, **replacements):
    """An object of the program with some of its text changed; its path."""
    folder = os.path.join(directory, "connection")
    shutil.copytree(os.path.dirname(os.path.abspath(__file__)), folder, ignore=shutil.ignore_patterns("__pycache__"))
    source, object_ = os.path.join(folder, "program.bpf.c"), os.path.join(folder, "connection.bpf.o")
    with open(source) as f:
        text = f.read()
    for old, new in replacements.values():
        if old not in text:
            raise AssertionError("%r is not in the program" % old)
        text = text.replace(old, new)
    with open(source, "w") as f:
        f.write(text)
    subprocess.run([os.path.join(ROOT, "tools", "build-bpf.sh"), source, object_, object_ + ".d", os.uname().machine],
                   check=True)
    return object_


class WithoutSyscalls(Case):
    """With `syscall_hooks: 0`, as on a kernel without these hooks, or with io_uring, which goes around them."""

    def test_first_traffic_tells_the_owner(self):
        server, port = listener()
        with tempfile.TemporaryDirectory() as directory:
            object_ = build_variant(directory, setting=("syscall_hooks, 1,", "syscall_hooks, 0,"))
            with Trace(object_, *HOUR) as trace:
                def work():
                    for traffic in (True, False):
                        accepted, _ = server.accept()
                        if traffic:
                            await_end(accepted)
                        accepted.close()
                pid = child(work)
                for _ in range(2):
                    socket.create_connection(("127.0.0.1", port)).close()
                end_child(pid)
                closed = free_port()
                with socket.socket() as s:
                    self.assertEqual(s.connect_ex(("127.0.0.1", closed)), errno.ECONNREFUSED)
        server.close()
        events = self.of_port(trace, port, "server")
        self.assertEqual(sorted(e["kind"] for e in events), ["accept", "accept", "close", "close"])
        for e in events:
            self.expect(e, pid=pid, accept_wait_ns=None)
        self.expect_kinds(self.of_port(trace, closed), "fail")
        self.expect_ledger(trace)


class FullTable(Case):
    """More sockets than the table has room for (here 4): the events still come, with what the socket itself tells."""

    def test_events_without_entries(self):
        with tempfile.TemporaryDirectory() as directory:
            object_ = build_variant(directory, size=('#include "tcp.bpf.h"', '#define SONDE_SOCKETS_MAX 4\n#include "tcp.bpf.h"'))
            fill = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(8)]
            server, port = listener()
            udp_port = free_port(kind=socket.SOCK_DGRAM)
            with Trace(object_, *HOUR) as trace:
                client = socket.create_connection(("127.0.0.1", port))
                accepted, _ = server.accept()
                client.sendall(b"x" * 10)
                read_all(accepted, 10)
                client.close()
                await_end(accepted)
                accepted.close()
                with socket.socket(type=socket.SOCK_DGRAM) as udp:
                    udp.connect(("127.0.0.1", udp_port))
            for s in (server, *fill):
                s.close()
        events = [e for e in trace.events if port in (e["local_port"], e["remote_port"])]
        client_end = [e for e in events if e["remote_port"] == port]
        self.expect_kinds(client_end, "connect", "close")
        self.expect(client_end[0], pid=None, command=None, role="client", protocol="TCP", local_address="127.0.0.1")
        self.expect(client_end[1], pid=None, role=None, duration_ns=None, sent_bytes=10, received_bytes=0, closed_by="local")
        server_end = [e for e in events if e["local_port"] == port]
        self.expect_kinds(server_end, "accept", "close")
        self.expect(server_end[0], role="server", **OWN)
        self.expect(server_end[1], pid=None, duration_ns=None, sent_bytes=0, received_bytes=10, closed_by="remote")
        self.expect_kinds(self.of_port(trace, udp_port), "connect")
        self.assertGreaterEqual(trace.ledger["map_full"], 1, trace.stderr)  # the close of UDP
        self.assertEqual(trace.ledger["residual"], 0, trace.stderr)


if __name__ == "__main__":
    unittest.main()
