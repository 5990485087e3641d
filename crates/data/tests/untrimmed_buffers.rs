//! Buffers hold the frames of their place, whatever is drawn, and end with the last frame where the video does.

use std::path::{Path, PathBuf};

use unscene_data::untrimmed::{
    ActionSegment, BufferSpec, Untrimmed, UntrimmedPart, UntrimmedVideo, buffer_augmentation, buffer_items, buffers,
    measure,
};
use unscene_data::{ClipForm, Draw, Item, Loader, LoaderOptions, Media, Position, draw_clip};

/// Every picture of these videos carries its number: four by two blocks, white for 1, lowest bit at the top left.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video").join(name)
}

fn dataset(names: &[&str], segments: &[(f64, f64)]) -> Untrimmed {
    let segments: Vec<_> =
        segments.iter().map(|&(start_s, end_s)| ActionSegment { label: 0, start_s, end_s }).collect();
    let video = |name: &&str| UntrimmedVideo {
        id: name.to_string(),
        media: Some(Media::Video(fixture(name))),
        duration_s: None,
        segments: segments.clone(),
        ambiguous: vec![],
    };
    let part = UntrimmedPart { name: "train".into(), videos: names.iter().map(video).collect(), missing: vec![] };
    Untrimmed { labels: vec!["Wave".into()], class_ids: vec![0], parts: vec![part], skipped: vec![] }
}

/// The numbers in frames, from the left and the right 64 of their 96 columns.
fn numbers(left: &[u8], right: &[u8]) -> Vec<u32> {
    let bit = |rgb: &[u8], x: usize, y: usize| u32::from(rgb[(y * 64 + x) * 3 + 1] > 127);
    let row = |left: &[u8], right: &[u8], y: usize| {
        bit(left, 12, y) | bit(left, 36, y) << 1 | bit(right, 28, y) << 2 | bit(right, 52, y) << 3
    };
    let frames = left.chunks_exact(64 * 64 * 3).zip(right.chunks_exact(64 * 64 * 3));
    frames.map(|(left, right)| row(left, right, 16) | row(left, right, 48) << 4).collect()
}

/// The numbers of a buffer's frames, the same from every point of time that can be drawn.
fn shown(item: &Item, spec: &BufferSpec) -> Vec<u32> {
    let form = spec.form(ClipForm { height: 64, width: 64, short_side: 64, ..ClipForm::default() });
    let mut draws = [0.0, 0.3, 0.999_999].into_iter().map(|start| {
        let read = |position| {
            let sample = draw_clip(item, &form, &Draw { start, scale: 1.0, position, mirror: false }).unwrap();
            assert_eq!(sample.times_s.len(), spec.frames);
            sample.rgb
        };
        numbers(&read(Position::TopLeft), &read(Position::TopRight))
    });
    let first = draws.next().unwrap();
    for other in draws {
        assert_eq!(other, first, "{}", item.id);
    }
    first
}

#[test]
fn a_buffer_starts_where_it_starts_for_every_draw() {
    let names = ["h264.mp4", "hevc.mkv", "vp9.webm", "mpeg4.avi", "h264.ts"];
    // The fixtures have 40 frames at 25 per second.
    for (fps, frames, step) in [(25.0, 16, 4), (25.0, 7, 3), (12.5, 8, 2), (50.0, 32, 16), (10.0, 6, 1)] {
        let spec = BufferSpec { frames, fps, step_frames: Some(step), min_overlap: 0.1, min_frames: 0 };
        let mut untrimmed = dataset(&names, &[(0.0, 1.6)]);
        let found = buffers(&mut untrimmed, "train", &spec, 0.0, false).unwrap();
        let items = buffer_items(&untrimmed.parts[0], &found.buffers, &spec).unwrap();
        assert!(items.len() >= 4 * names.len(), "{}", items.len());
        for (item, buffer) in items.iter().zip(&found.buffers) {
            let on_screen = |k: usize| ((buffer.start_frame + k as u64) as f64 / fps * 25.0 + 1e-6) as u32;
            let expected: Vec<u32> = (0..frames).map(on_screen).collect();
            assert_eq!(shown(item, &spec), expected, "{} at {fps}", item.id);
        }
    }
}

#[test]
fn a_video_that_ends_within_a_buffer_stays_at_its_last_frame() {
    let spec = BufferSpec { frames: 64, ..BufferSpec::default() };
    for name in ["h264.mp4", "mpeg4.avi", "h264.ts"] {
        let mut untrimmed = dataset(&[name], &[(0.2, 1.0)]);
        let found = buffers(&mut untrimmed, "train", &spec, 0.0, false).unwrap();
        let [buffer] = &found.buffers[..] else { panic!("{:?}", found.buffers) };
        assert_eq!((buffer.start_frame, buffer.frames_in_video), (0, 40));
        assert_eq!((buffer.segments[0].start, buffer.segments[0].end), (5.0, 25.0));
        let [item] = &buffer_items(&untrimmed.parts[0], &found.buffers, &spec).unwrap()[..] else { panic!() };
        let expected: Vec<u32> = (0..64).map(|frame| frame.min(39)).collect();
        assert_eq!(shown(item, &spec), expected, "{name}");
    }
}

