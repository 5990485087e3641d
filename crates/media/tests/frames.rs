//! Every codec and container gives the right frames at the right times, and clips hold the right frames.

mod common;

use common::{bytes, fixture, fixture_bytes, frame_number, milliseconds, open, read_all};
use unscene_media::{ClipReader, ClipSampling, Limits, View, probe};

/// 40 frames, 40 ms each, from 0.
fn assert_forty_frames(file: &str, view: View, threads: usize) {
    let mut decoder = open(&fixture(file), view, threads).unwrap();
    let frames = read_all(&mut decoder).unwrap();
    let numbers: Vec<u32> = frames.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>(), "{file}");
    for (number, time) in frames {
        assert_eq!(milliseconds(time.time_s), i64::from(number) * 40, "{file} frame {number}");
        assert_eq!(milliseconds(time.duration_s), 40, "{file} frame {number}");
    }
    assert_eq!(decoder.errors(), 0, "{file}");
}

const FILES: [(&str, &str); 16] = [
    ("h264.mp4", "h264"),
    ("h264.mov", "h264"),
    ("h264.mkv", "h264"),
    ("h264.ts", "h264"),
    ("hevc.mp4", "hevc"),
    ("hevc.mkv", "hevc"),
    ("hevc.ts", "hevc"),
    ("vp9.webm", "vp9"),
    ("vp9.mp4", "vp9"),
    ("av1.mkv", "av1"),
    ("av1.mp4", "av1"),
    ("av1.webm", "av1"),
    ("mpeg4.avi", "mpeg4"),
    ("mpeg4.mp4", "mpeg4"),
    ("mjpeg.avi", "mjpeg"),
    ("mjpeg.mov", "mjpeg"),
];

#[test]
fn every_codec_in_every_container_is_frame_exact() {
    for (file, _) in FILES {
        assert_forty_frames(file, View::Full, 1);
    }
}

#[test]
fn threads_do_not_change_the_frames() {
    for (file, _) in FILES {
        assert_forty_frames(file, View::Full, 2);
        assert_forty_frames(file, View::Full, 0);
    }
}

#[test]
fn the_header_is_read_right() {
    for (file, codec) in FILES {
        let info = probe(&fixture(file), &Limits::default()).unwrap();
        assert_eq!(info.codec, codec, "{file}");
        assert_eq!((info.width, info.height), (96, 64), "{file}");
        assert_eq!(info.fps, 25.0, "{file}");
        let duration_s = info.duration_s.unwrap();
        assert!((duration_s - 1.6).abs() < 0.05, "{file}: {duration_s}");
    }
}

#[test]
fn bytes_and_files_give_the_same_frames() {
    for (file, _) in FILES {
        let from_file = read_all(&mut open(&fixture(file), View::Full, 1).unwrap()).unwrap();
        let source = bytes("upload", fixture_bytes(file));
        let from_bytes = read_all(&mut open(&source, View::Full, 1).unwrap()).unwrap();
        assert_eq!(from_file, from_bytes, "{file}");
    }
}

#[test]
fn a_start_other_than_zero_does_not_shift_times() {
    assert_forty_frames("start.mkv", View::Full, 1);
}

#[test]
fn a_claim_of_four_thousand_frames_is_not_believed() {
    let info = probe(&fixture("overreport.avi"), &Limits::default()).unwrap();
    assert_eq!(info.reported_frames, Some(4000));
    assert_forty_frames("overreport.avi", View::Full, 1);
}

/// When frame `n` of the vfr fixtures is shown, in milliseconds.
fn vfr_ms(n: i64) -> i64 {
    n * 40 + (n % 2) * 20 + if n >= 20 { 200 } else { 0 }
}

#[test]
fn variable_frame_rate_keeps_each_frames_own_time() {
    for file in ["vfr.mp4", "vfr.mkv"] {
        let frames = read_all(&mut open(&fixture(file), View::Full, 1).unwrap()).unwrap();
        assert_eq!(frames.len(), 40, "{file}");
        for (n, (number, time)) in (0..).zip(frames) {
            assert_eq!(i64::from(number), n, "{file}");
            assert_eq!(milliseconds(time.time_s), vfr_ms(n), "{file} frame {n}");
            if n < 39 {
                let lasts = vfr_ms(n + 1) - vfr_ms(n);
                assert_eq!(milliseconds(time.duration_s), lasts, "{file} frame {n}");
            }
        }
    }
}

#[test]
fn resizing_keeps_the_whole_picture() {
    for (width, height) in [(48, 32), (112, 112), (33, 171)] {
        assert_forty_frames("h264.mp4", View::Resize { width, height }, 1);
        assert_forty_frames("mjpeg.avi", View::Resize { width, height }, 1);
    }
}

#[test]
fn a_centre_crop_shows_the_middle() {
    // The middle 64 x 64 of 96 x 64, halved: columns 16 to 80, so blocks of 8, 24, 24 and 8 stored columns.
    let view = View::CenterCrop { short_side: 32, width: 32, height: 32 };
    let mut decoder = open(&fixture("h264.mp4"), view, 1).unwrap();
    assert_eq!(decoder.frame_size(), (32, 32));
    let mut rgb = vec![0; decoder.frame_bytes()];
    for number in 0..40u32 {
        decoder.next_frame(&mut rgb).unwrap().unwrap();
        for (bit, x) in [(0, 1), (1, 10), (2, 22), (3, 30)] {
            for (bit, y) in [(bit, 8), (bit + 4, 24)] {
                let white = rgb[(y * 32 + x) * 3] > 127;
                assert_eq!(white, number >> bit & 1 == 1, "frame {number} bit {bit}");
            }
        }
    }
}

