//! Readers of one decoder see what a decoder of their own would show them.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{bytes, fixture, fixture_bytes, milliseconds, open};
use unscene_media::{
    ClipReader, ClipSampling, DecodeOptions, Decoder, FrameTime, Frames, Limits, MediaError, Region, SharedDecoder,
    SharedFrames, Source, View,
};

/// Every frame and its time, and how it ended.
fn read(frames: &mut impl Frames) -> (Vec<(FrameTime, Vec<u8>)>, Option<MediaError>) {
    let mut all = vec![];
    loop {
        match frames.advance() {
            Ok(Some(time)) => {
                let mut rgb = vec![0; frames.frame_bytes()];
                frames.write_current(&mut rgb).unwrap();
                all.push((time, rgb));
            }
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

/// Runs each reader on a thread of its own while this one decodes.
fn together<T: Send>(
    mut shared: SharedDecoder<Decoder>,
    readers: &mut [Box<dyn FnMut(SharedFrames) -> T + Send + '_>],
) -> (Vec<T>, Result<(), MediaError>) {
    thread::scope(|scope| {
        let mut threads = vec![];
        for read in readers {
            let frames = shared.reader().unwrap();
            threads.push(scope.spawn(move || read(frames)));
        }
        let decoded = shared.run();
        (threads.into_iter().map(|thread| thread.join().unwrap()).collect(), decoded)
    })
}

/// A decoder that refuses to give more frames than that.
fn at_most(source: &Source, max_frames: u64) -> Decoder {
    let limits = Limits { max_frames, ..Limits::default() };
    Decoder::open(source, &DecodeOptions { threads: 1, limits, ..DecodeOptions::default() }).unwrap()
}

#[test]
fn every_view_is_bit_for_bit_that_of_its_own_decoder_and_each_frame_is_decoded_once() {
    let views = [
        View::Full,
        View::Resize { width: 30, height: 30 },
        View::CenterCrop { short_side: 32, width: 24, height: 32 },
        View::Part { part: Region { x: 3, y: 5, width: 40, height: 33 }, width: 20, height: 18, mirror: true },
    ];
    for file in ["h264.mp4", "vp9.webm", "mjpeg.avi", "rotate90.mp4", "vfr.mkv", "start.mkv"] {
        let own = views.map(|view| read(&mut open(&fixture(file), view, 1).unwrap()).0);
        // Were a frame decoded for each of the readers, this would pass the limit with the first of the second reader.
        let decoder = at_most(&fixture(file), own[0].len() as u64);
        let mut readers: Vec<Box<dyn FnMut(SharedFrames) -> _ + Send>> = vec![];
        for view in views {
            readers.push(Box::new(move |mut frames: SharedFrames| {
                frames.set_view(view).unwrap();
                read(&mut frames)
            }));
        }
        let (shared, decoded) = together(SharedDecoder::new(decoder), &mut readers);
        decoded.unwrap();
        for ((own, (shared, error)), view) in own.iter().zip(&shared).zip(views) {
            assert!(error.is_none(), "{file}: {error:?}");
            assert!(own == shared, "{file} {view:?}");
        }
    }
}

#[test]
fn a_reader_knows_what_its_decoder_knows() {
    for file in ["rotate90.mp4", "overreport.avi", "vfr.mkv"] {
        let decoder = open(&fixture(file), View::Full, 1).unwrap();
        let known = |frames: &dyn Frames| {
            (
                (frames.name().to_string(), frames.picture_size(), frames.frame_size(), frames.frame_bytes()),
                (frames.fps(), frames.duration_s(), frames.tolerance_s(), frames.errors()),
            )
        };
        let expected = known(&decoder);
        let mut shared = SharedDecoder::new(decoder);
        let mut reader = shared.reader().unwrap();
        assert_eq!(known(&reader), expected, "{file}");
        let outside =
            View::Part { part: Region { x: 90, y: 0, width: 40, height: 8 }, width: 8, height: 8, mirror: false };
        let error = reader.set_view(outside).unwrap_err().to_string();
        assert!(error.contains("does not lie within"), "{error}");
        // A small video, read to its end in between, waits for nobody.
        drop(reader);
        shared.run().unwrap();
    }
}

#[test]
fn clips_are_those_of_a_decoder_of_their_own() {
    let sampling = ClipSampling { frames: 8, stride_frames: 5, fps: Some(10.0) };
    let view = View::Resize { width: 16, height: 16 };
    let of = |decoder: Decoder| ClipReader::new(decoder, sampling).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    let own = of(open(&fixture("vfr.mp4"), view, 1).unwrap());
    let clips = |mut frames: SharedFrames| {
        frames.set_view(view).unwrap();
        ClipReader::new(frames, sampling).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let decoder = open(&fixture("vfr.mp4"), View::Full, 1).unwrap();
    let (shared, decoded) = together(SharedDecoder::new(decoder), &mut [Box::new(clips), Box::new(clips)]);
    decoded.unwrap();
    assert!(own.len() > 2 && shared.iter().all(|shared| *shared == own));
}

#[test]
fn a_reader_that_leaves_early_holds_up_nobody() {
    let decoder = open(&fixture("h264.mp4"), View::Full, 1).unwrap();
    let leaves_at = |most: usize| {
        move |mut frames: SharedFrames| (0..most).take_while(|_| frames.advance().unwrap().is_some()).count()
    };
    let mut readers: Vec<Box<dyn FnMut(SharedFrames) -> usize + Send>> =
        vec![Box::new(leaves_at(0)), Box::new(leaves_at(3)), Box::new(leaves_at(1000))];
    let (counts, decoded) = together(SharedDecoder::new(decoder), &mut readers);
    decoded.unwrap();
    assert_eq!(counts, [0, 3, 40]);
}

#[test]
fn when_all_have_left_decoding_ends() {
    // Frames after the 30th would be an error.
    let mut leave = |mut frames: SharedFrames| {
        frames.advance().unwrap();
    };
    together(SharedDecoder::new(at_most(&fixture("h264.mp4"), 30)), &mut [Box::new(&mut leave)]).1.unwrap();
}

#[test]
fn an_error_in_the_middle_reaches_all_after_the_frames_before_it() {
    let (own, own_error) = read(&mut at_most(&fixture("h264.mp4"), 17));
    let expected = own_error.unwrap().to_string();
    let decoder = at_most(&fixture("h264.mp4"), 17);
    let (ends, decoded) = together(
        SharedDecoder::new(decoder),
        &mut [
            Box::new(|mut frames| read(&mut frames)),
            Box::new(|mut frames| {
                let first = read(&mut frames);
                // After the error the video has ended.
                assert!(frames.advance().unwrap().is_none());
                first
            }),
        ],
    );
    assert_eq!(decoded.unwrap_err().to_string(), expected);
    for (frames, error) in ends {
        assert_eq!(error.unwrap().to_string(), expected);
        assert!(frames == own && own.len() == 17);
    }
}

#[test]
fn damage_is_counted_for_all() {
    let mut data = fixture_bytes("h264.ts");
    let middle = data.len() / 2;
    data[middle..middle + 4000].iter_mut().for_each(|byte| *byte ^= 0x5a);
    let source = bytes("damaged", data);
    let mut own = open(&source, View::Full, 1).unwrap();
    let frames = read(&mut own).0.len();
    assert!(own.errors() > 0);
    let count = |mut reader: SharedFrames| (read(&mut reader).0.len(), reader.errors());
    let decoder = open(&source, View::Full, 1).unwrap();
    let (counts, decoded) = together(SharedDecoder::new(decoder), &mut [Box::new(count), Box::new(count)]);
    decoded.unwrap();
    assert_eq!(counts, [(frames, own.errors()); 2]);
}

#[test]
fn the_slowest_reader_sets_the_pace() {
    let shown = AtomicUsize::new(0);
    let fast = |mut frames: SharedFrames| {
        while frames.advance().unwrap().is_some() {
            shown.fetch_add(1, Ordering::SeqCst);
        }
        40
    };
    let slow = |mut frames: SharedFrames| {
        let mut read = 0;
        loop {
            // Four frames wait here and one is on its way; then a while for what must not come.
            let most = (read + 5).min(40);
            for _ in 0..2000 {
                if shown.load(Ordering::SeqCst) >= most {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(2));
            assert_eq!(shown.load(Ordering::SeqCst), most, "after {read}");
            match frames.advance().unwrap() {
                Some(time) => assert_eq!(milliseconds(time.time_s), 40 * read as i64),
                None => return read,
            }
            read += 1;
        }
    };
    let decoder = open(&fixture("h264.mp4"), View::Full, 1).unwrap();
    let (counts, decoded) = together(SharedDecoder::new(decoder), &mut [Box::new(fast), Box::new(slow)]);
    decoded.unwrap();
    assert_eq!(counts, [40, 40]);
}
