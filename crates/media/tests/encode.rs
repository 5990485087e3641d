//! What is encoded comes back.

use unscene_media::{DecodeOptions, Decoder, EncodeOptions, Encoder, FrameTime, MediaError, Source};

const OPTIONS: EncodeOptions = EncodeOptions { width: 48, height: 32, fps: 12, crf: 10, keyframe_every: 12 };

/// A grey that tells frames apart.
fn frame(index: usize) -> Vec<u8> {
    vec![20 + 7 * index as u8; 48 * 32 * 3]
}

fn encode(path: &std::path::Path, frames: usize) {
    let mut encoder = Encoder::create(path, &OPTIONS).unwrap();
    for index in 0..frames {
        encoder.write(&frame(index)).unwrap();
    }
    encoder.finish().unwrap();
}

#[test]
fn frames_come_back_in_order_at_their_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    encode(&path, 30);
    let mut decoder = Decoder::open(&Source::Path(path), &DecodeOptions::default()).unwrap();
    assert_eq!(decoder.frame_size(), (48, 32));
    assert_eq!(decoder.info().fps, 12.0);
    let mut rgb = vec![0; decoder.frame_bytes()];
    for index in 0..30 {
        let time = decoder.next_frame(&mut rgb).unwrap().unwrap();
        assert!((time.time_s - index as f64 / 12.0).abs() < 1e-3, "frame {index} at {}", time.time_s);
        for (found, expected) in rgb.iter().zip(frame(index)) {
            assert!(found.abs_diff(expected) <= 3, "frame {index}: {found}, expected {expected}");
        }
    }
    assert!(decoder.next_frame(&mut rgb).unwrap().is_none());
}

#[test]
fn what_cannot_be_encoded_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = Encoder::create(&folder.path().join("a.mp4"), &EncodeOptions { width: 0, ..OPTIONS });
    assert!(none.err().unwrap().to_string().contains("0 x 32"));
    let nowhere = Encoder::create(&folder.path().join("no/such/folder/a.mp4"), &OPTIONS);
    assert!(matches!(nowhere.err().unwrap(), MediaError::Io { .. }));
    let mut encoder = Encoder::create(&folder.path().join("b.mp4"), &OPTIONS).unwrap();
    assert!(encoder.write(&[0; 10]).unwrap_err().to_string().contains("10 bytes"));
}

/// A device on which there is never room.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    let write = || {
        let mut encoder = Encoder::create(std::path::Path::new("/dev/full"), &OPTIONS)?;
        (0..30).try_for_each(|index| encoder.write(&frame(index)))?;
        encoder.finish()
    };
    let error = write().unwrap_err();
    let is_full = |error: &std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
    assert!(matches!(&error, MediaError::Io { error, .. } if is_full(error)), "{error}");
}

/// Names that FFmpeg would take for a URL, or not at all.
#[cfg(unix)]
#[test]
fn any_name_will_do() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    for name in [&b"10:30.mp4"[..], b"\xff.mp4"] {
        let path = folder.path().join(std::ffi::OsStr::from_bytes(name));
        encode(&path, 3);
        assert!(path.is_file());
    }
}

#[test]
fn frames_are_shown_at_the_times_that_they_bring() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    // Film, then a picture every 100 ms, and the last for a second; two are as good as at once.
    let mut times: Vec<f64> = (0..20).map(|n| n as f64 * 1001.0 / 24_000.0).collect();
    times.extend((0..10).map(|n| 1.0 + n as f64 * 0.1));
    times.extend([1.95, 1.950_000_1]);
    let mut encoder = Encoder::create_timed(&path, &OPTIONS).unwrap();
    for (index, &time_s) in times.iter().enumerate() {
        let duration_s = times.get(index + 1).map_or(1.0, |next| next - time_s);
        encoder.write_at(&frame(index), FrameTime { time_s, duration_s }).unwrap();
    }
    encoder.finish().unwrap();
    let mut decoder = Decoder::open(&Source::Path(path), &DecodeOptions::default()).unwrap();
    let mut rgb = vec![0; decoder.frame_bytes()];
    for (index, &time_s) in times.iter().enumerate() {
        let time = decoder.next_frame(&mut rgb).unwrap().unwrap();
        assert!((time.time_s - time_s).abs() < 1e-5, "frame {index} at {}, not {time_s}", time.time_s);
        assert!(rgb[0].abs_diff(frame(index)[0]) <= 3, "frame {index}: {}", rgb[0]);
        if index + 1 == times.len() {
            assert!((time.duration_s - 1.0).abs() < 1e-5, "{time:?}");
        }
    }
    assert!(decoder.next_frame(&mut rgb).unwrap().is_none());
    assert!((decoder.info().duration_s.unwrap() - 2.95).abs() < 1e-3, "{:?}", decoder.info());
}

#[test]
fn an_odd_side_repeats_its_last_pixel() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(47, 32), (48, 31), (47, 31), (1, 1)] {
        let path = folder.path().join(format!("{width}-{height}.mp4"));
        let options = EncodeOptions { width, height, crf: 0, ..OPTIONS };
        let mut encoder = Encoder::create(&path, &options).unwrap();
        // Brighter to the right and to the bottom.
        let pixel = |x: u32, y: u32| (40 + 2 * x + y) as u8;
        let rgb: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| [pixel(x, y); 3])).collect();
        (0..3).for_each(|_| encoder.write(&rgb).unwrap());
        encoder.finish().unwrap();
        let mut decoder = Decoder::open(&Source::Path(path), &DecodeOptions::default()).unwrap();
        let (columns, rows) = decoder.frame_size();
        assert_eq!((columns, rows), (width.next_multiple_of(2), height.next_multiple_of(2)));
        let mut found = vec![0; decoder.frame_bytes()];
        decoder.next_frame(&mut found).unwrap().unwrap();
        for (at, found) in found.chunks_exact(3).enumerate() {
            let (x, y) = (at as u32 % columns, at as u32 / columns);
            let expected = pixel(x.min(width - 1), y.min(height - 1));
            assert!(found.iter().all(|value| value.abs_diff(expected) <= 2), "{x}, {y}: {found:?}, not {expected}");
        }
    }
}

/// Also where readers take other colours for granted than below.
#[test]
fn colours_come_back_at_every_size() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(640, 360), (1280, 720)] {
        let path = folder.path().join(format!("{height}.mp4"));
        let mut encoder = Encoder::create(&path, &EncodeOptions { width, height, ..OPTIONS }).unwrap();
        let colours = [[200, 30, 40], [30, 160, 60], [40, 50, 210]];
        for colour in colours {
            encoder.write(&colour.repeat((width * height) as usize)).unwrap();
        }
        encoder.finish().unwrap();
        let mut decoder = Decoder::open(&Source::Path(path), &DecodeOptions::default()).unwrap();
        let mut found = vec![0; decoder.frame_bytes()];
        for colour in colours {
            decoder.next_frame(&mut found).unwrap().unwrap();
            assert!(
                found[..3].iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 4),
                "{:?}, not {colour:?}",
                &found[..3]
            );
        }
    }
}
