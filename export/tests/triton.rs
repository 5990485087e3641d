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
    insta::assert_snapshot!(fs::read_to_string(model.join("config.pbtxt")).unwrap());
}

#[test]
fn a_localizer_is_two_models() {
    let (bundle, repository) = (fixture("crates/engine/tests/fixtures/localizer"), tempfile::tempdir().unwrap());
    write_triton(&bundle, repository.path(), false).unwrap();
    assert_eq!(listed(repository.path()), ["localizer.head", "localizer.proposal"]);
    for (name, file) in [("localizer.head", "head.onnx"), ("localizer.proposal", "proposal.onnx")] {
        let model = repository.path().join(name);
        assert_eq!(fs::read(model.join("1/model.onnx")).unwrap(), fs::read(bundle.join(file)).unwrap());
        insta::assert_snapshot!(name, fs::read_to_string(model.join("config.pbtxt")).unwrap());
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
