//! Clips hold the frames they should, are the same whoever reads them, and failures are named.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use unscene_data::{
    Augmentation, Batch, ClipForm, DataError, Draw, Item, Loader, LoaderOptions, Media, Position, Span, Views,
    draw_clip, test_clips,
};

/// Every picture of these videos carries its number: four by two blocks, white for 1, lowest bit at the top left.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video").join(name)
}

fn item(name: &str) -> Item {
    Item { id: name.into(), media: Media::Video(fixture(name)), span: Span::Whole, label: 0 }
}

fn between(name: &str, start_s: f64, end_s: f64) -> Item {
    Item { span: Span::Between { start_s, end_s }, ..item(name) }
}

/// The whole picture of 96 x 64, at its own size.
fn form(frames: usize, fps: Option<f64>) -> ClipForm {
    ClipForm { frames, height: 64, width: 64, short_side: 64, fps, ..ClipForm::default() }
}

fn draw(start: f64, scale: f64, position: Position, mirror: bool) -> Draw {
    Draw { start, scale, position, mirror }
}

/// The numbers in pictures of which the columns `bits` (0 to 3) are shown, each `64 / bits` wide; others count as 0.
fn numbers(rgb: &[u8], columns: &[u32]) -> Vec<u32> {
    let (side, width) = (64, 64 / columns.len());
    rgb.chunks_exact(side * side * 3)
        .map(|frame| {
            let mut number = 0;
            for (at, column) in columns.iter().enumerate() {
                for row in 0..2 {
                    let (x, y) = (at * width + width / 2, row * 32 + 16);
                    let white = frame[(y * side + x) * 3 + 1] > 127;
                    number |= u32::from(white) << (column + 4 * row as u32);
                }
            }
            number
        })
        .collect()
}

/// The left 64 of 96 columns: bits 0, 1, half of 2 ... of which 24 columns each belong to bits 0 and 1.
fn low_bits(rgb: &[u8]) -> Vec<u32> {
    rgb.chunks_exact(64 * 64 * 3)
        .map(|frame| {
            let bit = |x: usize, y: usize| u32::from(frame[(y * 64 + x) * 3 + 1] > 127);
            bit(12, 16) | bit(36, 16) << 1 | bit(56, 16) << 2 | bit(12, 48) << 4 | bit(36, 48) << 5
        })
        .collect()
}

/// What [`low_bits`] sees of a frame's number; bit 3 is out of the picture.
fn seen(frames: impl IntoIterator<Item = u32>) -> Vec<u32> {
    frames.into_iter().map(|frame| frame & 0b110111).collect()
}

#[test]
fn a_clip_may_start_at_any_frame_that_leaves_room() {
    for file in ["h264.mp4", "hevc.mkv", "vp9.webm", "mpeg4.avi", "h264.ts", "start.mkv"] {
        for (start, first) in [(0.0, 0), (0.5, 12), (0.9999, 24), (0.3, 7)] {
            let draw = draw(start, 1.0, Position::TopLeft, false);
            let sample = draw_clip(&item(file), &form(16, None), &draw).unwrap();
            assert_eq!(low_bits(&sample.rgb), seen(first..first + 16), "{file} from {start}");
            assert!((sample.times_s[15] - f64::from(first + 15) * 0.04).abs() < 1e-3, "{file}");
        }
    }
}

#[test]
fn frames_are_taken_by_time_when_a_rate_is_asked_for() {
    // At 12.5 per second every second frame of 25; with variable rate, the one on screen.
    let draw = draw(0.0, 1.0, Position::TopLeft, false);
    let sample = draw_clip(&item("h264.mp4"), &form(16, Some(12.5)), &draw).unwrap();
    assert_eq!(low_bits(&sample.rgb), seen((0..16).map(|n| n * 2)));
    let sample = draw_clip(&item("vfr.mp4"), &form(4, Some(5.0)), &draw).unwrap();
    // Frame n is shown at 40 n ms, odd ones 20 ms later: at 0, 200, 400 and 600 ms those are 0, 4, 10 and 14.
    assert_eq!(low_bits(&sample.rgb), seen([0, 4, 10, 14]));
}

