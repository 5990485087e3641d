//! Detecting in a video file: frames per second and memory, against a bare loop over ready frames; and the time from a frame's scores to
//! boxes and tubes.
//!
//! Every frame is looked at, tubes are linked. Rounds alternate, as in `engine`, which also says what `limit` is.
//!
//! ```text
//! detect BUNDLE VIDEO [--threads N] [--rounds N]
//! ```

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use unscene_benchmarks::{Bare, Rounds, decode_cpu_s, median, peak_memory_kib, serve_bare};
use unscene_engine::{Bundle, DetectForm, DetectOptions, Detector, DeviceChoice, EngineChoice, EngineOptions};
use unscene_media::{DecodeOptions, Decoder, Source};
use unscene_vision::{TubeLinker, find_boxes};

/// Frames whose outputs are decoded, for each share of priors that see something.
const DECODED: usize = 200;

/// Times the engine on a video, and a bare loop on as many frames.
#[derive(Parser)]
struct Arguments {
    /// A bundle of a detector.
    bundle: PathBuf,
    /// A video.
    video: PathBuf,
    /// CPU threads; 0 is one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Rounds of the engine and the bare loop.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Runs only the bare loop.
    #[arg(long, hide = true)]
    bare: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.bare {
        return serve_bare(&arguments.bundle, EngineChoice::Ort, arguments.threads, &[1]);
    }
    let bundle = Bundle::open(&arguments.bundle)?;
    let (engine, device) = (EngineChoice::Ort, DeviceChoice::Cpu);
    let options = EngineOptions { engine, device, threads: arguments.threads, ..EngineOptions::default() };
    let detector = Detector::load(&bundle, &options)?;
    let source = Source::Path(arguments.video.clone());
    let options = DetectOptions { tubes: true, ..DetectOptions::default() };
    // What is told is dropped at once.
    let detect = || {
        let frames = Decoder::open(&source, &DecodeOptions { threads: 0, ..DecodeOptions::default() })?;
        detector.detect_frames(frames, &options, &mut |_| {}, &mut |_| ControlFlow::Continue(()))
    };

    // This one is for warming up.
    let first = detect()?;
    let frames = first.video.clips;
    let mut bare = Bare::start(std::env::args_os().skip(1).chain(["--bare".into()]))?;
    let rounds = Rounds::run(arguments.rounds, frames, &mut bare, || Ok(detect()?.timing.total_s))?;
    let form = DetectForm::of_bundle(&bundle)?;
    let decoding = [0.0, 0.01, 1.0].map(|share| boxes_ms(&form, share));
    let mut report = json!({
        "engine": detector.graphs().engine_name(),
        "frames": frames,
        "peak_memory_mib": peak_memory_kib()? as f64 / 1024.0,
        "priors": form.priors.len(),
        "labels": form.labels.len(),
        "decoding": decoding,
    });
    rounds.tell(decode_cpu_s(&source, &detector.graphs().manifest().input)?, &mut report)?;
    println!("{report}");
    Ok(())
}

/// Milliseconds from the scores of a frame to its boxes, and from these to tubes, in the median of many frames. Of the priors this share
/// has scores that any class may win, the others see the background.
fn boxes_ms(form: &DetectForm, share: f64) -> Value {
    let (priors, classes) = (form.priors.len(), 1 + form.labels.len());
    let mut rng = Pcg64::seed_from_u64(1);
    let offsets: Vec<f32> = (0..4 * priors).map(|_| rng.random_range(-1.0..1.0)).collect();
    let scores: Vec<f32> = (0..priors)
        .flat_map(|_| {
            let background = if rng.random_range(0.0..1.0) < share { 0.0 } else { 12.0 };
            [background].into_iter().chain((1..classes).map(|_| rng.random_range(-2.0f32..2.0)).collect::<Vec<_>>())
        })
        .collect();
    let mut linker = TubeLinker::new(form.tubes);
    let (mut boxes_ms, mut tubes_ms, mut count) = (Vec::new(), Vec::new(), 0);
    for frame in 0..DECODED {
        let start = Instant::now();
        let boxes = find_boxes(black_box(&offsets), black_box(&scores), &form.priors, [1920.0, 1080.0], &form.rule);
        boxes_ms.push(start.elapsed().as_secs_f64() * 1000.0);
        let start = Instant::now();
        black_box(linker.push(frame, &boxes));
        tubes_ms.push(start.elapsed().as_secs_f64() * 1000.0);
        count = boxes.len();
    }
    json!({"share": share, "boxes": count, "boxes_ms": median(&mut boxes_ms), "tubes_ms": median(&mut tubes_ms)})
}
