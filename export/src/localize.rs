//! What the bundle of a localizer holds: two graphs, because what the second looks at depends on what the first found.

use serde_json::json;
use unscene_models::r3d::ModelError;
use unscene_models::rc3d::Rc3dConfig;

use crate::bundle::Parts;

/// The names of the graphs' files inside a bundle.
pub(crate) const PROPOSAL_FILE: &str = "proposal.onnx";
pub(crate) const HEAD_FILE: &str = "head.onnx";

pub(crate) fn parts(model: &Rc3dConfig) -> Result<Parts, ModelError> {
    Ok(Parts {
        graphs: vec![(PROPOSAL_FILE, model.proposal_graph()?), (HEAD_FILE, model.head_graph()?)],
        localize: Some(model.localize_info()?),
        detect: None,
        model: json!(model),
    })
}
