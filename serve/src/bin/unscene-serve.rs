//! `unscene-serve`: the HTTP service as a binary of its own, without libtorch.

use std::process::ExitCode;

use clap::Parser;
use unscene_serve::ServeOptions;

/// Serve exported video models over HTTP: POST a video, get predictions.
#[derive(Parser)]
#[command(name = "unscene-serve", version, about)]
struct Cli {
    #[command(flatten)]
    options: ServeOptions,
}

fn main() -> ExitCode {
    unscene_serve::run_if_worker();
    let cli = Cli::parse();
    // The last traces are sent when it is dropped, at the end.
    let started = unscene_serve::init_tracing(&cli.options);
    match started.and_then(|_telemetry| unscene_serve::run(cli.options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unscene-serve: {error}");
            ExitCode::from(2)
        }
    }
}
