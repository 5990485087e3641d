//! R-C3D on a 3D-ResNet (Xu, Das, Saenko 2017; the form of R-C3D.pytorch by Wang and Cheng): where in a long video an action
//! begins and ends.
//!
//! A buffer of frames becomes features ([`r3d_base`]); the proposal subnet scores anchors on them, segments of fixed lengths
//! at every step; and the head, which is the last stage of the 3D-ResNet, names what a proposed segment shows and moves its
//! ends. What happens between the two, from scores to segments and from segments to cuts of the features, is
//! `unscene_vision`'s, because it depends on the data.

use serde::{Deserialize, Serialize};
use unscene_graph::{ConvOptions, Graph, GraphBuilder, GraphError, Node, ParamInit};

use crate::manifest::LocalizeInfo;
use crate::r3d::{ModelError, R3dArch, check_width, r3d_base, r3d_stage};

/// Which R-C3D, for which buffers and how many classes. The defaults are those of the release on THUMOS14.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rc3dConfig {
    /// Family and depth of the 3D-ResNet.
    pub arch: R3dArch,
    /// Multiplies the number of channels, as in [`ClassifierConfig`](crate::classifier::ClassifierConfig).
    #[serde(default = "one")]
    pub width: f64,
    /// Frames in a buffer; 768 is half a minute at 25 frames per second.
    #[serde(default = "frames")]
    pub frames: usize,
    /// Height and width of a frame in pixels.
    #[serde(default = "size")]
    pub size: usize,
    /// Number of classes, without the background.
    pub classes: usize,
    /// Lengths of the anchors, in steps of the features; a step is 8 frames for `hara`.
    #[serde(default = "anchors")]
    pub anchors: Vec<f64>,
    /// What is made of the scores.
    #[serde(default)]
    pub rule: LocalizeRule,
}

/// From scores to segments, when the model is used: which anchors become proposals, and which segments are told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalizeRule {
    /// Anchors, best first, among which those that overlap a better one are left out; 6,000 in the release.
    pub before_nms: usize,
    /// Overlap (tIoU) above which an anchor is left out for a better one; 0.9 in the release.
    pub proposal_tiou: f64,
    /// Proposals of a buffer that the head looks at, best first; 300 in the release.
    pub proposals: usize,
    /// Overlap (tIoU) above which a segment is left out for a better one of its class; 0.4 in the release. Protocols of
    /// evaluation have thresholds of their own.
    pub segment_tiou: f64,
    /// Segments of lower scores are not told: hundreds of them say nothing. 0.005, as is usual for detectors.
    pub min_score: f32,
}

impl Default for LocalizeRule {
    fn default() -> Self {
        LocalizeRule { before_nms: 6000, proposal_tiou: 0.9, proposals: 300, segment_tiou: 0.4, min_score: 0.005 }
    }
}

/// Deviations of how far centres and logarithms of lengths are moved, by which targets of the head are divided.
pub const OFFSET_DEVIATIONS: [f32; 2] = [0.1, 0.2];

fn one() -> f64 {
    1.0
}

fn frames() -> usize {
    768
}

fn size() -> usize {
    112
}

fn anchors() -> Vec<f64> {
    [2, 4, 5, 6, 8, 9, 10, 12, 14, 16].map(f64::from).to_vec()
}

/// A segment's features after pooling: time, height, width. The last stage halves each.
pub const POOLED: [usize; 3] = [4, 2, 2];

/// Names of the graphs' inputs and outputs.
pub mod names {
    /// Buffers, N x 3 x frames x size x size.
    pub const CLIP: &str = "clip";
    /// N x 2A x steps x 1 x 1: for each of A anchors the logit that it shows nothing, then for each that it shows an action.
    pub const ANCHOR_SCORES: &str = "anchor_scores";
    /// N x 2A x steps x 1 x 1: for each anchor how far to move its centre and the logarithm of its length.
    pub const ANCHOR_OFFSETS: &str = "anchor_offsets";
    /// N x channels x steps x 2 x 2: what segments are cut from.
    pub const FEATURES: &str = "features";
    /// Segments after pooling, R x channels x 4 x 2 x 2.
    pub const REGIONS: &str = "regions";
    /// R x (1 + classes): logits, the background first.
    pub const CLASS_SCORES: &str = "class_scores";
    /// R x 2 (1 + classes): for each class how to move the segment, in deviations of the targets.
    pub const CLASS_OFFSETS: &str = "class_offsets";
}

