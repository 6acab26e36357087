# SPDX-License-Identifier: Apache-2.0
"""A section's rows: what, unit, median, smallest and largest of the rounds, and the aim if there is one."""
import statistics


def number(value):
    if value == 0 or abs(value) >= 1000:
        return "{:,.0f}".format(value)
    return "%.*f" % (0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3, value)


class Section:
    def __init__(self, name):
        self.name, self.rows = name, []

    def add(self, what, unit, values, note="", aim=None, rule="<="):
        """`values`: one for each round. `aim` is met when the median is `rule` (<= or >=) it."""
        values = list(values)
        if not values:
            return self.skip(what, "no value")
        median = statistics.median(values)
        row = {"section": self.name, "what": what, "unit": unit, "median": median, "min": min(values), "max": max(values),
               "rounds": len(values), "note": note}
        if aim is not None:
            row.update(aim=aim, rule=rule, met=median <= aim if rule == "<=" else median >= aim)
        self.rows.append(row)

    def skip(self, what, why):
        self.rows.append({"section": self.name, "what": what, "skipped": why})

    def show(self):
        lines = [("what", "unit", "median", "min", "max", "n", "aim", "")]
        for r in self.rows:
            if "skipped" in r:
                lines.append((r["what"], "-", "-", "-", "-", "-", "", "skipped: " + r["skipped"]))
                continue
            aim = "%s %s %s" % (r["rule"], number(r["aim"]), "met" if r["met"] else "MISSED") if "aim" in r else ""
            lines.append((r["what"], r["unit"], number(r["median"]), number(r["min"]), number(r["max"]), str(r["rounds"]), aim,
                          r["note"]))
        widths = [max(len(line[i]) for line in lines) for i in range(7)]
        print("\n== %s" % self.name)
        for line in lines:
            print(" ".join([line[0].ljust(widths[0]), line[1].ljust(widths[1])] +
                           [line[i].rjust(widths[i]) for i in range(2, 6)] + [line[6].ljust(widths[6]), line[7]]).rstrip(),
                  flush=True)
