# SPDX-License-Identifier: Apache-2.0
"""Time from the hook to a client of the stream on the unix socket, at fixed rates."""
import json
import os
import subprocess

import agent

RATES = [1000, 20000, 100000]


def once(a, rate, seconds):
    client = subprocess.Popen([os.path.join(agent.BUILD, "latency"), a.socket, "flood", str(seconds + 10)],
                              stdout=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, {os.cpu_count() - 1}))
    client.stdout.readline()
    waited, lost = agent.waited_ns(a.worker), a.ledger()["flood"]["ring_full"]
    agent.generate("syscalls", int(rate * seconds), rate)
    waited = agent.waited_ns(a.worker) - waited
    result = json.loads(client.communicate()[0])
    result["waited_ms"] = waited / seconds / 1e6
    result["lost"] = a.settle("flood")["ring_full"] - lost
    if result["events"] + result["skipped"] + result["lost"] < rate * seconds:
        raise RuntimeError("the stream gave %s of %d events" % (result, rate * seconds))
    return result


def measure(section, quick):
    for store in ["memory"] if quick else ["memory", "sqlite"]:
        with agent.Agent(programs=[], objects=[agent.FLOOD], store=store) as a:
            for rate in RATES:
                results = [once(a, rate, 1 if quick else 3) for _ in range(1 if quick else 3)]
                note = "lost %d, skipped %d of %d; the worker waited %.0f ms a second for a CPU" % (
                    sum(r["lost"] for r in results), sum(r["skipped"] for r in results),
                    sum(r["events"] + r["skipped"] + r["lost"] for r in results),
                    sum(r["waited_ms"] for r in results) / len(results))
                what = "%s/s, %s store" % ("{:,}".format(rate), store)
                for key, label in (("p50_ns", "p50"), ("p99_ns", "p99"), ("p999_ns", "p99.9")):
                    section.add("%s: %s" % (what, label), "us", [r[key] / 1000 for r in results],
                                note if key == "p99_ns" else "",
                                aim=1000 if key == "p99_ns" else None)
