# SPDX-License-Identifier: Apache-2.0
"""The program `flow` against the real kernel: every packet and byte that was sent is told, once, and as it was on the wire."""
import json
import os
import socket
import struct
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import Agent, Trace, wait_for  # noqa: E402
from ends import CGROUP, COMMAND, HOUR, IP, OWN, SYN, TCP, UDP, UDP_SEGMENT, V4, V6, Case, Namespace  # noqa: E402
from ends import cookie, family, pair, run, sent_bytes, total, udp_receiver  # noqa: E402


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
