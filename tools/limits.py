#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the table of limits into docs/operating.md and docs/man/postern.1: tools/limits.py [POSTERN]

It comes from `postern serve --list-limits`; between the lines "limits" and "end of limits" nothing
is written by hand. A test holds both against the executable."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def rows(postern):
    text = subprocess.run([postern, "serve", "--list-limits"], capture_output=True, text=True,
                          check=True).stdout
    for line in text.splitlines()[1:]:
        name, value, low, high, what = line.split(None, 4)
        process, help_text = what.split(": ", 1)
        yield name, value, low, high, process, help_text


def replace(path, begin, end, body):
    text = path.read_text()
    pattern = re.compile(re.escape(begin) + r"\n.*?" + re.escape(end), re.S)
    assert pattern.search(text), f"{path}: there is no {begin!r} … {end!r}"
    path.write_text(pattern.sub(lambda _: f"{begin}\n{body}{end}", text))


def main():
    postern = sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/bin/postern"
    table = list(rows(postern))
    manual = "".join(f"| `{name}` | {value} | {low} – {high} | {process}: {what} |\n"
                     for name, value, low, high, process, what in table)
    replace(ROOT / "docs/operating.md", "<!-- limits -->", "<!-- end of limits -->",
            "\n| name | default | from – to | of what |\n|---|---|---|---|\n" + manual + "\n")
    page = "".join(".TP\n.BR {} \" ({}, {} to {})\"\n{}.\n".format(
        name.replace("-", "\\-"), value, low, high,
        (what[0].upper() + what[1:]).replace("-", "\\-")) for name, value, low, high, _, what in table)
    replace(ROOT / "docs/man/postern.1", '.\\" limits', '.\\" end of limits', page)


main()
