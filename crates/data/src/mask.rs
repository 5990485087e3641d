//! Masking people out of a sample: what is filled, and with what.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clip::{ClipForm, Sample, frames_at};
use crate::dataset::{Item, Media};
use crate::error::{DataError, Result};
use crate::people::People;

/// What people are filled with. A fill that a network can tell from a scene teaches it "a hole: be unsure", and nothing about
/// scenes; training with one and measuring with another shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// The average colour of what is seen of the frame, people included (paper, section 3.3).
    #[default]
    Mean,
    /// What is around, out of focus: every pixel is the average of the pixels near it that show nobody.
    Blur,
    /// The median of the same pixel in those frames of the clip in which nobody covers it; `Blur` where somebody always does.
    Median,
    /// The same pixels of a video without people: one with the item's name and times in this folder, as `unscene stage
    /// --empty` makes them.
    Videos(PathBuf),
}

impl FromStr for Fill {
    type Err = Infallible;

    /// The name of a fill; anything else is the folder of [`Fill::Videos`].
    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "mean" => Fill::Mean,
            "blur" => Fill::Blur,
            "median" => Fill::Median,
            folder => Fill::Videos(folder.into()),
        })
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fill::Mean => f.write_str("mean"),
            Fill::Blur => f.write_str("blur"),
            Fill::Median => f.write_str("median"),
            Fill::Videos(folder) => write!(f, "{}", folder.display()),
        }
    }
}

/// Fills the people of a sample.
///
/// # Errors
/// When the video of [`Fill::Videos`] cannot be read.
pub fn mask_people(sample: &mut Sample, people: &People, item: &Item, form: &ClipForm, fill: &Fill) -> Result<()> {
    let (width, height) = (form.width, form.height);
    let frame_pixels = width * height;
    let masks: Vec<Vec<bool>> =
        sample.times_s.iter().map(|time_s| people_mask(sample, people, *time_s, (width, height))).collect();
    if frame_pixels == 0 || !masks.iter().flatten().any(|&is_person| is_person) {
        return Ok(());
    }
    match fill {
        Fill::Videos(folder) => {
            let empty = empty_frames(sample, item, form, folder)?;
            let pixels = sample.rgb.chunks_exact_mut(3).zip(empty.chunks_exact(3));
            for ((pixel, empty), _) in pixels.zip(masks.iter().flatten()).filter(|(_, is_person)| **is_person) {
                pixel.copy_from_slice(empty);
            }
        }
        Fill::Mean | Fill::Blur => {
            for (frame, mask) in sample.rgb.chunks_exact_mut(frame_pixels * 3).zip(&masks) {
                match fill {
                    Fill::Mean => fill_mean(frame, mask),
                    _ => fill_blur(frame, mask, width),
                }
            }
        }
        Fill::Median => fill_median(&mut sample.rgb, &masks, (width, height)),
    }
    Ok(())
}

/// Which pixels of a sample's frame of `width x height` people cover at a time, row by row.
pub fn people_mask(sample: &Sample, people: &People, time_s: f64, (width, height): (usize, usize)) -> Vec<bool> {
    let mut mask = vec![false; width * height];
    for person in people.at(time_s) {
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
            mask[row * width + left..row * width + right.max(left)].fill(true);
        }
    }
    mask
}

fn fill_mean(frame: &mut [u8], mask: &[bool]) {
    let mut sums = [0u64; 3];
    for pixel in frame.chunks_exact(3) {
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += u64::from(*value);
        }
    }
    let pixels = mask.len() as u64;
    let average = sums.map(|sum| ((sum + pixels / 2) / pixels) as u8);
    for (pixel, _) in frame.chunks_exact_mut(3).zip(mask).filter(|(_, is_person)| **is_person) {
        pixel.copy_from_slice(&average);
    }
}