#[test]
fn a_span_bounds_the_clip() {
    for start in [0.0, 0.4, 0.99] {
        let draw = draw(start, 1.0, Position::TopLeft, false);
        let sample = draw_clip(&between("h264.mp4", 0.4, 0.8), &form(8, None), &draw).unwrap();
        assert!(sample.times_s[0] >= 0.4 - 1e-6 && sample.times_s[7] < 0.8, "{:?}", sample.times_s);
    }
    // Frames 10 to 14, over and over.
    let zero = draw(0.7, 1.0, Position::TopLeft, false);
    let sample = draw_clip(&between("h264.mp4", 0.4, 0.6), &form(8, None), &zero).unwrap();
    assert_eq!(low_bits(&sample.rgb), seen([10, 11, 12, 13, 14, 10, 11, 12]));
    let error = draw_clip(&between("h264.mp4", 7.0, 8.0), &form(8, None), &zero).unwrap_err().to_string();
    assert!(error.contains("h264.mp4") && error.contains("no frame from 7.000 s to 8.000 s"), "{error}");
    // A file that is shorter than the span was cut to it already.
    let cut = Item { span: Span::BetweenUnlessCut { start_s: 100.0, end_s: 110.0 }, ..item("h264.mp4") };
    assert_eq!(
        low_bits(&draw_clip(&cut, &form(16, None), &draw(0.0, 1.0, Position::TopLeft, false)).unwrap().rgb),
        seen(0..16)
    );
}

#[test]
fn a_header_that_claims_too_much_is_not_believed() {
    // 4,000 frames are claimed, 40 are there.
    for start in [0.0, 0.2, 0.9999] {
        let draw = draw(start, 1.0, Position::TopLeft, false);
        let sample = draw_clip(&item("overreport.avi"), &form(16, None), &draw).unwrap();
        let first = (start * 25.0) as u32;
        assert_eq!(low_bits(&sample.rgb), seen(first..first + 16), "{start}");
    }
}

#[test]
fn parts_and_mirrors_are_cut_as_drawn() {
    let at = |position, mirror| {
        let sample = draw_clip(&item("h264.mp4"), &form(16, None), &draw(0.0, 1.0, position, mirror)).unwrap();
        (sample.part.x, sample.part.y, low_bits(&sample.rgb), sample.rgb)
    };
    let (x, y, right, rgb) = at(Position::TopRight, false);
    assert_eq!((x, y), (32, 0));
    let (_, _, mirrored, mirrored_rgb) = at(Position::TopRight, true);
    assert_ne!(right, mirrored);
    for (row, mirrored) in rgb.chunks(64 * 3).zip(mirrored_rgb.chunks(64 * 3)) {
        assert!(row.chunks(3).eq(mirrored.chunks(3).rev()));
    }
    // A corner of half the size shows one block: bits 0, 3, 4 and 7.
    for (position, bit) in
        [(Position::TopLeft, 0), (Position::TopRight, 3), (Position::BottomLeft, 4), (Position::BottomRight, 7)]
    {
        let sample = draw_clip(&item("h264.mp4"), &form(16, None), &draw(0.0, 0.35, position, false)).unwrap();
        let found: Vec<u32> =
            sample.rgb.chunks(64 * 64 * 3).map(|frame| u32::from(frame[(32 * 64 + 32) * 3] > 127)).collect();
        assert_eq!(found, (0..16).map(|n| n >> bit & 1).collect::<Vec<_>>(), "{position:?}");
    }
    assert_eq!(numbers(&[255; 64 * 64 * 3], &[0, 1, 2, 3]), [255]);
}

#[test]
fn test_clips_are_side_by_side_in_the_middle() {
    let mut clips = vec![];
    test_clips(&item("h264.mp4"), &form(16, None), Views::Paper, &mut |sample| {
        clips.push((sample.times_s[0], sample.part));
        true
    })
    .unwrap();
    let starts: Vec<i64> = clips.iter().map(|(start_s, _)| (start_s * 1000.0).round() as i64).collect();
    assert_eq!(starts, [0, 640, 1280]);
    assert!(clips.iter().all(|(_, part)| (part.x, part.y, part.width, part.height) == (16, 0, 64, 64)));
}

#[test]
fn ten_clips_are_spread_over_a_video_and_cut_three_times() {
    let read = |item: &Item, frames: usize| {
        let mut clips = vec![];
        let read = test_clips(item, &form(frames, None), Views::TenByThree, &mut |sample| {
            clips.push(sample);
            true
        });
        read.map(|()| clips).unwrap()
    };
    // The first clip begins with the first, the last ends with the last, and the others lie evenly between.
    for name in ["h264.mp4", "vp9.mp4", "overreport.avi"] {
        let clips = read(&item(name), 16);
        assert_eq!(clips.len(), 30, "{name}");
        let corners: Vec<u32> = clips[..3].iter().map(|clip| clip.part.x).collect();
        assert_eq!(corners, [0, 16, 32]);
        // The left crop has bits 0 and 1 of the upper row whole, the right one 2 and 3.
        let whole = |at: usize| -> Vec<u32> {
            let bit = |rgb: &[u8], x: usize, y: usize| u32::from(rgb[(y * 64 + x) * 3 + 1] > 127);
            let (left, right) = (&clips[at * 3].rgb, &clips[at * 3 + 2].rgb);
            let frames = left.chunks_exact(64 * 64 * 3).zip(right.chunks_exact(64 * 64 * 3));
            let number = |(left, right): (&[u8], &[u8])| {
                let row = |y: usize, low: u32| {
                    let upper = bit(right, 28, y) << 2 | bit(right, 52, y) << 3;
                    (bit(left, 12, y) | bit(left, 36, y) << 1 | upper) << low
                };
                row(16, 0) | row(48, 4)
            };
            frames.map(number).collect()
        };
        let frames = read_frames(name);
        for at in 0..10 {
            let numbers = whole(at);
            assert_eq!(numbers, (numbers[0]..numbers[0] + 16).collect::<Vec<_>>(), "{name}: clip {at}");
        }
        let firsts: Vec<u32> = (0..10).map(|at| whole(at)[0]).collect();
        assert_eq!((firsts[0], firsts[9]), (0, frames - 16), "{name}: {firsts:?}");
        assert!(
            firsts.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff((frames - 16) / 9) <= 1),
            "{name}: {firsts:?}"
        );
    }
    // No longer than a clip: one, which is repeated.
    assert_eq!(read(&between("h264.mp4", 0.0, 0.4), 16).len(), 3);
}

