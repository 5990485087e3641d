#!/usr/bin/env python3
"""Remakes benchmarks/results/stage_detect.md: SSD on Stage's crowded videos, from a baseline and from a debiased run.

    cargo build --release -p unscene
    python3 benchmarks/stage_detect.py target/release/unscene WORK_FOLDER [--seeds 3] [--jobs 2]

Pretrains VGG-16 on single frames of the videos of stage_debias.py (the same WORK_FOLDER serves all), trains a detector from each,
and measures it and its bundle; what is there already is not done again, so that it can be stopped at any time.
"""

import argparse
import concurrent.futures
import hashlib
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from run import machine, table  # noqa: E402
from stage_debias import BIAS, RESULTS, ROOT, VARIANTS, Bench, mean_and_deviation, say  # noqa: E402

# Name, what it is, and the variant of pretraining that it begins with.
STARTS = [
    ("baseline", "pretrained with bias", "baseline"),
    ("debiased", "pretrained with both losses", "both"),
]
PARTS = ["test", "swapped"]
CROWDED_BIAS = 0.1
WIDTH = 0.125
#: Of pretraining, over examples/pretrain_stage.toml.
FRAMES = ["model.arch='vgg16bn-ssd'", f"model.width={WIDTH}", "model.frames=1", "model.size=72", "fit.epochs=40",
          "fit.schedule.epochs=[32]"]


class Detecting(Bench):
    extra = FRAMES

    def run_of(self, variant, seed):
        return self.work / "frames" / f"{variant[0].replace(' ', '-')}-{seed}"

    def crowded(self):
        folder = self.work / "crowded"
        if not (folder / "stage.json").exists():
            say("rendering crowded videos")
            self.call("stage", "--crowded", "--preset", "demo", "--bias", CROWDED_BIAS, "--out", folder, parallel=False)
        return folder

    def detect(self, start, seed, settings):
        name, _, pretrained = start
        # Other settings are other runs.
        key = f"-{hashlib.sha256(json.dumps(sorted(settings)).encode()).hexdigest()[:8]}" if settings else ""
        folder, run = self.crowded(), self.work / "detect" / f"{name}-{seed}{key}"
        variant = next(variant for variant in VARIANTS if variant[0] == pretrained)
        begin = self.pretrain(variant, seed)
        if not (run / "config.json").exists():
            begun = time.time()
            settings = [f"data.annotations='{folder / 'actors.json'}'", f"data.videos='{folder}'", f"seed={seed}", *settings]
            resume = ["--resume"] if (run / "checkpoint").exists() else []
            self.call("finetune", "detect", "--from", begin, "--config", ROOT / "examples/detect_stage.toml", "--out", run, "--json",
                      "--workers", 1, *(part for setting in settings for part in ("--set", setting)), *resume)
            say(f"{run.name}: trained in {time.time() - begun:.0f} s")
        bundle = run / "bundle"
        if not bundle.exists():
            self.call("export", "--onnx", "--run", run, "--out", bundle)

        def evaluate(what, path, part):
            result = run / f"{what}-{part}.json"
            if not result.exists():
                found = self.call("eval", "detect", f"--{what}", path, "--annotations", folder / "actors.json", "--videos", folder,
                                  "--part", part, "--json")
                result.write_text(found)
            return json.loads(result.read_text())

        def seconds(of):
            return sum(json.loads(line)["seconds"] for line in (of / "metrics.jsonl").read_text().splitlines())

        parts = {part: evaluate("run", run, part) for part in PARTS}
        return {"parts": parts, "bundle": evaluate("bundle", bundle, "test"), "train_s": seconds(run), "pretrain_s": seconds(begin)}


