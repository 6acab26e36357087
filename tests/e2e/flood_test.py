# SPDX-License-Identifier: Apache-2.0
"""Floods: whatever is lost is counted, and the sum is right to the last event."""
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import Agent, flood, load, rows, run  # noqa: E402

MILLION = 1000000


class Flood(unittest.TestCase):
    def check(self, agent, count):
        """Every one of `count` events is in the store or counted as lost; the store agrees, whoever counts."""
        ledger = agent.settle("flood")["flood"]
        self.assertEqual(ledger["entered"], count)
        self.assertEqual(ledger["submitted"] + ledger["ring_full"], count)
        self.assertEqual(ledger["stored"], ledger["submitted"])
        self.assertEqual(ledger["readable"], ledger["stored"])
        self.assertEqual([ledger[name] for name in ("invalid", "queue_dropped", "limited", "expired", "residual")], [0] * 5)
        self.assertEqual(agent.count("flood")["count"], ledger["stored"])
        self.assertEqual(int(agent.cli("count", "flood", "-o", "csv").stdout.split()[-1]), ledger["stored"])
        return ledger

    def check_numbers(self, agent, ledger):
        """In the closed file: no event twice."""
        self.assertEqual(agent.stop(), 0)
        self.assertEqual(rows(agent.store, "SELECT count(*), count(DISTINCT number) FROM flood"), [(ledger["stored"],) * 2])

    def test_tight_loop(self):
        with Agent(programs=flood()) as agent:
            run(load(MILLION))
            ledger = self.check(agent, MILLION)
            self.check_numbers(agent, ledger)

    def test_two_at_once(self):
        with Agent(programs=flood(ring_bytes="256KiB")) as agent:
            for process in [load(MILLION // 2) for _ in range(2)]:
                run(process)
            self.check(agent, MILLION)

    def test_reader_stopped(self):
        """The reader stands still for 5 s and the ring is tiny: nearly everything is lost, and nothing in silence."""
        with Agent(programs=flood(ring_bytes="64KiB")) as agent:
            worker = agent.worker_pid()
            process = load(MILLION, 150000)
            time.sleep(1)
            os.kill(worker, signal.SIGSTOP)
            time.sleep(5)
            os.kill(worker, signal.SIGCONT)
            run(process)
            ledger = self.check(agent, MILLION)
            self.assertEqual(agent.worker_pid(), worker)
            self.assertGreater(ledger["ring_full"], 0)
            # The gap is in every answer for its span.
            answer = self.gap(agent)
            self.assertEqual(answer["lost"], ledger["ring_full"])
            self.assertIn("ring_full", answer["reason"])
            note = agent.cli("count", "flood").stderr.decode()
            self.assertIn("incomplete", note)
            self.check_numbers(agent, ledger)

    def gap(self, agent):
        """The gap is written within about a second of the loss."""
        lost = agent.ledger("flood")["ring_full"]
        end = time.monotonic() + 20
        while True:
            answer = agent.count("flood")
            if answer["lost"] == lost or time.monotonic() > end:
                self.assertFalse(answer["complete"], answer)
                return answer
            time.sleep(0.2)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
