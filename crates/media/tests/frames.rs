//! Every codec and container gives the right frames at the right times, and clips hold the right frames.

mod common;

use common::{bytes, fixture, fixture_bytes, frame_number, milliseconds, open, read_all, vfr_ms};
use unscene_media::{ClipReader, ClipSampling, DecodeOptions, Decoder, Frames, Limits, Pictures, Region, View, probe};

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

#[test]
fn a_decoder_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<unscene_media::Decoder>();
    assert_send::<ClipReader>();
}

/// Whatever was read before, and wherever it leads, a jump gives the frames that reading from the start gives.
#[test]
fn a_jump_leads_to_the_frame_on_screen() {
    let others = ["vfr.mp4", "vfr.mkv", "start.mkv", "overreport.avi", "faststart.mp4", "rotate90.mp4"];
    for file in FILES.into_iter().map(|(file, _)| file).chain(others) {
        let all = read_all(&mut open(&fixture(file), View::Full, 1).unwrap()).unwrap();
        let mut used = open(&fixture(file), View::Full, 2).unwrap();
        for step in (0..18).rev().chain([3, 17, 9]) {
            let time_s = f64::from(step) * 0.095 + 0.001;
            let at = all.iter().position(|(_, time)| time_s < time.time_s + time.duration_s);
            let expected = &all[at.unwrap_or(all.len())..];
            used.seek(time_s).unwrap();
            assert_eq!(numbers_of(&mut used, 5), expected[..expected.len().min(5)], "{file} at {time_s}");
            let mut fresh = open(&fixture(file), View::Full, 1).unwrap();
            fresh.seek(time_s).unwrap();
            assert_eq!(numbers_of(&mut fresh, 40), expected, "{file} at {time_s}, freshly opened");
        }
    }
}

/// Up to `most` frames: their numbers and times in whole milliseconds.
fn numbers_of(decoder: &mut unscene_media::Decoder, most: usize) -> Vec<(u32, unscene_media::FrameTime)> {
    let (width, height) = decoder.frame_size();
    let mut rgb = vec![0; decoder.frame_bytes()];
    let mut frames = Vec::new();
    while frames.len() < most {
        let Some(time) = decoder.next_frame(&mut rgb).unwrap() else { break };
        frames.push((frame_number(&rgb, width as usize, height as usize), time));
    }
    frames
}

/// The part of a turned picture is the part that a viewer would cut.
#[test]
fn parts_are_those_of_the_displayed_picture() {
    for file in ["h264.mp4", "rotate90.mp4", "rotate180.mp4", "rotate270.mp4"] {
        let mut decoder = open(&fixture(file), View::Full, 1).unwrap();
        let (width, height) = decoder.frame_size();
        let mut whole = vec![0; decoder.frame_bytes()];
        decoder.seek(0.52).unwrap();
        decoder.next_frame(&mut whole).unwrap();
        let part = Region { x: 8, y: 20, width: width - 40, height: height - 24 };
        for mirror in [false, true] {
            let view = View::Part { part, width: part.width, height: part.height, mirror };
            decoder.set_view(view).unwrap();
            decoder.seek(0.52).unwrap();
            let mut rgb = vec![0; decoder.frame_bytes()];
            decoder.next_frame(&mut rgb).unwrap();
            for (index, pixel) in rgb.chunks_exact(3).enumerate() {
                let (x, y) = (index as u32 % part.width, index as u32 / part.width);
                let x = part.x + if mirror { part.width - 1 - x } else { x };
                let at = ((part.y + y) * width + x) as usize * 3;
                // Colours are stored at half size, and cutting changes what they are blended with at the edges.
                assert!(
                    pixel[1].abs_diff(whole[at + 1]) < 60,
                    "{file} {mirror} {x},{y}: {pixel:?} {:?}",
                    &whole[at..at + 3]
                );
            }
        }
        let outside = View::Part { part: Region { x: width - 4, ..part }, width: 10, height: 10, mirror: false };
        let error = decoder.set_view(outside).unwrap_err().to_string();
        assert!(error.contains("does not lie within"), "{error}");
    }
}

#[test]
fn a_folder_of_pictures_is_read_like_a_video() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video");
    for index in 0..20 {
        let name = if index % 2 == 0 { "picture.jpg" } else { "picture.png" };
        let to = folder.path().join(format!("image_{index:05}.{}", &name[8..]));
        std::fs::copy(fixtures.join(name), to).unwrap();
    }
    std::fs::write(folder.path().join("n_frames"), "20").unwrap();
    let mut pictures = Pictures::open(folder.path(), 25.0, &Limits::default()).unwrap();
    assert_eq!((pictures.picture_size(), pictures.duration_s()), ((96, 64), Some(0.8)));
    pictures.set_view(View::Resize { width: 48, height: 32 }).unwrap();
    let mut reader = ClipReader::new(pictures, ClipSampling::default()).unwrap();
    reader.seek(0.2, f64::INFINITY).unwrap();
    let clip = reader.next_clip().unwrap().unwrap();
    assert_eq!((clip.read_frames, milliseconds(clip.start_s), milliseconds(clip.end_s)), (15, 200, 800));
    assert!(clip.rgb.chunks(48 * 32 * 3).all(|rgb| frame_number(rgb, 48, 32) == 0));

    std::fs::write(folder.path().join("image_00003.png"), "no picture").unwrap();
    reader.seek(0.0, f64::INFINITY).unwrap();
    let error = reader.next_clip().unwrap_err().to_string();
    assert!(error.contains("image_00003.png") && error.contains("neither a JPEG nor a PNG"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = Pictures::open(empty.path(), 25.0, &Limits::default()).err().unwrap().to_string();
    assert!(error.contains("holds no JPEG or PNG"), "{error}");
}

/// FFmpeg's decoder loses the last two frames of this one when it starts at the second key frame.
#[test]
fn no_frame_is_lost_at_the_end_after_a_jump() {
    let open = || {
        let options = DecodeOptions { threads: 1, ..DecodeOptions::default() };
        Decoder::open(&fixture("lost_at_the_end.mp4"), &options).unwrap()
    };
    let read = |decoder: &mut Decoder| {
        let mut frames = Vec::new();
        let mut rgb = vec![0; decoder.frame_bytes()];
        while let Some(time) = decoder.next_frame(&mut rgb).unwrap() {
            frames.push(((time.time_s * 12.0).round() as usize, rgb.clone()));
        }
        frames
    };
    let whole = read(&mut open());
    assert_eq!(whole.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..18).collect::<Vec<_>>());
    let mut used = open();
    for number in (0..18).rev().chain([16, 3, 17]) {
        for decoder in [&mut open(), &mut used] {
            decoder.seek(number as f64 / 12.0).unwrap();
            assert!(read(decoder) == whole[number..], "from frame {number} on");
        }
    }
}
