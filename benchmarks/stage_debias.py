#!/usr/bin/env python3
"""Remakes benchmarks/results/stage_debias.md: debiased pretraining on Stage, against a model trained with the bias and one without.

    cargo build --release -p unscene
    python3 benchmarks/stage_debias.py target/release/unscene WORK_FOLDER [--seeds 3] [--jobs 2] [--only NAME ...]

Trains every variant of VARIANTS for every seed and measures it; what is in WORK_FOLDER already is not done again, so that it
can be stopped at any time. About two hours on two cores.
"""

import argparse
import concurrent.futures
import csv
import json
import math
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from run import machine, table, write_whole  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
BIAS = 0.8
SCENES = 14


def adversary(value, more=""):
    return f"adversary=[{{name='scene', cache='WORK/scenes.sqlite', lambda={value}{more}}}]"


def confusion(weight, fill):
    return f"confusion={{people='WORK/people.sqlite', weight={weight}, fill={fill}}}"


EMPTY = "{videos='WORK/biased/empty'}"
# Name, what it is, settings over examples/pretrain_stage.toml, and the part of the data that is another.
VARIANTS = [
    ("baseline", "trained with bias", [], "biased"),
    ("ceiling", "the same network, trained without bias", [], "unbiased"),
    ("paper", "the paper's settings: lambda 0.5, weight 1, mean fill", [adversary(0.5), confusion(1.0, "'mean'")], "biased"),
    ("adversary", "the adversary of that alone", [adversary(0.5)], "biased"),
    ("ramp", "the same adversary, its lambda rising over 20 epochs", [adversary(0.5, ", ramp_epochs=20")], "biased"),
    ("confusion", "the confusion of that alone", [confusion(1.0, "'mean'")], "biased"),
    ("blur", "confusion of weight 0.5, filled with what is around, blurred", [confusion(0.5, "'blur'")], "biased"),
    ("median", "the same, filled with the median over the clip", [confusion(0.5, "'median'")], "biased"),
    ("true background", "confusion of weight 0.5, filled with what is behind", [confusion(0.5, EMPTY)], "biased"),
    ("both", "true background, and an adversary with lambda 0.1", [confusion(0.5, EMPTY), adversary(0.1)], "biased"),
    ("ramped both", "true background, and lambda 0.5 rising over 20 epochs",
     [confusion(0.5, EMPTY), adversary(0.5, ", ramp_epochs=20")], "biased"),
    ("scene only", "trained and tested on videos without people", [], "biased/empty"),
]
# What else was tried, with the first seed alone.
TRIED = [
    ("weaker confusion", "confusion of weight 0.5 with the mean fill, as the other fills had it", [confusion(0.5, "'mean'")], "biased"),
    ("stronger both", "both, with lambda 0.2", [confusion(0.5, EMPTY), adversary(0.2)], "biased"),
    ("weak adversary", "lambda 0.1 alone", [adversary(0.1)], "biased"),
    ("fast adversary", "lambda 0.1 alone, three steps at three times the rate", [adversary(0.1, ", steps=3, lr_factor=3")], "biased"),
    ("running statistics", "true background, masked clips normalised by the statistics of ordinary ones",
     [confusion(0.5, EMPTY).replace("fill=", "statistics='running', fill=")], "biased"),
]
# Actions that are each other backwards.
PAIRS = [("raise_arms", "lower_arms"), ("sit_down", "stand_up")]
PRINTING = threading.Lock()


def say(text):
    with PRINTING:
        print(time.strftime("%H:%M:%S"), text, flush=True)


