//! A loaded classifier.

use std::sync::Arc;

use unscene_models::manifest::Task;
use unscene_vision::ClassWeights;

use crate::bundle::Bundle;
use crate::error::Result;
use crate::graphs::Graphs;
use crate::options::EngineOptions;

/// The graph of a classifier, and the output of it that every classifier has.
pub(crate) const CLASSIFIER: usize = 0;
pub(crate) const LOGITS: usize = 0;

/// A loaded classifier: its graph lives on a thread of its own, which all clones share.
///
/// The thread ends when the last clone is dropped.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    graphs: Graphs,
    maps: Option<(usize, ClassWeights)>,
}

impl Model {
    /// Loads the bundle's graph and runs it once.
    ///
    /// # Errors
    /// When the bundle is of another task, the engine or device asked for cannot be had, or the engine refuses the graph.
    pub fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Self> {
        bundle.expect_task(Task::Classify)?;
        let maps = bundle.class_weights()?;
        Ok(Self(Arc::new(Inner { graphs: Graphs::load(bundle, options)?, maps })))
    }

    /// Its graphs: its name, its description, and what runs it.
    pub fn graphs(&self) -> &Graphs {
        &self.0.graphs
    }

    /// Whether it can say where it looked: its bundle was exported with `--maps`.
    pub fn has_maps(&self) -> bool {
        self.0.maps.is_some()
    }

    pub(crate) fn maps(&self) -> Option<&(usize, ClassWeights)> {
        self.0.maps.as_ref()
    }

    /// Runs clips that are already normalised, as one batch: for parity checks and benchmarks.
    ///
    /// # Shapes
    /// `input` is `n x 3 x frames x height x width`, the answer `n x classes`: logits.
    ///
    /// # Errors
    /// When `input` has another length, or the engine fails.
    pub fn run_raw(&self, input: &[f32], n: usize) -> Result<Vec<f32>> {
        Ok(self.0.graphs.run(CLASSIFIER, input, n)?.swap_remove(LOGITS))
    }
}
