#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dns over TCP when segments are lost, late and sent again: one outcome for each question, and that the right one."""
import collections
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "tests")]
from harness import Trace, wait_for  # noqa: E402
import stub  # noqa: E402

NAMESPACE = "sonde-dns-stream-%d" % os.getpid()
TIMEOUT_NS = 1000000000
NAMED, DNSPERF, TUN = "/usr/sbin/named", "/usr/bin/dnsperf", "/dev/net/tun"
NAMED_FOLDER = "/var/cache/bind"  # Debian's AppArmor profile lets it read little else
ADDRESS = "127.2.%d.%d" % (os.getpid() // 250 % 250, 1 + os.getpid() % 250)  # of this run: the same test may run in another namespace


def inside(*words):
    return ["ip", "netns", "exec", NAMESPACE, *words]


class Namespace(unittest.TestCase):
    def setUp(self):
        subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
        self.addCleanup(subprocess.run, ["ip", "netns", "delete", NAMESPACE], check=True)
        subprocess.run(inside("ip", "link", "set", "lo", "up"), check=True)

    def trace(self):
        return Trace("dns", "--set", "timeout_ns=%d" % TIMEOUT_NS, "--set", "update_interval_ns=100000000")


@unittest.skipUnless(os.path.exists(TUN), "needs tun devices")
class Segments(Namespace):
    """Answers of a server that is told how to cut them and in which order to send the segments."""

    def setUp(self):
        super().setUp()
        self.server = subprocess.Popen(inside(sys.executable, os.path.join(HERE, "segments.py")), stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.server.communicate)
        self.number = 0

    def connection(self, kinds, segments, **options):
        """Questions of a connection, by the first labels of their names. Returns the names."""
        self.number += 1
        names = ["%s.n%05d-%02d.example.org" % (kind, self.number, i) for i, kind in enumerate(kinds)]
        print(json.dumps({"questions": names, "segments": segments, **options}), file=self.server.stdin, flush=True)
        read = int(self.server.stdout.readline())
        if options.get("all", True):
            self.assertEqual(read, max(end for _, end in segments))
        return names

    def size(self, kinds):
        """Of all answers to such questions."""
        return sum(2 + len(stub.answer(stub.question(kind + ".n00000-00.example.org"), True)) for kind in kinds)

    def outcomes(self, trace, names):
        """How often a question has which: True, False or None for timed_out."""
        of = collections.defaultdict(list)
        for e in trace.of(transport="TCP"):
            if e["pid"] in (self.server.pid, None):  # the same test may run in another namespace
                of[e["name"]].append(e["timed_out"])
        self.assertEqual({name: of[name] for name in names if len(of[name]) != 1}, {})
        return collections.Counter(of[name][0] for name in names)

    def test_one_cut(self):
        """At each place: in order, each sent again, the second first, the first lost at first, together with what was before it."""
        names = []
        with self.trace() as trace:
            for kinds in (("a", "nx", "chain", "a"), ("refused", "large", "a")):
                end = self.size(kinds)
                for cut in range(1, end, 1 if end < 400 else 17):
                    one, two = [0, cut], [cut, end]
                    for segments in ([one, one, two, two, one], [two, one], [two, two, one, two], [one, [cut // 2, end]],
                                     [two, [0, min(cut + 9, end)]]):
                        names += self.connection(kinds, segments)
            time.sleep(1.5 * TIMEOUT_NS / 1e9)
        self.assertEqual(self.outcomes(trace, names), {False: len(names)})

    def test_two_cuts(self):
        """In each order. What is kept behind a hole may be too little then to know the message that goes on there: never a timeout."""
        names = []
        kinds = ("a", "nx", "chain", "a", "refused", "a")
        end = self.size(kinds)
        with self.trace() as trace:
            for first in range(1, end, 11):
                for second in range(first + 1, end, 13):
                    pieces = [[0, first], [first, second], [second, end]]
                    for order in itertools.permutations(pieces):
                        names += self.connection(kinds, order)
                        if self.number % 600 == 0:  # what was passed over is known of so many that wait, whose streams have room
                            time.sleep(1.5 * TIMEOUT_NS / 1e9)
            time.sleep(1.5 * TIMEOUT_NS / 1e9)
        outcomes = self.outcomes(trace, names)
        self.assertEqual(outcomes[True], 0, outcomes)
        self.assertLess(outcomes[None], len(names) / 50, outcomes)

    def test_many_holes(self):
        """Every second segment first, then those between; also from behind."""
        names = []
        kinds = ("a",) * 40
        end = self.size(kinds)
        with self.trace() as trace:
            for size in (end // 15, end // 12, 200):
                pieces = [[begin, min(begin + size, end)] for begin in range(0, end, size)]
                for order in (pieces[1::2] + pieces[::2], pieces[::2] + pieces[1::2], pieces[::-1]):
                    names += self.connection(kinds, order)
            time.sleep(1.5 * TIMEOUT_NS / 1e9)
        self.assertEqual(self.outcomes(trace, names), {False: len(names)})

    def test_too_many_holes(self):
        """Of a stream that is full of them some are passed over: it is not known then what was there."""
        kinds = ("a",) * 60
        end = self.size(kinds)
        pieces = [[begin, min(begin + 60, end)] for begin in range(0, end, 60)]
        with self.trace() as trace:
            names = self.connection(kinds, pieces[1::2] + pieces[::2])
            time.sleep(1.5 * TIMEOUT_NS / 1e9)
        outcomes = self.outcomes(trace, names)
        self.assertEqual(outcomes[True], 0, outcomes)
        self.assertGreater(outcomes[None], 0, outcomes)
        self.assertGreater(outcomes[False], 0, outcomes)

    def test_never_sent_again(self):
        """Nobody has that answer: it did time out."""
        kinds = ("a", "chain", "nx")
        first = self.size(kinds[:1])
        with self.trace() as trace:
            names = self.connection(kinds, [[first, self.size(kinds)]], all=False)
            time.sleep(1.5 * TIMEOUT_NS / 1e9)
        self.assertEqual([trace.of(name=name)[0]["timed_out"] for name in names], [True, False, False])


@unittest.skipUnless(os.path.exists(NAMED) and os.path.exists(DNSPERF), "needs bind9 and dnsperf")
class Lossy(Namespace):
    """named and dnsperf: as many answers as dnsperf completes, whatever is lost on the way."""

    CONFIGURATION = """
options { directory "."; listen-on { %s; }; listen-on-v6 { none; }; recursion no; pid-file none; session-keyfile none; };
controls { };
zone "test" { type primary; file "zone"; };
"""
    ZONE = "".join(["$TTL 300\n@ SOA ns root 1 1 1 1 1\n@ NS ns\nns A %s\n" % ADDRESS, "h A 10.0.0.1\nc1 CNAME h\n",
                    "*.a A 10.0.0.2\n*.a AAAA fd00::2\n"]
                   + ["many A 10.1.0.%d\n" % i for i in range(40)] + ['txt TXT "%03d%s"\n' % (i, "x" * 247) for i in range(20)])
    MANY = "many.test A\n" * 500
    MIXED = "".join("%s\n" % ("n%d.a.test A" % i, "n%d.a.test AAAA" % i, "c1.test A", "nx%d.test A" % i, "many.test A")[i % 5]
                    for i in range(2000))
    LARGE = "txt.test TXT\nmany.test A\n" * 250
    FROM_SERVER, TO_SERVER = "tcp sport 53", "tcp dport 53"

    def setUp(self):
        super().setUp()
        subprocess.run(inside("ip", "address", "add", ADDRESS + "/32", "dev", "lo"), check=True)
        self.folder = tempfile.mkdtemp(prefix="sonde-dns-", dir=NAMED_FOLDER)
        self.addCleanup(shutil.rmtree, self.folder)
        self.write("named.conf", self.CONFIGURATION % ADDRESS)
        self.write("zone", self.ZONE)
        named = subprocess.Popen(inside("timeout", "300", NAMED, "-f", "-c", "named.conf"), cwd=self.folder, stderr=subprocess.DEVNULL)
        self.addCleanup(named.wait)
        self.addCleanup(named.terminate)
        wait_for(lambda: b"status: NOERROR" in subprocess.run(inside("dig", "+tries=1", "+time=1", "@" + ADDRESS, "h.test"),
                                                              capture_output=True).stdout, "named to answer")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as f:
            f.write(text)

    def lose(self, which, of):
        """One packet of so many."""
        subprocess.run(inside("nft", "table inet lossy { chain c { type filter hook input priority 0; %s numgen random mod %d == 0 drop; }; }"
                              % (which, of)), check=True)

    def check(self, questions, *options):
        self.write("questions", questions)
        with self.trace() as trace:
            said = subprocess.run(inside("timeout", "120", DNSPERF, "-m", "tcp", "-s", ADDRESS, "-d", "questions", "-t", "20", *options),
                                  cwd=self.folder, capture_output=True, text=True).stdout
            time.sleep(1.5 * TIMEOUT_NS / 1e9)
        completed, lost = (int(re.search(r"Queries %s: +(\d+)" % word, said).group(1)) for word in ("completed", "lost"))
        outcomes = collections.Counter(e["timed_out"] for e in trace.of(transport="TCP", server_address=ADDRESS))
        self.assertEqual((outcomes, lost), ({False: completed}, 0), said)
        self.assertEqual(trace.ledger["residual"], 0)

    def test_nothing_lost(self):
        self.check(self.LARGE, "-c", "3")

    def test_answers_lost(self):
        self.lose(self.FROM_SERVER, 100)
        self.check(self.MANY, "-n", "2", "-c", "2")
        self.check(self.MIXED, "-c", "2")
        self.check(self.LARGE, "-c", "3")

    def test_many_answers_lost(self):
        self.lose(self.FROM_SERVER, 15)
        self.check(self.MANY, "-c", "2")
        self.check(self.MIXED, "-c", "2")

    def test_small_segments(self):
        """Messages are cut anywhere then."""
        subprocess.run(inside("ip", "link", "set", "lo", "mtu", "1280"), check=True)
        self.lose(self.FROM_SERVER, 40)
        self.check(self.MIXED, "-c", "2")
        self.check(self.LARGE, "-c", "3")

    def test_questions_lost(self):
        self.lose(self.TO_SERVER, 30)
        self.check(self.MIXED, "-c", "2")

    def test_sent_twice(self):
        """Each segment, to both ends."""
        subprocess.run(inside("nft", "table netdev twice { chain c { type filter hook ingress device lo priority 0;"
                              " meta mark 0 tcp sport 53 meta mark set 1 dup to lo; meta mark 0 tcp dport 53 meta mark set 1 dup to lo; }; }"),
                       check=True)
        self.check(self.MIXED, "-c", "2")


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
