//! A detector's frames are the ones that were asked for, and its boxes are where their pixels are.

use std::path::{Path, PathBuf};

use unscene_data::Media;
use unscene_data::actors::{ActorPart, ActorVideo, FrameAugmentation, FrameLoader, FrameOptions};
use unscene_vision::{Normalization, Tube};

const SIZE: usize = 96;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video").join(name)
}

/// The blocks of a picture that carries its number, four by two of 24 x 32 pixels: one for each bit, lowest at the top left.
fn block(bit: usize) -> [f32; 4] {
    let (x, y) = ((bit % 4) as f32 * 24.0, (bit / 4) as f32 * 32.0);
    [x, y, x + 24.0, y + 32.0]
}

/// Videos of 40 numbered frames; each actor is the block of a bit.
fn part(names: &[&str], bits: &[usize]) -> ActorPart {
    let video = |name: &&str| ActorVideo {
        id: name.to_string(),
        media: Some(Media::Video(fixture(name))),
        frames: Some(40),
        size: Some((96, 64)),
        tubes: bits.iter().map(|&bit| Tube { label: bit, start_frame: 0, boxes: vec![block(bit); 40] }).collect(),
    };
    ActorPart { name: "train".into(), videos: names.iter().map(video).collect(), missing: vec![] }
}

fn options(augmentation: Option<FrameAugmentation>) -> FrameOptions {
    FrameOptions {
        size: SIZE,
        normalization: Normalization { mean: [127.0; 3], std: [1.0; 3], range: 255.0 },
        augmentation,
        per_video: 8,
        batch: 3,
        seed: 5,
        workers: 2,
        max_failed: 0.0,
    }
}

/// Whether the middle of a box is bright.
fn is_bright(input: &[f32], [x1, y1, x2, y2]: [f32; 4]) -> bool {
    let at = |a: f32, b: f32| (((a + b) / 2.0 * SIZE as f32) as usize).min(SIZE - 1);
    input[SIZE * SIZE + at(y1, y2) * SIZE + at(x1, x2)] > 0.0
}

/// The numbers that frames of an epoch carry in their blocks.
fn numbers(loader: &FrameLoader, blocks: usize) -> Vec<u32> {
    let mut numbers = vec![];
    for batch in loader.epoch(0, 0) {
        let batch = batch.unwrap();
        for (input, boxes) in batch.input.chunks(3 * SIZE * SIZE).zip(&batch.boxes) {
            assert_eq!(boxes.len(), blocks);
            numbers.push(boxes.iter().map(|one| u32::from(is_bright(input, one.corners)) << one.label).sum());
        }
    }
    numbers.sort_unstable();
    numbers
}

#[test]
fn frames_are_spread_over_the_video_and_whole() {
    let bits: Vec<usize> = (0..6).collect();
    // Of variable rate too, where times say little about numbers.
    for name in ["h264.mp4", "hevc.mkv", "vp9.webm", "mpeg4.avi", "vfr.mp4", "vfr.mkv"] {
        let loader = FrameLoader::new(&part(&[name], &bits), options(None)).unwrap();
        assert_eq!(loader.batches(), 3);
        // The middles of eight parts of 40.
        assert_eq!(numbers(&loader, 6), [2, 7, 12, 17, 22, 27, 32, 37], "{name}");
    }
}

/// Where a file begins again, its times are not those by which it can be searched.
#[test]
fn frames_of_files_glued_together_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let glued = folder.path().join("glued.ts");
    let once = std::fs::read(fixture("h264.ts")).unwrap();
    std::fs::write(&glued, once.repeat(3)).unwrap();
    let bits: Vec<usize> = (0..6).collect();
    let mut part = part(&["h264.ts"], &bits);
    let video = &mut part.videos[0];
    (video.media, video.frames) = (Some(Media::Video(glued)), Some(120));
    video.tubes.iter_mut().for_each(|tube| tube.start_frame = 40);
    let loader = FrameLoader::new(&part, options(None)).unwrap();
    // Twice: what was learned the first time is used the second.
    for _ in 0..2 {
        assert_eq!(numbers(&loader, 6), [2, 7, 12, 17, 22, 27, 32, 37]);
    }
}

