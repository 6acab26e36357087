# SPDX-License-Identifier: Apache-2.0
"""A program that changes between two runs of the agent on one file: what was stored before reads as it was, on every way."""
import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import Agent, build_object, only, rows  # noqa: E402

LARGE = (1 << 63) + 1025  # no double has it
SOURCE = """#include <sonde/sonde.bpf.h>
struct kit {
	struct sonde_header header;
	__u64 large SONDE_DOC("beyond 2^63");
	__s64 negative SONDE_DOC("exact, not a double");
	%s
};
SONDE_EVENT(kit, "Signals of one kind");
SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal_generate, int signal, void *info, struct task_struct *target)
{
	struct kit *e;

	if (signal != %d || !(e = sonde_reserve(kit)))
		return 0;
	e->large = %dull;
	e->negative = -9007199254740993;
	%s
	sonde_submit(e);
	return 0;
}
"""
OLD = SOURCE % ('__u64 lost SONDE_DOC("only in the old version"); char turned[8] SONDE_DOC("text, later a number");', signal.SIGURG, LARGE,
                'e->lost = 7; __builtin_memcpy(e->turned, "before", 7);')
NEW = SOURCE % ('__u64 turned SONDE_DOC("was a text"); __u64 gained SONDE_DOC("only in the new version");', signal.SIGURG, LARGE,
                'e->turned = 5; e->gained = 9;')


def cause():
    os.kill(os.getpid(), signal.SIGURG)  # ignored by default


class Versions(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def agent(self, source):
        path = build_object(self.directory, "kit", source)
        return Agent(programs=only(kit={"object": path}), directory=self.directory)

    def ours(self, agent, *arguments):
        return agent.cli("events", "kit", "--pid", str(os.getpid()), "--oldest-first", *arguments).stdout.decode()

    def test_lost_gained_and_turned(self):
        with self.agent(OLD) as agent:
            cause()
            agent.settle()
        with self.agent(NEW) as agent:
            cause()
            agent.settle()
            before, after = (json.loads(line) for line in self.ours(agent, "-o", "json").splitlines())
            self.assertEqual([(e["large"], e["negative"]) for e in (before, after)], [(LARGE, -9007199254740993)] * 2)
            self.assertEqual((before["lost"], before["turned"], before.get("gained")), (7, "before", None))
            self.assertEqual((after.get("lost"), after["turned"], after["gained"]), (None, 5, 9))
            table = [(row["large"], row["negative"], row["lost"], row["turned"], row["gained"])
                     for row in csv.DictReader(io.StringIO(self.ours(agent, "-o", "csv")))]
            self.assertEqual(table, [(str(LARGE), "-9007199254740993", "7", "before", ""), (str(LARGE), "-9007199254740993", "", "5", "9")])
            self.assertEqual(len(self.ours(agent, "-o", "json", "--where", "lost = 7").splitlines()), 1)
            self.assertEqual(len(self.ours(agent, "-o", "json", "--where", "turned = 5").splitlines()), 1)
            self.check_counts(agent)
            for where in ((), ("--store", agent.store)):
                asked = "SELECT large, typeof(large), large > 5 FROM kit WHERE CAST(large AS TEXT) = '%020d'" % LARGE
                done = agent.cli("sql", asked, "-o", "csv", *where).stdout.decode().splitlines()
                self.assertEqual(done[1:], ["%020d,text,1" % LARGE] * 2)
            plain = rows(agent.store, "SELECT CAST(large AS TEXT), negative, turned FROM kit WHERE pid = %d ORDER BY time" % os.getpid())
            self.assertEqual(plain, [("%020d" % LARGE, -9007199254740993, b"before"), ("%020d" % LARGE, -9007199254740993, 5)])

    def check_counts(self, agent):
        mine = ("kit", "--pid", str(os.getpid()))
        for by, groups in (("large", [(LARGE, 2)]), ("lost", [(None, 1), (7, 1)]), ("negative", [(-9007199254740993, 2)])):
            for where in ((), ("--store", agent.store)):
                done = agent.cli("count", *mine, "--by", by, "-o", "json", *where).stdout.splitlines()
                found = [(group[by], group["count"]) for group in map(json.loads, done)]
                self.assertEqual(sorted(found, key=str), sorted(groups, key=str), (by, where))
        self.assertIn(str(LARGE), agent.on_terminal(120, "count", *mine, "--by", "large"))
        self.assertIn("lost", agent.cli("schema", "kit").stdout.decode())


if __name__ == "__main__":
    unittest.main()
