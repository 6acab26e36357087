#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program `flow` against the real kernel: every packet and byte that was sent is told, once, and as it was on the wire."""
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
import harness  # noqa: E402
from harness import ROOT, SONDE, Agent, Trace, wait_for  # noqa: E402

V4, V6 = "127.0.0.1", "::1"
IP = {socket.AF_INET: 20, socket.AF_INET6: 40}
UDP, TCP, SYN = 8, 32, 40  # headers; TCP with timestamps, and as they open a connection
UDP_SEGMENT = 103  # include/uapi/linux/udp.h
CGROUP = "/sys/fs/cgroup/unified" if os.path.ismount("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h
COMMAND = open("/proc/self/comm").read().strip()
OWN = {"pid": os.getpid(), "uid": os.getuid(), "command": COMMAND}
HOUR = ("--set", "update_interval_ns=1h")  # all is told at the end, so each flow is one event


def run(*words, **options):
    return subprocess.run(words, check=True, capture_output=True, timeout=120, **options)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def udp_receiver(address):
    """A socket with room for everything, on a port outside the range from which clients get theirs."""
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 28)
    for port in random.sample(range(20000, 32000), 100):
        try:
            s.bind((address, port))
            return s, port
        except OSError:
            pass
    raise AssertionError("no port is free")


def cookie(s):
    return struct.unpack("Q", s.getsockopt(socket.SOL_SOCKET, 57, 8))[0]


def sent_bytes(s):
    """Payload that TCP has sent, what it sent again too."""
    return struct.unpack_from("Q", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 200)[0]


def total(events):
    return sum(e["packets"] for e in events), sum(e["bytes"] for e in events)


