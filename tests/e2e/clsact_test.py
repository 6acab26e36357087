# SPDX-License-Identifier: Apache-2.0
"""Hooks on interfaces by filters of clsact: what others have there stays, and nothing of ours does, also after a kill. And hooks of
either kind come back where the interface, or somebody else, took them away.

Runs in a network namespace of its own, with both ends of a veth pair: frames that one end sends the other one receives.
"""
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import SONDE, Agent, only, own_network, start_trace, wait_for  # noqa: E402

PORT = 4242
FRAMES = 100
FRAME = b"\xff" * 6 + b"\2\0\0\0\0\1\x08\0" + struct.pack(
    ">BBHHHBBH4s4sHHHH", 0x45, 0, 128, 1, 0, 64, 17, 0, bytes([10, 9, 9, 1]), bytes([10, 9, 9, 2]), 1111, PORT, 108, 0) + bytes(100)
# Says of every packet: go on, and no filter behind me shall see it.
FOREIGN = '__attribute__((section("tc"))) int foreign(void *packet) { return 0; }\n'


def setUpModule():
    own_network()


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def filters(interface="near"):
    """The filters there, without what changes from call to call: [ingress, egress]."""
    return [[line for line in run("tc", "filter", "show", "dev", interface, direction).splitlines() if "handle" in line or "fh" in line]
            for direction in ("ingress", "egress")]


def ours(interface="near"):
    return sum(" sonde" in line for lines in filters(interface) for line in lines)


def qdiscs(interface="near"):
    return [line for line in run("tc", "qdisc", "show", "dev", interface).splitlines() if "ffff:" in line]


def send():
    """Frames out of `near`, and into it."""
    for interface in ("near", "far"):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind((interface, 3))
            for _ in range(FRAMES):
                s.send(FRAME)


