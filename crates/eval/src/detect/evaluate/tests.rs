//! By hand, and against the slow way.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use unscene_data::actors::{ActorFormat, ActorSpec, ActorVideo};

use super::super::{ErrorReport, slow};
use super::*;

fn part(tubes: Vec<Vec<Tube>>) -> ActorPart {
    let video = |(at, tubes): (usize, Vec<Tube>)| ActorVideo {
        id: format!("v{at}"),
        media: None,
        frames: None,
        size: None,
        tubes,
    };
    ActorPart { name: "test".into(), videos: tubes.into_iter().enumerate().map(video).collect(), missing: vec![] }
}

fn labels() -> Vec<String> {
    ["bow", "wave", "jump"].map(String::from).to_vec()
}

fn tube(label: usize, start_frame: usize, boxes: &[[f32; 4]]) -> Tube {
    Tube { label, start_frame, boxes: boxes.to_vec() }
}

fn found(frame: usize, label: usize, score: f32, corners: [f32; 4]) -> FrameDetection {
    FrameDetection { video: 0, frame, label, score, corners }
}

const LEFT: [f32; 4] = [0.0, 0.0, 10.0, 10.0];
const RIGHT: [f32; 4] = [20.0, 0.0, 30.0, 10.0];

#[test]
fn boxes_count_once_and_in_their_own_frame() {
    let part = part(vec![vec![tube(0, 0, &[LEFT, LEFT]), tube(1, 0, &[RIGHT])], vec![]]);
    let detections = [
        found(0, 0, 0.9, LEFT),
        // The same actor again, better placed than asked; then one in a frame without actors, and one in another video.
        found(0, 0, 0.8, [0.0, 0.0, 10.0, 9.0]),
        found(5, 0, 0.7, LEFT),
        FrameDetection { video: 1, ..found(1, 0, 0.6, LEFT) },
        // Half of it is enough.
        found(1, 0, 0.5, [0.0, 0.0, 10.0, 5.0]),
        // Of class 1 nothing fits: 0.3 of it, another class's actor.
        found(0, 1, 0.9, [20.0, 0.0, 30.0, 3.0]),
        found(0, 1, 0.1, LEFT),
    ];
    let report = evaluate(&part, &labels(), &detections, None).unwrap();
    let aps: Vec<Option<f64>> = report.classes.iter().map(|class| class.frame_ap).collect();
    // Right at ranks 1 and 5 of two truths: precision 1 and 2/5.
    assert_eq!(aps, [Some((1.0 + 0.4) / 2.0), Some(0.0), None]);
    assert_eq!(report.frame_map, 0.35);
    assert_eq!((report.videos, report.boxes, report.tubes, report.detections), (2, 3, 2, 7));
    assert_eq!((&report.video_map, report.accuracy), (&None, None));
    // Of class 0 the best two, of class 1 the best one.
    let expected = ErrorReport { boxes: 3, right: 1, again: 1, wrong_class: 0, wrong_place: 1, extra: 0, missed: 2 };
    assert_eq!(report.errors, expected);
    assert_eq!((report.videos_without_box, report.frame_protocol, report.video_protocol), (0, "voc", None));
}

#[test]
fn errors_are_of_the_first_kind_that_fits() {
    let part = part(vec![vec![tube(0, 0, &[LEFT; 4]), tube(1, 0, &[RIGHT])]]);
    let detections = [
        // Beside an actor of its class, on one of another class: the class is wrong.
        found(0, 0, 0.9, RIGHT),
        found(1, 0, 0.8, [0.0, 0.0, 10.0, 2.0]),
        found(2, 0, 0.7, [50.0, 0.0, 60.0, 10.0]),
        found(3, 0, 0.6, LEFT),
        // Beyond the number of truths.
        found(0, 0, 0.5, LEFT),
    ];
    let errors = evaluate(&part, &labels(), &detections, None).unwrap().errors;
    assert_eq!((errors.right, errors.again, errors.wrong_class), (1, 0, 1));
    assert_eq!((errors.wrong_place, errors.extra, errors.missed), (1, 1, 4));
}

#[test]
fn tubes_are_right_by_their_overlap_in_time_and_space() {
    let part = part(vec![vec![tube(0, 0, &[LEFT; 10])], vec![tube(1, 0, &[LEFT; 10])], vec![tube(2, 0, &[RIGHT])]]);
    let of = |video, score, tube| TubeDetection { video, score, tube };
    let tubes = [
        // Six of ten frames, at the threshold of 0.6, which is too little.
        of(0, 0.9, tube(0, 4, &[LEFT; 6])),
        of(0, 0.8, tube(1, 0, &[LEFT; 10])),
        of(1, 0.5, tube(1, 0, &[LEFT; 10])),
        of(1, 0.6, tube(0, 0, &[RIGHT; 3])),
    ];
    let report = evaluate(&part, &labels(), &[], Some(&tubes)).unwrap();
    let ap = |class: usize, iou: f64| report.classes[class].video_ap.as_ref().unwrap().get(iou).unwrap();
    assert_eq!((ap(0, 0.2), ap(0, 0.55), ap(0, 0.6)), (1.0, 1.0, 0.0));
    // Second after a wrong one.
    assert_eq!((ap(1, 0.5), ap(1, 0.95), ap(2, 0.2)), (0.5, 0.5, 0.0));
    assert_eq!(report.video_map.as_ref().unwrap().get(0.5), Some(0.5));
    // Video 0 is named right, 1 wrong by its best tube, 2 has none.
    assert_eq!((report.accuracy, report.videos_without_tube), (Some(1.0 / 3.0), Some(1)));
    let mean = (1..11).map(|at| report.video_map.as_ref().unwrap().0[at].1).sum::<f64>() / 10.0;
    assert_eq!(report.video_map_50_95, Some(mean));
    assert_eq!((report.tubes, report.detected_tubes, report.frame_map), (3, 4, 0.0));
    assert_eq!((report.videos_without_box, report.video_protocol), (3, Some("road")));
}