class Namespace(harness.Namespace):
    def start(self, test, *words):
        process = subprocess.Popen(["ip", "netns", "exec", self.name, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        test.addCleanup(process.stdout.close)
        test.addCleanup(process.wait)
        test.addCleanup(process.kill)
        return process

    def tcp_segments(self):
        """Sent for the first time, and again, as this namespace's TCP counts them."""
        names, values = [line.split() for line in self.run("cat", "/proc/net/snmp").stdout.decode().splitlines()
                         if line.startswith("Tcp:")]
        return [int(values[names.index(name)]) for name in ("OutSegs", "RetransSegs")]


def pair(test):
    """Two namespaces with a veth between them: 10.9.9.1 `near`, 10.9.9.2 `far`."""
    near, far = Namespace(test), Namespace(test)
    near.run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far.name)
    for inside, name, number in ((near, "near", 1), (far, "far", 2)):
        inside.run("ip", "address", "add", "10.9.9.%d/24" % number, "dev", name)
        inside.run("ip", "address", "add", "fd09::%d/64" % number, "dev", name, "nodad")
        inside.run("ip", "link", "set", name, "up")
    return near, far


def build_variant(directory, *options):
    object_ = os.path.join(directory, "flow.bpf.o")
    run(os.path.join(ROOT, "tools", "build-bpf.sh"), os.path.join(ROOT, "programs", "flow", "program.bpf.c"), object_,
        object_ + ".d", os.uname().machine, *options)
    return object_


class Case(unittest.TestCase):
    maxDiff = None

    def expect(self, event, **fields):
        self.assertEqual({k: event.get(k, "missing") for k in fields}, fields, event)

    def expect_ledger(self, trace):
        for loss in ("residual", "map_full", "missed", "invalid"):
            self.assertEqual(trace.ledger[loss], 0, trace.stderr)

    def one(self, trace, **fields):
        events = trace.of(type="flow", **fields)
        self.assertEqual(len(events), 1, trace.stderr)
        return events[0]


class Datagrams(Case):
    def check(self, address):
        receiver, port = udp_receiver(address)
        payload, count = b"x" * 100, 1000
        with receiver, Trace("flow", "connection", *HOUR) as trace, socket.socket(family(address), socket.SOCK_DGRAM) as s:
            s.connect((address, port))
            source, cookies = s.getsockname()[1], {"egress": cookie(s), "ingress": cookie(receiver)}
            for _ in range(count):
                s.send(payload)
        for direction in ("ingress", "egress"):
            e = self.one(trace, destination_port=port, direction=direction)
            self.expect(e, **OWN, source_address=address, destination_address=address, source_port=source, protocol="UDP",
                        interface="lo", interface_index=1, network_namespace=os.stat("/proc/self/ns/net").st_ino,
                        packets=count, bytes=count * (IP[family(address)] + UDP + 100), tcp_flags=None, is_other=False,
                        socket_cookie=cookies[direction], weight=1, source="ebpf")
            self.assertLess(e["first_time"], e["last_time"])
            self.assertLess(e["last_time"], e["time"])
            self.assertGreater(e["duration_ns"], 0)
        self.expect_ledger(trace)

    def test_v4(self):
        self.check(V4)

    def test_v6(self):
        self.check(V6)

    def test_segments(self):
        """One call, ten datagrams: the kernel hands them on as one."""
        for address in (V4, V6):
            receiver, port = udp_receiver(address)
            with receiver, Trace("flow", *HOUR) as trace, socket.socket(family(address), socket.SOCK_DGRAM) as s:
                s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
                s.sendto(b"x" * 9500, (address, port))
            for direction in ("egress", "ingress"):
                self.expect(self.one(trace, destination_port=port, direction=direction), packets=10,
                            bytes=9500 + 10 * (IP[family(address)] + UDP))

    def test_large(self):
        receiver, port = udp_receiver(V4)
        with receiver, Trace("flow", *HOUR) as trace, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for size in (0, 1, 9000, 65000):
                s.sendto(b"x" * size, (V4, port))
        for direction in ("egress", "ingress"):
            self.expect(self.one(trace, destination_port=port, direction=direction), packets=4, bytes=74001 + 4 * 28)

    def test_container(self):
        """Told by the socket's cgroup, also when nobody knows its process."""
        container = os.urandom(32).hex()
        cgroup = os.path.join(CGROUP, "docker-%s.scope" % container)
        os.mkdir(cgroup)
        self.addCleanup(lambda: wait_for(lambda: not os.path.exists(cgroup) or not os.rmdir(cgroup), "the cgroup is empty"))
        receiver, port = udp_receiver(V4)
        code = ("import socket\nopen('%s/cgroup.procs', 'w').write('0')\ns = socket.socket(2, 2)\n"
                "for _ in range(7): s.sendto(b'x', ('127.0.0.1', %d))\n" % (cgroup, port))
        for settings in ((), ("--set", "interface_1=lo"), ("--set", "interface_1=lo", "--attach", "clsact")):
            with self.subTest(settings=settings):
                with Trace("flow", *settings, *HOUR) as trace:
                    run(sys.executable, "-c", code)
                self.expect(self.one(trace, destination_port=port, direction="egress"), packets=7, container=container, pid=None)
                self.assertNotEqual(self.one(trace, destination_port=port, direction="ingress")["container"], container)
        receiver.close()

    def test_icmp(self):
        echo = struct.pack(">BBHHH", 8, 0, 0, 1, 1)
        echo = echo[:2] + struct.pack(">H", ~sum(struct.unpack(">4H", echo)) & 0xffff) + echo[4:]
        inside = Namespace(self)
        code = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)\nfor _ in range(5):\n"
                " s.sendto(bytes.fromhex('%s'), ('127.0.0.1', 0))\n while s.recv(99)[20]: pass\n" % echo.hex())
        with Trace("flow", *HOUR) as trace:
            inside.run(sys.executable, "-c", code)
        # Sent: five requests and the kernel's five answers. Received by this raw socket: all ten.
        for direction in ("egress", "ingress"):
            self.expect(self.one(trace, network_namespace=inside.inode, protocol="ICMP", direction=direction), packets=10,
                        bytes=10 * 28, source_port=None, destination_port=None, interface="lo", source_address=V4)


