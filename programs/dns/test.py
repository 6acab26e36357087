#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dns against the real kernel: a server with known answers and delays, in a network namespace of its own, and its clients."""
import os
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "tests")]
from harness import Agent, Trace, only, wait_for  # noqa: E402
import stub  # noqa: E402

V4, V6, OLDER, NEWER = "127.0.0.1", "::1", "127.0.0.53", "127.0.0.54"
ASKED, REAL = ("127.0.0.11", "fd00::11"), ("127.0.0.12#5400", "::1#5400")  # where NAT sends to
DNSMASQ = "/usr/sbin/dnsmasq"
NAMESPACE = "sonde-dns-%d" % os.getpid()
MANY = 1000
MS = 1000000
TIMEOUT_NS = 3000 * MS  # a machine that stands still for a while answers within it too

# What a client script may use. It prints its replies; what goes wrong fails the test.
PRELUDE = """
import os, socket, struct, sys, time
sys.path.insert(0, %r)
from stub import *
def udp(server, connected=True):
    s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    if connected:
        s.connect((server, 53))
    return s
def ask(s, *words, **options):
    s.send(question(*words, **options))
    return s.recv(65535)
def tcp(server):
    s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET)
    s.settimeout(10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.connect((server, 53))
    return s
def framed(message):
    return struct.pack("!H", len(message)) + message
def reply(s):
    return exactly(s, struct.unpack("!H", exactly(s, 2))[0])
""" % HERE


def inside(*words):
    return ["ip", "netns", "exec", NAMESPACE, *words]


class Asker:
    def __init__(self, *words):
        self.process = subprocess.Popen(inside(*words), stdout=subprocess.PIPE, text=True)
        self.output = self.process.communicate(timeout=60)[0]
        self.pid = self.process.pid  # ip becomes what it runs


class Client(Asker):
    """A client process that ended well."""

    def __init__(self, code):
        super().__init__(sys.executable, "-c", PRELUDE + code)
        if self.process.returncode:
            raise AssertionError("the client failed")


class Dig(Asker):
    def __init__(self, *words):
        super().__init__("dig", "+tries=1", "+time=10", *words)


