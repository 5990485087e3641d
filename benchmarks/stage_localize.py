#!/usr/bin/env python3
"""Remakes benchmarks/results/stage_localize.md: R-C3D on Stage's untrimmed videos, from nothing, from a baseline and from a
debiased run.

    cargo build --release -p unscene
    python3 benchmarks/stage_localize.py target/release/unscene WORK_FOLDER [--seeds 3] [--jobs 2]

Pretrains what is missing as stage_debias.py does (the same WORK_FOLDER serves both), trains a localizer from each, and measures it;
what is there already is not done again, so that it can be stopped at any time.
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
    ("scratch", "random weights", None),
    ("baseline", "pretrained with bias", "baseline"),
    ("debiased", "pretrained with both losses", "both"),
]
PARTS = ["test", "swapped"]
UNTRIMMED_BIAS = 0.1


class Localizing(Bench):
    def untrimmed(self):
        folder = self.work / "untrimmed"
        if not (folder / "stage.json").exists():
            say("rendering untrimmed videos")
            self.call("stage", "--untrimmed", "--preset", "demo", "--bias", UNTRIMMED_BIAS, "--out", folder, parallel=False)
        return folder

    def localize(self, start, seed, settings):
        name, _, pretrained = start
        # Other settings are other runs.
        key = f"-{hashlib.sha256(json.dumps(sorted(settings)).encode()).hexdigest()[:8]}" if settings else ""
        folder, run = self.untrimmed(), self.work / "localize" / f"{name}-{seed}{key}"
        if not (run / "config.json").exists():
            if pretrained:
                variant = next(variant for variant in VARIANTS if variant[0] == pretrained)
                begin = ["--from", self.pretrain(variant, seed)]
            else:
                begin = ["--set", "model.arch='r3d10-hara'", "--set", "model.width=0.25"]
            begun = time.time()
            settings = [f"data.annotations='{folder / 'annotations_thumos'}'", f"data.videos='{folder}'", f"seed={seed}", *settings]
            resume = ["--resume"] if (run / "checkpoint").exists() else []
            self.call("finetune", "localize", *begin, "--config", ROOT / "examples/localize_stage.toml", "--out", run, "--json",
                      "--workers", 1, *(part for setting in settings for part in ("--set", setting)), *resume)
            say(f"{run.name}: trained in {time.time() - begun:.0f} s")
        bundle = run / "bundle"
        if not bundle.exists():
            self.call("export", "--onnx", "--run", run, "--out", bundle)

        def evaluate(what, path, part):
            result = run / f"{what}-{part}.json"
            if not result.exists():
                found = self.call("eval", "localize", f"--{what}", path, "--annotations", folder / "annotations_thumos",
                                  "--videos", folder, "--part", part, "--json")
                result.write_text(found)
            return json.loads(result.read_text())

        parts = {part: evaluate("run", run, part) for part in PARTS}
        exported = evaluate("bundle", bundle, "test")
        epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return {"parts": parts, "bundle": exported, "train_s": sum(epoch["seconds"] for epoch in epochs)}


def report(results, seeds, jobs, settings):
    def of(name, get):
        return [get(results[name, seed]) for seed in seeds]

    minutes = [result["train_s"] / 60 for result in results.values()]
    rows, single = [], []
    for name, what, _ in STARTS:
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unscene")
    parser.add_argument("work")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="a further setting of the localizers' trainings")
    arguments = parser.parse_args()
    bench = Localizing(arguments.unscene, arguments.work, arguments.jobs)
    bench.data()
    bench.untrimmed()
    seeds, results = list(range(arguments.seeds)), {}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        wanted = [(start, seed) for seed in seeds for start in STARTS]
        tasks = {pool.submit(bench.localize, start, seed, arguments.settings): (start[0], seed) for start, seed in wanted}
        for task in concurrent.futures.as_completed(tasks):
            name, seed = tasks[task]
            results[name, seed] = task.result()
            found = results[name, seed]["parts"]
            say(f"{name} {seed}: " + ", ".join(f"{part} {100 * found[part]['average_mAP']:.1f}" for part in PARTS))
    text = report(results, seeds, arguments.jobs, arguments.settings)
    (RESULTS / "stage_localize.md").write_text(text)
    values = [{"start": name, "seed": seed, "train_s": result["train_s"],
               **{part: {"average_mAP": measured["average_mAP"], "mAP": measured["mAP"], "proposals_auc": measured["proposals"]["auc"],
                       "AP": {one["label"]: one["AP"] for one in measured["classes"]}}
                for part, measured in [*result["parts"].items(), ("test_bundle", result["bundle"])]}}
              for (name, seed), result in sorted(results.items())]
    (RESULTS / "stage_localize.json").write_text(json.dumps(values, indent=1) + "\n")
    print(text)
    print("average mAP:", {name: f"{statistics.mean(results[name, seed]['parts']['test']['average_mAP'] for seed in seeds):.3f}"
                           for name, _, _ in STARTS})


if __name__ == "__main__":
    main()
