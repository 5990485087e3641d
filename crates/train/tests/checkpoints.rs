//! Files that `torch.save` writes, and files that only look like them.

mod common;

use common::{fixture, values, write_tensors};
use unscene_graph::{Graph, GraphBuilder};
use unscene_train::{ImportReport, Net, read_weights};

/// The layer that the fixtures hold.
fn linear() -> Graph {
    let mut g = GraphBuilder::new();
    let x = g.input("x", &[3]).unwrap();
    let y = g.linear("fc", x, 2).unwrap();
    g.finish(&[("y", y)])
}

fn read(name: &str) -> ImportReport {
    let weights = read_weights(&fixture("checkpoints").join(name)).unwrap();
    let net = Net::from_weights(linear(), &weights).unwrap();
    // The stored tensor is a transposed view of [[0.5, -2], [1.25, 3], [-0.75, 8]].
    assert_eq!(values(net.param("fc.weight").unwrap()), [0.5, 1.25, -0.75, -2.0, 3.0, 8.0], "{name}");
    assert_eq!(values(net.param("fc.bias").unwrap()), [0.25, -4.0], "{name}");
    weights.report
}

fn problem(name: &str) -> String {
    read_weights(&fixture("checkpoints").join(name)).unwrap_err().to_string()
}

#[test]
fn state_dictionaries_of_every_form_are_read() {
    for name in ["bare.pth", "bare_legacy.pth", "protocol4.pth", "parameters.pth"] {
        assert_eq!(read(name).stripped, 0);
    }
    assert_eq!(read("half.pth").converted["f16"], 2);
    assert_eq!(read("double.pth").converted["f64"], 2);
}

#[test]
fn training_checkpoints_give_their_weights_only() {
    for name in ["full.pth", "full_legacy.pth"] {
        let report = read(name);
        assert_eq!((report.tensors, report.stripped), (2, 2), "{name}");
        assert_eq!(report.ignored, ["epoch", "arch", "optimizer", "module.bn.num_batches_tracked"], "{name}");
    }
}

#[test]
fn other_saved_objects_say_what_to_save_instead() {
    assert!(problem("whole_model.pth").contains("save model.state_dict() instead"));
    assert!(problem("torchscript.pt").contains("TorchScript"));
    assert!(problem("missing.pth").contains("missing.pth"));
}

#[test]
fn damaged_files_are_errors_wherever_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pth");
    for name in ["bare.pth", "bare_legacy.pth"] {
        let whole = std::fs::read(fixture("checkpoints").join(name)).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            // A zip's comment length may be cut without loss; whatever is read must be the weights.
            if let Ok(weights) = read_weights(&path) {
                assert!(Net::from_weights(linear(), &weights).is_ok(), "{name} cut to {length}");
            }
        }
    }
    write_tensors(&path, &[("fc.bias".into(), vec![2], vec![0.0; 2])]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(read_weights(&path).unwrap_err().to_string().contains("damaged safetensors file"));
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1").unwrap();
    assert!(read_weights(&path).unwrap_err().to_string().contains("Git LFS"));
}

#[test]
fn a_malicious_pickle_executes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("executed");
    let path = folder.path().join("evil.pth");
    let header = std::fs::read(fixture("checkpoints").join("bare_legacy.pth")).unwrap();
    let start = header.windows(13).position(|window| window == b"ccollections\n").unwrap();
    // os.system("touch ..."), in place of the state dictionary.
    let mut bytes = header[..start].to_vec();
    let command = format!("touch {}", marker.display());
    bytes.extend(b"cos\nsystem\nX");
    bytes.extend((command.len() as u32).to_le_bytes());
    bytes.extend(command.as_bytes());
    bytes.extend(b"\x85R.\x80\x02].");
    std::fs::write(&path, bytes).unwrap();
    assert!(read_weights(&path).unwrap_err().to_string().contains("not a dictionary"));
    assert!(!marker.exists());
}