#[test]
fn rotation_turns_the_picture_for_display() {
    for degrees in [90, 180, 270] {
        let file = format!("rotate{degrees}.mp4");
        for view in [View::Full, View::CenterCrop { short_side: 32, width: 32, height: 32 }] {
            let mut decoder = open(&fixture(&file), view, 1).unwrap();
            let info = decoder.info().clone();
            assert_eq!(info.rotation_degrees, degrees);
            let turned = degrees != 180;
            assert_eq!((info.width, info.height), if turned { (64, 96) } else { (96, 64) });
            let (width, height) = decoder.frame_size();
            let (width, height) = (width as usize, height as usize);
            let mut rgb = vec![0; decoder.frame_bytes()];
            for number in 0..40u32 {
                decoder.next_frame(&mut rgb).unwrap().unwrap();
                // Bit 1 is stored above bit 5, left of bit 2 and right of bit 0: one of the two by two middle blocks.
                for (bit, stored_x, stored_y) in [(1, 0.4, 0.25), (2, 0.6, 0.25), (5, 0.4, 0.75), (6, 0.6, 0.75)] {
                    let (x, y) = match degrees {
                        90 => (1.0 - stored_y, stored_x),
                        180 => (1.0 - stored_x, 1.0 - stored_y),
                        _ => (stored_y, 1.0 - stored_x),
                    };
                    let (x, y) = ((x * width as f64) as usize, (y * height as f64) as usize);
                    let white = rgb[(y * width + x) * 3] > 127;
                    assert_eq!(white, number >> bit & 1 == 1, "{file} {view:?} frame {number} bit {bit}");
                }
            }
        }
    }
}

#[test]
fn colours_follow_the_matrix_and_range_of_the_file() {
    for file in ["bt601.mp4", "bt709.mp4", "full.mp4"] {
        let mut decoder = open(&fixture(file), View::Full, 1).unwrap();
        let mut rgb = vec![0; decoder.frame_bytes()];
        for expected in [[255, 0, 0], [0, 255, 0], [0, 0, 255]] {
            decoder.next_frame(&mut rgb).unwrap().unwrap();
            let middle = &rgb[(32 * 96 + 48) * 3..][..3];
            for (&found, wanted) in middle.iter().zip(expected) {
                assert!((i32::from(found) - wanted).abs() <= 6, "{file}: {middle:?}, not {expected:?}");
            }
        }
    }
}

fn clips(file: &str, sampling: ClipSampling) -> Vec<(Vec<u32>, i64, i64)> {
    let decoder = open(&fixture(file), View::Full, 1).unwrap();
    let frame = decoder.frame_bytes();
    ClipReader::new(decoder, sampling)
        .unwrap()
        .map(|clip| {
            let clip = clip.unwrap();
            let numbers = clip.rgb.chunks_exact(frame).map(|rgb| frame_number(rgb, 96, 64)).collect();
            (numbers, milliseconds(clip.start_s), milliseconds(clip.end_s))
        })
        .collect()
}

#[test]
fn clips_side_by_side_end_with_one_filled_by_its_own_frames() {
    let found = clips("h264.mp4", ClipSampling::default());
    let last: Vec<u32> = (32..40).chain(32..40).collect();
    assert_eq!(found, [((0..16).collect(), 0, 640), ((16..32).collect(), 640, 1280), (last, 1280, 1600),]);
}

#[test]
fn a_short_stride_overlaps_and_a_long_one_leaves_gaps() {
    let sampling = |stride_frames| ClipSampling { frames: 8, stride_frames, fps: None };
    let starts = |stride| clips("h264.mp4", sampling(stride)).iter().map(|c| c.0[0]).collect::<Vec<_>>();
    assert_eq!(starts(3), (0..40).step_by(3).collect::<Vec<_>>());
    assert_eq!(starts(13), [0, 13, 26, 39]);
    let last = clips("h264.mp4", sampling(13)).pop().unwrap();
    assert_eq!(last, (vec![39; 8], 1560, 1600));
}

#[test]
fn a_grid_of_times_takes_the_frame_on_screen() {
    for file in ["vfr.mp4", "vfr.mkv"] {
        for fps in [10.0, 25.0, 50.0] {
            let found: Vec<u32> = clips(file, ClipSampling { frames: 1, stride_frames: 1, fps: Some(fps) })
                .into_iter()
                .map(|(numbers, ..)| numbers[0])
                .collect();
            // The last frame starts at 1,780 ms; nothing says when it ends, so only times up to there are compared.
            let expected: Vec<u32> = (0..)
                .map(|k| f64::from(k) * 1000.0 / fps)
                .take_while(|&ms| ms <= 1780.0)
                .map(|ms| (0..40).rev().find(|&n| vfr_ms(n) as f64 <= ms + 0.01).unwrap() as u32)
                .collect();
            assert_eq!(found[..expected.len()], expected, "{file} at {fps}");
        }
    }
}

#[test]
fn a_decoder_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<unscene_media::Decoder>();
    assert_send::<ClipReader>();
}
