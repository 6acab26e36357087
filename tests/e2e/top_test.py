# SPDX-License-Identifier: Apache-2.0
"""Rankings and the last minute: their sums are what the clients did, no more and no less."""
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import GENERATE, Agent, flood, load, only, run, wait_for  # noqa: E402

# Not 127.0.0.1: the test itself talks to the agent there.
SENT = {"127.0.0.2": (3, 1000), "127.0.0.3": (2, 70000), "127.0.0.4": (7, 1)}  # address: connections, bytes in each


CLIENTS = "kind = close and role = client and remote_address != 127.0.0.1"


class LastMinute(unittest.TestCase):
    def window(self, agent):
        answer = agent.get("/api/v1/summary", type="flood")
        return answer, answer["types"][0]["window"]

    def test_events_leave_when_they_are_too_old(self):
        """600 events and then silence: 600 for 60 s, whatever the store keeps, then 0."""
        with Agent(programs=flood()) as agent:
            began = time.clock_gettime(time.CLOCK_BOOTTIME)
            run(load(600))
            ended = time.clock_gettime(time.CLOCK_BOOTTIME)
            agent.settle()
            looks, full = 0, 0
            while True:
                before = time.clock_gettime(time.CLOCK_BOOTTIME)
                answer, window = self.window(agent)
                after = time.clock_gettime(time.CLOCK_BOOTTIME)
                looks += 1
                if after - began <= 60:
                    self.assertEqual(window["last_60s"], 600)
                    full += 1
                if before - ended > 11:
                    self.assertEqual((window["last_second"], window["last_10s"]), (0, 0))
                if before - ended > 61:
                    self.assertEqual((window["last_60s"], window["rows_60s"]), (0, 0))
                    self.assertFalse(any(window["per_second"]))
                    break
                self.assertEqual((window["too_late"], window["from_future"]), (0, 0))
                time.sleep(0.5)
            self.assertGreater(full, 10)
            self.assertEqual(answer["types"][0]["count"], 600)  # of five minutes, from the store
            self.assertLessEqual(answer["window_since_ns"], answer["until_ns"])

    def test_what_events_stand_for_leaves_with_them(self):
        """600 opens of one file by one process in a few rows: 600 for 60 s, then 0."""
        opener = subprocess.Popen([sys.executable, "-c", "import os, sys\nsys.stdin.read(1)\nfor i in range(600):\n"
                                   "    os.close(os.open('/etc/hostname', os.O_RDONLY))\nsys.stdin.read(1)"],
                                  stdin=subprocess.PIPE, bufsize=0)
        self.addCleanup(opener.wait)
        self.addCleanup(opener.stdin.close)
        settings = {"pid": opener.pid, "read_write": False, "update_interval_ns": "1s"}
        with Agent(programs=only("file", file={"settings": settings})) as agent:
            def window():
                return agent.get("/api/v1/summary", type="file")["types"][0]["window"]

            began = time.clock_gettime(time.CLOCK_BOOTTIME)
            opener.stdin.write(b"x")
            wait_for(lambda: agent.get("/api/v1/count", type="file", sum="count")["sum"] >= 600, "the opens are told", 40)
            rows = agent.count("file")["count"]
            told = window()
            after = time.clock_gettime(time.CLOCK_BOOTTIME)
            if after - began <= 60:
                self.assertEqual((told["sum_60s"], told["rows_60s"]), (600, rows))
            self.assertLess(rows, 600)
            self.assertIn(b"(count 600)", agent.cli("summary", "file").stdout)
            newest = max(e["time"] for e in agent.events("file"))
            while time.clock_gettime(time.CLOCK_BOOTTIME) - after <= 62:
                time.sleep(0.5)
            self.assertEqual([window()[name] for name in ("sum_second", "sum_10s", "sum_60s", "rows_60s")], [0] * 4)
            self.assertEqual(newest, max(e["time"] for e in agent.events("file")))  # nothing came meanwhile

    def test_a_condition_has_no_window(self):
        with Agent(programs=flood()) as agent:
            self.assertNotIn("window", agent.get("/api/v1/summary", type="flood", pid=1)["types"][0])


class VeryMany(unittest.TestCase):
    """More different values than any table of them is meant for: the top of a flood is known, and how many there are."""

    def test_numbers(self):
        many, twice, shown = 150000, 5, 7
        for store in ({}, {"path": "memory"}):
            with Agent(programs=flood(), store=store) as agent:
                run(load(many, 50000))
                run(load(twice))
                agent.settle()
                total = agent.count("flood")["count"]
                self.assertEqual(total, many + twice)
                expected = [{"value": n, "count": 2 if n < twice else 1} for n in range(shown)]
                answer = agent.get("/api/v1/count", type="flood", group_by="number", limit=shown)
                self.assertEqual(answer["groups"], expected)
                self.assertEqual((answer["count"], answer["more_groups"]), (total, many - shown))
                answer = agent.get("/api/v1/count", type="flood", group_by="number,command", limit=1)
                self.assertEqual((answer["groups"][0]["values"], answer["more_groups"]), ([0, "generate"], many - 1))
                local = [] if store else [["--store", agent.store]]
                for where in [[], *local]:
                    out = agent.cli("count", "flood", "--by", "number", "-n", str(shown), "-o", "csv", *where).stdout.decode()
                    self.assertEqual(out.split()[1:], ["%d,%d" % (g["value"], g["count"]) for g in expected])
                    said = agent.cli("count", "flood", "--by", "number", *where).stderr.decode()
                    self.assertIn("%d more values" % (many - 1000), said)
                out = agent.cli("top", "flood", "--by", "number", "-n", str(shown), "-o", "csv").stdout.decode()
                self.assertEqual(out.split()[1:], ["%d,%d" % (g["value"], g["count"]) for g in expected])
                self.assertIn(b"generate", agent.cli("summary", "flood").stdout)


