#!/usr/bin/env python3
"""The service against LitServe with the same network, and against loops over ready tensors; --write remakes benchmarks/results/serve.md.

    cargo build --release -p unscene -p unscene-serve
    cargo build --release -p unscene-benchmarks --bin engine
    python3 benchmarks/serve_peers.py target/release [--rounds 3] [--seconds 30] [--clients 1,8,32] [--only CONFIGURATION] [--video FILE] [--write]

LitServe (peers/litserve_server.py) has PyTorch or ONNX Runtime, batches of 1 or 4, and one or two workers that share the cores. What is
fastest of these with 8 clients is then compared with the service, in rounds in which the two and the loops take turns; the ratios are
medians over rounds. All servers are up, and stopped (SIGSTOP) while it is not their turn: LitServe's gathering of batches polls. Clients
keep their connections and ask again when they are answered; what counts begins when there are as many answers as clients, and lasts as
many seconds as are asked for, or until there are twice as many answers as clients, if that is later. Before anything is measured, all
must say the same of the video. Needs benchmarks/requirements.txt, and the ffmpeg command for the video.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import importlib.metadata
import itertools
import json
import os
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from decode_peers import Peer, make_video
from run import RESULTS, bundle, machine, table, write_whole
from serving import Service, memory_mib, percentile, tree

ARCH = "r3d18-hara"
#: With so many clients the best configuration is found, and the ratios are told.
CLIENTS = 8
#: Of the video: four clips, as large as those of UCF101 and HMDB51.
SECONDS, SIZE, FPS = 2.56, "320x240", 25
#: The largest difference of two answers' scores, as a share of the best.
TOLERANCE = 1e-2
STARTS = 3
#: Answers to each client, at least, of which a load is made.
ANSWERS = 2
#: Clips.
FEW = 8
PATIENCE_S = 600
CONFIGURATIONS = {
    f"{engine}, batch {batch}, {workers} worker{'s' * (workers > 1)}": (engine, batch, workers)
    for engine, batch, workers in itertools.product(("onnxruntime", "pytorch"), (1, 4), (1, 2))
}
PACKAGES = {"onnxruntime": "onnxruntime", "pytorch": "torch"}
AIMS = {"rate": 1.2, "p99": 2.0, "bare": 0.95, "ready": 0.95}
#: Over ready tensors: what they are called, and the flags of the program that runs them.
LOOPS = {"bare": ("the bare loop", ["--bare", 1]), "ready": ("the engine on ready tensors", ["--ready"])}


class Server:
    """Something that classifies the video when it is posted."""

    def __init__(self, begun, process, address, ready, path, video):
        self.process, self.address, self.path, self.video = process, address, path, video
        while not self.is_ready(ready):
            if process.poll() is not None:
                raise SystemExit(f"serve_peers: {process.args} ended with {process.returncode} before it was ready")
            time.sleep(0.01)
        self.ready_s = time.monotonic() - begun

    def connect(self):
        return http.client.HTTPConnection(self.address, timeout=PATIENCE_S)

    def is_ready(self, path):
        connection = self.connect()
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", path)
            return connection.getresponse().status == 200
        return False

    def ask(self, connection):
        connection.request("POST", self.path, self.video, {"Content-Type": "application/octet-stream"})
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"{self.path} of {self.address} answered {response.status}: {text[:300]}")
        return json.loads(text)

    def answer(self):
        with contextlib.closing(self.connect()) as connection:
            return self.ask(connection)

    def signal(self, number):
        # The number of a process that has ended may be another's.
        for process in tree(self.process.pid) if self.process.poll() is None else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    @contextlib.contextmanager
    def turn(self):
        """While it runs, and others do not."""
        self.signal(signal.SIGCONT)
        # Its timers notice first how long it has stood still, or they would give up on the connections made now.
        time.sleep(1)
        try:
            yield
        finally:
            self.signal(signal.SIGSTOP)

    def end(self):
        # All of its processes: LitServe's outlive the first one.
        self.signal(signal.SIGKILL)
        self.process.wait()


def ours(release, made, video):
    begun = time.monotonic()
    service = Service(release, [made])
    return Server(begun, service.process, service.address, "/readyz", "/v1/classify", video)


def litserve(made, video, configuration):
    engine, batch, workers = CONFIGURATIONS[configuration]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program, run = Path(__file__).resolve().parent / "peers/litserve_server.py", made.with_name(f"{made.name}-run")
    flags = ["--engine", engine, "--port", port, "--batch", batch, "--workers", workers]
    begun = time.monotonic()
    process = subprocess.Popen([str(part) for part in (sys.executable, program, made, run, *flags)], stdout=subprocess.DEVNULL)
    return Server(begun, process, f"127.0.0.1:{port}", "/health", "/predict", video)


def check_alike(servers):
    """Ends the program unless all say the same of the video."""
    scores = {}
    for name, server in servers.items():
        with server.turn():
            scores[name] = {one["label"]: one["score"] for one in server.answer()["predictions"]}
    first, *others = servers
    for name in others:
        own, other = scores[first], scores[name]
        # Of the best few of each; the best is among both.
        apart = max((abs(own[label] - other[label]) / max(own.values()) for label in own.keys() & other.keys()), default=1.0)
        if max(own, key=own.get) != max(other, key=other.get) or apart > TOLERANCE:
            raise SystemExit(f"serve_peers: {first} says {own}, {name} says {other}")
        print(f"serve_peers: {name} says the same, scores differ by {apart:.1e} of the best", file=sys.stderr, flush=True)


class Load:
    """What came of so many clients for so many seconds, and until there were enough answers."""

    def __init__(self, server, clients, seconds):
        answers, stop = [], threading.Event()

        def client():
            with contextlib.closing(server.connect()) as connection:
                while not stop.is_set():
                    begun = time.monotonic()
                    server.ask(connection)
                    answers.append((time.monotonic(), time.monotonic() - begun))

        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            running = [pool.submit(client) for _ in range(clients)]

            def is_well():
                return not any(one.done() for one in running)

            # Until there are as many answers as clients, and all wait as they will go on to do.
            while len(answers) < clients and is_well():
                time.sleep(0.01)
            begun, cpu = time.monotonic(), time.process_time()
            time.sleep(seconds / 2)
            # Of the clients alone, and not of looking at the memory.
            self.client_cpu = (time.process_time() - cpu) / (time.monotonic() - begun)
            self.pss = sum(memory_mib(process) for process in tree(server.process.pid))
            time.sleep(max(0.0, begun + seconds - time.monotonic()))
            while len(counted := [one for one in answers if one[0] > begun]) < ANSWERS * clients and is_well():
                time.sleep(0.01)
            stop.set()
        for one in running:
            # Says what went wrong with it.
            one.result()
        self.times = [took for _, took in counted]
        # Until the last answer, so that it does not matter where in a batch the time ends.
        self.rate = len(counted) / (max(at for at, _ in counted) - begun)


def loop(release, made, video, flags):
    """Clips a second of a loop over ready tensors, for about as many seconds as are asked for."""
    peer = Peer([str(part) for part in (release / "engine", made, video, *flags)])

    def run(seconds):
        # The first few say how many those are, and warm it.
        clips = FEW * max(1, int(seconds / peer.run(FEW)))
        return clips / peer.run(clips)

    if peer.run(1) is None:
        raise SystemExit(f"serve_peers: {peer.process.args} does not run")
    return run, peer


def choose(servers, rounds, seconds):
    """Loads all configurations in turn; gives those loads, and the name of the fastest."""
    loads = {name: [] for name in servers}
    names = list(servers)
    for round_ in range(rounds):
        for name in names[round_ % len(names):] + names[:round_ % len(names)]:
            with servers[name].turn():
                loads[name].append(Load(servers[name], CLIENTS, seconds))
            print(f"serve_peers: {name}: {loads[name][-1].rate:.2f} requests/s", file=sys.stderr, flush=True)
    return loads, max(names, key=lambda name: statistics.median(load.rate for load in loads[name]))


def compare(servers, loops, counts, rounds, seconds):
    """Loads by server and number of clients, and clips a second by loop, round by round."""
    loads, rates = {(name, clients): [] for name in servers for clients in counts}, {name: [] for name in loops}
    names = list(servers)
    for round_ in range(rounds):
        for name in names if round_ % 2 else names[::-1]:
            with servers[name].turn():
                for clients in counts:
                    loads[name, clients].append(Load(servers[name], clients, seconds))
        for name, run in loops.items():
            rates[name].append(run(seconds))
        print(f"serve_peers: round {round_ + 1} of {rounds}", file=sys.stderr, flush=True)
    return loads, rates


def row(loads):
    """Requests a second (the median over rounds), seconds to an answer of all rounds, and the most memory."""
    times = [took for load in loads for took in load.times]
    return [f"{statistics.median(load.rate for load in loads):.2f}", *(f"{percentile(times, share):.3f}" for share in (0.5, 0.95, 0.99)),
            f"{max(load.pss for load in loads):.0f}"]


def ratio(values, others):
    return statistics.median(one / other for one, other in zip(values, others))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30, help="of each load at least, after it has begun")
    parser.add_argument("--clients", type=lambda text: [int(part) for part in text.split(",")], default=[1, CLIENTS, 32])
    parser.add_argument("--only", choices=CONFIGURATIONS, action="append", help="of LitServe")
    parser.add_argument("--video", type=Path, help=f"instead of one of {SIZE} and {SECONDS} s")
    parser.add_argument("--width", type=float, default=1.0, help="of the network, for a trial")
    parser.add_argument("--write", action="store_true", help="write the results")
    arguments = parser.parse_args()
    release = Path(arguments.release).resolve()
    counts, configurations = sorted({*arguments.clients, CLIENTS}), arguments.only or list(CONFIGURATIONS)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        path = arguments.video or Path(folder) / "video.mp4"
        if not arguments.video:
            make_video(path, SECONDS, SIZE, FPS)
        video = path.read_bytes()
        made = bundle(release, Path(folder), ARCH, "--arch", ARCH, "--width", arguments.width, "--classes", 400)

        def start(make):
            server = make()
            ends.callback(server.end)
            server.signal(signal.SIGSTOP)
            return server

        service = start(lambda: ours(release, made, video))
        peers = {name: start(lambda name=name: litserve(made, video, name)) for name in configurations}
        check_alike({"the service": service, **peers})
        chosen, best = choose(peers, arguments.rounds, arguments.seconds / 3)
        for name, peer in peers.items():
            if name != best:
                peer.end()
        loops = {}
        for name, (_, flags) in LOOPS.items():
            loops[name], peer = loop(release, made, path, flags)
            ends.callback(peer.process.kill)
        servers = {"the service": service, f"LitServe ({best})": peers[best]}
        loads, loop_rates = compare(servers, loops, counts, arguments.rounds, arguments.seconds)
        with service.turn():
            seen = service.answer()
        service.end()
        peers[best].end()
        ready = {}
        for name, make in (("the service", lambda: ours(release, made, video)), (f"LitServe ({best})", lambda: litserve(made, video, best))):
            ready[name] = []
            for _ in range(STARTS):
                server = make()
                ready[name].append(server.ready_s)
                server.end()
    text = report(arguments, chosen, loads, loop_rates, ready, seen)
    print(text)
    if arguments.write:
        write_whole(RESULTS / "serve.md", text)


def report(arguments, chosen, loads, loop_rates, ready, seen):
    own, other = dict.fromkeys(name for name, _ in loads)
    mine, theirs = loads[own, CLIENTS], loads[other, CLIENTS]
    clips = seen["video"]["clips"]
    rates, p99s = ([[get(load) for load in part] for part in (mine, theirs)]
                   for get in (lambda load: load.rate, lambda load: percentile(load.times, 0.99)))
    found = {"rate": ratio(*rates), "p99": ratio(*p99s[::-1])}
    found |= {name: ratio([clips * rate for rate in rates[0]], those) for name, those in loop_rates.items()}
    packages = {"litserve", "av", *(PACKAGES[CONFIGURATIONS[name][0]] for name in chosen)}
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(packages))
    video = seen["video"]
    header = ["requests/s", "p50, s", "p95, s", "p99, s", "resident, MiB"]
    # Wherever the programs are.
    asked = shlex.join("target/release" if part == arguments.release else part for part in sys.argv[1:])
    which = "all configurations" if len(chosen) == len(CONFIGURATIONS) else f"{len(chosen)} of {len(CONFIGURATIONS)} configurations"
    most = max(load.client_cpu for one in loads.values() for load in one)
    return (f"# Serving: the service and LitServe, side by side\n\n"
            f"`python3 benchmarks/serve_peers.py {asked}` on {machine()}. The service runs\n"
            f"{seen['engine']}, LitServe Python {sys.version.split()[0]} with {versions}.\n"
            f"{ARCH} at a width of {arguments.width:g}; the video has {video['frames']} frames of {video['width']} x {video['height']} and makes {clips} clips. The clients are on the same\n"
            f"machine and took {100 * most:.1f} % of a core at most. Each load lasts {arguments.seconds:g} s, or until there are {ANSWERS} times as many answers as clients if that is later. Requests\n"
            f"a second are medians over {arguments.rounds} round{'s' * (arguments.rounds > 1)}, times those of all rounds, memory the most (what processes share is counted once).\n\n"
            + table(["", "clients", *header], [[name, clients, *row(one)] for (name, clients), one in loads.items()])
            + f"\n\nWith {CLIENTS} clients, medians over rounds of the ratios:\n\n"
            + table(["", "ratio", "aim"], [
                [f"requests/s, ours / {other}", f"{found['rate']:.3f}", f"at least {AIMS['rate']}"],
                [f"p99, {other} / ours", f"{found['p99']:.3f}", f"at least {AIMS['p99']}"],
                *([f"clips/s, ours / {what} ({statistics.median(loop_rates[name]):.2f})", f"{found[name]:.3f}", f"at least {AIMS[name]}"]
                  for name, (what, _) in LOOPS.items())])
            + "\n\nThe bare loop runs the network's file as it is, in one session of ONNX Runtime with that library's defaults, over tensors that lie in memory. The\n"
            "engine on ready tensors has the graphs as the service has them, rewritten for CPUs and run side by side in batches of its own size: what is missing\n"
            "to 1 there is lost around inference, with decoding on the same cores.\n\n"
            f"Seconds from the start of the process until it says that it is ready, median of {STARTS}: "
            + ", ".join(f"{name} {statistics.median(seconds):.2f}" for name, seconds in ready.items()) + ".\n\n"
            f"Before, {which} of LitServe with {CLIENTS} clients took turns in as many rounds of a third of the seconds, or of {ANSWERS * CLIENTS} answers if that is later; the one\nwith most requests a second is the one above.\n\n"
            + table(["", *header], [[name, *row(one)] for name, one in chosen.items()]) + "\n")


if __name__ == "__main__":
    main()
