# SPDX-License-Identifier: Apache-2.0
"""All programs on, and 100,000 files opened and closed each second: what the agent takes for it, and how much more the opens cost."""
import os

import agent
from beside import OWN, Sonde, compare, generated

OPEN = "100,000 open+close/s"
DEFAULT, SINGLE = "sonde, all programs, files counted", "sonde, all programs, an event for each open"
TOOLS = [
    (DEFAULT, lambda: All(), [OPEN]),
    (SINGLE, lambda: All(file={"single": 1, "read_write": 0}), [OPEN]),
]


class All(Sonde):
    """What else happens on the machine meanwhile costs too: so it says how many events there were."""

    def __init__(self, **settings):
        super().__init__(agent.ALL, store="sqlite", settings=settings)

    def __enter__(self):
        super().__enter__()
        self.entered = self.events()
        return self

    def events(self):
        return sum(ledger["entered"] for ledger in self.ledger().values())

    def seen(self, run):
        before, self.entered = self.entered, self.events()
        return "{:,.0f} events/s".format((self.entered - before) * 1e9 / run.wall_ns)


def measure(section, quick):
    workload = generated(200000, "open", os.path.realpath(__file__), after=(100000,))
    compare(section, quick, {OPEN: workload}, TOOLS, {(OPEN, tool, OWN): 3 for tool, _, _ in TOOLS})