class Streams(Case):
    def check(self, address):
        with socket.create_server((address, 0), family=family(address)) as server:
            port, ip = server.getsockname()[1], IP[family(address)]

            def serve():
                with server.accept()[0] as s:
                    while s.recv(1 << 20):
                        pass
                    s.sendall(b"a" * 5000)

            with Trace("flow", "connection", *HOUR) as trace:
                thread = threading.Thread(target=serve)
                thread.start()
                with socket.create_connection((address, port)) as s:
                    local, client = s.getsockname()[1], cookie(s)
                    s.sendall(b"q" * 3000000)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(1 << 20):
                        pass
                    sent = sent_bytes(s)
                thread.join()
        self.assertGreaterEqual(sent, 3000000)
        options = set()
        for source, payload, sender in ((local, sent, "egress"), (port, 5000, "ingress")):
            for direction in ("egress", "ingress"):
                e = self.one(trace, source_port=source, destination_port=local + port - source, direction=direction)
                self.expect(e, pid=os.getpid(), protocol="TCP", tcp_flags="FSPA", interface="lo")
                more = e["bytes"] - (payload + e["packets"] * (ip + TCP) + SYN - TCP)
                if source == local:
                    self.assertEqual(more, 0, e)
                else:  # what came twice, or too early to have room, is answered with a SACK option (RFC 2883)
                    options.add(more)
                    self.assertLessEqual(more, 28 * e["packets"], e)
                self.assertEqual(e["socket_cookie"] == client, direction == sender, "each end has its own socket")
                self.assertIsNotNone(e["socket_cookie"])
        self.assertEqual(len(options), 1, "both ends see the same bytes: %s" % options)
        self.assertGreaterEqual(min(options), 0)
        self.expect_ledger(trace)

    def test_v4(self):
        self.check(V4)

    def test_v6(self):
        self.check(V6)

    def test_refused(self):
        with socket.socket() as s:
            s.bind((V4, 0))
            port = s.getsockname()[1]
        with Trace("flow", *HOUR) as trace, socket.socket() as s:
            s.connect_ex((V4, port))
        self.expect(self.one(trace, destination_port=port, direction="egress"), packets=1, tcp_flags="S", bytes=60)
        self.expect(self.one(trace, source_port=port, direction="egress"), packets=1, tcp_flags="RA", bytes=40)


class Iperf(Case):
    """Against what iperf3 reports, and what the kernel counts; over veth, so that TCP hands over many segments as one."""

    def measure(self, *options, near=None, far=None, server="10.9.9.2"):
        service = far.start(self, "iperf3", "-s", "-1", "-p", "5201")
        wait_for(lambda: b":5201" in far.run("ss", "-lntH").stdout, "iperf3 listens")
        with Trace("flow", *HOUR) as trace:
            before = near.tcp_segments()
            answer = json.loads(near.run("iperf3", "-c", server, "-p", "5201", "-J", *options).stdout)
            service.wait(30)
            wait_for(lambda: not near.run("ss", "-tnH", "state", "connected", "exclude", "time-wait").stdout, "all is closed")
        first, again = (now - then for now, then in zip(near.tcp_segments(), before))
        self.segments, self.again = first + again, again
        self.assertNotIn("error", answer)
        self.expect_ledger(trace)
        port = answer["start"]["connected"][0]["local_port"]
        return answer["end"], trace, [e for e in trace.of(source_port=port, type="flow")]

    def test_udp(self):
        near, far = pair(self)
        end, trace, events = self.measure("-u", "-l", "1000", "-n", "5M", "-b", "200M", near=near, far=far)
        packets = end["sum"]["packets"]
        for direction, inside in (("egress", near), ("ingress", far)):
            # and four bytes before the first, to say hello
            self.assertEqual(total([e for e in events if e["direction"] == direction]),
                             (packets + 1, packets * (1000 + 28) + 4 + 28))
            self.assertEqual({(e["network_namespace"], e["interface"]) for e in events if e["direction"] == direction},
                             {(inside.inode, "near" if inside is near else "far")})

    def check_tcp(self, server, ip):
        near, far = pair(self)
        end, trace, events = self.measure("-n", "20M", near=near, far=far, server=server)
        for direction in ("egress", "ingress"):
            packets, bytes_ = total([e for e in events if e["direction"] == direction])
            payload = bytes_ - packets * (ip + TCP) - (SYN - TCP) - 37  # these say whose connection it is
            # At its end iperf3 cuts the connection off: some of what was given to send was not, some was not read.
            self.assertLessEqual(end["sum_received"]["bytes"], payload)
            if not self.again:
                self.assertLessEqual(payload, end["sum_sent"]["bytes"])
        mine = trace.of(network_namespace=near.inode, protocol="TCP", direction="egress")
        self.assertEqual(total(mine)[0], self.segments)

    def test_tcp_v4(self):
        self.check_tcp("10.9.9.2", 20)

    def test_tcp_v6(self):
        self.check_tcp("fd09::2", 40)


