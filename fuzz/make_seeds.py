"""Makes the seeds in corpus/ from the fixtures of the tests and the examples, and a few by hand. Run it to change them.

Formats of several files are one seed: a first line, and each file after `=== NAME`.
"""

import json
import pathlib
import shutil
import struct

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
FIXTURES = ROOT / "tests/fixtures"


def seed(target: str, name: str, data: bytes | str) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


def files(first: str, contents: dict[str, bytes | str]) -> bytes:
    parts = [first.encode()]
    for name, content in contents.items():
        parts.append(b"=== " + name.encode() + b"\n" + (content.encode() if isinstance(content, str) else content))
    return b"\n".join(parts)


def manifests() -> None:
    for name, path in {
        "classify": "serve/tests/fixtures/tiny/manifest.json",
        "maps": "serve/tests/fixtures/maps/manifest.json",
        "detect": "serve/tests/fixtures/detector/manifest.json",
    }.items():
        seed("manifest", name, (ROOT / path).read_bytes())
    manifest = json.loads((ROOT / "serve/tests/fixtures/tiny/manifest.json").read_text())

    def graph(file, inputs, outputs):
        def tensors(shapes):
            return [{"name": name, "shape": ["N", *sides]} for name, sides in shapes.items()]

        return {"file": file, "sha256": "00", "inputs": tensors(inputs), "outputs": tensors(outputs)}

    rule = {"before_nms": 6000, "proposal_tiou": 0.9, "proposals": 300, "segment_tiou": 0.4, "min_score": 0.005}
    manifest |= {
        "task": "localize",
        "fps": 25.0,
        "input": manifest["input"] | {"frames": 64, "height": 56, "width": 56, "short_side": 64},
        "localize": {"anchors": [1.0, 2.0], "step_frames": 8, "offset_deviations": [0.1, 0.2], "rule": rule},
        "graphs": [
            graph(
                "proposal.onnx",
                {"clip": [3, 64, 56, 56]},
                {"anchor_scores": [4, 8, 1, 1], "anchor_offsets": [4, 8, 1, 1], "features": [16, 8, 2, 2]},
            ),
            graph("head.onnx", {"regions": [16, 4, 2, 2]}, {"class_scores": [4], "class_offsets": [8]}),
        ],
    }
    seed("manifest", "localize", json.dumps(manifest))


def runs() -> None:
    sides = {"frames": 16, "height": 112, "width": 112, "short_side": 112}
    numbers = {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "channels": "RGB", "range": 1.0}
    for arch in ["r3d18-hara", "r3d10-hara-b", "r3d34-torchvision"]:
        model = {"arch": arch, "width": 0.5, "frames": 16, "size": 112, "classes": 2}
        run = {"model": model, "labels": ["a", "b"], "input": sides | numbers, "stride_frames": 16, "fps": None, "provenance": {}}
        seed("run_config", arch, json.dumps(run))
    one = sides | {"frames": 1, "height": 300, "width": 300, "short_side": 300}
    run |= {"model": {"arch": "vgg16-ssd", "frames": 1, "size": 300, "classes": 2}, "input": one | numbers}
    seed("run_config", "vgg16-ssd", json.dumps(run))
    run |= {"task": "detect", "model": {"width": 0.25, "size": 300, "batch_norm": True, "classes": 2}}
    seed("run_config", "detect", json.dumps(run))
    long = sides | {"frames": 768}
    model = {"arch": "r3d18-hara", "frames": 768, "size": 112, "classes": 2, "anchors": [1, 2.5], "rule": {"proposals": 9}}
    seed("run_config", "localize", json.dumps(run | {"task": "localize", "fps": 25, "model": model, "input": long | numbers}))


