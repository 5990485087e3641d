#!/usr/bin/env python3
"""Remakes benchmarks/results/stage_localize.md: R-C3D on Stage's untrimmed videos, from nothing, from a baseline and from a
debiased run.

    cargo build --release -p unscene
    python3 benchmarks/stage_localize.py target/release/unscene WORK_FOLDER [--seeds 3] [--jobs 2]

Pretrains what is missing as stage_debias.py does (the same WORK_FOLDER serves both), trains a localizer from each, and measures it;
what is there already is not done again, so that it can be stopped at any time.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from run import machine, table  # noqa: E402
from stage_debias import BIAS, mean_and_deviation  # noqa: E402
from stage_tasks import BIAS as UNTRIMMED_BIAS, PARTS, TaskBench, remake  # noqa: E402


class Localizing(TaskBench):
    task, videos, annotations, figure = "localize", "untrimmed", "annotations_thumos", "average_mAP"
    starts = [
        ("scratch", "random weights", None),
        ("baseline", "pretrained with bias", "baseline"),
        ("debiased", "pretrained with both losses", "both"),
    ]
    scratch = ["model.arch='r3d10-hara'", "model.width=0.25"]


def report(results, seeds, jobs, settings):
    def of(name, get):
        return [get(results[name, seed]) for seed in seeds]

    minutes = [result["train_s"] / 60 for result in results.values()]
    rows, single = [], []
    for name, what, _ in Localizing.starts:
        row = [f"**{name}**: {what}"]
        for part in PARTS:
            row.append(mean_and_deviation(of(name, lambda result: result["parts"][part]["average_mAP"])))
            row.append(mean_and_deviation(of(name, lambda result: result["parts"][part]["mAP"]["0.5"])))
        row.append(mean_and_deviation(of(name, lambda result: result["bundle"]["average_mAP"])))
        row.append(mean_and_deviation(of(name, lambda result: result["parts"]["test"]["proposals"]["auc"])))
        rows.append(row)
        values = [f"{100 * value:.1f}" for value in of(name, lambda result: result["parts"]["test"]["average_mAP"])]
        single.append(f"{name} {', '.join(values)}")
    extra = "".join(f" --set {setting}" for setting in settings)
    text = "# Temporal localization on Stage\n\n"
    text += (f"`python3 benchmarks/stage_localize.py target/release/unscene WORK --seeds {len(seeds)} --jobs {jobs}{extra}` on {machine()}; "
             f"{min(minutes):.0f} to {max(minutes):.0f} minutes of training for a localizer, {jobs} at a time.\n\n")
    text += (f"`unscene stage --untrimmed --preset demo --bias {UNTRIMMED_BIAS}`: 150 videos to train on, 60 to test; 3 to 8 of ten actions in "
             "each, with idle time between, in scenes that say nothing about them. R-C3D on r3d10-hara at a quarter of its width, buffers of "
             "192 frames of 56 x 56 at 12 per second, the settings of `examples/localize_stage.toml`. "
             f"Pretraining is that of [stage_debias.md](stage_debias.md), on videos of which {BIAS * 100:.0f} % show an action in its own scene. "
             "mAP after THUMOS14, the average over tIoU 0.1 to 0.7 and that at 0.5; proposals: the area below the curve of their average recall. "
             f"Percent, mean ± standard deviation over {len(seeds)} seeds of both trainings; the data is the same.\n\n")
    header = ["begins with", "test: average mAP", "test: mAP@0.5", "swapped: average mAP", "swapped: mAP@0.5", "test: average mAP of the bundle",
              "test: proposals"]
    text += table(header, rows)
    off = max(abs(result["bundle"]["average_mAP"] - result["parts"]["test"]["average_mAP"]) for result in results.values())
    looked = [result["bundle"]["looked"] for result in results.values()]
    rate = statistics.median(found["frames"] / found["elapsed_s"] for found in looked)
    return text + (f"\n\nAverage mAP on `test`, seed by seed: {'; '.join(single)}.\n\n"
                   f"The bundles are those of `unscene export`, in ONNX Runtime: of no run does its bundle's average mAP differ by more than {100 * off:.2f} "
                   f"points. They look at {rate:.0f} frames/s (median), {jobs} at a time, each on its share of the cores.\n")


def values(measured):
    return {"average_mAP": measured["average_mAP"], "mAP": measured["mAP"], "proposals_auc": measured["proposals"]["auc"],
            "AP": {one["label"]: one["AP"] for one in measured["classes"]}}


if __name__ == "__main__":
    remake(__doc__, Localizing, report, values)
