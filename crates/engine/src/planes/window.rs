//! Where a convolution or a maximum looks.

use tract_onnx::pb;

use crate::proto::{ints, longs};

/// A window that slides over a volume: in time, in height, in width.
pub(super) struct Window {
    pub(super) kernel: [usize; 3],
    pub(super) stride: [usize; 3],
    pub(super) padding: [usize; 3],
}

impl Window {
    /// That of a node; none where it is not as long before as behind, has gaps, or does anything else that is not known here.
    pub(super) fn of(node: &pb::NodeProto) -> Option<Self> {
        let known = ["kernel_shape", "strides", "pads"];
        if node.attribute.iter().any(|attribute| !known.contains(&attribute.name.as_str())) {
            return None;
        }
        let sizes = |name: &str| -> Option<Vec<usize>> {
            let found = node.attribute.iter().find(|attribute| attribute.name == name)?;
            found.ints.iter().map(|&size| usize::try_from(size).ok()).collect()
        };
        let pads: [usize; 6] = sizes("pads")?.try_into().ok()?;
        let (before, behind) = pads.split_at(3);
        let window = Self {
            kernel: sizes("kernel_shape")?.try_into().ok()?,
            stride: sizes("strides")?.try_into().ok()?,
            padding: before.try_into().ok()?,
        };
        (before == behind && window.stride.iter().all(|&step| step > 0)).then_some(window)
    }

    /// The same in each frame.
    pub(super) fn attributes(&self) -> Vec<pb::AttributeProto> {
        let [(_, kernel), (_, stride), (_, padding)] =
            [self.kernel, self.stride, self.padding].map(|all| (all[0], longs(&all[1..])));
        let pads = [&padding[..], &padding].concat();
        vec![ints("kernel_shape", kernel), ints("strides", stride), ints("pads", pads)]
    }
}
