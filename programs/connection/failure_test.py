# SPDX-License-Identifier: Apache-2.0
"""Connections that fail: which way, and how many."""
import errno
import os
import select
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import Agent, Trace, only, wait_for  # noqa: E402
from ends import COMMAND, HOUR, NO_COUNTERS, OWN, Case, free_port, listener  # noqa: E402


class Failure(Case):
    def refused(self, family, address):
        port = free_port(family)
        with Trace("connection", *HOUR) as trace:
            with socket.socket(family) as s:
                self.assertEqual(s.connect_ex((address, port)), errno.ECONNREFUSED)
        self.expect_ledger(trace)
        events = self.of_port(trace, port)
        self.expect_kinds(events, "fail")
        self.expect(events[0], protocol="TCP", role="client", local_address=address, remote_address=address,
                    remote_port=port, error="ECONNREFUSED", errno=errno.ECONNREFUSED, state="syn_sent", closed_by=None,
                    retransmits=0, rtt_ns=None, accept_wait_ns=None, **NO_COUNTERS, **OWN)
        self.assertGreater(events[0]["connect_ns"], 0)
        self.assertGreater(events[0]["local_port"], 0)

    def test_refused_ipv4(self):
        self.refused(socket.AF_INET, "127.0.0.1")

    def test_refused_ipv6(self):
        self.refused(socket.AF_INET6, "::1")

    def test_not_blocking(self):
        server, port = listener()
        closed = free_port()
        with Trace("connection", *HOUR) as trace:
            for target in (port, closed):
                with socket.socket() as s:
                    s.setblocking(False)
                    self.assertEqual(s.connect_ex(("127.0.0.1", target)), errno.EINPROGRESS)
                    select.select([], [s], [], 5)
                    self.assertEqual(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0, target == closed)
        server.close()
        self.expect_kinds(self.of_port(trace, port, "client"), "connect", "close")
        events = self.of_port(trace, closed, "client")
        self.expect_kinds(events, "fail")
        self.expect(events[0], error="ECONNREFUSED", **OWN)

    def test_refused_twice_on_one_socket(self):
        port = free_port()
        with Trace("connection", *HOUR) as trace:
            with socket.socket() as s:
                for _ in range(2):
                    self.assertEqual(s.connect_ex(("127.0.0.1", port)), errno.ECONNREFUSED)
        self.expect_kinds(self.of_port(trace, port), "fail", "fail")

    def test_no_address_left(self):
        """The source port is taken for this peer: connect() fails on its own, after it had begun."""
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            with socket.socket() as first, socket.socket() as second:
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                first.bind(("127.0.0.1", 0))
                second.bind(first.getsockname())
                first.connect(("127.0.0.1", port))
                self.assertEqual(second.connect_ex(("127.0.0.1", port)), errno.EADDRNOTAVAIL)
        server.close()
        events = [e for e in self.of_port(trace, port) if e["kind"] == "fail"]
        self.assertEqual(len(events), 1, events)
        self.expect(events[0], error="EADDRNOTAVAIL", errno=errno.EADDRNOTAVAIL, closed_by=None, **OWN)

    def test_in_a_namespace(self):
        """No route, no neighbour, silence: in a network namespace of its own, where nothing else runs."""
        with Trace("connection", *HOUR) as trace:
            result = subprocess.run(["unshare", "-n", sys.executable, __file__, "--in-namespace"], text=True,
                                    stdout=subprocess.PIPE, check=True)
        pid, silence_ms, syns = map(int, result.stdout.split())
        failures = {(e["protocol"], e["remote_address"], e["remote_port"]): e for e in trace.of(pid=pid, kind="fail")}
        self.expect(failures["TCP", "192.0.2.1", 7001], error="ENETUNREACH", errno=errno.ENETUNREACH, role="client",
                    local_port=None, connect_ns=None, command=COMMAND, state=None, retransmits=None, **NO_COUNTERS)
        self.expect(failures["TCP", "2001:db8::1", 7002], error="ENETUNREACH", role="client", command=COMMAND)
        self.expect(failures["UDP", "192.0.2.1", 7003], error="ENETUNREACH", role="client", command=COMMAND)
        self.expect(failures["TCP", "198.51.100.9", 7004], error="EHOSTUNREACH", state="syn_sent")
        self.expect(failures["TCP", "198.51.100.1", 7005], error="ETIMEDOUT", errno=errno.ETIMEDOUT, state="syn_sent",
                    retransmits=syns - 1, local_address="198.51.100.1")
        self.assertGreater(failures["TCP", "198.51.100.1", 7005]["connect_ns"], 500 * 10**6)
        gave_up = failures["TCP", "198.51.100.1", 7006]
        self.expect(gave_up, error=None, errno=0, closed_by="local", state="syn_sent")
        self.assertGreaterEqual(gave_up["connect_ns"] // 10**6, silence_ms)
        self.assertEqual(len(failures), 6, failures)
        self.assertEqual(len(trace.of(pid=pid)), 6)


class Metric(unittest.TestCase):
    def test_errors(self):
        """As many as there are events that tell of an error; what goes well is in no series."""
        refused = 'sonde_connection_errors_total{kind="fail",role="client",error="ECONNREFUSED",protocol="TCP"} '
        where = "kind = fail and role = client and error = ECONNREFUSED and protocol = TCP"
        with Agent(programs=only("connection")) as agent:
            def count():
                time.sleep(0.25)  # a page holds for 0.2 s
                return sum(int(line[len(refused):]) for line in agent.metrics().text.splitlines() if line.startswith(refused))

            before, (server, open_port), port = count(), listener(), free_port()
            for _ in range(7):
                with socket.socket() as s:
                    self.assertEqual(s.connect_ex(("127.0.0.1", port)), errno.ECONNREFUSED)
                with socket.create_connection(("127.0.0.1", open_port)):
                    server.accept()[0].close()
            server.close()
            wait_for(lambda: count() >= before + 7, "the metric", 20)
            least = count()
            agent.settle()
            events = agent.count("connection", where=where)["count"]
            self.assertLessEqual(least, events)
            self.assertLessEqual(events, count())
            self.assertEqual(agent.count("connection", where="%s and remote_port = %d" % (where, port))["count"], 7)
            series = [line for line in agent.metrics().text.splitlines() if line.startswith("sonde_connection_errors_total{")]
            self.assertFalse([line for line in series if not line.split('"')[1] in ("fail", "close") or "errno=" in line], series)


def in_namespace():
    def run(*command):
        subprocess.run(command, check=True)

    def refuse(family, kind, address, port, expected):
        with socket.socket(family, kind) as s:
            got = s.connect_ex((address, port))
            if got != expected:
                raise AssertionError("%s port %d: %s" % (address, port, errno.errorcode.get(got, got)))

    refuse(socket.AF_INET, socket.SOCK_STREAM, "192.0.2.1", 7001, errno.ENETUNREACH)
    refuse(socket.AF_INET, socket.SOCK_DGRAM, "192.0.2.1", 7003, errno.ENETUNREACH)
    run("ip", "link", "set", "lo", "up")
    refuse(socket.AF_INET6, socket.SOCK_STREAM, "2001:db8::1", 7002, errno.ENETUNREACH)
    run("ip", "link", "add", "sonde0", "type", "veth", "peer", "name", "sonde1")
    run("ip", "address", "add", "198.51.100.1/24", "dev", "sonde0")
    for interface in ("sonde0", "sonde1"):
        run("ip", "link", "set", interface, "up")
    with open("/proc/sys/net/ipv4/neigh/sonde0/retrans_time_ms", "w") as f:
        f.write("100")
    refuse(socket.AF_INET, socket.SOCK_STREAM, "198.51.100.9", 7004, errno.EHOSTUNREACH)
    run("nft", "add table ip t; add chain ip t in { type filter hook input priority 0; }; "
        "add rule ip t in tcp dport 7005 counter drop; add rule ip t in tcp dport 7006 drop")
    with socket.socket() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
        if s.connect_ex(("198.51.100.1", 7005)) != errno.ETIMEDOUT:
            raise AssertionError("no timeout")
    with socket.socket() as s:
        s.setblocking(False)
        s.connect_ex(("198.51.100.1", 7006))
        time.sleep(0.05)
    rules = subprocess.run(["nft", "list", "chain", "ip", "t", "in"], check=True, text=True, stdout=subprocess.PIPE).stdout
    print(os.getpid(), 50, rules.split("packets ")[1].split()[0])


if __name__ == "__main__":
    if sys.argv[1:] == ["--in-namespace"]:
        in_namespace()
    else:
        unittest.main()
