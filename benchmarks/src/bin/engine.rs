//! Clips per second from a video file to predictions, against bare loops over ready tensors.
//!
//! The bare loops run in processes of their own (a process has one ONNX Runtime environment), with the library's
//! defaults, on tensors that lie in memory: no decoding, no queue, no scores. Rounds alternate, so that whatever else the
//! machine does meets both; the medians are compared.
//!
//! ```text
//! engine BUNDLE VIDEO [--engine ort|tract] [--threads N] [--batch N] [--rounds N]
//! ```

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use ort::session::Session;
use ort::value::TensorRef;
use tract_onnx::prelude::*;
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
    /// Clips per run of the engine; 0 is its own choice. The bare loop takes the better of 1 and 4.
    #[arg(long, default_value_t = 0)]
    batch: usize,
    /// Rounds of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Clips per run of the bare loop; runs only that loop, once for each number of clips on standard input.
    #[arg(long, hide = true)]
    bare: Option<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(batch) = arguments.bare {
        return serve_bare(&arguments, batch);
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
    let mut go_on = |_| ControlFlow::Continue(());
    // tract has a batch of one only, with the clips spread over threads.
    let batches: &[usize] = if arguments.engine == EngineChoice::Tract { &[1] } else { &[1, 4] };
    let mut bare: Vec<Bare> = batches.iter().map(|&batch| Bare::start(batch)).collect::<Result<_>>()?;
    let mut engine_rates = Vec::new();
    let mut decode_s = Vec::new();
    for _ in 0..arguments.rounds {
        let answer = model.classify(&source, &ClassifyOptions::default(), &mut go_on)?;
        let clips = answer.video.clips;
        engine_rates.push(clips as f64 / answer.timing.total_s);
        decode_s.push(answer.timing.decode_s);
        for one in &mut bare {
            let seconds = one.run(clips)?;
            one.rates.push(clips as f64 / seconds);
        }
    }
    let engine = median(&mut engine_rates);
    let rates: Vec<f64> = bare.iter_mut().map(|one| median(&mut one.rates)).collect();
    let best = rates.iter().copied().fold(0.0, f64::max);
    let report = serde_json::json!({
        "engine": model.engine_name(), "batch": model.batch(), "clips_per_s": engine,
        "decode_s": median(&mut decode_s), "bare_batches": batches, "bare_clips_per_s": rates, "ratio": engine / best,
    });
    println!("{report}");
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A process that runs a bare loop on demand.
struct Bare {
    child: std::process::Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
    rates: Vec<f64>,
}

impl Bare {
    fn start(batch: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1)).args(["--bare", &batch.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answers = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { child, answers, rates: Vec::new() })
    }

    /// Seconds for so many clips.
    fn run(&mut self, clips: usize) -> Result<f64> {
        writeln!(self.child.stdin.as_mut().context("no input")?, "{clips}")?;
        Ok(self.answers.next().context("the bare loop ended")??.parse()?)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Its input ends, and with it the loop.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The other end of [`Bare`].
fn serve_bare(arguments: &Arguments, batch: usize) -> Result<()> {
    let bundle = Bundle::open(&arguments.bundle)?;
    let threads = match arguments.threads {
        0 => std::thread::available_parallelism()?.get(),
        n => n,
    };
    let mut run: Box<dyn FnMut(usize) -> Result<()>> = match arguments.engine {
        EngineChoice::Tract => bare_tract(&bundle, threads)?,
        _ => bare_ort(&bundle, threads, batch)?,
    };
    run(threads.max(batch))?;
    for line in std::io::stdin().lines() {
        let clips: usize = line?.parse()?;
        let start = Instant::now();
        run(clips)?;
        println!("{}", start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn sides(bundle: &Bundle, batch: usize) -> ([usize; 5], Vec<f32>) {
    let input = &bundle.manifest.input;
    let data = (0..batch * input.len()).map(|i| (i % 251) as f32 - 125.0).collect();
    ([batch, 3, input.frames, input.height, input.width], data)
}

fn bare_ort(bundle: &Bundle, threads: usize, batch: usize) -> Result<Box<dyn FnMut(usize) -> Result<()>>> {
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH") else {
        bail!("set ORT_DYLIB_PATH to libonnxruntime.so, or run this with `cargo run`");
    };
    let environment = ort::init_from(Path::new(&library))?.build()?;
    let builder = Session::builder(&environment)?;
    let mut builder = builder.with_intra_threads(threads).map_err(|error| anyhow!("{error}"))?;
    let mut session = builder.commit_from_file(bundle.model_path())?;
    let (_, data) = sides(bundle, batch);
    let (mut shape, clip) = (sides(bundle, 1).0, bundle.manifest.input.len());
    Ok(Box::new(move |clips| {
        // The environment must outlive the session.
        let _ = &environment;
        let mut left = clips;
        while left > 0 {
            shape[0] = left.min(batch);
            let view = TensorRef::from_array_view((shape, &data[..shape[0] * clip]))?;
            session.run(ort::inputs![view])?;
            left -= shape[0];
        }
        Ok(())
    }))
}

fn bare_tract(bundle: &Bundle, threads: usize) -> Result<Box<dyn FnMut(usize) -> Result<()>>> {
    let (shape, data) = sides(bundle, 1);
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
    let model = onnx.model_for_path(bundle.model_path()).and_then(|model| {
        let fact = InferenceFact::dt_shape(f32::datum_type(), shape);
        model.with_input_fact(0, fact)?.into_optimized()?.into_runnable()
    });
    let plan = model.map_err(|error| anyhow!("{error:#}"))?;
    let input = Tensor::from_shape(&shape, &data).map_err(|error| anyhow!("{error:#}"))?;
    Ok(Box::new(move |clips| {
        std::thread::scope(|scope| {
            let share = |thread| clips / threads + usize::from(thread < clips % threads);
            let workers = (0..threads).map(|thread| {
                let (plan, input, share) = (&plan, &input, share(thread));
                scope.spawn(move || (0..share).try_for_each(|_| plan.run(tvec!(input.clone().into())).map(drop)))
            });
            let workers: Vec<_> = workers.collect();
            for worker in workers {
                let done = worker.join().map_err(|_| anyhow!("a thread panicked"))?;
                done.map_err(|error| anyhow!("{error:#}"))?;
            }
            Ok(())
        })
    }))
}
