#!/usr/bin/env python3
"""Remakes benchmarks/results/stage_detect.md: SSD on Stage's crowded videos, from a baseline and from a debiased run.

    cargo build --release -p unscene
    python3 benchmarks/stage_detect.py target/release/unscene WORK_FOLDER [--seeds 3] [--jobs 2]

Pretrains VGG-16 on single frames of the videos of stage_debias.py (the same WORK_FOLDER serves all), trains a detector from each,
and measures it and its bundle; what is there already is not done again, so that it can be stopped at any time.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from run import machine, table  # noqa: E402
from stage_debias import BIAS, mean_and_deviation  # noqa: E402
from stage_tasks import BIAS as CROWDED_BIAS, PARTS, TaskBench, remake  # noqa: E402

WIDTH = 0.125
VIDEOS = 3000


class Detecting(TaskBench):
    task, videos, annotations, figure = "detect", "crowded", "actors.json", "frame_mAP"
    starts = [
        ("baseline", "pretrained with bias", "baseline"),
        ("debiased", "pretrained with both losses", "both"),
    ]
    rendering = ["--train", VIDEOS]
    # Of pretraining, over examples/pretrain_stage.toml.
    extra = ["model.arch='vgg16bn-ssd'", f"model.width={WIDTH}", "model.frames=1", "model.size=72", "fit.epochs=40",
             "fit.schedule.epochs=[32]"]

    def run_of(self, variant, seed):
        return self.work / "frames" / f"{variant[0].replace(' ', '-')}-{seed}"


def report(results, seeds, jobs, settings):
    def of(name, get):
        return [get(results[name, seed]) for seed in seeds]

    minutes = [result["train_s"] / 60 for result in results.values()]
    before = [result["pretrain_s"] / 60 for result in results.values()]
    rows, single = [], []
    for name, what, _ in Detecting.starts:
        row = [f"**{name}**: {what}"]
        for part in PARTS:
            row.append(mean_and_deviation(of(name, lambda result: result["parts"][part]["frame_mAP"])))
            row.append(mean_and_deviation(of(name, lambda result: result["parts"][part]["video_mAP"]["0.5"])))
        row.append(mean_and_deviation(of(name, lambda result: result["parts"]["test"]["video_mAP"]["0.2"])))
        row.append(mean_and_deviation(of(name, lambda result: result["parts"]["test"]["accuracy"])))
        row.append(mean_and_deviation(of(name, lambda result: result["bundle"]["frame_mAP"])))
        rows.append(row)
        values = [f"{100 * value:.1f}" for value in of(name, lambda result: result["parts"]["test"]["frame_mAP"])]
        single.append(f"{name} {', '.join(values)}")
    extra = "".join(f" --set {setting}" for setting in settings)
    text = "# Detection on Stage\n\n"
    text += (f"`python3 benchmarks/stage_detect.py target/release/unscene WORK --seeds {len(seeds)} --jobs {jobs}{extra}` on {machine()}; "
             f"{min(before):.0f} to {max(before):.0f} minutes of pretraining and {min(minutes):.0f} to {max(minutes):.0f} of training for a "
             f"detector, {jobs} at a time.\n\n")
    text += (f"`unscene stage --crowded --preset demo --bias {CROWDED_BIAS} --train {VIDEOS}`: {VIDEOS} videos to train on, 80 to test; one to three people in each, "
             "some of whom do one of ten things for some of the time, in scenes that say nothing about it. SSD on VGG-16 with BatchNorm, at "
             f"{WIDTH} of its width, the settings of `examples/detect_stage.toml`. Pretraining is on single frames of the videos of "
             f"[stage_debias.md](stage_debias.md), of which {BIAS * 100:.0f} % show an action in its own scene. "
             "Frame mAP at IoU 0.5 after VOC, video mAP of tubes at 0.5 and 0.2 after ROAD, accuracy of a video's best tube. "
             f"Percent, mean ± standard deviation over {len(seeds)} seeds of both trainings; the data is the same.\n\n")
    header = ["begins with", "test: frame mAP", "test: video mAP@0.5", "swapped: frame mAP", "swapped: video mAP@0.5",
              "test: video mAP@0.2", "test: accuracy", "test: frame mAP of the bundle"]
    text += table(header, rows)
    classes = [entry["label"] for entry in results[Detecting.starts[0][0], seeds[0]]["parts"]["test"]["classes"]]
    by_class = []
    for place, label in enumerate(classes):
        cells = [mean_and_deviation(of(name, lambda result: result["parts"]["test"]["classes"][place]["frame_AP"])) for name, _, _ in Detecting.starts]
        by_class.append([label, *cells])
    text += "\n\nFrame AP on `test` by class:\n\n" + table(["class", *(name for name, _, _ in Detecting.starts)], by_class)
    kinds = []
    for kind in ("right", "again", "wrong_class", "wrong_place", "extra", "missed"):
        def share(result):
            errors = result["parts"]["test"]["errors"]
            return errors[kind] / (errors["right"] + errors["missed"])
        kinds.append([kind.replace("_", " "), *(mean_and_deviation(of(name, share)) for name, _, _ in Detecting.starts)])
    text += ("\n\nWhat the best boxes of `test` are, as many of each class as it has actors, in percent of the actors:\n\n"
             + table(["kind", *(name for name, _, _ in Detecting.starts)], kinds))
    off = max(abs(result["bundle"]["frame_mAP"] - result["parts"]["test"]["frame_mAP"]) for result in results.values())
    looked = [result["bundle"]["looked"] for result in results.values()]
    rate = statistics.median(found["frames"] / found["elapsed_s"] for found in looked)
    return text + (f"\n\nFrame mAP on `test`, seed by seed: {'; '.join(single)}.\n\n"
                   f"The bundles are those of `unscene export`, in ONNX Runtime: of no run does its bundle's frame mAP differ by more than "
                   f"{100 * off:.2f} points. They look at {rate:.0f} frames/s (median), {jobs} at a time, each on its share of the cores.\n")


def values(measured):
    keys = ("frame_mAP", "video_mAP", "video_mAP_50_95", "accuracy", "errors")
    return {**{key: measured.get(key) for key in keys}, "AP": {one["label"]: one["frame_AP"] for one in measured["classes"]}}


if __name__ == "__main__":
    remake(__doc__, Detecting, report, values)
