# SPDX-License-Identifier: Apache-2.0
"""Peers in Node: backend.mjs as a process, and programs that end by themselves."""
import json
import pathlib
import subprocess

JS = pathlib.Path(__file__).resolve().parents[1] / "js"


class Backend:
    """js/backend.mjs: https, h2, http and h2c listeners; the TLS ones demand a certificate."""

    def __init__(self, folder, server, client_ca):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        crt, key = server.write(folder, "node")
        ca = folder / "node-client-ca.crt"
        ca.write_bytes(client_ca.certificate_pem)
        self.log = (folder / "node.log").open("w+")
        self.process = subprocess.Popen(
            ["node", str(JS / "backend.mjs"),
             json.dumps({"cert": str(crt), "key": str(key), "ca": str(ca)})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise AssertionError("backend.mjs does not start:\n" + self.log.read())
        self.ports = json.loads(line)

    def url(self, name):
        scheme = "https" if name in ("https", "h2") else "http"
        return f"{scheme}://localhost:{self.ports[name]}"

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        self.log.close()


def start(program, options):
    """A program of js/ that prints one line of JSON at its end."""
    return subprocess.Popen(["node", str(JS / program), json.dumps(options)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def result(process, limit_s):
    out, err = process.communicate(timeout=limit_s)
    assert process.returncode == 0 and out, f"exit {process.returncode}: {err}"
    return json.loads(out.strip().splitlines()[-1])
