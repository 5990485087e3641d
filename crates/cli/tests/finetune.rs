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
    let said = done(finetune(&["--from", text(&first), "--from-layer", "conv5", "--out", text(&out)]));
    for part in ["took over", "2 begin anew (fc.weight, fc.bias", "unscene export"] {
        assert!(said.contains(part), "{part}: {said}");
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

    for (args, part) in [
        (vec!["--from", "/no/run"], "/no/run"),
        (vec!["--from", text(&first), "--from-layer", "conv7"], "there is no layer \"layer6\"; the model has conv1"),
        (vec!["--from-layer", "fc"], "--from"),
        (vec!["--from", text(&first), "--set", "confusion.people=p"], "[confusion] belongs to `unscene pretrain`"),
        (vec!["--set", "data.annotations=/no/lists"], "/no/lists"),
        (vec!["--set", "model.arch=r3d11"], "r3d11"),
    ] {
        let ended = run(finetune(&[args.as_slice(), &["--out", text(&path("none"))]].concat()));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{args:?}: {ended:?}");
        assert!(!path("none").exists());
    }
}
