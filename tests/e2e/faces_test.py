# SPDX-License-Identifier: Apache-2.0
"""What the agent says, to clients that are silent, old, or strict, about names that are hostile."""
import csv
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import GENERATE, SONDE, Agent, flood, load, only, run, wait_for  # noqa: E402

NAMES = 2000
# In UTF-8, of what a terminal, a parser or an eye takes for something else: escapes, quotes, ends of lines, bidi, surrogates.
PIECES = [b"\x1b[31m", b"\x1b]0;title\x07", b"\x9b1m", b"\xc2\x9b", b'"', b"'", b"\\", b"\n", b"\r", b"\t", b"\0x", b"\x7f", b"\xff",
          b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\xe2\x80\x8b", b"\xe2\x81\xa6", b"\xf4\x90\x80\x80", b",", b";", b"{", b"}",
          b"</script>", b"$(id)", b"`id`", b"%s%n", b"a", b"name", b"\xc3\xa4", b"\xf0\x9f\x98\x80", b" ", b"=1+1", b"\x01", b"#", b"\b"]


def promtool(text):
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    return done.returncode, (done.stdout + done.stderr).decode()


class Names(unittest.TestCase):
    """Processes whose names and arguments are made to break whoever shows them."""

    @classmethod
    def setUpClass(cls):
        dice = random.Random(1)
        cls.agent = Agent(programs=only("process", "connection", "packet_drop")).start()
        try:
            pids, cls.names = [], {}
            port = socket.socket()
            port.bind(("127.0.0.1", 0))
            number = port.getsockname()[1]
            port.close()
            for _ in range(NAMES):
                name = b"".join(dice.choices(PIECES, k=dice.randint(1, 6))).replace(b"\0", b"")[:15] or b"?"
                word = b"".join(dice.choices(PIECES, k=dice.randint(0, 12))).replace(b"\0", b"")
                pid = os.fork()
                if not pid:
                    try:
                        with open("/proc/self/comm", "wb") as f:
                            f.write(name)
                        with socket.socket() as s:
                            s.connect_ex(("127.0.0.1", number))  # a `fail` with this name
                        os.execv("/bin/true", [name, word])
                    finally:
                        os._exit(1)
                cls.names[pid] = name, word
                pids.append(pid)
                if len(pids) == 20:
                    while pids:
                        os.waitpid(pids.pop(), 0)
            cls.port = number
            cls.agent.settle()
        except BaseException:
            cls.agent.__exit__(AssertionError)
            raise

    @classmethod
    def tearDownClass(cls):
        cls.agent.__exit__()

    def test_json(self):
        """Each line is one object; the name is the one that the process gave itself, byte by byte where it is valid."""
        where = "remote_port = %d" % self.port
        lines = self.agent.cli("events", "connection", "-w", where, "-o", "json").stdout
        events = [json.loads(line) for line in lines.decode("utf-8").split("\n")[:-1]]
        self.assertEqual(len(events), NAMES)
        right = 0
        for e in events:
            name = self.names[e["pid"]][0]
            try:
                text = name.decode("utf-8")
            except UnicodeDecodeError:
                continue  # shown somehow, and the line parsed
            self.assertEqual(e["command"].encode(), text.encode(), name)
            right += 1
        self.assertGreater(right, NAMES / 10)
        self.assertNotRegex(lines, rb"[\x00-\x09\x0b-\x1f\x7f]")

    def test_arguments(self):
        seen = 0
        for e in self.agent.events("process", where="kind = exec and path ~ /true"):
            if e["pid"] in self.names:
                name, word = self.names[e["pid"]]
                self.assertEqual(e["arguments_bytes"], len(name) + len(word) + 2)
                seen += 1
        self.assertEqual(seen, NAMES)

    def test_csv(self):
        for type, least in (("connection", NAMES), ("process", 3 * NAMES)):
            text = self.agent.cli("events", type, "-o", "csv").stdout
            rows = list(csv.reader(io.StringIO(text.decode("utf-8"), newline=""), strict=True))
            self.assertEqual({len(row) for row in rows}, {len(rows[0])})
            self.assertGreater(len(rows), least)

    def test_table(self):
        for arguments in (["events", "-n", "100000"], ["events", "process", "-n", "100000"], ["summary"],
                          ["count", "--by", "command", "-n", "10000"], ["count", "process", "--by", "arguments", "-n", "10000"],
                          ["events", "connection", "-n", "100000", "--color", "never"], ["status"], ["programs"]):
            text = self.agent.cli(*arguments).stdout
            self.assertNotRegex(text, rb"[\x00-\x09\x0b-\x1f\x7f]", arguments)
            shown = text.decode("utf-8")
            self.assertFalse(set(shown) & set("\u0080\u0085\u009b\u202e\u2066\u200b"), arguments)

    def test_sql(self):
        done = self.agent.cli("sql", "SELECT command, arguments FROM process", "-o", "json", "-n", "10000")
        self.assertGreater(len([json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]), 3 * NAMES)

    def sql(self, statement):
        return [json.loads(line) for line in self.agent.cli("sql", statement, "-o", "json").stdout.decode().split("\n")[:-1]]

    def test_sql_finds_all_names(self):
        """Whatever bytes a name has, LIKE and GLOB do not pass over it, and it is told safely in every form."""
        own = "FROM connection WHERE kind = 'fail' AND remote_port = %d" % self.port
        self.assertEqual(self.sql("SELECT count(*) AS n %s AND command LIKE '%%'" % own), [{"n": NAMES}])
        expected = sum(name.startswith(b"name") for name, _ in self.names.values())
        self.assertEqual(self.sql("SELECT count(*) AS n %s AND command GLOB 'name*'" % own), [{"n": expected}])
        shown = self.sql("SELECT pid, command, length(command) AS n %s AND command LIKE '%%n%%' ORDER BY command" % own)
        self.assertEqual({e["pid"] for e in shown}, {pid for pid, (name, _) in self.names.items() if b"n" in name})
        for e in shown:
            name = self.names[e["pid"]][0]
            if name.decode("utf-8", "replace").encode() == name:
                self.assertEqual((e["command"].encode(), e["n"]), (name, len(name.decode())))
        self.assertTrue(self.sql("SELECT json_group_array(command) AS names FROM (SELECT command %s LIMIT 200)" % own))
        for form in ("csv", "table"):
            text = self.agent.cli("sql", "SELECT command " + own, "-o", form, "-n", "10000").stdout.decode("utf-8")
            self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f-\x9f]" if form == "table" else "\x00", form)
        body = self.agent.api("/api/v1/sql?limit=10000", "POST", "SELECT command " + own).body
        self.assertNotRegex(body, rb"[\x00-\x09\x0b-\x1f\x7f]")
        self.assertEqual(len(json.loads(body.decode("utf-8"))["rows"]), NAMES)

    def test_api(self):
        self.assertGreaterEqual(len(self.agent.events("process")), 3 * NAMES)
        for path in ("/api/v1/summary", "/api/v1/count?group_by=command&limit=10000", "/api/list-connections?limit=1000",
                     "/api/events?limit=10000"):
            self.assertTrue(self.agent.get(path))

    def test_metrics(self):
        code, said = promtool(self.agent.metrics().body)
        self.assertEqual((code, said), (0, ""))

    def test_filter_by_hostile_name(self):
        for name in (b"\x1b[31m", b'"', b"name\n", b"a'b"):
            found = self.agent.count("connection", command=name.decode())["count"]
            self.assertEqual(found, sum(given == name for given, _ in self.names.values()))