class Top(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="sonde-top-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.agent = Agent(programs=only("connection", "file")).start()
        cls.addClassCleanup(cls.agent.__exit__)
        cls.opens = {}
        for name, count in (("few", 40), ("many", 5000), ("some", 700)):
            path = os.path.join(os.path.realpath(cls.folder.name), name)
            with open(path, "w"):
                pass
            subprocess.run([GENERATE, "open", path, str(count)], check=True, stdout=subprocess.DEVNULL)
            cls.opens[path] = count
        for address, (connections, size) in SENT.items():
            for _ in range(connections):
                cls.send(address, size)
        # File tells its counts in its own time; only then does it start anew.
        wait_for(lambda: cls.agent.get("/api/v1/count", type="file", command="generate", where="operation = open", sum="count")
                 ["sum"] >= sum(cls.opens.values()), "the opens are told", 60, 0.2)
        cls.agent.settle()

    @staticmethod
    def send(address, size):
        with socket.create_server((address, 0)) as server:
            with socket.create_connection(server.getsockname()) as client:
                peer = server.accept()[0]
                client.sendall(b"x" * size)
                client.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
                peer.close()
                client.recv(1)

    def lists(self, type, **query):
        answer = self.agent.get("/api/v1/count", type=type, **query)
        return [(g["values"] if "values" in g else g["value"], g["count"], g.get("sum")) for g in answer["groups"]], answer

    def test_paths_by_what_the_rows_stand_for(self):
        groups, answer = self.lists("file", command="generate", where="operation = open and path ~ sonde-top", group_by="path",
                                    sum="count")
        self.assertEqual([(path, opens) for path, _, opens in groups], sorted(self.opens.items(), key=lambda p: -p[1]))
        self.assertEqual(answer["sum"], sum(self.opens.values()))
        self.assertLess(answer["count"], answer["sum"])

    def test_peers_by_bytes(self):
        groups, _ = self.lists("connection", pid=os.getpid(), where=CLIENTS, group_by="remote_address", sum="sent_bytes")
        self.assertEqual(groups, sorted(((a, n, n * size) for a, (n, size) in SENT.items()), key=lambda g: -g[2]))

    def test_several_columns(self):
        groups, _ = self.lists("connection", pid=os.getpid(), where=CLIENTS, group_by="command,remote_address,error")
        self.assertEqual(sorted((v[1], v[2], n) for v, n, _ in groups), sorted((a, None, n) for a, (n, _) in SENT.items()))

    def cli(self, *arguments, **options):
        done = self.agent.cli(*arguments, **options)
        return done.returncode, done.stdout, done.stderr

    def test_command_line(self):
        many = max(self.opens, key=self.opens.get)
        code, out, _ = self.cli("top", "file", "--command", "generate", "--by", "path", "-w",
                                "operation = open and path ~ sonde-top", "-n", "1", "-o", "json")
        self.assertEqual((code, json.loads(out)["path"], json.loads(out)["sum"]), (0, many, self.opens[many]))
        code, out, _ = self.cli("count", "connection", "--by", "remote_address", "--sum", "sent_bytes", "-o", "csv", "-w",
                                "pid = %d and %s" % (os.getpid(), CLIENTS))
        self.assertEqual(out.decode().split()[:2], ["remote_address,count,sum", "127.0.0.3,2,140000"])
        code, out, _ = self.cli("summary", "file")
        self.assertIn(b"last second", out)
        for arguments in (("count", "--by", "pid,command,uid,tid"), ("count", "--sum", "command"), ("top", "--by", "nonsense"),
                          ("top", "-n", "10001")):
            self.assertEqual(self.cli(*arguments, check=False)[0], 2, arguments)

    def test_terminal(self):
        """What was opened and how often stands in a narrow table, not cut."""
        many = max(self.opens, key=self.opens.get)
        self.assertLessEqual(len(many), 32)
        for columns in (83, 120, 140, 200):
            shown = self.agent.on_terminal(columns, "events", "file", "--command", "generate", "-w", "operation = open and path = " + many)
            self.assertRegex(shown, r"(?m)^TIME .* OPERATION .*COUNT .*PATH", shown)
            self.assertRegex(shown, r"(?m) open .* %s( |$)" % many, shown)
            self.assertLessEqual(max(map(len, shown.splitlines())), columns)

    def test_summary(self):
        """The lists that the schema declares, ranked by its measure; what is older than the span is not in."""
        answer = self.agent.get("/api/v1/summary", type="file", command="generate", where="path ~ sonde-top and operation = open")
        of_type = answer["types"][0]
        self.assertEqual((of_type["measure"], of_type["sum"]), ("count", sum(self.opens.values())))
        self.assertEqual([(g["value"], g["sum"]) for g in of_type["top"]["path"]],
                         sorted(self.opens.items(), key=lambda p: -p[1]))
        self.assertEqual(sum(g["sum"] for g in of_type["top"]["pid,command"]), sum(self.opens.values()))
        later = self.agent.get("/api/v1/summary", type="file", since="%.3f" % (time.time() + 1), until="%.3f" % (time.time() + 2))
        self.assertEqual(later["types"][0]["count"], 0)

    def test_bad_questions(self):
        for path in ("count?limit=abc&group_by=pid", "count?group_by=pid,tid,uid,command", "count?sum=command", "count?sum=nonsense",
                     "count?group_by=", "count?group_by=pid,", "count?type=file&sum=sent_bytes", "summary?since=abc"):
            answer = self.agent.api("/api/v1/" + path)
            self.assertEqual((answer.status, answer.json["error"]), (400, "bad_parameter"), path)


if __name__ == "__main__":
    unittest.main()
