//! Videos that come through a pipe while they are decoded.

mod common;

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, mpsc};
use std::thread;

use common::{fixture, fixture_bytes, open, read_all};
use unscene_media::{MediaError, Source, View};

/// A pipe, and the end at which it is filled.
fn pipe() -> (Source, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    let reader = File::from(std::os::fd::OwnedFd::from(reader));
    (Source::File { name: "the pipe".into(), file: Arc::new(reader) }, std::os::fd::OwnedFd::from(writer).into())
}

/// A pipe that gets these bytes, some at a time.
fn coming(bytes: Vec<u8>) -> Source {
    let (source, mut writer) = pipe();
    // Who reads may have had enough.
    thread::spawn(move || bytes.chunks(100).try_for_each(|some| writer.write_all(some)));
    source
}

#[test]
fn a_video_that_comes_gives_the_frames_of_its_file() {
    for file in ["fragmented.mp4", "h264.ts", "hevc.ts", "vp9.webm", "vp8.webm", "h264.mkv", "faststart.mp4"] {
        let read = |source: &Source| {
            let mut decoder = open(source, View::Full, 1).unwrap_or_else(|error| panic!("{file}: {error}"));
            let frames = read_all(&mut decoder).unwrap();
            (decoder.info().clone(), frames, decoder.errors())
        };
        let (whole, coming) = (read(&fixture(file)), read(&coming(fixture_bytes(file))));
        assert_eq!(whole.1, coming.1, "{file}");
        assert_eq!((whole.0.width, whole.0.height, &whole.0.codec), (coming.0.width, coming.0.height, &coming.0.codec));
        assert_eq!(coming.2, 0, "{file}");
    }
}

#[test]
fn a_frame_is_given_before_the_video_has_ended() {
    let bytes = fixture_bytes("h264.ts");
    let (source, mut writer) = pipe();
    let (most, rest) = bytes.split_at(bytes.len() * 3 / 4);
    writer.write_all(most).unwrap();
    let (first, given) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut decoder = open(&source, View::Full, 1).unwrap();
        let mut rgb = vec![0; decoder.frame_bytes()];
        let mut frames = 0;
        while decoder.next_frame(&mut rgb).unwrap().is_some() {
            frames += 1;
            let _heard_before = first.send(());
        }
        frames
    });
    given.recv().expect("a frame");
    writer.write_all(rest).unwrap();
    drop(writer);
    assert_eq!(reader.join().unwrap(), 40);
}

#[test]
fn what_is_no_video_is_refused() {
    for bytes in [b"words and words ".repeat(100), vec![]] {
        let error = open(&coming(bytes), View::Full, 1).err();
        assert!(matches!(error, Some(MediaError::NotAVideo { .. })), "{error:?}");
    }
}
