"""Finding actions in long videos, after the newcomer's ten minutes: a benchmark, a localizer, what it finds, and it in service.

usage: demo_localize.py UNSCENE_BINARY [FOLDER]

Goes on in the FOLDER (demo) of demo.py: it begins with the debiased model of that where it is there, and with random weights where it
is not. Called again, it goes on where it was stopped.
"""

import json

from demo import ROOT, Demo, main, say


class LocalizeDemo(Demo):
    def run(self):
        here = self.folder
        here.mkdir(parents=True, exist_ok=True)
        untrimmed, run, bundle = here / "untrimmed", here / "runs/localize", here / "bundles/localize"
        say("1 of 5: 300 videos of half a minute, several actions in each with idle time between (half a minute).")
        if not (untrimmed / "stage.json").exists():
            self.call("stage", "--untrimmed", "--out", untrimmed, "--preset", "demo", "--bias", "0.1")

        debiased = here / "runs/debiased"
        is_pretrained = (debiased / "config.json").exists()
        begin = f"with what {debiased} has learned" if is_pretrained else "with random weights (`make demo` first makes a better beginning)"
        say(f"2 of 5: R-C3D learns where actions begin and end, {begin} (four minutes).")
        data = [f"data.annotations='{untrimmed / 'annotations_thumos'}'", f"data.videos='{untrimmed}'"]
        model = ["model.arch='r3d10-hara'", "model.width=0.25"]
        self.train(run, ROOT / "examples/localize_stage.toml", *data, *([] if is_pretrained else model),
                   command=("finetune", "localize", *(["--from", debiased] if is_pretrained else [])))

        say("3 of 5: what it finds in videos that it has not seen, after the protocol of THUMOS14.")
        found = here / "localize.json"
        self.call("eval", "localize", "--run", run, "--part", "test", "--plot", here / "localize.svg", "--json", into=found)
        report = json.loads(found.read_text())
        shown = {tiou: f"{value:.1%}" for tiou, value in report["mAP"].items()}
        print(f"mAP {report['average_mAP']:.1%} on average; by overlap: {shown}")

        say("4 of 5: the localizer as an ONNX bundle, and what it finds in one video as a picture.")
        if not bundle.exists():
            self.call("export", "--onnx", "--run", run, "--out", bundle)
        video = sorted((untrimmed / "videos/test").glob("*.mp4"))[0]
        self.call("predict", "--bundle", bundle, video, "--timeline", here / "timeline.svg")
        say("5 of 5: the bundle in service.")
        done = f"done: open {here / 'timeline.svg'} and {here / 'localize.svg'}"
        self.serve([bundle], video, "localize?threshold=0.5", done, jobs=here / "jobs")


if __name__ == "__main__":
    main(LocalizeDemo, "demo-localize", "five")
