#!/usr/bin/env python3
"""Remakes benchmarks/results/{decode,memory,loading,training,engine,tract,localize,service}.md: decoding, loading and training against other libraries, the engine and the
service against a bare ONNX Runtime loop, tract, memory and start-up. `make bench` builds what it needs and calls it.

    python3 benchmarks/run.py TARGET_FOLDER [--rounds N] [--only decode|memory|loading|training|engine|tract|localize|detect|service]

Machines are shared and noisy, so every figure that matters is a ratio of two programs that took turns in one run: the
median over rounds.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import decode_peers
import loading_peers
import localize_lengths
import training_peers

RESULTS = Path(__file__).resolve().parent / "results"


def call(*command):
    """Runs a program and reads the JSON object that it prints."""
    output = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)


def write_whole(path, text):
    """Writes beside the file, then renames: a killed program leaves no half of it."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal")))
    system = next((line.split("=")[1].strip().strip('"') for line in open("/etc/os-release")
                   if line.startswith("PRETTY_NAME")), platform.system())
    return f"{len(os.sched_getaffinity(0))} cores of {cpu}, {memory / 2**20:.0f} GiB, {system}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(" --- " for _ in header) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def decode(release, folder, rounds):
    video = str(folder / "decode.mp4")
    decode_peers.make_video(video, 20)
    rows = [(threads, name, frames, f"{seconds:.3f}", f"{frames / seconds:.0f}", f"{ratio:.3f}")
            for threads, name, frames, seconds, ratio in decode_peers.compare(str(release / "decode"), video, 2 * rounds + 1)]
    return ("Decode 640 x 360 H.264 and resize every frame to 112 x 112 RGB\n\n"
            "peer / ours above 1: ours is faster.\n\n"
            + table(["threads", "library", "frames", "median s", "frames/s", "peer / ours"], rows))


def memory(release, folder, rounds):
    (short, few), (long, many) = decode_peers.memory(str(release / "decode"), folder)
    return ("Memory of decoding\n\n" + table(
        ["video", "frames", "peak MiB"], [("10 s", few, f"{short:.1f}"), ("20 min", many, f"{long:.1f}"),
                                          ("difference (allowed: 50)", many - few, f"{long - short:.1f}")]))


def loading(release, folder, rounds):
    program = str(release / "loading")
    loading_peers.make_videos(folder / "videos")
    rows = [(name, clips, f"{seconds:.3f}", f"{clips / seconds:.1f}", f"{ratio:.3f}")
            for name, clips, seconds, ratio in loading_peers.compare(program, folder / "videos", 2 * rounds + 1)]
    (short, few, short_s), (long, many, long_s) = loading_peers.memory(program, folder)
    return ("Reading training clips: a random 16-frame clip of each of 64 H.264 files of 340 x 256 and 10 s\n\n"
            "Decoded, cut at a random scale and corner, resized to 112 x 112, mirrored or not, to float32, in batches of\n"
            "8 with two workers; the peers are PyTorch's DataLoader. peer / ours above 1: ours is faster.\n\n"
            + table(["loader", "clips", "median s", "clips/s", "peer / ours"], rows)
            + "\n\nMemory of eight workers, reading from one file of 640 x 360 again and again:\n\n"
            + table(["file", "clips", "seconds", "peak MiB"], [("10 s", few, f"{short_s:.2f}", f"{short:.1f}"),
                                                               ("20 min", many, f"{long_s:.2f}", f"{long:.1f}")]))


