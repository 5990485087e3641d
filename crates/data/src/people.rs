//! The people of a video over time.

use crate::cache::{PeopleFrame, PersonBox};

/// A frame's people hold from its time until the next frame that was looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct People(Vec<PeopleFrame>);

impl People {
    /// Of frames in the order of time, with the boxes that score at least `min_score`: 0.3 in the paper.
    pub fn new(mut frames: Vec<PeopleFrame>, min_score: f32) -> Self {
        for frame in &mut frames {
            frame.boxes.retain(|person| person.score >= min_score);
        }
        People(frames)
    }

    /// Those on screen at a time, in seconds.
    pub fn at(&self, time_s: f64) -> &[PersonBox] {
        // Times in caches are whole milliseconds.
        let next = self.0.partition_point(|frame| frame.time_s <= time_s + 0.000_6);
        next.checked_sub(1).map_or(&[], |last| &self.0[last].boxes)
    }

    /// The share of frames with a person in them: only videos with at least 0.7 are masked in the paper.
    pub fn share_of_frames(&self) -> f64 {
        let with = self.0.iter().filter(|frame| !frame.boxes.is_empty()).count();
        with as f64 / self.0.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(corners: [f32; 4], score: f32) -> PersonBox {
        PersonBox { corners, score }
    }

    #[test]
    fn boxes_hold_until_the_next_look() {
        let frame = |time_s, boxes| PeopleFrame { time_s, boxes };
        let (sure, unsure) = (person([0.0; 4], 0.9), person([1.0; 4], 0.2));
        let people = People::new(
            vec![
                frame(0.0, vec![sure, unsure]),
                frame(0.16, vec![]),
                frame(0.333, vec![sure]),
                frame(0.5, vec![unsure]),
            ],
            0.3,
        );
        assert_eq!(people.at(0.0), [sure]);
        assert_eq!(people.at(0.12), [sure]);
        assert_eq!(people.at(0.16), []);
        assert_eq!(people.at(0.33333), [sure]);
        assert_eq!(people.at(9.0), []);
        assert_eq!(people.share_of_frames(), 0.5);
        assert_eq!(People::default().at(0.0), []);
        assert_eq!(People::default().share_of_frames(), 0.0);
    }
}
