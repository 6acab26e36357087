# SPDX-License-Identifier: Apache-2.0
"""What the answers say while events of their span are not in the store: they wait, or have been lost a moment ago."""
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import SONDE, Agent, flood, load, only, run, wait_for  # noqa: E402

SQL = "select count(*) from flood where time >= %d"


def moment(time_ns):
    """As the command line and the API take it, to the nanosecond."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ns // 10**9)) + ".%09dZ" % (time_ns % 10**9)


class Waiting(unittest.TestCase):
    def ask_all(self, agent, since_ns):
        """The same question in every way: name, complete, lost, reason."""
        since = {"since": moment(since_ns)}
        count = agent.count("flood", **since)
        yield "count", count["count"], count
        yield "groups", None, agent.count("flood", group_by="number", limit=1, **since)
        yield "all types", None, agent.get("/api/v1/count", **since)
        yield "events", None, agent.get("/api/v1/events", type="flood", limit=1, **since)
        lines = agent.api("/api/v1/events", type="flood", limit=1, format="ndjson", **since).text.splitlines()
        yield "lines", None, json.loads(lines[-1])["answer"]
        yield "summary", None, agent.get("/api/v1/summary", **since)
        yield "summary of a type", None, agent.get("/api/v1/summary", type="flood", **since)
        if agent.store != "memory":
            body = json.dumps({"sql": SQL % since_ns}).encode()
            yield "sql", None, agent.api("/api/v1/sql", "POST", body, {"Content-Type": "application/json"}).json

    def check_notes(self, agent, since_ns, text):
        """The command line says it as well."""
        since = ["--since", moment(since_ns)]
        commands = [["count", "flood", *since], ["events", "flood", "-n", "1", *since], ["summary", "flood", *since],
                    ["top", "flood", *since]]
        if agent.store != "memory":
            commands.append(["sql", SQL % since_ns])
        for command in commands:
            note = agent.cli(*command).stderr.decode()
            self.assertIn("incomplete", note, command)
            self.assertIn(text, note, command)

    def check_missing(self, agent, since_ns, *texts):
        for name, _, answer in self.ask_all(agent, since_ns):
            self.assertIs(answer["complete"], False, (name, answer))
            for text in texts:
                self.assertIn(text, answer["reason"], (name, answer))

    def check_whole(self, agent, since_ns):
        for name, _, answer in self.ask_all(agent, since_ns):
            self.assertEqual((answer["complete"], answer["lost"], answer["reason"]), (True, 0, ""), name)

    def check_lost(self, agent, since_ns):
        """When all is stored, each answer and the ledger speak of the same losses."""
        lost = agent.settle("flood")["flood"]["ring_full"]
        for name, count, answer in self.ask_all(agent, since_ns):
            self.assertEqual((answer["complete"], answer["lost"]), (not lost, lost), (name, answer))
            self.assertNotIn("wait", answer["reason"], name)
        return lost

    def make_disk(self, size):
        disk = tempfile.mkdtemp(prefix="sonde-test-")
        self.addCleanup(os.rmdir, disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777,size=" + size, "tmpfs", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        return disk

    def follow(self, agent):
        """Who sees events as they happen."""
        follower = subprocess.Popen([SONDE, "events", "flood", "-f", "--socket", agent.socket], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE)
        self.addCleanup(follower.stderr.close)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        wait_for(lambda: "sonde_streams 1\n" in agent.metrics().text, "the stream")
        return follower

    def test_locked(self):
        """Another program keeps the file locked."""
        with Agent(programs=flood(ring_bytes="1MiB")) as agent:
            since_ns = time.time_ns()
            run(load(100))
            agent.settle("flood")
            self.check_whole(agent, since_ns)
            follower = self.follow(agent)
            with sqlite3.connect(agent.store, isolation_level=None) as db:
                db.execute("BEGIN IMMEDIATE")
                locked_ns = time.time_ns()
                run(load(2000))
                wait_for(lambda: "locked" in agent.count("flood")["reason"], "the answer says why")
                self.check_missing(agent, since_ns, "events since ", "UTC wait (store: cannot write: another program keeps the file locked)")
                self.check_missing(agent, locked_ns, "events since ")
                self.check_notes(agent, locked_ns, "locked")
                before = agent.count("flood", since=moment(since_ns), until=moment(locked_ns))
                self.assertEqual((before["count"], before["complete"]), (100, True), before)
                ledger = agent.ledger("flood")
                self.assertEqual((ledger["stored"], ledger["ring_full"]), (100, 0))
                self.assertRegex(follower.stderr.readline(), b"note: events may come late: .*locked")
                db.execute("ROLLBACK")
            agent.settle("flood")
            self.assertEqual(agent.count("flood")["count"], 2100)
            self.check_whole(agent, since_ns)

    def test_disk_full(self):
        """Until the ring is full too; then events are lost, and these are in the answers while nothing can be written."""
        disk = self.make_disk("4m")
        filler = os.path.join(disk, "filler")
        with Agent(programs=flood(ring_bytes="64KiB"), store={"path": os.path.join(disk, "events.db")}) as agent:
            since_ns = time.time_ns()
            run(load(100))
            agent.settle("flood")
            self.check_whole(agent, since_ns)
            with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
                while f.write(bytes(4096)):
                    pass
            full_ns = time.time_ns()
            while agent.ledger("flood")["ring_full"] < 1000:
                run(load(100000))
            wait_for(lambda: "no space" in agent.count("flood")["reason"], "the answer says why")
            self.check_missing(agent, full_ns, "events since ", "UTC wait (store: cannot write: no space is left on the disk")
            self.check_notes(agent, full_ns, "no space")
            lost = agent.ledger("flood")["ring_full"]
            for name, _, answer in self.ask_all(agent, since_ns):
                self.assertEqual(answer["lost"], lost, (name, answer))
            os.unlink(filler)
            self.assertEqual(self.check_lost(agent, since_ns), lost)

    def test_lost_a_moment_ago(self):
        """A loss is in the answers at once, before any gap is written; in a file and in memory."""
        for store in (None, "memory"):
            with Agent(programs=flood(ring_bytes="64KiB"), store=store) as agent:
                for _ in range(5):
                    run(load(100000))
                    lost = agent.ledger("flood")["ring_full"]
                    answer = agent.count("flood")
                    self.assertEqual((answer["complete"], answer["lost"]), (not lost, lost), answer)

    def test_new_worker(self):
        """A new worker answers before it has read what its ring kept: those events are missing in the meantime."""
        with Agent(programs=flood(ring_bytes="16MiB"), ready=False) as agent:
            agent.await_ready()
            since_ns = time.time_ns()
            run(load(100))
            agent.settle("flood")
            worker = agent.worker_pid()
            os.kill(worker, signal.SIGSTOP)
            run(load(50000))
            time.sleep(2)  # so that they are late, wherever they wait
            os.kill(worker, signal.SIGKILL)

            def all_there():
                try:
                    answer = agent.count("flood", since=moment(since_ns))
                except (AssertionError, OSError):  # there is nobody to ask, or the program is not known again
                    return False
                if answer["count"] < 50100:
                    self.assertIs(answer["complete"], False, answer)
                return answer["count"] == 50100
            wait_for(all_there, "all 50100", 120, 0)
            agent.settle("flood")
            agent.await_ready()
            self.check_whole(agent, since_ns)

    def test_start(self):
        """Nothing is complete while programs are being started, nor is later what is asked of that time."""
        with Agent(programs=only("process", "file", "connection"), ready=False) as agent:
            since_ns = time.time_ns()
            reasons = []
            while not agent.is_ready():
                try:
                    answer = agent.get("/api/v1/count", since=moment(since_ns))
                except (AssertionError, OSError):
                    continue
                self.assertIs(answer["complete"], False, answer)
                reasons.append(answer["reason"])
            # It is ready only a moment after they have been started.
            self.assertIn("programs are being started", reasons[0])
            later = [reason for reason in reasons if "programs are being started" not in reason]
            self.assertEqual(reasons[len(reasons) - len(later):], later)
            for reason in later:
                self.assertIn("nothing was recorded before", reason)
            ready_ns = time.time_ns()
            self.assertIn("nothing was recorded before", agent.get("/api/v1/count", since=moment(since_ns))["reason"])
            self.assertIs(agent.get("/api/v1/count", since=moment(ready_ns))["complete"], True)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
