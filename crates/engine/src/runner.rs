//! What runs graphs, as far as the tasks see it.

use crate::error::{EngineError, Result};

/// Runs the graphs of a model: an exported bundle's session, or libtorch.
pub trait Runner {
    /// Name and version of what runs them.
    fn engine_name(&self) -> &str;

    /// The device that they run on.
    fn device_name(&self) -> &str;

    /// Rows of the first graph per run that suit it.
    fn batch(&self) -> usize;
}

/// An error unless all of these scores and offsets are numbers.
pub(crate) fn check_finite(runner: &(impl Runner + ?Sized), outputs: &[&[f32]]) -> Result<()> {
    if outputs.iter().all(|values| values.iter().all(|value| value.is_finite())) {
        return Ok(());
    }
    let engine = format!("{} on {}", runner.engine_name(), runner.device_name());
    let reason = "scores or offsets are not finite; check the weights, or export without --fp16".into();
    Err(EngineError::Inference { engine, reason })
}