/// Truths as they are, moved, doubled and invented, with scores of which many are equal.
#[test]
fn random_detections_score_as_the_slow_way_says() {
    let mut rng = Pcg64::seed_from_u64(7);
    let mut seen = std::collections::BTreeSet::new();
    let mut kinds = ErrorReport::default();
    for _ in 0..150 {
        let square = |rng: &mut Pcg64| {
            let (x, y) = (rng.random_range(0..30) as f32, rng.random_range(0..30) as f32);
            [x, y, x + rng.random_range(2..15) as f32, y + rng.random_range(2..15) as f32]
        };
        let actor = |rng: &mut Pcg64| {
            let (label, start_frame, first) = (rng.random_range(0..3), rng.random_range(0..20), square(rng));
            let length = rng.random_range(1..12);
            let boxes = (0..length).map(|at| first.map(|side| side + at as f32 * 0.5)).collect();
            Tube { label, start_frame, boxes }
        };
        let videos =
            (0..rng.random_range(1..4)).map(|_| (0..rng.random_range(0..4)).map(|_| actor(&mut rng)).collect());
        let part = part(videos.collect());
        let mut frames = vec![];
        let mut tubes = vec![];
        for video in 0..part.videos.len() {
            let mut ways = part.videos[video].tubes.clone();
            ways.extend((0..2).map(|_| actor(&mut rng)));
            for mut way in ways {
                let (x, y) = (rng.random_range(-3..4) as f32, rng.random_range(-3..4) as f32);
                way.boxes.iter_mut().for_each(|[x1, y1, x2, y2]| {
                    (*x1, *x2, *y1, *y2) = (*x1 + x, *x2 + x, *y1 + y, *y2 + y);
                });
                if rng.random_bool(0.1) {
                    way.label = rng.random_range(0..3);
                }
                let score = |rng: &mut Pcg64| rng.random_range(0..8) as f32 / 8.0;
                for (at, corners) in way.boxes.iter().enumerate() {
                    for _ in 0..rng.random_range(1..3) {
                        let (frame, score) = (way.start_frame + at, score(&mut rng));
                        frames.push(FrameDetection { video, frame, label: way.label, score, corners: *corners });
                    }
                }
                tubes.push(TubeDetection { video, score: score(&mut rng), tube: way });
            }
        }
        let Ok(report) = evaluate(&part, &labels(), &frames, Some(&tubes)) else {
            assert!(part.videos.iter().all(|video| video.tubes.is_empty()));
            continue;
        };
        compare(&report, &part, &frames, &tubes);
        let aps = report.classes.iter().flat_map(|class| class.video_ap.iter().flat_map(|ap| ap.0.clone()));
        seen.extend(aps.map(|(_, ap)| (ap * 1e6) as u64));
        kinds = ErrorReport::sum([kinds, report.errors].into_iter());
    }
    // They differ, and no kind of error was left out.
    assert!(seen.len() > 25, "{seen:?}");
    let ErrorReport { right, again, wrong_class, wrong_place, extra, missed, .. } = kinds;
    assert!([right, again, wrong_class, wrong_place, extra, missed].into_iter().all(|kind| kind > 10), "{kinds:?}");
}

/// With the slow way.
fn compare(report: &DetectReport, part: &ActorPart, frames: &[FrameDetection], tubes: &[TubeDetection]) {
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    };
    for (label, class) in report.classes.iter().enumerate() {
        let expected = slow::frame_ap(part, label, frames);
        assert!(near(class.frame_ap, expected), "{:?} {expected:?}", class.frame_ap);
        for threshold in TUBE_IOUS {
            let expected = slow::tube_ap(part, label, tubes, threshold);
            let found = class.video_ap.as_ref().and_then(|ap| ap.get(threshold));
            assert!(near(found, expected), "{found:?} {expected:?} at {threshold}");
        }
    }
    let of = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let mean = of(report.classes.iter().filter_map(|class| class.frame_ap).collect());
    assert!((report.frame_map - mean).abs() < 1e-9);
    let mean = of(report.classes.iter().filter_map(|class| class.video_ap.as_ref()?.get(0.75)).collect());
    assert!(near(report.video_map.as_ref().unwrap().get(0.75), Some(mean)));
    assert_eq!(report.errors, slow::errors(part, report.classes.len(), frames));
    assert_eq!(report.accuracy, Some(slow::accuracy(part, tubes)));
    // Every truth is found or missed, every box is of a kind.
    let ErrorReport { boxes, right, again, wrong_class, wrong_place, extra, missed } = report.errors;
    assert_eq!((right + missed, right + again + wrong_class + wrong_place + extra), (report.boxes, boxes));
}

