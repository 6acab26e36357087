# SPDX-License-Identifier: Apache-2.0
"""Events/s at which loss begins, and CPU for each event: through the reader alone, with the memory store, with SQLite."""
import re
import subprocess
import time

import agent

RATES = [50000, 100000, 200000, 400000, 600000, 800000, 1000000, 1500000, 2000000, 2500000, 3000000, 0]


def ramp(section, what, rates, seconds, attempt, aim=None):
    """`attempt(count, rate)` gives what it achieved: events/s, lost, and CPU ns for each event by name of what used it."""
    best, cpu, lossy = 0, {}, None
    for rate in rates:
        achieved, lost, used = attempt(int((rate or 3000000) * seconds), rate)
        if lost:
            lossy = "%s/s: %.2f %% lost" % ("{:,.0f}".format(achieved), 100 * lost / int((rate or 3000000) * seconds))
            break
        if achieved > best:
            best, cpu = achieved, used
    section.add("%s: most without loss" % what, "events/s", [best], "next: " + lossy if lossy else "the generator's limit",
                aim=aim, rule=">=")
    for name, ns in sorted(cpu.items()):
        section.add("%s: CPU of %s at that rate" % (what, name), "ns/event", [ns])


def trace_attempt(count, rate):
    trace = subprocess.Popen([agent.SONDE, "trace", agent.FLOOD, "-o", "json", "--pid", "1"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
    trace.stderr.readline()
    before = agent.threads_cpu_ns(trace.pid)
    result = agent.generate("syscalls", count, rate)
    time.sleep(0.3)
    used = agent.threads_cpu_ns(trace.pid)["read:flood"] - before["read:flood"]
    trace.terminate()
    text = trace.communicate()[1].decode()
    ledger = {k: int(v) for k, v in re.findall(r"(\w+) (-?\d+)", text)}
    if ledger["residual"] or ledger["entered"] < count:
        raise RuntimeError("the ledger does not add up: " + text)
    return count / result["wall_ns"] * 1e9, ledger["ring_full"], {"the reader": used / count}


def agent_attempt(a):
    def attempt(count, rate):
        start, before = a.settle("flood"), agent.threads_cpu_ns(a.worker)
        result = agent.generate("syscalls", count, rate)
        end, after = a.settle("flood"), agent.threads_cpu_ns(a.worker)
        if end["entered"] - start["entered"] < count:
            raise RuntimeError("%d of %d calls were seen" % (end["entered"] - start["entered"], count))
        used = {n: (after[n] - before.get(n, 0)) / count for n in ("read:flood", "writer")}
        used["the worker"] = (sum(after.values()) - sum(before.values())) / count
        return count / result["wall_ns"] * 1e9, end["ring_full"] - start["ring_full"], used
    return attempt


def measure(section, quick):
    seconds, rates = (0.5, RATES[1::2] + [0]) if quick else (2, RATES)
    ramp(section, "reader, no store", [r for r in rates if not 0 < r < 400000], seconds, trace_attempt, aim=2000000)
    for name, store in (("memory store", "memory"), ("SQLite", "sqlite")):
        with agent.Agent(programs=[], objects=[agent.FLOOD], store=store) as a:
            ramp(section, name, rates, seconds, agent_attempt(a))
            _, lost, used = agent_attempt(a)(int(20000 * seconds), 20000)
            for thread, ns in sorted(used.items()):
                section.add("%s: CPU of %s at 20,000/s" % (name, thread), "ns/event", [ns], "%d lost" % lost if lost else "")
