//! Run folders: what `init` and `import` write, and what they refuse.

mod common;

use common::{difference, values, write_tensors};
use safetensors::SafeTensors;
use tch::Tensor;
use unscene_models::classifier::ClassifierConfig;
use unscene_models::reference::reference_inputs;
use unscene_models::run::RunFolder;
use unscene_train::{Mode, Net, import_run, init_run, read_weights};

fn small(classes: usize) -> ClassifierConfig {
    ClassifierConfig {
        width: 0.125,
        frames: 4,
        size: 16,
        ..ClassifierConfig::new("r3d10-hara-b".parse().unwrap(), classes)
    }
}

fn labels(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("action {index}")).collect()
}

#[test]
fn a_run_holds_its_config_its_weights_and_a_reference_that_they_reproduce() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::new(folder.path().join("runs/first"));
    init_run(small(3), labels(3), 1, &run.dir).unwrap();
    let config = run.read_config().unwrap();
    assert_eq!(config.model, small(3).into());

    let weights = read_weights(&run.weights_path()).unwrap();
    let reference = std::fs::read(run.reference_path()).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&reference).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["weights_sha256"], weights.report.sha256);

    let net = Net::from_weights(config.model.graph().unwrap(), &weights).unwrap();
    let tensors: std::collections::HashMap<_, _> =
        Tensor::read_safetensors(run.reference_path()).unwrap().into_iter().collect();
    let (name, input) = reference_inputs(net.graph(), &config.input).remove(0);
    assert_eq!((name.as_str(), input.len()), ("clip", 2 * 3 * 4 * 16 * 16));
    let logits = net.forward(&Tensor::from_slice(&input).reshape([2, 3, 4, 16, 16]), Mode::Eval).unwrap();
    assert!(difference(&values(&logits[0]), &values(&tensors["logits"])) < 1e-6);
    assert_eq!(std::fs::read_dir(folder.path().join("runs")).unwrap().count(), 1, "nothing is left beside");
}

#[test]
fn the_seed_decides_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = |name: &str, seed| {
        let run = RunFolder::new(folder.path().join(name));
        init_run(small(2), labels(2), seed, &run.dir).unwrap();
        read_weights(&run.weights_path()).unwrap().report.sha256
    };
    assert_eq!(sha256("a", 7), sha256("b", 7));
    assert_ne!(sha256("c", 7), sha256("d", 8));
}

#[test]
fn a_run_is_never_written_over_anything() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    std::fs::create_dir(&out).unwrap();
    init_run(small(2), labels(2), 1, &out).unwrap();
    let before = std::fs::read(out.join("weights.safetensors")).unwrap();
    let error = init_run(small(2), labels(2), 2, &out).unwrap_err().to_string();
    assert!(error.contains("run exists and is not an empty folder"), "{error}");
    assert_eq!(std::fs::read(out.join("weights.safetensors")).unwrap(), before);
    let file = folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(init_run(small(2), labels(2), 2, &file).unwrap_err().to_string().contains("choose another folder"));
}

#[test]
fn labels_must_be_one_per_class() {
    let folder = tempfile::tempdir().unwrap();
    let error = init_run(small(2), labels(3), 1, &folder.path().join("run")).unwrap_err().to_string();
    assert!(error.contains("2 classes, but there are 3 labels"), "{error}");
}

#[test]
fn every_tensor_that_does_not_fit_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let graph = small(2).graph().unwrap();
    let mut tensors: Vec<_> =
        graph.params.iter().map(|spec| (spec.name.clone(), spec.shape.clone(), vec![0.0; spec.numel()])).collect();
    tensors.retain(|(name, ..)| name != "bn1.bias" && name != "layer4.0.conv2.weight" && name != "fc.bias");
    tensors.push(("fc.bias".into(), vec![5], vec![0.0; 5]));
    tensors.push(("scene.weight".into(), vec![1, 2], vec![0.0; 2]));
    write_tensors(&path, &tensors);
    let out = folder.path().join("run");
    let error = import_run(small(2), &path, labels(2), &out).unwrap_err().to_string();
    for part in [
        "other.safetensors",
        "2 missing: bn1.bias (8), layer4.0.conv2.weight (64 x 64 x 3 x 3 x 3); ",
        "1 extra: scene.weight (1 x 2); ",
        "1 misshapen: fc.bias (5, expected 2)",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert!(!out.exists());
}

#[test]
fn importing_the_weights_of_a_run_gives_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (RunFolder::new(folder.path().join("a")), RunFolder::new(folder.path().join("b")));
    init_run(small(2), labels(2), 3, &first.dir).unwrap();
    let report = import_run(small(2), &first.weights_path(), labels(2), &second.dir).unwrap();
    assert_eq!(report.tensors, small(2).graph().unwrap().params.len());
    for path in [RunFolder::weights_path, RunFolder::reference_path] {
        assert_eq!(std::fs::read(path(&first)).unwrap(), std::fs::read(path(&second)).unwrap());
    }
}
