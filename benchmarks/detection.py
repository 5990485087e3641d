#!/usr/bin/env python3
"""The offline benchmark of detection: a dataset and exported bundles in, a table of mAP and frames a second out.

    cargo build --release -p unscene
    python3 benchmarks/detection.py target/release/unscene --annotations crowded/actors.json --videos crowded BUNDLE [BUNDLE ...]
    python3 benchmarks/detection.py target/release/unscene --annotations ucf24 --format ucf24 --videos rgb-images BUNDLE --engine ort --engine tract

Every frame of every video of the part is looked at, video after video, as `unscene eval detect` does; frames a second count all from
opening the first video to the last tube. Several bundles and engines are rows of one table. --out writes it to a file as well, --json prints
the whole of what was measured instead. JHMDB's three splits are three bundles: give `--splits 1,2,3` and one bundle for each, and the
row is their mean.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from run import machine, table, write_whole  # noqa: E402


def percent(share):
    return "-" if share is None else f"{100 * share:.1f}"


def measure(arguments, bundles, engine):
    command = [arguments.unscene, "eval", "detect", "--json", "--engine", engine, "--device", arguments.device, "--part", arguments.part,
               "--annotations", arguments.annotations]
    for bundle in bundles:
        command += ["--bundle", bundle]
    for flag, value in (("--format", arguments.format), ("--videos", arguments.videos), ("--split", arguments.splits)):
        command += [flag, value] if value else []
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def row(found):
    splits = found.get("splits", [found])
    mean = found.get("mean", found)
    looked = [split["looked"] for split in splits]
    frames, seconds = (sum(one[key] for one in looked) for key in ("frames", "elapsed_s"))
    video = mean.get("video_mAP") or {}
    errors = mean["errors"]
    truths = max(errors["right"] + errors["missed"], 1)
    return [", ".join(one["model"] for one in looked), percent(mean["frame_mAP"]), *(percent(video.get(iou)) for iou in ("0.2", "0.5", "0.75")),
            percent(mean.get("video_mAP_50_95")), percent(mean.get("accuracy")),
            *(percent(errors[kind] / truths) for kind in ("wrong_class", "wrong_place", "extra", "missed")),
            frames, f"{frames / seconds:.1f}" if seconds else "-"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unscene", help="the command, of a release build")
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE")
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--videos", help="folder of the videos, or of their folders of pictures")
    parser.add_argument("--format", help="of the annotations: actors, ucf24, gttubes or jhmdb")
    parser.add_argument("--splits", help="such as 1,2,3: one bundle for each, and their mean")
    parser.add_argument("--part", default="test")
    parser.add_argument("--engine", action="append", choices=["auto", "ort", "tract"], help="repeat for several")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    arguments = parser.parse_args()
    together = [arguments.bundles] if arguments.splits else [[bundle] for bundle in arguments.bundles]
    found = [measure(arguments, bundles, engine) for engine in arguments.engine or ["auto"] for bundles in together]
    first = found[0].get("mean", found[0])
    header = ["bundle", "frame mAP@0.5", "video mAP@0.2", "@0.5", "@0.75", "@0.5:0.95", "accuracy", "wrong class", "wrong place", "extra",
              "missed", "frames", "frames/s"]
    text = (f"# Detection of {first['part']}: {first['videos']} videos, {first['boxes']} boxes, {first['tubes']} tubes\n\n"
            "Percent; kinds of errors as shares of the actors in frames.\n\n"
            + table(header, [row(one) for one in found]) + f"\n\nMade by benchmarks/detection.py on {machine()}.\n")
    if arguments.out:
        write_whole(arguments.out, text)
    print(json.dumps(found, indent=1) if arguments.json else text)


if __name__ == "__main__":
    main()