/// How layers start that a pretrained run does not have, as in the release: 0.01, and 0.001 where segments are moved.
const NORMAL: ParamInit = ParamInit::Normal { std: 0.01 };
const SMALL: ParamInit = ParamInit::Normal { std: 0.001 };
const ZERO: ParamInit = ParamInit::Constant(0.0);

/// How the names of those layers start; other names are those of the 3D-ResNet.
pub const NEW_LAYERS: &str = "RCNN_";

impl Rc3dConfig {
    /// The release's settings for an architecture.
    pub fn new(arch: R3dArch, classes: usize) -> Self {
        Self {
            arch,
            width: one(),
            frames: frames(),
            size: size(),
            classes,
            anchors: anchors(),
            rule: LocalizeRule::default(),
        }
    }

    /// Both halves as one graph: inputs [`names::CLIP`] and [`names::REGIONS`], outputs of [`Rc3dConfig::proposal_graph`] and
    /// then of [`Rc3dConfig::head_graph`]. The two inputs have batches of their own.
    ///
    /// # Errors
    /// [`ModelError`] when the settings make no model.
    pub fn graph(&self) -> Result<Graph, ModelError> {
        self.record(true, true)
    }

    /// From buffers to anchors and features: input [`names::CLIP`], outputs [`names::ANCHOR_SCORES`],
    /// [`names::ANCHOR_OFFSETS`] and [`names::FEATURES`].
    ///
    /// # Errors
    /// As [`Rc3dConfig::graph`].
    pub fn proposal_graph(&self) -> Result<Graph, ModelError> {
        self.record(true, false)
    }

    /// From pooled segments to classes: input [`names::REGIONS`], outputs [`names::CLASS_SCORES`] and
    /// [`names::CLASS_OFFSETS`].
    ///
    /// # Errors
    /// As [`Rc3dConfig::graph`].
    pub fn head_graph(&self) -> Result<Graph, ModelError> {
        self.record(false, true)
    }

    /// What a bundle's manifest says about the model.
    ///
    /// # Errors
    /// As [`Rc3dConfig::graph`].
    pub fn localize_info(&self) -> Result<LocalizeInfo, ModelError> {
        Ok(LocalizeInfo {
            anchors: self.anchors.clone(),
            step_frames: self.step_frames()?,
            offset_deviations: OFFSET_DEVIATIONS,
            rule: self.rule,
        })
    }

    /// Frames from one step of the features to the next.
    ///
    /// # Errors
    /// As [`Rc3dConfig::graph`].
    pub fn step_frames(&self) -> Result<usize, ModelError> {
        Ok(self.frames / self.steps_and_channels()?.0)
    }

    /// Steps of the features in a buffer, and their channels.
    ///
    /// # Errors
    /// As [`Rc3dConfig::graph`].
    pub fn steps_and_channels(&self) -> Result<(usize, usize), ModelError> {
        let mut g = GraphBuilder::new();
        let base = self.base(&mut g)?;
        let &[channels, steps, ..] = g.shape(base) else { unreachable!("features of video have four sides") };
        Ok((steps, channels))
    }

    fn record(&self, proposal: bool, head: bool) -> Result<Graph, ModelError> {
        self.check()?;
        let (steps, channels) = self.steps_and_channels()?;
        if !self.frames.is_multiple_of(steps) {
            return Err(ModelError::Setting {
                name: "frames",
                found: self.frames.to_string(),
                expected: "a multiple of the features' step, 8 for hara and 4 for torchvision".into(),
            });
        }
        let mut g = GraphBuilder::new();
        let mut outputs = vec![];
        if proposal {
            let base = self.base(&mut g)?;
            outputs.extend(self.proposals(&mut g, base)?);
        }
        if head {
            let regions = g.input(names::REGIONS, &[channels, POOLED[0], POOLED[1], POOLED[2]])?;
            outputs.extend(self.head(&mut g, regions)?);
        }
        Ok(g.finish(&outputs))
    }

