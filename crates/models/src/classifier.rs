//! Classifiers of clips: a backbone, and one layer from its features to the classes. What pretraining debiases.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unscene_graph::{Graph, GraphBuilder};

use crate::r3d::{ModelError, R3dArch, check_width, r3d};
use crate::vgg_ssd::{self, vgg16};

/// Which classifier, for which clips and how many classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// The backbone.
    pub arch: Arch,
    /// Multiplies the number of channels (64 in the first stage at 1.0); below 1 for tests and laptops.
    #[serde(default = "one")]
    pub width: f64,
    /// Frames in a clip; 16 in the paper, 1 for VGG-16.
    pub frames: usize,
    /// Height and width of a clip in pixels; 112 in the paper, 300 for VGG-16.
    pub size: usize,
    /// Number of classes.
    pub classes: usize,
}

fn one() -> f64 {
    1.0
}

/// A backbone; written as [`R3dArch`], `vgg16-ssd` or `vgg16bn-ssd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Arch {
    /// 3D-ResNet, for localization.
    R3d(R3dArch),
    /// VGG-16 in the form of SSD, for detection.
    Vgg16Ssd {
        /// Whether each convolution up to conv5_3 is followed by BatchNorm, with which narrow networks learn from random weights.
        batch_norm: bool,
    },
}

impl Arch {
    /// Frames of a clip, and height and width in pixels, as in the paper.
    pub fn frames_and_size(self) -> (usize, usize) {
        match self {
            Arch::R3d(_) => (16, 112),
            Arch::Vgg16Ssd { .. } => (1, vgg_ssd::SIZE),
        }
    }
}

/// The layer from features to logits; its parameters are `fc.weight`, classes x features, and `fc.bias`.
pub const CLASSIFIER: &str = "fc";

impl ClassifierConfig {
    /// The settings of the paper for a backbone: clips of 16 frames, 112 x 112, or one frame, 300 x 300.
    pub fn new(arch: Arch, classes: usize) -> Self {
        let (frames, size) = arch.frames_and_size();
        Self { arch, width: one(), frames, size, classes }
    }

    /// The whole classifier: input `clip` (N x 3 x frames x size x size), output `logits` (N x classes).
    pub fn graph(&self) -> Result<Graph, ModelError> {
        self.graph_with(&[])
    }

    /// As [`ClassifierConfig::graph`], with further outputs, in this order:
    ///
    /// - `features`, the pooled activations of the last stage (N x 512 at full width) or of fc7 (N x 1024), which adversaries
    ///   and probes look at;
    /// - `maps`, these activations before they are pooled, N x channels x frames x height x width, of which class activation
    ///   maps are made.
    ///
    /// # Errors
    /// [`ModelError::Output`] for another name.
    pub fn graph_with(&self, outputs: &[&str]) -> Result<Graph, ModelError> {
        check_width(self.width)?;
        let mut g = GraphBuilder::new();
        let clip = g.input("clip", &[3, self.frames, self.size, self.size])?;
        let maps = match self.arch {
            Arch::R3d(arch) => r3d(&mut g, arch, self.width, clip)?,
            Arch::Vgg16Ssd { batch_norm } => {
                let [_, fc7] = vgg16(&mut g, self.width, batch_norm, clip)?;
                let &[channels, height, width] = g.shape(fc7) else {
                    unreachable!("maps of pictures have three sides")
                };
                g.reshape("clip_maps", fc7, &[channels, 1, height, width])?
            }
        };
        let features = g.global_avg_pool("avgpool", maps)?;
        let logits = g.linear(CLASSIFIER, features, self.classes)?;
        let mut named = vec![("logits", logits)];
        for &name in outputs {
            named.push(match name {
                "features" => ("features", features),
                "maps" => ("maps", maps),
                other => return Err(ModelError::Output(other.into())),
            });
        }
        Ok(g.finish(&named))
    }
}

impl FromStr for Arch {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "vgg16-ssd" => Ok(Arch::Vgg16Ssd { batch_norm: false }),
            "vgg16bn-ssd" => Ok(Arch::Vgg16Ssd { batch_norm: true }),
            text => text.parse().map(Arch::R3d),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arch::R3d(arch) => arch.fmt(f),
            Arch::Vgg16Ssd { batch_norm: false } => f.write_str("vgg16-ssd"),
            Arch::Vgg16Ssd { batch_norm: true } => f.write_str("vgg16bn-ssd"),
        }
    }
}

impl TryFrom<String> for Arch {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<Arch> for String {
    fn from(arch: Arch) -> String {
        arch.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arch: &str, classes: usize) -> ClassifierConfig {
        ClassifierConfig::new(arch.parse().unwrap(), classes)
    }

    #[test]
    fn width_scales_channels_and_bad_sizes_are_errors() {
        let mut small = config("r3d10-hara", 3);
        small.width = 0.25;
        let graph = small.graph().unwrap();
        assert_eq!(graph.params[0].shape, [16, 3, 7, 7, 7]);
        small.width = 0.0;
        assert_eq!(small.graph(), Err(ModelError::Width(0.0)));
        let mut empty = config("r3d18-hara", 0);
        assert!(empty.graph().unwrap_err().to_string().contains("fc"));
        empty.classes = 2;
        empty.frames = 0;
        assert!(empty.graph().unwrap_err().to_string().contains("clip"));
    }

    #[test]
    fn the_features_of_vgg16_are_those_of_fc7() {
        let config = config("vgg16-ssd", 21);
        assert_eq!((config.frames, config.size), (1, 300));
        let graph = config.graph_with(&["features", "maps"]).unwrap();
        let shapes: Vec<_> =
            graph.outputs.iter().map(|(name, node)| (name.as_str(), &graph.node(*node).shape[..])).collect();
        assert_eq!(shapes, [("logits", &[21][..]), ("features", &[1024]), ("maps", &[1024, 1, 19, 19])]);
        // Every parameter but those of the classifier is one of SSD's.
        let ssd = crate::vgg_ssd::SsdConfig::new(24).graph().unwrap();
        let (own, shared): (Vec<_>, Vec<_>) = graph.params.iter().partition(|param| !ssd.params.contains(param));
        assert_eq!(own.iter().map(|param| param.name.as_str()).collect::<Vec<_>>(), ["fc.weight", "fc.bias"]);
        assert_eq!(shared.len(), 30);
        let error = ClassifierConfig { frames: 16, ..config }.graph().unwrap_err().to_string();
        assert!(error.contains("clips of one frame, found N x 3 x 16 x 300 x 300"), "{error}");
    }

    #[test]
    fn backbones_are_parsed_and_printed() {
        for name in ["r3d18-hara", "r3d34-torchvision", "vgg16-ssd", "vgg16bn-ssd"] {
            let arch: Arch = name.parse().unwrap();
            assert_eq!(serde_json::to_value(arch).unwrap(), name);
            assert_eq!(serde_json::from_value::<Arch>(name.into()).unwrap(), arch);
        }
        let error = "vgg16".parse::<Arch>().unwrap_err().to_string();
        assert!(error.contains("'vgg16'") && error.contains("vgg16-ssd"), "{error}");
    }
}
