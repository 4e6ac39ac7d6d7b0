#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds every #include of src/ against tools/layers.txt.

A room may include its own headers, the headers of the rooms that its line names, and, because arrows
are transitive, of the rooms those may include. src/main stands above all rooms. *_internal.h is for
its own room only. Prints one line for each offence; the exit code says whether there was one.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
# These talk by ipc and never see one another (docs/architecture.md).
APART = ("gateway", "control", "keyholder", "supervisor")


def read_layers():
    layers = {}
    for number, line in enumerate((ROOT / "tools/layers.txt").read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        room, colon, rest = line.partition(":")
        if not colon:
            sys.exit(f"tools/layers.txt:{number}: expected 'room: rooms'")
        layers[room.strip()] = rest.split()
    return layers


def closure(layers, room, path=()):
    if room in path:
        sys.exit("tools/layers.txt: the arrows form a ring: " + " -> ".join(path + (room,)))
    reached = set()
    for below in layers[room]:
        if below not in layers:
            sys.exit(f"tools/layers.txt: {room} names the unknown room {below}")
        reached |= {below} | closure(layers, below, path + (room,))
    return reached


def main():
    layers = read_layers()
    allowed = {room: closure(layers, room) | {room} for room in layers}
    faults = []
    for one in APART:
        for other in APART:
            if one != other and other in allowed[one]:
                faults.append(f"tools/layers.txt: {one} must never reach {other}")
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        room = path.relative_to(ROOT / "src").parts[0]
        where = path.relative_to(ROOT)
        if room != "main" and room not in layers:
            faults.append(f"{where}: the room {room} is not in tools/layers.txt")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            header = match.group(1)
            target = header.split("/")[0]
            if "/" not in header or not (ROOT / "src" / header).is_file():
                faults.append(f'{where}:{number}: "{header}" does not name room/header.h')
            elif room != "main" and target not in allowed[room]:
                faults.append(f"{where}:{number}: {room} may not include {target} ({header})")
            elif header.endswith("_internal.h") and target != room:
                faults.append(f"{where}:{number}: {header} is internal to {target}")
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
