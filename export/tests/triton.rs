//! What is written for Triton. `make check-api` has NVIDIA's own schema read it.

use std::fs;
use std::path::{Path, PathBuf};

use unscene_export::{ExportError, write_triton};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn listed(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_classifier_is_one_model_with_labels() {
    let (bundle, repository) = (fixture("serve/tests/fixtures/tiny"), tempfile::tempdir().unwrap());
    let written = write_triton(&bundle, repository.path(), false).unwrap();
    let model = repository.path().join("tiny");
    assert_eq!(written, std::slice::from_ref(&model));
    assert_eq!(listed(repository.path()), ["tiny"]);
    assert_eq!(listed(&model), ["1", "config.pbtxt", "labels.txt"]);
    assert_eq!(fs::read_to_string(model.join("labels.txt")).unwrap(), "red\ngreen\nblue\n");
    assert_eq!(fs::read(model.join("1/model.onnx")).unwrap(), fs::read(bundle.join("model.onnx")).unwrap());
    let expected = r#"name: "tiny"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [
  { name: "clip", data_type: TYPE_FP32, dims: [ 3, 16, 16, 16 ] }
]
output [
  { name: "logits", data_type: TYPE_FP32, dims: [ 3 ], label_filename: "labels.txt" }
]
dynamic_batching { max_queue_delay_microseconds: 1000 }
"#;
    assert_eq!(fs::read_to_string(model.join("config.pbtxt")).unwrap(), expected);
}

#[test]
fn a_localizer_is_two_models() {
    let (bundle, repository) = (fixture("crates/engine/tests/fixtures/localizer"), tempfile::tempdir().unwrap());
    write_triton(&bundle, repository.path(), false).unwrap();
    assert_eq!(listed(repository.path()), ["localizer.head", "localizer.proposal"]);
    for (name, file) in [("localizer.head", "head.onnx"), ("localizer.proposal", "proposal.onnx")] {
        let model = repository.path().join(name);
        assert_eq!(fs::read(model.join("1/model.onnx")).unwrap(), fs::read(bundle.join(file)).unwrap());
        let config = fs::read_to_string(model.join("config.pbtxt")).unwrap();
        assert!(config.starts_with(&format!("name: \"{name}\"\n")), "{config}");
    }
    let head = fs::read_to_string(repository.path().join("localizer.head/config.pbtxt")).unwrap();
    for line in [
        "  { name: \"regions\", data_type: TYPE_FP32, dims: [ 3, 4, 2, 2 ] }\n",
        "  { name: \"class_scores\", data_type: TYPE_FP32, dims: [ 3 ] },\n  { name: \"class_offsets\", data_type: TYPE_FP32, dims: [ 6 ] }\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
}

#[test]
fn what_is_there_is_replaced_only_when_that_is_asked_for() {
    let (bundle, repository) = (fixture("serve/tests/fixtures/tiny"), tempfile::tempdir().unwrap());
    write_triton(&bundle, repository.path(), false).unwrap();
    let extra = repository.path().join("tiny/2");
    fs::create_dir(&extra).unwrap();
    let again = write_triton(&bundle, repository.path(), false).unwrap_err();
    assert!(matches!(&again, ExportError::Occupied(path) if path.ends_with("tiny")), "{again}");
    write_triton(&bundle, repository.path(), true).unwrap();
    assert!(!extra.exists());
    // Something else of that name stays.
    fs::remove_file(repository.path().join("tiny/config.pbtxt")).unwrap();
    let other = write_triton(&bundle, repository.path(), true).unwrap_err();
    assert!(matches!(other, ExportError::NotOurs { marker: "config.pbtxt", .. }), "{other}");
    let none = write_triton(&fixture("nowhere"), repository.path(), false).unwrap_err().to_string();
    assert!(none.contains("nowhere"), "{none}");
    assert_eq!(listed(repository.path()), ["tiny"]);
}

#[test]
fn files_that_are_not_those_of_the_manifest_are_not_written() {
    let (folder, repository) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bundle = folder.path().join("tiny");
    fs::create_dir(&bundle).unwrap();
    for file in ["manifest.json", "model.onnx"] {
        fs::copy(fixture("serve/tests/fixtures/tiny").join(file), bundle.join(file)).unwrap();
    }
    fs::write(bundle.join("model.onnx"), b"another").unwrap();
    assert!(write_triton(&bundle, repository.path(), false).unwrap_err().to_string().contains("model.onnx"));
    assert!(listed(repository.path()).is_empty());
}
