//! What only training reads.

use serde::de::DeserializeOwned;
use unscene_train::detect::DetectConfig;
use unscene_train::localize::LocalizeConfig;
use unscene_train::pretrain::PretrainConfig;
use unscene_train::read_weights;

use crate::scratch;

/// Other people's weights: the two formats of `torch.save`, and safetensors.
pub fn checkpoint(data: &[u8]) {
    let _ = read_weights(&scratch::file("weights.pth", data));
}

/// Configs of training.
pub fn training_config(data: &[u8]) {
    fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
        toml::from_str(text).ok()
    }
    let text = String::from_utf8_lossy(data);
    let _ = read::<PretrainConfig>(&text).map(|config| config.problem());
    let _ = read::<LocalizeConfig>(&text).map(|config| config.problem());
    let _ = read::<DetectConfig>(&text).map(|config| config.problem());
}
