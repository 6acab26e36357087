# SPDX-License-Identifier: Apache-2.0
"""What the tests of flow share: who sends to whom, and how what is told of it is looked at."""
import os
import random
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
import harness  # noqa: E402
from harness import ROOT  # noqa: E402

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
