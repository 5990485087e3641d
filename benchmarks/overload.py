#!/usr/bin/env python3
"""Remakes benchmarks/results/overload.md and overload.svg: the service at four times what it can do, for two minutes.

    cargo build --release -p unscene -p unscene-serve
    python3 benchmarks/overload.py target/release [--seconds 120] [--times 4]

First a few clients that each wait for their answers say what it can do. Then requests come at a steady rate whatever becomes of them,
and when they cease, one client asks until it is answered as before: within twice the seconds that were the median. Needs matplotlib for the plot.
"""

import argparse
import concurrent.futures
import http.client
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

from run import RESULTS, bundle, machine, table, write_whole
from serving import Service, memory_mib, percentile, tree

VIDEO = Path(__file__).resolve().parent.parent / "tests/fixtures/video/h264.mp4"
ARCH, WIDTH = "r3d18-hara", 0.5
CLIENTS = 4
#: Clips that may come before a request, and requests that may wait: what bounds the time of those that are taken.
QUEUE_CLIPS, QUEUE, VIDEOS = 24, 1, 3
#: Times the median of before, an answer is one as before.
USUAL = 2


class Server(Service):
    def __init__(self, release, folder):
        made = bundle(release, folder, ARCH, "--arch", ARCH, "--width", WIDTH, "--classes", 400)
        super().__init__(release, [made], "--queue-clips", QUEUE_CLIPS, "--queue", QUEUE, "--max-videos", VIDEOS)
        self.video = VIDEO.read_bytes()

    def ask(self):
        """Status, when it was asked, seconds until the answer, and Retry-After."""
        begun = time.monotonic()
        try:
            connection = http.client.HTTPConnection(self.address, timeout=120)
            connection.request("POST", "/v1/classify", self.video)
            response = connection.getresponse()
            response.read()
            status, retry = response.status, response.getheader("Retry-After")
            connection.close()
        except OSError as error:
            status, retry = type(error).__name__, None
        return status, begun, time.monotonic() - begun, retry and int(retry)


def capacity(server, seconds):
    """Answers a second, and the seconds of each, with clients that wait."""
    end, taken, lock = time.monotonic() + seconds, [], threading.Lock()

    def client():
        while time.monotonic() < end:
            found = server.ask()
            with lock:
                taken.append(found)

    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        [pool.submit(client) for _ in range(CLIENTS)]
    if any(status != 200 for status, *_ in taken):
        raise SystemExit(f"not every answer of a service that is not overloaded was 200: {sorted({str(one[0]) for one in taken})}")
    return len(taken) / (time.monotonic() - begun), [one[2] for one in taken]


