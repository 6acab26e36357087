# SPDX-License-Identifier: Apache-2.0
"""However many processes, names and addresses there are: the metrics page keeps its size, and the sums stay exact.

SONDE_TEST_ALL=1 takes a million names and tuples instead of a sample that is larger than the tables.
"""
import os
import re
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import GENERATE, Agent, build_object, only, run, wait_for  # noqa: E402

ALL = bool(os.environ.get("SONDE_TEST_ALL"))
PROCESSES = 20000
FLOWS_MAX = 100000  # the table of flow
TUPLES = 1000000 if ALL else 75000
QUESTIONS = 1000000 if ALL else 100000
SERIES_MAX, SERIES_PER_METRIC = 5000, 1000  # src/export/prometheus.h
CALL = 1022  # of `generate processes`
QTYPES = 15  # that have a label of their own, and "other"
HOUR = 3600 * 10**9

PER_PROCESS = """
// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#include <sonde/sonde.bpf.h>

struct per_process { struct sonde_header header; __u64 number SONDE_DOC("never set"); };
SONDE_EVENT(per_process, "Never sent");
struct caller { sonde_pid pid SONDE_DOC("who called"); __u32 padding SONDE_HIDDEN; };
struct { SONDE_METRIC_MAP(struct caller, 32768); } wide SEC(".maps") SONDE_COUNTER("test_wide_total", "Calls, room for all.");
struct { SONDE_METRIC_MAP(struct caller, 4096); } narrow SEC(".maps") SONDE_COUNTER("test_narrow_total", "Calls, room for some.");

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *registers, long id)
{
	struct caller key = {};

	if (id != %d)
		return 0;
	key.pid = bpf_get_current_pid_tgid() >> 32;
	sonde_metric_add(&wide, &key, 1);
	sonde_metric_add(&narrow, &key, 1);
	return 0;
}
""" % CALL


def generate(*arguments):
    """It ends by itself; its pid."""
    process = subprocess.Popen([GENERATE, *map(str, arguments)], stdout=subprocess.DEVNULL)
    run(process)
    return process.pid


class Case(unittest.TestCase):
    def series(self, agent):
        """{name and labels: value} of the whole page, which is within its limits."""
        page = {}
        for line in agent.metrics().text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                page[name] = float(value)
        self.assertLessEqual(len(page), SERIES_MAX)
        return page

    def total(self, agent, metric, **labels):
        """The sum of its series, and how many there are."""
        found = [value for name, value in self.series(agent).items() if re.match(metric + r"[{ ]|%s$" % metric, name) and
                 all('%s="%s"' % pair in name for pair in labels.items())]
        return sum(found), len(found)


class Processes(Case):
    def test_a_metric_by_process(self):
        """The worst that a program can ask for."""
        with tempfile.TemporaryDirectory() as folder:
            object_ = build_object(folder, "per_process", PER_PROCESS)
            with Agent(programs=only(per_process={"object": object_, "enabled": True})) as agent:
                generate("processes", PROCESSES)
                wait_for(lambda: self.total(agent, "sonde_test_wide_total")[0] >= PROCESSES, "the page is a new one")
                self.assertEqual(self.total(agent, "sonde_test_wide_total"), (PROCESSES, SERIES_PER_METRIC))
                other = self.series(agent)['sonde_test_wide_total{pid="other"}']
                self.assertEqual(other, PROCESSES - (SERIES_PER_METRIC - 1))
                counted, series = self.total(agent, "sonde_test_narrow_total")
                self.assertLessEqual(series, SERIES_PER_METRIC)
                self.assertLess(counted, PROCESSES)
                self.assertEqual(counted + self.total(agent, "sonde_map_overflows_total", program="per_process")[0], PROCESSES)

    def test_processes_and_their_calls(self):
        """Each has its events; the page does not grow."""
        settings = {"number": CALL, "update_interval_ns": HOUR}
        with Agent(programs=only("process", "syscall", syscall={"settings": settings})) as agent:
            before = self.series(agent)
            parent = generate("processes", PROCESSES)
            agent.settle("process")
            for kind in ("fork", "exit"):
                self.assertEqual(agent.count("process", where="kind = %s and parent_pid = %d" % (kind, parent))["count"], PROCESSES)
            self.assertEqual(set(self.series(agent)), set(before))
            agent.cli("programs", "stop", "syscall")
            agent.settle()
            told = agent.count("syscall", where="number = %d" % CALL, sum="count")
            self.assertEqual((told["sum"], told["count"]), (PROCESSES, PROCESSES))


