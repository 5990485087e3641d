#!/usr/bin/env python3
"""Remakes benchmarks/results/soak.md and soak.svg: 20,000 requests of all kinds, one in twenty hostile, and what grows meanwhile.

    cargo build --release -p unscene -p unscene-serve
    python3 benchmarks/soak.py target/release [--requests 20000] [--clients 8] [--seed 1] [--write]

Ends with 1, and says why, when a good request fails, a hostile one is answered as none should be, the resident memory of the service
grows by 1 MB or more in 1,000 requests, or it has more threads or open files at rest than it had after the first tenth. A number of
requests makes the same request in every run with the same seed. Needs matplotlib for the plot, which a run of fewer requests makes with
--write only.
"""

import argparse
import collections
import http.client
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from run import RESULTS, bundle, machine, table, write_whole
from serving import Service, memory_mib, tree
from soak_clients import NO_VIDEOS, PATIENCE_S, ROOT, Good, Hostile

REQUESTS = 20_000
HOSTILE = 0.05
WARM_UP = 0.1
#: MB of resident memory in 1,000 requests.
MOST_SLOPE = 1.0
#: What the allocator does in so few requests says nothing about many.
FEWEST_FOR_SLOPE = 5_000
#: Threads of the service that wait for work end after ten seconds.
REST_S = 15

MODELS = {
    "classifier": ["--arch", "r3d18-hara", "--width", 0.125, "--size", 56, "--classes", 5],
    "localizer": ["--arch", "r3d18-hara", "--task", "localize", "--width", 0.125, "--frames", 64, "--size", 56, "--classes", 5],
    "detector": ["--arch", "vgg16-ssd", "--task", "detect", "--width", 0.125, "--size", 96, "--classes", 5],
}


def videos(release, folder):
    """Good videos by name: those of the tests, and ten of 5 to 15 seconds."""
    made = folder / "stage"
    subprocess.run([release / "unscene", "stage", "--untrimmed", "--preset", "tiny", "--out", made], check=True, stdout=subprocess.DEVNULL)
    files = [*(ROOT / "tests/fixtures/video").iterdir(), *sorted(made.rglob("*.mp4"))]
    return {file.name: file.read_bytes() for file in files if file.name not in NO_VIDEOS}


class Watch:
    """What the service has, second by second."""

    def __init__(self, service):
        self.service, self.samples, self.done = service, [], 0
        self.ended = threading.Event()
        self.begun = time.monotonic()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ended.wait(1):
            self.samples.append(self.sample())

    def sample(self):
        server, *workers = tree(self.service.process.pid)
        counted = {what: len(list(Path(f"/proc/{server}/{what}").iterdir())) for what in ("task", "fd")}
        return {
            "at": time.monotonic() - self.begun,
            "done": self.done,
            "rss": memory_mib(server, "Rss"),
            "pss": memory_mib(server),
            "workers_pss": sum(map(memory_mib, workers)),
            "workers": len(workers),
            "threads": counted["task"],
            # A process that decodes is spoken to through one; there may be more of these later on, up to a number that flags bound.
            "files": counted["fd"] - len(workers),
        }

    def at_rest(self):
        while metric(self.service, "unscene_open_videos"):
            time.sleep(0.1)
        time.sleep(REST_S)
        return self.sample()

    def stop(self):
        self.ended.set()
        self.thread.join()


def metric(service, name):
    connection = http.client.HTTPConnection(service.address, timeout=PATIENCE_S)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))


class Soak:
    def __init__(self, service, videos, seed, clients):
        self.service, self.seed, self.clients = service, seed, clients
        self.good, self.hostile, self.watch = Good(service, videos), Hostile(service, videos), Watch(service)
        self.outcomes = collections.Counter()
        self.failures, self.lock = [], threading.Lock()

    def run(self, numbers):
        """Has the clients make these requests; gives the seconds."""
        numbers, begun = iter(numbers), time.monotonic()

        def client():
            connection = http.client.HTTPConnection(self.service.address, timeout=PATIENCE_S)
            while True:
                with self.lock:
                    number = next(numbers, None)
                if number is None or self.service.process.poll() is not None:
                    break
                self.one(number, connection)
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.service.process.poll() is not None:
            raise SystemExit(f"soak: the service ended by itself, with {self.service.process.returncode}")
        return time.monotonic() - begun

    def one(self, number, connection):
        rng = random.Random(f"{self.seed} {number}")
        try:
            if rng.random() < HOSTILE:
                kind, outcome, fine = self.hostile.harm(rng)
                wrong = None if fine else f"{kind}: {outcome}"
            else:
                kind, outcome = "good", 200
                asked, wrong = self.good.ask(connection, rng)
                if wrong:
                    outcome, wrong = "failed", f"{asked}: {wrong}"
        except Exception as error:
            connection.close()
            kind, outcome, wrong = "a client", "failed", f"{type(error).__name__}: {error}"
        with self.lock:
            self.watch.done += 1
            self.outcomes[kind, outcome] += 1
            if wrong:
                self.failures.append(f"request {number}: {wrong}")
                print(f"soak: {self.failures[-1]}", file=sys.stderr, flush=True)


def slope(samples, what):
    """MB in 1,000 requests, by least squares."""
    done, sizes = [one["done"] / 1e3 for one in samples], [one[what] * 2**20 / 1e6 for one in samples]
    return statistics.linear_regression(done, sizes).slope


