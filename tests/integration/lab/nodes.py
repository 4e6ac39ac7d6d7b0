# SPDX-License-Identifier: Apache-2.0
"""Backends and clients written for Node: started with their options, ended with their input."""
import json
import pathlib
import subprocess

JS = pathlib.Path(__file__).resolve().parents[1] / "js"


class Node:
    """`node SCRIPT OPTIONS`; the first line it prints is its port, when it is a server."""

    def __init__(self, script, scheme="https", **options):
        self.process = subprocess.Popen(
            ["node", str(JS / script), json.dumps(options)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, f"{script} did not start"
        self.port = int(line)
        self.url = f"{scheme}://localhost:{self.port}"

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def run(script, limit_s=60, **options):
    """Runs a script to its end; what it printed, as JSON."""
    done = subprocess.run(["node", str(JS / script), json.dumps(options)], capture_output=True,
                          text=True, timeout=limit_s)
    assert done.returncode == 0, f"{script}: {done.stderr[-3000:]}\n{done.stdout[-2000:]}"
    return json.loads(done.stdout)
