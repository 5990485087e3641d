//! Runs the built command as a person would.
#![allow(dead_code)]

pub mod service;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use unscene_media::{EncodeOptions, Encoder};

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

/// The bundle of a localizer that finds red and lime in what is otherwise black.
pub fn localizer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures/localizer")
}

/// Four seconds at ten frames per second: red from 0.4 to 0.8 s, lime from 2.4 to 2.8 s.
pub fn colors(path: &Path) {
    let options = EncodeOptions { width: 64, height: 48, fps: 10, crf: 1, keyframe_every: 10 };
    let mut encoder = Encoder::create(path, &options).unwrap();
    for frame in 0..40 {
        let color = match frame {
            4..8 => [255, 0, 0],
            24..28 => [0, 255, 0],
            _ => [0; 3],
        };
        encoder.write(&color.repeat(64 * 48)).unwrap();
    }
    encoder.finish().unwrap();
}
