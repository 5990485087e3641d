//! An actor's way through a video.

use serde::{Deserialize, Serialize};

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
}
