//! `unscene-export`: the command `unscene export` without the rest of Unscene.

use std::process::ExitCode;

use clap::Parser;
use unscene_export::{ExportArgs, exit_code, run};

/// Export a run as a bundle: manifest.json and an ONNX model, checked by running it
#[derive(Parser)]
#[command(name = "unscene-export", version)]
struct Command {
    #[command(flatten)]
    args: ExportArgs,
}

fn main() -> ExitCode {
    exit_code(&run(&Command::parse().args))
}