/// Whatever part is seen, mirrored or not and put on a larger canvas, boxes whose bit is set are bright and others dark.
#[test]
fn boxes_are_where_their_pixels_are() {
    let bits: Vec<usize> = (0..8).collect();
    let augmentation = FrameAugmentation { colors: false, ..FrameAugmentation::default() };
    let loader = FrameLoader::new(&part(&["h264.mp4", "vp9.webm"], &bits), options(Some(augmentation))).unwrap();
    let (mut seen, mut fewer) = (0, 0);
    for epoch in 0..12 {
        for batch in loader.epoch(epoch, 0) {
            let batch = batch.unwrap();
            for (input, boxes) in batch.input.chunks(3 * SIZE * SIZE).zip(&batch.boxes) {
                fewer += usize::from(boxes.len() < 8);
                // Bits of one frame agree on its number: which frame it is follows from those that are seen.
                let is_set = |number: usize| {
                    boxes.iter().all(|one| {
                        // What is small after a canvas four times as large has no middle to speak of.
                        let [x1, y1, x2, y2] = one.corners;
                        let is_small = (x2 - x1).min(y2 - y1) * (SIZE as f32) < 4.0;
                        is_small || is_bright(input, one.corners) == (number >> one.label & 1 == 1)
                    })
                };
                assert!((0..40).any(is_set), "epoch {epoch}: {boxes:?}");
                seen += boxes.len();
            }
        }
    }
    assert!(seen > 500 && fewer > 40, "{seen} {fewer}");
}

#[test]
fn the_same_seed_gives_the_same_frames_wherever_it_begins() {
    let loader = |workers| {
        let options = FrameOptions { workers, ..options(Some(FrameAugmentation::default())) };
        FrameLoader::new(&part(&["h264.mp4", "mpeg4.avi"], &[0, 3]), options).unwrap()
    };
    let whole: Vec<_> = loader(1).epoch(2, 0).map(Result::unwrap).collect();
    let again: Vec<_> = loader(3).epoch(2, 0).map(Result::unwrap).collect();
    let rest: Vec<_> = loader(2).epoch(2, 4).map(Result::unwrap).collect();
    assert_eq!(whole.len(), 6);
    assert!(whole == again && whole[4..] == rest[..]);
    assert!(whole != loader(1).epoch(3, 0).map(Result::unwrap).collect::<Vec<_>>());
    let spread = |batches: &[unscene_data::actors::FrameBatch]| {
        batches.iter().flat_map(|batch| &batch.input).any(|value| *value != -127.0 && *value != 128.0)
    };
    assert!(spread(&whole));
}

#[test]
fn what_cannot_be_read_is_named() {
    let mut broken = part(&["h264.mp4", "none.mp4"], &[1]);
    let loader = FrameLoader::new(&broken, FrameOptions { max_failed: 0.5, ..options(None) }).unwrap();
    let mut epoch = loader.epoch(0, 0);
    let frames: usize = epoch.by_ref().map(|batch| batch.unwrap().boxes.len()).sum();
    let failures = epoch.take_failures();
    assert_eq!((frames, failures.len(), &*failures[0].id), (8, 8, "none.mp4"));
    let error =
        FrameLoader::new(&broken, options(None)).unwrap().epoch(0, 0).find_map(Result::err).unwrap().to_string();
    assert!(error.contains("of 16 videos could not be used"), "{error}");
    // A tube that goes on after the video.
    broken.videos.truncate(1);
    broken.videos[0].tubes[0] = Tube { label: 0, start_frame: 60, boxes: vec![block(0)] };
    let error =
        FrameLoader::new(&broken, options(None)).unwrap().epoch(0, 0).find_map(Result::err).unwrap().to_string();
    assert!(error.contains("h264.mp4: it ends after 40 frames, but there are actors in frame 60"), "{error}");
    // Of another size than its boxes; and of a size that nobody said, with a box that is not in it.
    broken.videos[0].tubes[0] = Tube { label: 0, start_frame: 0, boxes: vec![[90.0, 0.0, 99.0, 9.0]] };
    for (size, expected) in [
        (Some((192, 128)), "its frames are 96 x 64, but its boxes are of frames of 192 x 128"),
        (None, "found the box [90.0, 0.0, 99.0, 9.0], expected sides within 96 x 64"),
    ] {
        broken.videos[0].size = size;
        let loader = FrameLoader::new(&broken, options(None)).unwrap();
        let error = loader.epoch(0, 0).find_map(Result::err).unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    broken.videos[0].tubes.clear();
    let error = FrameLoader::new(&broken, options(None)).err().unwrap().to_string();
    assert!(error.contains("no video with an actor is there, of 1"), "{error}");
}
