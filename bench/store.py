# SPDX-License-Identifier: Apache-2.0
"""Bytes on disk for each event, after the agent has ended and the file is whole; and what writing and asking cost, next to plain
SQLite (store.c)."""
import json
import os
import subprocess

import agent

AIMS = {"CPU, 200,000 events a commit (1,000,000/s)": 200, "size, 200,000 events a commit (1,000,000/s)": 16,
        "CPU, a steady stream": 0.2, "memory, a steady stream": 32, "events missing, a steady stream": 0,
        "by pid, type and time (10 ms in the middle)": 20, "group by command, all types": 150}


def measure(section, quick):
    scale = 1 if quick else 4
    with agent.Agent(store="sqlite") as a:
        agent.generate("exec", 1000 * scale)
        agent.generate("connections", "127.0.0.1", 10000 * scale)
        agent.generate("udp", "127.0.0.1", "9", 10000 * scale)
        ledgers = {name: a.settle(name) for name in agent.BUILT_IN}
    stored = sum(l["stored"] for l in ledgers.values())
    section.add("SQLite file", "bytes/event", [a.store_bytes / stored],
                ", ".join("%s %s" % ("{:,}".format(l["stored"]), n) for n, l in ledgers.items()))
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "store.sh")
    scale = ["1000000", "5"] if quick else ["10000000", "60"]
    out = subprocess.run([script] + scale, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if out.returncode:
        raise SystemExit("bench: store.sh: " + out.stderr)
    for line in out.stdout.splitlines():
        figure = json.loads(line)
        section.add(figure["figure"], figure["unit"], [figure["value"]], aim=AIMS.get(figure["figure"]))
