//! The people of a video over time, and masking them out.

use crate::cache::{PeopleFrame, PersonBox};
use crate::clip::Sample;

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

/// Fills the people of a sample with the average colour of what is seen of their frame, people included (paper,
/// section 3.3).
pub fn mask_people(sample: &mut Sample, people: &People, (width, height): (usize, usize)) {
    let frame_bytes = width * height * 3;
    if frame_bytes == 0 {
        return;
    }
    for (frame, time_s) in sample.rgb.chunks_exact_mut(frame_bytes).zip(&sample.times_s) {
        let boxes = people.at(*time_s);
        if boxes.is_empty() {
            continue;
        }
        let mut sums = [0u64; 3];
        for pixel in frame.chunks_exact(3) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += u64::from(*value);
            }
        }
        let pixels = (width * height) as u64;
        let average = sums.map(|sum| ((sum + pixels / 2) / pixels) as u8);
        for person in boxes {
            let part = &sample.part;
            // From the displayed picture to the part that was cut, scaled and perhaps mirrored; outwards.
            let axis = |from: f32, to: f32, start: u32, length: u32, size: usize| {
                let scale = size as f32 / length as f32;
                let [from, to] = [from, to].map(|side| (side - start as f32) * scale);
                let bound = |side: f32| side.clamp(0.0, size as f32) as usize;
                (bound(from.floor()), bound(to.ceil()))
            };
            let [x1, y1, x2, y2] = person.corners;
            let (mut left, mut right) = axis(x1, x2, part.x, part.width, width);
            let (top, bottom) = axis(y1, y2, part.y, part.height, height);
            if sample.mirror {
                (left, right) = (width - right, width - left);
            }
            for row in top..bottom {
                for pixel in frame[(row * width + left) * 3..(row * width + right.max(left)) * 3].chunks_exact_mut(3) {
                    pixel.copy_from_slice(&average);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use unscene_media::Region;

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

    #[test]
    fn people_are_filled_with_the_average_where_the_sample_shows_them() {
        // Two frames of 4 x 4, cut from (10, 20) on at half size: a pixel is 2 x 2 of the picture.
        let rgb: Vec<u8> = (0..2 * 4 * 4 * 3).map(|at| (at % 3 * 10 + at / 48 * 100) as u8).collect();
        let part = Region { x: 10, y: 20, width: 8, height: 8 };
        let mut sample =
            Sample { rgb: rgb.clone(), times_s: vec![0.0, 0.04], part, mirror: false, picture_size: (64, 64) };
        // Make one pixel of each frame stand out, so that the average differs from the rest.
        for frame in sample.rgb.chunks_exact_mut(48) {
            frame[..3].copy_from_slice(&[160, 170, 180]);
        }
        let before = sample.clone();
        let corners = [13.0, 24.0, 16.0, 26.0];
        let people = People::new(vec![PeopleFrame { time_s: 0.04, boxes: vec![person(corners, 0.9)] }], 0.3);
        let changed = |mirror: bool| {
            let mut sample = Sample { mirror, ..before.clone() };
            mask_people(&mut sample, &people, (4, 4));
            let pixels = sample.rgb.chunks_exact(3).zip(before.rgb.chunks_exact(3)).enumerate();
            pixels.filter(|(_, (a, b))| a != b).map(|(at, (a, _))| (at, a.to_vec())).collect::<Vec<_>>()
        };
        // Only in the second frame, row 2; columns 1 and 2, as the box touches both; the average of 15 x 100 and 160.
        let average = |base: u32, bright: u32| ((15 * base + bright + 8) / 16) as u8;
        let fill = vec![average(100, 160), average(110, 170), average(120, 180)];
        assert_eq!(changed(false), [(16 + 9, fill.clone()), (16 + 10, fill.clone())]);
        // Mirrored, columns 1 and 2 are columns 2 and 1.
        assert_eq!(changed(true), [(16 + 9, fill.clone()), (16 + 10, fill)]);
        // A box beyond the part changes nothing; one around it everything.
        let people_at =
            |corners| People::new(vec![PeopleFrame { time_s: 0.0, boxes: vec![person(corners, 0.9)] }], 0.3);
        for (corners, expected) in
            [([0.0, 0.0, 9.0, 60.0], 0), ([30.0, 0.0, 60.0, 60.0], 0), ([0.0, 0.0, 64.0, 64.0], 32)]
        {
            let mut sample = before.clone();
            mask_people(&mut sample, &people_at(corners), (4, 4));
            let changed = sample.rgb.chunks_exact(3).zip(before.rgb.chunks_exact(3)).filter(|(a, b)| a != b).count();
            assert_eq!(changed, expected, "{corners:?}");
        }
    }
}
