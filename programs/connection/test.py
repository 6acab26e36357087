# SPDX-License-Identifier: Apache-2.0
"""The program `connection` against the real kernel: causes each kind of connection and compares what is reported."""
import errno
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import Agent, ROOT, Trace, only, wait_for  # noqa: E402

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


class Tcp(Case):
    def life(self, family, listen_on, connect_to, shown):
        server, port = listener(listen_on, family)
        with Trace("connection", *HOUR) as trace:
            client = socket.create_connection((connect_to, port))
            local = client.getsockname()[1]
            accepted, _ = server.accept()
            client.sendall(b"q" * 1000)
            read_all(accepted, 1000)
            accepted.sendall(b"a" * 2000)
            read_all(client, 2000)
            client.close()
            await_end(accepted)
            accepted.close()
        server.close()
        self.expect_ledger(trace)
        client_end = {"protocol": "TCP", "role": "client", "local_address": shown, "local_port": local,
                      "remote_address": shown, "remote_port": port, "error": None, "retransmits": 0, **OWN}
        server_end = {**client_end, "role": "server", "local_port": port, "remote_port": local}
        events = self.of_port(trace, port, "client")
        self.expect_kinds(events, "connect", "close")
        self.expect(events[0], state="established", closed_by=None, accept_wait_ns=None, **client_end, **NO_COUNTERS)
        self.expect(events[1], state="fin_wait2", closed_by="local", sent_bytes=1000, received_bytes=2000, **client_end)
        for e in events:
            self.assertGreater(e["connect_ns"], 0)
            self.assertGreater(e["rtt_ns"], 0)
            self.assertGreater(e["min_rtt_ns"], 0)
        self.assertGreater(events[1]["duration_ns"], 0)
        self.assertEqual(events[0]["cookie"], events[1]["cookie"])
        events = self.of_port(trace, port, "server")
        self.expect_kinds(events, "accept", "close")
        self.expect(events[0], state="established", closed_by=None, connect_ns=None, **server_end, **NO_COUNTERS)
        self.expect(events[1], state="last_ack", closed_by="remote", sent_bytes=2000, received_bytes=1000, **server_end)
        for e in events:
            self.assertGreater(e["accept_wait_ns"], 0)
            self.assertGreater(e["rtt_ns"], 0)
        self.assertGreater(events[1]["duration_ns"], 0)
        self.assertEqual(events[0]["cookie"], events[1]["cookie"])

    def test_name_of_the_process(self):
        """A thread may have another name: the event tells that of the process."""
        server, port = listener("127.0.0.1")
        code = ("import ctypes, socket, threading\n"
                "def work():\n"
                "    ctypes.CDLL(None).prctl(15, b'a-thread', 0, 0, 0)\n"
                "    socket.create_connection(('127.0.0.1', %d)).close()\n"
                "t = threading.Thread(target=work); t.start(); t.join()" % port)
        with Trace("connection", *HOUR) as trace:
            process = subprocess.Popen([sys.executable, "-c", code])
            await_end(server.accept()[0])
            self.assertEqual(process.wait(30), 0)
        server.close()
        found = self.of_port(trace, port, "client")
        self.assertTrue(found)
        for e in found:
            self.assertEqual((e["pid"], e["command"]), (process.pid, os.path.basename(sys.executable)[:15]))
            self.assertNotEqual(e["tid"], e["pid"])

    def test_ipv4(self):
        self.life(socket.AF_INET, "127.0.0.1", "127.0.0.1", "127.0.0.1")

    def test_ipv6(self):
        self.life(socket.AF_INET6, "::1", "::1", "::1")

    def test_ipv4_mapped_is_shown_as_ipv4(self):
        self.life(socket.AF_INET6, "::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1")

    def test_mapped_client(self):
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            client = socket.socket(socket.AF_INET6)
            client.connect(("::ffff:127.0.0.1", port))
            local = client.getsockname()[1]
            client.close()
        server.close()
        events = self.of_port(trace, port, "client")
        self.expect_kinds(events, "connect", "close")
        for e in events:
            self.expect(e, local_address="127.0.0.1", remote_address="127.0.0.1", local_port=local, **OWN)

    def test_two_sockets_in_one_thread(self):
        server, port = listener()
        sizes = (1 << 20, 2 << 20)
        locals_ = []
        with Trace("connection", *HOUR) as trace:
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in sizes]
            accepted = [server.accept()[0] for _ in sizes]
            locals_ = [c.getsockname()[1] for c in clients]
            senders = [threading.Thread(target=c.sendall, args=(b"x" * size,)) for c, size in zip(clients, sizes)]
            receivers = [threading.Thread(target=read_all, args=(a, size)) for a, size in zip(accepted, sizes)]
            for t in senders + receivers:
                t.start()
            for t in senders + receivers:
                t.join()
            accepted[0].close()  # in one the server closes first, in the other the client
            await_end(clients[0])
            clients[0].close()
            clients[1].close()
            await_end(accepted[1])
            accepted[1].close()
        server.close()
        self.expect_ledger(trace)
        for local, size, by in zip(locals_, sizes, ("remote", "local")):
            ends = [e for e in trace.of(kind="close") if port in (e["local_port"], e["remote_port"]) and
                    local in (e["local_port"], e["remote_port"])]
            self.assertEqual(len(ends), 2, ends)
            for e in ends:
                if e["role"] == "client":
                    self.expect(e, sent_bytes=size, received_bytes=0, closed_by=by, error=None, **OWN)
                else:
                    self.expect(e, sent_bytes=0, received_bytes=size, error=None, **OWN,
                                closed_by={"local": "remote", "remote": "local"}[by])

    def test_half_closed(self):
        """Each side's FIN counts in neither's bytes, whichever way round the two ends close."""
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            client = socket.create_connection(("127.0.0.1", port))
            accepted, _ = server.accept()
            client.sendall(b"q" * 7)
            client.shutdown(socket.SHUT_WR)
            read_all(accepted, 7)
            await_end(accepted)
            accepted.sendall(b"a" * 70000)
            accepted.close()
            read_all(client, 70000)
            await_end(client)
            client.close()
        server.close()
        close = {e["role"]: e for e in self.of_port(trace, port) if e["kind"] == "close"}
        self.expect(close["client"], sent_bytes=7, received_bytes=70000, closed_by="local", error=None)
        self.expect(close["server"], sent_bytes=70000, received_bytes=7, closed_by="remote", error=None)

    def test_keep_alive(self):
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            client = socket.create_connection(("127.0.0.1", port))
            accepted, _ = server.accept()
            for _ in range(1000):
                client.sendall(b"request")
                read_all(accepted, 7)
                accepted.sendall(b"answer")
                read_all(client, 6)
            client.close()
            await_end(accepted)
            accepted.close()
        server.close()
        events = self.of_port(trace, port, "client")
        self.expect_kinds(events, "connect", "close")
        self.expect(events[1], sent_bytes=7000, received_bytes=6000, **OWN)
        events = self.of_port(trace, port, "server")
        self.expect_kinds(events, "accept", "close")
        self.expect(events[1], sent_bytes=6000, received_bytes=7000, **OWN)

    def test_thousand_short_ones(self):
        server, port = listener()

        def serve():
            for _ in range(1000):
                accepted, _ = server.accept()
                read_all(accepted, 7)
                accepted.sendall(b"answer")
                accepted.close()

        with Trace("connection", *HOUR) as trace:
            thread = threading.Thread(target=serve)
            thread.start()
            for _ in range(1000):
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.sendall(b"request")
                    read_all(client, 6)
                    await_end(client)
            thread.join()
        server.close()
        self.expect_ledger(trace)
        for role, first, sent, received, by in (("client", "connect", 7, 6, "remote"), ("server", "accept", 6, 7, "local")):
            events = self.of_port(trace, port, role)
            self.assertEqual(len(events), 2000)
            self.assertEqual(len({e["cookie"] for e in events if e["kind"] == first}), 1000)
            closes = [e for e in events if e["kind"] == "close"]
            self.assertEqual(len({e["cookie"] for e in closes}), 1000)
            for e in closes:
                self.expect(e, sent_bytes=sent, received_bytes=received, closed_by=by, error=None, retransmits=0, **OWN)

    def test_reset(self):
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            client = socket.create_connection(("127.0.0.1", port))
            accepted, _ = server.accept()
            client.sendall(b"q" * 10)
            read_all(accepted, 10)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            await_reset(accepted)
            accepted.close()
        server.close()
        close = {e["role"]: e for e in self.of_port(trace, port) if e["kind"] == "close"}
        self.expect(close["client"], closed_by="local_reset", error=None, errno=0, sent_bytes=10, received_bytes=0,
                    state="established", **OWN)
        self.expect(close["server"], closed_by="remote_reset", error="ECONNRESET", errno=errno.ECONNRESET, sent_bytes=0,
                    received_bytes=10, state="established", **OWN)

    def test_unread_data(self):
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            client = socket.create_connection(("127.0.0.1", port))
            accepted, _ = server.accept()
            client.sendall(b"q" * 10)
            select.select([accepted], [], [], 5)
            accepted.close()
            await_reset(client)
            client.close()
        server.close()
        close = {e["role"]: e for e in self.of_port(trace, port) if e["kind"] == "close"}
        self.expect(close["server"], closed_by="local_reset", error=None, sent_bytes=0, received_bytes=10)
        self.expect(close["client"], closed_by="remote_reset", error="ECONNRESET", sent_bytes=10, received_bytes=0)

    def test_many_of_one_process(self):
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
            for c in clients:
                accepted, _ = server.accept()
                accepted.close()
            for c in clients:
                c.close()
        server.close()
        self.expect_ledger(trace)
        connects = self.of_port(trace, port, "client")
        self.assertEqual(len([e for e in connects if e["kind"] == "connect"]), 50)
        self.assertEqual(len([e for e in connects if e["kind"] == "close"]), 50)
        self.assertEqual(len({e["cookie"] for e in connects}), 50)
        for e in connects:
            self.expect(e, **OWN)

    def test_process_that_lives_shortly(self):
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            def work():
                with open("/proc/self/comm", "w") as f:
                    f.write("mayfly")
                for _ in range(50):
                    socket.create_connection(("127.0.0.1", port)).close()
            pid = child(work)
            end_child(pid)
        server.close()
        events = self.of_port(trace, port, "client")
        self.assertEqual(len([e for e in events if e["kind"] == "connect"]), 50)
        self.assertEqual(len([e for e in events if e["kind"] == "close"]), 50)
        for e in events:
            self.expect(e, pid=pid, command="mayfly")

    def test_never_accepted(self):
        """Its end is told by the end of the listening socket; nobody ever owned it."""
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            client = socket.create_connection(("127.0.0.1", port))
            server.close()
            client.close()
        events = self.of_port(trace, port, "server")
        self.expect_kinds(events, "close")
        self.expect(events[0], pid=None, command=None, closed_by="local_reset")

    def test_reset_before_it_is_accepted(self):
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            accepted, _ = server.accept()
            accepted.close()
        server.close()
        events = self.of_port(trace, port, "server")
        self.expect_kinds(events, "accept", "close")
        self.expect(events[0], **OWN)
        self.expect(events[1], closed_by="remote_reset", error="ECONNRESET", **OWN)

    def test_socket_used_again(self):
        """One socket, connected twice: two connections."""
        server, port = listener()
        with Trace("connection", *HOUR) as trace:
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(b"12345")
            disconnect(client)
            client.connect(("127.0.0.1", port))
            client.sendall(b"123")
            client.close()
        server.close()
        events = self.of_port(trace, port, "client")
        self.expect_kinds(events, "connect", "close", "connect", "close")
        self.expect(events[1], sent_bytes=5, closed_by="local_reset", **OWN)
        self.expect(events[3], sent_bytes=3, **OWN)


