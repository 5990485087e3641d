//! The limits that the engine and the service are compared with: a loop over ready tensors, and nothing else.
//!
//! It runs in a process of its own (a process has one ONNX Runtime environment), on tensors that lie in memory: no
//! decoding, no scores. The bare one has the library's defaults, the other is the engine's own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use ort::session::Session;
use ort::value::TensorRef;
use tract_onnx::prelude::*;
use unscene_engine::{Bundle, EngineChoice, EngineOptions, Model};
use unscene_models::manifest::Dim;

type Loop = Box<dyn FnMut(usize) -> Result<()>>;

/// A process that runs a bare loop on demand: this program again, with arguments that lead it to [`serve_bare`].
pub struct Bare {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Bare {
    /// Starts the process.
    ///
    /// # Errors
    /// When this program cannot be started again.
    pub fn start(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answers = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { child, answers })
    }

    /// Seconds for so many clips.
    ///
    /// # Errors
    /// When the process has ended; its message is on standard error.
    pub fn run(&mut self, clips: usize) -> Result<f64> {
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

/// The other end of [`Bare`]: for each number of clips on standard input, runs them and prints the seconds.
///
/// `rows` says how many rows each of the bundle's graphs gets at once; those of the first are the clips.
///
/// # Errors
/// When the bundle cannot be run.
pub fn serve_bare(bundle: &Path, engine: EngineChoice, threads: usize, rows: &[usize]) -> Result<()> {
    let bundle = Bundle::open(bundle)?;
    if rows.len() != bundle.manifest.graphs.len() {
        bail!("the bundle has {} graphs, and rows are given for {}", bundle.manifest.graphs.len(), rows.len());
    }
    let threads = match threads {
        0 => std::thread::available_parallelism()?.get(),
        n => n,
    };
    let mut run = match (engine, rows) {
        (EngineChoice::Tract, [_]) => bare_tract(&bundle, threads)?,
        (EngineChoice::Tract, _) => bail!("the bare loop of tract is for bundles of one graph"),
        _ => bare_ort(&bundle, threads, rows)?,
    };
    run(threads.max(rows[0]))?;
    answer(run)
}

/// As [`serve_bare`], with a classifier's graph as the engine itself loads and batches it: what is slower loses that around inference.
///
/// # Errors
/// When the bundle cannot be run.
pub fn serve_ready(bundle: &Path, options: &EngineOptions) -> Result<()> {
    let bundle = Bundle::open(bundle)?;
    // It has been run once when it is loaded.
    let model = Model::load(&bundle, options)?;
    let batch = model.graphs().batch();
    let (_, data) = input(&bundle, 0, batch);
    answer(Box::new(move |clips| {
        (0..clips).step_by(batch).try_for_each(|first| {
            let rows = batch.min(clips - first);
            model.run_raw(&data[..data.len() / batch * rows], rows)?;
            Ok(())
        })
    }))
}

/// Says what is asked on standard input.
fn answer(mut run: Loop) -> Result<()> {
    for line in std::io::stdin().lines() {
        let clips: usize = line?.parse()?;
        let start = Instant::now();
        run(clips)?;
        println!("{}", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The sides of a graph's input for so many rows, and values for it.
fn input(bundle: &Bundle, graph: usize, rows: usize) -> (Vec<usize>, Vec<f32>) {
    let sides = bundle.manifest.graphs[graph].inputs[0].shape.iter();
    let sides = sides.map(|side| if let Dim::Fixed(side) = side { *side } else { rows }).collect::<Vec<_>>();
    let data = (0..sides.iter().product()).map(|i: usize| (i % 251) as f32 - 125.0).collect();
    (sides, data)
}

fn bare_ort(bundle: &Bundle, threads: usize, rows: &[usize]) -> Result<Loop> {
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH") else {
        bail!("set ORT_DYLIB_PATH to libonnxruntime.so, or run this with `cargo run`");
    };
    let environment = ort::init_from(Path::new(&library))?.build()?;
    let load = |(graph, &rows): (usize, &usize)| -> Result<_> {
        let builder = Session::builder(&environment)?;
        let mut builder = builder.with_intra_threads(threads).map_err(|error| anyhow!("{error}"))?;
        Ok((builder.commit_from_file(bundle.graph_path(graph))?, input(bundle, graph, rows)))
    };
    let mut graphs = rows.iter().enumerate().map(load).collect::<Result<Vec<_>>>()?;
    let batch = rows[0];
    Ok(Box::new(move |clips| {
        // The environment must outlive the sessions.
        let _ = &environment;
        let mut left = clips;
        while left > 0 {
            let share = left.min(batch);
            for (session, (sides, data)) in &mut graphs {
                // The last run may be a smaller one.
                let mut shape = sides.clone();
                shape[0] = sides[0] * share / batch;
                let values = &data[..shape.iter().product()];
                session.run(ort::inputs![TensorRef::from_array_view((shape, values))?])?;
            }
            left -= share;
        }
        Ok(())
    }))
}

/// One clip per run, spread over threads.
fn bare_tract(bundle: &Bundle, threads: usize) -> Result<Loop> {
    let (shape, data) = input(bundle, 0, 1);
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
    let model = onnx.model_for_path(bundle.model_path()).and_then(|model| {
        let fact = InferenceFact::dt_shape(f32::datum_type(), &shape);
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