def overload(server, rate, seconds, usual):
    """Every request of that many seconds, the memory second by second, and the seconds after which one is answered within `usual` seconds."""
    memory, done = [], threading.Event()

    def watch():
        while not done.wait(1):
            # The service, and the processes that decode for it.
            memory.append((time.monotonic(), sum(memory_mib(one) for one in tree(server.process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun, requests = time.monotonic(), []
    with concurrent.futures.ThreadPoolExecutor(256) as pool:
        for number in range(int(rate * seconds)):
            wait = begun + number / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            requests.append(pool.submit(server.ask))
        ceased = time.monotonic()
        while True:
            status, _, took, _ = server.ask()
            if status == 200 and took <= usual:
                break
        recovered = time.monotonic() - ceased
    done.set()
    watcher.join()
    return begun, [request.result() for request in requests], memory, recovered


def plot(begun, requests, memory, best, path):
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "overload"
    figure, (rates, times, sizes) = plt.subplots(3, 1, figsize=(8, 7), sharex=True, layout="constrained")
    bins = range(int(max(at - begun + took for _, at, took, _ in requests)) + 1)

    def by_second(wanted):
        counts = [0] * len(bins)
        for status, at, took, _ in requests:
            if (status == 200) == wanted:
                counts[int(at + took - begun)] += 1
        return counts

    rates.plot(bins, by_second(True), label="answered")
    rates.plot(bins, by_second(False), label="refused", color="0.6")
    rates.axhline(best, color="0.3", linestyle=":", label="what it can do")
    rates.set_ylabel("requests/s")
    rates.legend()
    answered = [(at - begun, took) for status, at, took, _ in requests if status == 200]
    refused = [(at - begun, took) for status, at, took, _ in requests if status != 200]
    times.scatter(*zip(*refused), s=2, color="0.6", label="refused")
    times.scatter(*zip(*answered), s=4, label="answered")
    times.set_ylabel("seconds to the answer")
    times.set_ylim(bottom=0)
    sizes.plot([at - begun for at, _ in memory], [size for _, size in memory])
    sizes.set_ylabel("resident, MiB")
    sizes.set_ylim(bottom=0)
    sizes.set_xlabel("seconds")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--times", type=float, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(arguments.release.resolve(), Path(folder))
        try:
            capacity(server, 5)
            before, taken = capacity(server, 30)
            usual = USUAL * statistics.median(taken)
            begun, requests, memory, recovered = overload(server, arguments.times * before, arguments.seconds, usual)
            after, times = capacity(server, 30)
        finally:
            server.stop()
    best = statistics.mean([before, after])
    answered = [one for one in requests if one[0] == 200]
    others = {}
    for status, *_ in requests:
        if status != 200:
            others[str(status)] = others.get(str(status), 0) + 1
    retries = [retry for status, _, _, retry in requests if status == 429]
    first, last = (statistics.median(size for _, size in part) for part in (memory[5:20], memory[-15:]))
    rows = [
        [f"answers/s of {CLIENTS} clients that wait, before and after", f"{before:.2f}, {after:.2f}"],
        ["requests/s", f"{len(requests) / arguments.seconds:.1f}"],
        ["answers/s under that (of what it can do)", f"{len(answered) / arguments.seconds:.2f} ({len(answered) / arguments.seconds / best:.3f})"],
        ["other answers", ", ".join(f"{count} x {status}" for status, count in sorted(others.items()))],
        ["seconds to an answer: p50, p95, p99, most",
         ", ".join(f"{percentile([one[2] for one in answered], share):.2f}" for share in (0.5, 0.95, 0.99, 1))],
        ["the same without overload", ", ".join(f"{percentile(times, share):.2f}" for share in (0.5, 0.95, 0.99, 1))],
        ["seconds to a refusal: p50, p99", ", ".join(f"{percentile([one[2] for one in requests if one[0] == 429] or [0], share):.3f}" for share in (0.5, 0.99))],
        ["Retry-After, s", f"{min(retries, default=0)} to {max(retries, default=0)}"],
        ["resident at the beginning and the end, MiB", f"{first:.0f}, {last:.0f}"],
        [f"seconds after it until a request has been answered within {usual:.2f} s, {USUAL} x the median of before", f"{recovered:.2f}"],
    ]
    text = (f"# Overload: the service at {arguments.times:g} times what it can do\n\n"
            f"`python3 benchmarks/overload.py target/release --seconds {arguments.seconds:g} --times {arguments.times:g}` on {machine()}. "
            f"{ARCH} at a width of {WIDTH}, videos of 3 clips (96 x 64, 40 frames), `--queue-clips {QUEUE_CLIPS} --queue {QUEUE} "
            f"--max-videos {VIDEOS}`; the requests are made on the same machine.\n\n"
            + table(["", ""], rows) + "\n\n![Requests, seconds and memory over time](overload.svg)\n")
    plot(begun, requests, memory, best, RESULTS / "overload.svg")
    write_whole(RESULTS / "overload.md", text)
    print(json.dumps({"statuses": others, "answered": len(answered)}))
    print(text)


if __name__ == "__main__":
    main()
