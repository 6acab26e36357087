#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dns over UDP with names of all lengths: those that go the way of the usual datagrams, and those that are left to the general one."""
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "tests")]
from harness import Trace  # noqa: E402

NAMESPACE = "sonde-dns-datagram-%d" % os.getpid()
ADDRESSES = "127.0.0.1", "::1"
# Without an answer the message ends with the question, so the last words of a comparison are not all there.
NAMES = [(first + "." + ".".join(["l" * size] * 128))[:length] for first in ("plain", "a") for size in (1, 9, 62) for length in range(7, 250)]
NAMES = [name[:-1] + "x" if name[-1] == "." else name for name in NAMES]
CLIENT = """
import socket, sys
sys.path.insert(0, %r)
from stub import question
names = sys.stdin.read().split()
for address in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.connect((address, 53))
    for number, name in enumerate(names):
        s.send(question(name, number=number))
        s.recv(999)
""" % HERE


def inside(*words):
    return ["ip", "netns", "exec", NAMESPACE, *words]


class Lengths(unittest.TestCase):
    def setUp(self):
        subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
        self.addCleanup(subprocess.run, ["ip", "netns", "delete", NAMESPACE], check=True)
        subprocess.run(inside("ip", "link", "set", "lo", "up"), check=True)
        server = subprocess.Popen(inside("timeout", "120", sys.executable, os.path.join(HERE, "stub.py"), *ADDRESSES), stdout=subprocess.PIPE)
        self.addCleanup(server.communicate)
        self.addCleanup(server.terminate)
        self.assertTrue(server.stdout.readline())

    def test_names_of_all_lengths(self):
        with Trace("dns") as trace:
            client = subprocess.Popen(inside(sys.executable, "-c", CLIENT, *ADDRESSES), stdin=subprocess.PIPE, text=True)
            client.communicate("\n".join(NAMES), timeout=60)
            self.assertEqual(client.returncode, 0)
        events = [(e["server_address"], e["id"], e["name"], e["answer_count"], e["rcode"], e["tries"]) for e in trace.of(pid=client.pid)]
        self.assertEqual(sorted(events), sorted((address, number, name, 2 if name[0] == "a" else 0, "NOERROR", 1)
                                                for address in ADDRESSES for number, name in enumerate(NAMES)))
        self.assertEqual(trace.ledger["residual"], 0)


if __name__ == "__main__":
    unittest.main()
