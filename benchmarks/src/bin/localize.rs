//! Localizing a video file: frames per second and memory, and against a bare loop over ready buffers and regions.
//!
//! Windows lie side by side. The bare loop runs both graphs, on as many buffers as the video has windows and as many regions
//! as it had proposals.
//! Rounds alternate, as in `engine`, which also says what `limit` is.
//!
//! ```text
//! localize BUNDLE VIDEO [--threads N] [--rounds N]
//! ```

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use serde_json::json;
use unscene_benchmarks::{Bare, Rounds, decode_cpu_s, peak_memory_kib, serve_bare};
use unscene_engine::{Bundle, DeviceChoice, EngineChoice, EngineOptions, LocalizeOptions, Localizer};
use unscene_media::Source;

/// Times the engine on a video, and a bare loop on as many windows.
#[derive(Parser)]
struct Arguments {
    /// A bundle of a localizer.
    bundle: PathBuf,
    /// A video.
    video: PathBuf,
    /// CPU threads; 0 is one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Rounds of the engine and the bare loop; 0 localizes once, without a bare loop.
    #[arg(long, default_value_t = 0)]
    rounds: usize,
    /// Runs only the bare loop, with so many regions for each buffer.
    #[arg(long, hide = true)]
    bare: Option<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(regions) = arguments.bare {
        return serve_bare(&arguments.bundle, EngineChoice::Ort, arguments.threads, &[1, regions]);
    }
    let bundle = Bundle::open(&arguments.bundle)?;
    let (engine, device) = (EngineChoice::Ort, DeviceChoice::Cpu);
    let options = EngineOptions { engine, device, threads: arguments.threads, ..EngineOptions::default() };
    let localizer = Localizer::load(&bundle, &options)?;
    let source = Source::Path(arguments.video.clone());
    // Of windows that do not overlap no proposal is left out for another's: as many are told as the head was given.
    let stride_frames = Some(bundle.manifest.input.frames);
    let options = LocalizeOptions { stride_frames, proposals: usize::MAX, ..LocalizeOptions::default() };
    let localize = || localizer.localize(&source, &options, &mut |_| ControlFlow::Continue(()));

    // With rounds to follow, this one is for warming up.
    let first = localize()?;
    let (windows, regions) = (first.video.clips, first.proposals.len().div_ceil(first.video.clips).max(1));
    let mut report = json!({
        "engine": localizer.graphs().engine_name(),
        "windows": windows,
        "frames": first.video.frames,
        "regions": regions,
        "segments": first.segments.len(),
        "seconds": first.timing.total_s,
        "decode_s": first.timing.decode_s,
        "inference_s": first.timing.inference_s,
        "peak_memory_mib": peak_memory_kib()? as f64 / 1024.0,
    });
    if arguments.rounds > 0 {
        let again = std::env::args_os().skip(1).chain(["--bare".into(), regions.to_string().into()]);
        let mut bare = Bare::start(again)?;
        let rounds = Rounds::run(arguments.rounds, windows, &mut bare, || Ok(localize()?.timing.total_s))?;
        rounds.tell(decode_cpu_s(&source, &localizer.graphs().manifest().input)?, &mut report)?;
    }
    println!("{report}");
    Ok(())
}