def waiting(unscene, folder):
    """The share of training's time in which it waits for data: pretraining on Stage's demo set, three epochs."""
    stage, scenes, people = folder / "stage", folder / "scenes.sqlite", folder / "people.sqlite"
    for command in (["stage", "--out", stage, "--preset", "demo", "--bias", "0.8", "--empty"],
                    ["annotate", "truth", "--stage", stage, "--scenes", scenes, "--people", people]):
        subprocess.run([unscene, *command], check=True, stdout=subprocess.DEVNULL)
    both = [f"adversary=[{{name='scene', cache='{scenes}', lambda=0.1}}]",
            f"confusion={{people='{people}', weight=0.5, fill={{videos='{stage / 'empty'}'}}}}"]
    rows = []
    for name, settings in (("baseline", []), ("both losses", both)):
        settings = [f"data.annotations='{stage}'", "fit.epochs=3", *settings]
        lines = subprocess.run([unscene, "pretrain", "--config", RESULTS.parent.parent / "examples/pretrain_stage.toml", "--json",
                                "--out", folder / name.replace(" ", "-"), *(part for one in settings for part in ("--set", one))],
                               check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        epochs = [json.loads(line) for line in lines]
        waited, seconds = (sum(epoch[what] for epoch in epochs) for what in ("waited_s", "seconds"))
        rows.append((name, f"{seconds / len(epochs):.1f}", f"{waited / len(epochs):.2f}", f"{100 * waited / seconds:.1f}"))
    return rows


def training(release, folder, rounds):
    rows = [(name, f"{ours:.3f}", f"{peer:.3f}", f"{ratio:.3f}")
            for name, ours, peer, ratio in training_peers.compare(str(release / "unscene-training-benchmark"), 2 * rounds + 1)]
    return ("An alternating iteration of pretraining: an ordinary batch against an adversary, then a masked batch\n\n"
            "Against the same model and step in PyTorch eager, on the same threads and on clips that are ready. PyTorch / ours\n"
            "above 1: ours is faster.\n\n"
            + table(["model and batch", "seconds", "PyTorch, seconds", "PyTorch / ours"], rows)
            + "\n\nHow long training waits for its data: `examples/pretrain_stage.toml` on Stage's demo set, means of three epochs.\n\n"
            + table(["losses", "seconds of an epoch", "of them waiting", "%"], waiting(release / "unscene", folder)))


def bundle(release, folder, name, *init):
    """A bundle of that name with random weights; its run is beside it. `init` are the flags of `unscene init`; without any, the
    name is the architecture, with 400 classes."""
    run, out = folder / f"{name}-run", folder / name
    if not out.exists():
        for command in (["init", *(init or ("--arch", name, "--classes", 400)), "--seed", 1, "--out", run],
                        ["export", "--onnx", "--run", run, "--out", out]):
            subprocess.run([str(part) for part in (release / "unscene", *command)], check=True, stdout=subprocess.DEVNULL)
    return out


def clip_video(folder, seconds):
    video = folder / f"clips-{seconds}.mp4"
    if not video.exists():
        decode_peers.make_video(video, seconds)  # 30 frames a second
    return video


def engine(release, folder, rounds):
    rows = []
    # The second is four times as fast, and short rounds need more of them.
    for arch, times in (("r3d18-torchvision", 1), ("r3d18-hara", 3)):
        found = call(release / "engine", bundle(release, folder, arch), clip_video(folder, 16), "--rounds", times * rounds)
        bare = ", ".join(f"{rate:.2f} (batch {batch})"
                         for batch, rate in zip(found["bare_batches"], found["bare_clips_per_s"]))
        rows.append((arch, found["engine"], f"{found['clips_per_s']:.2f}", bare, f"{found['ratio']:.3f}",
                     f"{found['limit']:.3f}"))
    return ("Engine: clips/s from a 640 x 360 file to predictions, against a bare loop over ready tensors\n\n"
            "The ratio is that to the faster batch size of the bare loop. On a CPU decoding takes its share of the same\n"
            "cores: the limit is the ratio of an engine that loses nothing but the CPU time of decoding the file once. Ours goes\n"
            "beyond it where it rewrites the graph for CPUs; the bare loop has the model's file as it is.\n\n"
            + table(["model", "engine", "clips/s", "bare loop, clips/s", "ratio", "limit"], rows))


def tract(release, folder, rounds):
    rows = []
    for threads in (1, 2):
        found = call(release / "engine", bundle(release, folder, "r3d18-hara"), clip_video(folder, 4),
                     "--engine", "tract", "--threads", threads, "--rounds", 3)
        rows.append(("r3d18-hara", found["engine"], threads, f"{found['clips_per_s']:.3f}",
                     f"{found['bare_clips_per_s'][0]:.3f}", f"{found['ratio']:.3f}"))
    return ("tract: clips/s by threads, one clip per run\n\n"
            + table(["model", "engine", "threads", "clips/s", "bare loop, clips/s", "ratio"], rows))


def localize(release, folder, rounds):
    lengths, beside = localize_lengths.measure(release, folder, rounds=rounds)
    localize_lengths.plot(lengths, RESULTS / "localize.svg")
    return localize_lengths.report(lengths, beside, table)


def detect(release, folder, rounds):
    out = bundle(release, folder, "detector", "--arch", "vgg16-ssd", "--task", "detect", "--classes", 24)
    found = call(release / "detect", out, clip_video(folder, 4), "--rounds", rounds)
    frames = found["frames"]
    speed = [(found["engine"], f"{frames / found['seconds']:.2f}", f"{frames / found['bare_s']:.2f}", f"{found['ratio']:.3f}",
              f"{found['limit']:.3f}", f"{found['peak_memory_mib']:.0f}")]
    decoding = [(f"{100 * one['share']:.0f}", one["boxes"], f"{one['boxes_ms']:.2f}", f"{one['tubes_ms']:.3f}") for one in found["decoding"]]
    return ("Detection: frames/s of SSD300 on VGG-16 from a 640 x 360 file, against a bare loop over ready frames\n\n"
            f"Every one of {frames} frames, boxes and tubes; the ratio is the median of {rounds} rounds in which the two took turns. The limit is\n"
            "the ratio of an engine that loses nothing but the CPU time of decoding the file once.\n\n"
            + table(["engine", "frames/s", "bare loop, frames/s", "ratio", "limit", "peak MiB"], speed)
            + f"\n\nFrom the network's outputs to boxes and on to tubes, {found['priors']:,} priors and {found['labels']} classes, on one core: milliseconds\n"
              "a frame, by the share of priors that see something.\n\n"
            + table(["% of priors", "boxes", "to boxes, ms", "to tubes, ms"], decoding))


def service(release, folder, rounds):
    rows = []
    for arch in ("r3d18-torchvision", "r3d18-hara"):
        found = call(release / "service", release / "unscene-serve", bundle(release, folder, arch), clip_video(folder, 4),
                     "--rounds", rounds)
        rows.append((arch, found["clients"], f"{found['clips_per_s']:.2f}", f"{found['bare_clips_per_s']:.2f}",
                     f"{found['ratio']:.3f}", f"{found['ready_s']:.2f}"))
    return ("Service: clips/s of POSTed 640 x 360 files, against a bare loop over ready tensors; start to ready\n\n"
            + table(["model", "clients", "clips/s", "bare loop, clips/s", "ratio", "start to ready, s"], rows))


PARTS = {"decode": decode, "memory": memory, "loading": loading, "training": training,
         "engine": engine, "tract": tract, "localize": localize, "detect": detect, "service": service}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="cargo's target folder, with a release build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this part, and keep the others")
    arguments = parser.parse_args()
    release = arguments.target.resolve() / "release"
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only or PARTS:
            print(f"bench: {name} ...", file=sys.stderr, flush=True)
            text = (f"# {PARTS[name](release, Path(folder), arguments.rounds)}\n\n"
                    f"Made by `make bench` (benchmarks/run.py) on {datetime.date.today()}; {machine()}.\n")
            print(text, flush=True)
            write_whole(RESULTS / f"{name}.md", text)


if __name__ == "__main__":
    main()
