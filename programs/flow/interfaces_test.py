# SPDX-License-Identifier: Apache-2.0
"""flow on interfaces: both ways of attaching, which packets are captured, and what other tools do to the hooks meanwhile."""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
import harness  # noqa: E402
from harness import SONDE, Trace, wait_for  # noqa: E402
from ends import HOUR, V4, Case, pair, udp_receiver  # noqa: E402


class Interfaces(Case):
    """On chosen interfaces, in a namespace of their own: `sonde trace` runs there too."""
    attach = "tcx"

    def trace(self, inside, *arguments, attach=None):
        return harness.start_trace(self, "ip", "netns", "exec", inside.name, SONDE, "trace", "flow", "-o", "json", *HOUR,
                                   "--attach", attach or self.attach, *arguments)

    def end(self, process):
        harness.await_packets()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertRegex(err, rb"residual 0")
        return [json.loads(line) for line in out.splitlines()]

    def test_fragments(self):
        near, far = pair(self)
        far.run("nft", "table inet t { chain c { type filter hook input priority 0; udp dport 9 drop; }; }")
        trace = self.trace(near, "--set", "interface_1=near")
        near.run(sys.executable, "-c", "import socket\ns = socket.socket(2, 2)\n"
                 "for _ in range(100): s.sendto(bytes(100), ('10.9.9.2', 9))\n"
                 "for _ in range(10): s.sendto(bytes(3000), ('10.9.9.2', 10009))\n"
                 "s.sendto(bytes(50), ('127.0.0.1', 9))\n")
        events = [e for e in self.end(trace) if e["direction"] == "egress" and e["protocol"] == "UDP"]
        self.assertEqual({e["interface"] for e in events}, {"near"})
        self.assertEqual({(e["destination_port"], e["packets"], e["bytes"]) for e in events},
                         {(9, 100, 12800), (10009, 10, 15000), (None, 20, 10 * (1500 + 20 + 3008 - 2 * 1480))})

    def test_vlan(self):
        """Tags in the packet, and one that the kernel took out as it came."""
        near, far = pair(self)
        datagram = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 128, 1, 0, 64, 17, 0, bytes([10, 9, 9, 1]), bytes([10, 9, 9, 2]))
        datagram += struct.pack(">HHHH", 1111, 2222, 108, 0) + bytes(100)
        one, two = bytes.fromhex("8100000508 00"), bytes.fromhex("88a80007 81000005 0800")
        frames = [bytes(b"\xff" * 6 + b"\2\0\0\0\0\1" + tags + datagram) for tags in (one, two)]
        traces = self.trace(near, "--set", "interface_1=near"), self.trace(far, "--set", "interface_1=far")
        near.run(sys.executable, "-c", "import socket\ns = socket.socket(17, 3)\ns.bind(('near', 3))\n"
                 "for f in %r:\n for _ in range(5): s.send(f)\n" % frames)
        for trace, direction in zip(traces, ("egress", "ingress")):
            self.assertEqual([(e["direction"], e["source_port"], e["packets"], e["bytes"]) for e in self.end(trace)
                              if e["destination_port"] == 2222], [(direction, 1111, 10, 1280)])

    def test_received(self):
        """What the firewall drops on its way to a socket has passed the interface."""
        near, far = pair(self)
        far.run("nft", "table inet t { chain c { type filter hook input priority 0; udp dport 9 drop; }; }")
        trace = self.trace(far, "--set", "interface_1=far")
        near.run(sys.executable, "-c", "import socket\ns = socket.socket(10, 2)\n"
                 "for _ in range(1000): s.sendto(bytes(100), ('fd09::2', 9))\n")
        events = [e for e in self.end(trace) if e["destination_port"] == 9]
        self.assertEqual([(e["direction"], e["interface"], e["packets"], e["bytes"], e["pid"]) for e in events],
                         [("ingress", "far", 1000, 148000, None)])

    def test_unknown(self):
        trace = [SONDE, "trace", "flow", "--attach", self.attach, "--set"]
        done = subprocess.run([*trace, "interface_1=nosuch0"], capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"network interface", done.stderr)
        done = subprocess.run([*trace, "interface_1=2000000000"], capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot attach tcx/ingress: there is no such network interface", done.stderr)


class InterfacesByClsact(Interfaces):
    """The same for kernels without tcx. What becomes of the qdisc: tests/e2e/clsact_test.py"""
    attach = "clsact"

    def test_counts_as_tcx_does(self):
        """Of the same packets, at the same time, with many segments in one."""
        near, far = pair(self)
        service = far.start(self, "iperf3", "-s", "-1")
        wait_for(lambda: b":5201" in far.run("ss", "-lntH").stdout, "iperf3 listens")
        traces = [self.trace(near, "--set", "interface_1=near", attach=attach) for attach in ("tcx", "clsact")]
        near.run("iperf3", "-c", "10.9.9.2", "-n", "50M")
        service.wait(30)
        wait_for(lambda: not near.run("ss", "-tnH", "state", "connected", "exclude", "time-wait").stdout, "all is closed")
        names = ("direction", "source_address", "destination_address", "source_port", "destination_port", "protocol",
                 "interface", "packets", "bytes", "socket_cookie", "tcp_flags", "is_other")
        by_tcx, by_clsact = (sorted(tuple(str(e[name]) for name in names) for e in self.end(trace) if e["protocol"] == "TCP")
                             for trace in traces)
        self.assertEqual(by_tcx, by_clsact)
        self.assertEqual(len(by_tcx), 4, "two connections, two directions")


class Rules(Case):
    def test_ports(self):
        servers = {name: udp_receiver(V4) for name in ("wanted", "too", "unwanted")}
        ports = {name: port for name, (_, port) in servers.items()}
        for settings, seen in ((("only_port_1=%(wanted)d", "only_port_3=%(too)d"), {"wanted", "too"}),
                               (("skip_port_1=%(unwanted)d",), {"wanted", "too"})):
            with self.subTest(settings=settings):
                words = [word for s in settings for word in ("--set", s % ports)]
                with Trace("flow", *words, *HOUR) as trace, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                    for _ in range(10):
                        for port in ports.values():
                            s.sendto(b"x", (V4, port))
                for name, (receiver, port) in servers.items():
                    self.assertEqual([e["packets"] for e in trace.of(destination_port=port)],
                                     [10, 10] if name in seen else [])
        for receiver, _ in servers.values():
            receiver.setblocking(False)
            for _ in range(20):  # not captured means that: all of them came
                self.assertEqual(receiver.recv(10), b"x")
            receiver.close()


class Samples(Case):
    def sample(self, count, *settings):
        receiver, port = udp_receiver(V4)
        words = [word for s in ("only_port_1=%d" % port, *settings) for word in ("--set", s)]
        with receiver, Trace("flow", *words, *HOUR) as trace, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((V4, port))
            self.ports = struct.pack(">HH", s.getsockname()[1], port).hex()
            for _ in range(count):
                s.send(b"password=" + b"x" * 200)
        self.expect_ledger(trace)
        return trace.of(type="packet_sample")

    def test_each(self):
        events = self.sample(50, "sample=1")
        self.assertEqual(len(events), 100)
        for e in events:
            self.expect(e, packets=1, bytes=237, captured_bytes=28, weight=1, interface="lo", protocol="UDP",
                        source_address=V4)
            self.assertRegex(e["captured"], "^450000ed.{8}4011.{4}7f0000017f000001%s00d9.{4}$" % self.ports)

    def test_with_payload(self):
        for e in self.sample(5, "sample=1", "sample_payload=1"):
            self.expect(e, captured_bytes=128)
            self.assertEqual(bytes.fromhex(e["captured"])[28:], b"password=" + b"x" * 91)

    def test_one_in_so_many(self):
        events = self.sample(20000, "sample=20")
        self.assertLess(abs(len(events) - 2000), 6 * (2000 * 0.95) ** 0.5)  # six standard deviations
        self.assertEqual({e["weight"] for e in events}, {20})

    def test_none(self):
        self.assertEqual(self.sample(1000), [])


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
