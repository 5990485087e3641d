//! SSD on VGG-16 (Liu et al. 2016; the form of ssd.pytorch and of realtime-action-detection, after Singh et al. 2017): where in
//! a frame who does what.
//!
//! VGG-16 with fc6 and fc7 as convolutions, and layers behind them, give maps of a frame in falling resolution. At each cell of
//! each map a convolution scores the classes of some prior boxes, and says how far to move them. What priors are, and what is
//! made of the scores, is `unscene_vision`'s.

use serde::{Deserialize, Serialize};
use unscene_graph::{ConvOptions, Graph, GraphBuilder, GraphError, Node, ParamInit};
use unscene_vision::{DetectRule, PRIOR_SCALES, PriorMap, TubeRule, prior_maps};

use crate::r3d::{ModelError, check_width};

/// Which SSD, for which frames and how many classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsdConfig {
    /// Multiplies the number of channels (64 in the first layer at 1.0); below 1 for tests and laptops.
    #[serde(default = "one")]
    pub width: f64,
    /// Height and width of a frame in pixels; 300 in SSD300. Smaller frames have fewer maps ([`SsdConfig::maps`]).
    #[serde(default = "size")]
    pub size: usize,
    /// Whether each convolution of VGG-16 up to conv5_3 is followed by BatchNorm.
    #[serde(default)]
    pub batch_norm: bool,
    /// Of each map, the finest first, the share of the frame's side that its small square priors have, from 0.01 to 2 and rising; and the
    /// next, as the side of large squares is the mean, by multiplication, of two. More numbers than that, as SSD's own have for small frames,
    /// are not used. For actors that are all of about one size, closer together than SSD's.
    #[serde(default = "scales")]
    pub prior_scales: Vec<f64>,
    /// Number of classes, without the background.
    pub classes: usize,
}

fn one() -> f64 {
    1.0
}

fn size() -> usize {
    SIZE
}

fn scales() -> Vec<f64> {
    PRIOR_SCALES.to_vec()
}

/// Height and width of a frame in pixels as SSD300 takes it.
pub const SIZE: usize = 300;

/// The layers behind fc7, in pairs: channels of a 1x1 convolution, then channels, stride and padding of a 3x3 convolution whose
/// result is a map.
const EXTRAS: [(usize, usize, usize, usize); 4] =
    [(256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0), (128, 256, 1, 0)];

/// The length of conv4_3's 512 channels after they are normalised. Fewer have less between them, such that each is as large.
const SCALE: f64 = 20.0;

/// Names of the graph's input and outputs.
pub mod names {
    /// Frames as clips of one, N x 3 x 1 x size x size.
    pub const CLIP: &str = "clip";
    /// N x priors x 4: how far to move the centre of each prior, and the logarithm of its width and height.
    pub const OFFSETS: &str = "offsets";
    /// N x priors x (1 + classes): logits, the background first.
    pub const CLASS_SCORES: &str = "class_scores";
}

/// From the outputs to boxes and tubes: what a bundle says of a detector beside its graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectInfo {
    /// The maps that priors lie on, in the order of the outputs.
    pub maps: Vec<PriorMap>,
    /// Which boxes of a frame are told.
    pub rule: DetectRule,
    /// How they become tubes.
    pub tubes: TubeRule,
}

impl SsdConfig {
    /// SSD300.
    pub fn new(classes: usize) -> Self {
        Self { width: one(), size: size(), batch_norm: false, prior_scales: scales(), classes }
    }

    /// The maps, the finest first, as priors follow each other in the outputs: map by map, row by row, cell by cell. SSD300 has
    /// 38, 19, 10, 5, 3 and 1 cells a side. Of a smaller frame, the layers end where a map is a single cell or is smaller than
    /// the next filter; the k-th map has the priors of the k-th map of SSD300.
    ///
    /// # Errors
    /// As [`SsdConfig::graph`].
    pub fn maps(&self) -> Result<Vec<PriorMap>, ModelError> {
        self.check()?;
        let mut g = GraphBuilder::new();
        let maps = self.record_maps(&mut g)?;
        self.prior_maps(&g, &maps)
    }

