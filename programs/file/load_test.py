#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""file under load, and in the running agent."""
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "tests")]
from harness import GENERATE, Agent, Trace, only, wait_for  # noqa: E402
from child import CHILD, EACH, ENTRIES, HOUR, PYTHON, child  # noqa: E402

OPENS = 1000000


class Load(unittest.TestCase):
    def test_a_million_opens_while_flushing(self):
        """On all CPUs, by several threads of one process too; the sum is exact, with a thousand times fewer events."""
        path = os.path.realpath(__file__)
        cpus = os.cpu_count()
        each = OPENS // cpus
        with Trace("file", "--set", "update_interval_ns=1s", "--set", "read_write=0") as trace:
            began = time.monotonic()
            loops = [subprocess.Popen(["taskset", "-c", str(i), GENERATE, "open", path, str(each)],
                                      stdout=subprocess.DEVNULL) for i in range(cpus)]
            for loop in loops:
                self.assertEqual(loop.wait(300), 0)
            took = time.monotonic() - began
        mine = [e for e in trace.of(operation="open", path=path, error=None) if e["pid"] in {x.pid for x in loops}]
        self.assertEqual(sum(e["count"] for e in mine), each * cpus)
        self.assertGreater(len(mine), cpus, "it was not flushed while they ran (%.1f s)" % took)
        self.assertLessEqual(len(mine), OPENS // 1000)
        self.assertEqual((trace.ledger["residual"], trace.ledger["ring_full"]), (0, 0))

    def test_idle_entries_come_back(self):
        """Counts go on while entries are put to rest and removed: pauses of zero to four intervals."""
        code = "import time\nfor i in range(120):\n" \
               "    for _ in range(50): opened(%r)\n    time.sleep((i %% 5) * 0.011)"
        path = os.path.realpath(__file__)
        with Trace("file", "--set", "update_interval_ns=10ms", "--set", "read_write=0") as trace:
            pid, _ = child(code % path, "/")
        self.assertEqual(sum(e["count"] for e in trace.of(pid=pid, path=path, error=None)), 120 * 50)

    def test_more_paths_than_room(self):
        """What finds no entry is told without path and process; nothing is missing."""
        code = "out['n'] = %d\nfor i in range(%d): fails('/nowhere/%%d' %% i)" % (ENTRIES + 5000, ENTRIES + 5000)
        with Trace("file", "--set", "read_write=0", "--set", "only_errors=1", *HOUR) as trace:
            pid, out = child(code, "/")
        named = trace.of(pid=pid, error="ENOENT")
        rest = trace.of(pid=None, error="ENOENT", operation="open")
        self.assertEqual([e["path"] for e in rest], [None])
        named = [e for e in named if e["path"].startswith("/nowhere/")]
        self.assertGreaterEqual(rest[0]["count"] + len(named), out["n"])
        self.assertLessEqual(len(named), ENTRIES)
        self.assertEqual({e["count"] for e in named}, {1})
        self.assertEqual(trace.ledger["map_full"], 0)

    def test_the_dead_make_room(self):
        """When they have been told: who comes one or two flushes later is counted by path and process."""
        n = ENTRIES + 5000
        code = "for i in range(%d): fails('/nowhere/%%d' %% i)" % n
        with Trace("file", "--set", "only_errors=1", "--set", "update_interval_ns=6s") as trace:
            child(code, "/")
            time.sleep(13)  # two flushes
            pid, _ = child("for i in range(500): fails('/elsewhere/%d' % (i % 5))", "/")
        self.assertTrue(trace.of(pid=None, error="ENOENT"), "the table was never full")
        self.assertEqual(sum(e["count"] for e in trace.of(pid=pid) if e["path"].startswith("/elsewhere/")), 500)
        self.assertGreaterEqual(sum(e["count"] for e in trace.of(error="ENOENT")), n + 500)


class Running(unittest.TestCase):
    def test_off_until_asked_for(self):
        with Agent(programs=only()) as agent:
            def state():
                return [p["state"] for p in agent.get("/api/v1/programs")["programs"] if p["name"] == "file"]
            self.assertEqual(state(), ["disabled"])
            agent.cli("programs", "start", "file")
            self.assertEqual(state(), ["running"])
            pid, _ = child("for _ in range(7): opened('/etc/hostname')", "/")
            agent.cli("programs", "stop", "file")
            found = wait_for(lambda: agent.events("file", pid=pid, where="path = '/etc/hostname'"), "the last counts")
            self.assertEqual([e["count"] for e in found], [7])

    def test_by_configuration(self):
        with Agent(programs=only(file={"enabled": True, "settings": {"update_interval_ns": "100ms"}})) as agent:
            pid, _ = child("for _ in range(7): opened('/etc/hostname')", "/")
            found = wait_for(lambda: agent.events("file", pid=pid, where="path = '/etc/hostname'"), "an interval")
            self.assertEqual(sum(e["count"] for e in found), 7)

    def totals(self, agent, metric):
        """{labels: number} of those that are not 0."""
        found = re.findall(r"^sonde_file_%s_total\{(.*)\} (\d+)$" % metric, agent.metrics().text, re.M)
        return {labels: int(n) for labels, n in found if n != "0"}

    def metrics_are_what_a_process_did(self, **settings):
        folder = tempfile.TemporaryDirectory(prefix="sonde-file-")
        self.addCleanup(folder.cleanup)
        process = subprocess.Popen([PYTHON, "-S", "-E", "-c", CHILD + "sys.stdin.read(1)\n" + EACH, folder.name], stdin=subprocess.PIPE)
        settings = {"update_interval_ns": "100ms", "pid": process.pid, **settings}
        with Agent(programs=only(file={"enabled": True, "settings": settings})) as agent:
            process.communicate(b"x", 60)
            events = wait_for(lambda: self.all_told(agent, process.pid), "the page")
            self.assertEqual(self.totals(agent, "bytes"),
                             {'operation="%s"' % name: sum(e["bytes"] for e in events if e["operation"] == name and e["bytes"])
                              for name in ("read", "write")})
            self.assertEqual(self.totals(agent, "errors"), {'operation="open",error="ENOENT"': 1})

    def all_told(self, agent, pid):
        events = agent.events("file", pid=pid)
        counts = {}
        for e in events:
            label = 'operation="%s"' % e["operation"]
            counts[label] = counts.get(label, 0) + e["count"]
        last = [e for e in events if e["error"] == "ENOENT"]
        return events if last and counts == self.totals(agent, "operations") else None

    def test_metrics(self):
        self.metrics_are_what_a_process_did()

    def test_metrics_of_single_events(self):
        self.metrics_are_what_a_process_did(single=1)

    def test_what_found_no_room_is_a_metric(self):
        n = ENTRIES + 5000
        with Agent(programs=only(file={"enabled": True, "settings": {"update_interval_ns": "1h"}})) as agent:
            child("for i in range(%d): fails('/nowhere/%%d' %% i)" % n, "/")
            line = r'^sonde_file_other_operations_total{operation="open"} (\d+)$'
            found = wait_for(lambda: [int(n) for n in re.findall(line, agent.metrics().text, re.M) if n != "0"], "the metric")[0]
            self.assertGreaterEqual(found, 5000)
            agent.cli("programs", "stop", "file")
            rest = wait_for(lambda: agent.events("file", where="pid = null and operation = 'open'"), "the last counts")
            self.assertGreaterEqual(sum(e["count"] for e in rest), found)


if __name__ == "__main__":
    unittest.main()
