//! What the bundle of a localizer holds: two graphs, because what the second looks at depends on what the first found.

use std::path::Path;

use serde_json::json;
use unscene_models::manifest::Task;
use unscene_models::r3d::ModelError;
use unscene_models::rc3d::Rc3dConfig;

use crate::bundle::Parts;
use crate::{ExportError, ExportOptions};

/// The names of the graphs' files inside a bundle.
pub(crate) const PROPOSAL_FILE: &str = "proposal.onnx";
pub(crate) const HEAD_FILE: &str = "head.onnx";

pub(crate) fn parts(model: &Rc3dConfig) -> Result<Parts, ModelError> {
    Ok(Parts {
        graphs: vec![(PROPOSAL_FILE, model.proposal_graph()?), (HEAD_FILE, model.head_graph()?)],
        localize: Some(model.localize_info()?),
        model: json!(model),
    })
}

/// Refuses what only classifiers give.
pub(crate) fn refuse(options: &ExportOptions, run: &Path) -> Result<(), ExportError> {
    let asked = [("--features", options.features), ("--maps", options.maps)].into_iter().find(|(_, asked)| *asked);
    match asked {
        Some((option, _)) => Err(ExportError::Option { option, run: run.to_path_buf(), task: Task::Localize }),
        None => Ok(()),
    }
}