def configs() -> None:
    for path in sorted([*ROOT.glob("examples/*.toml"), *ROOT.glob("crates/cli/src/presets/*.toml")]):
        settings = "fit.sgd.lr=0.01\nadversary.0.lambda=1\ndata.format=csv\nconfusion={people='p', weight=0.5}\n\n"
        seed("command_config", path.stem, settings.encode() + path.read_bytes())
        seed("training_config", path.stem, path.read_bytes())
    for path in sorted(ROOT.glob("examples/*.json")):
        seed("annotate_config", path.stem, path.read_bytes())
    seed("annotate_config", "labels", "/a/airfield 0\n/b/bar 1\n\nbox 7\nroom2\n")
    key = '[[key]]\nname = "{}"\nsha256 = "{}"\nscopes = ["predict"{}]\n{}'
    first = key.format("shop", "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "", "per_minute = 600\n")
    second = key.format("boss", "00" * 32, ', "admin"', "")
    seed("api_keys", "two", f"{first}\n{second}\n\n{first}\n\n\nBearer secret")


def datasets() -> None:
    table = "label,youtube_id,time_start,time_end,split\nplay,-abc_DEF123,5,15,train\n\"clap, twice\",b2,0,10,train\n"
    seed("datasets", "kinetics", files("kinetics", {"train.csv": table, "train/play/b2.mp4": "", "test.csv": "youtube_id\nz\n"}))
    seed("datasets", "mini-kinetics", files("mini-kinetics", {"train.csv": table, "train_ytid_list.txt": "b2\nz\n"}))
    rows = "path,label,start_s,end_s\na.mp4,sit,0.5,2\na.mp4,wave,2,3.25\nb.mp4,sit,,\n"
    seed("datasets", "csv", files("csv", {"train.csv": rows, "val.csv": "\ufefflabel,path\r\nwave,b.mp4\r\n", "a.mp4": "", "classes.txt": "sit\nwave\n"}))
    seed("datasets", "csv_file", files("csv train.csv", {"train.csv": rows, "a/image_1.jpg": ""}))
    entry = {"subset": "training", "annotations": {"label": "Bowl", "segment": [1, 90]}}
    database = {"labels": ["Swim", "Bowl"], "database": {"v_1": entry, "v_2": entry | {"subset": "validation"}, "v_3": {"subset": "testing"}}}
    seed("datasets", "json", files("json a.json", {"a.json": json.dumps(database), "Bowl/v_1/image_00001.jpg": "", "Bowl/v_1/n_frames": "1"}))
    lists = {"classInd.txt": "1 Bow\n2 Wave\n", "trainlist01.txt": "Bow/v_1.avi 1\nWave/v_2.avi 2\n", "testlist01.txt": "Bow/v_3.avi\n"}
    seed("datasets", "ucf101", files("ucf101", lists | {"Bow/v_1.avi": ""}))
    seed("datasets", "hmdb51", files("hmdb51", {"bow_test_split1.txt": "a.avi 1\nb.avi 2\nc.avi 0\n", "wave_test_split1.txt": "d.avi 1\n"}))
    dive = json.dumps([{"vid_name": "a_01", "label": 0, "start_frame": 0, "end_frame": 9}])
    vocabulary = json.dumps([["Back", "15som", "05Twis", "FREE"]])
    seed("datasets", "diving48", files("diving48", {"Diving48_vocab.json": vocabulary, "Diving48_V2_train.json": dive, "Diving48_V2_test.json": dive}))


def untrimmed() -> None:
    folder = FIXTURES / "localization"
    # A few lines of each: small seeds are changed faster.
    thumos = {path.name: path.read_text().splitlines()[:4] for path in sorted((folder / "annotation_test").iterdir())}
    thumos = {name: "\n".join(lines) for name, lines in thumos.items()}
    lines = "\n".join((folder / "detections.txt").read_text().splitlines()[:6])
    seed("untrimmed", "thumos14", files("thumos14", thumos | {"detections": lines}))
    entry = {"subset": "validation", "duration": 9.25, "annotations": [{"segment": ["4.5", 9], "label": "Wave"}]}
    database = json.dumps({"version": "1", "database": {"a": entry, "b": {"subset": "training", "annotations": []}}})
    found = '{"results": {"a": [{"label": "Wave", "score": NaN, "segment": [1, "2.5"]}, {"score": 1e9, "segment": [2, 1]}]}}'
    seed("untrimmed", "activitynet", files("activitynet a.json", {"a.json": database, "detections": found, "v_a.mp4": ""}))


def actors() -> None:
    folder = FIXTURES / "actors"
    tube = {"label": "Wave", "start_frame": 3, "boxes": [[1, 2, 10.5, 20], [1, 2, 11, 20]]}
    video = {"file": "a.mp4", "part": "test", "frames": 9, "width": 64, "height": 48, "tubes": [tube]}
    box = {"label": "Wave", "score": 0.5, "box": [1, 2, 10, 20]}
    found = {"videos": {"a": {"frames": [{"frame": 3, "boxes": [box]}], "tubes": [tube | {"score": 0.5}]}}}
    dataset = json.dumps({"labels": ["Bow", "Wave"], "videos": {"a": video}})
    seed("actors", "actors", files("actors a.json", {"a.json": dataset, "detections": json.dumps(found), "a.mp4": ""}))
    pyannot = {"pyannot.pkl": (folder / "pyannot.pkl").read_bytes(), "testlist01.txt": (folder / "testlist01.txt").read_text()}
    seed("actors", "ucf24", files("ucf24", pyannot | {"detections": json.dumps(found)}))
    seed("actors", "gttubes", files("gttubes a.pkl", {"a.pkl": (folder / "gttubes.pkl").read_bytes()}))
    jhmdb = folder / "jhmdb"
    masks = [path for path in sorted(jhmdb.rglob("*")) if path.is_file()]
    seed("actors", "jhmdb", files("jhmdb", {str(path.relative_to(jhmdb)): path.read_bytes() for path in masks}))


def pickles() -> None:
    for path in sorted((FIXTURES / "torchvision/checkpoints").iterdir()):
        seed("checkpoint", path.name, path.read_bytes())
    for path in ["pyannot.pkl", "gttubes.pkl"]:
        seed("pickle", path, (FIXTURES / "actors" / path).read_bytes())
    for path in sorted((ROOT / "crates/annotate/tests/fixtures").glob("*.npy")):
        seed("pickle", path.name, path.read_bytes())
        seed("scene_files", path.name, (b"\0" if "places" in path.name else b"\1") + path.read_bytes())
    for name in ["bare_legacy.pth", "full_legacy.pth"]:
        seed("pickle", name, (FIXTURES / "torchvision/checkpoints" / name).read_bytes())


def answers() -> None:
    info = {"container": "mov", "codec": "h264", "width": 64, "height": 48, "rotation_degrees": 0, "fps": 25.0, "duration_s": 2.0, "reported_frames": 50}
    state = {"errors": 0, "is_steady": True}
    opened = {"Opened": {"info": info, "tolerance_s": 0.0005}}
    at = {"At": {"time": {"time_s": 0.04, "duration_s": 0.04}, "state": state}}
    picture = {"format": "yuv420p", "width": 64, "height": 48, "space": "bt709", "range": "tv"}
    shown = {"Shown": {"number": 0, "picture": picture}}
    good = [opened, at, shown, at, shown, at, shown, {"Sought": {"state": state}}, at, shown, {"At": {"time": None, "state": state}}]
    texts = [json.dumps(answer) for answer in good]
    texts[2] = "memory\n" + texts[2]
    seed("worker_answers", "good", "\n=== ".join(texts))
    for name, change in {"format": {"format": "gbrpf32le"}, "large": {"width": 65536, "height": 65536}, "turned": {"format": "pal8"}}.items():
        texts[2] = "memory\n" + json.dumps({"Shown": {"number": 0, "picture": picture | change}})
        seed("worker_answers", name, "\n=== ".join(texts))
    failed = {"Failed": {"error": {"Corrupt": {"name": "a", "detail": "b"}}, "state": None}}
    seed("worker_answers", "failed", json.dumps(failed))
    seed("worker_answers", "closed", '"Closed"')


def requests() -> None:
    def form(fields):
        parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
        return "".join(parts) + "--x--\r\n"

    kind = "\nContent-Type: multipart/form-data; boundary=x\nX-Request-Timeout-S: 2.5\n\n"
    classify = {"top_k": "3", "stride_frames": "8", "clips": "true", "video": "not a video"}
    seed("request", "classify_form", "\0" + kind + form(classify))
    seed("request", "classify_query", "\0model=tiny&top_k=1&clips=1\nContent-Type: video/mp4\nAccept: application/json\n\nnot a video")
    seed("request", "localize_query", "\1threshold=0.5&max_segments=3&tiou_nms=0.4\n\nnot a video")
    seed("request", "detect_form", "\2every=2" + kind + form({"tubes": "true", "video": "x"}))
    seed("request", "predict_form", "\3tasks=classify" + kind + form({"classify.top_k": "2", "video": "x"}))
    video = (ROOT / "serve/tests/fixtures/red.mp4").read_bytes()
    seed("request", "video", b"\0explain=cam\nAccept: image/png\n\n" + video)
    seed("request", "localize_video", b"\1threshold=0\n\n" + video)
    seed("request", "detect_lines", b"\2threshold=0&every=5&tubes=1\nAccept: application/x-ndjson\n\n" + video)
    seed("request", "predict_video", b"\3tasks=localize,detect&detect.every=9\n\n" + video)

    def tensor(name, *shape, **values):
        return {"name": name, "datatype": "FP32", "shape": shape, **values}

    def binary(route, request, values):
        rest = struct.pack(f"<{len(values)}f", *values)
        request["inputs"][0]["parameters"] = {"binary_data_size": len(rest)}
        text = json.dumps(request).encode()
        return route + b"\nInference-Header-Content-Length: %d\n\n" % len(text) + text + rest

    rows = [number % 7 / 7 for number in range(96)]
    regions = (2, 3, 4, 2, 2)
    seed("request", "infer_json", "\4\nContent-Type: application/json\n\n" + json.dumps({"id": "a", "inputs": [tensor("regions", *regions, data=rows)]}))
    nested = [rows[start : start + 48] for start in (0, 48)]
    wanted = [{"name": "class_scores", "parameters": {"binary_data": True}}]
    seed("request", "infer_nested", "\4\n\n" + json.dumps({"inputs": [tensor("regions", *regions, data=nested)], "outputs": wanted}))
    seed("request", "infer_binary", binary(b"\4", {"inputs": [tensor("regions", *regions)], "outputs": wanted}, rows))
    clip = {"parameters": {"binary_data_output": True}, "inputs": [tensor("clip", 1, 3, 1, 16, 16)]}
    seed("request", "infer_clip", binary(b"\5", clip, [0.5] * 768))


shutil.rmtree(HERE / "corpus", ignore_errors=True)
for make in [manifests, runs, configs, datasets, untrimmed, actors, pickles, answers, requests]:
    make()
