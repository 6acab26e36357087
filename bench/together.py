# SPDX-License-Identifier: Apache-2.0
"""All programs on, and 100,000 files opened and closed each second: what the agent takes for it, and how much more the opens cost."""
import os

import agent
from beside import MORE, OWN, Sonde, compare, generated

OPEN = "100,000 open+close/s"
DEFAULT, SINGLE = "sonde, all programs, files counted", "sonde, all programs, an event for each open"
TOOLS = [
    (DEFAULT, lambda: Sonde(agent.ALL, store="sqlite"), [OPEN]),
    (SINGLE, lambda: Sonde(agent.ALL, store="sqlite", settings={"file": {"single": 1, "read_write": 0}}), [OPEN]),
]
AIMS = {(OPEN, tool, OWN): 3 for tool, _, _ in TOOLS}


def measure(section, quick):
    workload = generated(200000, "open", os.path.realpath(__file__), after=(100000,))
    compare(section, quick, {OPEN: workload}, TOOLS, AIMS)
