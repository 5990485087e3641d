//! Masking meets the frames and the crop that the network sees, whatever was drawn.

use std::path::Path;

use unscene_data::{
    Augmentation, ClipForm, Fill, Item, Media, People, PeopleFrame, PersonBox, Span, draw_clip, mask_people,
};
use unscene_media::{EncodeOptions, Encoder};

const WIDTH: u32 = 96;
const HEIGHT: u32 = 64;

/// Where the bright person is in a frame: walks right and down.
fn corners(frame: u32) -> [u32; 4] {
    let (x, y) = (4 + frame * 2, 6 + frame);
    [x, y, x + 14, y + 20]
}

fn video(path: &Path, frames: u32) -> Item {
    let options = EncodeOptions { width: WIDTH, height: HEIGHT, fps: 25, crf: 8, keyframe_every: 12 };
    let mut encoder = Encoder::create(path, &options).unwrap();
    for frame in 0..frames {
        let [x1, y1, x2, y2] = corners(frame);
        let is_person = |x: u32, y: u32| (x1..x2).contains(&x) && (y1..y2).contains(&y);
        let pixels =
            (0..WIDTH * HEIGHT).flat_map(|at| if is_person(at % WIDTH, at / WIDTH) { [240; 3] } else { [40, 60, 40] });
        encoder.write(&pixels.collect::<Vec<u8>>()).unwrap();
    }
    encoder.finish().unwrap();
    Item { id: "walk".into(), media: Media::Video(path.into()), span: Span::Whole, label: 0 }
}

/// What a detector would say that looked at every second frame and left a margin of two pixels.
fn people(frames: u32, every: usize) -> People {
    let frame = |number: u32| {
        let [x1, y1, x2, y2] = corners(number).map(|side| side as f32);
        // The person walks on until the next look.
        let (right, down) = (2.0 * (every as f32 - 1.0), every as f32 - 1.0);
        let corners = [x1 - 2.0, y1 - 2.0, x2 + right + 2.0, y2 + down + 2.0];
        PeopleFrame { time_s: f64::from(number) / 25.0, boxes: vec![PersonBox { corners, score: 0.9 }] }
    };
    People::new((0..frames).step_by(every).map(frame).collect(), 0.3)
}

fn brightest(rgb: &[u8]) -> u8 {
    rgb.iter().copied().max().unwrap_or(0)
}

#[test]
fn nobody_is_left_in_any_clip_and_the_rest_is_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let item = video(&folder.path().join("walk.mp4"), 30);
    let form = ClipForm { frames: 8, height: 40, width: 56, short_side: 56, ..ClipForm::default() };
    let augmentation = Augmentation::default();
    let mut seen = 0;
    for (every, number) in (0..60).map(|number| (1 + number as usize % 4, number)) {
        let draw = augmentation.draw(3, 0, number);
        let sample = draw_clip(&item, &form, &draw).unwrap();
        seen += usize::from(brightest(&sample.rgb) > 200);
        let mut masked = sample.clone();
        mask_people(&mut masked, &people(30, every), &item, &form, &Fill::Mean).unwrap();
        assert!(brightest(&masked.rgb) < 160, "{draw:?}, every {every}: {}", brightest(&masked.rgb));

        // Each frame has one fill, and what is not filled is as it was.
        let frame_bytes = form.width * form.height * 3;
        for (before, after) in sample.rgb.chunks(frame_bytes).zip(masked.rgb.chunks(frame_bytes)) {
            let changed = before.chunks(3).zip(after.chunks(3)).filter(|(before, after)| before != after);
            let fills: std::collections::HashSet<&[u8]> = changed.map(|(_, after)| after).collect();
            assert!(fills.len() <= 1, "{draw:?}: {fills:?}");
        }
    }
    assert!(seen > 30, "the person was in only {seen} of 60 clips");
}

/// The boxes of other frames would not do: the test can fail.
#[test]
fn boxes_at_the_wrong_time_leave_somebody() {
    let folder = tempfile::tempdir().unwrap();
    let item = video(&folder.path().join("walk.mp4"), 30);
    let form = ClipForm { frames: 8, height: 56, width: 56, short_side: 56, ..ClipForm::default() };
    let mut sample = draw_clip(&item, &form, &Augmentation::none().draw(1, 0, 0)).unwrap();
    for time_s in &mut sample.times_s {
        *time_s -= 0.4;
    }
    mask_people(&mut sample, &people(30, 1), &item, &form, &Fill::Mean).unwrap();
    assert!(brightest(&sample.rgb) > 200);
}

#[test]
fn the_video_without_people_fills_with_what_is_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let item = video(&folder.path().join("walk.mp4"), 30);
    let form = ClipForm { frames: 8, height: 40, width: 56, short_side: 56, fps: Some(12.5), ..ClipForm::default() };
    // The same place without the person, getting brighter: every frame can be told by its colour.
    let beside = folder.path().join("empty");
    std::fs::create_dir(&beside).unwrap();
    let options = EncodeOptions { width: WIDTH, height: HEIGHT, fps: 25, crf: 8, keyframe_every: 12 };
    let mut encoder = Encoder::create(&beside.join("walk.mp4"), &options).unwrap();
    (0..30).for_each(|frame| encoder.write(&[60 + 4 * frame; (WIDTH * HEIGHT * 3) as usize]).unwrap());
    encoder.finish().unwrap();

    let fill = Fill::Videos(beside.clone());
    let augmentation = Augmentation::default();
    let mut filled = 0;
    for number in 0..30 {
        let sample = draw_clip(&item, &form, &augmentation.draw(3, 0, number)).unwrap();
        let mut masked = sample.clone();
        mask_people(&mut masked, &people(30, 1), &item, &form, &fill).unwrap();
        let frames = sample.rgb.chunks(56 * 40 * 3).zip(masked.rgb.chunks(56 * 40 * 3)).zip(&sample.times_s);
        for ((before, after), time_s) in frames {
            // The frame that is shown at that time; nearer than half a step to it is no other.
            let expected = 60.0 + 4.0 * (time_s * 25.0 + 0.005).floor();
            for (_, after) in before.chunks(3).zip(after.chunks(3)).filter(|(before, after)| before != after) {
                assert!((f64::from(after[0]) - expected).abs() < 2.0, "{time_s} s: {after:?}, expected {expected}");
                filled += 1;
            }
        }
    }
    assert!(filled > 1000, "{filled}");

    let nowhere = Fill::Videos(folder.path().join("nowhere"));
    let mut sample = draw_clip(&item, &form, &Augmentation::none().draw(1, 0, 0)).unwrap();
    let error = mask_people(&mut sample, &people(30, 1), &item, &form, &nowhere).unwrap_err().to_string();
    assert!(error.contains("nowhere/walk.mp4") && error.contains("--empty"), "{error}");
}