class Clsact(unittest.TestCase):
    def setUp(self):
        self.make_interfaces()
        self.assertEqual((qdiscs(), ours()), ([], 0))

    def make_interfaces(self):
        run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
        self.addCleanup(lambda: subprocess.run(["ip", "link", "delete", "near"], capture_output=True))
        for interface in ("near", "far"):
            run("ip", "link", "set", interface, "up")

    def agent(self, attach="clsact", interface_2="", **options):
        settings = {"interface_1": "near", "only_port_1": PORT, "update_interval_ns": "50ms"}
        settings.update({"interface_2": interface_2} if interface_2 else {})
        return Agent(programs=only("flow", flow={"attach": attach, "settings": settings}), **options)

    def trace(self, *arguments):
        return start_trace(self, SONDE, "trace", "flow", "--attach", "clsact", "--set", "interface_1=near", *arguments)

    def expect_counted(self, agent, frames=FRAMES):
        def counted():
            sums = {"ingress": [0, 0], "egress": [0, 0]}
            for e in agent.events("flow"):
                self.assertEqual((e["interface"], e["destination_port"], e["is_other"]), ("near", PORT, False))
                sums[e["direction"]][0] += e["packets"]
                sums[e["direction"]][1] += e["bytes"]
            return sums

        expected = {"ingress": [frames, 128 * frames], "egress": [frames, 128 * frames]}
        wait_for(lambda: min(packets for packets, _ in counted().values()) >= frames, "all frames are told")
        time.sleep(0.2)  # some intervals: nothing comes twice
        self.assertEqual(counted(), expected)
        agent.settle("flow")

    def build_foreign(self):
        directory = tempfile.mkdtemp(prefix="sonde-test-")
        self.addCleanup(subprocess.run, ["rm", "-r", directory])
        source, object_ = os.path.join(directory, "foreign.c"), os.path.join(directory, "foreign.o")
        with open(source, "w") as f:
            f.write(FOREIGN)
        run("clang", "-target", "bpf", "-O2", "-c", source, "-o", object_)
        return object_

    def add_foreign(self, *words):
        run("tc", "qdisc", "add", "dev", "near", "clsact")
        for direction in ("ingress", "egress"):
            run("tc", "filter", "add", "dev", "near", direction, *words)
        return filters()

    def check_beside(self, *foreign):
        before = self.add_foreign(*foreign)
        qdisc = qdiscs()
        with self.agent() as agent:
            self.assertEqual(ours(), 2)
            send()
            self.expect_counted(agent)
            for lines, was in zip(filters(), before):
                self.assertEqual([line for line in lines if " sonde" not in line], was)
        self.assertEqual((filters(), qdiscs()), (before, qdisc))

    def test_alone(self):
        with self.agent() as agent:
            self.assertEqual((len(qdiscs()), ours()), (1, 2))
            hooks = {h["name"]: h for h in agent.get("/api/v1/programs/flow")["hooks"]}
            for name in ("tcx/ingress", "tcx/egress"):
                self.assertEqual((hooks[name]["attached"], hooks[name]["reason"]), (True, "by clsact"))
            send()
            self.expect_counted(agent)
        self.assertEqual((qdiscs(), ours()), ([], 0))

    def test_beside_a_filter(self):
        """The kernel gives a filter that names no priority one behind ours. It keeps packets from all that follow it."""
        self.check_beside("bpf", "direct-action", "object-file", self.build_foreign(), "section", "tc")

    def test_beside_the_first(self):
        """As Cilium's is."""
        self.check_beside("pref", "1", "handle", "1", "bpf", "direct-action", "object-file", self.build_foreign(), "section", "tc")

    def test_beside_another_kind(self):
        self.check_beside("pref", "5", "protocol", "ip", "u32", "match", "u32", "0", "0", "flowid", "1:1")

    def test_behind_another_kind(self):
        """Which has the first priority for itself, and sees this port and no other."""
        self.check_beside("pref", "1", "protocol", "ip", "u32", "match", "ip", "dport", "1", "0xffff", "flowid", "1:1")

    def test_filter_that_came_later(self):
        with self.agent() as agent:
            run("tc", "filter", "add", "dev", "near", "ingress", "bpf", "direct-action", "object-file", self.build_foreign(),
                "section", "tc")
            foreign = [line for line in filters()[0] if " sonde" not in line]
            send()
            self.expect_counted(agent)
        self.assertEqual((filters(), len(qdiscs())), ([foreign, []], 1))

    def test_ingress_qdisc(self):
        """It has the place of clsact, and no way out: refused, and it stays."""
        run("tc", "qdisc", "add", "dev", "near", "ingress")
        before = qdiscs()
        with self.agent() as agent:
            status = agent.get("/api/v1/programs/flow")
            self.assertEqual(status["state"], "failed")
            self.assertIn("a qdisc 'ingress' is there", status["reason"])
        self.assertEqual((qdiscs(), ours()), (before, 0))

    def kill(self, agent):
        worker = agent.worker_pid()
        agent.loader.kill()
        agent.loader.wait()
        wait_for(lambda: worker not in agent.children() and not os.path.exists("/proc/%d" % worker), "the worker has ended")

    def test_killed(self):
        """The next one removes what is left, and counts each packet once."""
        with self.agent() as agent:
            before = filters()
            self.kill(agent)
            self.assertEqual((filters(), len(qdiscs())), (before, 1), "they stay: only clsact does this")
            agent.start()
            self.assertEqual(ours(), 2)
            self.assertFalse([line for lines in filters() for line in lines if line in sum(before, [])])
            self.assertIn("removed 2 filters that a killed sonde left", agent.log())
            send()
            self.expect_counted(agent)
        self.assertEqual((qdiscs(), ours()), ([], 0))

    def test_killed_and_switched_off(self):
        """Also one that has no such program removes what is left, and leaves the filters of others."""
        with self.agent() as agent:
            run("tc", "filter", "add", "dev", "near", "egress", "bpf", "direct-action", "object-file", self.build_foreign(),
                "section", "tc")
            foreign = [line for line in filters()[1] if " sonde" not in line]
            self.kill(agent)
            self.assertEqual(ours(), 2)
            with Agent(programs=only()):
                self.assertEqual((filters(), len(qdiscs())), ([[], foreign], 1))

    def test_two_at_a_time(self):
        """None of them takes the other's, whoever came first, goes first or is killed."""
        with self.agent() as agent:
            first, killed = self.trace(), self.trace()
            self.assertEqual(ours(), 6)
            killed.kill()
            killed.wait()
            self.assertEqual(ours(), 6)
            second = self.trace()
            self.assertEqual(ours(), 6, "it has removed what the killed one left")
            send()
            self.expect_counted(agent)
            first.send_signal(signal.SIGINT)
            out, err = first.communicate(timeout=30)
            self.assertRegex(err, rb"residual 0")
            self.assertEqual((ours(), len(qdiscs())), (4, 1))
        self.assertEqual((ours(), len(qdiscs())), (2, 1))
        second.send_signal(signal.SIGHUP)  # as when its terminal is closed
        self.assertEqual(second.wait(30), 0)
        self.assertEqual((qdiscs(), ours()), ([], 0))

    def flow(self, agent):
        """What is said of the program: (state, what is missing, how many hooks were attached again)."""
        program = agent.get("/api/v1/programs/flow")
        return program["state"], program["reason"], program["reattached"]

    def await_flow(self, agent, reason, reattached):
        wait_for(lambda: self.flow(agent) == ("running", reason, reattached), "%r, %d" % (reason, reattached))

    def interfaces(self, agent):
        return [(s["text"], s["value"]) for s in agent.get("/api/v1/programs/flow")["settings"] if s["name"].startswith("interface_")]

    def test_interface_goes_and_comes(self):
        """Of both kinds of hooks; nobody has to say it."""
        for attach in ("clsact", "tcx"):
            with self.subTest(attach), self.agent(attach=attach) as agent:
                send()
                self.expect_counted(agent)
                run("ip", "link", "delete", "near")
                self.await_flow(agent, "waits for the network interface 'near'", 0)
                self.assertEqual(self.interfaces(agent)[0], ("near", 0))
                self.assertIn("waits for", agent.health().json["reason"])
                self.make_interfaces()
                self.await_flow(agent, "", 2)
                self.assertEqual(self.interfaces(agent)[0], ("near", socket.if_nametoindex("near")))
                self.assertEqual(agent.health().json["reason"], "")
                send()
                self.expect_counted(agent, 2 * FRAMES)
                self.assertRegex(agent.metrics().text, r'(?m)^sonde_program_hooks_reattached_total\{program="flow"\} 2$')
                for said in ("waits for the network interface 'near'", "all hooks attached again"):
                    self.assertEqual(agent.log().count(said), 1)

    def test_interface_comes_later(self):
        """The one that is there does not wait for it."""
        with self.agent(attach="auto", interface_2="later") as agent:
            self.assertEqual(self.flow(agent), ("running", "waits for the network interface 'later'", 0))
            self.assertIn(b"waits for the network interface 'later'", agent.cli("programs").stdout)
            send()
            self.expect_counted(agent)
            run("ip", "link", "add", "later", "type", "veth", "peer", "name", "later_far")
            self.addCleanup(run, "ip", "link", "delete", "later")
            self.await_flow(agent, "", 2)
            send()
            self.expect_counted(agent, 2 * FRAMES)

    def test_others_remove_it(self):
        """The qdisc or the filter: it is there again. If they make a clsact of their own, that one stays."""
        with self.agent() as agent:
            run("tc", "qdisc", "delete", "dev", "near", "clsact")
            self.await_flow(agent, "", 2)
            self.assertEqual(ours(), 2)
            send()
            self.expect_counted(agent)
            run("tc", "filter", "delete", "dev", "near", "ingress")
            self.await_flow(agent, "", 3)
            send()
            self.expect_counted(agent, 2 * FRAMES)
            run("tc", "qdisc", "delete", "dev", "near", "clsact")
            subprocess.run(["tc", "qdisc", "add", "dev", "near", "clsact"], capture_output=True)  # who is first does not matter
            wait_for(lambda: ours() == 2, "the hooks are back")
        self.assertEqual(ours(), 0)

    def test_others_take_the_place(self):
        """It waits until they leave."""
        with self.agent() as agent:
            os.kill(agent.pid, signal.SIGSTOP)
            run("tc", "qdisc", "delete", "dev", "near", "clsact")
            run("tc", "qdisc", "add", "dev", "near", "ingress")
            os.kill(agent.pid, signal.SIGCONT)
            wait_for(lambda: "a qdisc 'ingress' is there" in self.flow(agent)[1], "it waits")
            run("tc", "qdisc", "delete", "dev", "near", "ingress")
            self.await_flow(agent, "", 2)
            send()
            self.expect_counted(agent)

    def test_flood_of_changes(self):
        """More than the watching socket has room for."""
        with self.agent() as agent:
            os.kill(agent.pid, signal.SIGSTOP)
            lines = "".join("link set dev far alias a%d\n" % i for i in range(2000))
            subprocess.run(["ip", "-batch", "-"], input=lines, check=True, text=True)
            run("tc", "qdisc", "delete", "dev", "near", "clsact")
            os.kill(agent.pid, signal.SIGCONT)
            self.await_flow(agent, "", 2)
            send()
            self.expect_counted(agent)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
