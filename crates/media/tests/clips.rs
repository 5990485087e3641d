//! Samples and clips hold the right frames.

mod common;

use common::{fixture, frame_number, milliseconds, open, vfr_ms};
use unscene_media::{Clip, ClipReader, ClipSampling, Frames, Padding, Sampler, View};

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
fn samples_say_when_they_repeat_a_frame() {
    for fps in [None, Some(10.0), Some(25.0), Some(60.0)] {
        let mut sampler = Sampler::new(open(&fixture("vfr.mp4"), View::Full, 1).unwrap(), fps).unwrap();
        let mut rgb = vec![0; sampler.source().frame_bytes()];
        let mut numbers = Vec::new();
        while let Some(sample) = sampler.advance().unwrap() {
            sampler.source_mut().write_current(&mut rgb).unwrap();
            let number = frame_number(&rgb, 96, 64);
            assert_eq!(sample.repeats, numbers.last() == Some(&number), "{fps:?} at {:?}", sample.time);
            assert!(sampler.shown_until_s() > sample.time.time_s);
            numbers.push(number);
        }
        assert_eq!(sampler.count(), numbers.len() as u64);
        // Clips copy what repeats instead of converting it once more.
        let sampling = ClipSampling { frames: 7, stride_frames: 7, fps };
        let clips: Vec<u32> = clips("vfr.mp4", sampling).into_iter().flat_map(|clip| clip.0).collect();
        assert_eq!(clips[..numbers.len()], numbers, "{fps:?}");
    }
    let decoder = open(&fixture("vfr.mp4"), View::Full, 1).unwrap();
    assert!(Sampler::new(decoder, Some(0.0)).is_err());
}

#[test]
fn clips_of_a_span_start_and_end_with_it() {
    let decoder = open(&fixture("h264.mp4"), View::Full, 1).unwrap();
    let mut reader = ClipReader::new(decoder, ClipSampling { frames: 8, stride_frames: 8, fps: None }).unwrap();
    // Frames 10 to 20: one clip of eight, then three frames that are repeated.
    reader.seek(0.41, 0.84).unwrap();
    let clips: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
    let found: Vec<_> = clips.iter().map(|clip| (clip.read_frames, milliseconds(clip.times_s[7]))).collect();
    assert_eq!(found, [(8, 680), (3, 760)]);
    let numbers = |clip: &Clip| clip.rgb.chunks(96 * 64 * 3).map(|rgb| frame_number(rgb, 96, 64)).collect::<Vec<_>>();
    assert_eq!(numbers(&clips[1]), [18, 19, 20, 18, 19, 20, 18, 19]);
    let mut reader = reader.padded(Padding::Last);
    reader.seek(0.73, 0.84).unwrap();
    let clip = reader.next_clip().unwrap().unwrap();
    assert_eq!((numbers(&clip), clip.read_frames), (vec![18, 19, 20, 20, 20, 20, 20, 20], 3));
    let times: Vec<i64> = clip.times_s.iter().copied().map(milliseconds).collect();
    assert_eq!((times, milliseconds(clip.end_s)), (vec![720, 760, 800, 800, 800, 800, 800, 800], 840));
    assert!(
        {
            reader.seek(9.0, 10.0).unwrap();
            reader.next_clip().unwrap()
        }
        .is_none()
    );
}
