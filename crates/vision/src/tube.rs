//! An actor's way through a video.

use serde::{Deserialize, Serialize};

use crate::boxes::iou;

/// What one actor does, and where: a box in every frame from a first one on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tube {
    /// Index of the label.
    pub label: usize,
    /// The first frame, counted from 0.
    pub start_frame: usize,
    /// Left, top, right, bottom in pixels of the displayed frame, one of each frame; a pixel's edges are whole numbers.
    pub boxes: Vec<[f32; 4]>,
}

impl Tube {
    /// The frame after the last.
    pub fn end_frame(&self) -> usize {
        self.start_frame + self.boxes.len()
    }

    /// The box of a frame, if the tube is there.
    pub fn at(&self, frame: usize) -> Option<&[f32; 4]> {
        self.boxes.get(frame.checked_sub(self.start_frame)?)
    }

    /// Spatio-temporal overlap: frames that both have by frames that one has, times the mean overlap (IoU) of the boxes
    /// where both are, as `compute_spatio_temporal_iou` of ROAD's release (Singh et al. 2017), which gives 0 to tubes
    /// that share a single frame, however. From 0 to 1.
    pub fn iou(&self, other: &Tube) -> f64 {
        let start = self.start_frame.max(other.start_frame);
        let end = self.end_frame().min(other.end_frame());
        if start >= end {
            return 0.0;
        }
        let boxes = |tube: &Tube| start - tube.start_frame..end - tube.start_frame;
        let (own, others) = (&self.boxes[boxes(self)], &other.boxes[boxes(other)]);
        let shared: f64 = own.iter().zip(others).map(|(a, b)| f64::from(iou(a, b))).sum();
        let all = self.boxes.len() + other.boxes.len() - (end - start);
        // The mean over the shared frames times their share of all.
        shared / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tube_is_there_from_its_first_to_its_last_frame() {
        let tube = Tube { label: 0, start_frame: 3, boxes: vec![[0.0; 4], [1.0; 4]] };
        assert_eq!(tube.end_frame(), 5);
        let there: Vec<bool> = (0..7).map(|frame| tube.at(frame).is_some()).collect();
        assert_eq!(there, [false, false, false, true, true, false, false]);
        assert_eq!(tube.at(4), Some(&[1.0; 4]));
    }

    #[test]
    fn tubes_overlap_in_time_and_in_space() {
        let tube = |start_frame, boxes: &[[f32; 4]]| Tube { label: 0, start_frame, boxes: boxes.to_vec() };
        let square = [0.0, 0.0, 10.0, 10.0];
        let long = tube(2, &[square; 4]);
        assert_eq!(long.iou(&long), 1.0);
        // Frames 4 and 5 of 2 to 7: a third; there one box is the same and the other half of it.
        let other = tube(4, &[square, [0.0, 0.0, 10.0, 5.0], square, square]);
        assert!((long.iou(&other) - 2.0 / 6.0 * 0.75).abs() < 1e-12);
        assert_eq!(long.iou(&other), other.iou(&long));
        // One after the other, and nothing at all.
        assert_eq!(long.iou(&tube(6, &[square])), 0.0);
        assert_eq!(long.iou(&tube(3, &[])), 0.0);
    }
}
