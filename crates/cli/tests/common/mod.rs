//! Runs the built command as a person would.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A video of the project's fixtures.
pub fn video(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video").join(name)
}

pub fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unscene"));
    command.args(args).stdin(Stdio::null());
    command
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ended {
    let Output { status, stdout, stderr } = command(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Runs a command that must do its work, and gives what it printed.
pub fn done<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> String {
    let ended = run(args);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.err, "");
    ended.out
}

/// The flags of a model that is small enough for tests.
pub const SMALL: [&str; 8] = ["--arch", "r3d10-hara", "--width", "0.125", "--frames", "8", "--size", "32"];

/// Makes a run folder with random weights for three classes.
pub fn init(run: &Path) -> String {
    let run = run.to_str().unwrap();
    done(["init"].into_iter().chain(SMALL).chain(["--classes", "3", "--seed", "5", "--out", run]))
}

/// Makes a run folder `run` and its bundle `bundle` in a folder.
pub fn bundle(folder: &Path) -> PathBuf {
    init(&folder.join("run"));
    let bundle = folder.join("bundle");
    done([
        "export".as_ref(),
        "--onnx".as_ref(),
        "--run".as_ref(),
        folder.join("run").as_os_str(),
        "--out".as_ref(),
        bundle.as_os_str(),
    ]);
    bundle
}
