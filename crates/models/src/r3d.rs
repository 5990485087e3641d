//! 3D-ResNet, the backbone of the paper (section 5.1), in the two forms people have checkpoints of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unscene_graph::{ConvOptions, GraphBuilder, GraphError, Node, ParamInit};

/// Family and depth of a 3D-ResNet; written `r3d18-hara`, `r3d34-hara-b`, `r3d18-torchvision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct R3dArch {
    /// 10, 18 or 34.
    pub depth: u32,
    /// Stem, shortcut and parameter names.
    pub variant: R3dVariant,
}

/// The two families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum R3dVariant {
    /// kenshohara/3D-ResNets-PyTorch and the release of the paper: 7x7x7 stem with max-pool.
    Hara(Shortcut),
    /// torchvision's `r3d_18`: 3x7x7 stem, no pool, projecting shortcut.
    Torchvision,
}

/// How a block's input reaches its output when their shapes differ (He et al. 2016, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// Subsampling plus zero channels, without parameters: what the paper's release uses.
    A,
    /// A 1x1x1 convolution with BatchNorm.
    B,
}

/// A name that is not an architecture, or sizes out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// No such architecture.
    #[error(
        "unknown architecture '{0}'; known: r3d10, r3d18, r3d34, each with -hara (shortcut A), -hara-b or -torchvision, \
         vgg16-ssd and vgg16bn-ssd"
    )]
    UnknownArch(String),
    /// The width multiplier leaves no channels, or is absurd.
    #[error("width {0} is out of range; expected 0.02 to 4")]
    Width(f64),
    /// No such output.
    #[error("unknown output '{0}'; known beside logits: features, maps")]
    Output(String),
    /// A setting that makes no model.
    #[error("{name} is {found}, expected {expected}")]
    Setting {
        /// Which.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The operations do not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// The convolutional part: a clip `N x 3 x frames x size x size` to features of the last stage,
/// `N x 512 x 1 x 4 x 4` for `hara` at 16 x 112 x 112.
pub fn r3d(g: &mut GraphBuilder, arch: R3dArch, width: f64, clip: Node) -> Result<Node, GraphError> {
    let x = r3d_base(g, arch, width, clip)?;
    r3d_stage(g, arch, width, 4, x)
}

/// The stem and stages 1 to 3 (`layer3`, the paper's conv4): `N x 256 x 2 x 7 x 7` for `hara` at 16 x 112 x 112.
pub fn r3d_base(g: &mut GraphBuilder, arch: R3dArch, width: f64, clip: Node) -> Result<Node, GraphError> {
    let channels = channels(1, width);
    let mut x = match arch.variant {
        R3dVariant::Hara(_) => {
            let x = conv(g, "conv1", clip, channels, [7, 7, 7], [1, 2, 2])?;
            let x = g.batch_norm("bn1", x)?;
            let x = g.relu("relu", x)?;
            g.max_pool("maxpool", x, [3; 3], [2; 3], [1; 3])?
        }
        R3dVariant::Torchvision => g.scoped("stem", |g| {
            let x = conv(g, "0", clip, channels, [3, 7, 7], [1, 2, 2])?;
            let x = g.batch_norm("1", x)?;
            g.relu("2", x)
        })?,
    };
    for stage in 1..=3 {
        x = r3d_stage(g, arch, width, stage, x)?;
    }
    Ok(x)
}

/// Stage 1 to 4, called `layer1` to `layer4`: its blocks one after the other, the first at stride 2 but in stage 1.
pub fn r3d_stage(
    g: &mut GraphBuilder,
    arch: R3dArch,
    width: f64,
    stage: usize,
    mut x: Node,
) -> Result<Node, GraphError> {
    for block in 0..arch.blocks()[stage - 1] {
        let stride = if stage > 1 && block == 0 { 2 } else { 1 };
        x = g.scoped(format!("layer{stage}"), |g| {
            g.scoped(block.to_string(), |g| basic_block(g, arch.variant, x, channels(stage, width), stride))
        })?;
    }
    Ok(x)
}

/// Channels of a stage from 1 to 4: 64, 128, 256 and 512 at full width.
fn channels(stage: usize, width: f64) -> usize {
    ((32usize << stage) as f64 * width).round().max(1.0) as usize
}

/// An error for a width that leaves no channels, or is absurd.
pub(crate) fn check_width(width: f64) -> Result<(), ModelError> {
    if (0.02..=4.0).contains(&width) { Ok(()) } else { Err(ModelError::Width(width)) }
}

/// Two 3x3x3 convolutions with a shortcut around them.
pub fn basic_block(
    g: &mut GraphBuilder,
    variant: R3dVariant,
    x: Node,
    channels: usize,
    stride: usize,
) -> Result<Node, GraphError> {
    // The same layers carry other names in the two families' checkpoints.
    let [conv1, bn1, conv2, bn2] = match variant {
        R3dVariant::Hara(_) => ["conv1", "bn1", "conv2", "bn2"],
        R3dVariant::Torchvision => ["conv1.0", "conv1.1", "conv2.0", "conv2.1"],
    };
    let y = conv(g, conv1, x, channels, [3; 3], [stride; 3])?;
    let y = g.batch_norm(bn1, y)?;
    let y = g.relu("relu1", y)?;
    let y = conv(g, conv2, y, channels, [3; 3], [1; 3])?;
    let y = g.batch_norm(bn2, y)?;
    let shortcut = if stride == 1 && g.shape(x)[0] == channels {
        x
    } else if variant == R3dVariant::Hara(Shortcut::A) {
        g.scoped("downsample", |g| {
            let x = g.subsample("subsample", x, [stride; 3])?;
            g.pad_channels("pad", x, channels)
        })?
    } else {
        g.scoped("downsample", |g| {
            let x = conv(g, "0", x, channels, [1; 3], [stride; 3])?;
            g.batch_norm("1", x)
        })?
    };
    let sum = g.add("add", y, shortcut)?;
    g.relu("relu", sum)
}

/// A convolution without bias that keeps the size at stride 1.
fn conv(
    g: &mut GraphBuilder,
    name: &str,
    x: Node,
    out_channels: usize,
    kernel: [usize; 3],
    stride: [usize; 3],
) -> Result<Node, GraphError> {
    let padding = kernel.map(|size| size / 2);
    g.conv(
        name,
        x,
        ConvOptions {
            out_channels,
            kernel,
            stride,
            padding,
            dilation: [1; 3],
            bias: false,
            init: ParamInit::KaimingFanOut,
        },
    )
}

impl R3dArch {
    /// Blocks in each of the four stages.
    fn blocks(self) -> [usize; 4] {
        match self.depth {
            10 => [1, 1, 1, 1],
            18 => [2, 2, 2, 2],
            _ => [3, 4, 6, 3],
        }
    }
}

impl FromStr for R3dArch {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let unknown = || ModelError::UnknownArch(text.to_string());
        let (depth, variant) = text.strip_prefix("r3d").and_then(|rest| rest.split_once('-')).ok_or_else(unknown)?;
        let depth = match depth {
            "10" => 10,
            "18" => 18,
            "34" => 34,
            _ => return Err(unknown()),
        };
        let variant = match variant {
            "hara" | "hara-a" => R3dVariant::Hara(Shortcut::A),
            "hara-b" => R3dVariant::Hara(Shortcut::B),
            "torchvision" => R3dVariant::Torchvision,
            _ => return Err(unknown()),
        };
        Ok(Self { depth, variant })
    }
}