/// How many frames a fixture really has.
fn read_frames(name: &str) -> u32 {
    let mut frames = 0;
    let form = form(1, None);
    test_clips(&item(name), &form, Views::Paper, &mut |_| {
        frames += 1;
        true
    })
    .unwrap();
    frames
}

#[test]
fn views_have_names() {
    for (name, views) in Views::ALL {
        assert_eq!((name.parse::<Views>().unwrap(), views.to_string().as_str()), (views, name));
    }
    assert!("30".parse::<Views>().unwrap_err().to_string().contains("expected paper or 10x3"));
}

fn items() -> Vec<Item> {
    let files = [
        "h264.mp4",
        "hevc.mp4",
        "vp9.mp4",
        "mpeg4.avi",
        "mjpeg.mov",
        "av1.mkv",
        "h264.ts",
        "vfr.mkv",
        "start.mkv",
        "h264.mkv",
        "overreport.avi",
    ];
    files.iter().enumerate().map(|(label, file)| Item { label, ..item(file) }).collect()
}

fn options(workers: usize, batch: usize) -> LoaderOptions {
    LoaderOptions { form: form(8, None), batch, seed: 5, workers, ..LoaderOptions::default() }
}

fn epoch(loader: &Loader, epoch: u64, first_batch: usize) -> Vec<Batch> {
    loader.epoch(epoch, first_batch).collect::<Result<_, _>>().unwrap()
}

#[test]
fn workers_do_not_change_an_epoch_and_it_can_be_entered_anywhere() {
    let alone = Loader::new(items(), options(1, 4)).unwrap();
    let first = epoch(&alone, 0, 0);
    assert_eq!(first.iter().map(Batch::len).collect::<Vec<_>>(), [4, 4, 3]);
    assert_eq!(first[0].input.len(), 4 * 3 * 8 * 64 * 64);
    let seen: HashSet<usize> = first.iter().flat_map(|batch| batch.items.clone()).collect();
    assert_eq!(seen.len(), 11);
    for batch in &first {
        assert_eq!(batch.items, batch.labels);
    }
    let three = Loader::new(items(), options(3, 4)).unwrap();
    assert_eq!(epoch(&three, 0, 0), first);
    assert_eq!(epoch(&three, 0, 1), first[1..]);
    assert_eq!(epoch(&three, 0, 9), []);
    assert_ne!(epoch(&three, 1, 0), first);
    let other = Loader::new(items(), LoaderOptions { seed: 6, ..options(2, 4) }).unwrap();
    assert_ne!(epoch(&other, 0, 0), first);
}

#[test]
fn failures_are_named_and_too_many_end_the_epoch() {
    let mut with_bad = items();
    with_bad.push(item("audio.mp4"));
    let loader = Loader::new(with_bad.clone(), LoaderOptions { max_failed: 0.1, ..options(2, 4) }).unwrap();
    let mut read = loader.epoch(0, 0);
    let clips: usize = read.by_ref().map(|batch| batch.unwrap().len()).sum();
    assert_eq!(clips, 11);
    assert_eq!(read.failures().len(), 1);
    assert_eq!(read.failures()[0].id, "audio.mp4");
    assert!(read.failures()[0].reason.contains("no video stream"), "{:?}", read.failures());
    assert_eq!((read.take_failures().len(), read.take_failures().len()), (1, 0), "taken once");

    // A batch in which everything fails is empty, and those after it are what they would be.
    let alone = Loader::new(with_bad.clone(), LoaderOptions { max_failed: 0.1, ..options(2, 1) }).unwrap();
    let lengths: Vec<usize> = epoch(&alone, 0, 0).iter().map(Batch::len).collect();
    let at = lengths.iter().position(|length| *length == 0).unwrap();
    assert_eq!((lengths.len(), lengths.iter().sum::<usize>()), (12, 11));
    assert_eq!(epoch(&alone, 0, at + 1), epoch(&alone, 0, 0)[at + 1..]);

    let strict = Loader::new(with_bad, options(2, 4)).unwrap();
    let errors: Vec<DataError> = strict.epoch(0, 0).filter_map(Result::err).collect();
    let [error] = &errors[..] else { panic!("{errors:?}") };
    let text = error.to_string();
    assert!(text.contains("1 of 12 videos") && text.contains("5.0 %") && text.contains("audio.mp4"), "{text}");
}

