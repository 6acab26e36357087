# SPDX-License-Identifier: Apache-2.0
"""Floods: whatever is lost is counted, and the sum is right to the last event."""
import ctypes
import os
import signal
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import Agent, build_object, flood, load, only, rows, run, wait_for  # noqa: E402

MILLION = 1000000
CALL, KEYS = 1022, 30000
TALLY = """
// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#include <sonde/flush.bpf.h>

struct tally { struct sonde_header header; __u64 key SONDE_DOC("first argument"); __u64 count SONDE_DOC("calls"); };
SONDE_EVENT(tally, "Calls of a system call that does not exist, by their first argument");
SONDE_SETTING(__u64, update_interval_ns, 1000000000, "time between two reports");

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 65536); __type(key, __u64); __type(value, __u64); } tallies SEC(".maps");

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *registers, long id)
{
	__u64 key = PT_REGS_PARM1_CORE_SYSCALL(registers), none = 0, *count;

	if (id != %d)
		return 0;
	bpf_map_update_elem(&tallies, &key, &none, BPF_NOEXIST);
	count = sonde_count_find(&tallies, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		sonde_map_full();
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(tallies)
int at_interval_tallies(struct bpf_iter__bpf_map_elem *context)
{
	__u64 key, *count = SONDE_ELEMENT(context, &tallies, &key);
	struct tally *e;

	if (!count || !sonde_count_is_new(count, context->meta))
		return 0;
	if (!sonde_flush_room(context->meta, sizeof(*e)))
		return 1;
	e = sonde_reserve_owner(tally, NULL);
	if (!e)
		return 0;
	e->key = key;
	e->count = __sync_lock_test_and_set(count, sonde_count_idle) & SONDE_COUNTED;
	sonde_submit(e);
	return 0;
}
""" % CALL


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

    def test_reports_wait_for_room(self):
        """A ring that holds some fifty reports, and thousands to tell at each interval: they come later, and are not lost meanwhile."""
        call = ctypes.CDLL(None).syscall
        with tempfile.TemporaryDirectory(prefix="sonde-test-") as folder:
            tally = {"object": build_object(folder, "tally", TALLY), "ring_bytes": "4KiB"}
            with Agent(programs=only(tally=tally)) as agent:
                for _ in range(2):
                    for key in range(KEYS):
                        call(CALL, key)
                    time.sleep(1.5)
                wait_for(lambda: sum(e["count"] for e in agent.events("tally")) == 2 * KEYS, "all calls", timeout=120, pause=1)
                ledger = agent.ledger("tally")
                self.assertEqual([ledger[name] for name in ("ring_full", "map_full", "residual")], [0] * 3)
                self.assertEqual(agent.count("tally")["lost"], 0)

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
