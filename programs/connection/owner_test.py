# SPDX-License-Identifier: Apache-2.0
"""Whose a connection is, however its socket came to whom; connections that were there before; UDP."""
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import Trace  # noqa: E402
from ends import HOUR, NO_COUNTERS, OWN, Case, await_end, child, disconnect, end_child, free_port, listener, read_all  # noqa: E402


class Owner(Case):
    def test_forked_worker_accepts(self):
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            def work():
                accepted, _ = server.accept()
                await_end(accepted)
                accepted.close()
            pid = child(work)
            socket.create_connection(("127.0.0.1", port)).close()
            end_child(pid)
        server.close()
        for e in self.of_port(trace, port, "server"):
            self.expect(e, pid=pid)
        self.expect_kinds(self.of_port(trace, port, "server"), "accept", "close")
        for e in self.of_port(trace, port, "client"):
            self.expect(e, **OWN)

    def test_child_serves_what_the_parent_accepted(self):
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            client = socket.create_connection(("127.0.0.1", port))
            accepted, _ = server.accept()
            pid = child(lambda: (client.close(), await_end(accepted), accepted.close()))
            accepted.close()
            client.close()
            end_child(pid)
        server.close()
        events = self.of_port(trace, port, "server")
        self.expect_kinds(events, "accept", "close")
        self.expect(events[0], **OWN)
        self.expect(events[1], pid=pid)

    def test_descriptor_passed_to_another_process(self):
        server, port = listener()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with Trace("connection", *HOUR) as trace:
            def work():
                _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
                passed = socket.socket(fileno=fds[0])
                await_end(passed)
                passed.close()
            pid = child(work)
            client = socket.create_connection(("127.0.0.1", port))
            accepted, _ = server.accept()
            socket.send_fds(ours, [b"x"], [accepted.fileno()])
            accepted.close()
            client.close()
            end_child(pid)
        for s in (server, ours, theirs):
            s.close()
        events = self.of_port(trace, port, "server")
        self.expect_kinds(events, "accept", "close")
        self.expect(events[0], **OWN)
        self.expect(events[1], pid=pid)


class Udp(Case):
    def life(self, family, address):
        server = socket.socket(family, socket.SOCK_DGRAM)
        port = free_port(family, socket.SOCK_DGRAM)
        server.bind((address, port))
        with Trace("connection", *HOUR) as trace:
            client = socket.socket(family, socket.SOCK_DGRAM)
            client.connect((address, port))
            local = client.getsockname()[1]
            client.send(b"q" * 100)
            client.send(b"q" * 20)
            for _ in range(2):
                server.recvfrom(200)
            server.sendto(b"a" * 300, (address, local))
            client.recv(1000, socket.MSG_PEEK)  # looks, but takes nothing
            client.recv(1000)
            client.close()
        server.close()
        self.expect_ledger(trace)
        events = self.of_port(trace, port)
        self.expect_kinds(events, "connect", "close")
        for e in events:
            self.expect(e, protocol="UDP", role="client", local_address=address, local_port=local, remote_address=address,
                        remote_port=port, error=None, errno=0, state=None, rtt_ns=None, min_rtt_ns=None,
                        retransmits=None, connect_ns=None, accept_wait_ns=None, cookie=events[0]["cookie"], **OWN)
        self.expect(events[0], closed_by=None, **NO_COUNTERS)
        self.expect(events[1], closed_by="local", sent_bytes=120, received_bytes=300)
        self.assertGreater(events[1]["duration_ns"], 0)

    def test_ipv4(self):
        self.life(socket.AF_INET, "127.0.0.1")

    def test_ipv6(self):
        self.life(socket.AF_INET6, "::1")

    def test_connected_to_another_peer(self):
        ports = [free_port(kind=socket.SOCK_DGRAM) for _ in range(2)]
        with Trace("connection", *HOUR) as trace:
            with socket.socket(type=socket.SOCK_DGRAM) as s:
                s.connect(("127.0.0.1", ports[0]))
                s.connect(("127.0.0.1", ports[1]))
                disconnect(s)
        for port in ports:
            events = self.of_port(trace, port)
            self.expect_kinds(events, "connect", "close")
            self.expect(events[1], sent_bytes=0, received_bytes=0, closed_by="local", **OWN)


class Older(Case):
    """What began before sonde."""

    def test_known_with_owner_and_counters(self):
        server, port = listener()
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        local = client.getsockname()[1]
        client.sendall(b"q" * 5000)
        read_all(accepted, 5000)
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp_port = free_port(kind=socket.SOCK_DGRAM)
        udp.connect(("127.0.0.1", udp_port))
        with Trace("connection", *HOUR) as trace:
            accepted.sendall(b"a" * 3000)
            read_all(client, 3000)
            udp.send(b"x")  # what went before is not known, so the sum is not
            client.close()
            await_end(accepted)
            accepted.close()
            udp.close()
        server.close()
        events = self.of_port(trace, port, "client")
        self.expect_kinds(events, "update", "close")
        for e in events:
            self.expect(e, protocol="TCP", local_address="127.0.0.1", local_port=local, remote_address="127.0.0.1",
                        error=None, duration_ns=None, connect_ns=None, retransmits=0, **OWN)
        self.expect(events[0], state="established", closed_by=None, sent_bytes=5000, received_bytes=0)
        self.expect(events[1], state="fin_wait2", closed_by="local", sent_bytes=5000, received_bytes=3000)
        events = self.of_port(trace, port, "server")
        self.expect_kinds(events, "update", "close")
        self.expect(events[0], state="established", sent_bytes=0, received_bytes=5000, **OWN)
        self.expect(events[1], closed_by="remote", sent_bytes=3000, received_bytes=5000, **OWN)
        events = self.of_port(trace, udp_port)
        self.expect_kinds(events, "update", "close")
        self.expect(events[0], protocol="UDP", role="client", sent_bytes=None, received_bytes=None, **OWN)
        self.expect(events[1], protocol="UDP", role="client", duration_ns=None, closed_by="local", sent_bytes=None, **OWN)

    def test_fresh_connection_has_a_role(self):
        """Before any byte was sent."""
        server, port = listener()
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        with Trace("connection", *HOUR) as trace:
            pass
        for s in (server, client, accepted):
            s.close()
        for role in ("client", "server"):
            self.expect_kinds(self.of_port(trace, port, role), "update")


if __name__ == "__main__":
    unittest.main()
