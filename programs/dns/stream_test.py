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
ADDRESS = "127.0.0.2"


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
                for order in (pieces[1::2] + pieces[::2], pieces[::2] + pieces[1::2], pieces[::-1][:8] + pieces[::-1][8:]):
                    names += self.connection(kinds, order)
            time.sleep(1.5 * TIMEOUT_NS / 1e9)
        outcomes = self.outcomes(trace, names)
        self.assertEqual(outcomes[True], 0, outcomes)
        print(outcomes)

    def test_never_sent_again(self):
        """Nobody has that answer: it did time out."""
        kinds = ("a", "chain", "nx")
        first = self.size(kinds[:1])
        with self.trace() as trace:
            names = self.connection(kinds, [[first, self.size(kinds)]], all=False)
            time.sleep(1.5 * TIMEOUT_NS / 1e9)
        self.assertEqual([trace.of(name=name)[0]["timed_out"] for name in names], [True, False, False])


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
