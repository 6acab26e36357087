# SPDX-License-Identifier: Apache-2.0
"""Datagrams over a veth pair into a network namespace, with the program flow at the sockets or on the interface, next to tools that
see each packet too."""
import os
import subprocess

from beside import Peer, Sonde, compare, generated

SENT = "datagram over a veth pair"
NEAR, ADDRESS, PORT = "sonde-bench", "192.0.2.2", 9
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
    """`NEAR` here, its other end in a network namespace where a socket takes what arrives and nobody reads it."""

    def ip(self, *words):
        subprocess.run(["ip", *words], check=True)

    def __enter__(self):
        self.name = "sonde-bench-%d" % os.getpid()
        self.ip("netns", "add", self.name)
        try:
            self.ip("link", "add", NEAR, "type", "veth", "peer", "name", "far", "netns", self.name)
            self.ip("address", "add", "192.0.2.1/30", "dev", NEAR)
            self.ip("link", "set", NEAR, "up")
            self.ip("-n", self.name, "address", "add", ADDRESS + "/30", "dev", "far")
            self.ip("-n", self.name, "link", "set", "far", "up")
            code = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('', %d))\nprint(flush=True)\ninput()"
            self.receiver = subprocess.Popen(["ip", "netns", "exec", self.name, "python3", "-c", code % PORT],
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.receiver.stdout.readline()
        except BaseException:
            self.ip("netns", "delete", self.name)
            raise

    def __exit__(self, *_):
        self.receiver.communicate(b"\n")
        self.ip("netns", "delete", self.name)


def measure(section, quick):
    with Veth():
        compare(section, quick, {SENT: generated(300000, "udp", ADDRESS, PORT)}, TOOLS, {})
