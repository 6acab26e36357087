# SPDX-License-Identifier: Apache-2.0
"""Datagrams over a veth pair into a network namespace, with the program flow at the sockets or on the interface, next to tools that
see each packet too."""
import ctypes
import os
import subprocess
import sys

from beside import Peer, Sonde, compare, generated

SENT = "datagram over a veth pair"
NEAR, ADDRESS, PORT = "sonde-bench", "10.9.9.2", 9
LIBC, CLONE_NEWNET = ctypes.CDLL(None, use_errno=True), 0x40000000
BPFTRACE = "tracepoint:net:net_dev_queue { @[pid, comm] = sum(args->len); }"
TOOLS = [
    ("sonde, at the sockets", lambda: Flow(["flow"]), [SENT]),
    ("sonde, on the interface", lambda: Flow(["flow"], settings={"flow": {"interface_1": NEAR}}), [SENT]),
    ("tcpdump -w", lambda: Peer("tcpdump", "-Z", "root", "-i", NEAR, "-w", "/dev/null"), [SENT]),
    ("bpftrace sum by process", lambda: Peer("bpftrace", "-e", BPFTRACE), [SENT]),
]


class Flow(Sonde):
    """Counts what was sent, to be compared."""

    def sent(self):
        return self.metric('sonde_flow_packets_total{direction="egress"}')

    def __enter__(self):
        super().__enter__()
        self.before = self.sent()
        return self

    def seen(self, run):
        now = self.sent()
        packets, self.before = now - self.before, now
        if packets < run.count:
            raise RuntimeError("flow counted %d of %d datagrams" % (packets, run.count))
        return "%s sent, %s counted" % ("{:,}".format(run.count), "{:,}".format(packets))


class Veth:
    """We and what we start are in a new network namespace, with `NEAR`, whose other end is in another one, where a socket takes what
    arrives and nobody reads it. Both namespaces end with their processes."""

    RECEIVER = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('', %d))\nprint(flush=True)\ninput()" % PORT

    def __enter__(self):
        self.outside = os.open("/proc/self/ns/net", os.O_RDONLY)
        if LIBC.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        self.receiver = subprocess.Popen(["unshare", "--net", sys.executable, "-c", self.RECEIVER], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)
        self.receiver.stdout.readline()
        far = str(self.receiver.pid)
        for inside, words in (([], "link set lo up"), ([], "link add %s type veth peer name far netns %s" % (NEAR, far)),
                              ([], "address add 10.9.9.1/24 dev " + NEAR), ([], "link set %s up" % NEAR),
                              (["nsenter", "-t", far, "-n"], "address add %s/24 dev far" % ADDRESS),
                              (["nsenter", "-t", far, "-n"], "link set far up")):
            subprocess.run([*inside, "ip", *words.split()], check=True)

    def __exit__(self, *_):
        self.receiver.communicate(b"\n")
        LIBC.setns(self.outside, CLONE_NEWNET)
        os.close(self.outside)


def measure(section, quick):
    with Veth():
        compare(section, quick, {SENT: generated(100000, "udp", ADDRESS, PORT)}, TOOLS, {})
