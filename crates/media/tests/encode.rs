//! What is encoded comes back.

use unscene_media::{DecodeOptions, Decoder, EncodeOptions, Encoder, MediaError, Source};

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
    let odd = Encoder::create(&folder.path().join("a.mp4"), &EncodeOptions { width: 47, ..OPTIONS });
    assert!(odd.err().unwrap().to_string().contains("47 x 32"));
    let nowhere = Encoder::create(&folder.path().join("no/such/folder/a.mp4"), &OPTIONS);
    assert!(matches!(nowhere.err().unwrap(), MediaError::Ffmpeg { .. }));
    let mut encoder = Encoder::create(&folder.path().join("b.mp4"), &OPTIONS).unwrap();
    assert!(encoder.write(&[0; 10]).unwrap_err().to_string().contains("10 bytes"));
}