impl fmt::Display for R3dArch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self.variant {
            R3dVariant::Hara(Shortcut::A) => "hara",
            R3dVariant::Hara(Shortcut::B) => "hara-b",
            R3dVariant::Torchvision => "torchvision",
        };
        write!(f, "r3d{}-{variant}", self.depth)
    }
}

impl TryFrom<String> for R3dArch {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<R3dArch> for String {
    fn from(arch: R3dArch) -> String {
        arch.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::ClassifierConfig;

    fn config(arch: &str, classes: usize) -> ClassifierConfig {
        ClassifierConfig::new(arch.parse().unwrap(), classes)
    }

    /// `sum(p.numel() for p in model.parameters())` of torchvision 0.26 `r3d_18()`: 33,371,472.
    #[test]
    fn torchvision_variant_has_torchvisions_parameters() {
        let graph = config("r3d18-torchvision", 400).graph().unwrap();
        assert_eq!(graph.trainable_params(), 33_371_472);
    }

    #[test]
    fn features_of_the_paper_are_512_x_1_x_4_x_4() {
        let mut g = GraphBuilder::new();
        let clip = g.input("clip", &[3, 16, 112, 112]).unwrap();
        let features = r3d(&mut g, "r3d18-hara".parse().unwrap(), 1.0, clip).unwrap();
        assert_eq!(g.shape(features), [512, 1, 4, 4]);
    }

    #[test]
    fn checkpoint_names_are_those_of_the_two_codebases() {
        let names = |arch| -> Vec<String> {
            config(arch, 2).graph().unwrap().params.into_iter().map(|param| param.name).collect()
        };
        let hara_b = names("r3d18-hara-b");
        for name in ["conv1.weight", "layer1.0.bn1.running_mean", "layer2.0.downsample.1.weight", "fc.bias"] {
            assert!(hara_b.contains(&name.to_string()), "{name}");
        }
        assert!(!names("r3d18-hara").iter().any(|name| name.contains("downsample")));
        let torchvision = names("r3d18-torchvision");
        for name in ["stem.0.weight", "stem.1.running_var", "layer1.0.conv1.0.weight", "layer4.1.conv2.1.bias"] {
            assert!(torchvision.contains(&name.to_string()), "{name}");
        }
    }

    #[test]
    fn architectures_are_parsed_and_printed() {
        for name in ["r3d10-hara", "r3d18-hara-b", "r3d34-torchvision"] {
            assert_eq!(name.parse::<R3dArch>().unwrap().to_string(), name);
        }
        assert_eq!("r3d18-hara-a".parse::<R3dArch>().unwrap().to_string(), "r3d18-hara");
        for name in ["r3d18", "r3d50-hara", "vgg", "r3d018-hara", "r3d18-Hara", ""] {
            assert!(name.parse::<R3dArch>().unwrap_err().to_string().contains(&format!("'{name}'")));
        }
    }

    #[test]
    fn the_graph_of_the_paper_is_this() {
        insta::assert_snapshot!(config("r3d18-hara", 400).graph().unwrap());
    }
}
