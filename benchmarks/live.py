#!/usr/bin/env python3
"""Remakes benchmarks/results/live.md and live.svg: videos that are sent while they are filmed, at a rate that the machine can follow and at one
that it cannot, for five minutes each.

    cargo build --release -p unscene -p unscene-serve
    python3 benchmarks/live.py target/release [--seconds 300]

Needs the ffmpeg command, which films, and matplotlib for the plot.
"""

import argparse
import json
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from run import RESULTS, bundle, machine, table, write_whole
from serving import Service, memory_mib, percentile, tree

ARCH, FRAMES = "r3d18-hara", 16
#: Name, width of the network, and frames a second.
CASES = [("a rate that it can follow", 0.25, 25), ("a rate that it cannot", 1, 240)]


class Film:
    """Five minutes of a moving picture, sent as they are filmed, and what is seen in them."""

    def __init__(self, server, fps, seconds):
        self.clips, self.summary, self.memory = [], None, []
        self.begun = time.monotonic()
        camera = subprocess.Popen(
            ["ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i", f"testsrc2=size=640x360:rate={fps}", "-t", str(seconds), "-c:v", "libx264",
             "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", str(fps), "-flush_packets", "1", "-f", "mpegts", "-"],
            stdout=subprocess.PIPE)
        host, port = server.address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.sendall(f"POST /v1/stream HTTP/1.1\r\nHost: {server.address}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        reader, watcher = threading.Thread(target=self.listen), threading.Thread(target=self.watch, args=(server,))
        reader.start(), watcher.start()
        #: The longest that the service kept the camera waiting.
        self.blocked = 0
        while part := camera.stdout.read1(65536):
            begun = time.monotonic()
            self.socket.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.blocked = max(self.blocked, time.monotonic() - begun)
        self.socket.sendall(b"0\r\n\r\n")
        reader.join(), watcher.join()

    def listen(self):
        for line in self.socket.makefile("rb"):
            if not line.startswith(b"data: "):
                continue
            (name, told), = json.loads(line[6:]).items()
            if name == "clip":
                self.clips.append((time.monotonic() - self.begun, told))
            else:
                self.summary = {"name": name, **told}
                return

    def watch(self, server):
        while self.summary is None:
            self.memory.append((time.monotonic() - self.begun, sum(memory_mib(one) for one in tree(server.process.pid))))
            time.sleep(1)


def plot(films, path):
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "live"
    figure, (delays, sizes) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    for (name, width, fps), film in films:
        delays.plot([at for at, _ in film.clips], [clip["delay_s"] for _, clip in film.clips], linewidth=0.8, label=f"{name}: {fps} frames/s")
        delays.axhline(FRAMES / fps + 1, linestyle=":", color=delays.lines[-1].get_color())
        sizes.plot(*zip(*film.memory), label=name)
    delays.set_ylabel("delay of an answer, s\n(dotted: a clip and a second)")
    delays.set_ylim(bottom=0)
    delays.legend()
    sizes.set_ylabel("resident, MiB")
    sizes.set_ylim(bottom=0)
    sizes.set_xlabel("seconds")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--seconds", type=float, default=300)
    arguments = parser.parse_args()
    release, films = arguments.release.resolve(), []
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            _, width, fps = case
            made = bundle(release, Path(folder), f"live-{width}", "--arch", ARCH, "--width", width, "--classes", 400)
            server = Service(release, [made])
            try:
                films.append((case, Film(server, fps, arguments.seconds)))
            finally:
                server.stop()
    rows = []
    for (name, width, fps), film in films:
        if film.summary["name"] != "summary":
            raise SystemExit(f"{name}: {film.summary}")
        delays = [clip["delay_s"] for _, clip in film.clips]
        dropped = sum(clip["dropped"] for _, clip in film.clips)
        first, last = (statistics.median(size for _, size in part) for part in (film.memory[10:40], film.memory[-30:]))
        rows.append([name, width, fps, f"{FRAMES / fps + 1:.2f}", *(f"{percentile(delays, share):.2f}" for share in (0.5, 0.99, 1)),
                     f"{len(delays)}, {dropped}", f"{100 * film.summary['dropped_share']:.1f}", f"{first:.0f}, {last:.0f}", f"{film.blocked:.2f}"])
    header = ["", "width", "frames/s", "a clip and a second, s", "delay, s: p50", "p99", "most", "clips seen, dropped", "dropped, %",
              "resident at the beginning and the end, MiB", "the camera waited, s"]
    text = ("# Live: videos that are sent while they are filmed\n\n"
            f"`python3 benchmarks/live.py target/release --seconds {arguments.seconds:g}` on {machine()}. {ARCH}, clips of {FRAMES} frames; 640 x 360, H.264 in\n"
            "MPEG-TS, filmed, encoded and sent on the same machine. The delay is from when the last frame of a clip came to its answer.\n\n"
            + table(header, rows) + "\n\n![Delays and memory over time](live.svg)\n")
    plot(films, RESULTS / "live.svg")
    write_whole(RESULTS / "live.md", text)
    print(text)


if __name__ == "__main__":
    main()
