//! A bundle's graphs, loaded: what the models of every task stand on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use unscene_models::manifest::Manifest;

use crate::backend::{self, GraphShape};
use crate::bundle::Bundle;
use crate::error::{EngineError, Result};
use crate::options::EngineOptions;
use crate::queue::Caller;
use crate::runner::Runner;
use crate::session::{BatchRun, Session};

/// How long a try of graphs that fail is waited for.
const TRY: Duration = Duration::from_secs(10);

/// The graphs of a bundle of any task, on a thread of their own. Several videos share batches, and take turns.
///
/// The thread ends when this is dropped.
pub struct Graphs {
    name: String,
    manifest: Manifest,
    shapes: Vec<GraphShape>,
    session: Session,
}

impl Graphs {
    /// Loads the bundle's graphs and runs each once.
    ///
    /// # Errors
    /// When the engine or device asked for cannot be had, or the engine refuses a graph.
    pub fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Self> {
        let most = backend::largest_batch(&bundle.manifest);
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
        let session = Session::start(&name, Duration::from_millis(options.max_wait_ms), load)?;
        let manifest = bundle.manifest.clone();
        Ok(Self { name, shapes: GraphShape::all(&manifest), manifest, session })
    }

    /// Clips, windows or frames of a video that are run, as far as its header knows; at least one.
    pub fn clips_of(&self, duration_s: Option<f64>, fps: f64, stride_frames: Option<usize>) -> usize {
        let frames = duration_s.unwrap_or(0.0) * self.manifest.fps.unwrap_or(fps);
        let stride = stride_frames.unwrap_or(self.manifest.stride_frames).max(1);
        // Headers lie: no more than a year of a clip in each hundredth of a second.
        (frames / stride as f64).ceil().clamp(1.0, 3.2e9) as usize
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

    /// Clips per run at most.
    pub fn batch(&self) -> usize {
        self.session.batch
    }

    /// Rows waiting for the thread: clips, windows or frames, and proposals of a localizer.
    pub fn queue_depth(&self) -> usize {
        self.session.depth()
    }

    /// Why nothing can be expected of them now, if so: the last batches failed, one hangs, or the engine has crashed.
    pub fn trouble(&self) -> Option<String> {
        self.session.trouble()
    }

    /// Runs one row of nothing, to find out whether they still fail: `trouble` says so.
    pub fn try_again(&self) {
        let (input, until) = (Arc::new(vec![0.0; self.row_len(0)]), Instant::now() + TRY);
        // What came of it is noted already; one that hangs is not waited for.
        let _ = OnSession::new(self, 1).run_rows(0, input, 1, &mut || Instant::now() < until);
    }

    /// Has every batch told to `observer`, on the graphs' thread. The first call counts.
    pub fn observe(&self, observer: impl Fn(BatchRun) + Send + Sync + 'static) {
        self.session.observe(Box::new(observer));
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
        OnSession::new(self, rows).run_rows(graph, Arc::new(input.to_vec()), rows, &mut || true)
    }

    /// As how many rows of the first graph so many of another count.
    pub fn clips_worth(&self, graph: usize, rows: usize) -> usize {
        let each = self.session.most_rows(graph) / self.session.most_rows(0);
        rows.div_ceil(each.max(1))
    }

    /// Runs a graph on rows that are ready, in turn with videos and in batches no larger than theirs. `keep_waiting` is told how many
    /// rows are done, and asked whether to go on, while the graph is busy and after each batch.
    ///
    /// # Shapes
    /// As [`run`](Self::run).
    ///
    /// # Errors
    /// As [`run`](Self::run); `Cancelled` when `keep_waiting` answers no.
    pub fn infer(
        &self,
        graph: usize,
        input: &[f32],
        rows: usize,
        keep_waiting: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Vec<f32>>> {
        let row_len = self.check(graph, input.len(), rows)?;
        let mut session = OnSession::new(self, self.clips_worth(graph, rows));
        let (mut whole, mut done): (Vec<Vec<f32>>, _) = (vec![], 0);
        for batch in input.chunks(self.session.most_rows(graph) * row_len) {
            let batch_rows = batch.len() / row_len;
            let outputs = session.run_rows(graph, Arc::new(batch.to_vec()), batch_rows, &mut || keep_waiting(done))?;
            done += batch_rows;
            if !keep_waiting(done) {
                return Err(EngineError::Cancelled);
            }
            whole.resize(outputs.len(), vec![]);
            whole.iter_mut().zip(outputs).for_each(|(whole, part)| whole.extend(part));
        }
        Ok(whole)
    }

    /// Values of one row of the graph, if so many values are so many rows of it.
    fn check(&self, graph: usize, values: usize, rows: usize) -> Result<usize> {
        let Some(shape) = self.shapes.get(graph) else {
            let (found, expected) = (graph.to_string(), format!("below {}", self.shapes.len()));
            return Err(EngineError::Argument { what: "graph", found, expected });
        };
        if rows == 0 || rows.checked_mul(shape.row_len()) != Some(values) {
            return Err(EngineError::Argument {
                what: "input",
                found: format!("{values} values for {rows} clips"),
                expected: format!("at least one clip, {} values each", shape.row_len()),
            });
        }
        Ok(shape.row_len())
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
    caller: Caller,
    /// What running them took, without the time of other requests.
    pub inference: Duration,
}

impl<'a> OnSession<'a> {
    /// A video that is expected to have so many rows of the first graph.
    pub fn new(graphs: &'a Graphs, rows: usize) -> Self {
        Self { graphs, caller: graphs.session.caller(rows), inference: Duration::ZERO }
    }

    /// The outputs of a graph for so many rows.
    pub fn run<const OUTPUTS: usize>(
        &mut self,
        graph: usize,
        input: Arc<Vec<f32>>,
        rows: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; OUTPUTS]> {
        let outputs = self.run_rows(graph, input, rows, keep_waiting)?;
        outputs.try_into().map_err(|outputs: Vec<_>| {
            self.graphs.session.error(format!("the graph gave {} outputs, expected {OUTPUTS}", outputs.len()))
        })
    }

    /// As [`Graphs::run`], without a copy. `keep_waiting` is asked while the graph is busy.
    pub fn run_rows(
        &mut self,
        graph: usize,
        input: Arc<Vec<f32>>,
        rows: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Vec<f32>>> {
        self.graphs.check(graph, input.len(), rows)?;
        let (reply, answer) = bounded(1);
        let session = &self.graphs.session;
        if !self.caller.submit(graph, input, rows, reply) {
            return Err(session.gone());
        }
        let done = session.wait(&answer, keep_waiting)?;
        self.inference += done.inference;
        done.outputs.map_err(|reason| session.error(reason))
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
