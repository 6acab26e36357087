# SPDX-License-Identifier: Apache-2.0
"""The program `connection` against the real kernel: causes each kind of connection and compares what is reported."""
import errno
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import Trace  # noqa: E402
from ends import HOUR, NO_COUNTERS, OWN, Case, await_end, await_reset, child, disconnect, end_child, listener, read_all  # noqa: E402


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
    unittest.main()