/// 4,000 frames are claimed in the first, 40 are there: whoever decoded the file would know.
#[test]
fn lengths_are_those_of_headers_where_annotations_say_more_or_nothing() {
    let mut untrimmed = dataset(&["overreport.avi", "h264.mp4", "audio.mp4", "none.mp4"], &[(0.0, 1.0)]);
    let part = &mut untrimmed.parts[0];
    let failures = measure(part);
    let failed: Vec<&str> = failures.iter().map(|failure| &*failure.id).collect();
    assert_eq!(failed, ["audio.mp4", "none.mp4"]);
    assert!(failures[0].reason.contains("no video stream"), "{failures:?}");
    assert_eq!(part.videos[0].duration_s, Some(160.0));
    assert!((part.videos[1].duration_s.unwrap() - 1.6).abs() < 1e-3);
    // Annotations that say less are believed, those that say more are not.
    (part.videos[0].duration_s, part.videos[1].duration_s) = (Some(90.0), Some(300.0));
    assert_eq!(measure(part), failures);
    assert_eq!(part.videos[0].duration_s, Some(90.0));
    assert!((part.videos[1].duration_s.unwrap() - 1.6).abs() < 1e-3);
}

/// What annotations say about a file that ends too early is past its end.
#[test]
fn an_action_after_the_end_of_a_file_is_named() {
    let mut untrimmed = dataset(&["h264.mp4"], &[(0.0, 1.0), (200.0, 205.0)]);
    untrimmed.parts[0].videos[0].duration_s = Some(300.0);
    let spec = BufferSpec { frames: 16, min_overlap: 0.1, ..BufferSpec::default() };
    let error = buffers(&mut untrimmed.clone(), "train", &spec, 0.0, false).unwrap_err().to_string();
    assert!(
        error.contains("h264.mp4: Wave: the segment 200 to 205 s is past the end of the video at 1.600 s"),
        "{error}"
    );
    let found = buffers(&mut untrimmed, "train", &spec, 0.0, true).unwrap();
    assert_eq!((found.skipped.len(), found.buffers.is_empty()), (1, false));
}

#[test]
fn pictures_are_videos_too() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..30 {
        std::fs::copy(fixture("picture.png"), folder.path().join(format!("image_{number:05}.png"))).unwrap();
    }
    let mut untrimmed = dataset(&["x"], &[(0.0, 1.0)]);
    untrimmed.parts[0].videos[0].media = Some(Media::Frames(folder.path().into()));
    let spec = BufferSpec { frames: 20, ..BufferSpec::default() };
    let found = buffers(&mut untrimmed, "train", &spec, 0.0, false).unwrap();
    assert_eq!(untrimmed.parts[0].videos[0].duration_s, Some(1.2));
    let starts: Vec<u64> = found.buffers.iter().map(|buffer| buffer.start_frame).collect();
    // 25 frames of action: 18 of them, forwards, and more, backwards.
    assert_eq!(starts, [0, 5]);
}

/// One draw is for all frames: the loader reads buffers as it reads clips, and says which each is.
#[test]
fn the_loader_reads_buffers_in_their_augmentation() {
    let spec = BufferSpec { frames: 16, step_frames: Some(4), min_overlap: 0.1, ..BufferSpec::default() };
    let mut untrimmed = dataset(&["h264.mp4", "vp9.webm"], &[(0.4, 1.2)]);
    let found = buffers(&mut untrimmed, "train", &spec, 0.0, false).unwrap();
    let items = buffer_items(&untrimmed.parts[0], &found.buffers, &spec).unwrap();
    let options = LoaderOptions {
        form: spec.form(ClipForm { height: 56, width: 56, short_side: 64, ..ClipForm::default() }),
        augmentation: buffer_augmentation(),
        batch: 2,
        workers: 2,
        ..LoaderOptions::default()
    };
    let loader = Loader::new(items.clone(), options.clone()).unwrap();
    let mut seen = vec![];
    for batch in loader.epoch(0, 0) {
        let batch = batch.unwrap();
        assert_eq!(batch.input.len(), batch.len() * 3 * 16 * 56 * 56);
        seen.extend(batch.items);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..items.len()).collect::<Vec<_>>());

    // 7/8 of the short side of 64, in a corner or the middle, at the same place in every frame.
    let mut places = std::collections::HashSet::new();
    for number in 0..60 {
        let draw = options.augmentation.draw(3, 0, number);
        let sample = draw_clip(&items[0], &options.form, &draw).unwrap();
        assert_eq!((sample.part.width, sample.part.height), (56, 56));
        places.insert((sample.part.x, sample.part.y, sample.mirror));
    }
    assert_eq!(places.len(), 10, "{places:?}");
}