class Server:
    def __enter__(self):
        subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
        subprocess.run(inside("ip", "link", "set", "lo", "up"), check=True)
        subprocess.run(inside("ip", "address", "add", ASKED[1] + "/128", "dev", "lo", "nodad"), check=True)
        subprocess.run(inside("nft", "table inet t { chain c { type nat hook output priority -100;"
                              " ip daddr 127.0.0.11 meta l4proto { udp, tcp } th dport 53 dnat ip to 127.0.0.12:5400;"
                              " ip6 daddr fd00::11 udp dport 53 dnat ip6 to [::1]:5400; }; }"), check=True)
        self.process = subprocess.Popen(inside(sys.executable, os.path.join(HERE, "stub.py"), V4, V6, *REAL), stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"serving\n"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


class Dns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())
        with Trace("dns", "--set", "timeout_ns=%d" % TIMEOUT_NS, "--set", "update_interval_ns=100000000") as cls.trace:
            cls.cause()
            cls.cause_nat()
            cls.cause_tcp()
            cls.cause_quiet()
            time.sleep(1.5 * TIMEOUT_NS / 1e9)  # the time of the last question is over
            wait_for(lambda: all(cls.trace.of(pid=asked.pid) for asked in (cls.silent, cls.again, cls.foreign, cls.redirected_silent)),
                     "all that time out")

    @classmethod
    def cause(cls):
        cls.plain = Client("ask(udp('127.0.0.1'), 'a.example.org', number=77)")
        cls.six = Client("ask(udp('::1'), 'six.example.org', AAAA)")
        cls.chain = Client("ask(udp('127.0.0.1'), 'chain.example.org')")
        cls.codes = Client("s = udp('127.0.0.1')\nfor n in ('nx', 'servfail', 'formerr', 'refused'): ask(s, n + '.example.org')")
        cls.slow = Client("before = time.monotonic_ns(); ask(udp('127.0.0.1'), 'slow.example.org');"
                          "print(time.monotonic_ns() - before)")
        cls.silent = Client("s = udp('127.0.0.1'); s.send(question('silent.example.org'))")
        cls.again = Client("s = udp('127.0.0.1')\nfor _ in range(3): s.send(question('silent.again.example.org', number=5))")
        cls.reused = Client("s = udp('127.0.0.1'); s.send(question('silent.first.example.org', number=9))\n"
                            "ask(s, 'a.second.example.org', number=9)")
        cls.shared = Client("s = udp('127.0.0.1')\n"
                            "s.send(question('slow.shared.example.org', number=9)); s.send(question('slow.shared.example.org', AAAA, number=9))\n"
                            "s.send(question('silent.shared.example.org', number=9)); s.send(question('a.shared.example.org', number=9))\n"
                            "s.send(question('silent.shared.example.org', number=9))\n"
                            "for i in range(3): s.recv(999)\n"
                            "ask(s, 'a.next.example.org', number=9)")
        cls.same_answered = Client("s = udp('127.0.0.1')\nfor _ in range(3): ask(s, 'a.same.example.org', number=9)")
        cls.sent_again = Client("s = udp('127.0.0.1'); s.send(question('again.example.org')); time.sleep(2)\n"
                                "ask(s, 'again.example.org')")
        cls.poisoned = Client("s = udp('127.0.0.1'); s.send(question('poison.a@b.Example.org'))\nfor _ in range(7): s.recv(999)")
        cls.unconnected = Client("for server in ('127.0.0.1', '::1'):\n"
                                 "    s = udp(server, connected=False)\n"
                                 "    s.sendto(question('a.unconnected.example.org'), (server, 53)); s.recv(999)")
        cls.message = Client("s = udp('127.0.0.1', connected=False)\n"
                             "s.sendmsg([question('a.sendmsg.example.org')[:5], question('a.sendmsg.example.org')[5:]], [], 0,"
                             " ('127.0.0.1', 53)); s.recv(999)")
        cls.parallel = Client("s = udp('127.0.0.1')\n"
                              "for i in range(50): s.send(question('a.n%d.example.org' % i, number=i))\n"
                              "for i in range(50): s.recv(999)")
        cls.cut = Client("ask(udp('127.0.0.1'), 'cut.example.org')")
        cls.edns = Client("ask(udp('127.0.0.1'), 'a.edns.example.org', extra=edns())")
        cls.upper = Client("ask(udp('127.0.0.1'), 'upper.eXample.ORG')")
        cls.upper_large = Client("ask(udp('127.0.0.1'), 'upperlarge.eXample.ORG', AAAA)")
        cls.foreign = Client("ask(udp('127.0.0.1'), 'foreign.example.org')")
        cls.bare = Client("ask(udp('127.0.0.1'), 'bare.example.org')")
        cls.broken = Client("s = udp('127.0.0.1')\nfor n in ('loop', 'self', 'beyond', 'short', 'noise'): ask(s, n + '.example.org')")
        cls.large = Client("ask(udp('127.0.0.1'), 'large.example.org', AAAA)")
        cls.odd = Client("ask(udp('127.0.0.1'), 'a.' + 'x y\\x1b' + '.' + 'l' * 63 + '.org', 65280)")
        cls.many = Client("for i in range(%d): ask(udp('127.0.0.1'), 'a.many.example.org', number=i)" % MANY)
        cls.dig = Dig("@" + V4, "a.dig.example.org")

    @classmethod
    def cause_nat(cls):
        cls.redirected = [Dig("@" + ASKED[0], "a.nat.example.org"), Dig("@" + ASKED[1], "a.nat6.example.org"),
                          Dig("@" + ASKED[0], "+tcp", "a.nattcp.example.org")]
        cls.redirected_silent = Client("s = udp('127.0.0.11'); s.send(question('silent.nat.example.org'))")

    @classmethod
    def cause_tcp(cls):
        cls.dig_tcp = Dig("@" + V6, "+tcp", "a.tcp.example.org", "AAAA")
        cls.stream = Client("s = tcp('127.0.0.1'); s.sendall(framed(question('chain.stream.example.org'))); reply(s)")
        cls.split = Client("s = tcp('127.0.0.1')\nm = framed(question('split.example.org'))\n"
                           "s.sendall(m[:2]); time.sleep(0.05); s.sendall(m[2:]); reply(s)")
        cls.split_question = Client("s = tcp('127.0.0.1')\n"
                                    "for cut in range(1, 39):\n"
                                    "    m = framed(question('a.cut%02d.example.org' % cut, number=cut))\n"
                                    "    s.sendall(m[:cut]); s.sendall(m[cut:]); reply(s)")
        cls.crumbs = Client("s = tcp('127.0.0.1')\n"
                            "for byte in framed(question('crumbs.example.org')): s.sendall(bytes([byte]))\n"
                            "reply(s)")
        cls.split_pipelined = Client("s = tcp('::1')\n"
                                     "m = b''.join(framed(question('a.p%d.example.org' % i, number=i, extra=edns())) for i in range(10))\n"
                                     "for i in range(0, len(m), 100): s.sendall(m[i:i + 100])\n"
                                     "for i in range(10): reply(s)")
        cls.pipelined = Client("s = tcp('::1')\n"
                               "s.sendall(b''.join(framed(question('a.p%d.example.org' % i, number=i)) for i in range(10)))\n"
                               "for i in range(10): reply(s)")
        cls.reply_large = Client("s = tcp('127.0.0.1'); s.sendall(framed(question('large.stream.example.org', AAAA)));"
                                 "print(len(reply(s)))")

    @classmethod
    def cause_quiet(cls):
        cls.quiet = Client(
            "s = udp('127.0.0.1', connected=False)\n"
            "for port in (5353, 54, 5300): s.sendto(question('a.otherport.example.org'), ('127.0.0.1', port))\n"
            "s = udp('127.0.0.1', connected=False)\n"
            "for junk in (b'', b'x', b'GET / HTTP/1.1\\r\\n\\r\\n', bytes(600), question('a.quiet')[:-1],\n"
            "             struct.pack('!6H', 1, 0x8180, 1, 0, 0, 0) + name('answer.nobody.asked') + bytes([0, 1, 0, 1]),\n"
            "             struct.pack('!6H', 1, 0x2800, 1, 0, 0, 0) + name('update') + bytes([0, 6, 0, 1]),\n"
            "             struct.pack('!6H', 1, 0x0100, 1, 0, 0, 0) + bytes([0xc0, 12, 0, 1, 0, 1])):\n"
            "    s.sendto(junk, ('127.0.0.9', 53))\n"
            "s = tcp('127.0.0.1'); s.sendall(b'\\xff\\xff' + bytes(100))")

    def one(self, client, **fields):
        events = self.trace.of(pid=client.pid, **fields)
        self.assertEqual(len(events), 1, events)
        return events[0]

    def check(self, event, **fields):
        self.assertEqual({k: event[k] for k in fields}, fields)

    def test_address(self):
        e = self.one(self.plain)
        self.check(e, type="dns", name="a.example.org", qtype="A", qclass="IN", rcode="NOERROR", answers="192.0.2.1, 192.0.2.2",
                   answer_count=2, ttl_seconds=60, server_address=V4, server_port=53, transport="UDP", timed_out=False,
                   truncated=False, malformed=False, incomplete=False, id=77, tries=1, role="client", uid=0,
                   command=os.path.basename(sys.executable)[:15], source="ebpf", weight=1)
        self.assertGreater(e["latency_ns"], 0)
        self.assertGreater(e["cookie"], 0)

    def test_ipv6(self):
        self.check(self.one(self.six), qtype="AAAA", answers="2001:db8::1", server_address=V6, name="six.example.org")

    def test_chain(self):
        self.check(self.one(self.chain), answers="CNAME cdn.example.net, CNAME edge.example.net, 192.0.2.3", answer_count=3)

    def test_codes(self):
        self.assertEqual([(e["name"], e["rcode"]) for e in self.trace.of(pid=self.codes.pid)],
                         [("nx.example.org", "NXDOMAIN"), ("servfail.example.org", "SERVFAIL"),
                          ("formerr.example.org", "FORMERR"), ("refused.example.org", "REFUSED")])
        self.assertEqual({(e["answers"], e["answer_count"], e["timed_out"]) for e in self.trace.of(pid=self.codes.pid)},
                         {(None, 0, False)})

    def test_latency(self):
        latency = self.one(self.slow)["latency_ns"]
        self.assertGreaterEqual(latency, 50 * MS)
        self.assertLessEqual(latency, int(self.slow.output))  # what the client saw

    def test_timeout(self):
        self.check(self.one(self.silent), name="silent.example.org", qtype="A", timed_out=True, latency_ns=None, rcode=None,
                   answers=None, answer_count=None, truncated=None, malformed=None, tries=1, server_address=V4,
                   transport="UDP", incomplete=False)

    def test_retries_are_one_question(self):
        self.check(self.one(self.again), timed_out=True, tries=3, id=5, name="silent.again.example.org")

    def test_id_in_use_again(self):
        events = self.trace.of(pid=self.reused.pid)
        self.assertEqual([(e["name"], e["timed_out"]) for e in events],
                         [("a.second.example.org", False), ("silent.first.example.org", True)])

    def test_id_shared(self):
        """Questions of one socket that wait at once under the same id: each has its own answer, or none."""
        events = self.trace.of(pid=self.shared.pid)
        self.assertEqual(sorted((e["name"], e["qtype"], e["timed_out"], e["tries"]) for e in events),
                         [("a.next.example.org", "A", False, 1), ("a.shared.example.org", "A", False, 1),
                          ("silent.shared.example.org", "A", True, 2), ("slow.shared.example.org", "A", False, 1),
                          ("slow.shared.example.org", "AAAA", False, 1)])
        self.assertEqual([e["timed_out"] for e in self.trace.of(pid=self.same_answered.pid)], [False] * 3)

    def test_sent_again(self):
        """Each time gives it the time of a question; it has waited since the first."""
        e = self.one(self.sent_again)
        self.check(e, timed_out=False, tries=2, answers="192.0.2.5")
        self.assertGreaterEqual(e["latency_ns"], 3500 * MS)  # 2 s, and what the stub takes

    def test_forged_answers(self):
        self.check(self.one(self.poisoned), name="poison.a@b.Example.org", answers="192.0.2.6", timed_out=False)

    def test_unconnected(self):
        self.assertEqual([(e["server_address"], e["answer_count"]) for e in self.trace.of(pid=self.unconnected.pid)],
                         [(V4, 2), (V6, 2)])
        self.check(self.one(self.message), name="a.sendmsg.example.org", rcode="NOERROR")

    def test_redirected(self):
        """The server is the one that was asked, whatever port NAT sends the question to."""
        for dig, name, server, transport in zip(self.redirected, ("a.nat", "a.nat6", "a.nattcp"), (*ASKED, ASKED[0]), ("UDP", "UDP", "TCP")):
            self.assertIn("NOERROR", dig.output)
            self.check(self.one(dig), name=name + ".example.org", server_address=server, server_port=53, transport=transport,
                       rcode="NOERROR", role="client")
        self.check(self.one(self.redirected_silent), timed_out=True, server_address=ASKED[0], server_port=53)

    def test_many_at_once_in_one_socket(self):
        events = self.trace.of(pid=self.parallel.pid)
        self.assertEqual(sorted(e["name"] for e in events), sorted("a.n%d.example.org" % i for i in range(50)))
        self.assertEqual(len({e["cookie"] for e in events}), 1)
        self.assertTrue(all(e["name"] == "a.n%d.example.org" % e["id"] for e in events))

    def test_truncated(self):
        self.check(self.one(self.cut), truncated=True, rcode="NOERROR", incomplete=False, malformed=False)

    def test_edns(self):
        self.check(self.one(self.edns), name="a.edns.example.org", answer_count=2, malformed=False)

    def test_case_of_letters(self):
        """The name is as the asker spelled it, whatever the server made of it."""
        self.check(self.one(self.upper), name="upper.eXample.ORG", timed_out=False)
        self.check(self.one(self.upper_large), name="upperlarge.eXample.ORG", answer_count=20, malformed=False)

    def test_answer_to_something_else(self):
        self.check(self.one(self.foreign), name="foreign.example.org", timed_out=True)

    def test_answer_without_question(self):
        self.check(self.one(self.bare), name="bare.example.org", qtype="A", rcode="FORMERR", timed_out=False, answer_count=0)

    def test_broken_answers(self):
        for name in ("loop", "self", "beyond", "short", "noise"):
            self.check(self.one(self.broken, name=name + ".example.org"), malformed=True, incomplete=True, rcode="NOERROR",
                       answers=None)

    def test_large(self):
        e = self.one(self.large)
        self.check(e, answer_count=100, incomplete=True, malformed=False)
        self.assertTrue(e["answers"].startswith("2001:db8:1111:2222:3333:4444:5555:0, ") and e["answers"].endswith(", ..."))

    def test_odd_name(self):
        self.check(self.one(self.odd), name="a.x\\032y\\027." + "l" * 63 + ".org", qtype="TYPE65280")
        self.assertNotIn(b"\x1b", self.trace.raw)

    def test_many(self):
        events = self.trace.of(pid=self.many.pid)
        self.assertEqual(len(events), MANY)
        self.assertEqual(sorted(e["id"] for e in events), list(range(MANY)))
        self.assertEqual({(e["command"], e["rcode"], e["timed_out"], e["tries"]) for e in events},
                         {(os.path.basename(sys.executable)[:15], "NOERROR", False, 1)})

    def test_dig(self):
        self.assertIn("status: NOERROR", self.dig.output)
        self.check(self.one(self.dig), command="dig", name="a.dig.example.org", answers="192.0.2.1, 192.0.2.2", transport="UDP")

    def test_dig_tcp(self):
        self.assertIn("status: NOERROR", self.dig_tcp.output)
        self.check(self.one(self.dig_tcp), command="dig", name="a.tcp.example.org", qtype="AAAA", transport="TCP",
                   server_address=V6, role="client")

    def test_stream(self):
        self.check(self.one(self.stream), transport="TCP", answer_count=3, incomplete=False,
                   answers="CNAME cdn.example.net, CNAME edge.example.net, 192.0.2.3")

    def test_split_stream(self):
        self.check(self.one(self.split), transport="TCP", name="split.example.org", rcode="NOERROR", timed_out=False,
                   answer_count=0, incomplete=False, malformed=False)

    def test_split_question(self):
        """Wherever it is cut: amid the length, the header, the name."""
        events = self.trace.of(pid=self.split_question.pid)
        self.assertEqual([(e["name"], e["id"]) for e in events], [("a.cut%02d.example.org" % i, i) for i in range(1, 39)])
        self.assertEqual({(e["rcode"], e["answers"]) for e in events}, {("NOERROR", "192.0.2.1, 192.0.2.2")})

    def test_bytes_of_a_stream(self):
        """Question and answer, each byte in a segment of its own. An acknowledgement may have sent the last: then its owner is not known."""
        events = self.trace.of(name="crumbs.example.org")
        self.assertEqual(len(events), 1)
        self.check(events[0], timed_out=False, answers="192.0.2.1, 192.0.2.2", incomplete=False, malformed=False)

    def test_pipelined_stream(self):
        for client in self.pipelined, self.split_pipelined:
            events = self.trace.of(pid=client.pid)
            self.assertEqual(sorted((e["name"], e["id"]) for e in events), sorted(("a.p%d.example.org" % i, i) for i in range(10)))
            self.assertEqual({(e["transport"], e["answer_count"]) for e in events}, {("TCP", 2)})

    def test_large_stream(self):
        self.assertGreater(int(self.reply_large.output), 2800)
        self.check(self.one(self.reply_large), transport="TCP", answer_count=100, incomplete=True, malformed=False)

    def test_quiet(self):
        self.assertEqual(self.trace.of(pid=self.quiet.pid), [])

    def test_server_has_no_events(self):
        self.assertEqual(self.trace.of(pid=self.server.process.pid), [])

    def test_ledger(self):
        self.assertEqual((self.trace.ledger.get("residual"), self.trace.ledger.get("invalid")), (0, 0), self.trace.stderr)


