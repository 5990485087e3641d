//! Over videos of the fixtures, and what is drawn where.

use std::path::PathBuf;

use unscene_engine::{DetectSummary, Timing, VideoSummary};
use unscene_media::FrameTime;
use unscene_models::manifest::Task;

use super::*;

fn fixture(name: &str) -> Source {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video").join(name).into()
}

fn detection(frames: Vec<FoundFrame>, tubes: Vec<FoundTube>) -> Detection {
    let video = VideoSummary {
        duration_s: 1.0,
        width: 64,
        height: 48,
        fps: 10.0,
        frames: 10,
        clips: frames.len(),
        damaged_packets: 0,
    };
    let summary = DetectSummary {
        model: "m".into(),
        task: Task::Detect,
        engine: "e".into(),
        device: "cpu".into(),
        video,
        timing: Timing::default(),
    };
    Detection { summary, frames, tubes: Some(tubes) }
}

fn found(label: &str, score: f32, corners: [f32; 4]) -> FoundBox {
    FoundBox { label: label.into(), index: label.len(), score, corners }
}

fn frame(frame: usize, boxes: Vec<FoundBox>) -> FoundFrame {
    FoundFrame { frame, time_s: 0.1 * frame as f64, boxes }
}

/// A tube that moves one pixel to the right with each frame, and gets less sure.
fn tube(id: usize, label: &str, start_frame: usize, frames: usize) -> FoundTube {
    let boxes: Vec<[f32; 4]> = (0..frames).map(|n| [10.0 + n as f32, 20.0, 30.0 + n as f32, 40.0]).collect();
    FoundTube {
        id,
        label: label.into(),
        index: label.len(),
        score: 0.5,
        start_s: 0.1 * start_frame as f64,
        end_s: 0.1 * (start_frame + frames) as f64,
        start_frame,
        scores: (0..frames).map(|n| 0.9 - 0.1 * n as f32).collect(),
        boxes,
    }
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

type Frame = (Vec<u8>, FrameTime);

/// Width and height, and every frame, enlarged, with its time.
fn read(source: &Source, enlarge: u32) -> ((u32, u32), Vec<Frame>) {
    let mut decoder = Decoder::open(source, &DecodeOptions::default()).unwrap();
    let (width, height) = decoder.frame_size();
    decoder.set_view(View::Resize { width: width * enlarge, height: height * enlarge }).unwrap();
    let mut rgb = vec![0; decoder.frame_bytes()];
    let mut frames = vec![];
    while let Some(time) = decoder.next_frame(&mut rgb).unwrap() {
        frames.push((rgb.clone(), time));
    }
    (decoder.frame_size(), frames)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into()).collect()
}

/// One second at 30 frames per second, of one grey.
fn grey(folder: &Path) -> PathBuf {
    let path = folder.join("grey.mp4");
    let options = EncodeOptions { width: 96, height: 64, fps: 30, crf: 1, keyframe_every: 10 };
    let mut encoder = Encoder::create(&path, &options).unwrap();
    (0..30).for_each(|_| encoder.write(&vec![90; 96 * 64 * 3]).unwrap());
    encoder.finish().unwrap();
    path
}

#[test]
fn a_video_in_which_nothing_was_found_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.mp4");
    let constant = tempfile::tempdir().unwrap();
    let names_of_fixtures = ["vfr.mp4", "vfr.mkv", "odd.webm", "rotate90.mp4", "start.mkv", "h264.ts", "mpeg4.avi"];
    let sources = names_of_fixtures.map(fixture).into_iter().chain([grey(constant.path()).into()]);
    for source in sources {
        let name = source.name();
        draw(&source, &detection(vec![], vec![]), &out, &go_on).unwrap();
        // All others are of 96 x 64.
        let ((width, height), expected) = read(&source, if name.ends_with("odd.webm") { 1 } else { 4 });
        let (size, drawn) = read(&out.as_path().into(), 1);
        assert_eq!(size, (width.next_multiple_of(2), height.next_multiple_of(2)), "{name}");
        assert_eq!(drawn.len(), expected.len(), "{name}");
        for (number, ((a, found), (b, time))) in drawn.iter().zip(&expected).enumerate() {
            let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
            let same = near(found.time_s, time.time_s) && near(found.duration_s, time.duration_s);
            assert!(same, "{name}, frame {number}: {found:?}, not {time:?}");
            let rows = a.chunks_exact(size.0 as usize * 3).zip(b.chunks_exact(width as usize * 3));
            let pixels = rows.flat_map(|(a, b)| a.iter().zip(b));
            let off: u64 = pixels.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            assert!((off as f64) < 2.0 * b.len() as f64, "{name}, frame {number}: {off}");
        }
    }
    assert_eq!(names(folder.path()), ["out.mp4"]);
}