    fn prior_maps(&self, g: &GraphBuilder, maps: &[Node]) -> Result<Vec<PriorMap>, ModelError> {
        let (cells, scales): (Vec<usize>, _) = (maps.iter().map(|&map| g.shape(map)[1]).collect(), &self.prior_scales);
        let rising = scales.windows(2).all(|pair| pair[0] < pair[1]);
        let bounded = scales.iter().all(|scale| (0.01..=2.0).contains(scale));
        if scales.len() <= cells.len() || !rising || !bounded {
            let maps = cells.len();
            let expected = format!(
                "{} rising numbers or more, from 0.01 to 2: one of each of {maps} maps, and the next",
                maps + 1
            );
            return Err(ModelError::Setting { name: "prior_scales", found: format!("{scales:?}"), expected });
        }
        Ok(prior_maps(self.size, &cells, scales))
    }

    /// The priors, and the rules of ssd.pytorch's test and of ROAD.
    ///
    /// # Errors
    /// As [`SsdConfig::graph`].
    pub fn detect_info(&self) -> Result<DetectInfo, ModelError> {
        Ok(DetectInfo { maps: self.maps()?, rule: DetectRule::default(), tubes: TubeRule::default() })
    }

    /// Input [`names::CLIP`], outputs [`names::OFFSETS`] and [`names::CLASS_SCORES`].
    ///
    /// # Errors
    /// [`ModelError`] when the settings make no model.
    pub fn graph(&self) -> Result<Graph, ModelError> {
        self.check()?;
        let mut g = GraphBuilder::new();
        let maps = self.record_maps(&mut g)?;
        let priors: Vec<usize> = self.prior_maps(&g, &maps)?.iter().map(PriorMap::per_cell).collect();
        let offsets = head(&mut g, "loc", &maps, &priors, 4)?;
        let scores = head(&mut g, "conf", &maps, &priors, 1 + self.classes)?;
        Ok(g.finish(&[(names::OFFSETS, offsets), (names::CLASS_SCORES, scores)]))
    }

    fn record_maps(&self, g: &mut GraphBuilder) -> Result<Vec<Node>, GraphError> {
        let clip = g.input(names::CLIP, &[3, 1, self.size, self.size])?;
        let [conv4_3, fc7] = vgg16(g, self.width, self.batch_norm, clip)?;
        let mut maps = vec![g.l2_norm("L2Norm", conv4_3, SCALE * self.width.sqrt())?, fc7];
        g.scoped("extras", |g| {
            let mut x = fc7;
            for (pair, (narrow, wide, stride, padding)) in EXTRAS.into_iter().enumerate() {
                let cells = g.shape(x)[1];
                if cells == 1 || cells + 2 * padding < 3 {
                    break;
                }
                let [narrow, wide] = [narrow, wide].map(|channels| scaled(channels, self.width));
                x = conv_relu(g, &(2 * pair).to_string(), x, new_layer(x, g, narrow, 1, 1, 0))?;
                x = conv_relu(g, &(2 * pair + 1).to_string(), x, new_layer(x, g, wide, 3, stride, padding))?;
                maps.push(x);
            }
            Ok::<_, GraphError>(())
        })?;
        Ok(maps)
    }

    fn check(&self) -> Result<(), ModelError> {
        check_width(self.width)?;
        let setting = |name, found: usize, expected: &str| {
            Err(ModelError::Setting { name, found: found.to_string(), expected: expected.into() })
        };
        if self.classes == 0 {
            return setting("classes", 0, "at least one");
        }
        if !(32..=SIZE).contains(&self.size) {
            return setting("size", self.size, "32 to 300 pixels; larger frames need more layers than SSD300 has");
        }
        Ok(())
    }
}

