//! What each operation of a graph computes.

use tch::{Kind, TchError, Tensor};
use unscene_graph::{NodeInfo, Op};

use super::{Mode, Net, Precision, sizes};
use crate::TrainError;

impl Net {
    /// Computes one node from its inputs.
    pub(super) fn run(&self, node: &NodeInfo, inputs: &[&Tensor], mode: Mode) -> Result<Tensor, TrainError> {
        let x = inputs[0];
        let param = |position: usize| &self.params[node.params[position]];
        let result = match &node.op {
            Op::Input => Ok(x.shallow_clone()),
            Op::Conv { kernel, stride, padding, dilation, bias, .. } => {
                let zeros = vec![0; kernel.len()];
                let bias = bias.then(|| param(1));
                let kind = match self.precision {
                    Precision::Float32 => Kind::Float,
                    Precision::Bfloat16 => Kind::BFloat16,
                };
                let run = || {
                    let bias = bias.map(|bias| bias.f_to_kind(kind)).transpose()?;
                    let (x, weight) = (x.f_to_kind(kind)?, param(0).f_to_kind(kind)?);
                    x.f_convolution(
                        &weight,
                        bias.as_ref(),
                        sizes(stride),
                        sizes(padding),
                        sizes(dilation),
                        false,
                        &zeros[..],
                        1,
                    )
                };
                run()
            }
            Op::BatchNorm { eps, momentum } => {
                let training = mode == Mode::Train && !self.fixed_batch_norm;
                let channels = x.size()[1];
                if training && x.numel() as i64 == channels {
                    let problem =
                        "one value per channel has no variance to normalise by; train on a larger batch or clip".into();
                    return Err(TrainError::Node { node: node.name.clone(), problem });
                }
                let [weight, bias, mean, var] = [0, 1, 2, 3].map(|position| Some(param(position)));
                x.f_batch_norm(weight, bias, mean, var, training, *momentum, *eps, true)
            }
            Op::Relu => x.f_relu(),
            Op::MaxPool { kernel, stride, padding, ceil } => {
                let [kernel, stride, padding] = [kernel, stride, padding].map(|list| sizes(list));
                match kernel.len() {
                    2 => x.f_max_pool2d(kernel, stride, padding, [1, 1], *ceil),
                    _ => x.f_max_pool3d(kernel, stride, padding, [1, 1, 1], *ceil),
                }
            }
            Op::Subsample { stride } => stride
                .iter()
                .zip(2..)
                .try_fold(x.shallow_clone(), |x, (&step, axis)| x.f_slice(axis, 0, None::<i64>, step as i64)),
            Op::PadChannels { channels } => {
                let size = x.size();
                // Pairs of (before, after) from the last dimension to the first.
                let mut padding = vec![0; 2 * (size.len() - 1)];
                padding[2 * (size.len() - 2) + 1] = *channels as i64 - size[1];
                x.f_constant_pad_nd(padding)
            }
            Op::GlobalAvgPool => {
                let spatial: Vec<i64> = (2..x.dim() as i64).collect();
                x.f_mean_dim(&spatial[..], false, Kind::Float)
            }
            Op::Linear { .. } => x.f_linear(param(0), Some(param(1))),
            Op::Add => x.f_add(inputs[1]),
            Op::L2Norm { eps } => l2_norm(x, param(0), *eps),
            // What comes next are outputs, which are float32.
            Op::ChannelsLast => {
                let dims = x.dim() as i64;
                let order: Vec<i64> = std::iter::once(0).chain(2..dims).chain([1]).collect();
                x.f_permute(order).and_then(|x| x.f_to_kind(Kind::Float))
            }
            Op::Reshape { shape } => x.f_reshape([&[x.size()[0]][..], &sizes(shape)].concat()),
            Op::Concat => Tensor::f_cat(inputs, 1),
        };
        result.map_err(|error| match TrainError::from(error) {
            TrainError::Torch(error) => {
                TrainError::Node { node: node.name.clone(), problem: format!("libtorch: {error}") }
            }
            memory => memory,
        })
    }
}

/// Each position divided by its length over the channels, times the weight of each channel, in float32.
fn l2_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor, TchError> {
    let x = x.f_to_kind(Kind::Float)?;
    let length = x.f_norm_scalaropt_dim(2, [1], true)?.f_add_scalar(eps)?;
    let mut sides = vec![1; x.dim()];
    sides[1] = -1;
    x.f_div(&length)?.f_mul(&weight.f_view(&sides[..])?)
}