class Bench:
    # Further settings of all trainings.
    extra = ()

    def __init__(self, unscene, work, jobs):
        self.unscene, self.work, self.jobs = str(Path(unscene).resolve()), Path(work).resolve(), jobs
        self.work.mkdir(parents=True, exist_ok=True)
        # Each of the programs that run side by side has its share of the cores.
        threads = max(1, len(os.sched_getaffinity(0)) // jobs)
        self.environment = dict(os.environ, OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads))

    def call(self, *command, parallel=True):
        environment = self.environment if parallel else os.environ
        done = subprocess.run([self.unscene, *map(str, command)], env=environment, text=True, capture_output=True)
        if done.returncode:
            raise SystemExit(f"unscene {' '.join(map(str, command))}\n{done.stderr}")
        return done.stdout

    def data(self):
        for name, bias in [("biased", BIAS), ("unbiased", 0.1)]:
            folder = self.work / name
            if not (folder / "stage.json").exists():
                say(f"rendering {name}")
                self.call("stage", "--out", folder, "--preset", "demo", "--bias", bias,
                          *(["--empty"] if name == "biased" else []), parallel=False)
        caches = self.work / "scenes.sqlite", self.work / "people.sqlite"
        if not all(cache.exists() for cache in caches):
            self.call("annotate", "truth", "--stage", self.work / "biased", "--scenes", caches[0], "--people", caches[1])

    def run_of(self, variant, seed):
        return self.work / "runs" / f"{variant[0].replace(' ', '-')}-{seed}"

    def result(self, variant, seed):
        return self.run_of(variant, seed) / "result.json"

    def pretrain(self, variant, seed):
        _, _, settings, data = variant
        run = self.run_of(variant, seed)
        if not (run / "config.json").exists():
            begun = time.time()
            settings = [setting.replace("WORK", str(self.work)) for setting in settings]
            settings += [f"data.annotations='{self.work / data}'", f"seed={seed}", *self.extra]
            resume = ["--resume"] if (run / "checkpoint").exists() else []
            self.call("pretrain", "--config", ROOT / "examples/pretrain_stage.toml", "--out", run, "--json", "--workers", 1,
                      *(part for setting in settings for part in ("--set", setting)), *resume)
            say(f"{run.name}: trained in {time.time() - begun:.0f} s")
        return run

    def train(self, variant, seed):
        run, result = self.pretrain(variant, seed), self.result(variant, seed)
        if not result.exists():
            write_whole(result, json.dumps(self.measure(run, variant[3]), indent=1))
        epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return {**json.loads(result.read_text()), "adversary_loss": epochs[-1]["train"].get("scene_loss"),
                "train_s": sum(epoch["seconds"] for epoch in epochs)}

    def measure(self, run, data):
        def evaluate(what, parts, *more, folder="biased"):
            parts = [part for name in parts for part in ("--part", name)]
            return json.loads(self.call("eval", what, "--run", run, "--annotations", self.work / folder, *parts, "--json",
                                        "--workers", 1, *more))["parts"]

        tests = ["iid", "swapped", "unseen"]
        if data == "biased/empty":
            found = evaluate("action", tests, folder=data)
            return {"action": {name: part["top1"] for name, part in found.items()}}
        found = evaluate("action", tests, "--files", run / "scores")
        shuffled = evaluate("action", ["swapped"], "--shuffle-frames", "--files", run / "scores-shuffled")["swapped"]
        fills = ["mean", "blur", "median", str(self.work / "biased/empty")]
        masked = evaluate("masked", ["iid"], "--people", self.work / "people.sqlite",
                          *(part for fill in fills for part in ("--fill", fill)))["iid"]["fills"]
        probe = evaluate("scene", ["swapped"], "--scenes", self.work / "scenes.sqlite")["swapped"]

        def pairs(part):
            by_class = {entry["label"]: entry["top1"] for entry in part["classes"]}
            return statistics.mean(by_class[name] for pair in PAIRS for name in pair)

        return {
            "action": {name: part["top1"] for name, part in found.items()},
            "pairs": {"in order": pairs(found["swapped"]), "shuffled": pairs(shuffled),
                      "two-way in order": two_way(run / "scores/swapped.csv"),
                      "two-way shuffled": two_way(run / "scores-shuffled/swapped.csv")},
            "masked": {Path(fill).name: {"top1": part["top1"], "entropy": part["entropy"]} for fill, part in masked.items()},
            "probe": probe["accuracy"], "probe_chance": probe["chance"],
        }


def two_way(scores):
    """How often an action of a pair is likelier than its reverse, whatever else is likelier still; the mean over the actions."""
    other = {one: two for pair in PAIRS for one, two in (pair, pair[::-1])}
    right = {name: [] for name in other}
    with open(scores, newline="") as file:
        for row in csv.DictReader(file):
            if row["label"] in other:
                own, reverse = float(row[row["label"]]), float(row[other[row["label"]]])
                # Half for a tie: both are as likely.
                right[row["label"]].append((own > reverse) + 0.5 * (own == reverse))
    return statistics.mean(statistics.mean(videos) for videos in right.values())


