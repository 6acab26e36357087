# SPDX-License-Identifier: Apache-2.0
"""One broken program leaves the others alone, and is named; a required one ends the agent."""
import json
import os
import platform
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import BUILT_IN, FLOOD, ROOT, SONDE, TAG, Agent, flood, load, only, run, wait_for  # noqa: E402


def setUpModule():
    """Objects that are broken in different ways."""
    global directory, broken
    directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
    broken = {name: os.path.join(directory.name, name + ".bpf.o") for name in ("truncated", "text", "empty", "refused")}
    with open(FLOOD, "rb") as f, open(broken["truncated"], "wb") as t:
        t.write(f.read()[:2000])
    with open(broken["text"], "w") as f:
        f.write("this is no object\n" * 100)
    open(broken["empty"], "w").close()
    broken["absent"] = os.path.join(directory.name, "absent.bpf.o")
    broken["directory"] = directory.name
    subprocess.run([os.path.join(ROOT, "tools", "build-bpf.sh"), os.path.join(ROOT, "tests", "refused", "refused.bpf.c"),
                    broken["refused"], os.path.join(directory.name, "refused.d"), platform.machine()], check=True,
                   capture_output=True)


def tearDownModule():
    directory.cleanup()


class Isolation(unittest.TestCase):
    def check(self, agent, name):
        """The agent is degraded by `name` only, says so everywhere, and delivers the rest."""
        health = agent.health()
        self.assertEqual(health.status, 200)
        self.assertEqual((health.json["status"], health.json["ready"], health.json["alive"]), ("degraded", True, True))
        self.assertIn(name, health.json["reason"])
        failed = {p["name"]: p["reason"] for p in health.json["programs"] if p["state"] == "failed"}
        self.assertEqual(list(failed), [name], health.text)
        self.assertGreater(len(failed[name]), 10)
        self.assertEqual(agent.health("/readiness").status, 200)
        self.assertEqual(agent.health("/liveness").status, 200)
        program = agent.get("/api/v1/programs/" + name)
        self.assertEqual((program["state"], program["reason"]), ("failed", failed[name]))
        self.assertIn(name, agent.log())
        self.assertIn(b"failed", agent.cli("programs").stdout)
        run(load(1000))
        self.assertEqual(agent.settle("flood")["flood"]["stored"], 1000)
        return failed[name]

    def one(self, name):
        with Agent(programs=flood() | {name: {"object": broken[name]}}) as agent:
            return self.check(agent, name)

    def test_truncated(self):
        self.one("truncated")

    def test_text(self):
        self.one("text")

    def test_empty(self):
        self.one("empty")

    def test_absent(self):
        self.assertRegex(self.one("absent"), "[Nn]o such file|not found|cannot open|ENOENT")

    def test_directory(self):
        self.one("directory")

    def test_refused_by_the_verifier(self):
        self.one("refused")

    def test_all_at_once_beside_the_built_in(self):
        """By --program too: the name is the file's."""
        programs = {name: {"object": path} for name, path in broken.items() if name != "text"}
        programs["flood"] = {"object": FLOOD, "settings": {"tag": TAG}}
        with Agent(programs=programs, arguments=["--program", broken["text"]]) as agent:
            states = {p["name"]: p["state"] for p in agent.get("/api/v1/programs")["programs"]}
            self.assertEqual({name: states[name] for name in broken}, {name: "failed" for name in broken})
            self.assertEqual({name for name, state in states.items() if state == "failed"}, set(broken))
            self.assertLessEqual({"flood", "connection", "packet_drop", "process"},
                                 {name for name, state in states.items() if state == "running"})
            for name in broken:
                self.assertIn(name, agent.health().json["reason"])
            run(load(1000))
            self.assertEqual(agent.settle("flood")["flood"]["stored"], 1000)
            child = subprocess.Popen(["/bin/true"])
            child.wait()
            wait_for(lambda: agent.count("process", pid=child.pid)["count"] == 3, "the process is seen")

    def test_required(self):
        """A required program that cannot run ends the agent: 1, and it was never ready."""
        for name in ("text", "refused"):
            agent = Agent(programs=only(**{name: {"object": broken[name], "required": True}}), ready=False)
            with agent:
                seen = []
                wait_for(lambda: agent.loader.poll() is not None or seen.append(agent.is_ready()), "it ends")
                self.assertEqual(agent.loader.returncode, 1, agent.log())
                self.assertNotIn(True, seen)
                self.assertIn(name, agent.log())
                self.assertNotIn("ready:", agent.log())

    def test_required_and_well(self):
        with Agent(programs=only(flood={"object": FLOOD, "required": True})) as agent:
            self.assertEqual(agent.health().json["status"], "healthy")

    def test_own_program_by_the_command_line(self):
        with Agent(programs=only(), arguments=["--program", FLOOD]) as agent:
            states = {p["name"]: p["state"] for p in agent.get("/api/v1/programs")["programs"]}
            self.assertEqual({name for name, state in states.items() if state == "running"}, {"flood"})

    def test_check_names_what_does_not_work(self):
        done = subprocess.run([SONDE, "check", "--json"], capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        names = {p["name"]: p for p in answer["programs"]}
        self.assertEqual(set(names), set(BUILT_IN))
        for p in names.values():
            self.assertTrue(p["hooks"] and all(h["attached"] or h["reason"] for h in p["hooks"]), p)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
