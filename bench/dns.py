# SPDX-License-Identifier: Apache-2.0
"""Questions of dnsperf to a dnsmasq of our own, each on a CPU of its own: CPU time of both for a question, with the program dns, with
empty hooks at the same places and with tools that look at each packet. Not the rate: both CPUs are busy, and what the tool itself
takes of them, which is shown beside, would be in it too. What dnsperf says of its questions and what sonde says must be the same, also of
those that nobody answers."""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse

import agent
from beside import EMPTY_PACKETS, X, Peer, Run, Sonde, compare, empty, quietest

ALONE = "question, asked and answered by one thread"
FULL = "question, as many as both can"  # at a rate that leaves time to sleep, half of a question's CPU time is waking up
ADDRESS, SILENT, OWN_ADDRESS = "127.0.0.77", "127.0.0.78", "127.0.0.79"
NAMES = 1000
SONDE = "sonde, decoded and stored"
TSHARK = ["-T", "fields", "-e", "dns.qry.name", "-e", "dns.flags.rcode", "-e", "dns.time"]


class Dns(Sonde):
    """What it has of the questions of some processes."""

    def __init__(self):
        super().__init__(["dns"], settings={"dns": {"timeout_ns": "1s"}})

    def seen(self, run):
        """The same as the client says, or an exception."""
        pids, completed, lost = zip(*run.said)
        completed, lost = sum(completed), sum(lost)
        for _ in range(50):
            ledger = self.settle("dns")
            answered, timed_out = (sum(self.count(pid, "timed_out = " + word) for pid in pids) for word in ("false", "true"))
            if answered + timed_out >= completed + lost:
                break
            time.sleep(0.1)
        said = "the client: {:,} completed, {:,} lost; sonde: {:,} answered, {:,} timed out".format(completed, lost, answered, timed_out)
        if ledger["ring_full"]:
            return "%s; %d events found no room in the ring" % (said, ledger["ring_full"])
        if (completed, lost) != (answered, timed_out):
            raise RuntimeError(said)
        return said

    def count(self, pid, condition):
        where = urllib.parse.quote("pid = %d and %s" % (pid, condition))
        return self.get("/api/v1/count?type=dns&where=" + where)["count"]


class Server:
    """dnsmasq on the last CPU. It answers to names below bench.example itself; those below lost.example it passes on to one who is
    silent."""

    COMMAND = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root",
               "--bind-interfaces", "--listen-address=" + ADDRESS, "--address=/bench.example/192.0.2.1",
               "--server=/lost.example/" + SILENT, "--dns-forward-max=300"]

    def __enter__(self):
        self.silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.silent.bind((SILENT, 53))
        self.folder = tempfile.mkdtemp(prefix="sonde-bench-")
        self.process = subprocess.Popen(self.COMMAND, stderr=subprocess.DEVNULL,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {os.cpu_count() - 1}))
        for name, every in (("answered", 0), ("lost", 20)):
            with open(self.questions(name), "w") as f:
                f.writelines("n%d.%s.example A\n" % (i, "lost" if every and i % every == 0 else "bench") for i in range(NAMES))
        time.sleep(0.5)
        if self.process.poll() is not None:
            raise OSError("dnsmasq does not run")
        with open(self.questions("one"), "w") as f:
            f.write("n1.bench.example A\n")
        self.start_ns = min(self.dnsperf("one", "-n", 1)[2] for _ in range(3))
        return self

    def questions(self, name):
        return os.path.join(self.folder, name)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.silent.close()
        shutil.rmtree(self.folder)

    def dnsperf(self, questions, *options):
        """What it says, its pid, and its CPU time."""
        output, pid, used = agent.run_on(0, "dnsperf", "-s", ADDRESS, "-d", self.questions(questions), "-c", 4, *options)
        return output.decode(), pid, used

    def asked(self, questions, count, *options):
        """A workload: so many questions. That dnsperf starts is not their cost."""
        def run(scale):
            server = agent.cpu_ns(self.process.pid)
            said, pid, used = self.dnsperf(questions, "-n", max(1, round(count * scale / NAMES)), *options)
            used += agent.cpu_ns(self.process.pid) - server - self.start_ns
            completed, lost = (int(re.search(r"Queries %s: +(\d+)" % word, said).group(1)) for word in ("completed", "lost"))
            wall_s = float(re.search(r"Run time \(s\): +([\d.]+)", said).group(1))
            return Run(used, wall_s * 1e9, completed + lost, [(pid, completed, lost)])
        return run


def alone(count):
    """A workload without a wake-up or a change of the CPU: nothing but what a question and an answer cost themselves."""
    def run(scale):
        output, pid, used = agent.run_on(0, os.path.join(agent.BUILD, "generate"), "answers", OWN_ADDRESS, int(count * scale))
        result = json.loads(output)
        return Run(used, result["wall_ns"], result["count"], [(pid, result["count"], 0)])
    return run


TOOLS = [
    (EMPTY_PACKETS, empty(packets=1, call_ends=0), [ALONE, FULL]),
    (SONDE, Dns, [ALONE, FULL]),
    ("tcpdump -w, not decoded", lambda: Peer("tcpdump", "-Z", "root", "-i", "lo", "-w", "/dev/null", "port 53"), [ALONE, FULL]),
    ("tshark, decoded", lambda: Peer("tshark", "-i", "lo", "-f", "udp port 53", *TSHARK), [ALONE, FULL]),
]


def count_lost(section, server):
    with Dns() as sonde:
        run = server.asked("lost", 2000, "-q", 10000, "-Q", 2000, "-t", 1)(1)
        section.add("of 20 questions one is unanswered", "% lost", [100 * run.said[0][2] / run.count], sonde.seen(run))


def measure(section, quick):
    with Server() as server:
        workloads = {ALONE: quietest(alone(50000)), FULL: quietest(server.asked("answered", 50000, "-q", 64))}
        compare(section, quick, workloads, TOOLS, {(FULL, SONDE, X): 1.10}, rounds=6, budget_s=90)
        count_lost(section, server)
