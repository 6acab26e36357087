# SPDX-License-Identifier: Apache-2.0
"""Bytes on disk for each event: a mixed recording, after the agent has ended and the file is whole."""
import agent


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