/// VGG-16 up to fc7: a clip of one frame `N x 3 x 1 x size x size` to conv4_3, `N x 512 x 38 x 38` of a frame of 300 x 300, and
/// fc7, `N x 1024 x 19 x 19`. fc6 and fc7 are convolutions, their weights reduced to 1024 filters; fc6 looks at 3 x 3 positions
/// 6 apart, and pool5 keeps the resolution (Chen et al. 2015; Liu et al. 2016, section 3.1). Layers are numbered as in torchvision's
/// `features` and ssd.pytorch's `vgg`, where BatchNorm counts as one.
pub fn vgg16(g: &mut GraphBuilder, width: f64, batch_norm: bool, clip: Node) -> Result<[Node; 2], GraphError> {
    let &[channels, 1, height, size] = g.shape(clip) else {
        let problem = format!("VGG-16 takes clips of one frame, found {}", unscene_graph::format_shape(g.shape(clip)));
        return Err(GraphError::Shape { node: "vgg".into(), problem });
    };
    let mut x = g.reshape("frame", clip, &[channels, height, size])?;
    let mut conv4_3 = x;
    g.scoped("vgg", |g| {
        let mut layer = 0;
        for (stage, (convolutions, channels)) in
            [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)].into_iter().enumerate()
        {
            for _ in 0..convolutions {
                x = g.conv(&layer.to_string(), x, backbone(g, x, scaled(channels, width), 3, 1))?;
                if batch_norm {
                    layer += 1;
                    x = g.batch_norm(&layer.to_string(), x)?;
                }
                x = g.relu(&(layer + 1).to_string(), x)?;
                layer += 2;
            }
            let name = layer.to_string();
            conv4_3 = if stage == 3 { x } else { conv4_3 };
            x = match stage {
                2 => g.max_pool_ceil(&name, x, [2; 2])?,
                4 => g.max_pool(&name, x, [3; 2], [1; 2], [1; 2])?,
                _ => g.max_pool(&name, x, [2; 2], [2; 2], [0; 2])?,
            };
            layer += 1;
        }
        for (kernel, dilation) in [(3, 6), (1, 1)] {
            x = g.conv(&layer.to_string(), x, backbone(g, x, scaled(1024, width), kernel, dilation))?;
            x = g.relu(&(layer + 1).to_string(), x)?;
            layer += 2;
        }
        Ok([conv4_3, x])
    })
}

/// For each map, whose cells have so many priors, a convolution that says `columns` values of each prior; all of them as rows, priors
/// x columns.
fn head(g: &mut GraphBuilder, name: &str, maps: &[Node], priors: &[usize], columns: usize) -> Result<Node, GraphError> {
    g.scoped(name, |g| {
        let mut parts = vec![];
        for ((index, &map), &priors) in maps.iter().enumerate().zip(priors) {
            let x = g.conv(&index.to_string(), map, new_layer(map, g, priors * columns, 3, 1, 1))?;
            let x = g.channels_last(&format!("{index}.last"), x)?;
            let rows = g.shape(x)[..2].iter().product::<usize>() * priors;
            parts.push(g.reshape(&format!("{index}.rows"), x, &[rows, columns])?);
        }
        g.concat("all", &parts)
    })
}

fn conv_relu(g: &mut GraphBuilder, name: &str, x: Node, options: ConvOptions<2>) -> Result<Node, GraphError> {
    let x = g.conv(name, x, options)?;
    g.relu(&format!("{name}.relu"), x)
}

/// A layer of VGG-16, which keeps the resolution. It starts normal with std sqrt(2 / fan_in): where no BatchNorm corrects the scale of
/// activations, they keep theirs from layer to layer (He et al. 2015, section 2.2).
fn backbone(g: &GraphBuilder, x: Node, out_channels: usize, kernel: usize, dilation: usize) -> ConvOptions<2> {
    let fan_in = (g.shape(x)[0] * kernel * kernel) as f64;
    let padding = dilation * (kernel / 2);
    ConvOptions {
        out_channels,
        kernel: [kernel; 2],
        stride: [1; 2],
        padding: [padding; 2],
        dilation: [dilation; 2],
        bias: true,
        init: ParamInit::Normal { std: (2.0 / fan_in).sqrt() },
    }
}

