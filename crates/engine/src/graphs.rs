//! A bundle's graphs, loaded: what the models of every task stand on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::bounded;
use unscene_models::manifest::Manifest;

use crate::backend::{self, GraphShape};
use crate::bundle::Bundle;
use crate::error::{EngineError, Result};
use crate::options::EngineOptions;
use crate::runner::Runner;
use crate::session::{Job, Session};

/// Values in a batch at most: 2.6 GB.
const MAX_BATCH_VALUES: usize = 1024 * 3 * 16 * 112 * 112;

/// The graphs of a bundle of any task, on a thread of their own behind a bounded queue.
///
/// The thread ends when this is dropped.
pub struct Graphs {
    name: String,
    manifest: Manifest,
    shapes: Vec<GraphShape>,
    batch: usize,
    session: Session,
}

impl Graphs {
    /// Loads the bundle's graphs and runs each once.
    ///
    /// # Errors
    /// When the engine or device asked for cannot be had, or the engine refuses a graph.
    pub fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Self> {
        // Bounds, because a batch is allocated: 1024 clips of 16 x 112 x 112 are 2.5 GB, and so are 21 windows of 768 frames.
        let most = (MAX_BATCH_VALUES / bundle.manifest.input.len().max(1)).clamp(1, 1024);
        for (what, found, automatic, most) in
            [("batch", options.batch, "automatic", most), ("threads", options.threads, "one per core", 1024)]
        {
            if found > most {
                let expected = format!("0 ({automatic}) to {most}");
                return Err(EngineError::Argument { what, found: found.to_string(), expected });
            }
        }
        let name = bundle.name();
        let load = {
            let (bundle, options) = (bundle.clone(), options.clone());
            move || backend::load(&bundle, &options)
        };
        let session = Session::start(&name, options.queue.clamp(1, 65_536), load)?;
        let batch = if options.batch == 0 { session.batch.min(most) } else { options.batch };
        let manifest = bundle.manifest.clone();
        Ok(Self { name, shapes: GraphShape::all(&manifest), manifest, batch, session })
    }

    /// The bundle folder's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bundle's description.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Name and version of the engine that really runs, such as `onnxruntime 1.32.0`.
    pub fn engine_name(&self) -> &str {
        &self.session.engine
    }

    /// The device that they really run on, such as `cpu` or `cuda:0`.
    pub fn device_name(&self) -> &str {
        &self.session.device
    }

    /// Clips per run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Batches waiting for the thread.
    pub fn queue_depth(&self) -> usize {
        self.session.depth()
    }

    /// Runs a graph on rows that are ready, as one batch: for parity checks and benchmarks.
    ///
    /// # Shapes
    /// `graph` counts as in the manifest. `input` is rows x the sides of its input, the answer every output in the order of
    /// the manifest, rows x its sides.
    ///
    /// # Errors
    /// When there is no such graph, `input` has another length, or the engine fails.
    pub fn run(&self, graph: usize, input: &[f32], rows: usize) -> Result<Vec<Vec<f32>>> {
        Ok(self.run_shared(graph, Arc::new(input.to_vec()), rows, &mut || true)?.0)
    }

    /// As [`Graphs::run`], without a copy; also says how long the graph took. `keep_waiting` is asked while it is busy.
    pub(crate) fn run_shared(
        &self,
        graph: usize,
        input: Arc<Vec<f32>>,
        rows: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<(Vec<Vec<f32>>, Duration)> {
        let Some(shape) = self.shapes.get(graph) else {
            let (found, expected) = (graph.to_string(), format!("below {}", self.shapes.len()));
            return Err(EngineError::Argument { what: "graph", found, expected });
        };
        if rows == 0 || rows.checked_mul(shape.row_len()) != Some(input.len()) {
            return Err(EngineError::Argument {
                what: "input",
                found: format!("{} values for {rows} clips", input.len()),
                expected: format!("at least one clip, {} values each", shape.row_len()),
            });
        }
        let (reply, answer) = bounded(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let job = Job { graph, input, rows, cancelled: cancelled.clone(), reply };
        self.session.submit(job, &mut *keep_waiting)?;
        let done =
            self.session.wait(&answer, keep_waiting).inspect_err(|_| cancelled.store(true, Ordering::Relaxed))?;
        let outputs = done.outputs.map_err(|reason| self.session.error(reason))?;
        Ok((outputs, done.inference))
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Values of one row of a graph's input.
    pub(crate) fn row_len(&self, graph: usize) -> usize {
        self.shapes[graph].row_len()
    }
}

/// One video's use of the graphs.
pub(crate) struct OnSession<'a> {
    pub graphs: &'a Graphs,
    /// What running them took, without the time of other requests.
    pub inference: Duration,
}

impl<'a> OnSession<'a> {
    pub fn new(graphs: &'a Graphs) -> Self {
        Self { graphs, inference: Duration::ZERO }
    }

    /// The outputs of a graph for so many rows.
    pub fn run<const OUTPUTS: usize>(
        &mut self,
        graph: usize,
        input: Arc<Vec<f32>>,
        rows: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; OUTPUTS]> {
        let (outputs, inference) = self.graphs.run_shared(graph, input, rows, keep_waiting)?;
        self.inference += inference;
        outputs.try_into().map_err(|outputs: Vec<_>| {
            self.graphs.session().error(format!("the graph gave {} outputs, expected {OUTPUTS}", outputs.len()))
        })
    }
}

impl Runner for OnSession<'_> {
    fn engine_name(&self) -> &str {
        self.graphs.engine_name()
    }

    fn device_name(&self) -> &str {
        self.graphs.device_name()
    }

    fn batch(&self) -> usize {
        self.graphs.batch()
    }
}
