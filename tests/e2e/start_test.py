# SPDX-License-Identifier: Apache-2.0
"""A start with something wrong in it: an object, a name, an interface, a setting. One program pays for it, or the file is refused."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import FLOOD, SONDE, Agent, build_object, only, own_network, wait_for, yaml  # noqa: E402


def setUpModule():
    own_network()


class Start(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        self.addCleanup(self.directory.cleanup)
        self.programs_d = os.path.join(self.directory.name, "programs.d")
        os.mkdir(self.programs_d, 0o755)

    def put(self, name, source=FLOOD):
        return shutil.copy(source, os.path.join(self.programs_d, name))

    def states(self, agent):
        return {p["name"]: (p["state"], p["reason"]) for p in agent.get("/api/v1/programs")["programs"]}

    def config(self, programs):
        """What `sonde config` says of this file; exit code and text."""
        path = os.path.join(self.directory.name, "sonde.yaml")
        with open(path, "w") as f:
            f.write(yaml({"programs_directory": self.programs_d, "programs": programs}) + "\n")
        done = subprocess.run([SONDE, "config", "-c", path], capture_output=True, text=True, timeout=20)
        return done.returncode, (done.stdout + done.stderr).replace(path, "FILE")

    def refused(self, programs, *words):
        """`sonde config` and `sonde run` refuse this file, with the same words and by exit code 2."""
        code, said = self.config(programs)
        ran = subprocess.run([SONDE, "run", "-c", os.path.join(self.directory.name, "sonde.yaml"), "--store", "memory"],
                             capture_output=True, text=True, timeout=30)
        self.assertEqual((code, ran.returncode), (2, 2), said + ran.stderr)
        for word in words:
            self.assertIn(word, said)
            self.assertIn(word.replace("FILE", ""), ran.stderr)


class Objects(Start):
    def test_names_and_owners(self):
        """Every one that cannot be loaded is there with its reason; the others run."""
        for name in ("UPPER", "1x", "we ird", "a_name_that_is_longer_than_it_may_be", "file", "flood", "flood.v2", "open"):
            self.put(name + ".bpf.o")
        os.chmod(os.path.join(self.programs_d, "open.bpf.o"), 0o666)
        os.mkfifo(os.path.join(self.programs_d, "fifo.bpf.o"), 0o600)
        with Agent(programs=only("process"), programs_directory=self.programs_d) as agent:
            states = self.states(agent)
            self.assertEqual(states["process"][0], "running")
            self.assertEqual(states["flood"][0], "running")
            self.assertEqual(states["file"][0], "disabled")
            reasons = {"UPPER": "a program's name has a-z, 0-9 and _", "1x": "the first a letter", "we ird": "rename the file",
                       "a_name_that_is_longer_than_it_m": "at most 31", "file.bpf.o": "'file' is a built-in program",
                       "flood.v2.bpf.o": "'flood' is also the name of another file", "open": "is not root's alone",
                       "fifo": "it is no plain file"}
            for name, reason in reasons.items():
                self.assertEqual(states[name][0], "failed", name)
                self.assertIn(reason, states[name][1])
                self.assertIn(reason, agent.cli("programs", "show", name).stdout.decode())
            # What can be mended is tried again.
            os.chmod(os.path.join(self.programs_d, "open.bpf.o"), 0o644)
            again = agent.cli("programs", "start", "open", check=False)
            self.assertNotIn(b"root's", again.stderr)
            os.rename(os.path.join(self.programs_d, "UPPER.bpf.o"), os.path.join(self.directory.name, "gone"))
            agent.cli("reload")
            wait_for(lambda: self.states(agent)["UPPER"] == ("disabled", ""), "it is gone")
            self.put("LATER.bpf.o")
            agent.cli("reload")
            wait_for(lambda: self.states(agent)["LATER"][0] == "failed", "it is there and says why")
            self.assertEqual(self.states(agent)["flood"][0], "running")

    def test_directory_of_others(self):
        """Nothing in it is loaded, it says why, and everything else runs. Mended, it is taken at a reload."""
        self.put("flood.bpf.o")
        for spoil, mend in ((lambda: os.chmod(self.programs_d, 0o777), lambda: os.chmod(self.programs_d, 0o755)),
                            (lambda: os.chown(self.programs_d, 65534, 0), lambda: os.chown(self.programs_d, 0, 0))):
            spoil()
            remedy = "no program in it runs: '%s' is not root's alone: chown root:root and chmod go-w it, or move it" % self.programs_d
            self.assertIn("program directory:programs.d will not run: " + remedy, self.config({})[1])
            with Agent(programs=only("process"), programs_directory=self.programs_d) as agent:
                states = self.states(agent)
                self.assertEqual((states["directory:programs.d"], states["process"][0]), (("failed", remedy), "running"))
                self.assertNotIn("flood", states)
                self.assertIn("program directory:programs.d: " + remedy, agent.log())
                self.assertEqual(agent.health().json["reason"], "program directory:programs.d failed: " + remedy)
                self.assertIn(remedy, agent.cli("programs", "show", "directory:programs.d").stdout.decode())
                self.assertIn('sonde_program_state{program="directory:programs.d",state="failed"} 1', agent.metrics().text)
                mend()
                agent.cli("reload")
                wait_for(lambda: self.states(agent).get("flood", ("",))[0] == "running", "it is taken")
                wait_for(lambda: self.states(agent)["directory:programs.d"][0] == "disabled", "nothing is wrong with it")

    def test_config_tells_of_them(self):
        self.put("UPPER.bpf.o")
        code, said = self.config({"away": {"object": "/no/such/away.bpf.o"}})
        self.assertEqual(code, 0, said)
        self.assertIn("program UPPER will not run: a program's name has", said)
        self.assertIn("program away will not run: cannot read '/no/such/away.bpf.o'", said)

    def test_another_object_of_one_name(self):
        """Loaded anew, it is decoded as it now is."""
        def build(fields, code):
            return build_object(self.directory.name, "mine", SOURCE.replace('__u64 number SONDE_DOC("a number");', fields)
                                .replace("e->number = 1;", code) % {"event": "mine", "kind": "COUNTER", "metric": "mine_total"})

        one = '__u64 number SONDE_DOC("a number");'
        with Agent(programs=only(mine={"object": build(one, "e->number = 1;")})) as agent:
            def number_of(name):
                shutil.copy("/bin/true", os.path.join(self.directory.name, name))
                subprocess.run([os.path.join(self.directory.name, name)], check=True)
                agent.settle()
                return {e["number"] for e in agent.events("mine", command=name)}

            self.assertEqual(number_of("before"), {1})
            build('__u64 first SONDE_DOC("another number"); ' + one, "e->first = 7; e->number = 2;")
            agent.cli("programs", "reload", "mine")
            self.assertEqual(number_of("after"), {2})
            self.assertEqual(agent.ledger("mine")["invalid"], 0)
            agent.cli("programs", "reload", "mine")  # the same again
            self.assertEqual(number_of("again"), {2})

    def test_name_of_a_section(self):
        self.refused({"Mine": {"object": FLOOD}}, "FILE:3:3: bad name 'Mine' of a program; allowed is 1 to 31 of a-z, 0-9 and _")

    def test_on_the_command_line(self):
        for name, words in (("process", "there is already a program 'process'"), ("UPPER", "is no name for a program")):
            done = subprocess.run([SONDE, "run", "--store", "memory", "--program", self.put(name + ".bpf.o")],
                                  capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(words, done.stderr)

    def test_in_the_place_of_a_built_in(self):
        """A section says it on purpose."""
        with Agent(programs=only("process", process={"object": self.put("process.bpf.o")}),
                   programs_directory=self.programs_d) as agent:
            self.assertEqual([n for n, (state, _) in self.states(agent).items() if state == "running"], ["process"])
            self.assertIn("flood", [t["name"] for t in agent.get("/api/v1/schema")["types"]])


SOURCE = """
#include <sonde/sonde.bpf.h>
struct %(event)s { struct sonde_header header; __u64 number SONDE_DOC("a number"); };
SONDE_EVENT(%(event)s, "an event");
struct key { __u32 what SONDE_DOC("what"); };
struct { SONDE_METRIC_MAP(struct key, 8); } numbers SEC(".maps") SONDE_%(kind)s("%(metric)s", "numbers");
SEC("tp_btf/sched_process_exec")
int BPF_PROG(hook)
{
	struct %(event)s *e = sonde_reserve(%(event)s);

	if (!e)
		return 0;
	e->number = 1;
	sonde_submit(e);
	return 0;
}
"""


class Names(Start):
    def build(self, name, event, kind, metric):
        built = build_object(self.directory.name, name, SOURCE % {"event": event, "kind": kind, "metric": metric})
        return shutil.copy(built, self.programs_d)

    def test_of_others(self):
        """An own object with a name of another program or of the agent is refused, alone."""
        own = {"a_well": ("mine", "COUNTER", "mine_total", None),
               "b_event": ("control_group", "COUNTER", "b_total", "event 'control_group' belongs to program process"),
               "c_event": ("connection", "COUNTER", "c_total", "event 'connection' belongs to program connection"),
               "d_gauge": ("d", "GAUGE", "ready", "metric 'ready' belongs to the agent itself"),
               "e_counter": ("e", "COUNTER", "events_total", "metric 'events_total' belongs to the agent itself"),
               "f_event": ("mine", "COUNTER", "f_total", "event 'mine' belongs to program a_well"),
               "g_metric": ("g", "COUNTER", "mine_total", "metric 'mine_total' belongs to program a_well"),
               "h_metric": ("h", "COUNTER", "packet_drops_total", "metric 'packet_drops_total' belongs to program packet_drop")}
        for name, (event, kind, metric, reason) in own.items():
            self.build(name, event, kind, metric)
        with Agent(programs=only("process"), programs_directory=self.programs_d) as agent:
            states = self.states(agent)
            for name, (_, _, _, reason) in own.items():
                self.assertEqual(states[name][0], "failed" if reason else "running", states[name])
                self.assertIn(reason or "", states[name][1])
            self.assertEqual(states["process"][0], "running")
            self.assertEqual(sorted(t["name"] for t in agent.get("/api/v1/schema")["types"]), ["control_group", "mine", "process"])
        self.assertEqual(subprocess.run([SONDE, "check", os.path.join(self.programs_d, "d_gauge.bpf.o")], timeout=30,
                                        capture_output=True).returncode, 1)


class Interfaces(Start):
    def test_one_that_comes_later(self):
        """flow waits, and begins when its interface is there (again). More of this: clsact_test.py"""
        name = "sonde%d" % (os.getpid() % 1000000)
        flow = {"settings": {"interface_1": name}}
        self.assertEqual(self.config({"flow": flow}), (0, "FILE is right\n"))
        with Agent(programs=only("process", "flow", flow=flow)) as agent:
            for _ in range(2):
                waits = "running", "waits for the network interface '%s'" % name
                wait_for(lambda: self.states(agent)["flow"] == waits, "flow waits")
                self.assertEqual(self.states(agent)["process"], ("running", ""))
                subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", name + "p"], check=True)
                try:
                    wait_for(lambda: self.states(agent)["flow"] == ("running", ""), "flow has its hooks")
                    shown = agent.cli("programs", "show", "flow").stdout.decode()
                    self.assertRegex(shown, r"interface_1 +%s +0 " % name)
                    self.assertRegex(shown, r"update_interval_ns +10s +10s ")
                finally:
                    subprocess.run(["ip", "link", "del", name], check=True)

    def test_required(self):
        flow = {"required": True, "settings": {"interface_1": "sonde_no_such"}}
        with Agent(programs=only("flow", flow=flow), ready=False) as agent:
            self.assertEqual(agent.loader.wait(60), 1)
            self.assertIn("there is no network interface 'sonde_no_such'", agent.log())

    def test_twice(self):
        done = subprocess.run([SONDE, "trace", "flow", "--for", "1s", "--set", "interface_1=lo", "--set", "interface_3=1"],
                              capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("interface_1 and interface_3 are the same network interface 'lo'", done.stderr)


class Trace(Start):
    def trace(self, *arguments):
        done = subprocess.run([SONDE, "trace", "--for", "300ms", *arguments], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    def test_settings_of_several_programs(self):
        """Each gets those that it has; what none has is wrong, and so is a bad value."""
        code, said = self.trace("flow", "process", FLOOD, "--set", "interface_1=lo", "--set", "silent=1")
        self.assertEqual(code, 0, said)
        for words, said in ((("flow", "process", "--set", "nosuch=1"), "--set nosuch: none of these programs has such a setting"),
                            (("process", "--set", "nosuch=1"), "process: there is no setting 'nosuch'"),
                            (("flow", "process", "--set", "only_port_1=70000"), "flow: the value 70000"),
                            (("process", "--set", "pid=lo"), "bad value 'lo'")):
            code, answer = self.trace(*words)
            self.assertEqual(code, 2, answer)
            self.assertIn(said, answer)


if __name__ == "__main__":
    unittest.main()
