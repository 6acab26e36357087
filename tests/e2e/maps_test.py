# SPDX-License-Identifier: Apache-2.0
"""Maps that programs share: written by one and read by others, pinned, and never taken for what they are not."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import GENERATE, Agent, build_object, only, wait_for  # noqa: E402

TAG = os.getpid()
NUMBER = 1023  # the system call of tests/flood

# Of whom only the pid is at hand, the name and the parent: from the table that `process` keeps.
AUDITOR = """
#include <sonde/process.bpf.h>
struct audit {
	struct sonde_header header;
	sonde_pid parent_pid SONDE_DOC("parent of who calls") SONDE_ABSENT(0);
	char known_as[SONDE_COMMAND_LENGTH] SONDE_DOC("name in the table") SONDE_ABSENT(0);
	__u32 padding SONDE_HIDDEN;
};
SONDE_EVENT(audit, "A call that was looked at");
SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *registers, long id)
{
	struct sonde_running_process *process;
	struct audit *e;

	if (id != %d || PT_REGS_PARM2_CORE_SYSCALL(registers) != %d)
		return 0;
	process = sonde_running_process(bpf_get_current_pid_tgid() >> 32);
	e = sonde_reserve(audit);
	if (!e)
		return 0;
	e->parent_pid = process ? process->parent_pid : 0;
	e->padding = 0;
	__builtin_memset(e->known_as, 0, sizeof(e->known_as));
	if (process)
		__builtin_memcpy(e->known_as, process->command, sizeof(e->known_as));
	sonde_submit(e);
	return 0;
}
""" % (NUMBER, TAG)
PROGRAM = """
#include <sonde/sonde.bpf.h>
SEC("tp/sched/sched_process_exit") int any(void *context) { return 0; }
"""
# A table of the same name and sizes in which other things stand: what another version of sonde may have made.
OTHER_LAYOUT = AUDITOR.replace("#include <sonde/process.bpf.h>", """
#include <sonde/sonde.bpf.h>
struct sonde_running_process {
	char command[SONDE_COMMAND_LENGTH];
	__u64 start_time_ns, cgroup_id, instance;
	__u32 parent_pid, uid;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct sonde_running_process);
} sonde_processes SEC(".maps") SONDE_SHARED;
static struct sonde_running_process *sonde_running_process(__u32 pid)
{
	return bpf_map_lookup_elem(&sonde_processes, &pid);
}
""")


def bpftool(*words):
    done = subprocess.run(["bpftool", "-j", *words], capture_output=True, text=True)
    return json.loads(done.stdout or "null")


class SharedMaps(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sonde-maps-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = "/sys/fs/bpf/sonde-test-%d" % os.getpid()
        self.addCleanup(self.remove)

    def remove(self):
        if os.path.isdir(self.path):
            for name in os.listdir(self.path):
                os.unlink(os.path.join(self.path, name))
            os.rmdir(self.path)

    def agent(self, *programs, path=None, keep=False, **sections):
        return Agent(programs=only(*programs, **sections), shared_maps={"path": path or self.path, "keep": keep})

    @contextlib.contextmanager
    def leaves_maps(self, *programs):
        """An agent of which the pinned maps stay, as they should."""
        agent = self.agent(*programs, keep=True)
        with agent:
            yield agent
            agent.stop()
            agent.ids = {kind: set() for kind in agent.ids}

    def table(self):
        """The pinned process table, by pid, read by another tool."""
        entries = bpftool("map", "dump", "pinned", self.path + "/processes")
        return {e["formatted"]["key"]: e["formatted"]["value"] for e in entries}

    def map_id(self, name):
        return bpftool("map", "show", "pinned", "%s/%s" % (self.path, name))["id"]

    def test_another_tool_reads_it(self):
        """A process stands in the table while it runs, with its name and parent, and not after its end."""
        older = subprocess.Popen(["sleep", "100"])
        self.addCleanup(older.wait)
        self.addCleanup(older.kill)
        with self.agent("process"):
            child = subprocess.Popen(["sleep", "100"])
            table = wait_for(lambda: self.table().get(child.pid, {}).get("command") == "sleep" and self.table(), "its exec", 20)
            self.assertEqual(table[child.pid]["parent_pid"], os.getpid())
            self.assertEqual((table[older.pid]["command"], table[older.pid]["parent_pid"]), ("sleep", os.getpid()))
            child.kill()
            child.wait()
            wait_for(lambda: child.pid not in self.table(), "it is gone", 20)
            self.assertIn(os.getpid(), self.table())
            wait_for(lambda: all(os.path.exists("/proc/%d" % pid) or e["command"] == "bpftool" for pid, e in self.table().items()), "only those that run", 20)
            self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o700)
        self.assertFalse(os.path.exists(self.path), "an orderly stop leaves nothing")

    def test_another_program_reads_it(self):
        auditor = build_object(self.folder, "auditor", AUDITOR)
        with self.agent("process", auditor={"object": auditor}) as agent:
            caller = subprocess.Popen([GENERATE, "syscalls", "10", "0", str(TAG)], stdout=subprocess.DEVNULL)
            self.assertEqual(caller.wait(60), 0)
            agent.settle("auditor")
            events = agent.events("audit")
            self.assertEqual(len(events), 10)
            for e in events:
                self.assertEqual((e["pid"], e["parent_pid"], e["known_as"]), (caller.pid, os.getpid(), "generate"))

    def test_a_killed_agent_leaves_them_to_the_next(self):
        agent = self.agent("process", "connection", keep=False)
        agent.start()
        try:
            child = subprocess.Popen(["sleep", "100"])
            wait_for(lambda: child.pid in self.table(), "the child", 20)
            ids = {name: self.map_id(name) for name in ("processes", "sockets")}
            workers = agent.children()
            agent.loader.send_signal(signal.SIGKILL)
            agent.loader.wait()
            wait_for(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in workers), "the worker ends too", 20)
            self.assertEqual({name: self.map_id(name) for name in ids}, ids)
            self.assertIn(child.pid, self.table())
            child.kill()
            child.wait()  # nobody sees its end
            agent.start()
            self.assertEqual({name: self.map_id(name) for name in ids}, ids)
            wait_for(lambda: child.pid not in self.table(), "what ended meanwhile is taken out", 20)
            self.assertIn(os.getpid(), self.table())
        finally:
            agent.__exit__()
        self.assertFalse(os.path.exists(self.path))

    def test_what_is_left_over(self):
        """Of programs that do not run any more: it goes when the agent is stopped in order, and nothing of others does."""
        with self.leaves_maps("process", "connection"):
            pass
        subprocess.run(["bpftool", "map", "create", self.path + "/mine", "type", "hash", "key", "4", "value", "8", "entries", "16",
                        "name", "mine"], check=True)
        with self.agent("process", keep=False):
            self.assertEqual(sorted(os.listdir(self.path)), ["mine", "processes", "sockets"])
        self.assertEqual(os.listdir(self.path), ["mine"])

    def test_kept(self):
        with self.leaves_maps("process"):
            before = self.map_id("processes")
        self.assertEqual(self.map_id("processes"), before)
        with self.agent("process", keep=False):
            self.assertEqual(self.map_id("processes"), before)
        self.assertFalse(os.path.exists(self.path))

    def refused(self, agent, program, pattern):
        """This program says why, and the agent runs on with the others."""
        agent.start()
        try:
            status = {p["name"]: p for p in agent.get("/api/v1/programs")["programs"]}
            self.assertEqual(status[program]["state"], "failed")
            self.assertRegex(status[program]["reason"], pattern)
            self.assertRegex(status[program]["reason"], "remove it .rm %s/processes." % self.path)
            self.assertEqual(status["packet_drop"]["state"], "running")
        finally:
            agent.__exit__()

    def test_a_map_of_another_size(self):
        os.mkdir(self.path, 0o700)
        subprocess.run(["bpftool", "map", "create", self.path + "/processes", "type", "hash", "key", "4", "value", "8", "entries", "16",
                        "name", "stranger"], check=True)
        before = self.map_id("processes")
        self.refused(self.agent("process", "packet_drop"), "process", "keys or values have another size")
        self.assertEqual(self.map_id("processes"), before, "what is not ours stays")

    def test_a_map_without_types(self):
        """The same sizes, but nothing says what they mean."""
        with self.leaves_maps("process"):
            there = bpftool("map", "show", "pinned", self.path + "/processes")
        self.remove()
        os.mkdir(self.path, 0o700)
        subprocess.run(["bpftool", "map", "create", self.path + "/processes", "type", "hash", "key", str(there["bytes_key"]), "value",
                        str(there["bytes_value"]), "entries", str(there["max_entries"]), "flags", "1", "name", "stranger"], check=True)
        self.refused(self.agent("process", "packet_drop"), "process", "laid out differently")

    def test_a_map_of_another_layout(self):
        with self.leaves_maps("process"):
            pass
        other = build_object(self.folder, "auditor", OTHER_LAYOUT)
        self.refused(self.agent("packet_drop", auditor={"object": other}), "auditor", "laid out differently")

    def test_no_map_at_all(self):
        os.mkdir(self.path, 0o700)
        subprocess.run(["bpftool", "prog", "load", build_object(self.folder, "any", PROGRAM), self.path + "/processes"], check=True)
        self.refused(self.agent("process", "packet_drop"), "process", "it is of another type")

    def not_pinned(self, path, pattern):
        with self.agent("process", path=path) as agent:
            self.assertRegex(agent.log(), "shared maps are not pinned: .*" + pattern)
            self.assertEqual({p["name"]: p["state"] for p in agent.get("/api/v1/programs")["programs"]}["process"], "running")

    def test_two_agents(self):
        """The second does without, and takes nothing from the first."""
        with self.agent("process"):
            before = self.map_id("processes")
            self.not_pinned(self.path, "another sonde has")
            self.assertEqual(self.map_id("processes"), before)
        self.assertFalse(os.path.exists(self.path))

    def test_where_they_cannot_be(self):
        self.not_pinned(self.folder + "/maps", "no bpf file system: mount -t bpf")
        self.assertFalse(os.path.exists(self.folder + "/maps"))
        self.not_pinned("/sys/fs/bpf/no/such/parent", "cannot open the directory .*No such file")
        os.mkdir(self.path)
        os.chmod(self.path, 0o777)
        self.not_pinned(self.path, "others could change")
        self.assertTrue(os.path.isdir(self.path), "not ours")
        os.rmdir(self.path)
        os.mkdir(self.path + "-real", 0o700)
        self.addCleanup(os.rmdir, self.path + "-real")
        os.symlink(self.path + "-real", self.path)
        self.addCleanup(os.unlink, self.path)
        self.not_pinned(self.path, "cannot open the directory")


if __name__ == "__main__":
    unittest.main()
