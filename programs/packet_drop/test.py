#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""packet_drop against the real kernel: drops that are caused one by one, in own network namespaces, and what is no drop."""
import itertools
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
import harness  # noqa: E402
from harness import Trace  # noqa: E402

V4, V6 = "127.0.0.1", "::1"


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def closed_port(address, kind=socket.SOCK_DGRAM):
    with socket.socket(family(address), kind) as s:
        s.bind((address, 0))
        return s.getsockname()[1]


class Namespace(harness.Namespace):
    def send_udp(self, count, address, port):
        code = "import socket\ns = socket.socket(%d, socket.SOCK_DGRAM)\ns.bind((%r, 0))\n" % (family(address), address)
        code += "for _ in range(%d):\n try: s.sendto(b'0123456789', (%r, %d))\n except OSError: pass\n" % (
            count, address, port)
        code += "print(s.getsockname()[1])"
        return int(self.run(sys.executable, "-c", code).stdout)


class Loopback(unittest.TestCase):
    def check_closed_port(self, address, header):
        port, payload = closed_port(address), b"x" * 100
        with Trace("packet_drop") as trace, socket.socket(family(address), socket.SOCK_DGRAM) as s:
            s.bind((address, 0))
            source = s.getsockname()[1]
            for _ in range(10):
                s.sendto(payload, (address, port))
        events = trace.of(destination_port=port, protocol="UDP")
        self.assertEqual(len(events), 10)
        for e in events:
            self.assertEqual({k: e[k] for k in ("type", "reason", "class", "interface", "interface_index", "length_bytes",
                                                "source_address", "source_port", "destination_address", "weight",
                                                "source", "pid", "tid", "uid", "command", "network_namespace")},
                             {"type": "packet_drop", "reason": "NO_SOCKET", "class": "application", "interface": "lo",
                              "interface_index": 1, "length_bytes": header + 8 + len(payload),
                              "source_address": address, "source_port": source, "destination_address": address,
                              "weight": 1, "source": "ebpf", "pid": None, "tid": None, "uid": None, "command": None,
                              "network_namespace": os.stat("/proc/self/ns/net").st_ino})
            self.assertRegex(e["location"], "udp")
        self.assertEqual(trace.ledger.get("residual"), 0, trace.stderr)

    def test_closed_port_v4(self):
        self.check_closed_port(V4, 20)

    def test_closed_port_v6(self):
        self.check_closed_port(V6, 40)

    def test_refused_connection(self):
        for address in (V4, V6):
            port = closed_port(address, socket.SOCK_STREAM)
            with Trace("packet_drop") as trace, socket.socket(family(address)) as s:
                self.assertEqual(s.connect_ex((address, port)), 111)
            self.assertEqual([(e["reason"], e["class"], e["protocol"], e["source_address"])
                              for e in trace.of(destination_port=port)], [("NO_SOCKET", "application", "TCP", address)])

    def test_clean_connections_give_none(self):
        for address in (V4, V6):
            with socket.socket(family(address)) as listener:
                listener.bind((address, 0))
                listener.listen(64)
                port = listener.getsockname()[1]
                with Trace("packet_drop") as trace:
                    server = threading.Thread(target=self.serve, args=(listener, 1000))
                    server.start()
                    for _ in range(1000):
                        self.get(address, port)
                    server.join()
            self.assertEqual([e for e in trace.events if port in (e["source_port"], e["destination_port"])], [])

    @staticmethod
    def serve(listener, count):
        for _ in range(count):
            c = listener.accept()[0]
            c.recv(4096)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            c.close()

    @staticmethod
    def get(address, port):
        with socket.create_connection((address, port)) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            while s.recv(4096):
                pass

    def test_ends_of_all_kinds_give_none(self):
        """Resets, half-closed connections, unread data: the remains of a connection are no drops."""
        with socket.socket() as listener:
            listener.bind((V4, 0))
            listener.listen(64)
            port = listener.getsockname()[1]
            with Trace("packet_drop") as trace:
                for how in ("reset", "half", "unread") * 20:
                    with socket.create_connection((V4, port)) as s, listener.accept()[0] as c:
                        if how == "reset":
                            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        elif how == "half":
                            s.shutdown(socket.SHUT_WR)
                            c.sendall(b"x" * 1000)
                            s.recv(9)
                        else:
                            s.sendall(b"nobody reads this")
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader:
                    reader.bind((V4, 0))
                    unread = reader.getsockname()[1]
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                        s.sendto(b"nobody reads this", (V4, unread))
        self.assertEqual([e for e in trace.events if {port, unread} & {e["source_port"], e["destination_port"]}], [])

    def test_full_socket(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.bind((V4, 0))
            reader.setblocking(False)
            port = reader.getsockname()[1]
            with Trace("packet_drop") as trace:
                for _ in range(100):
                    s.sendto(b"x" * 1000, (V4, port))
            received = 0
            try:
                while reader.recv(2000):
                    received += 1
            except BlockingIOError:
                pass
        self.assertLess(received, 100)
        events = trace.of(destination_port=port)
        self.assertEqual(len(events), 100 - received)
        self.assertEqual({(e["reason"], e["class"], e["interface"], e["length_bytes"]) for e in events},
                         {("SOCKET_RCVBUFF", "resource", "lo", 1028)})


    def test_owner_of_the_socket(self):
        """With the program that knows who owns which socket: the reader is named, not the sender who happened to run."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.bind((V4, 0))
            port = reader.getsockname()[1]
            with Trace("packet_drop", "connection") as trace:
                sender = subprocess.Popen([sys.executable, "-c", "import socket\ns = socket.socket(socket.AF_INET, 2)\n"
                                           "for _ in range(100): s.sendto(bytes(1000), (%r, %d))" % (V4, port)])
                sender.wait()
        events = trace.of(type="packet_drop", destination_port=port)
        with open("/proc/self/comm") as f:
            self.assertEqual({(e["pid"], e["uid"], e["command"], e["reason"]) for e in events},
                             {(os.getpid(), 0, f.read().strip(), "SOCKET_RCVBUFF")})
        self.assertEqual(len({e["socket_cookie"] for e in events} - {None}), 1)


class Firewall(unittest.TestCase):
    def check(self, hook, address, length):
        inside = Namespace(self)
        inside.run("nft", "-f", "-", input=b"table inet t { chain c { type filter hook %s priority 0;"
                   b" udp dport 7777 drop; }; }" % hook)
        with Trace("packet_drop") as trace:
            source = inside.send_udp(10, address, 7777)
        events = trace.of(network_namespace=inside.inode)
        self.assertEqual(len(events), 10, events)
        for e in events:
            self.assertEqual([e[k] for k in ("reason", "class", "source_address", "source_port", "destination_address",
                                             "destination_port", "protocol", "length_bytes", "command")],
                             ["NETFILTER_DROP", "policy", address, source, address, 7777, "UDP", length, None])
            self.assertRegex(e["location"], "nf")
        return events

    def test_input_v4(self):
        self.assertEqual({e["interface"] for e in self.check(b"input", V4, 38)}, {"lo"})

    def test_input_v6(self):
        self.assertEqual({e["interface"] for e in self.check(b"input", V6, 58)}, {"lo"})

    def test_output(self):
        self.check(b"output", V4, 38)
        self.check(b"output", V6, 58)


def udp(source=1111, destination=2222):
    return struct.pack(">HHHH", source, destination, 8, 0)


def ipv4(payload, protocol=17, options=b"", fragment=0, checksum_error=0, total=None):
    words = 5 + len(options) // 4
    header = struct.pack(">BBHHHBBH4s4s", 4 << 4 | words, 0, total or words * 4 + len(payload), 1, fragment, 64, protocol,
                         0, socket.inet_aton("10.1.1.1"), socket.inet_aton("10.1.1.2")) + options
    total = sum(struct.unpack(">%dH" % (words * 2), header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return header[:10] + struct.pack(">H", ~total & 0xffff ^ checksum_error) + header[12:] + payload


def ipv6(payload, next_header=17):
    return struct.pack(">IHBB16s16s", 6 << 28, len(payload), next_header, 64,
                       socket.inet_pton(socket.AF_INET6, "fd00::1"), socket.inet_pton(socket.AF_INET6, "fd00::2")) + payload


def options_header(next_header):
    return bytes([next_header, 0, 1, 4, 0, 0, 0, 0])  # PadN


class Crafted(unittest.TestCase):
    """Frames of every shape into a veth whose far end drops all IP before the stack looks closer."""

    def setUp(self):
        self.near, self.far = Namespace(self), Namespace(self)
        self.near.run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", self.far.name)
        for inside, name, number in ((self.near, "near", 1), (self.far, "far", 2)):
            if name == "near":  # its own IPv6 chatter would reach the far end
                inside.run("sysctl", "-qw", "net.ipv6.conf.near.disable_ipv6=1")
            inside.run("ip", "link", "set", name, "address", "02:00:00:00:00:0%d" % number, "up")

    def drop_all(self):
        self.far.run("nft", "-f", "-", input=b"table inet t { chain c { type filter hook prerouting priority 0; drop; }; }")

    def send(self, frames, addresses=()):
        """(ethertype, packet) to the far end, or to these link addresses."""
        code = ("import socket,struct,sys\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\ns.bind(('near', 0))\n"
                "d = sys.stdin.buffer.read()\nwhile d:\n"
                " n = struct.unpack('>H', d[:2])[0]; s.send(d[2:2+n]); d = d[2+n:]\n")
        far, near = bytes.fromhex("020000000002"), bytes.fromhex("020000000001")
        raw = b"".join(struct.pack(">H", len(p) + 14) + to + near + struct.pack(">H", t) + p
                       for (t, p), to in itertools.zip_longest(frames, addresses, fillvalue=far))
        with Trace("packet_drop") as trace:
            self.near.run(sys.executable, "-c", code, input=raw)
        return [e for e in trace.of(network_namespace=self.far.inode) if e["interface"] == "far"]

    def check(self, packet, protocol, source_port, destination_port, ethertype=None):
        v6 = packet[0] >> 4 == 6
        events = self.send([(ethertype or (0x86dd if v6 else 0x0800), packet)])
        self.assertEqual([[e[k] for k in ("reason", "protocol", "source_port", "destination_port", "length_bytes",
                                          "source_address", "destination_address")] for e in events],
                         [["NETFILTER_DROP", protocol, source_port, destination_port, len(packet)]
                          + (["fd00::1", "fd00::2"] if v6 else ["10.1.1.1", "10.1.1.2"])])

    def test_headers(self):
        self.drop_all()
        padding = b"\1" * 40
        for packet, *expected in (
                (ipv4(udp() + padding), "UDP", 1111, 2222),
                (ipv4(udp() + padding, options=b"\1" * 40), "UDP", 1111, 2222),
                (ipv4(udp() + padding, fragment=0x2000), "UDP", 1111, 2222),
                (ipv4(udp() + padding, fragment=100), "UDP", None, None),
                (ipv4(udp() + padding, protocol=1), "ICMP", None, None),
                (ipv4(udp() + padding, protocol=132), "SCTP", 1111, 2222),
                (ipv4(b"\1"), "UDP", None, None),
                (ipv6(udp()), "UDP", 1111, 2222),
                (ipv6(options_header(60) + options_header(17) + udp(), next_header=0), "UDP", 1111, 2222),
                (ipv6(bytes([17, 0, 0, 1, 0, 0, 0, 1]) + udp(), next_header=44), "UDP", 1111, 2222),
                (ipv6(bytes([17, 0, 0, 8, 0, 0, 0, 1]) + udp(), next_header=44), "UDP", None, None),
                (ipv6(bytes([17, 4]) + bytes(22) + udp(), next_header=51), "UDP", 1111, 2222),
                (ipv6(options_header(60) * 30 + options_header(17) + udp(), next_header=60), "IPv6-Opts", None, None),
                (ipv6(options_header(17)[:1], next_header=60), "IPv6-Opts", None, None)):
            with self.subTest(packet=packet.hex()):
                if expected[0] == "IPv6-Opts":
                    event = self.send([(0x86dd, packet)])[0]
                    self.assertEqual([event[k] for k in ("source_port", "destination_port")], [None, None])
                else:
                    self.check(packet, *expected)

    def test_broken_header(self):
        self.far.run("ip", "address", "add", "10.1.1.2/24", "dev", "far")
        events = self.send([(0x0800, ipv4(udp() + b"\1" * 40, checksum_error=1)), (0x0800, b"\x45" + bytes(9)),
                            (0x9999, b"no protocol that anybody knows....................")])
        self.assertEqual([(e["reason"], e["class"]) for e in events],
                         [("IP_CSUM", "network"), (events[1]["reason"], "network"), ("UNHANDLED_PROTO", "network")])
        self.assertEqual(events[0]["source_address"], "10.1.1.1")
        for e in events[2:]:
            self.assertEqual([e[k] for k in ("protocol", "source_address", "source_port")], [None] * 3)

    def test_multicast_for_others_is_no_drop(self):
        self.far.run("ip", "address", "add", "10.1.1.2/24", "dev", "far")
        group4 = ipv4(udp())[:16] + socket.inet_aton("239.1.2.3") + udp()
        group4 = group4[:10] + b"\0\0" + group4[12:]
        total = sum(struct.unpack(">10H", group4[:20]))
        group4 = group4[:10] + struct.pack(">H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + group4[12:]
        group6 = ipv6(udp())[:24] + socket.inet_pton(socket.AF_INET6, "ff02::1234") + udp()
        self.assertEqual(self.send([(0x0800, group4), (0x86dd, group6)],
                                   (bytes.fromhex("01005e010203"), bytes.fromhex("333300001234"))), [])

    def test_noise(self):
        """Packets that lie about themselves: each gives one drop, and no field breaks the output."""
        self.drop_all()
        chance = random.Random(1)
        frames = []
        for _ in range(500):
            packet = bytearray(chance.choice((ipv4(udp() + b"\1" * 40), ipv6(options_header(17) + udp(), next_header=0))))
            kind = 0x0800 if packet[0] == 0x45 else 0x86dd
            for _ in range(chance.randrange(1, 6)):
                packet[chance.randrange(len(packet))] = chance.randrange(256)
            frames.append((kind, bytes(packet[:chance.randrange(1, len(packet) + 1)])))
        self.assertEqual(len(self.send(frames)), len(frames))


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