/// The truth of some videos, as if it was found with scores.
fn as_found(part: &ActorPart, mut score: impl FnMut() -> f32) -> (Vec<FrameDetection>, Vec<TubeDetection>) {
    let (mut frames, mut tubes) = (vec![], vec![]);
    for (video, of) in part.videos.iter().enumerate() {
        for tube in &of.tubes {
            tubes.push(TubeDetection { video, score: score(), tube: tube.clone() });
            for (frame, &corners) in (tube.start_frame..).zip(&tube.boxes) {
                frames.push(FrameDetection { video, frame, label: tube.label, score: score(), corners });
            }
        }
    }
    (frames, tubes)
}

#[test]
fn the_real_ucf24_scores_as_the_slow_way_says() {
    let annotations = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/formats/ucf24");
    if !annotations.exists() {
        eprintln!("not tested: {} is not there", annotations.display());
        return;
    }
    let spec = ActorSpec { format: ActorFormat::Ucf24, annotations, videos: None, split: 1, skip_bad: false };
    let mut dataset = spec.load().unwrap();
    let place = dataset.parts.iter().position(|part| part.name == "test").unwrap();
    let (part, labels) = (dataset.parts.swap_remove(place), dataset.labels);

    // The truth itself; of equal scores the order is that of the file.
    let (frames, tubes) = as_found(&part, || 0.5);
    let report = evaluate(&part, &labels, &frames, Some(&tubes)).unwrap();
    assert_eq!((report.videos, report.classes.len(), report.videos_without_tube), (part.videos.len(), 24, Some(0)));
    assert_eq!((report.frame_map, report.accuracy, report.errors.right), (1.0, Some(1.0), report.boxes));
    assert_eq!(report.video_map.unwrap().0, TUBE_IOUS.map(|iou| (iou, 1.0)));

    // Moved, scaled, some of another class, of a few videos: the slow way is slow.
    let videos = part.videos.into_iter().step_by(12).collect();
    let part = ActorPart { name: part.name, videos, missing: vec![] };
    let mut rng = Pcg64::seed_from_u64(24);
    let (mut frames, mut tubes) = as_found(&part, || rng.random_range(0..50) as f32 / 50.0);
    let mut jitter = |label: &mut usize, boxes: &mut [[f32; 4]]| {
        if rng.random_bool(0.1) {
            *label = rng.random_range(0..24);
        }
        let (x, y, scale) = (rng.random_range(-0.3..0.3), rng.random_range(-0.3..0.3), rng.random_range(0.7..1.3));
        for [x1, y1, x2, y2] in boxes {
            let (width, height) = (*x2 - *x1, *y2 - *y1);
            (*x1, *y1) = (*x1 + x * width, *y1 + y * height);
            (*x2, *y2) = (*x1 + scale * width, *y1 + scale * height);
        }
    };
    frames.iter_mut().for_each(|one| jitter(&mut one.label, std::slice::from_mut(&mut one.corners)));
    tubes.iter_mut().for_each(|one| jitter(&mut one.tube.label, &mut one.tube.boxes));
    let report = evaluate(&part, &labels, &frames, Some(&tubes)).unwrap();
    compare(&report, &part, &frames, &tubes);
    assert!((0.1..0.9).contains(&report.frame_map), "{}", report.frame_map);
}

#[test]
fn what_makes_no_sense_is_named() {
    let part = part(vec![vec![tube(0, 0, &[LEFT])]]);
    let error = |one: FrameDetection| evaluate(&part, &labels(), &[one], None).unwrap_err().to_string();
    assert!(error(found(0, 3, 0.5, LEFT)).contains("v0: found the label 3, expected one below 3"));
    assert!(error(found(0, 0, f32::NAN, LEFT)).contains("v0: a detection with the number NaN"));
    assert!(error(FrameDetection { video: 1, ..found(0, 0, 0.5, LEFT) }).contains("the video 1, expected one below 1"));
    let of_tube = |label, boxes: &[[f32; 4]]| {
        let one = TubeDetection { video: 0, score: 0.5, tube: tube(label, 0, boxes) };
        evaluate(&part, &labels(), &[], Some(&[one])).unwrap_err().to_string()
    };
    assert!(of_tube(3, &[]).contains("v0: found the label 3"));
    assert!(of_tube(0, &[LEFT, [0.0, f32::INFINITY, 1.0, 1.0]]).contains("v0: a detection with the number inf"));
    let empty = super::tests::part(vec![vec![]]);
    let error = evaluate(&empty, &labels(), &[], None).unwrap_err().to_string();
    assert!(error.contains("\"test\" has no box in 1 videos"), "{error}");
}
