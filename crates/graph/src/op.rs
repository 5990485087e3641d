use serde::Serialize;

/// The id of a node of one graph. Cheap to copy; only meaningful with the builder or graph it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Node(pub(crate) usize);

impl Node {
    /// The position in [`crate::Graph::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// An operation. Spatial lists have one entry per spatial dimension: `[time, height, width]` for video, `[height, width]` for
/// pictures.
///
/// Shapes below leave out the batch; `C` is channels, `S...` the spatial dimensions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// A tensor given from outside.
    Input,
    /// Convolution with zero padding: `C x S...` to `out_channels x S'...`,
    /// S' = floor((S + 2 pad - dilation (kernel - 1) - 1) / stride) + 1.
    /// Parameters: `weight` (out_channels x C x kernel...), and `bias` (out_channels) if `bias`.
    Conv {
        /// Number of filters.
        out_channels: usize,
        /// Size of a filter.
        kernel: Vec<usize>,
        /// Step between filter positions.
        stride: Vec<usize>,
        /// Zeros added on both sides.
        padding: Vec<usize>,
        /// Step between the positions that a filter looks at; 1 is a filter without gaps.
        dilation: Vec<usize>,
        /// Whether a bias is added.
        bias: bool,
    },
    /// Batch normalisation over channels. Parameters: `weight`, `bias`, `running_mean`, `running_var` (C each).
    BatchNorm {
        /// Added to the variance.
        eps: f64,
        /// Weight of the newest batch in the running statistics.
        momentum: f64,
    },
    /// max(x, 0).
    Relu,
    /// Maximum over windows; padding never wins.
    MaxPool {
        /// Size of a window.
        kernel: Vec<usize>,
        /// Step between windows.
        stride: Vec<usize>,
        /// Padding on both sides.
        padding: Vec<usize>,
        /// Whether a window counts that ends outside: the number of windows is rounded up instead of down.
        ceil: bool,
    },
    /// Every `stride`-th position, starting at the first: `C x S...` to `C x ceil(S / stride)...`.
    Subsample {
        /// Step in each spatial dimension.
        stride: Vec<usize>,
    },
    /// Zero channels added behind: `C x S...` to `channels x S...`.
    PadChannels {
        /// Number of channels afterwards.
        channels: usize,
    },
    /// Mean over all spatial positions: `C x S...` to `C`.
    GlobalAvgPool,
    /// `x W^T + b`: `C` to `out_features`. Parameters: `weight` (out_features x C), `bias` (out_features).
    Linear {
        /// Number of outputs.
        out_features: usize,
    },
    /// Sum of two tensors of one shape.
    Add,
    /// Each position divided by its length over the channels, times a learned scale of each channel (Liu, Rabinovich and Berg
    /// 2015, section 3.3; `L2Norm` of ssd.pytorch): `x / (|x| + eps) * weight`. Parameter: `weight` (C).
    L2Norm {
        /// Added to the length.
        eps: f64,
    },
    /// The channels of each position side by side: `C x S...` to `S... x C`.
    ChannelsLast,
    /// The same values in the same order, in another shape.
    Reshape {
        /// The shape afterwards, without the batch.
        shape: Vec<usize>,
    },
    /// Tensors one behind the other in the first dimension: `A x S...`, `B x S...`, ... to `(A + B + ...) x S...`.
    Concat,
}

impl Op {
    /// The name people read in tables: `Conv 3x3x3 /1x2x2`, stride behind `/` and dilation behind `@`.
    pub fn label(&self) -> String {
        let by = |list: &[usize]| list.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let step = |list: &[usize]| match list.iter().all(|&s| s == 1) {
            true => String::new(),
            false => format!(" /{}", by(list)),
        };
        match self {
            Op::Input => "Input".into(),
            Op::Conv { kernel, stride, dilation, .. } => {
                let gaps = if dilation.iter().all(|&d| d == 1) { String::new() } else { format!(" @{}", by(dilation)) };
                format!("Conv {}{}{gaps}", by(kernel), step(stride))
            }
            Op::BatchNorm { .. } => "BatchNorm".into(),
            Op::Relu => "Relu".into(),
            Op::MaxPool { kernel, stride, ceil, .. } => {
                format!("MaxPool {}{}{}", by(kernel), step(stride), if *ceil { " ceil" } else { "" })
            }
            Op::Subsample { stride } => format!("Subsample{}", step(stride)),
            Op::PadChannels { .. } => "PadChannels".into(),
            Op::GlobalAvgPool => "GlobalAvgPool".into(),
            Op::Linear { .. } => "Linear".into(),
            Op::Add => "Add".into(),
            Op::L2Norm { .. } => "L2Norm".into(),
            Op::ChannelsLast => "ChannelsLast".into(),
            Op::Reshape { .. } => "Reshape".into(),
            Op::Concat => "Concat".into(),
        }
    }
}