def plot(samples, warm, path):
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "soak"
    figure, (sizes, counts) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    # As many as can be told apart.
    samples = samples[:: 1 + len(samples) // 500]
    done = [one["done"] for one in samples]
    sizes.plot(done, [one["rss"] for one in samples], label="the service")
    sizes.plot(done, [one["workers_pss"] for one in samples], color="0.6", label="its decoding processes")
    sizes.set_ylabel("resident, MiB")
    counts.plot(done, [one["threads"] for one in samples], label="threads")
    counts.plot(done, [one["files"] for one in samples], color="0.6", label="open files")
    counts.set_xlabel("requests")
    for axes in (sizes, counts):
        axes.axvline(warm, color="0.3", linestyle=":", label="warm")
        axes.set_ylim(bottom=0)
        axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def report(arguments, soak, measured, seconds, deaths):
    after, resting = measured[0], measured[-1]
    # Some seconds at work.
    ends = measured[1:16] or measured, measured[-16:-1] or measured
    hostile = sum(count for (kind, _), count in soak.outcomes.items() if kind != "good")

    def first_last(what):
        return ", ".join(f"{statistics.median(one[what] for one in part):.1f}" for part in ends)

    def counts(what):
        return f"{after[what]}, {resting[what]} ({max(one[what] for one in measured)})"

    rows = [
        ["good requests, of them not answered as they should be", f"{soak.outcomes['good', 200] + soak.outcomes['good', 'failed']:,}, {soak.outcomes['good', 'failed']}"],
        ["of them told to come later, as often", soak.good.retried],
        ["hostile requests", f"{hostile:,}"],
        ["requests/s", f"{(resting['done'] - after['done']) / seconds:.1f}"],
        ["resident memory of the service: MB in 1,000 requests", f"{slope(measured, 'rss'):.3f}"],
        ["the same, pages that are shared in parts", f"{slope(measured, 'pss'):.3f}"],
        ["of its decoding processes: MB in 1,000 requests", f"{slope(measured, 'workers_pss'):.3f}"],
        ["resident, MiB: the service when warm, at the end", first_last("rss")],
        ["its decoding processes when warm, at the end", first_last("workers_pss")],
        ["threads at rest when warm, at the end (most at work)", counts("threads")],
        ["open files at rest when warm, at the end (most at work)", counts("files")],
        ["decoding processes when warm, at the end; replaced", f"{after['workers']}, {resting['workers']}; {deaths:.0f}"],
    ]
    kinds = collections.defaultdict(list)
    for (kind, outcome), count in sorted(soak.outcomes.items(), key=str):
        if kind != "good":
            kinds[kind].append(f"{count} x {outcome}")
    asked = f"--requests {arguments.requests} --clients {arguments.clients} --seed {arguments.seed}"
    return (f"# Soak: {arguments.requests:,} requests, one in twenty of them hostile\n\n"
            f"`python3 benchmarks/soak.py target/release {asked}` on {machine()}; the requests are made on the same machine. A classifier, a\n"
            f"localizer and a detector of an eighth of the usual channels, {len(soak.good.videos)} videos in bodies of 1 kB to 8 MiB, {arguments.clients} clients\n"
            f"that wait. \"Warm\" is after {WARM_UP:.0%} of the requests. A slope of {MOST_SLOPE:g} MB, a thread or file more, or a good request that fails ends\n"
            "the program with 1.\n\n"
            + table(["", ""], rows)
            + "\n\nHostile requests, and what came of them:\n\n"
            + table(["", ""], [[kind, ", ".join(outcomes)] for kind, outcomes in kinds.items()])
            + "\n\n![Memory, threads and files over requests](soak.svg)\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the results of a shorter run too")
    arguments = parser.parse_args()
    release, warm = arguments.release.resolve(), int(WARM_UP * arguments.requests)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        bundles = [bundle(release, folder, name, *init) for name, init in MODELS.items()]
        service = Service(release, bundles)
        soak = Soak(service, videos(release, folder), arguments.seed, arguments.clients)
        try:
            soak.run(range(warm))
            after, samples = soak.watch.at_rest(), len(soak.watch.samples)
            seconds = soak.run(range(warm, arguments.requests))
            working = soak.watch.samples[samples:]
            resting, deaths = soak.watch.at_rest(), metric(service, "unscene_worker_deaths_total")
        finally:
            soak.watch.stop()
            ended = service.stop()
    measured, failures = [after, *working, resting], soak.failures
    if arguments.requests >= FEWEST_FOR_SLOPE and slope(measured, "rss") >= MOST_SLOPE:
        failures.append(f"resident memory grows by {slope(measured, 'rss'):.2f} MB in 1,000 requests")
    for what in ("threads", "files"):
        if resting[what] > after[what]:
            failures.append(f"there are {resting[what]} {what} at rest in the end, and were {after[what]} when it was warm")
    if ended:
        failures.append(f"the service ended with {ended}")
    text = report(arguments, soak, measured, seconds, deaths)
    print(text)
    if arguments.write or arguments.requests >= REQUESTS:
        plot(soak.watch.samples, warm, RESULTS / "soak.svg")
        write_whole(RESULTS / "soak.md", text)
    if failures:
        raise SystemExit("soak: " + f"{len(failures)} things are wrong:\n  " + "\n  ".join(failures[:50]))


if __name__ == "__main__":
    main()
