//! A loaded model.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::bounded;
use unscene_models::manifest::Manifest;
use unscene_vision::ClassWeights;

use crate::backend::{self, LOGITS, Shape};
use crate::bundle::Bundle;
use crate::error::{EngineError, Result};
use crate::options::EngineOptions;
use crate::session::{Job, Session};

/// A loaded model: its graph lives on a thread of its own, behind a bounded queue. Clones share both.
///
/// The thread ends when the last clone is dropped.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    name: String,
    manifest: Manifest,
    shape: Shape,
    batch: usize,
    session: Session,
    maps: Option<(usize, ClassWeights)>,
}

impl Model {
    /// Loads the bundle's graph and runs it once.
    ///
    /// # Errors
    /// When the engine or device asked for cannot be had, or the engine refuses the graph.
    pub fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Self> {
        // A bound, because a batch is allocated: 1024 clips of 16 x 112 x 112 are 2.5 GB.
        if options.batch > 1024 {
            return Err(EngineError::Argument {
                what: "batch",
                found: options.batch.to_string(),
                expected: "0 (automatic) to 1024".into(),
            });
        }
        if options.threads > 1024 {
            return Err(EngineError::Argument {
                what: "threads",
                found: options.threads.to_string(),
                expected: "0 (one per core) to 1024".into(),
            });
        }
        let name = bundle.name();
        let load = {
            let (bundle, options) = (bundle.clone(), options.clone());
            move || backend::load(&bundle, &options)
        };
        let session = Session::start(&name, options.queue.clamp(1, 65_536), load)?;
        let maps = bundle.class_weights()?;
        let batch = if options.batch == 0 { session.batch } else { options.batch };
        let manifest = bundle.manifest.clone();
        Ok(Self(Arc::new(Inner { name, shape: Shape::of(&manifest), manifest, batch, session, maps })))
    }

    /// The bundle folder's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The bundle's description.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// Name and version of the engine that really runs, such as `onnxruntime 1.32.0`.
    pub fn engine_name(&self) -> &str {
        &self.0.session.engine
    }

    /// The device that the model really runs on, such as `cpu` or `cuda:0`.
    pub fn device_name(&self) -> &str {
        &self.0.session.device
    }

    /// Whether it can say where it looked: its bundle was exported with `--maps`.
    pub fn has_maps(&self) -> bool {
        self.0.maps.is_some()
    }

    pub(crate) fn maps(&self) -> Option<&(usize, ClassWeights)> {
        self.0.maps.as_ref()
    }

    /// Clips per run.
    pub fn batch(&self) -> usize {
        self.0.batch
    }

    /// Batches waiting for the model's thread.
    pub fn queue_depth(&self) -> usize {
        self.0.session.depth()
    }

    /// Runs clips that are already normalised, as one batch: for parity checks and benchmarks.
    ///
    /// # Shapes
    /// `input` is `n x 3 x frames x height x width`, the answer `n x classes`: logits.
    ///
    /// # Errors
    /// When `input` has another length, or the engine fails.
    pub fn run_raw(&self, input: &[f32], n: usize) -> Result<Vec<f32>> {
        self.run_output(input.to_vec(), n, LOGITS, &mut || true)
    }

    /// Runs normalised clips as one batch for one of the graph's outputs; `keep_waiting` is asked while the queue is full.
    pub(crate) fn run_output(
        &self,
        input: Vec<f32>,
        n: usize,
        output: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<f32>> {
        let expected = n.checked_mul(self.0.shape.clip_len());
        if n == 0 || expected != Some(input.len()) {
            return Err(EngineError::Argument {
                what: "input",
                found: format!("{} values for {n} clips", input.len()),
                expected: format!("at least one clip, {} values each", self.0.shape.clip_len()),
            });
        }
        let (reply, done) = bounded(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let session = &self.0.session;
        session.submit(Job { input, clips: n, output, cancelled, reply }, keep_waiting)?;
        let done = done.recv().map_err(|_| session.error("its thread has stopped".into()))?;
        done.values.map_err(|reason| session.error(reason))
    }

    pub(crate) fn session(&self) -> &Session {
        &self.0.session
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.0.shape
    }
}
