//! Clips per second from a video file to predictions, against bare loops over ready tensors.
//!
//! Rounds alternate, so that whatever else the machine does meets both; the median over rounds of their ratio is
//! reported.
//!
//! ```text
//! engine BUNDLE VIDEO [--engine ort|tract] [--threads N] [--batch N] [--rounds N]
//! ```

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use unscene_benchmarks::{Bare, median, serve_bare};
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
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(batch) = arguments.bare {
        return serve_bare(&arguments.bundle, arguments.engine, arguments.threads, batch);
    }
    let bundle = Bundle::open(&arguments.bundle)?;
    let options = EngineOptions {
        engine: arguments.engine,
        device: DeviceChoice::Cpu,
        threads: arguments.threads,
        batch: arguments.batch,
        ..EngineOptions::default()
    };
    let model = Model::load(&bundle, &options)?;
    let source = Source::Path(arguments.video.clone());
    // tract has a batch of one only, with the clips spread over threads.
    let batches = if arguments.engine == EngineChoice::Tract { vec![1] } else { arguments.bare_batches.clone() };
    let again = |batch: usize| std::env::args_os().skip(1).chain(["--bare".into(), batch.to_string().into()]);
    let mut loops = batches.iter().map(|&batch| Bare::start(again(batch))).collect::<Result<Vec<_>>>()?;
    let (mut rates, mut decode_s, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut bare_rates = vec![Vec::new(); loops.len()];
    // One round is for warming up.
    for round in 0..=arguments.rounds {
        let answer = model.classify(&source, &ClassifyOptions::default(), &mut |_| ControlFlow::Continue(()))?;
        let clips = answer.video.clips;
        let bare = loops.iter_mut().map(|one| one.run(clips)).collect::<Result<Vec<_>>>()?;
        if round > 0 {
            rates.push(clips as f64 / answer.timing.total_s);
            decode_s.push(answer.timing.decode_s);
            ratios.push(bare.iter().copied().fold(f64::INFINITY, f64::min) / answer.timing.total_s);
            bare_rates.iter_mut().zip(bare).for_each(|(rates, seconds)| rates.push(clips as f64 / seconds));
        }
    }
    let report = serde_json::json!({
        "engine": model.engine_name(),
        "batch": model.batch(),
        "clips_per_s": median(&mut rates),
        "decode_s": median(&mut decode_s),
        "bare_batches": batches,
        "bare_clips_per_s": bare_rates.iter_mut().map(|rates| median(rates)).collect::<Vec<_>>(),
        "ratio": median(&mut ratios),
    });
    println!("{report}");
    Ok(())
}