def mean_and_deviation(values, scale=100, digits=1):
    values = [value * scale for value in values]
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def report(results, seeds, jobs):
    """The table, variant by variant."""
    def of(name, *path):
        values = []
        for seed in seeds:
            value = results[name, seed]
            for key in path:
                value = value[key]
            values.append(value)
        return values

    minutes = sum(result["train_s"] for result in results.values()) / 60
    gap = [ceiling - base for base, ceiling in zip(of("baseline", "action", "swapped"), of("ceiling", "action", "swapped"))]
    rows = []
    for name, what, _, _ in VARIANTS:
        if (name, seeds[0]) not in results:
            continue
        row = [f"**{name}**: {what}"] + [mean_and_deviation(of(name, "action", part)) for part in ("iid", "swapped", "unseen")]
        if name in ("baseline", "ceiling", "scene only"):
            row.append("")
        else:
            moved = zip(of(name, "action", "swapped"), of("baseline", "action", "swapped"), gap)
            row.append(", ".join(f"{100 * (found - base) / whole:.0f}" for found, base, whole in moved))
        if name == "scene only":
            row += [""] * 5
        else:
            fills = ("none", "mean", "blur", "median", "empty")
            row += [f"{statistics.mean(of(name, 'masked', fill, 'top1')) * 100:.0f} / "
                    f"{statistics.mean(of(name, 'masked', fill, 'entropy')):.2f}" for fill in fills[1:]]
            row.append(mean_and_deviation(of(name, "probe")))
        rows.append(row)
    tried = []
    for name, what, _, _ in TRIED:
        if found := results.get((name, seeds[0])):
            tried.append([f"**{name}**: {what}", *(f"{100 * found['action'][part]:.1f}" for part in ("iid", "swapped", "unseen")),
                          f"{100 * found['probe']:.1f}", f"{found['adversary_loss']:.2f}" if found["adversary_loss"] else ""])
    header = ["variant", "iid %", "swapped %", "unseen %", "share of the gap closed, each seed, %",
              *(f"masked: {fill}" for fill in ("mean", "blur", "median", "true background")), "scene probe %"]
    text = "# Debiased pretraining on Stage\n\n"
    text += (f"`python3 benchmarks/stage_debias.py target/release/unscene WORK --seeds {len(seeds)}`, {minutes:.0f} minutes of "
             f"training, {jobs} at a time, on {machine()}.\n\n")
    text += (f"`unscene stage --preset demo` with bias {BIAS}: {BIAS * 100:.0f} % of an action's training videos happen in its own "
             "scene (10 of 10 actions and scenes); 900 training videos, tests of 200 (`iid`, as biased), 300 (`swapped`, never in "
             "the own scene) and 200 (`unseen`). r3d10-hara at a quarter of its width, clips of 8 x 56 x 56 over the whole video, the settings of "
             "`examples/pretrain_stage.toml`. Scenes and people are Stage's truth (`unscene annotate truth`): what is measured is "
             "the method and not a detector. Top-1 over videos, mean ± standard deviation over "
             f"{len(seeds)} seeds of the training; the data is the same.\n\n")
    text += table(header, rows)
    pairs = ", ".join("/".join(pair) for pair in PAIRS)
    chance = statistics.mean(of("baseline", "probe_chance"))
    text += (f"\n\nMasked: top-1 % / entropy on `iid` with people filled; {math.log(10):.2f} nats is not to know at all. Probe: linear, on "
             f"`swapped`, chance {100 * chance:.1f} %.\n\n")
    if tried:
        losses = ", ".join(f"{loss:.2f}" for loss in of("adversary", "adversary_loss"))
        text += (f"What else was tried, with seed {seeds[0]}. The adversary's loss is that of its last epoch in training; not to know "
                 f"any of the scenes is {math.log(SCENES):.2f}, and with the paper's lambda alone it is {losses}.\n\n")
        text += table(["variant", "iid %", "swapped %", "unseen %", "scene probe %", "adversary's loss"], tried) + "\n\n"
    text += ("Controls. Frames shuffled in time, on `swapped`, for actions that are each other backwards "
             f"({pairs}): the ceiling falls from {mean_and_deviation(of('ceiling', 'pairs', 'in order'))} % to "
             f"{mean_and_deviation(of('ceiling', 'pairs', 'shuffled'))} %, top-1 of ten actions, where naming one of the pair at random "
             "would give 50 % and any of the ten 10 %. ")
    if all("two-way shuffled" in pairs for pairs in of("ceiling", "pairs")):
        text += ("Asked only which of the two it is, by the larger of their two scores (chance 50 %), it falls from "
                 f"{mean_and_deviation(of('ceiling', 'pairs', 'two-way in order'))} % to "
                 f"{mean_and_deviation(of('ceiling', 'pairs', 'two-way shuffled'))} %. ")
    if ("scene only", seeds[0]) in results:
        text += (f"A model that sees only empty scenes reaches {mean_and_deviation(of('scene only', 'action', 'iid'))} % on `iid`, where the "
                 f"bias allows {BIAS * 100:.0f} %, and {mean_and_deviation(of('scene only', 'action', 'swapped'))} % on `swapped`.\n")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unscene")
    parser.add_argument("work")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of variants; the table is then printed and not written")
    parser.add_argument("--no-training", action="store_true", help="report what is in WORK_FOLDER; all of the main table must be")
    parser.add_argument("--set", action="append", default=[], dest="extra", help="a further setting of all trainings")
    arguments = parser.parse_args()
    bench = Bench(arguments.unscene, arguments.work, arguments.jobs)
    bench.extra = arguments.extra
    bench.data()
    seeds = list(range(arguments.seeds))
    variants = [variant for variant in VARIANTS if not arguments.only or variant[0] in arguments.only]
    results = {}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        wanted = [(variant, seed) for seed in seeds for variant in variants]
        if not arguments.only:
            wanted += [(variant, seeds[0]) for variant in TRIED]
        if arguments.no_training:
            wanted = [(variant, seed) for variant, seed in wanted if bench.result(variant, seed).exists()]
        tasks = {pool.submit(bench.train, variant, seed): (variant[0], seed) for variant, seed in wanted}
        for task in concurrent.futures.as_completed(tasks):
            results[tasks[task]] = task.result()
            name, seed = tasks[task]
            say(f"{name} {seed}: " + ", ".join(f"{part} {100 * top1:.1f}" for part, top1 in results[name, seed]["action"].items()))
    if arguments.only:
        return
    text = report(results, seeds, arguments.jobs)
    write_whole(RESULTS / "stage_debias.md", text)
    values = [{"variant": name, "seed": seed, **result} for (name, seed), result in sorted(results.items())]
    write_whole(RESULTS / "stage_debias.json", json.dumps(values, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
