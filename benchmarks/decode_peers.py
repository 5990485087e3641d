#!/usr/bin/env python3
"""Compares decoding plus resizing to 112 x 112 with PyAV, decord, OpenCV and torchcodec, and checks memory.

    cargo build --release -p unscene-benchmarks --bin decode
    python3 benchmarks/decode_peers.py target/release/decode [--rounds 15] [--video FILE] [--memory]

Every library decodes the same 640 x 360 H.264 file once per round, one after another, in processes that stay up, so
that a busy machine slows all of them alike. Reported is the median over rounds of (peer's seconds / ours): above 1 means
that ours is faster. Peers that are not installed are left out. Needs the ffmpeg command line to make the videos.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def pyav(path, threads):
    import av
    from av.video.reformatter import VideoReformatter

    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "FRAME" if threads > 1 else "NONE"
        stream.codec_context.thread_count = threads
        reformatter = VideoReformatter()
        frames = 0
        for frame in container.decode(stream):
            small = reformatter.reformat(frame, 112, 112, "rgb24", interpolation="BILINEAR")
            small.to_ndarray()
            frames += 1
    return frames


def decord(path, threads):
    import decord

    reader = decord.VideoReader(path, ctx=decord.cpu(0), width=112, height=112, num_threads=threads)
    frames = 0
    for _ in range(len(reader)):
        reader.next().asnumpy()
        frames += 1
    return frames


def opencv(path, threads):
    import cv2

    cv2.setNumThreads(threads)
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    frames = 0
    while True:
        good, frame = capture.read()
        if not good:
            return frames
        cv2.cvtColor(cv2.resize(frame, (112, 112), interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)
        frames += 1


def torchcodec(path, threads):
    import torch
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    torch.set_num_threads(threads)
    decoder = VideoDecoder(
        path, num_ffmpeg_threads=threads, seek_mode="approximate", transforms=[Resize((112, 112))]
    )
    return sum(1 for _ in decoder)


PEERS = {"pyav": pyav, "decord": decord, "opencv": opencv, "torchcodec": torchcodec}


def serve_peer(name, path, threads):
    """The other end of `Peer`: one timed pass per line of standard input."""
    for _ in sys.stdin:
        start = time.perf_counter()
        frames = PEERS[name](path, threads)
        print(json.dumps({"seconds": time.perf_counter() - start, "frames": frames}), flush=True)


class Peer:
    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def run(self, asked=""):
        """What it answers to a line."""
        try:
            self.process.stdin.write(f"{asked}\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else None


def make_video(path, seconds, size="640x360", rate=30):
    """Moving shapes under noise: 1.1 Mbit/s, about the rate of real videos of this size."""
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate},noise=alls=8:allf=t",
         "-t", str(seconds), "-c:v", "libx264", "-preset", "medium", "-crf", "24", "-pix_fmt", "yuv420p",
         str(path)], check=True)


def compare(program, video, rounds):
    """Rows of (threads, library, frames, median seconds, median of peer / ours)."""
    rows = []
    for threads in (1, 2):
        runners = {"unscene": Peer([program, video, "--threads", str(threads), "--repeat", "0"])}
        for name in PEERS:
            runners[name] = Peer([sys.executable, __file__, "--peer", name, str(threads), video])
        seconds, frames = {}, {}
        for name, runner in list(runners.items()):  # one pass each that is not counted
            answer = runner.run()
            if answer is None:
                print(f"decode_peers: {name} is left out, it does not run here", file=sys.stderr)
                del runners[name]
            else:
                seconds[name], frames[name] = [], answer["frames"]
        for round_ in range(rounds):
            names = list(runners)
            for name in names[round_ % len(names):] + names[:round_ % len(names)]:
                seconds[name].append(runners[name].run()["seconds"])
        for name in runners:
            ratio = statistics.median(p / o for p, o in zip(seconds[name], seconds["unscene"]))
            rows.append((threads, name, frames[name], statistics.median(seconds[name]), ratio))
        for runner in runners.values():
            runner.process.stdin.close()
            runner.process.wait()
    return rows


def memory(program, folder):
    """Peak memory in MiB and frames, for 10 seconds and for 20 minutes of the same pictures."""
    short, long = folder / "short.mp4", folder / "long.mp4"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=30", "-t", "10",
         "-c:v", "libx264", "-preset", "veryfast", "-crf", "30", "-pix_fmt", "yuv420p", str(short)], check=True)
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-stream_loop", "119", "-i", str(short), "-c", "copy", str(long)], check=True)
    peaks = []
    for video in (short, long):
        output = subprocess.run([program, str(video), "--threads", "2"], check=True, capture_output=True, text=True)
        answer = json.loads(output.stdout)
        peaks.append((answer["peak_memory_kib"] / 1024, answer["frames"]))
    return peaks


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--peer":
        return serve_peer(sys.argv[2], sys.argv[4], int(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the built decode benchmark")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--video", help="the file to decode; made when not given")
    parser.add_argument("--memory", action="store_true", help="check instead that memory does not grow with length")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if arguments.memory:
            (short, few), (long, many) = memory(arguments.program, folder)
            print(f"{few} frames: {short:.1f} MiB; {many} frames: {long:.1f} MiB; {long - short:.1f} MiB more")
            sys.exit(0 if long - short <= 50 else 1)
        video = arguments.video
        if video is None:
            video = str(folder / "video.mp4")
            make_video(video, 20)
        for threads, name, frames, seconds, ratio in compare(arguments.program, video, arguments.rounds):
            print(f"{threads} threads  {name:<11} {frames:>5} frames  {seconds:.3f} s  peer / ours {ratio:.3f}")


if __name__ == "__main__":
    main()