/// Averages over windows that are just large enough to see something, by sums over all pixels above and to the left.
fn fill_blur(frame: &mut [u8], mask: &[bool], width: usize) {
    let height = mask.len() / width;
    if mask.iter().all(|&is_person| is_person) {
        return fill_mean(frame, mask);
    }
    // Red, green, blue, and the number of pixels that show nobody; one row and column more than the frame.
    let mut sums = vec![[0u32; 4]; (width + 1) * (height + 1)];
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            let pixel = if mask[at] { [0; 4] } else { [frame[3 * at], frame[3 * at + 1], frame[3 * at + 2], 1] };
            let (above, before) = (sums[y * (width + 1) + x + 1], sums[(y + 1) * (width + 1) + x]);
            let corner = sums[y * (width + 1) + x];
            sums[(y + 1) * (width + 1) + x + 1] = [0, 1, 2, 3]
                .map(|channel| above[channel] + before[channel] - corner[channel] + u32::from(pixel[channel]));
        }
    }
    let window = |x: usize, y: usize, radius: usize| {
        let (left, right) = (x.saturating_sub(radius), (x + radius + 1).min(width));
        let (top, bottom) = (y.saturating_sub(radius), (y + radius + 1).min(height));
        let sum = |x: usize, y: usize| sums[y * (width + 1) + x];
        [0, 1, 2, 3].map(|channel| {
            sum(right, bottom)[channel] + sum(left, top)[channel]
                - sum(right, top)[channel]
                - sum(left, bottom)[channel]
        })
    };
    for at in (0..mask.len()).filter(|&at| mask[at]) {
        let (x, y) = (at % width, at / width);
        let mut radius = 2;
        let seen = loop {
            let seen = window(x, y, radius);
            // A quarter of the window, so that the border of the hole does not show as streaks.
            let is_enough = 4 * seen[3] as usize >= (2 * radius + 1) * (2 * radius + 1);
            if is_enough || (seen[3] > 0 && radius > width.max(height)) {
                break seen;
            }
            radius += 1 + radius / 4;
        };
        for channel in 0..3 {
            frame[3 * at + channel] = ((seen[channel] + seen[3] / 2) / seen[3]) as u8;
        }
    }
}

fn fill_median(rgb: &mut [u8], masks: &[Vec<bool>], (width, height): (usize, usize)) {
    let frame_bytes = width * height * 3;
    let before = rgb.to_vec();
    let mut seen = Vec::with_capacity(masks.len());
    let mut never = vec![false; width * height];
    for at in 0..width * height {
        if !masks.iter().any(|mask| mask[at]) {
            continue;
        }
        let free: Vec<usize> = (0..masks.len()).filter(|&frame| !masks[frame][at]).collect();
        never[at] = free.is_empty();
        for channel in 0..3 {
            seen.clear();
            seen.extend(free.iter().map(|frame| before[frame * frame_bytes + 3 * at + channel]));
            seen.sort_unstable();
            let Some(&median) = seen.get(seen.len() / 2) else { continue };
            for (frame, _) in masks.iter().enumerate().filter(|(_, mask)| mask[at]) {
                rgb[frame * frame_bytes + 3 * at + channel] = median;
            }
        }
    }
    if never.contains(&true) {
        rgb.chunks_exact_mut(frame_bytes).for_each(|frame| fill_blur(frame, &never, width));
    }
}

/// The frames of the video without people that a sample's frames stand beside.
fn empty_frames(sample: &Sample, item: &Item, form: &ClipForm, folder: &std::path::Path) -> Result<Vec<u8>> {
    let (Media::Video(path) | Media::Frames(path)) = &item.media;
    // Ids are paths without the extension, and those of parts of videos go on behind them.
    let name = item.id.split_once('#').map_or(item.id.as_str(), |(name, _)| name);
    let mut beside = folder.join(name).into_os_string();
    if let (Media::Video(_), Some(extension)) = (&item.media, path.extension()) {
        beside.push(".");
        beside.push(extension);
    }
    let beside = PathBuf::from(beside);
    let media = match &item.media {
        Media::Video(_) => Media::Video(beside.clone()),
        Media::Frames(_) => Media::Frames(beside.clone()),
    };
    if !beside.exists() {
        let problem = format!(
            "{}: not there: the fill takes a video without people for each video; see `unscene stage --empty`",
            beside.display()
        );
        return Err(DataError::Options { problem });
    }
    frames_at(&media, form, sample)
}

#[cfg(test)]
mod tests {
    use unscene_media::Region;

    use super::*;
    use crate::cache::{PeopleFrame, PersonBox};
    use crate::dataset::Span;

    fn person(corners: [f32; 4], score: f32) -> PersonBox {
        PersonBox { corners, score }
    }

