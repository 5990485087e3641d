#!/usr/bin/env python3
"""Compares reading training clips with PyTorch's DataLoader over decord and over torchcodec, and checks memory.

    cargo build --release -p unscene-benchmarks --bin loading
    python3 benchmarks/loading_peers.py target/release/loading [--rounds 7] [--memory]

The same work for all: 16 frames in a row from a random moment of each of 64 files (H.264, 340 x 256, 10 s, a key frame
every 250 frames), one of five scales and five places cut, resized to 112 x 112 (antialiased), mirrored or not, to
float32 minus the mean, in batches of 8, with two workers. Every program stays up and reads one epoch in turn; reported is
the median over rounds of (peer's seconds / ours): above 1 means that ours is faster. Needs the ffmpeg command line to
make the videos.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from decode_peers import Peer

FRAMES, SIDE, BATCH, WORKERS = 16, 112, 8, 2
SCALES = [2 ** (-n / 4) for n in range(5)]


def read_decord(path, frames):
    import decord
    import torch

    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    start = random.randint(0, max(0, len(reader) - frames))
    clip = reader.get_batch(range(start, start + frames)).asnumpy()
    return torch.from_numpy(clip).permute(0, 3, 1, 2)


def read_torchcodec(path, frames):
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, num_ffmpeg_threads=1, seek_mode="approximate")
    start = random.randint(0, max(0, decoder.metadata.num_frames - frames))
    return decoder.get_frames_in_range(start, start + frames).data


PEERS = {"decord": read_decord, "torchcodec": read_torchcodec}


def serve_peer(name, folder):
    """The other end of `Peer`: one timed epoch per line of standard input."""
    import torch
    from torchvision.transforms import v2

    class Clips(torch.utils.data.Dataset):
        def __init__(self):
            self.paths = sorted(str(path) for path in Path(folder).iterdir())
            self.mean = torch.tensor([114.7748, 107.7354, 99.4750]).view(3, 1, 1, 1)

        def __len__(self):
            return len(self.paths)

        def __getitem__(self, index):
            clip = PEERS[name](self.paths[index], FRAMES)  # T C H W, bytes
            height, width = clip.shape[-2:]
            side = int(min(height, width) * random.choice(SCALES))
            down, right = height - side, width - side
            top, left = random.choice([(down // 2, right // 2), (0, 0), (0, right), (down, 0), (down, right)])
            clip = v2.functional.resize(clip[..., top:top + side, left:left + side], [SIDE, SIDE], antialias=True)
            if random.random() < 0.5:
                clip = clip.flip(-1)
            return clip.permute(1, 0, 2, 3).float() - self.mean

    loader = torch.utils.data.DataLoader(
        Clips(), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True, prefetch_factor=2)
    for _ in sys.stdin:
        start, clips = time.perf_counter(), 0
        for batch in loader:
            clips += len(batch)
        print(json.dumps({"seconds": time.perf_counter() - start, "clips": clips}), flush=True)


def make_videos(folder, count=64, seconds=10):
    """Moving shapes under noise, no two alike."""
    folder.mkdir()
    for number in range(count):
        subprocess.run(
            ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i",
             f"testsrc2=s=340x256:r=30,hue=h={number * 5},noise=alls=8:allf=t:all_seed={number}", "-t", str(seconds),
             "-c:v", "libx264", "-preset", "veryfast", "-crf", "24", "-pix_fmt", "yuv420p",
             str(folder / f"{number:03}.mp4")], check=True)


def compare(program, folder, rounds):
    """Rows of (loader, clips, median seconds, median of peer / ours)."""
    runners = {"unscene": Peer([program, str(folder), "--workers", str(WORKERS), "--batch", str(BATCH)])}
    for name in PEERS:
        runners[name] = Peer([sys.executable, __file__, "--peer", name, str(folder)])
    seconds, clips = {}, {}
    for name, runner in list(runners.items()):  # one epoch each that is not counted
        answer = runner.run()
        if answer is None:
            print(f"loading_peers: {name} is left out, it does not run here", file=sys.stderr)
            del runners[name]
        else:
            seconds[name], clips[name] = [], answer["clips"]
    for round_ in range(rounds):
        names = list(runners)
        for name in names[round_ % len(names):] + names[:round_ % len(names)]:
            seconds[name].append(runners[name].run()["seconds"])
    rows = []
    for name in runners:
        ratio = statistics.median(p / o for p, o in zip(seconds[name], seconds["unscene"]))
        rows.append((name, clips[name], statistics.median(seconds[name]), ratio))
    for runner in runners.values():
        runner.process.stdin.close()
        runner.process.wait()
    return rows


def memory(program, folder):
    """Peak memory in MiB, clips and seconds of eight workers, on files of 10 seconds and of 20 minutes."""
    short, long = folder / "short", folder / "long"
    short.mkdir()
    long.mkdir()
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=30", "-t", "10", "-c:v", "libx264",
         "-preset", "veryfast", "-crf", "30", "-pix_fmt", "yuv420p", str(short / "a.mp4")], check=True)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-stream_loop", "119", "-i", str(short / "a.mp4"), "-c", "copy",
                    str(long / "a.mp4")], check=True)
    peaks = []
    for videos in (short, long):
        answer = subprocess.run([program, str(videos), "--workers", "8", "--repeat", "128"], input="\n", text=True,
                                check=True, capture_output=True)
        answer = json.loads(answer.stdout)
        peaks.append((answer["peak_memory_kib"] / 1024, answer["clips"], answer["seconds"]))
    return peaks


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--peer":
        return serve_peer(sys.argv[2], sys.argv[3])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the built loading benchmark")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="check instead that memory does not grow with length")
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.program)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if arguments.memory:
            for peak, clips, seconds in memory(program, folder):
                print(f"{clips} clips in {seconds:.1f} s: {peak:.1f} MiB")
            return
        make_videos(folder / "videos")
        for name, clips, seconds, ratio in compare(program, folder / "videos", arguments.rounds):
            print(f"{name:<11} {clips:>4} clips  {seconds:.3f} s  peer / ours {ratio:.3f}")


if __name__ == "__main__":
    main()
