"""The service, started for a test, and plain requests to it."""

import json
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "serve/tests/fixtures"
LOCALIZER = ROOT / "crates/engine/tests/fixtures/localizer"


class Service:
    """`unscene-serve` with some bundles on a free port, until the end of the `with`."""

    def __init__(self, program, bundles, *flags):
        named = [part for bundle in bundles for part in ("--bundle", str(bundle))]
        command = [str(program), "--addr", "127.0.0.1:0", "--device", "cpu", *named, *map(str, flags)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if "listening on http://" in line:
                self.url = "http://" + line.split("listening on http://")[1].split()[0] + "/"
                break
        else:
            raise SystemExit("check_page: the service did not start:\n" + "".join(self.log))
        # A pipe that nobody reads would stop it.
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        if self.process.wait():
            raise SystemExit(f"check_page: the service ended with {self.process.returncode}")

    def ask(self, path, body=None, method=None):
        """Status and JSON of an answer."""
        request = urllib.request.Request(self.url + path, body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
