"""What the tables of tasks on Stage have in common: a model trained for the task from every beginning with every seed, measured with its
bundle."""

import argparse
import concurrent.futures
import hashlib
import json
import statistics
import time

from run import write_whole
from stage_debias import RESULTS, ROOT, VARIANTS, Bench, say

PARTS = ["test", "swapped"]
#: Of the videos that tasks are trained on: scenes say nothing about actions.
BIAS = 0.1


class TaskBench(Bench):
    #: The task, the flag of its videos, the file of their annotations, and the figure that is told on the way.
    task = videos = annotations = figure = None
    #: Of each beginning its name, what it is, and the variant of pretraining, if it is pretrained.
    starts = []
    #: Settings of trainings without pretraining, and further arguments of `unscene stage`.
    scratch = rendering = ()

    def data(self):
        super().data()
        folder = self.videos_folder()
        if not (folder / "stage.json").exists():
            say(f"rendering {self.videos} videos")
            self.call("stage", f"--{self.videos}", "--preset", "demo", "--bias", BIAS, *self.rendering, "--out", folder, parallel=False)

    def videos_folder(self):
        return self.work / "-".join([self.videos, *(str(part).strip("-") for part in self.rendering)])

    def measure_start(self, start, seed, settings):
        """Trains, exports and measures; what is there already is not done again."""
        name, _, pretrained = start
        folder, config = self.videos_folder(), ROOT / f"examples/{self.task}_stage.toml"
        begun_with = self.pretrain(next(variant for variant in VARIANTS if variant[0] == pretrained), seed) if pretrained else None
        # Other videos and settings are other runs.
        key = json.dumps([folder.name, config.read_text(), list(self.scratch), sorted(settings)])
        run = self.work / self.task / f"{name}-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        if not (run / "config.json").exists():
            begun = time.time()
            settings = [f"data.annotations='{folder / self.annotations}'", f"data.videos='{folder}'", f"seed={seed}",
                        *(() if begun_with else self.scratch), *settings]
            begin = ["--from", begun_with] if begun_with else []
            resume = ["--resume"] if (run / "checkpoint").exists() else []
            self.call("finetune", self.task, *begin, "--config", config, "--out", run, "--json",
                      "--workers", 1, *(part for setting in settings for part in ("--set", setting)), *resume)
            say(f"{run.name}: trained in {time.time() - begun:.0f} s")
        bundle = run / "bundle"
        if not bundle.exists():
            self.call("export", "--onnx", "--run", run, "--out", bundle)

        def evaluate(what, path, part):
            result = run / f"{what}-{part}.json"
            if not result.exists():
                found = self.call("eval", self.task, f"--{what}", path, "--annotations", folder / self.annotations, "--videos", folder,
                                  "--part", part, "--json")
                write_whole(result, found)
            return json.loads(result.read_text())

        def seconds(of):
            # Epochs are alike; one that was held up, or a run that was stopped and went on, does not count for more.
            epochs = [json.loads(line)["seconds"] for line in (of / "metrics.jsonl").read_text().splitlines()]
            return statistics.median(epochs) * len(epochs)

        parts = {part: evaluate("run", run, part) for part in PARTS}
        return {"parts": parts, "bundle": evaluate("bundle", bundle, "test"), "train_s": seconds(run),
                "pretrain_s": seconds(begun_with) if begun_with else None}


def remake(doc, bench_class, report, values):
    """Measures every beginning of `bench_class` with every seed, some side by side, and writes `report(results, seeds, jobs, settings)` to
    results/stage_TASK.md and `values(measured)` of each part to results/stage_TASK.json."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unscene")
    parser.add_argument("work")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="a further setting of the task's trainings")
    arguments = parser.parse_args()
    bench = bench_class(arguments.unscene, arguments.work, arguments.jobs)
    bench.data()
    seeds, results = list(range(arguments.seeds)), {}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        wanted = [(start, seed) for seed in seeds for start in bench.starts]
        tasks = {pool.submit(bench.measure_start, start, seed, arguments.settings): (start[0], seed) for start, seed in wanted}
        for task in concurrent.futures.as_completed(tasks):
            name, seed = tasks[task]
            results[name, seed] = task.result()
            found = results[name, seed]["parts"]
            say(f"{name} {seed}: " + ", ".join(f"{part} {100 * found[part][bench.figure]:.1f}" for part in PARTS))
    text = report(results, seeds, arguments.jobs, arguments.settings)
    write_whole(RESULTS / f"stage_{bench.task}.md", text)
    lines = [{"start": name, "seed": seed, "train_s": result["train_s"], "pretrain_s": result["pretrain_s"],
              **{part: values(measured) for part, measured in [*result["parts"].items(), ("test_bundle", result["bundle"])]}}
             for (name, seed), result in sorted(results.items())]
    write_whole(RESULTS / f"stage_{bench.task}.json", json.dumps(lines, indent=1) + "\n")
    print(text)