    fn base(&self, g: &mut GraphBuilder) -> Result<Node, ModelError> {
        let clip = g.input(names::CLIP, &[3, self.frames, self.size, self.size])?;
        Ok(r3d_base(g, self.arch, self.width, clip)?)
    }

    /// Two convolutions that halve height and width, the maximum of what is left, and a score and an offset for each anchor.
    fn proposals(&self, g: &mut GraphBuilder, base: Node) -> Result<[(&'static str, Node); 3], GraphError> {
        let wide = (512.0 * self.width).round().max(1.0) as usize;
        let per_anchor = 2 * self.anchors.len();
        let mut x = base;
        let mut ends = vec![];
        g.scoped("RCNN_rpn", |g| -> Result<(), GraphError> {
            for name in ["RPN_Conv1", "RPN_Conv2"] {
                x = g.conv(name, x, conv(wide, [3; 3], [1, 2, 2], [1; 3]))?;
                x = g.relu(&format!("{name}.relu"), x)?;
            }
            let &[_, _, height, width] = g.shape(x) else { unreachable!("features of video have four sides") };
            x = g.max_pool("RPN_output_pool", x, [1, height, width], [1, height, width], [0; 3])?;
            for name in ["RPN_cls_score", "RPN_twin_pred"] {
                ends.push(g.conv(name, x, conv(per_anchor, [1; 3], [1; 3], [0; 3]))?);
            }
            Ok(())
        })?;
        // Segments are pooled to 2 x 2 cells of the picture whatever their times: that much is done once for all.
        let &[_, _, height, width] = g.shape(base) else { unreachable!("features of video have four sides") };
        let (kernel, stride) = ([1, height.div_ceil(2), width.div_ceil(2)], [1, height / 2, width / 2]);
        let features = g.max_pool("RCNN_roi_spatial_pool", base, kernel, stride, [0; 3])?;
        Ok([(names::ANCHOR_SCORES, ends[0]), (names::ANCHOR_OFFSETS, ends[1]), (names::FEATURES, features)])
    }

    fn head(&self, g: &mut GraphBuilder, regions: Node) -> Result<[(&'static str, Node); 2], GraphError> {
        let x = r3d_stage(g, self.arch, self.width, 4, regions)?;
        let x = g.global_avg_pool("RCNN_avgpool", x)?;
        let outputs = 1 + self.classes;
        let scores = g.linear_with("RCNN_cls_score", x, outputs, [NORMAL, ZERO])?;
        let offsets = g.linear_with("RCNN_twin_pred", x, 2 * outputs, [SMALL, ZERO])?;
        Ok([(names::CLASS_SCORES, scores), (names::CLASS_OFFSETS, offsets)])
    }

    fn check(&self) -> Result<(), ModelError> {
        check_width(self.width)?;
        let setting =
            |name, found: String, expected: &str| Err(ModelError::Setting { name, found, expected: expected.into() });
        let positive = |length: &f64| length.is_finite() && *length > 0.0;
        if self.anchors.is_empty() || !self.anchors.iter().all(positive) {
            return setting("anchors", format!("{:?}", self.anchors), "at least one length, all above 0");
        }
        if self.classes == 0 {
            return setting("classes", "0".into(), "at least one");
        }
        if self.rule.before_nms == 0 || self.rule.proposals == 0 {
            let LocalizeRule { before_nms, proposals, .. } = self.rule;
            return setting("rule", format!("before_nms {before_nms}, proposals {proposals}"), "at least 1 of each");
        }
        // Two cells a side of the picture are left after dividing by 16.
        if self.size < 32 {
            return setting("size", self.size.to_string(), "at least 32 pixels");
        }
        Ok(())
    }
}

fn conv(out_channels: usize, kernel: [usize; 3], stride: [usize; 3], padding: [usize; 3]) -> ConvOptions<3> {
    ConvOptions { out_channels, kernel, stride, padding, dilation: [1; 3], bias: true, init: NORMAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arch: &str) -> Rc3dConfig {
        Rc3dConfig::new(arch.parse().unwrap(), 20)
    }

    fn shapes(graph: &Graph) -> Vec<(&str, &[usize])> {
        graph.outputs.iter().map(|(name, node)| (name.as_str(), graph.node(*node).shape.as_slice())).collect()
    }

    #[test]
    fn the_releases_shapes_come_out() {
        let config = config("r3d18-hara");
        assert_eq!(config.steps_and_channels().unwrap(), (96, 256));
        assert_eq!(config.step_frames().unwrap(), 8);
        let proposal = config.proposal_graph().unwrap();
        let expected: [(&str, &[usize]); 3] =
            [("anchor_scores", &[20, 96, 1, 1]), ("anchor_offsets", &[20, 96, 1, 1]), ("features", &[256, 96, 2, 2])];
        assert_eq!(shapes(&proposal), expected);
        let conv2 = proposal.nodes.iter().find(|node| node.name == "RCNN_rpn.RPN_Conv2").unwrap();
        assert_eq!(conv2.shape, [512, 96, 2, 2]);
        let head = config.head_graph().unwrap();
        assert_eq!(head.node(head.inputs[0]).shape, [256, 4, 2, 2]);
        let expected: [(&str, &[usize]); 2] = [("class_scores", &[21]), ("class_offsets", &[42])];
        assert_eq!(shapes(&head), expected);
    }

    #[test]
    fn both_halves_share_no_parameter_and_make_the_whole() {
        let config = config("r3d10-hara-b");
        let names = |graph: Graph| graph.params.into_iter().map(|param| param.name).collect::<Vec<_>>();
        let (proposal, head) = (names(config.proposal_graph().unwrap()), names(config.head_graph().unwrap()));
        assert_eq!(names(config.graph().unwrap()), [proposal.clone(), head.clone()].concat());
        assert!(proposal.contains(&"layer3.0.conv1.weight".into()) && head.contains(&"layer4.0.conv1.weight".into()));
        for name in ["RCNN_rpn.RPN_Conv1.bias", "RCNN_rpn.RPN_cls_score.weight"] {
            assert!(proposal.contains(&name.into()), "{name}");
        }
        assert!(head.contains(&"RCNN_twin_pred.weight".into()));
    }

    #[test]
    fn small_pictures_and_other_stems_work() {
        for (arch, size, frames, step) in [("r3d10-hara", 56, 96, 8), ("r3d18-torchvision", 112, 64, 4)] {
            let config = Rc3dConfig { size, frames, width: 0.25, ..config(arch) };
            assert_eq!(config.step_frames().unwrap(), step);
            let graph = config.proposal_graph().unwrap();
            let shapes = shapes(&graph);
            assert_eq!(shapes[0].1, [20, frames / step, 1, 1]);
            assert_eq!(&shapes[2].1[1..], [frames / step, 2, 2]);
        }
    }

    #[test]
    fn settings_without_sense_are_named() {
        let base = config("r3d10-hara");
        for (config, expected) in [
            (Rc3dConfig { anchors: vec![], ..base.clone() }, "anchors is []"),
            (Rc3dConfig { anchors: vec![2.0, -1.0], ..base.clone() }, "anchors"),
            (Rc3dConfig { classes: 0, ..base.clone() }, "classes is 0"),
            (Rc3dConfig { size: 16, ..base.clone() }, "size is 16"),
            (Rc3dConfig { frames: 100, ..base.clone() }, "frames is 100"),
            (Rc3dConfig { width: 9.0, ..base }, "width 9"),
        ] {
            let message = config.graph().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_proposal_subnet_is_this() {
        let graph = config("r3d18-hara").graph().unwrap();
        let text = graph.to_string();
        let new: Vec<&str> = text.lines().filter(|line| line.contains("RCNN_") || line.contains("Input")).collect();
        insta::assert_snapshot!(new.join("\n"));
    }
}
