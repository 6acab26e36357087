# SPDX-License-Identifier: Apache-2.0
"""Runs the unittest cases of one file and closes with a line "counted: PASSED FAILED SKIPPED"; each test counts once.

Usage: run_file.py FILE [unittest's options and names of tests]
"""
import difflib
import importlib.util
import os
import sys
import time
import unittest


class Result(unittest.TextTestResult):
    """unittest counts an error of setUpClass but no test for it, and each subtest that fails: count tests instead."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.passed = 0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        if self.showAll and time.monotonic() - self.began > 10:
            self.stream.writeln("    (%.0f s)" % (time.monotonic() - self.began))

    def count(self):
        bad = {getattr(test, "test_case", test).id() for test, _ in self.failures + self.errors}
        bad |= {test.id() for test in self.unexpectedSuccesses}
        return self.passed + len(self.expectedFailures), len(bad), len(self.skipped)


class Runner(unittest.TextTestRunner):
    resultclass = Result

    def run(self, test):
        result = super().run(test)
        sys.stderr.flush()
        print("counted: %d %d %d" % result.count(), flush=True)
        return result


whole_diff = difflib.ndiff


def diff_from_first_difference(a, b):
    """What unittest shows of two lists that differ. Of all their lines, some thousand, it would take hours: that test never ended."""
    same = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return whole_diff(a[same:same + 100], b[same:same + 100])


difflib.ndiff = diff_from_first_difference
file = os.path.abspath(sys.argv[1])
sys.path.insert(0, os.path.dirname(file))
spec = importlib.util.spec_from_file_location("tests_of_file", file)
module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
unittest.main(module=module, argv=[file, *sys.argv[2:]], testRunner=Runner)
