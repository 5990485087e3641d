//! What the bundle of a detector holds: one graph, of boxes and scores as they come out of the network.

use serde_json::json;
use unscene_models::r3d::ModelError;
use unscene_models::vgg_ssd::SsdConfig;

use crate::bundle::Parts;
use crate::classify::MODEL_FILE;

pub(crate) fn parts(model: &SsdConfig) -> Result<Parts, ModelError> {
    Ok(Parts { graphs: vec![(MODEL_FILE, model.graph()?)], localize: None, model: json!(model) })
}
