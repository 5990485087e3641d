"""What the benchmarks of the service share: the program that runs, what /proc says of a server's processes, and percentiles."""

import subprocess
import threading
from pathlib import Path


class Service:
    """`unscene-serve` with ONNX Runtime on a free port of this machine."""

    def __init__(self, release, bundles, *flags):
        flags = ["--addr", "127.0.0.1:0", "--engine", "ort", "--device", "cpu", *flags]
        command = [release / "unscene-serve", *(part for bundle in bundles for part in ("--bundle", bundle)), *flags]
        self.process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "listening on http://" in line:
                self.address = line.split("listening on http://")[1].split()[0]
                break
        else:
            raise SystemExit(f"unscene-serve ended with {self.process.wait()} before it listened")
        # It would wait for a full pipe.
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()

    def stop(self):
        self.process.terminate()
        return self.process.wait()


def parents():
    """The parent of every process there is."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may have spaces.
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return found


def tree(process):
    """The process of that number and all that come from it."""
    known, found = parents(), [process]
    for one in found:
        found += [child for child, parent in known.items() if parent == one]
    return found


def memory_mib(process, what="Pss"):
    """Of one process, 0 when it has ended: `Rss`, or `Pss`, in which what processes share is counted once, in parts."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
