//! What is not a video, is damaged, or is too large gives an error that says so, and opens no other file.

mod common;

use common::{bytes, fixture, fixture_bytes, open, read_all};
use unscene_media::{
    ClipReader, ClipSampling, DecodeOptions, Decoder, LimitKind, Limits, MediaError, Source, View, probe,
};

fn refused(source: &Source) -> MediaError {
    let error = probe(source, &Limits::default()).expect_err("must be refused");
    assert!(error.to_string().contains(&source.name()), "{error} does not name the file");
    let from_decoder = Decoder::open(source, &DecodeOptions::default()).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), from_decoder.to_string());
    error
}

#[test]
fn things_that_are_not_videos() {
    for source in [
        bytes("empty", ""),
        bytes("text", "The quick brown fox jumps over the lazy dog. ".repeat(100)),
        bytes("json", r#"{"a": 1}"#),
        bytes("zeros", vec![0; 100_000]),
        bytes("one byte", "x"),
        fixture("picture.png"),
        fixture("picture.jpg"),
        Source::Path(env!("CARGO_MANIFEST_DIR").into()),
    ] {
        let error = refused(&source);
        assert!(matches!(error, MediaError::NotAVideo { .. }), "{error:?}");
    }
}

#[test]
fn an_empty_file_on_disk() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = refused(&file.path().into());
    assert!(error.to_string().contains("empty"), "{error}");
}

#[test]
fn a_file_that_does_not_exist() {
    let error = refused(&fixture("nowhere.mp4"));
    assert!(matches!(error, MediaError::Io { .. }), "{error:?}");
}

/// The target is a good video beside the script, so only a refusal to open it explains the error.
#[test]
fn scripts_that_point_to_other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("target.ts"), fixture_bytes("h264.ts")).unwrap();
    let target = folder.path().join("target.ts").display().to_string();
    for (name, text) in [
        ("list.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.6,\n{target}\n#EXT-X-ENDLIST\n")),
        ("list.ffconcat", format!("ffconcat version 1.0\nfile '{target}'\n")),
        ("list.mp4", "ffconcat version 1.0\nfile target.ts\n".to_string()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, &text).unwrap();
        for source in [path.into(), bytes(name, text)] {
            let error = refused(&source);
            assert!(matches!(error, MediaError::NotAVideo { .. }), "{error:?}");
        }
    }
}

#[test]
fn sound_without_pictures() {
    let error = refused(&fixture("audio.mp4"));
    assert!(matches!(error, MediaError::NoVideoStream { .. }), "{error:?}");
}

#[test]
fn an_mp4_cut_before_its_index() {
    let mut data = fixture_bytes("h264.mp4");
    data.truncate(data.len() / 2);
    let error = refused(&bytes("cut.mp4", data));
    assert!(matches!(error, MediaError::Truncated { .. }), "{error:?}");
}

#[test]
fn a_cut_tail_gives_the_frames_before_it() {
    for file in ["faststart.mp4", "h264.mkv", "h264.ts", "mpeg4.avi", "mjpeg.avi", "vp9.webm", "av1.mkv"] {
        let whole = fixture_bytes(file);
        let cut = bytes(file, &whole[..whole.len() * 8 / 10]);
        let mut decoder = open(&cut, View::Full, 1).unwrap();
        let frames = read_all(&mut decoder).unwrap();
        // Matroska and MPEG-TS simply end, so that a cut cannot be told from an end.
        let counted = file.ends_with("mp4") || file.ends_with("avi");
        assert_eq!(decoder.errors() > 0, counted, "{file}: {} damaged packets", decoder.errors());
        assert!((1..40).contains(&frames.len()), "{file}: {} frames", frames.len());
        // The frame at the cut may be damaged, those before it are right.
        for (n, (number, _)) in frames.iter().enumerate().take(frames.len().saturating_sub(4)) {
            assert_eq!(*number as usize, n, "{file}");
        }
    }
}

#[test]
fn pictures_of_noise_are_an_error_not_an_empty_video() {
    let mut data = fixture_bytes("faststart.mp4");
    let start = data.windows(4).position(|w| w == b"mdat").unwrap() + 4;
    data[start..].fill(0xff);
    let mut decoder = open(&bytes("noise.mp4", data), View::Full, 1).unwrap();
    let error = read_all(&mut decoder).unwrap_err();
    assert!(matches!(error, MediaError::Corrupt { .. }), "{error:?}");
}