class Http(unittest.TestCase):
    def test_bodies_and_codes(self):
        with Agent(programs=only("process"), ready=False) as agent:
            seen = []

            def started():
                try:
                    answer = agent.health("/readiness")
                except OSError:
                    return False
                seen.append((answer.status, answer.text))
                return answer.status == 200
            wait_for(started, "ready")
            agent.note_ids()
            self.assertEqual(seen[-1], (200, "Ready"))
            self.assertTrue(all(code in (200, 503) for code, _ in seen))
            answer = agent.health("/liveness")
            self.assertEqual((answer.status, answer.text), (200, "OK"))
            answer = agent.health("/health")
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["Content-Type"], "application/json")
            body = answer.json
            self.assertEqual((body["ready"], body["alive"], body["status"]), (True, True, "healthy"))
            self.assertAlmostEqual(body["timestamp"], time.time(), delta=60)
            self.assertEqual(agent.health("/metrics").status, 404)
            self.assertEqual(agent.tcp("metrics", "/health").status, 404)
            self.assertEqual(agent.tcp("health", "/health", "POST").status, 405)
            done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                                   "http://127.0.0.1:%d/readiness" % agent.ports["health"]], capture_output=True, text=True)
            self.assertEqual(done.stdout, "200")

    def test_metrics_in_both_formats(self):
        with Agent() as agent:
            subprocess.run([GENERATE, "udp", "127.0.0.1", str(agent.ports["api"]), "10"], capture_output=True)
            agent.settle()
            plain = agent.metrics()
            self.assertIn("version=0.0.4", plain.headers["Content-Type"])
            self.assertEqual(promtool(plain.body), (0, ""))
            self.assertRegex(plain.text, r'\nsonde_packet_drops_total\{reason="NO_SOCKET",class="application",interface="lo"\} [1-9]')
            open_metrics = agent.metrics("application/openmetrics-text;version=1.0.0")
            self.assertIn("application/openmetrics-text", open_metrics.headers["Content-Type"])
            self.assertTrue(open_metrics.text.endswith("# EOF\n"))
            self.check_open_metrics(open_metrics.text)

    def check_open_metrics(self, text):
        """promtool reads this format only to import it, and then each sample needs a time."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "text")
            with open(path, "w") as f:
                f.write("".join(l if l.startswith("#") else l.rstrip("\n") + " 1600000000\n" for l in text.splitlines(True)))
            done = subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", path, os.path.join(directory, "out")],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_silent_and_slow_clients(self):
        """200 connections that say nothing or half a request hold nothing up."""
        with Agent(programs=flood()) as agent:
            idle = []
            try:
                for i in range(200):
                    for name in ("health", "api", "metrics"):
                        s = socket.socket()
                        s.settimeout(5)
                        try:
                            s.connect(("127.0.0.1", agent.ports[name]))
                            if i % 2:
                                s.sendall(b"GET /health HTTP/1.1\r\nHost: local")
                        except OSError:
                            pass
                        idle.append(s)
                run(load(10000))
                for _ in range(20):
                    self.assertEqual(agent.health(timeout=10).status, 200)
                    self.assertEqual(agent.health("/liveness", timeout=10).status, 200)
                    self.assertEqual(agent.metrics().status, 200)
                self.assertEqual(agent.api("/api/v1/status").status, 200)
                self.assertEqual(agent.settle("flood")["flood"]["stored"], 10000)
            finally:
                for s in idle:
                    s.close()

    def test_stream_client_that_never_reads(self):
        """The stream of a client that stands still is its own loss; the store has everything."""
        with Agent(programs=flood(ring_bytes="64MiB")) as agent:
            with socket.socket(socket.AF_UNIX) as silent:
                silent.connect(agent.socket)
                silent.sendall(b"GET /api/v1/stream?type=flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertIn(b"200", silent.recv(64))
                run(load(300000))
                ledger = agent.settle("flood")["flood"]
            self.assertEqual((ledger["entered"], ledger["stored"]), (300000, 300000))

    def test_follow(self):
        """`events -f` shows what happens from then on, each once."""
        with Agent(programs=flood()) as agent:
            follow = subprocess.Popen([SONDE, "events", "flood", "-f", "-o", "json", "--socket", agent.socket],
                                      stdout=subprocess.PIPE, text=True)
            try:
                numbers = []
                wait_for(lambda: "\nsonde_streams 1\n" in agent.metrics().text, "the stream is open")
                process = load(1000, 1000)
                limit = threading.Timer(60, follow.kill)
                limit.start()
                for line in follow.stdout:
                    numbers.append(json.loads(line)["number"])
                    if numbers[-1] == 999:
                        break
                limit.cancel()
                run(process)
            finally:
                follow.send_signal(signal.SIGINT)
                follow.wait(10)
                follow.stdout.close()
            self.assertEqual(numbers, list(range(1000)))

    def test_bad_parameters(self):
        with Agent(programs=only("process")) as agent:
            for query, name in (("limit=many", "limit"), ("limit=0", "limit"), ("since=yesterday", "since"), ("type=nothing", "type"),
                                ("colour=red", "colour"), ("where=pid+%3D", "where"), ("cursor=xyz", "cursor"), ("pid=-1", "pid")):
                answer = agent.api("/api/v1/events?" + query)
                self.assertIn(answer.status, (400, 404), query)
                self.assertTrue(answer.json["error"])
                self.assertIn(name, answer.text, query)
            self.assertEqual(agent.api("/api/v1/nothing").status, 404)
            self.assertEqual(agent.api("/api/v1/events", "DELETE").status, 405)
            self.assertEqual(agent.api("/api/v1/sql", "POST", "DROP TABLE process").status, 400)
            # A page in a browser, under a name of its own, gets nothing from the port.
            self.assertEqual(agent.tcp("api", "/api/v1/events", headers={"Host": "evil.example"}).status, 403)

    def test_stopped_worker(self):
        """A worker that makes no progress is replaced, and what waited in the rings is not lost."""
        with Agent(programs=flood(ring_bytes="64MiB")) as agent:
            run(load(1000))
            worker = agent.worker_pid()
            agent.worker_may_die = True
            os.kill(worker, signal.SIGSTOP)
            run(load(1000))
            wait_for(lambda: worker not in agent.children(), "the loader ends it", 60, 0.2)
            wait_for(agent.is_ready, "ready again", 20)
            ledger = agent.settle()["flood"]
            self.assertEqual((ledger["entered"], ledger["stored"]), (2000, 2000))
            self.assertEqual(agent.count("flood")["count"], 2000)
            self.assertIn("no progress", agent.log())


class Windows(unittest.TestCase):
    def setUp(self):
        """A name of its own: others on this machine may run `generate` too."""
        directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        self.addCleanup(directory.cleanup)
        self.name = "windows%d" % (os.getpid() % 10000000)
        self.generate = os.path.join(directory.name, self.name)
        os.symlink(GENERATE, self.generate)

    def test_true_windows(self):
        """What is older than the window is not in the answer, on any route."""
        with Agent(programs=only("connection")) as agent:
            pid = self.connects(10)
            agent.settle()
            wait_for(lambda: agent.count("connection", pid=pid)["count"] == 10, "the first ten")
            middle = time.time()
            time.sleep(3)
            pid2 = self.connects(5)
            wait_for(lambda: agent.count("connection", pid=pid2)["count"] == 5, "the other five")
            agent.settle()
            for since, count in (("1h", 15), ("%.3f" % middle, 5)):
                self.assertEqual(agent.count("connection", command=self.name, since=since)["count"], count, since)
                summary = agent.get("/api/v1/summary", type="connection", command=self.name, since=since)
                self.assertEqual(summary["types"]["connection"]["count"] if isinstance(summary["types"], dict)
                                 else summary["types"][0]["count"], count)
            self.assertEqual(agent.count("connection", command=self.name, until="%.3f" % middle, since="1h")["count"], 10)
            body = json.dumps({"command": self.name, "duration": 3600})
            answer = agent.api("/api/connection-summary", "POST", body, {"Content-Type": "application/json"})
            self.assertEqual((answer.status, answer.json["total_attempts"]), (200, 15))
            span = int(time.time() - middle)
            body = json.dumps({"pid": pid, "duration": max(span, 1)})
            answer = agent.api("/api/connection-summary", "POST", body, {"Content-Type": "application/json"})
            self.assertEqual(answer.json["total_attempts"], 0, answer.text)
            answer = agent.get("/api/list-connections", pid=pid)
            self.assertEqual(len(answer["connections"][str(pid)]), 10)
            for body in ({"duration": 10}, {"pid": 1, "command": "x"}, {"pid": pid, "duration": 0}, {"pid": pid, "duration": 3601}):
                answer = agent.api("/api/connection-summary", "POST", json.dumps(body), {"Content-Type": "application/json"})
                self.assertEqual(answer.status, 400, body)
            self.assertEqual(agent.api("/api/connection-summary").status, 405)

    def connects(self, count):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        client = subprocess.Popen([self.generate, "tcp", "127.0.0.1", str(port), str(count)], stdout=subprocess.DEVNULL)
        client.wait()
        return client.pid


class Retention(unittest.TestCase):
    def test_size(self):
        """The oldest events go first, are counted as expired, and an answer that asks for them says so."""
        with Agent(programs=flood(ring_bytes="64MiB"), store={"path": "memory", "max_bytes": "1MiB"}) as agent:
            for _ in range(8):
                run(load(300000))
                agent.settle()
            self.assertLessEqual(agent.status()["store"]["bytes"], 1 << 20)
            ledger = agent.settle()["flood"]
            self.assertEqual((ledger["entered"], ledger["stored"]), (2400000, 2400000))
            self.assertGreater(ledger["expired"], 0)
            self.assertGreater(ledger["readable"], 50000)
            self.assertEqual(ledger["readable"] + ledger["expired"], 2400000)
            answer = agent.count("flood", since="1h")
            self.assertFalse(answer["complete"])
            newest = agent.get("/api/v1/events", type="flood", limit=1)["events"][0]
            self.assertEqual(newest["number"], 299999)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