class Segments(Case):
    """Over veth, so that TCP hands over many segments as one: bytes as its socket counts them, segments as the kernel does."""

    RECEIVE = "s = socket.create_server(('::', 5202), family=10, dualstack_ipv6=True)\nc = s.accept()[0]\n" \
              "while c.recv(1 << 20): pass\nc.close()\n"
    SEND = "s = socket.create_connection((sys.argv[1], 5202))\nfor _ in range(80): s.sendall(bytes(131072))\n" \
           "s.shutdown(1)\ns.recv(1)\n" \
           "print(s.getsockname()[1], *struct.unpack_from('2Q', s.getsockopt(6, socket.TCP_INFO, 256), 200))\n"

    def check(self, server, ip):
        near, far = pair(self)
        receiver = far.start(self, sys.executable, "-c", "import socket\n" + self.RECEIVE)
        wait_for(lambda: b":5202" in far.run("ss", "-lntH").stdout, "it listens")
        with Trace("flow", *HOUR) as trace:
            before = near.tcp_segments()
            words = near.run(sys.executable, "-c", "import socket,struct,sys\n" + self.SEND, server).stdout.split()
            port, sent, again = map(int, words)
            receiver.wait(30)
        segments = sum(near.tcp_segments()) - sum(before)
        self.assertEqual(sent - again, 80 * 131072)
        for direction in ("egress", "ingress"):
            packets, bytes_ = total(trace.of(source_port=port, destination_port=5202, direction=direction))
            if direction == "egress" or not again:
                self.assertEqual((packets, bytes_), (segments, sent + segments * (ip + TCP) + SYN - TCP))
        self.assertGreater(segments, sent // 1448 - 1)
        self.expect_ledger(trace)

    def test_v4(self):
        self.check("10.9.9.2", 20)

    def test_v6(self):
        self.check("fd09::2", 40)


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


class Default(Case):
    def test_off(self):
        """By default not even a hook is attached; asked for, it starts."""
        receiver, port = udp_receiver(V4)
        with receiver, Agent() as agent, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"x", (V4, port))
            programs = {p["name"]: p["state"] for p in agent.get("/api/v1/programs")["programs"]}
            self.assertEqual(programs["flow"], "disabled")
            self.assertEqual(agent.api("/api/v1/events", type="flow").status, 400, "no such events")


class Counters(Case):
    def test_metrics_and_talkers(self):
        receiver, port = udp_receiver(V4)
        settings = {"only_port_1": port, "update_interval_ns": "100ms"}
        with receiver, Agent(programs={"flow": {"enabled": True, "settings": settings}}) as agent, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for _ in range(100):
                s.sendto(b"x" * 72, (V4, port))

            def told():
                text = agent.metrics().text
                return all('sonde_flow_%s_total{direction="%s"} %d' % (name, direction, number) in text
                           for direction in ("egress", "ingress") for name, number in (("packets", 100), ("bytes", 10000)))
            wait_for(told, "the metrics are right")
            wait_for(lambda: total(agent.events("flow")) == (200, 20000), "the events are there")
            rows = agent.cli("sql", "-o", "json", "select destination_port, sum(bytes) as bytes, sum(packets) as packets "
                             "from flow where direction = 'egress' group by 1")
            self.assertEqual(json.loads(rows.stdout),
                             {"destination_port": port, "bytes": 10000, "packets": 100})

    def test_top(self):
        """Who sends most, by bytes: the sums are exact."""
        sent = dict(zip((udp_receiver(V4) for _ in range(3)), (50, 500, 5)))
        settings = {"only_port_%d" % (i + 1): port for i, (_, port) in enumerate(sent)}
        with Agent(programs={"flow": {"enabled": True, "settings": {**settings, "update_interval_ns": "100ms"}}}) as agent, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for (receiver, port), count in sent.items():
                for _ in range(count):
                    s.sendto(b"x" * 72, (V4, port))
            wait_for(lambda: total(agent.events("flow"))[0] == 2 * 555, "all is told")
            rows = agent.cli("top", "flow", "-o", "json", "--by", "destination_port,command", "--where", "direction = egress")
        for receiver, _ in sent:
            receiver.close()
        talkers = [json.loads(line) for line in rows.stdout.splitlines()]
        self.assertEqual([(row["destination_port"], row["command"], row["sum"]) for row in talkers],
                         [(port, COMMAND, 100 * count) for (_, port), count in sorted(sent.items(), key=lambda item: -item[1])])


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
