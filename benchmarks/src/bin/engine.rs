//! Clips per second from a video file to predictions, against bare loops over ready tensors.
//!
//! Rounds alternate, so that whatever else the machine does meets both; the median over rounds of their ratio is
//! reported. Where the model runs on the CPU, decoding takes its share of the same cores; `limit` is the ratio of an
//! engine that loses nothing else: bare seconds x cores / (that + CPU seconds of decoding).
//!
//! ```text
//! engine BUNDLE VIDEO [--engine ort|tract] [--threads N] [--batch N] [--rounds N]
//! ```

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use unscene_benchmarks::{Bare, decode_cpu_s, median, serve_bare, serve_ready};
use unscene_engine::{Bundle, ClassifyOptions, DeviceChoice, EngineChoice, EngineOptions, Model};
use unscene_media::Source;

/// Times the engine on a video, and a bare loop on as many clips.
#[derive(Parser)]
struct Arguments {
    /// A bundle.
    bundle: PathBuf,
    /// A video, long enough for some tens of clips.
    video: PathBuf,
    /// ort or tract.
    #[arg(long, default_value = "ort")]
    engine: EngineChoice,
    /// CPU threads; 0 is one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Clips per run of the engine; 0 is its own choice.
    #[arg(long, default_value_t = 0)]
    batch: usize,
    /// Clips per run of the bare loop, several to find its best.
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    bare_batches: Vec<usize>,
    /// Rounds of each.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Runs only the bare loop with this many clips per run.
    #[arg(long, hide = true)]
    bare: Option<usize>,
    /// Runs only a loop over ready tensors on the engine's own graph.
    #[arg(long, hide = true)]
    ready: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(batch) = arguments.bare {
        return serve_bare(&arguments.bundle, arguments.engine, arguments.threads, &[batch]);
    }
    let options = EngineOptions {
        engine: arguments.engine,
        device: DeviceChoice::Cpu,
        threads: arguments.threads,
        batch: arguments.batch,
        ..EngineOptions::default()
    };
    if arguments.ready {
        return serve_ready(&arguments.bundle, &options);
    }
    let bundle = Bundle::open(&arguments.bundle)?;
    let model = Model::load(&bundle, &options)?;
    let source = Source::Path(arguments.video.clone());
    // tract has a batch of one only, with the clips spread over threads.
    let batches = if arguments.engine == EngineChoice::Tract { vec![1] } else { arguments.bare_batches.clone() };
    let again = |batch: usize| std::env::args_os().skip(1).chain(["--bare".into(), batch.to_string().into()]);
    let mut loops = batches.iter().map(|&batch| Bare::start(again(batch))).collect::<Result<Vec<_>>>()?;
    let (mut rates, mut decode_s) = (Vec::new(), Vec::new());
    let (mut bare_s, mut ratios) = (vec![Vec::new(); loops.len()], vec![Vec::new(); loops.len()]);
    let mut clips = 0;
    // One round is for warming up.
    for round in 0..=arguments.rounds {
        let answer = model.classify(&source, &ClassifyOptions::default(), &mut |_| ControlFlow::Continue(()))?;
        let total_s = answer.timing.total_s;
        clips = answer.video.clips;
        let bare = loops.iter_mut().map(|one| one.run(clips)).collect::<Result<Vec<_>>>()?;
        if round > 0 {
            rates.push(clips as f64 / total_s);
            decode_s.push(answer.timing.decode_s);
            for (index, seconds) in bare.into_iter().enumerate() {
                bare_s[index].push(seconds / clips as f64);
                ratios[index].push(seconds / total_s);
            }
        }
    }
    let bare_s: Vec<f64> = bare_s.iter_mut().map(|seconds| median(seconds)).collect();
    // The ratio to the faster batch size, which is the lower one.
    let ratio = ratios.iter_mut().map(|ratios| median(ratios)).fold(f64::INFINITY, f64::min);
    let cores = std::thread::available_parallelism()?.get();
    let decode_cpu_s = decode_cpu_s(&source, &model.graphs().manifest().input)? / clips as f64;
    let bare_core_s = bare_s.iter().copied().fold(f64::INFINITY, f64::min) * cores as f64;
    let report = serde_json::json!({
        "engine": model.graphs().engine_name(),
        "batch": model.graphs().batch(),
        "clips_per_s": median(&mut rates),
        "decode_s": median(&mut decode_s),
        "bare_batches": batches,
        "bare_clips_per_s": bare_s.iter().map(|seconds| 1.0 / seconds).collect::<Vec<_>>(),
        "ratio": ratio,
        "limit": bare_core_s / (bare_core_s + decode_cpu_s),
    });
    println!("{report}");
    Ok(())
}