    fn fill(sample: &mut Sample, people: &People, fill: &Fill) {
        let item = Item { id: "a".into(), media: Media::Video("a.mp4".into()), span: Span::Whole, label: 0 };
        let form = ClipForm { width: 4, height: 4, ..ClipForm::default() };
        mask_people(sample, people, &item, &form, fill).unwrap();
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
            fill(&mut sample, &people, &Fill::Mean);
            let pixels = sample.rgb.chunks_exact(3).zip(before.rgb.chunks_exact(3)).enumerate();
            pixels.filter(|(_, (a, b))| a != b).map(|(at, (a, _))| (at, a.to_vec())).collect::<Vec<_>>()
        };
        // Only in the second frame, row 2; columns 1 and 2, as the box touches both; the average of 15 x 100 and 160.
        let average = |base: u32, bright: u32| ((15 * base + bright + 8) / 16) as u8;
        let filled = vec![average(100, 160), average(110, 170), average(120, 180)];
        assert_eq!(changed(false), [(16 + 9, filled.clone()), (16 + 10, filled.clone())]);
        // Mirrored, columns 1 and 2 are columns 2 and 1.
        assert_eq!(changed(true), [(16 + 9, filled.clone()), (16 + 10, filled)]);
        // A box beyond the part changes nothing; one around it everything.
        let people_at =
            |corners| People::new(vec![PeopleFrame { time_s: 0.0, boxes: vec![person(corners, 0.9)] }], 0.3);
        for (corners, expected) in
            [([0.0, 0.0, 9.0, 60.0], 0), ([30.0, 0.0, 60.0, 60.0], 0), ([0.0, 0.0, 64.0, 64.0], 32)]
        {
            let mut sample = before.clone();
            fill(&mut sample, &people_at(corners), &Fill::Mean);
            let changed = sample.rgb.chunks_exact(3).zip(before.rgb.chunks_exact(3)).filter(|(a, b)| a != b).count();
            assert_eq!(changed, expected, "{corners:?}");
        }
    }
    /// Frames of 4 x 4 pixels of one colour each.
    fn plain(colours: &[u8]) -> Sample {
        let part = Region { x: 0, y: 0, width: 4, height: 4 };
        let rgb = colours.iter().flat_map(|&colour| [colour; 48]).collect();
        let times_s = (0..colours.len()).map(|frame| frame as f64).collect();
        Sample { rgb, times_s, part, mirror: false, picture_size: (4, 4) }
    }

    #[test]
    fn the_median_is_of_frames_in_which_nobody_is_there() {
        let mut sample = plain(&[10, 20, 90, 200]);
        let at = |time_s, corners: &[[f32; 4]]| PeopleFrame {
            time_s,
            boxes: corners.iter().map(|corners| person(*corners, 1.0)).collect(),
        };
        // The left half is covered in the last frame; one pixel on the right always.
        let corner = [3.0, 3.0, 4.0, 4.0];
        let people = People::new(vec![at(0.0, &[corner]), at(3.0, &[[0.0, 0.0, 2.0, 4.0], corner])], 0.3);
        fill(&mut sample, &people, &Fill::Median);
        let pixel = |frame: usize, x: usize, y: usize| sample.rgb[(frame * 16 + y * 4 + x) * 3];
        assert_eq!([pixel(3, 0, 0), pixel(3, 1, 3), pixel(3, 2, 0), pixel(2, 0, 0)], [20, 20, 200, 90]);
        // Around it there is only one colour, or that of the filled half too.
        assert_eq!([pixel(0, 3, 3), pixel(2, 3, 3)], [10, 90]);
        assert!((20..=200).contains(&pixel(3, 3, 3)), "{}", pixel(3, 3, 3));
    }

    #[test]
    fn blur_takes_what_is_near_and_shows_nobody() {
        // Left 0, right 200; the person covers the middle columns and is 255.
        let part = Region { x: 0, y: 0, width: 16, height: 16 };
        let colour = |x: usize| [0, 255, 200][usize::from(x > 4) + usize::from(x > 11)];
        let rgb = (0..16 * 16).flat_map(|at| [colour(at % 16); 3]).collect();
        let mut sample = Sample { rgb, times_s: vec![0.0], part, mirror: false, picture_size: (16, 16) };
        let boxes = vec![person([5.0, 0.0, 12.0, 16.0], 1.0)];
        let people = People::new(vec![PeopleFrame { time_s: 0.0, boxes }], 0.3);
        let item = Item { id: "a".into(), media: Media::Video("a.mp4".into()), span: Span::Whole, label: 0 };
        let form = ClipForm { width: 16, height: 16, ..ClipForm::default() };
        mask_people(&mut sample, &people, &item, &form, &Fill::Blur).unwrap();
        let row: Vec<u8> = (0..16).map(|x| sample.rgb[(8 * 16 + x) * 3]).collect();
        assert_eq!((&row[..5], &row[12..]), (&[0; 5][..], &[200; 4][..]));
        assert!(row[5] < 30 && row[11] > 170 && row[5..12].is_sorted(), "{row:?}");
        assert!(sample.rgb.iter().all(|value| *value <= 200), "something of the person is left");

        // Everything covered: there is nothing to take but the average.
        let mut sample = plain(&[7]);
        let boxes = vec![person([0.0, 0.0, 4.0, 4.0], 1.0)];
        fill(&mut sample, &People::new(vec![PeopleFrame { time_s: 0.0, boxes }], 0.3), &Fill::Blur);
        assert_eq!(sample.rgb, [7; 48]);
    }

    #[test]
    fn fills_are_written_by_name() {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        struct Holder {
            fill: Fill,
        }
        let text = |fill| serde_json::to_string(&Holder { fill }).unwrap();
        assert_eq!(text(Fill::Median), r#"{"fill":"median"}"#);
        assert_eq!(text(Fill::Videos("stage/empty".into())), r#"{"fill":{"videos":"stage/empty"}}"#);
    }
}