/// A layer that no pretrained VGG-16 has; it starts as ssd.pytorch's: `xavier_uniform_`, within sqrt(6 / (fan_in + fan_out)).
fn new_layer(
    x: Node,
    g: &GraphBuilder,
    out_channels: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> ConvOptions<2> {
    let fans = ((g.shape(x)[0] + out_channels) * kernel * kernel) as f64;
    ConvOptions {
        out_channels,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [1; 2],
        bias: true,
        init: ParamInit::Uniform { bound: (6.0 / fans).sqrt() },
    }
}

/// Channels at a width.
fn scaled(channels: usize, width: f64) -> usize {
    (channels as f64 * width).round().max(1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(size: usize) -> Vec<usize> {
        let config = SsdConfig { size, width: 0.05, ..SsdConfig::new(3) };
        config.maps().unwrap().iter().map(|map| map.cells).collect()
    }

    /// `sum(p.numel() for p in build_ssd("train", 300, 21).parameters())` of ssd.pytorch: 26,285,486.
    #[test]
    fn ssd300_has_the_parameters_and_priors_of_ssd_pytorch() {
        let config = SsdConfig::new(20);
        let graph = config.graph().unwrap();
        assert_eq!(graph.trainable_params(), 26_285_486);
        let shapes: Vec<_> =
            graph.outputs.iter().map(|(name, node)| (name.as_str(), &graph.node(*node).shape[..])).collect();
        assert_eq!(shapes, [("offsets", &[8732, 4][..]), ("class_scores", &[8732, 21][..])]);
        let maps = config.maps().unwrap();
        assert_eq!(maps.iter().map(|map| map.cells).collect::<Vec<_>>(), [38, 19, 10, 5, 3, 1]);
        assert_eq!(maps.iter().map(PriorMap::per_cell).collect::<Vec<_>>(), [4, 6, 6, 6, 4, 4]);
        assert_eq!(maps.iter().map(|map| map.cells * map.cells * map.per_cell()).sum::<usize>(), 8732);
    }

    #[test]
    fn checkpoint_names_and_shapes_are_those_of_ssd_pytorch() {
        let graph = SsdConfig::new(24).graph().unwrap();
        let shape = |name: &str| &graph.params.iter().find(|param| param.name == name).unwrap().shape[..];
        assert_eq!(shape("vgg.0.weight"), [64, 3, 3, 3]);
        assert_eq!(shape("vgg.28.bias"), [512]);
        assert_eq!(shape("vgg.31.weight"), [1024, 512, 3, 3]);
        assert_eq!(shape("vgg.33.weight"), [1024, 1024, 1, 1]);
        assert_eq!(shape("L2Norm.weight"), [512]);
        assert_eq!(shape("extras.0.weight"), [256, 1024, 1, 1]);
        assert_eq!(shape("extras.7.weight"), [256, 128, 3, 3]);
        assert_eq!(shape("loc.1.weight"), [24, 1024, 3, 3]);
        assert_eq!(shape("conf.5.bias"), [100]);
        assert_eq!(graph.params.len(), 2 * (13 + 2 + 8 + 6 + 6) + 1);
    }

    #[test]
    fn batch_norm_counts_as_a_layer_as_in_torchvisions_vgg16_bn() {
        let graph = SsdConfig { batch_norm: true, ..SsdConfig::new(24) }.graph().unwrap();
        let shape = |name: &str| &graph.params.iter().find(|param| param.name == name).unwrap().shape[..];
        assert_eq!(shape("vgg.0.weight"), [64, 3, 3, 3]);
        assert_eq!(shape("vgg.1.running_var"), [64]);
        assert_eq!(shape("vgg.40.weight"), [512, 512, 3, 3]);
        assert_eq!(shape("vgg.41.bias"), [512]);
        assert_eq!(shape("vgg.44.weight"), [1024, 512, 3, 3]);
        assert_eq!(shape("vgg.46.weight"), [1024, 1024, 1, 1]);
        // A weight and a bias for each of the 4,224 channels of thirteen convolutions.
        assert_eq!(graph.trainable_params(), SsdConfig::new(24).graph().unwrap().trainable_params() + 2 * 4224);
    }

    #[test]
    fn smaller_frames_have_the_maps_that_are_left() {
        assert_eq!(cells(300), [38, 19, 10, 5, 3, 1]);
        assert_eq!(cells(160), [20, 10, 5, 3, 1]);
        // A filter of 3 x 3 without padding does not fit a map of 2 x 2.
        assert_eq!(cells(128), [16, 8, 4, 2]);
        assert_eq!(cells(96), [12, 6, 3, 2]);
        assert_eq!(cells(32), [4, 2, 1]);
        let config = SsdConfig { size: 96, width: 0.05, ..SsdConfig::new(3) };
        let graph = config.graph().unwrap();
        assert_eq!(graph.node(graph.outputs[1].1).shape, [4 * 144 + 6 * (36 + 9 + 4), 4]);
    }

    #[test]
    fn priors_have_the_scales_that_are_set() {
        let prior_scales = vec![0.15, 0.3, 0.5, 0.7, 0.9];
        let config = SsdConfig { size: 128, width: 0.05, prior_scales, ..SsdConfig::new(3) };
        let sides: Vec<_> = config.maps().unwrap().iter().map(|map| (map.min_px / 128.0, map.max_px / 128.0)).collect();
        let expected = [(0.15, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9)];
        assert!(sides.iter().zip(expected).all(|(a, b)| (a.0 - b.0).abs() + (a.1 - b.1).abs() < 1e-9), "{sides:?}");
    }

    #[test]
    fn new_layers_start_as_in_ssd_pytorch_and_the_backbone_keeps_its_scale() {
        let graph = SsdConfig::new(20).graph().unwrap();
        let init = |name: &str| graph.params.iter().find(|param| param.name == name).unwrap().init;
        assert_eq!(init("extras.1.weight"), ParamInit::Uniform { bound: (6.0f64 / ((256.0 + 512.0) * 9.0)).sqrt() });
        assert_eq!(init("conf.0.weight"), ParamInit::Uniform { bound: (6.0f64 / ((512.0 + 84.0) * 9.0)).sqrt() });
        assert_eq!(init("loc.0.bias"), ParamInit::Constant(0.0));
        assert_eq!(init("vgg.31.weight"), ParamInit::Normal { std: (2.0f64 / (512.0 * 9.0)).sqrt() });
        assert_eq!(init("L2Norm.weight"), ParamInit::Constant(20.0));
    }

    #[test]
    fn settings_without_sense_are_named() {
        let base = SsdConfig::new(3);
        for (config, expected) in [
            (SsdConfig { classes: 0, ..base.clone() }, "classes is 0"),
            (SsdConfig { size: 24, ..base.clone() }, "size is 24, expected 32 to 300"),
            (SsdConfig { size: 512, ..base.clone() }, "size is 512"),
            (SsdConfig { width: 9.0, ..base.clone() }, "width 9"),
            (
                SsdConfig { prior_scales: vec![0.1, 0.2, 0.3], ..base.clone() },
                "prior_scales is [0.1, 0.2, 0.3], expected 7 rising",
            ),
            (SsdConfig { prior_scales: vec![0.1, 0.3, 0.2, 0.4, 0.5, 0.6, 0.7], ..base.clone() }, "expected 7 rising"),
            (SsdConfig { prior_scales: vec![f64::NAN; 7], ..base }, "prior_scales is [NaN"),
        ] {
            let message = config.graph().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert_eq!(config.maps().unwrap_err().to_string(), message);
        }
        let mut g = GraphBuilder::new();
        let clip = g.input("clip", &[3, 16, 64, 64]).unwrap();
        let message = vgg16(&mut g, 1.0, false, clip).unwrap_err().to_string();
        assert_eq!(message, "node 'vgg': VGG-16 takes clips of one frame, found N x 3 x 16 x 64 x 64");
    }

    #[test]
    fn the_graph_of_ssd300_is_this() {
        insta::assert_snapshot!(SsdConfig::new(24).graph().unwrap());
    }
}
