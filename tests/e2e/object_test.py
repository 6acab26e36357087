#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Objects of one's own: the guide's program works as it stands there, hooks that are optional, and what a refusal says."""
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import ROOT, SONDE, Trace, build_object  # noqa: E402

EVENT = """
#include <sonde/sonde.bpf.h>
struct mine { struct sonde_header header; __u64 number SONDE_DOC("a number"); };
SONDE_EVENT(mine, "an event");
"""
GOOD = """
SEC("tp_btf/sched_process_exec")
int BPF_PROG(good)
{
	struct mine *e = sonde_reserve(mine);

	if (!e)
		return 0;
	e->number = 1;
	sonde_submit(e);
	return 0;
}
"""


class Objects(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def check(self, name, source):
        return subprocess.run([SONDE, "check", build_object(self.folder, name, source)], capture_output=True, text=True)

    def test_program_of_the_guide(self):
        with open(os.path.join(ROOT, "docs/write-a-program.md")) as file:
            source = re.search(r"```c\n(.*?)```", file.read(), re.S).group(1)
        with Trace(build_object(self.folder, "tcp_retransmit", source), "--set", "at_least=2") as trace:
            pass
        self.assertEqual(trace.ledger["residual"], 0)

    def test_hyphen_in_the_name(self):
        answer = self.check("my-own", EVENT + GOOD)
        self.assertEqual(answer.returncode, 0, answer)
        self.assertRegex(answer.stdout, r"my_own +yes")

    def test_optional_hook_is_left_out(self):
        answer = self.check("optional", EVENT + GOOD + 'SEC("?tp_btf/no_such_thing") int BPF_PROG(other) { return 0; }\n')
        self.assertEqual(answer.returncode, 0, answer)
        self.assertRegex(answer.stdout, r"- tp_btf/no_such_thing: this kernel does not have it")
        self.assertIn("+ tp_btf/sched_process_exec", answer.stdout)

    def test_hook_that_is_not_optional(self):
        answer = self.check("needed", EVENT + GOOD + 'SEC("tp_btf/no_such_thing") int BPF_PROG(other) { return 0; }\n')
        self.assertEqual(answer.returncode, 1, answer)

    def test_verdict_of_the_verifier(self):
        answer = self.check("unchecked", EVENT + GOOD.replace("	if (!e)\n		return 0;\n", ""))
        self.assertEqual(answer.returncode, 1, answer)
        self.assertRegex(answer.stdout, r"'good': R\d invalid mem access '\w+', at: e->number = 1")

    def test_maps_that_are_too_large(self):
        array = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, %d); __type(key, __u32); __type(value, __u64); } mine_too SEC(".maps");
"""
        answer = self.check("large", EVENT + array % 1000000000 + GOOD.replace("e->number = 1", "e->number = (__u64)&mine_too"))
        self.assertEqual(answer.returncode, 1, answer)
        self.assertRegex(answer.stdout, r"its maps would take \d{4,} MiB, most of them 'mine_too': 256 MiB is the most")

    def test_damaged(self):
        """libbpf does not survive some of these: that ends the process which tried, not sonde."""
        with open(build_object(self.folder, "whole", EVENT + GOOD), "rb") as file:
            whole = file.read()
        damaged = os.path.join(self.folder, "damaged.bpf.o")
        chance = random.Random(11)
        for _ in range(120):
            copy = bytearray(whole)
            for _ in range(chance.choice((1, 3, 10, 50))):
                copy[chance.randrange(len(copy))] = chance.randrange(256)
            with open(damaged, "wb") as file:
                file.write(copy)
            answer = subprocess.run([SONDE, "trace", damaged, "--for", "1ms"], capture_output=True, timeout=90)
            self.assertIn(answer.returncode, (0, 1), answer.stderr)
            self.assertTrue(answer.stderr)


if __name__ == "__main__":
    unittest.main()