#[test]
fn boxes_are_drawn_in_their_frames_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let (video, out) = (grey(folder.path()), folder.path().join("out.mp4"));
    // Looked at every second frame: the tube is there in frames 4 to 8, and a box of no tube in frame 12.
    let tube = tube(1, "run", 4, 5);
    let boxes = |number| match number {
        4 | 6 | 8 => vec![found("run", 0.9, tube.boxes[number - 4])],
        12 => vec![found("jump", 0.4, [40.0, 30.0, 60.0, 50.0])],
        _ => vec![],
    };
    let frames = (0..30).step_by(2).map(|number| frame(number, boxes(number))).collect();
    draw(&video.as_path().into(), &detection(frames, vec![tube.clone()]), &out, &go_on).unwrap();
    let (size, drawn) = read(&out.as_path().into(), 1);
    assert_eq!((size, drawn.len()), ((4 * 96, 4 * 64), 30));
    for (number, (rgb, _)) in drawn.iter().enumerate() {
        let near = |[x, y]: [usize; 2], color: [u8; 3], far: u8| {
            let pixel = &rgb[(y * 4 * 96 + x) * 3..][..3];
            let is_near = pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) <= far);
            assert!(is_near, "frame {number} at {x}, {y}: {pixel:?}, not {color:?}");
        };
        let shown: Option<([f32; 4], [u8; 3])> = match number {
            4..=8 => Some((tube.boxes[number - 4], COLOURS[1])),
            12 => Some(([40.0, 30.0, 60.0, 50.0], GREY)),
            _ => None,
        };
        if let Some(([left, top, right, bottom], color)) = shown {
            let [left, top, right, bottom] = [left, top, right, bottom].map(|side| 4 * side as usize);
            let (x, y) = ((left + right) / 2, (top + bottom) / 2);
            for at in [[x, bottom - 1], [left, y], [right - 1, y]] {
                // Lines are two pixels wide, and colours are stored at half size.
                near(at, color, 60);
            }
            near([x, y], [90; 3], 12);
            near([4 * 90, 4 * 60], [90; 3], 12);
        } else {
            assert!(rgb.iter().all(|value| value.abs_diff(90) <= 4), "frame {number}");
        }
    }
}

#[test]
fn small_pictures_are_enlarged() {
    let sizes = [(1920, 1080), (320, 240), (1080, 1920), (176, 144), (96, 64), (1, 1), (1, 3000), (40, 1000)];
    assert_eq!(sizes.map(enlarging), [1, 1, 1, 2, 4, 240, 1, 1]);
}

#[test]
fn a_box_of_a_tube_is_drawn_once() {
    let (run, later) = (tube(0, "run", 2, 3), tube(8, "jump", 4, 1));
    let frames = vec![
        frame(0, vec![]),
        frame(2, vec![found("jump", 0.7, run.boxes[0]), found("run", 0.9, run.boxes[0])]),
        frame(4, vec![found("run", 0.7, run.boxes[2]), found("jump", 0.9, later.boxes[0])]),
        frame(6, vec![found("run", 0.256, [1.0; 4])]),
    ];
    // The best is first, which begins later.
    let detection = detection(frames, vec![later, run.clone()]);
    let mut marks = Marks::of(&detection);
    let mut told = |number| -> Vec<(String, [u8; 3])> {
        marks.at(number).into_iter().map(|mark| (mark.text, mark.color)).collect()
    };
    let of_tube = |text: &str, color: usize| (text.to_string(), COLOURS[color]);
    assert_eq!(told(0), []);
    assert_eq!(told(1), []);
    assert_eq!(told(2), [("jump 70 %".into(), GREY), of_tube("#0 run 90 %", 0)]);
    // Not looked at.
    assert_eq!(told(3), [of_tube("#0 run 80 %", 0)]);
    assert_eq!(told(4), [of_tube("#0 run 70 %", 0), of_tube("#8 jump 90 %", 1)]);
    assert_eq!(told(5), []);
    assert_eq!(told(6), [("run 26 %".into(), GREY)]);
}

#[test]
fn nothing_is_left_of_what_could_not_be_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (source, none) = (fixture("h264.mp4"), detection(vec![], vec![]));
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        if asked.get() < 10 { go_on() } else { ControlFlow::Break(()) }
    };
    let error = draw(&source, &none, &path("out.mp4"), &stop).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(EngineError::Cancelled)), "{error}");
    assert_eq!((asked.get(), names(folder.path()).len()), (10, 0));
    draw(&fixture("picture.png"), &none, &path("out.mp4"), &go_on).unwrap_err();
    draw(&source, &none, &path("no/folder/out.mp4"), &go_on).unwrap_err();
    assert_eq!(names(folder.path()).len(), 0);
    // What is there already stays.
    std::fs::create_dir_all(path("out.mp4/inside")).unwrap();
    let error = draw(&source, &none, &path("out.mp4"), &go_on).unwrap_err();
    assert!(error.to_string().starts_with("cannot write"), "{error}");
    assert_eq!((names(folder.path()), names(&path("out.mp4"))), (vec!["out.mp4".into()], vec!["inside".into()]));
}
