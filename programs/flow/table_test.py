# SPDX-License-Identifier: Apache-2.0
"""The table of flows: what finds no room, what is idle, what lasts."""
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import Trace  # noqa: E402
from ends import HOUR, V4, Case, build_variant, total, udp_receiver  # noqa: E402


class Table(Case):
    def test_sum_while_reports_go_out(self):
        """All CPUs send while the counts are taken away from under them, again and again."""
        receiver, port = udp_receiver(V4)
        code = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect(('127.0.0.1', %d))\n"
                "for _ in range(100000): s.send(b'0123456789')\n" % port)
        with receiver, Trace("flow", "--set", "update_interval_ns=20ms", "--set", "only_port_1=%d" % port) as trace:
            senders = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
            self.assertEqual([p.wait(60) for p in senders], [0] * 4)
        for direction in ("egress", "ingress"):
            events = trace.of(destination_port=port, direction=direction)
            self.assertEqual(total(events), (400000, 400000 * 38))
            self.assertGreater(len(events), 8)
            self.assertLess(len(events), 4000)
        self.expect_ledger(trace)

    def send_from_many_ports(self, count, port, each=3):
        for _ in range(count):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                for _ in range(each):
                    s.sendto(b"0123456789", (V4, port))

    def test_a_thousand_flows(self):
        receiver, port = udp_receiver(V4)
        sockets = []
        with receiver, Trace("flow", "--set", "only_port_1=%d" % port, *HOUR) as trace:
            for _ in range(500):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.bind((V4, 0))
                sockets.append(s)
            for _ in range(3):
                for s in sockets:
                    s.sendto(b"0123456789", (V4, port))
        self.assertEqual(len(trace.of(type="flow")), 1000)
        self.assertEqual({(e["source_port"], e["packets"], e["bytes"]) for e in trace.events},
                         {(s.getsockname()[1], 3, 114) for s in sockets})
        for s in sockets:
            s.close()
        self.expect_ledger(trace)

    def test_report_larger_than_the_ring(self):
        """Its room is for some 17,000: the report waits for the reader, and no flow has to wait for the next one."""
        count = 40000
        with Trace("flow", "--set", "only_port_1=9", *HOUR) as trace, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for i in range(count):
                s.sendto(b"x", ("127.77.%d.%d" % (i >> 8, i & 0xff), 9))
        events = [e for e in trace.of(destination_port=9, direction="egress") if e["destination_address"].startswith("127.77.")]
        self.assertEqual((len(events), total(events)), (count, (count, count * 29)))
        self.assertEqual(trace.ledger["ring_full"], 0, trace.stderr)
        self.expect_ledger(trace)

    def test_full(self):
        """Its 100,000 keep their counts, and what comes more is counted too: nothing is thrown out for it."""
        room, count = 100000, 110000
        nobody, port = udp_receiver(V4)
        destinations = ["127.%d.%d.%d" % (100 + (i >> 16), i >> 8 & 0xff, i & 0xff) for i in range(count)]
        with Trace("flow", "--set", "only_port_1=%d" % port, *HOUR, timeout=120) as trace, \
                nobody, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for destination in destinations + destinations[:10]:
                s.sendto(b"x", (destination, port))
        other, events = trace.of(is_other=True), trace.of(is_other=False)
        self.assertEqual((len(other), other[0]["direction"]), (1, "egress"))
        self.assertEqual(total(events + other), (count + 10, (count + 10) * 29))
        self.assertEqual(len(events), room)
        counts = {e["destination_address"]: e["packets"] for e in events}
        self.assertEqual([counts[destination] for destination in destinations[:11]], [2] * 10 + [1])
        self.expect_ledger(trace)

    def test_more_flows_than_the_table_holds(self):
        receiver, port = udp_receiver(V4)
        with tempfile.TemporaryDirectory() as directory:
            object_ = build_variant(directory, "-DFLOWS_MAX=10")
            with receiver, Trace(object_, "--set", "only_port_1=%d" % port, *HOUR) as trace:
                self.send_from_many_ports(100, port)
        for direction in ("egress", "ingress"):
            events = trace.of(type="flow", direction=direction)
            self.assertEqual(total(events), (300, 300 * 38))
            other = [e for e in events if e["is_other"]]
            self.assertEqual(len(other), 1)
            self.expect(other[0], source_address=None, destination_port=None, protocol=None, interface=None, pid=None,
                        first_time=None, duration_ns=None, socket_cookie=None)
            self.assertGreaterEqual(other[0]["packets"], 270)
        self.assertEqual(len([e for e in trace.events if not e["is_other"]]), 10)
        self.expect_ledger(trace)

    def test_idle_flows_make_room(self):
        receiver, port = udp_receiver(V4)
        settings = ("--set", "update_interval_ns=50ms", "--set", "only_port_1=%d" % port)
        with tempfile.TemporaryDirectory() as directory:
            object_ = build_variant(directory, "-DFLOWS_MAX=4")
            with receiver, Trace(object_, *settings) as trace, \
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                self.send_from_many_ports(20, port)
                last.bind((V4, 0))
                sent = 0
                for _ in range(100):  # in time one of them finds room
                    last.sendto(b"0123456789", (V4, port))
                    sent += 1
                    time.sleep(0.02)
        for direction in ("egress", "ingress"):
            events = trace.of(type="flow", direction=direction)
            self.assertEqual(total(events), (60 + sent, (60 + sent) * 38))
            self.assertTrue([e for e in events if e["source_port"] == last_port(events)])
        self.expect_ledger(trace)


def last_port(events):
    return max((e for e in events if not e["is_other"]), key=lambda e: e["last_time"])["source_port"]


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
