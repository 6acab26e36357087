# SPDX-License-Identifier: Apache-2.0
"""The questions in the documents are questions that the agent answers."""
import glob
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import BUILT_IN, ROOT, SONDE, Agent, wait_for  # noqa: E402

# What only asks, ends by itself, and needs nothing but an agent.
QUESTION = re.compile(r"^\s*(?:[$#] )?"
                      r"(sonde (?:events|count|summary|programs|schema|status|sql|check)\b(?:[^\n\"']|\"[^\"]*\"|'[^']*')*)$", re.M)
NOT_HERE = re.compile(r"--store|--socket| -f\b|--follow|programs (?:stop|start|reload)| > \w*[./]|\bmine\b|tcp_retransmit|\.bpf\.o|\[")


class Docs(unittest.TestCase):
    def test_examples(self):
        files = [os.path.join(ROOT, "README.md"), *glob.glob(ROOT + "/docs/*.md"), *glob.glob(ROOT + "/programs/*/README.md")]
        asked = 0
        with Agent(programs={name: {"enabled": True} for name in BUILT_IN}) as agent:
            environment = {**os.environ, "SONDE_SOCKET": agent.socket, "PATH": os.path.dirname(SONDE) + ":" + os.environ["PATH"]}
            for type in agent.get("/api/v1/schema")["types"]:  # a table is made with the first commit after the program's start
                wait_for(lambda: agent.api("/api/v1/sql", "POST", "SELECT 1 FROM " + type["name"]).status == 200, type["name"])
            for path in filter(os.path.exists, files):
                with open(path) as f:
                    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", f.read(), re.M | re.S)
                for command in QUESTION.findall("\n".join(blocks)):
                    if NOT_HERE.search(command):
                        continue
                    with self.subTest(file=os.path.relpath(path, ROOT), command=command):
                        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
                        self.assertEqual(done.returncode, 0, done.stderr)
                    asked += 1
        self.assertGreater(asked, 5)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
