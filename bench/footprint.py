# SPDX-License-Identifier: Apache-2.0
"""What the agent takes without work: time to ready, memory, idle CPU, wake-ups; memory under load; size of the binary."""
import os
import subprocess
import time

import agent

STARTS = 7


def both_kib(a, key):
    return (agent.memory_kib(a.loader)[key] + agent.memory_kib(a.worker)[key]) / 1024


def starts(section, rounds):
    ready, loader, worker, said = [], [], [], []
    for _ in range(rounds):
        with agent.Agent(agent.DEFAULT, store="sqlite") as a:
            ready.append(a.ready_s * 1000)
            loader.append(agent.process_cpu_ns(a.loader) / 1e6)
            worker.append(agent.cpu_ns(a.worker) / 1e6)
            verified = agent.verified_instructions(a.loader)
        begin = time.monotonic()
        trace = subprocess.Popen([agent.SONDE, "trace", "packet_drop", "--for", "1ms", "-o", "json"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
        trace.stderr.readline()
        said.append((time.monotonic() - begin) * 1000)
        trace.communicate()
    most = sorted(verified, key=verified.get, reverse=True)[:4]
    section.add("exec to /readiness 200, the default programs, SQLite", "ms", ready, ", ".join(agent.DEFAULT), aim=200)
    section.add("CPU time of the loader until then", "ms", loader)
    section.add("CPU time of the worker until then", "ms", worker)
    section.add("instructions that the verifier looked at", "", [sum(verified.values())],
                "most: " + ", ".join("%s %s" % (name.split()[1], "{:,}".format(verified[name])) for name in most))
    section.add("exec of sonde trace packet_drop to attached", "ms", said)


def idle(section, seconds):
    with agent.Agent(agent.DEFAULT, store="sqlite") as a:
        time.sleep(2)
        pids = {"loader": a.loader, "worker": a.worker}
        seen = sum(l["entered"] for l in a.ledger().values())
        before = {n: (agent.cpu_ns(p), agent.wakeups(p)) for n, p in pids.items()}
        begin = time.monotonic()
        time.sleep(seconds)
        span = time.monotonic() - begin
        after = {n: (agent.cpu_ns(p), agent.wakeups(p)) for n, p in pids.items()}
        seen = (sum(l["entered"] for l in a.ledger().values()) - seen) / span
        total = 0
        for n in pids:
            percent = (after[n][0] - before[n][0]) / span / 1e7
            total += percent
            section.add("idle CPU of the %s" % n, "% of a core", [percent], "over %.0f s" % span)
            section.add("idle wake-ups of the %s" % n, "/s", [(after[n][1] - before[n][1]) / span])
        section.add("idle CPU of both", "% of a core", [total], "%.1f events/s were seen meanwhile: other work" % seen, aim=0.1)
        for n, p in pids.items():
            for key in ("VmRSS", "VmHWM", "Pss"):
                section.add("%s of the %s, idle" % (key, n), "MiB", [agent.memory_kib(p)[key] / 1024])
        section.add("VmRSS of both, idle", "MiB", [both_kib(a, "VmRSS")], aim=48)
        section.add("Pss of both, idle", "MiB", [both_kib(a, "Pss")], "shared pages counted once")


def load(section, count):
    with agent.Agent(agent.DEFAULT, [agent.FLOOD], store="sqlite") as a:
        highest = {}
        for arguments in (("exec", count // 1000), ("connections", "127.0.0.1", count // 50),
                          ("udp", "127.0.0.1", agent.free_port(), count // 50), ("syscalls", count, 100000)):
            agent.generate(*arguments)
            for n, p in (("loader", a.loader), ("worker", a.worker)):
                highest[n] = max(highest.get(n, 0), agent.memory_kib(p)["VmRSS"] / 1024)
        for n, p in (("loader", a.loader), ("worker", a.worker)):
            section.add("VmRSS of the %s under load" % n, "MiB", [highest[n]], "100,000 events/s into SQLite")
            section.add("VmHWM of the %s under load" % n, "MiB", [agent.memory_kib(p)["VmHWM"] / 1024])


def measure(section, quick):
    section.add("size of the binary", "MB", [os.path.getsize(agent.SONDE) / 1e6], aim=4)
    starts(section, 3 if quick else STARTS)
    idle(section, 5 if quick else 30)
    load(section, 200000 if quick else 1000000)
