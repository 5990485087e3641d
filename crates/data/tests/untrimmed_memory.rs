//! A buffer far into a long video is read without what lies before it. Alone in its file, since it measures the whole
//! process.
#![cfg(target_os = "linux")]

use unscene_data::untrimmed::{
    ActionSegment, BufferSpec, Untrimmed, UntrimmedPart, UntrimmedVideo, buffer_augmentation, buffer_items, buffers,
};
use unscene_data::{ClipForm, Media, draw_clip};
use unscene_media::{EncodeOptions, Encoder};

/// Bytes that this process has read so far.
fn read_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn cutting_reads_the_header_and_reading_seeks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.mp4");
    let options = EncodeOptions { width: 64, height: 64, fps: 25, crf: 0, keyframe_every: 25 };
    let mut encoder = Encoder::create(&path, &options).unwrap();
    let mut noise = 1u32;
    for _ in 0..3000 {
        let mut byte = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        };
        let frame: Vec<u8> = (0..64 * 64 * 3).map(|_| byte()).collect();
        encoder.write(&frame).unwrap();
    }
    encoder.finish().unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size > 5_000_000, "{size}");

    let segments = vec![ActionSegment { label: 0, start_s: 100.0, end_s: 101.0 }];
    let (id, media) = ("long".into(), Some(Media::Video(path)));
    let video = UntrimmedVideo { id, media, duration_s: None, segments, ambiguous: vec![] };
    let part = UntrimmedPart { name: "train".into(), videos: vec![video], missing: vec![] };
    let mut untrimmed =
        Untrimmed { labels: vec!["Wave".into()], class_ids: vec![0], parts: vec![part], skipped: vec![] };
    let spec = BufferSpec { frames: 64, ..BufferSpec::default() };

    let before = read_bytes();
    let found = buffers(&mut untrimmed, "train", &spec, 0.0, false).unwrap();
    let cutting = read_bytes() - before;
    assert!(cutting < size / 10, "{cutting} of {size} bytes were read to learn a length");

    let items = buffer_items(&untrimmed.parts[0], &found.buffers, &spec).unwrap();
    let form = spec.form(ClipForm { height: 64, width: 64, short_side: 64, ..ClipForm::default() });
    let before = read_bytes();
    draw_clip(&items[0], &form, &buffer_augmentation().draw(1, 0, 0)).unwrap();
    let reading = read_bytes() - before;
    assert!(reading < size / 4, "{reading} of {size} bytes were read for a fiftieth of the video");
}
