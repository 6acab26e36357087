# SPDX-License-Identifier: Apache-2.0
"""The agent's life: rights, order of a shutdown, programs started and stopped, configuration."""
import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import BUILT_IN, FLOOD, SONDE, TAG, Agent, flood, load, only, rows, run, running, wait_for  # noqa: E402


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def inodes_of(pid):
    """Of the sockets that a process holds."""
    links = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
    return {l[8:-1] for l in links if l.startswith("socket:[")}


def listening():
    """Inodes of all listening TCP and unix sockets of this network namespace."""
    found = set()
    for name in ("tcp", "tcp6"):
        with open("/proc/net/" + name) as f:
            found |= {words[9] for words in map(str.split, f) if words[3] == "0A"}
    with open("/proc/net/unix") as f:
        found |= {words[6] for words in map(str.split, f) if words[3] == "00010000"}
    return found


def thread_ids(pid):
    return map(int, os.listdir("/proc/%d/task" % pid))


class Privileges(unittest.TestCase):
    def test_worker_has_none(self):
        with Agent() as agent:
            worker = agent.worker_pid()
            for thread in thread_ids(worker):
                status = status_of(thread)
                self.assertEqual({name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")},
                                 dict.fromkeys(("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"), 0))
                self.assertEqual(status["NoNewPrivs"], "1")
                for kind in ("Uid", "Gid"):
                    ids = set(status[kind].split())
                    self.assertEqual(len(ids), 1)
                    self.assertNotIn("0", ids)
                self.assertEqual(status["Groups"].strip(), "")
            # Who runs with the worker's rights cannot read what is root's, nor its memory.
            owner = os.stat("/proc/%d/status" % worker)
            ids = status_of(worker)
            uid, gid = int(ids["Uid"].split()[0]), int(ids["Gid"].split()[0])
            for path in ("/etc/shadow", "/proc/%d/mem" % worker, "/proc/%d/mem" % agent.pid):
                done = subprocess.run(["cat", path], user=uid, group=gid, extra_groups=[], capture_output=True)
                self.assertIn(b"Permission denied", done.stderr, path)
            self.assertEqual(owner.st_uid, 0)  # not dumpable: no one of its user may attach to it

    def test_loader_does_not_listen(self):
        with Agent() as agent:
            listen = listening()
            self.assertFalse(inodes_of(agent.pid) & listen)
            self.assertGreaterEqual(len(inodes_of(agent.worker_pid()) & listen), 4)

    def test_socket_mode(self):
        with Agent(programs=only()) as agent:
            self.assertEqual(os.stat(agent.socket).st_mode & 0o777, 0o660)
            self.assertEqual(os.stat(agent.store).st_mode & 0o007, 0)


class Shutdown(unittest.TestCase):
    def rows(self, agent):
        return rows(agent.store, "SELECT count(*), count(DISTINCT number), min(number), max(number) FROM flood")[0]

    def under_load(self, signal_number):
        """What entered before the hooks went off is in the store, without a hole."""
        with Agent(programs=flood(ring_bytes="64MiB")) as agent:
            process = load(10000000, 50000)
            try:
                wait_for(lambda: agent.ledger("flood")["stored"] > 50000, "load is stored")
                answers, done = [], threading.Event()

                def watch():
                    while not done.is_set():
                        try:
                            answers.append(agent.health("/readiness").status)
                        except OSError:
                            answers.append(0)

                watcher = threading.Thread(target=watch)
                watcher.start()
                self.assertEqual(agent.stop(signal_number), 0, agent.log())
                done.set()
                watcher.join()
            finally:
                process.kill()
                process.wait()
            count, distinct, smallest, largest = self.rows(agent)
            self.assertGreater(count, 50000)
            self.assertEqual((distinct, smallest, largest), (count, 0, count - 1))
            # Never ready again once it was not.
            seen = re.sub("(.)\\1+", "\\1", "".join({200: "r", 503: "n", 0: "x"}[a] for a in answers))
            self.assertRegex(seen, "^r?n?x?$")
            self.assertNotIn("ended by signal", agent.log())

    def test_sigterm(self):
        self.under_load(signal.SIGTERM)

    def test_sigint(self):
        self.under_load(signal.SIGINT)

    def test_all_of_a_finished_load(self):
        """Everything that entered is there after the end, whatever had not been stored when it came."""
        with Agent(programs=flood(ring_bytes="256MiB"), shutdown_timeout="60s") as agent:
            run(load(500000))
            self.assertEqual(agent.stop(limit=60), 0)
            self.assertEqual(self.rows(agent), (500000, 500000, 0, 499999))

    def test_not_ready_while_it_ends(self):
        """A store that another program keeps locked holds the end up for a while: until then the agent answers, not ready."""
        with Agent(programs=flood(), store={"max_bytes": "8MiB"}) as agent:
            with contextlib.closing(sqlite3.connect(agent.store, isolation_level=None)) as lock:
                lock.execute("BEGIN IMMEDIATE")
                run(load(100000))
                agent.note_ids()
                agent.loader.send_signal(signal.SIGTERM)
                codes = set()

                def not_ready():
                    try:
                        answer = agent.health("/readiness")
                        codes.add(answer.status)
                        return answer.status == 503 and "stopping" in answer.text
                    except OSError:
                        return agent.loader.poll() is not None
                wait_for(not_ready, "not ready", 20)
                self.assertIn(503, codes)
                self.assertEqual(agent.loader.wait(60), 0)

    def test_twice(self):
        """A second signal does not break the order of the end."""
        with Agent(programs=flood(ring_bytes="64MiB"), shutdown_timeout="60s") as agent:
            run(load(300000))
            agent.note_ids()
            agent.loader.send_signal(signal.SIGTERM)
            agent.loader.send_signal(signal.SIGINT)
            self.assertEqual(agent.loader.wait(60), 0)
            self.assertEqual(self.rows(agent)[0], 300000)

    def test_restart_on_the_same_store(self):
        directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        with directory:
            for i in range(1, 4):
                with Agent(programs=flood(), directory=directory.name) as agent:
                    run(load(1000))
                    agent.settle()
                    self.assertEqual(agent.count("flood")["count"], 1000 * i)
                    answer = agent.count("flood", since="1h")
                    self.assertFalse(answer["complete"])
                    self.assertIn("nothing was recorded", answer["reason"])

    def test_two_agents_one_store(self):
        """The second does not touch the first one's file."""
        with Agent(programs=flood()) as first:
            second = Agent(programs=only(), store=first.store, ready=False)
            with second:
                wait_for(lambda: second.loader.poll() is not None or second.is_ready(), "the second says something")
                self.assertEqual(second.loader.poll(), 1, second.log())
                self.assertIn(first.store, second.log())
            run(load(1000))
            self.assertEqual(first.settle()["flood"]["stored"], 1000)


class Programs(unittest.TestCase):
    def test_stop_start_reload_beside_a_load(self):
        """One program comes and goes; the other loses nothing."""
        programs = {"flood": {"object": FLOOD, "ring_bytes": "64MiB", "settings": {"tag": TAG}}}
        with Agent(programs=programs) as agent:
            process = load(100000, 20000)
            states = lambda: {p["name"]: p["state"] for p in agent.get("/api/v1/programs")["programs"]}  # noqa: E731
            rounds = 0
            while process.poll() is None:
                agent.note_ids()
                agent.cli("programs", "stop", "process")
                self.assertEqual(states()["process"], "stopped")
                self.assertEqual(agent.health("/readiness").status, 200)
                answer = agent.api("/api/v1/programs/process/start", "POST")
                self.assertEqual((answer.status, answer.json["done"]), (200, True))
                self.assertEqual(states()["process"], "running")
                agent.cli("programs", "reload", "packet_drop")
                self.assertEqual(states()["packet_drop"], "running")
                rounds += 1
            run(process)
            self.assertGreater(rounds, 0)
            ledger = agent.settle()["flood"]
            self.assertEqual((ledger["entered"], ledger["stored"]), (100000, 100000))
            child = subprocess.Popen(["/bin/true"])
            child.wait()
            wait_for(lambda: agent.count("process", pid=child.pid)["count"] == 3, "processes are seen again")

    def test_stopped_program_sees_nothing_and_says_so(self):
        with Agent(programs=flood()) as agent:
            run(load(100))
            agent.settle()
            before = time.time()
            agent.cli("programs", "stop", "flood")
            run(load(100))
            wait_for(lambda: not agent.count("flood", since=str(before))["complete"], "the next commit")
            meanwhile = agent.count("flood", since=str(before))
            self.assertRegex(meanwhile["reason"], r"^flood did not run .stopped. since \d\d:\d\d:\d\d UTC$")
            self.assertEqual((meanwhile["count"], meanwhile["complete"]), (0, False))
            agent.cli("programs", "start", "flood")
            after = time.time()
            self.assertFalse(agent.count(since=str(before))["complete"], "of all types too")
            self.assertTrue(agent.count("flood", until=str(before), since=str(before - 0.1))["complete"])
            run(load(100))
            wait_for(lambda: agent.count("flood", since=str(after))["complete"], "the next commit")
            self.assertTrue(agent.count(since=str(after))["complete"], "the others are off, as was wanted")
            wait_for(lambda: agent.count("flood")["count"] >= 200, "200 events")
            agent.settle()
            self.assertEqual(agent.count("flood")["count"], 200)

    def test_wrong_requests(self):
        with Agent(programs=only("process")) as agent:
            for verb in ("start", "stop", "reload"):
                answer = agent.api("/api/v1/programs/nothing/%s" % verb, "POST")
                self.assertEqual((answer.status, answer.json["error"]), (404, "not_found"))
            self.assertEqual(agent.api("/api/v1/programs/nothing").status, 404)
            self.assertEqual(agent.api("/api/v1/programs/process/start", "POST").status, 409)
            self.assertEqual(agent.api("/api/v1/programs/process/stop", "POST").status, 200)
            self.assertEqual(agent.api("/api/v1/programs/process/stop", "POST").status, 409)
            self.assertEqual(agent.api("/api/v1/programs/process/start").status, 405)
            self.assertEqual(agent.api("/api/v1/programs/process/explode", "POST").status, 404)
            done = agent.cli("programs", "start", "nothing", check=False)
            self.assertEqual((done.returncode, done.stderr),
                             (1, b"sonde: nothing: there is no such program: 'sonde programs' lists them\n"))
            self.assertIn(b"there is no program 'nothing'", agent.cli("programs", "show", "nothing", check=False).stderr)
            self.assertEqual(agent.cli("programs", "explode", "process", check=False).returncode, 2)

    def test_stop_with_a_dying_worker(self):
        """The request ends, whatever happens to the worker meanwhile, and the agent goes on."""
        with Agent(programs=only("process")) as agent:
            agent.worker_may_die = True
            for _ in range(5):
                worker = agent.worker_pid()
                request = subprocess.Popen([SONDE, "programs", "reload", "process", "--socket", agent.socket],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                os.kill(worker, signal.SIGKILL)
                request.wait(30)
                wait_for(lambda: worker not in agent.children() and agent.is_ready(), "ready again")
                agent.note_ids()
            wait_for(lambda: agent.get("/api/v1/programs/process")["state"] == "running", "it runs")
            child = subprocess.Popen(["/bin/true"])
            child.wait()
            wait_for(lambda: agent.count("process", pid=child.pid)["count"] == 3, "processes are seen")


class Configuration(unittest.TestCase):
    def refused(self, text, line, column, *words):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(text)
            f.flush()
            for command in (["run"], ["config"]):
                done = subprocess.run([SONDE, *command, "-c", f.name], capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("%s:%d:%d: " % (f.name, line, column), done.stderr)
                for word in words:
                    self.assertIn(word, done.stderr)

    def test_wrong_key(self):
        self.refused("log_level: info\nsotre:\n  path: memory\n", 2, 1, "sotre")

    def test_wrong_value(self):
        self.refused("store:\n  max_bytes: many\n", 2, 14, "many", "max_bytes")
        self.refused("log_level: loud\n", 1, 12, "loud", "debug")
        self.refused("programs:\n  process:\n    enabled: perhaps\n", 3, 14, "perhaps")
        self.refused("programs:\n  process:\n    ring_bytes: 5000\n", 3, 17, "power of two")

    def test_wrong_yaml(self):
        self.refused('store:\n  path: "x\n', 3, 1, "not YAML")
        self.refused("store: [memory]\n", 1, 8, "section")

    def test_unknown_program(self):
        self.refused("programs:\n  no_such_program:\n    enabled: true\n", 2, 3, "no_such_program")

    def test_wrong_setting(self):
        """Of a built-in program, also of one that is disabled: the file is wrong."""
        def file(program, setting):
            return "programs:\n  %s:\n    enabled: false\n    settings:\n      %s\n" % (program, setting)

        self.refused(file("process", "colour: 5"), 5, 7, "there is no setting 'colour'")
        self.refused(file("flow", "only_port_1: 70000"), 5, 20, "the value 70000", "0 to 65535")
        self.refused(file("dns", "port: 0"), 5, 13, "1 to 65535")
        self.refused(file("packet_drop", "benign: 2"), 5, 15, "false or true")
        self.refused(file("file", "update_interval_ns: 1us"), 5, 27, "1ms to 1d")
        self.refused(file("syscall", "pid: lo"), 5, 12, "bad value 'lo' of pid")

    def test_disabled_program(self):
        with Agent(programs=only("packet_drop")) as agent:
            states = {p["name"]: p["state"] for p in agent.get("/api/v1/programs")["programs"]}
            self.assertEqual(states, {name: "running" if name == "packet_drop" else "disabled" for name in BUILT_IN})
            self.assertEqual(agent.health().json["status"], "healthy")
            self.assertEqual(list(agent.get("/api/v1/ledger")["ledger"]), ["packet_drop"])

    def test_setting(self):
        """update_interval_ns of connection: a connection that lives says so at each interval."""
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            with Agent(programs=only("connection", connection={"settings": {"update_interval_ns": "500ms"}})) as agent, \
                    socket.create_connection(server.getsockname()) as client, server.accept()[0]:
                where = "kind = update and local_port = %d" % client.getsockname()[1]
                wait_for(lambda: agent.count("connection", where=where)["count"] >= 4, "four updates", 29)  # by default they take longer

    def test_listen_off(self):
        with Agent(programs=only(), listen={"metrics": "", "api": ""}) as agent:
            for name in ("metrics", "api"):
                with self.assertRaises(ConnectionRefusedError):
                    agent.tcp(name, "/")
            self.assertEqual(agent.health().status, 200)

    def test_port_taken(self):
        """A face that cannot be opened ends the start with a message that names the address."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            with Agent(programs=only(), listen={"metrics": address}, ready=False) as agent:
                self.assertEqual(agent.loader.wait(60), 1)
                self.assertIn(address, agent.log())

    def test_reload(self):
        with Agent(programs=only()) as agent:
            self.assertEqual(agent.cli("reload").returncode, 0)
            with open(agent.file, "a") as f:
                f.write("nonsense: 1\n")
            done = agent.cli("reload", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"nonsense", done.stderr)
            self.assertEqual(agent.health().json["status"], "healthy")
            agent.loader.send_signal(signal.SIGHUP)
            wait_for(lambda: "nonsense" in agent.log(), "the log says it")
            self.assertTrue(running(agent.pid) and agent.is_ready())

    def test_directory_of_another(self):
        """A directory that the worker cannot use is named, with what to do, before anything is attached."""
        with tempfile.TemporaryDirectory(prefix="sonde-test-") as directory:
            os.chown(directory, 12345, 12345)
            for options in ({"store": os.path.join(directory, "events.db")},
                            {"listen": {"socket": os.path.join(directory, "sonde.sock")}}):
                with Agent(programs=only(), ready=False, **options) as agent:
                    self.assertEqual(agent.loader.wait(60), 1)
                    self.assertIn("'%s'" % directory, agent.log())
                    self.assertIn("install -d", agent.log())
            self.assertEqual(os.listdir(directory), [])

    def test_directory_of_root(self):
        """What mktemp -d made serves; the worker gets no right to the files of others in it."""
        with tempfile.TemporaryDirectory(prefix="sonde-test-") as directory:
            other = os.path.join(directory, "other")
            with open(other, "w") as f:
                f.write("secret")
            os.chmod(other, 0o600)
            with Agent(programs=flood(), store=os.path.join(directory, "events.db")) as agent:
                run(load(1000))
                agent.settle()
                agent.worker_may_die = True
                worker = agent.worker_pid()
                uid = int(status_of(worker)["Uid"].split()[0])
                os.kill(worker, signal.SIGKILL)
                wait_for(lambda: worker not in agent.children() and agent.is_ready(), "ready again")
                run(load(1000))
                agent.settle()
                self.assertEqual(agent.count("flood")["count"], 2000)
                for command in (["cat", other], ["rm", "-f", other], ["mv", other, other + ".moved"]):
                    done = subprocess.run(command, user=uid, group=uid, extra_groups=[], capture_output=True)
                    self.assertNotEqual(done.returncode, 0, command)
            with open(other) as f:
                self.assertEqual(f.read(), "secret")


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
