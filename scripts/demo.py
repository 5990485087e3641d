"""The newcomer's ten minutes: a benchmark, two models, what each looks at, and the better one in service.

usage: demo.py UNSCENE_BINARY [FOLDER]

Everything is made in FOLDER (demo): open report.html in it afterwards. Called again, it goes on where it was stopped; remove
FOLDER to begin anew.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.1:8787"
BIAS = "0.8"
STARTED = time.monotonic()


def say(text):
    minutes, seconds = divmod(int(time.monotonic() - STARTED), 60)
    print(f"\n[{minutes:d}:{seconds:02d}] {text}", flush=True)


def finish(command, **options):
    """Runs a program to its end, and gives what it printed. Ctrl-C reaches it as well: a training makes its snapshot then, for
    which it has the time that it needs."""
    program = subprocess.Popen(command, **options)
    try:
        printed, _ = program.communicate()
    except KeyboardInterrupt:
        program.wait()
        raise
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, command)
    return printed


class Demo:
    def __init__(self, unscene, folder):
        self.unscene, self.folder = Path(unscene).resolve(), folder

    def call(self, *command, into=None):
        """Runs a command of unscene; what it prints goes to the terminal or whole into a file."""
        command = [str(part) for part in command]
        print("$ unscene", " ".join(command) + (f" > {into}" if into else ""), flush=True)
        if into is None:
            finish([self.unscene, *command])
            return
        printed = finish([self.unscene, *command], stdout=subprocess.PIPE)
        partial = into.with_name(into.name + ".partial")
        partial.write_bytes(printed)
        partial.rename(into)

    def train(self, run, config, *settings, command=("pretrain",)):
        if (run / "config.json").exists():
            print(f"{run} is there already")
            return
        resume = ["--resume"] if (run / "checkpoint").exists() else []
        given = [part for setting in settings for part in ("--set", setting)]
        self.call(*command, "--config", config, *given, "--out", run, *resume)

    def run(self):
        here = self.folder
        stage, runs, bundles = here / "stage", here / "runs", here / "bundles"
        here.mkdir(parents=True, exist_ok=True)
        say(f"1 of 7: a benchmark of 1,700 short videos (half a minute). In training, {float(BIAS):.0%} of an action's videos are in its own scene.")
        if not (stage / "stage.json").exists():
            self.call("stage", "--out", stage, "--preset", "demo", "--bias", BIAS, "--empty")

        say("2 of 7: a classifier of scenes, trained on pictures of empty scenes (half a minute), names the scene of every video.")
        self.train(runs / "scenes", ROOT / "examples/scenes_stage.toml", f"data.annotations='{stage / 'pictures'}'")
        if not (bundles / "scenes").exists():
            self.call("export", "--onnx", "--run", runs / "scenes", "--out", bundles / "scenes")
        scenes, people = here / "scenes.sqlite", here / "people.sqlite"
        self.call("annotate", "scenes", "--model", bundles / "scenes", "--annotations", stage, "--out", scenes)
        self.call("annotate", "compare", "--stage", stage, "--scenes", scenes)
        # People come from Stage's truth: there is no detector without a download.
        if not people.exists():
            self.call("annotate", "truth", "--stage", stage, "--people", people)

        say("3 of 7: the baseline learns actions and nothing else (two minutes).")
        example, data = ROOT / "examples/pretrain_stage.toml", f"data.annotations='{stage}'"
        self.train(runs / "baseline", example, data)

        say("4 of 7: the debiased model learns the same actions, not to know them where nobody is, and to hide the scene from an "
            "adversary (four minutes).")
        self.train(runs / "debiased", example, data, f"adversary=[{{name='scene', cache='{scenes}', lambda=0.1}}]",
                   f"confusion={{people='{people}', weight=0.5, fill={{videos='{stage / 'empty'}'}}}}")

        say("5 of 7: what both have learned (a minute).")
        for name in ("baseline", "debiased"):
            run = runs / name
            model = ["--run", run, "--annotations", stage]
            self.call("eval", "action", *model, "--part", "iid", "--part", "swapped", "--part", "unseen", "--json",
                      into=run / "action.json")
            self.call("eval", "masked", *model, "--part", "iid", "--people", people, "--fill", stage / "empty",
                      "--fill", "mean", "--json", into=run / "masked.json")
            self.call("eval", "scene", *model, "--part", "swapped", "--scenes", scenes, "--json", into=run / "scene.json")
        self.table([runs / "baseline", runs / "debiased"])
        self.call("report", "--run", runs / "baseline", "--run", runs / "debiased", "--picture", stage / "contact_sheet.png",
                  "--out", here / "report.html")

        say("6 of 7: both as ONNX bundles that can say where they look.")
        for name in ("debiased", "baseline"):
            if not (bundles / name).exists():
                self.call("export", "--onnx", "--maps", "--run", runs / name, "--out", bundles / name)
        say("7 of 7: both in service, and the debiased one asked about a video in which the action is not in its own scene.")
        video = sorted((stage / "videos").glob("*/*_swapped_*.mp4"))[0]
        done = f"done: open {here / 'report.html'}"
        self.serve([bundles / "debiased", bundles / "baseline"], video, "classify?top_k=3", done, jobs=here / "jobs")

    @staticmethod
    def table(runs):
        rows = [("", *(run.name for run in runs))]
        read = [{name: json.loads((run / f"{name}.json").read_text())["parts"] for name in ("action", "masked", "scene")}
                for run in runs]
        for part, meaning in [("iid", "biased as in training"), ("swapped", "never in its own scene"), ("unseen", "in new scenes")]:
            rows.append((f"top-1 on {part} ({meaning})", *(f"{one['action'][part]['top1']:.1%}" for one in read)))
        for fill in read[0]["masked"]["iid"]["fills"]:
            if fill != "none":
                found = [one["masked"]["iid"]["fills"][fill] for one in read]
                name = f"top-1 without the people (fill: {Path(fill).name}); entropy"
                rows.append((name, *(f"{one['top1']:.1%}; {one['entropy']:.2f}" for one in found)))
        chance = read[0]["scene"]["swapped"]["chance"]
        rows.append((f"scene read off the features (chance {chance:.1%})",
                     *(f"{one['scene']['swapped']['accuracy']:.1%}" for one in read)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(widths[0]) if at == 0 else cell.rjust(widths[at]) for at, cell in enumerate(row)))

    def serve(self, bundles, video, question, done, jobs=None):
        """Serves bundles, asks the first about a video, and prints the answer. In a terminal the service stays until Ctrl-C."""
        command = [str(self.unscene), "serve", "--addr", ADDRESS]
        for bundle in bundles:
            command += ["--bundle", str(bundle)]
        if jobs:
            command += ["--jobs", str(jobs)]
        print("$ unscene", " ".join(command[1:]), flush=True)
        server, is_done = subprocess.Popen(command), False
        try:
            wait_until_ready(server)
            url = f"http://{ADDRESS}/v1/{question}"
            print(f"$ curl --data-binary @{video} '{url}'", flush=True)
            request = urllib.request.Request(url, data=video.read_bytes(), method="POST",
                                             headers={"Content-Type": "application/octet-stream"})
            with urllib.request.urlopen(request, timeout=300) as response:
                print(json.dumps(json.load(response), indent=2))
            say(done)
            is_done = True
            if sys.stdin.isatty() and sys.stdout.isatty():
                names = " and ".join(bundle.name for bundle in bundles)
                say(f"http://{ADDRESS}/ is the page of {names}: drop a video there, such as {video}. Ctrl-C ends the service.")
                server.wait()
        except KeyboardInterrupt:
            # The service was told, too, and finishes what it does.
            if server.wait(timeout=60) or not is_done:
                raise
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)


def wait_until_ready(server):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"demo: the service ended with exit code {server.returncode}; its message is above")
        try:
            urllib.request.urlopen(f"http://{ADDRESS}/readyz", timeout=2).read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit("demo: the service was not ready within a minute")


def main(demo=Demo, name="demo", minutes="ten"):
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2] else ROOT / "demo"
    print(f"About {minutes} minutes on {len(os.sched_getaffinity(0))} cores; everything goes into {folder}. Ctrl-C loses nothing: call it again.")
    try:
        demo(sys.argv[1], folder).run()
    except urllib.error.HTTPError as error:
        sys.exit(f"{name}: the service answered {error.code}: {error.read().decode()}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{name}: the command above failed with exit code {error.returncode}; call the demo again to go on")
    except KeyboardInterrupt:
        sys.exit(f"\n{name}: stopped; call it again to go on")


if __name__ == "__main__":
    main()