def report(results, seeds, jobs, settings):
    def of(name, get):
        return [get(results[name, seed]) for seed in seeds]

    minutes = [result["train_s"] / 60 for result in results.values()]
    before = [result["pretrain_s"] / 60 for result in results.values()]
    rows, single = [], []
    for name, what, _ in STARTS:
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
    text += (f"`unscene stage --crowded --preset demo --bias {CROWDED_BIAS}`: 300 videos to train on, 80 to test; one to three people in each, "
             "some of whom do one of ten things for some of the time, in scenes that say nothing about it. SSD on VGG-16 with BatchNorm, at "
             f"{WIDTH} of its width, the settings of `examples/detect_stage.toml`. Pretraining is on single frames of the videos of "
             f"[stage_debias.md](stage_debias.md), of which {BIAS * 100:.0f} % show an action in its own scene. "
             "Frame mAP at IoU 0.5 after VOC, video mAP of tubes at 0.5 and 0.2 after ROAD, accuracy of a video's best tube. "
             f"Percent, mean ± standard deviation over {len(seeds)} seeds of both trainings; the data is the same.\n\n")
    header = ["begins with", "test: frame mAP", "test: video mAP@0.5", "swapped: frame mAP", "swapped: video mAP@0.5",
              "test: video mAP@0.2", "test: accuracy", "test: frame mAP of the bundle"]
    text += table(header, rows)
    classes = [entry["label"] for entry in results[STARTS[0][0], seeds[0]]["parts"]["test"]["classes"]]
    by_class = []
    for place, label in enumerate(classes):
        cells = [mean_and_deviation(of(name, lambda result: result["parts"]["test"]["classes"][place]["frame_AP"])) for name, _, _ in STARTS]
        by_class.append([label, *cells])
    text += "\n\nFrame AP on `test` by class:\n\n" + table(["class", *(name for name, _, _ in STARTS)], by_class)
    kinds = []
    for kind in ("right", "again", "wrong_class", "wrong_place", "extra", "missed"):
        def share(result):
            errors = result["parts"]["test"]["errors"]
            return errors[kind] / (errors["right"] + errors["missed"])
        kinds.append([kind.replace("_", " "), *(mean_and_deviation(of(name, share)) for name, _, _ in STARTS)])
    text += ("\n\nWhat the best boxes of `test` are, as many of each class as it has actors, in percent of the actors:\n\n"
             + table(["kind", *(name for name, _, _ in STARTS)], kinds))
    off = max(abs(result["bundle"]["frame_mAP"] - result["parts"]["test"]["frame_mAP"]) for result in results.values())
    looked = [result["bundle"]["looked"] for result in results.values()]
    rate = statistics.median(found["frames"] / found["elapsed_s"] for found in looked)
    return text + (f"\n\nFrame mAP on `test`, seed by seed: {'; '.join(single)}.\n\n"
                   f"The bundles are those of `unscene export`, in ONNX Runtime: of no run does its bundle's frame mAP differ by more than "
                   f"{100 * off:.2f} points. They look at {rate:.0f} frames/s (median), {jobs} at a time, each on its share of the cores.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unscene")
    parser.add_argument("work")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="a further setting of the detectors' trainings")
    arguments = parser.parse_args()
    bench = Detecting(arguments.unscene, arguments.work, arguments.jobs)
    bench.data()
    bench.crowded()
    seeds, results = list(range(arguments.seeds)), {}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        wanted = [(start, seed) for seed in seeds for start in STARTS]
        tasks = {pool.submit(bench.detect, start, seed, arguments.settings): (start[0], seed) for start, seed in wanted}
        for task in concurrent.futures.as_completed(tasks):
            name, seed = tasks[task]
            results[name, seed] = task.result()
            found = results[name, seed]["parts"]
            say(f"{name} {seed}: " + ", ".join(f"{part} {100 * found[part]['frame_mAP']:.1f}" for part in PARTS))
    text = report(results, seeds, arguments.jobs, arguments.settings)
    (RESULTS / "stage_detect.md").write_text(text)
    keys = ("frame_mAP", "video_mAP", "video_mAP_50_95", "accuracy", "errors")
    values = [{"start": name, "seed": seed, "train_s": result["train_s"], "pretrain_s": result["pretrain_s"],
               **{part: {**{key: measured.get(key) for key in keys}, "AP": {one["label"]: one["frame_AP"] for one in measured["classes"]}}
                  for part, measured in [*result["parts"].items(), ("test_bundle", result["bundle"])]}}
              for (name, seed), result in sorted(results.items())]
    (RESULTS / "stage_detect.json").write_text(json.dumps(values, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