#[test]
fn damage_anywhere_never_panics() {
    for file in ["h264.mp4", "h264.mkv", "h264.ts", "mpeg4.avi", "mjpeg.mov", "vp9.webm", "av1.mp4", "hevc.mp4"] {
        let whole = fixture_bytes(file);
        for step in 0..40 {
            let mut data = whole.clone();
            let at = step * data.len() / 40;
            let end = (at + 7).min(data.len());
            data[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
            let Ok(mut decoder) = open(&bytes(file, data), View::Resize { width: 16, height: 16 }, 1) else {
                continue;
            };
            let mut rgb = vec![0; decoder.frame_bytes()];
            let mut last_s = -1.0;
            while let Ok(Some(time)) = decoder.next_frame(&mut rgb) {
                assert!(time.time_s > last_s, "{file}: time ran backwards");
                last_s = time.time_s;
            }
        }
    }
}

fn limited(limits: Limits) -> Result<Vec<(u32, unscene_media::FrameTime)>, MediaError> {
    let options = DecodeOptions { limits, threads: 1, ..DecodeOptions::default() };
    read_all(&mut Decoder::open(&fixture("h264.mp4"), &options)?)
}

fn assert_limit(error: MediaError, expected: LimitKind) {
    match error {
        MediaError::Limit { what, .. } => assert_eq!(what, expected),
        other => panic!("expected a limit on {expected:?}, found {other:?}"),
    }
}

#[test]
fn each_limit_is_kept_and_lets_through_what_just_fits() {
    let generous = Limits::default();
    let limits = Limits { max_pixels: 96 * 64, max_frames: 40, max_duration_s: 1.6 };
    assert_eq!(limited(limits).unwrap().len(), 40);
    assert_limit(limited(Limits { max_pixels: 96 * 64 - 1, ..generous }).unwrap_err(), LimitKind::Pixels);
    assert_limit(limited(Limits { max_frames: 39, ..generous }).unwrap_err(), LimitKind::Frames);
    assert_limit(limited(Limits { max_duration_s: 1.5, ..generous }).unwrap_err(), LimitKind::Duration);
}

#[test]
fn a_header_of_sixty_thousand_squared_is_refused_before_decoding() {
    let error = refused(&fixture("huge.mp4"));
    assert!(error.to_string().contains("60000 x 60000"), "{error}");
    assert_limit(error, LimitKind::Pixels);
}

#[test]
fn views_that_do_not_fit() {
    for view in [
        View::Resize { width: 0, height: 10 },
        View::Resize { width: 100_000, height: 10 },
        View::CenterCrop { short_side: 32, width: 33, height: 64 },
        View::CenterCrop { short_side: 0, width: 0, height: 0 },
    ] {
        let error = open(&fixture("h264.mp4"), view, 1).map(|_| ()).unwrap_err();
        assert!(matches!(error, MediaError::View { .. }), "{error:?}");
    }
    let mut decoder = open(&fixture("h264.mp4"), View::Full, 1).unwrap();
    assert!(matches!(decoder.next_frame(&mut [0; 10]), Err(MediaError::View { .. })));
}

#[test]
fn clips_of_nothing_are_refused() {
    for sampling in [
        ClipSampling { frames: 0, ..ClipSampling::default() },
        ClipSampling { stride_frames: 0, ..ClipSampling::default() },
        ClipSampling { fps: Some(0.0), ..ClipSampling::default() },
        ClipSampling { fps: Some(f64::NAN), ..ClipSampling::default() },
    ] {
        let decoder = open(&fixture("h264.mp4"), View::Full, 1).unwrap();
        assert!(ClipReader::new(decoder, sampling).is_err());
    }
}

/// What demuxers say of damage in such files are errors of the system.
#[test]
fn damage_is_told_from_errors_of_the_system() {
    let mut huge_sample = fixture_bytes("fragmented.mp4");
    let run = huge_sample.windows(4).position(|kind| kind == b"trun").unwrap();
    // Its size, after version and flags, count, offset and flags of the first sample.
    huge_sample[run + 20..run + 24].copy_from_slice(&0x7fff_fff0_u32.to_be_bytes());
    let mut no_packets = fixture_bytes("h264.ts");
    no_packets[13_614..].fill(0xa5);
    for (name, data) in [("huge sample", huge_sample), ("no packets", no_packets)] {
        let read = open(&bytes(name, data), View::Full, 1).and_then(|mut decoder| read_all(&mut decoder));
        assert!(!matches!(read, Err(MediaError::Io { .. } | MediaError::Ffmpeg { .. })), "{name}: {read:?}");
    }
}
