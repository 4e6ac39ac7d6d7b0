#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Small rules that no compiler holds, over the files that git tracks: tools/lint.py RULE

  banned   calls that are not used here (in C sources)
  licence  an SPDX line at the head of each source, script and test; a head comment in C files
  paths    no path of the machine it was written on, no address of a package registry
  layout   no trailing blanks, no tabs in C, a newline at the end
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BANNED = ("strcpy strcat sprintf vsprintf strtok atoi atol atof gets alloca system popen "
          "bzero bcopy mktemp tmpnam").split()
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
COMMENT_OR_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
CODE = {".c", ".h", ".py", ".sh", ".mjs", ".cmake"}
MACHINE = re.compile(r"(?<![\w.$}{~])/(work|home|root|Users)/[\w.-]+|registry=https?://"
                     r'|"resolved":\s*"https?://'
                     r"|(?<![\w/.])(reference|shared)/[\w-]+\.md|/tmp/(brief|build-)")


def tracked():
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in out.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink():
            yield path


def text_of(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def blank_out(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def banned(path, text):
    if path.suffix not in (".c", ".h"):
        return
    for number, line in enumerate(COMMENT_OR_TEXT.sub(blank_out, text).splitlines(), 1):
        for match in CALL.finditer(line):
            yield number, f"{match.group(1)}() is not used here"


def licence(path, text):
    is_script = text.startswith("#!")
    if path.suffix not in CODE and not is_script:
        return
    head = "\n".join(text.splitlines()[:3])
    in_c = path.suffix in (".c", ".h")
    if "SPDX-License-Identifier: Apache-2.0" not in head and path.suffix != ".cmake":
        yield 1, "no SPDX-License-Identifier in the first three lines"
    elif in_c and re.match(r"/\* SPDX[^*\n]*\*/\s*\n(?!\s*/\*)", text):
        yield 1, "the head comment does not say what the file is for"


def paths(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        for match in MACHINE.finditer(line):
            yield number, f"'{match.group(0)}' belongs to one machine"


def layout(path, text):
    if path.suffix not in CODE | {".md", ".txt"} or not text:
        return
    if not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip():
            yield number, "blanks at the end of the line"
        if "\t" in line and path.suffix in (".c", ".h"):
            yield number, "a tab"


RULES = {"banned": banned, "licence": licence, "paths": paths, "layout": layout}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in RULES:
        sys.exit(__doc__)
    faults = 0
    for path in tracked():
        if path == pathlib.Path(__file__).resolve() and sys.argv[1] == "paths":
            continue  # the rule's own pattern
        text = text_of(path)
        if text is None:
            continue
        for number, what in RULES[sys.argv[1]](path, text):
            print(f"{path.relative_to(ROOT)}:{number}: {what}")
            faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
