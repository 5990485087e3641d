//! What a run has learned, trained on another dataset: in UCF101's layout, with other classes.

mod common;

use std::path::Path;

use common::{done, run};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_run_is_transferred_to_a_dataset_with_other_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (stage, first, out, bundle) = (path("stage"), path("first"), path("out"), path("bundle"));
    done(["stage", "--preset", "tiny", "--train", "20", "--val", "0", "--test", "10", "--out", text(&stage)]);
    let form = ["--width", "0.05", "--frames", "8", "--size", "32", "--classes", "3"];
    done(["init", "--arch", "r3d10-hara", "--out", text(&first)].into_iter().chain(form));

    let lists = format!("data.annotations={:?}", stage.join("ucf101"));
    let videos = format!("data.videos={:?}", stage.join("videos"));
    let finetune = |more: &[&str]| -> Vec<String> {
        let data = ["data.format=ucf101", &lists, &videos, "val_part=test", "batch=8", "fit.epochs=1"];
        let settings = data.iter().flat_map(|setting| ["--set", setting]);
        let command = ["finetune", "classify", "--preset", "paper"].into_iter();
        command.chain(settings).chain(more.iter().copied()).map(String::from).collect()
    };
    // What the run has anyway may be said.
    let same = ["--set", "model.size=32", "--set", "model.width=0.05"];
    let ended =
        run(finetune(&[&["--from", text(&first), "--from-layer", "conv5", "--out", text(&out)], &same[..]].concat()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for part in ["took over", "2 begin anew (fc.weight, fc.bias", "unscene export"] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    let config: Value = serde_json::from_str(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["provenance"]["command"], "finetune classify");
    assert_eq!((&config["model"]["width"], &config["model"]["classes"]), (&0.05.into(), &10.into()));
    assert_eq!(config["provenance"]["config"]["start"]["from_layer"], "layer4");

    done(["export", "--onnx", "--run", text(&out), "--out", text(&bundle)]);
    let lists = [
        "--format",
        "ucf101",
        "--annotations",
        text(&stage.join("ucf101")),
        "--videos",
        text(&stage.join("videos")),
        "--part",
        "test",
        "--json",
    ]
    .map(String::from);
    let measured =
        done(["eval", "action", "--bundle", text(&bundle)].map(String::from).iter().chain(&lists).map(String::as_str));
    let measured: Value = serde_json::from_str(&measured).unwrap();
    assert_eq!((&measured["parts"]["test"]["videos"], &measured["parts"]["test"]["skipped"]), (&10.into(), &0.into()));

    // The run knows its dataset, and so does the bundle; both give the same numbers, however clips are batched.
    let classify = |more: &[&str]| -> Value {
        let ended = run([&["eval", "classify", "--json"], more].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    };
    let files = path("files");
    let by_run = classify(&["--run", text(&out), "--run", text(&out), "--files", text(&files)]);
    assert_eq!((&by_run["part"], &by_run["runs"][0]["videos"]), (&"test".into(), &10.into()));
    assert_eq!(
        (&by_run["mean"]["top1"]["mean"], &by_run["mean"]["top1"]["deviation"]),
        (&by_run["runs"][0]["top1"], &0.0.into())
    );
    assert!(files.join("out.csv").is_file() && files.join("out.confusion.png").is_file());
    // Another model of the same name does not write over the first one's files.
    let (twin, both) = (path("twin/out"), path("both"));
    std::fs::create_dir_all(&twin).unwrap();
    for file in ["config.json", "weights.safetensors"] {
        std::fs::copy(out.join(file), twin.join(file)).unwrap();
    }
    let found = classify(&["--run", text(&out), "--run", text(&twin), "--files", text(&both)]);
    let parent = folder.path().file_name().unwrap().to_string_lossy();
    assert_eq!(found["runs"][1]["name"], "twin/out");
    for name in [format!("{parent}_out"), "twin_out".into()] {
        assert!(both.join(format!("{name}.csv")).is_file() && both.join(format!("{name}.confusion.png")).is_file());
    }
    for views in ["paper", "10x3"] {
        let by_run = classify(&["--run", text(&out), "--views", views]);
        let batched = classify(&["--run", text(&out), "--views", views, "--batch", "3", "--workers", "3"]);
        let by_bundle = classify(&["--bundle", text(&bundle), "--views", views]);
        for other in [&batched, &by_bundle] {
            for name in ["top1", "top5", "mean_class", "entropy"] {
                let [a, b] = [&by_run, other].map(|found| found["runs"][0][name].as_f64().unwrap());
                assert!((a - b).abs() < 1e-5, "{views}, {name}: {a} {b}");
            }
        }
    }
    let moved = path("moved");
    std::fs::rename(&stage, &moved).unwrap();
    let lost = run(["eval", "classify", "--run", text(&out)]);
    assert!(lost.code == Some(2) && lost.err.contains("ucf101"), "{lost:?}");
    let (lists, videos) = (moved.join("ucf101"), moved.join("videos"));
    let found = classify(&["--run", text(&out), "--annotations", text(&lists), "--videos", text(&videos)]);
    assert_eq!(found["runs"][0]["top1"], by_run["runs"][0]["top1"]);
    let random = run(["eval", "classify", "--run", text(&first)]);
    assert!(random.code == Some(2) && random.err.contains("does not say what it was trained on"), "{random:?}");
    std::fs::rename(&moved, &stage).unwrap();

    for (args, part) in [
        (vec!["--from", "/no/run"], "/no/run"),
        (vec!["--from", text(&first), "--from-layer", "conv7"], "there is no layer \"layer6\"; the model has conv1"),
        (vec!["--from-layer", "fc"], "--from"),
        (vec!["--from", text(&first), "--set", "model.width=0.25"], "model.width is 0.25, and the run's is 0.05"),
        (vec!["--from", text(&first), "--set", "model.witdh=0.05"], "there is no setting model.witdh"),
        (vec!["--from", text(&first), "--set", "model.classes=3"], "model.classes is 3, and the dataset has 10 labels"),
        (vec!["--from", text(&first), "--set", "confusion.people=p"], "[confusion] belongs to `unscene pretrain`"),
        (vec!["--set", "data.annotations=/no/lists"], "/no/lists"),
        (vec!["--set", "model.arch=r3d11"], "r3d11"),
    ] {
        let ended = run(finetune(&[args.as_slice(), &["--out", text(&path("none"))]].concat()));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{args:?}: {ended:?}");
        assert!(!path("none").exists());
    }
}

const HEADS: [(&str, &[usize]); 4] = [
    ("place_mlp.0.fc.weight", &[512, 512]),
    ("place_mlp.p_last_fc.bias", &[365]),
    ("hm_mlp.0.bn.running_mean", &[512]),
    ("hm_mlp.hm_last_fc.weight", &[400, 512]),
];

/// A checkpoint in the layout of 3D-ResNets-PyTorch and of the paper's release, from a multi-GPU training: 400 classes, names with
/// `module.` before them, and beside the model the release's heads, of scenes and of masked clips.
fn checkpoint(folder: &Path) -> std::path::PathBuf {
    let made = folder.join("made");
    done(["init", "--arch", "r3d18-hara", "--classes", "400", "--out", text(&made)]);
    let bytes = std::fs::read(made.join("weights.safetensors")).unwrap();
    let (size, rest) = bytes.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(size.try_into().unwrap()) as usize);
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header).unwrap();
    let mut renamed: serde_json::Map<String, Value> =
        header.into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)).collect();
    let mut data = data.to_vec();
    for (name, sides) in HEADS {
        let begin = data.len();
        data.resize(begin + 4 * sides.iter().product::<usize>(), 0);
        let tensor = serde_json::json!({"dtype": "F32", "shape": sides, "data_offsets": [begin, data.len()]});
        renamed.insert(format!("module.{name}"), tensor);
    }
    let renamed = serde_json::to_vec(&renamed).unwrap();
    let path = folder.join("r3d18-K.safetensors");
    std::fs::write(&path, [&(renamed.len() as u64).to_le_bytes()[..], &renamed, &data].concat()).unwrap();
    path
}

