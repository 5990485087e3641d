"""Localizing videos of 1 to 30 minutes: seconds and memory by length, and the ratio to a bare ONNX Runtime loop.

`benchmarks/run.py` calls it; alone, with a smaller model and shorter videos:

    python3 benchmarks/localize_lengths.py target/release --arch r3d10-hara --width 0.25 --minutes 1,2

Each length runs in a process of its own, whose peak memory is what the model, its buffers and the video took together.
Needs the ffmpeg command line to make the videos, and matplotlib for the plot.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import decode_peers

#: R-C3D on THUMOS14: its backbone, and buffers of 768 frames of 112 x 112 at 25 frames a second.
ARCH, WIDTH, FRAMES, SIZE, CLASSES = "r3d18-hara", 1.0, 768, 112, 20
MINUTES = (1, 2, 5, 10, 20, 30)


def make_bundle(release, folder, arch, width, frames, size):
    """A localizer with random weights, which costs what a trained one costs."""
    run, out = folder / "localize-run", folder / "localize"
    model = ["--arch", arch, "--width", width, "--frames", frames, "--size", size, "--classes", CLASSES]
    for command in (["init", "--task", "localize", *model, "--seed", 1, "--out", run],
                    ["export", "--onnx", "--run", run, "--out", out]):
        subprocess.run([str(part) for part in (release / "unscene", *command)], check=True, stdout=subprocess.DEVNULL)
    return out


def make_videos(folder, minutes):
    """One minute, and longer videos that repeat it."""
    first = folder / "minute.mp4"
    decode_peers.make_video(first, 60, "320x240", 25)
    for length in minutes:
        path = folder / f"{length}-minutes.mp4"
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-stream_loop", str(length - 1), "-i", str(first), "-c", "copy", str(path)],
                       check=True)
        yield length, path


def measure(release, folder, minutes=MINUTES, rounds=3, arch=ARCH, width=WIDTH, frames=FRAMES, size=SIZE):
    """What the program says for each length, and for the third length beside a bare loop."""
    def call(*arguments):
        output = subprocess.run([str(part) for part in (release / "localize", *arguments)], check=True,
                                stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output)

    bundle = make_bundle(release, folder, arch, width, frames, size)
    videos = dict(make_videos(folder, minutes))
    lengths = {length: call(bundle, video) for length, video in videos.items()}
    beside = call(bundle, videos[minutes[min(2, len(minutes) - 1)]], "--rounds", rounds)
    return lengths, {**beside, "rounds": rounds}


def plot(lengths, path):
    """Seconds and memory over the length of the video, as SVG."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "localize"
    minutes = list(lengths)
    figure, (time, memory) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axes, values, name in ((time, [found["seconds"] for found in lengths.values()], "seconds"),
                               (memory, [found["peak_memory_mib"] for found in lengths.values()], "peak memory, MiB")):
        axes.plot(minutes, values, "o-", color="#1f6fb4", markersize=4)
        axes.set(xlabel="minutes of video", ylabel=name, xlim=(0, None), ylim=(0, 1.15 * max(values)))
        axes.spines[["top", "right"]].set_visible(False)
    # What the longest takes, in proportion.
    longest = minutes[-1]
    time.plot([0, longest], [0, lengths[longest]["seconds"]], "--", color="#999", linewidth=1, label="in proportion")
    time.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def report(lengths, beside, table, arch=ARCH, width=WIDTH, frames=FRAMES, size=SIZE):
    """The page."""
    rows = [(length, found["windows"], f"{found['seconds']:.1f}", f"{found['seconds'] / length:.2f}",
             f"{found['frames'] / found['seconds']:.0f}", f"{found['peak_memory_mib']:.0f}") for length, found in lengths.items()]
    peaks = [found["peak_memory_mib"] for found in lengths.values()]
    rate, longest = beside["windows"] / beside["bare_s"], lengths[max(lengths)]
    return (f"Localizing videos of {min(lengths)} to {max(lengths)} minutes\n\n"
            f"R-C3D on {arch}, width {width}, random weights: windows of {frames} frames of {size} x {size} at 25 a second, side\n"
            f"by side, of H.264 of 320 x 240; {beside['regions']} regions a window. {beside['engine']} on the CPU.\n\n"
            + table(["minutes", "windows", "seconds", "seconds a minute", "frames/s", "peak MiB"], rows)
            + f"\n\nFrom the shortest to the longest, peak memory grows by {max(peaks) - peaks[0]:.0f} MiB.\n\n"
            "![Seconds and memory by length](localize.svg)\n\n"
            f"Against a bare loop over ready buffers and regions, on {beside['windows']} windows; the ratio is the median of those of\n"
            f"{beside['rounds']} rounds in which the two took turns, the rates are medians of their own:\n\n"
            + table(["windows/s", "bare loop, windows/s", "ratio", "limit"],
                    [(f"{beside['windows'] / beside['seconds']:.3f}", f"{rate:.3f}", f"{beside['ratio']:.3f}", f"{beside['limit']:.3f}")])
            + "\n\nThe limit is the ratio of an engine that loses nothing but the CPU time of decoding the file once. At that rate the bare loop\n"
            f"takes {longest['windows'] / rate:.1f} s for the {longest['windows']} windows of the longest video, which took {longest['seconds']:.1f} s above: "
            f"{longest['windows'] / rate / longest['seconds']:.3f}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path, help="the folder of the built programs")
    parser.add_argument("--arch", default=ARCH)
    parser.add_argument("--width", type=float, default=WIDTH)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--minutes", default=",".join(map(str, MINUTES)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="write the plot to this SVG file")
    arguments = parser.parse_args()
    minutes = [int(length) for length in arguments.minutes.split(",")]
    model = {name: getattr(arguments, name) for name in ("arch", "width", "frames", "size")}
    with tempfile.TemporaryDirectory() as folder:
        lengths, beside = measure(arguments.release, Path(folder), minutes, arguments.rounds, **model)
    if arguments.plot:
        plot(lengths, arguments.plot)
    import run

    print(report(lengths, beside, run.table, **model))


if __name__ == "__main__":
    main()
