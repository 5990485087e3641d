//! What the bundle of a detector holds: one graph, of offsets and scores as they come out of the network, and the priors and rules that
//! make boxes and tubes of them.

use serde_json::json;
use unscene_models::r3d::ModelError;
use unscene_models::vgg_ssd::SsdConfig;

use crate::bundle::Parts;
use crate::classify::MODEL_FILE;

pub(crate) fn parts(model: &SsdConfig) -> Result<Parts, ModelError> {
    Ok(Parts {
        graphs: vec![(MODEL_FILE, model.graph()?)],
        localize: None,
        detect: Some(model.detect_info()?),
        model: json!(model),
    })
}