class Tuples(Case):
    def test_flows(self):
        """Two flows for each address: a datagram leaves one socket and arrives at another."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("", 0))
            port = receiver.getsockname()[1]
            with Agent(programs=only("flow", flow={"settings": {"only_port_1": port, "update_interval_ns": HOUR}})) as agent:
                before = self.series(agent)
                generate("udp", "127.64.0.1", port, TUPLES, 0, TUPLES)
                ways = [{"direction": direction} for direction in ("egress", "ingress")]
                wait_for(lambda: all(self.total(agent, "sonde_flow_packets_total", **way)[0] >= TUPLES for way in ways), "the page")
                self.assertEqual([self.total(agent, "sonde_flow_packets_total", **way)[0] for way in ways], [TUPLES, TUPLES])
                rest = self.total(agent, "sonde_flow_other_packets_total")[0]
                self.assertEqual(set(self.series(agent)), set(before))
                agent.cli("programs", "stop", "flow")
                wait_for(lambda: self.packets(agent, "direction = ingress") == TUPLES, "the last report is stored")
                self.assertEqual(self.packets(agent, "direction = egress"), TUPLES)
                self.check_room(agent, rest)

    def packets(self, agent, where):
        return agent.count("flow", where=where, sum="packets")["sum"]

    def check_room(self, agent, rest):
        self.assertEqual(self.packets(agent, "is_other = true"), rest)
        self.assertGreaterEqual(rest, 2 * TUPLES - FLOWS_MAX)
        self.assertLessEqual(agent.count("flow", where="is_other = false")["count"], FLOWS_MAX)


class Names(Case):
    def ended(self, agent):
        """Questions that the metrics know the end of."""
        return sum(self.total(agent, "sonde_dns_" + name)[0] for name in (
            "answers_total", "resolver_answers_total", "timeouts_total", "resolver_timeouts_total"))

    def told(self, agent, pid):
        return agent.count("dns", where="pid = %d and timed_out = true" % pid)["count"]

    def test_questions(self):
        """A name each, of all types there can be, which nobody answers."""
        settings = {"timeout_ns": 200 * 10**6, "update_interval_ns": 100 * 10**6}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, \
                Agent(programs=only("dns", dns={"settings": settings})) as agent:
            silent.bind(("127.0.0.97", 53))
            pid = generate("questions", "127.0.0.97", QUESTIONS)

            def known():
                ledger = agent.settle("dns")["dns"]
                return self.ended(agent) == ledger["entered"] - ledger["map_full"] and ledger
            wait_for(lambda: agent.ledger("dns")["entered"] >= QUESTIONS, "all have ended")
            ledger = wait_for(known, "the metrics have all questions that found room", 30, 0.5)
            lost = ledger["map_full"] + ledger["ring_full"]
            told = wait_for(lambda: self.told(agent, pid) if self.told(agent, pid) + lost >= QUESTIONS else 0, "they are stored", 30, 0.5)
            self.assertLessEqual(told, QUESTIONS)
            self.assertLessEqual(self.total(agent, "sonde_dns_timeouts_total")[1], 2 * QTYPES)
            self.assertGreater(self.total(agent, "sonde_dns_timeouts_total", qtype="other")[0], told / 2)
            self.assertNotIn("example", agent.metrics().text)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