def disconnect(s):
    """connect() to AF_UNSPEC, which Python has no call for."""
    import ctypes
    if ctypes.CDLL(None, use_errno=True).connect(s.fileno(), bytes(16), 16):
        raise OSError(ctypes.get_errno(), "disconnect")


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


class Quiet(Case):
    def test_no_connection_no_event(self):
        taken, port = listener()
        with Trace("connection", *HOUR) as trace:
            pid = child(self.make_no_connection, port)
            end_child(pid)
        taken.close()
        self.assertEqual(trace.of(pid=pid), [])
        self.assertEqual(self.of_port(trace, port), [])

    def make_no_connection(self, port):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            listener(address, family)[0].close()
            with socket.socket(family, socket.SOCK_DGRAM) as s, socket.socket(family, socket.SOCK_DGRAM) as peer:
                peer.bind((address, 0))
                s.sendto(b"x", peer.getsockname())  # without connect() it is no connection
                peer.recvfrom(1)
        with socket.socket() as s:
            self.assertRaises(OSError, s.bind, ("127.0.0.1", port))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))  # and never used
        a, b = socket.socketpair()
        a.send(b"x"), b.recv(1), a.close(), b.close()
        path = "\0sonde-test-%d" % os.getpid()
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as s:
            server.bind(path)
            server.listen()
            s.connect(path)
            server.accept()[0].close()
        with socket.socket(socket.AF_UNIX) as s:
            self.assertRaises(OSError, s.connect, "\0sonde-test-nobody")
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
            s.bind((0, 0))


if __name__ == "__main__":
    if sys.argv[1:] == ["--in-namespace"]:
        in_namespace()
    else:
        unittest.main()