#[test]
fn a_panic_while_reading_is_a_failure_of_that_video() {
    let change = |item: &Item, _: &mut unscene_data::Sample| {
        assert!(!item.id.starts_with("hevc"), "this one");
        Ok(())
    };
    let options = LoaderOptions { change: Some(Arc::new(change)), max_failed: 0.5, ..options(2, 4) };
    let loader = Loader::new(items(), options).unwrap();
    let mut read = loader.epoch(0, 0);
    assert_eq!(read.by_ref().map(|batch| batch.unwrap().len()).sum::<usize>(), 10);
    assert!(read.failures()[0].reason.contains("this one"), "{:?}", read.failures());
}

#[test]
fn reading_ahead_is_bounded_and_stops_when_it_is_not_wanted() {
    static READ: AtomicUsize = AtomicUsize::new(0);
    let many: Vec<Item> = items().into_iter().cycle().take(200).collect();
    let change = |_: &Item, _: &mut unscene_data::Sample| {
        READ.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let options = LoaderOptions { change: Some(Arc::new(change)), prefetch: 2, ..options(2, 5) };
    let loader = Loader::new(many, options).unwrap();
    let mut read = loader.epoch(0, 0);
    for _ in 0..3 {
        assert_eq!(read.next().unwrap().unwrap().len(), 5);
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let ahead = READ.load(Ordering::SeqCst);
    assert!((15..=25).contains(&ahead), "{ahead} clips were read for 15");
    drop(read);
    let then = READ.load(Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(READ.load(Ordering::SeqCst), then, "the workers went on");
}

#[test]
fn all_test_clips_come_whatever_fails() {
    let mut with_bad = items();
    with_bad.insert(3, item("audio.mp4"));
    let loader = Loader::new(with_bad, LoaderOptions { form: form(16, None), ..options(2, 4) }).unwrap();
    let (mut clips, mut failed) = (vec![0; 12], vec![]);
    for clip in loader.test() {
        match clip {
            Ok(clip) => {
                assert_eq!(clip.number, clips[clip.item], "clips of an item come in order");
                assert_eq!(clip.input.len(), 3 * 16 * 64 * 64);
                clips[clip.item] += 1;
            }
            Err((item, error)) => failed.push((item, error.to_string())),
        }
    }
    assert_eq!(clips, [3, 3, 3, 0, 3, 3, 3, 3, 3, 3, 3, 3]);
    assert!(failed.len() == 1 && failed[0].0 == 3 && failed[0].1.contains("audio.mp4"), "{failed:?}");
    drop(loader.test().take(2));
}

#[test]
fn impossible_settings_are_refused() {
    let bad = [
        LoaderOptions { batch: 0, ..options(1, 1) },
        LoaderOptions { form: form(0, None), ..options(1, 1) },
        LoaderOptions { form: ClipForm { short_side: 63, ..form(8, None) }, ..options(1, 1) },
        LoaderOptions { form: form(8, Some(0.0)), ..options(1, 1) },
        LoaderOptions { augmentation: Augmentation { flip: 2.0, ..Augmentation::none() }, ..options(1, 1) },
    ];
    for (bad, named) in bad.into_iter().zip(["batch", "clip", "clip", "fps", "flip"]) {
        let error = Loader::new(items(), bad).err().unwrap().to_string();
        assert!(error.starts_with(named), "{error}");
    }
}

/// Whoever stops listening does not wait for the rest of the videos.
#[test]
fn test_clips_that_are_not_wanted_are_not_read() {
    static READ: AtomicUsize = AtomicUsize::new(0);
    let many: Vec<Item> = items().into_iter().cycle().take(300).collect();
    let change = |_: &Item, _: &mut unscene_data::Sample| {
        READ.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let options = LoaderOptions { change: Some(Arc::new(change)), prefetch: 1, ..options(2, 4) };
    let loader = Loader::new(many, options).unwrap();
    assert_eq!(loader.test().take(3).count(), 3);
    let read = READ.load(Ordering::SeqCst);
    assert!(read <= 16, "{read} clips were read for 3");
}