class Forwarder:
    """dnsmasq at this address, which passes all questions on to the server."""

    def __init__(self, address):
        self.process = subprocess.Popen(inside(
            DNSMASQ, "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root",
            "--cache-size=0", "--bind-interfaces", "--listen-address=" + address, "--server=" + V4), stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        wait_for(lambda: b"\n" in subprocess.run(inside("ss", "-lnutH", "src", address, "sport", "=", "53"),
                                                 capture_output=True).stdout, "dnsmasq to listen")

    def end(self):
        self.process.terminate()
        self.process.wait()


class Limit(unittest.TestCase):
    """As many questions wait as the map and the places have room for; the others are counted."""

    WAITING, ASKED = 16384 + 2048, 24000

    def test_unanswered(self):
        with Server(), Trace("dns", "--set", "timeout_ns=600000000000", "--set", "port=5399") as trace:  # where nobody else asks
            client = Client("s = udp('127.0.0.9', connected=False)\n"
                            "for i in range(%d): s.sendto(question('a.b', number=i), ('127.0.0.9', 5399))" % self.ASKED)
        self.assertEqual(trace.of(pid=client.pid), [])
        self.assertAlmostEqual(trace.ledger["map_full"], self.ASKED - self.WAITING, delta=10)
        self.assertEqual(trace.ledger["residual"], 0)

    def test_more_than_places(self):
        """Three times as many as there are places, twice each; others that find all taken; and more when they are free again."""
        with Server(), Trace("dns", "--set", "timeout_ns=6000000000", "--set", "update_interval_ns=100000000") as trace:
            client = Client("s = udp('127.0.0.9', connected=False); t = udp('127.0.0.1')\n"
                            "twice = 2 * [question('a.b', number=i) for i in range(6000)]\n"
                            "for message in twice: s.sendto(message, ('127.0.0.9', 53))\n"
                            "for i in range(3000): ask(t, 'a.taken', number=i)\n"
                            "time.sleep(10)\nfor i in range(3000): ask(t, 'a.free', number=i)")
        events = sorted((e["name"], e["id"], e["timed_out"], e["tries"]) for e in trace.of(pid=client.pid))
        self.assertEqual(events, [("a.b", i, True, 2) for i in range(6000)] +
                         [(name, i, False, 1) for name in ("a.free", "a.taken") for i in range(3000)])
        self.assertEqual(trace.ledger["residual"], 0)


@unittest.skipUnless(os.path.exists(DNSMASQ), "needs dnsmasq-base")
class Resolvers(unittest.TestCase):
    """A local resolver asks again what it is asked: that is marked, and not counted as a question of the node."""

    def setUp(self):
        self.enterContext(Server())

    def ask(self, address, stream=False):
        asking = "s = tcp(%r); s.sendall(framed(question('a.hop.example.org'))); reply(s)" if stream else \
            "ask(udp(%r), 'a.hop.example.org')"
        return Client(asking % address)

    def check(self, trace, client, forwarder, address, transport="UDP"):
        hops = [(e["pid"], e["role"], e["server_address"], e["rcode"], e["transport"]) for e in trace.of(type="dns")
                if e["name"] == "a.hop.example.org" and (e["pid"] == client.pid or e["role"] == "resolver")]
        self.assertIn((client.pid, "client", address, "NOERROR", transport), hops)
        if transport == "UDP":
            self.assertIn((forwarder.pid, "resolver", V4, "NOERROR", transport), hops)
        else:  # dnsmasq forks for a connection
            self.assertEqual([hop[1:] for hop in hops if hop[4] == "TCP" and hop[0] != client.pid],
                             [("resolver", V4, "NOERROR", "TCP")])

    def test_second_hop(self):
        older = Forwarder(OLDER)
        self.addCleanup(older.end)
        with Trace("dns") as trace:
            newer = Forwarder(NEWER)
            self.addCleanup(newer.end)
            asked_older, asked_newer, asked_tcp = self.ask(OLDER), self.ask(NEWER), self.ask(NEWER, stream=True)
        self.check(trace, asked_older, older, OLDER)
        self.check(trace, asked_newer, newer, NEWER)
        self.check(trace, asked_tcp, newer, NEWER, "TCP")

    def test_child_of_a_server(self):
        """Its threads are no server that forked: it is a program of its own."""
        with Trace("dns") as trace:
            client = Client("import subprocess\ns = udp('', connected=False); s.bind(('127.0.0.61', 53))\n"
                            "child = subprocess.Popen(['dig', '@127.0.0.1', 'a.child.example.org'], stdout=subprocess.DEVNULL)\n"
                            "child.wait(); print(child.pid)")
        asked = trace.of(name="a.child.example.org")
        self.assertEqual([(e["pid"], e["command"], e["role"]) for e in asked], [(int(client.output), "dig", "client")])

    def number(self, agent, name):
        lines = [line for line in agent.metrics().text.splitlines() if line.startswith(name + " ")]
        return int(lines[0].split()[-1]) if lines else 0

    def test_metrics(self):
        """Rare types, so that others who ask on this machine do not disturb."""
        with Agent(programs=only("dns", dns={"settings": {"timeout_ns": 2000000000, "update_interval_ns": 100000000}})) as agent:
            forwarder = Forwarder(NEWER)
            self.addCleanup(forwarder.end)
            Client("for i in range(7): ask(udp('127.0.0.1'), 'refused.example.org', 48)\n"
                   "for i in range(3): ask(udp('127.0.0.54'), 'nx.example.org', 43)\n"
                   "for i in range(2): udp('::1').send(question('silent.example.org', 48))\n"
                   "for i in range(5): ask(udp('127.0.0.1'), 'refused.n%d.example.org' % i, 1000 + i)")
            wait_for(lambda: self.number(agent, 'sonde_dns_timeouts_total{qtype="DNSKEY",transport="UDP"}') == 2, "two timeouts")
            for name, value in (('sonde_dns_answers_total{qtype="DNSKEY",rcode="REFUSED",transport="UDP"}', 7),
                                ('sonde_dns_answers_total{qtype="DS",rcode="NXDOMAIN",transport="UDP"}', 3),
                                ('sonde_dns_resolver_answers_total{qtype="DS",rcode="NXDOMAIN",transport="UDP"}', 3),
                                ('sonde_dns_answers_total{qtype="other",rcode="REFUSED",transport="UDP"}', 5)):
                self.assertEqual(self.number(agent, name), value, name)
            # The stub delays this one, so it is in the bucket of 67 ms at the least.
            Client("s = tcp('127.0.0.1'); s.sendall(framed(question('slow.example.org'))); reply(s)")
            bucket = 'sonde_dns_latency_seconds_bucket{role="client",transport="TCP",le="%s"}'
            wait_for(lambda: self.number(agent, bucket % "0.033554432") < self.number(agent, bucket % "+Inf"), "the latency on the page")
            self.assertGreaterEqual(self.number(agent, 'sonde_dns_latency_seconds_count{role="client",transport="TCP"}'), 1)
            self.assertNotIn("example", agent.metrics().text)

    def test_unmatched(self):
        """What became no answer is counted. A question that is sent again and again ends as well."""
        # The first segment of 17 bytes from a server gets lost and is sent again: 20 of IPv4, 32 of TCP.
        subprocess.run(inside("nft", "table inet lossy { chain c { type filter hook input priority 0;"
                              " tcp sport 53 meta length 69 limit rate 1/day burst 1 packets drop; }; }"), check=True)
        with Agent(programs=only("dns", dns={"settings": {"timeout_ns": 700000000, "update_interval_ns": 100000000}})) as agent:
            Client("ask(udp('127.0.0.1'), 'late.example.org', 48)\n"
                   "s = udp('127.0.0.1'); s.send(question('poison.a@b')); [s.recv(999) for _ in range(7)]\n"
                   "s = tcp('127.0.0.1'); s.sendall(framed(question('a.many')) * 1200); [reply(s) for _ in range(1200)]\n"
                   "s = tcp('127.0.0.1'); s.sendall(framed(question('hole.example.org', 43))); reply(s)\n"
                   "s = udp('127.0.0.1')\n"
                   "for _ in range(110): s.send(question('silent.again.example.org', 64)); time.sleep(0.05)\n")
            wait_for(lambda: self.number(agent, 'sonde_dns_timeouts_total{qtype="SVCB",transport="UDP"}') >= 2, "it to end twice")
            self.assertEqual(self.number(agent, 'sonde_dns_timeouts_total{qtype="DNSKEY",transport="UDP"}'), 1)
            self.assertEqual(self.number(agent, 'sonde_dns_answers_total{qtype="DS",rcode="NOERROR",transport="TCP"}'), 1)
            for reason, transport, least in (("not_waited_for", "UDP", 1), ("other_question", "UDP", 6), ("crowded_segment", "TCP", 1)):
                name = 'sonde_dns_unmatched_total{reason="%s",transport="%s"}' % (reason, transport)
                self.assertGreaterEqual(self.number(agent, name), least, name)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