#[test]
fn a_checkpoint_of_others_is_imported_and_transferred() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (weights, labels, imported, list) =
        (checkpoint(folder.path()), path("labels.txt"), path("k400"), path("my.csv"));
    std::fs::write(&labels, (0..400).map(|n| format!("class {n}\n")).collect::<String>()).unwrap();
    let form = ["--arch", "r3d18-hara", "--frames", "8", "--size", "32"];
    let args = ["import", "--weights", text(&weights), "--labels", text(&labels), "--out", text(&imported)];
    let said = done(args.iter().chain(&form));
    let heads = "heads that the model does not have, left out: hm_mlp.0.bn.running_mean, hm_mlp.hm_last_fc.weight, \
                 place_mlp.0.fc.weight, place_mlp.p_last_fc.bias";
    assert!(said.contains(heads), "{said}");

    // The same videos are trained and tested on, and one label has no test: both are said.
    let row = |file: &str, label: &str| format!("{},{label}\n", common::video(file).display());
    let rows = [row("h264.mp4", "a"), row("vp9.webm", "a"), row("mpeg4.avi", "b"), row("av1.mkv", "b")];
    std::fs::create_dir(&list).unwrap();
    std::fs::write(list.join("train.csv"), format!("path,label\n{}", rows.concat())).unwrap();
    std::fs::write(list.join("test.csv"), format!("path,label\n{}", rows[..2].concat())).unwrap();
    let (data, out) = (format!("data.annotations={:?}", text(&list)), path("out"));
    let finetune = |from: &Path, out: &Path| {
        let settings = ["data.format=csv", &data, "val_part=test", "batch=2", "fit.epochs=1"];
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let command = ["finetune", "classify", "--preset", "paper", "--from", text(from), "--out", text(out)];
        run(command.into_iter().chain(["--from-layer", "conv5"]).chain(settings))
    };
    let ended = finetune(&imported, &out);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("2 begin anew (fc.weight, fc.bias"), "{ended:?}");
    assert!(ended.err.contains("2 of the 2 videos of \"test\" are in \"train\" too"), "{ended:?}");
    assert!(ended.err.contains("1 of 2 labels have no video in \"test\", \"b\" for one"), "{ended:?}");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["model"]["classes"], &config["labels"]), (&2.into(), &serde_json::json!(["a", "b"])));

    // Weights of another architecture under this one's config: the tensors that do not fit are named, and nothing is made.
    let wrong = path("wrong");
    let small = ["--width", "0.5", "--frames", "8", "--size", "32", "--classes", "400"];
    done(["init", "--arch", "r3d18-hara", "--out", text(&wrong)].iter().chain(&small));
    std::fs::copy(imported.join("config.json"), wrong.join("config.json")).unwrap();
    let refused = finetune(&wrong, &path("none"));
    assert!(
        refused.code == Some(2) && refused.err.contains("conv1.weight is 32 x 3 x 7 x 7 x 7, expected 64"),
        "{refused:?}"
    );
    assert!(!path("none").exists());
}
