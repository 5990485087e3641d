//! Fixtures, and reading the frame number that each of their pictures carries.
#![allow(dead_code)]

use std::path::PathBuf;

use unscene_media::{DecodeOptions, Decoder, FrameTime, MediaError, Source, View};

/// A video of `tests/fixtures/video`; `tests/fixtures/make_videos.sh` makes them.
pub fn fixture(name: &str) -> Source {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video");
    Source::Path(folder.join(name))
}

/// The same video from memory.
pub fn fixture_bytes(name: &str) -> Vec<u8> {
    let Source::Path(path) = fixture(name) else { unreachable!("fixtures are files") };
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn bytes(name: &str, data: impl Into<Vec<u8>>) -> Source {
    Source::Bytes { name: name.into(), data: bytes::Bytes::from(data.into()) }
}

pub fn open(source: &Source, view: View, threads: usize) -> Result<Decoder, MediaError> {
    Decoder::open(source, &DecodeOptions { view, threads, ..DecodeOptions::default() })
}

/// Reads the number from a picture: four by two blocks, white for 1, lowest bit at the top left.
pub fn frame_number(rgb: &[u8], width: usize, height: usize) -> u32 {
    let mut number = 0;
    for bit in 0..8 {
        let x = (bit % 4) * width / 4 + width / 8;
        let y = (bit / 4) * height / 2 + height / 4;
        let green = rgb[(y * width + x) * 3 + 1];
        assert!(!(90..=165).contains(&green), "bit {bit} is neither black nor white: {green}");
        number |= u32::from(green > 127) << bit;
    }
    number
}

/// All frames: their numbers and times.
pub fn read_all(decoder: &mut Decoder) -> Result<Vec<(u32, FrameTime)>, MediaError> {
    let (width, height) = decoder.frame_size();
    let mut rgb = vec![0; decoder.frame_bytes()];
    let mut frames = Vec::new();
    while let Some(time) = decoder.next_frame(&mut rgb)? {
        frames.push((frame_number(&rgb, width as usize, height as usize), time));
    }
    Ok(frames)
}

pub fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// When frame `n` of the vfr fixtures is shown, in milliseconds.
pub fn vfr_ms(n: i64) -> i64 {
    n * 40 + (n % 2) * 20 + if n >= 20 { 200 } else { 0 }
}
