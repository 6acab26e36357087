# SPDX-License-Identifier: Apache-2.0
"""What the store's file gives to others: exports, compared by value with what the API says of the same events, from whole and
from damaged files, and where there is no room. One recording, made once; each test takes a copy of the file."""
import contextlib
import csv
import datetime
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import FLOOD, SONDE, TAG, Agent, load, only, run  # noqa: E402

QUESTIONS = (("store", "verify"), ("export", "-"), ("sql", "SELECT count(*), max(number) FROM flood"), ("events", "flood"))
EVENTS = 120000  # of the type flood: more than what an export reads at once


def nanoseconds(time):
    whole, _, fraction = time.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole + "+00:00").timestamp()
    return int(seconds) * 1000000000 + int(fraction.ljust(9, "0"))


def records(text):
    return [json.loads(line) for line in text.splitlines()]


class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="sonde-test-")
        with Agent(programs=only("process", flood={"object": FLOOD, "settings": {"tag": TAG}, "ring_bytes": "64MiB"}), directory=cls.root) as agent:
            run(load(EVENTS))
            words = [subprocess.Popen(["true", str(i), 'a "quoted", word']) for i in range(20)]
            cls.ours = {process.pid for process in words if not process.wait()}
            agent.settle()
            cls.kept = {name: agent.events(name) for name in ("flood", "process")}
        cls.recording = agent.store

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="copy-", dir=self.root)
        self.store = shutil.copy(self.recording, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def sonde(self, *arguments, code=0, store=None, **options):
        """Standard output and standard error of a command on the copy."""
        done = subprocess.run([SONDE, *arguments, "--store", store or self.store], capture_output=True, text=True, timeout=60,
                              **options)
        self.assertEqual(done.returncode, code, "sonde %s: %s" % (" ".join(arguments), done.stderr))
        return done.stdout, done.stderr

    def same(self, exported, kept):
        """Each form escapes in its own way what others on this machine may be called with."""
        theirs = () if kept["type"] == "flood" or int(kept["pid"]) in self.ours else ("command", "path", "arguments")
        self.assertEqual(*({name: value for name, value in row.items() if name not in theirs} for row in (exported, kept)))

    def test_json(self):
        """All types in order of time: of each type what the API gave."""
        _, notes = self.sonde("export", self.path("all.jsonl"))
        with open(self.path("all.jsonl")) as f:
            found = records(f.read())
        self.assertEqual([e["time"] for e in found], sorted(e["time"] for e in found))
        for name, kept in self.kept.items():
            exported = [e for e in found if e["type"] == name]
            self.assertEqual(exported[:len(kept)], kept)
        self.assertEqual([e["number"] for e in found if e["type"] == "flood"], list(range(EVENTS)))
        self.assertIn("note: %d events of %s\n" % (len(found), self.store), notes)
        self.assertEqual(records(self.sonde("export", "-", "process")[0])[:len(self.kept["process"])], self.kept["process"])

    def test_limit_and_conditions(self):
        self.assertEqual(records(self.sonde("export", "-", "flood", "-n", "3")[0]), self.kept["flood"][:3])
        found = records(self.sonde("export", "-", "flood", "-n", "110000")[0])
        self.assertEqual([e["number"] for e in found], list(range(110000)))
        since = self.kept["flood"][1000]["time"]
        found = records(self.sonde("export", "-", "flood", "--since", since, "--where", "number < 1100")[0])
        self.assertEqual(found, [e for e in self.kept["flood"] if e["time"] >= since and e["number"] < 1100])

    def test_csv(self):
        self.sonde("export", self.path("process.csv"), "process")
        with open(self.path("process.csv"), newline="") as f:
            found = list(csv.DictReader(f))
        for exported, kept in zip(found, self.kept["process"], strict=False):
            self.same(exported, {name: "" if value is None else value if isinstance(value, str) else json.dumps(value)
                                 for name, value in kept.items()})
        self.assertGreaterEqual(len(found), len(self.kept["process"]))
        none, _ = self.sonde("export", "-", "process", "-o", "csv", "--until", "2020-01-01T00:00:00Z")
        self.assertEqual(none, ",".join(found[0]) + "\n")

    def tables(self, name, types):
        """Of an exported SQLite file the rows of each table, compared with what the API said; how many there are."""
        rows = 0
        with contextlib.closing(sqlite3.connect(self.path(name))) as db:
            db.row_factory = sqlite3.Row
            self.assertEqual({row[0] for row in db.execute("SELECT name FROM sqlite_master")}, set(types))
            for table in types:
                found = [dict(row) for row in db.execute("SELECT * FROM %s ORDER BY rowid" % table)]
                for row, kept in zip(found, self.kept.get(table, ()), strict=False):
                    self.same(row, {**kept, "time": nanoseconds(kept["time"])})
                rows += len(found)
        return rows

    def test_sqlite(self):
        _, notes = self.sonde("export", self.path("all.db"))
        rows = self.tables("all.db", ("control_group", "flood", "process"))
        self.assertIn("note: %d events of %s\n" % (rows, self.store), notes)
        self.assertGreaterEqual(rows, sum(map(len, self.kept.values())))
        with contextlib.closing(sqlite3.connect(self.path("all.db"))) as db:
            found = db.execute("SELECT DISTINCT arguments FROM process WHERE arguments LIKE 'true 7 %'").fetchall()
        self.assertEqual(found, [("true 7 'a \"quoted\", word'",)])
        self.assertEqual(stat.S_IMODE(os.stat(self.path("all.db")).st_mode), 0o640)
        _, notes = self.sonde("export", self.path("few.sqlite"), "flood", "-n", "10")
        self.assertEqual(self.tables("few.sqlite", ("flood",)), 10)
        # The same notes as an export of the same span as text.
        until = ("--until", self.kept["flood"][-1]["time"])
        for span in (until, ("--since", self.kept["flood"][9]["time"], *until)):
            said = {self.sonde("export", self.path("%d.%s" % (len(span), ending)), "flood", *span)[1] for ending in ("db", "jsonl")}
            self.assertEqual(len(said), 1, said)

    def test_damaged_blocks(self):
        """A column of a block, then the facts of another one: what is lost is left out and said, the same in each form."""
        with contextlib.closing(sqlite3.connect(self.store, isolation_level=None)) as db:
            blocks = db.execute("SELECT id, count, data FROM sonde_blocks WHERE type = 'flood' ORDER BY first").fetchall()
            (first, lost, data), (last, more, _) = blocks[0], blocks[-1]
            db.execute("UPDATE sonde_blocks SET data = ? WHERE id = ?", (data[:-1] + bytes([data[-1] ^ 1]), first))
        good = EVENTS - lost
        for name in ("flood.jsonl", "flood.csv", "flood.db"):
            _, notes = self.sonde("export", self.path(name), "flood")
            self.assertIn("note: %d events of %s\n" % (good, self.store), notes)
            self.assertIn("%d events lost in damaged blocks" % lost, notes)
        with open(self.path("flood.jsonl")) as f:
            numbers = [e["number"] for e in records(f.read())]
        with contextlib.closing(sqlite3.connect(self.path("flood.db"))) as db:
            self.assertEqual([row[0] for row in db.execute("SELECT number FROM flood ORDER BY rowid")], numbers)
        answer, notes = self.sonde("sql", "SELECT count(*) AS n, min(number) AS least FROM flood", "-o", "csv")
        self.assertEqual(answer, "n,least\n%d,%d\n" % (good, numbers[0]))
        self.assertIn("%d events lost in damaged blocks" % lost, notes)
        # What is damaged is not asked for.
        answer, notes = self.sonde("sql", "SELECT count(pid) AS n FROM flood", "-o", "csv")
        self.assertEqual(answer, "n\n%d\n" % EVENTS)
        self.assertNotIn("damaged", notes)
        with contextlib.closing(sqlite3.connect(self.store, isolation_level=None)) as db:
            db.execute("UPDATE sonde_blocks SET newest_ns = newest_ns + 1 WHERE id = ?", (last,))
        for name in ("both.jsonl", "both.db"):
            _, notes = self.sonde("export", self.path(name), "flood")
            self.assertIn("note: %d events of %s\n" % (good - more, self.store), notes)
            self.assertIn("%d events lost in damaged blocks" % (lost + more), notes)

    def overwrite(self, data):
        """Damage a page of a block's data that is not the list's, so that SQLite cannot follow it. Such are those behind the
        first 4,096 bytes; it is found by bytes that stand only there."""
        with open(self.store, "r+b") as f:
            content = f.read()
            part = next(data[at:at + 64] for at in range(4100, len(data) - 64, 16) if content.count(data[at:at + 64]) == 1)
            f.seek(content.index(part) // 4096 * 4096)
            f.write(b"\xff" * 4096)

    def test_a_damaged_page(self):
        """SQLite cannot follow the pages of one block: it is lost, the rest is good and is served. Then not the list either."""
        with contextlib.closing(sqlite3.connect(self.store, isolation_level=None)) as db:
            db.execute("VACUUM")  # no page has what is stored elsewhere by now
            number, lost, data = db.execute("SELECT id, count, data FROM sonde_blocks WHERE type = 'flood'"
                                            " ORDER BY length(data) DESC").fetchone()
            pages = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sonde_blocks'").fetchone()[0]
        self.overwrite(data)
        answer, notes = self.sonde("store", "verify", code=1)
        self.assertRegex(answer, r"flood +%d +%d +1\n" % (EVENTS - lost, lost))
        self.assertIn("block %d of flood is damaged" % number, notes)
        found, notes = self.sonde("export", "-", "flood")
        self.assertEqual(len(records(found)), EVENTS - lost)
        self.assertIn("%d events lost in damaged blocks" % lost, notes)
        with open(self.store, "r+b") as f:
            f.seek((pages - 1) * 4096)
            f.write(b"\xff" * 4096)
        answer, error = self.sonde("store", "verify", code=1)
        self.assertRegex(answer, r"flood +0 +%d +0\n" % EVENTS)
        self.assertIn("damaged where it lists its blocks", error)
        self.assertIn("disk image is malformed", error)

    def test_a_place_that_cannot_be_written(self):
        """A file that was closed in order, on a full file system, then on one that is read only: all of it can be read."""
        disk = self.path("a disk?")
        os.mkdir(disk)
        store = os.path.join(disk, "100%#.db")
        expected = [self.sonde(*question)[0] for question in QUESTIONS]
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
        try:
            shutil.copy(self.recording, store)
            subprocess.run(["dd", "if=/dev/zero", "of=" + os.path.join(disk, "fill"), "bs=4096"], stderr=subprocess.DEVNULL)
            self.assertEqual(os.statvfs(disk).f_bavail, 0)
            self.assertEqual([self.sonde(*question, store=store)[0] for question in QUESTIONS], expected)
            for name in os.listdir(disk):
                if not name.endswith(".db"):
                    os.unlink(os.path.join(disk, name))
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            self.assertEqual([self.sonde(*question, store=store)[0] for question in QUESTIONS], expected)
            self.sonde("export", self.path("ro.db"), store=store)
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_a_log_in_a_place_that_cannot_be_written(self):
        """What stands in the log only must not be left out in silence."""
        disk = self.path("disk")
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
        try:
            with contextlib.closing(sqlite3.connect(self.store, isolation_level=None)) as db:
                db.execute("UPDATE sonde_runs SET last_seen_ns = last_seen_ns + 1")
                for ending in ("", "-wal"):
                    shutil.copy(self.store + ending, disk)
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            _, error = self.sonde("store", "verify", store=os.path.join(disk, "events.db"), code=1)
            self.assertIn("copy all its files", error)
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_a_slow_reader_does_not_hold_the_store(self):
        """A pipe that nobody reads: the log of the store can be emptied meanwhile."""
        questions = (("export", "-", "flood"), ("events", "flood", "-o", "json"), ("events", "flood", "-o", "json", "--oldest-first"))
        with contextlib.closing(sqlite3.connect(self.store, isolation_level=None)) as db:
            for question in questions:
                db.execute("UPDATE sonde_runs SET last_seen_ns = last_seen_ns + 1")  # something stands in the log
                with subprocess.Popen([SONDE, *question, "--store", self.store], bufsize=0, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE) as process:
                    first = process.stdout.read(1)  # it writes, so it waits for us
                    self.assertEqual(db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0], 0, question)
                    rest, notes = process.communicate(timeout=60)
                numbers = [record["number"] for record in records(first + rest)]
                self.assertEqual(len(numbers), EVENTS, (question, notes))
                self.assertEqual(len(set(numbers)), EVENTS, question)  # no page has what another had

    def test_no_store(self):
        """Whatever is in the place of one: each command says it in one line, with the path and what to do."""
        def make(name, content):
            with open(self.path(name), "wb") as f:
                f.write(content)

        make("empty.db", b"")
        make("text.db", b"What I had for breakfast, day by day.\n")
        with open(self.store, "rb") as f:
            make("short.db", f.read(40000))
        with contextlib.closing(sqlite3.connect(self.path("other.db"), isolation_level=None)) as db:
            db.execute("CREATE TABLE flood (number)")
        os.mkdir(self.path("folder.db"))
        os.mkfifo(self.path("fifo.db"))
        os.symlink(self.store, self.path("link.db"))
        os.mkdir(self.path("closed"), 0o700)
        for path in ("closed/events.db", "secret.db"):
            shutil.copy(self.store, self.path(path))
        os.chmod(self.path("secret.db"), 0o600)
        locked = shutil.copy(self.store, self.path("locked.db"))
        saved = r"; if it was one, docs/store.md says what can be saved \(\"When the file is damaged\"\)"
        itself, ask = "give the store's file itself", "Permission denied; ask as root, or as the user of the agent's worker"
        expected = {
            "missing.db": "there is no store PATH: is the path right", "no/folder.db": "there is no store PATH: is the path right",
            "empty.db": "PATH cannot be read as a store: it is not a store of sonde" + saved,
            "other.db": "PATH cannot be read as a store: it is not a store of sonde" + saved,
            "text.db": "PATH cannot be read as a store: file is not a database" + saved,
            "short.db": "PATH cannot be read as a store: database disk image is malformed" + saved,
            "folder.db": "PATH is a directory: " + itself, "fifo.db": "PATH is no plain file: " + itself,
            "link.db": "PATH is a symbolic link: " + itself, "secret.db": "PATH cannot be read: " + ask,
            "closed/events.db": "PATH cannot be read: " + ask,
            "locked.db": "PATH cannot be read as a store: another program keeps the file locked; end that one, or ask again",
        }
        os.chmod(self.root, 0o755)
        os.chmod(self.folder, 0o755)
        with contextlib.closing(sqlite3.connect(locked, isolation_level=None)) as db:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            for name, said in expected.items():
                somebody = {"user": 65534, "group": 65534, "extra_groups": []} if "Permission" in said else {}
                all_questions = (*QUESTIONS, ("store", "info"), ("count", "flood"), ("export", self.path("x.db")))
                for question in QUESTIONS[:2] if "locked" in name else all_questions:  # each waits 2 s for the lock
                    _, error = self.sonde(*question, store=self.path(name), code=1, **somebody)
                    self.assertRegex(error, r"\Asonde: %s.*\n\Z" % said.replace("PATH", self.path(name)), question)

    def test_wrong_questions_leave_nothing(self):
        for arguments, said in ((("x.jsonl", "nonsense"), "there are: control_group, flood, process"),
                                (("x.db", "nonsense"), "there are: control_group, flood, process"),
                                (("x.db", "-n", "5"), "one type"), (("x.db", "flood", "--where", "number < 5"), "--where"),
                                (("x.csv",), "columns of one type"), (("x.txt",), "ends neither")):
            _, error = self.sonde("export", self.path(arguments[0]), *arguments[1:], code=2)
            self.assertIn(said, error)
        for name in ("x.csv", "x.db"):  # of one that was killed, or still runs
            with open(self.path(name + ".part"), "w") as f:
                f.write("theirs")
            self.assertIn("remove", self.sonde("export", self.path(name), "flood", code=1)[1])
            with open(self.path(name + ".part")) as f:
                self.assertEqual(f.read(), "theirs")
            os.unlink(f.name)
        self.assertEqual([name for name in os.listdir(self.folder) if not name.startswith("events.db")], [])

    def test_a_failed_export_leaves_nothing(self):
        """A full file system, then room."""
        room = self.path("room")
        os.mkdir(room)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", room], check=True)
        try:
            for name in ("flood.jsonl", "flood.csv", "flood.db"):
                arguments = ("export", os.path.join(room, name), "flood")
                _, error = self.sonde(*arguments, code=1)
                self.assertRegex(error, "(?i)no space")
                self.assertEqual(os.listdir(room), [])
                self.sonde(*arguments, "-n", "100")
                self.assertEqual(os.listdir(room), [name])
                self.assertIn("is there already", self.sonde(*arguments, code=1)[1])
                self.assertEqual(stat.S_IMODE(os.stat(arguments[1]).st_mode), 0o640)
                os.unlink(arguments[1])
        finally:
            subprocess.run(["umount", room], check=True)


if __name__ == "__main__":
    unittest.main()
