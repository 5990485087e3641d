use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::*;
use crate::trimming::tests::{random_scores, slowly};

/// A square of 20 pixels.
fn square(label: usize, score: f32, [x, y]: [f32; 2]) -> LabelledBox {
    LabelledBox { label, score, corners: [x, y, x + 20.0, y + 20.0] }
}

/// All tubes of frames and their boxes, and when each was told.
fn link(frames: &[(usize, Vec<LabelledBox>)], rule: TubeRule) -> Vec<(usize, DetectedTube)> {
    let mut linker = TubeLinker::new(rule);
    let mut told = vec![];
    for (frame, boxes) in frames {
        told.extend(linker.push(*frame, boxes).into_iter().map(|tube| (*frame, tube)));
    }
    told.extend(linker.finish().into_iter().map(|tube| (usize::MAX, tube)));
    told
}

/// The frames from 0 on.
fn frames(count: usize, boxes: impl Fn(usize) -> Vec<LabelledBox>) -> Vec<(usize, Vec<LabelledBox>)> {
    (0..count).map(|frame| (frame, boxes(frame))).collect()
}

#[test]
fn actors_that_cross_keep_their_tubes() {
    // One goes right and one left, at the same height; the surer is not always named first.
    let at = |frame: usize| [[3.0 * frame as f32, 5.0], [120.0 - 3.0 * frame as f32, 5.0]];
    let boxes = frames(41, |frame| {
        let both = [square(1, 0.9, at(frame)[0]), square(1, 0.8, at(frame)[1])];
        if frame % 2 == 0 { both.to_vec() } else { both.into_iter().rev().collect() }
    });
    let told = link(&boxes, TubeRule::default());
    assert_eq!(told.len(), 2);
    for (actor, (when, found)) in told.iter().enumerate() {
        assert_eq!((*when, found.tube.label, found.tube.start_frame, found.tube.boxes.len()), (usize::MAX, 1, 0, 41));
        for frame in 0..41 {
            assert_eq!(found.tube.at(frame), Some(&square(1, 0.0, at(frame)[actor]).corners), "{actor} {frame}");
        }
        assert!((found.score - [0.9, 0.8][actor]).abs() < 1e-5, "{}", found.score);
    }
}

#[test]
fn a_box_of_another_class_or_place_is_another_tube() {
    let boxes =
        frames(20, |_| vec![square(0, 0.9, [0.0, 0.0]), square(2, 0.9, [0.0, 0.0]), square(0, 0.8, [50.0, 0.0])]);
    let told = link(&boxes, TubeRule::default());
    let found: Vec<(usize, f32)> = told.iter().map(|(_, one)| (one.tube.label, one.tube.boxes[0][0])).collect();
    assert_eq!(found, [(0, 0.0), (0, 50.0), (2, 0.0)]);
    // With one box a class and frame, the second actor is never looked at.
    assert_eq!(link(&boxes, TubeRule { most_boxes: 1, ..TubeRule::default() }).len(), 2);
}

#[test]
fn a_gap_is_bridged_and_a_longer_one_ends_the_tube() {
    let with_gap = |gap: usize| {
        frames(40, move |frame| match frame {
            0..15 => vec![square(0, 0.75, [0.0, 0.0])],
            _ if frame < 15 + gap => vec![],
            _ => vec![square(0, 1.0, [10.0, 5.0])],
        })
    };
    let told = link(&with_gap(4), TubeRule::default());
    assert_eq!(told.len(), 1);
    let found = &told[0].1;
    assert_eq!((found.tube.start_frame, found.tube.boxes.len()), (0, 40));
    // Frames 15 to 18 lie on the way from 14 to 19.
    assert!((found.tube.boxes[15][0] - 2.0).abs() < 1e-5 && (found.tube.boxes[18][1] - 4.0).abs() < 1e-5);
    assert!((found.scores[16] - 0.85).abs() < 1e-6);
    assert_eq!(found.tube.boxes[19], [10.0, 5.0, 30.0, 25.0]);

    let told = link(&with_gap(5), TubeRule::default());
    let spans: Vec<_> = told.iter().map(|(when, one)| (*when, one.tube.start_frame, one.tube.end_frame())).collect();
    // The fifth frame without a box is 19.
    assert_eq!(spans, [(19, 0, 15), (usize::MAX, 20, 40)]);
}

#[test]
fn a_tube_is_told_where_it_shows_the_action() {
    let boxes = frames(200, |frame| {
        vec![square(4, if (60..100).contains(&frame) { 0.875 } else { 0.125 }, [frame as f32, 0.0])]
    });
    let told = link(&boxes, TubeRule::default());
    assert_eq!(told.len(), 1);
    let (when, found) = &told[0];
    assert_eq!((found.tube.start_frame, found.tube.end_frame()), (60, 100));
    assert_eq!((found.score, found.tube.boxes[0]), (0.875, [60.0, 0.0, 80.0, 20.0]));
    // From 3 ahead to more than 3 behind, by 0.75 a frame: settled by the ninth frame after it.
    assert_eq!(*when, 108);
}

#[test]
fn flicker_is_smoothed_away() {
    let scores = |frame: usize| match frame {
        // Two frames of doubt in the middle of it, and later two frames of a wrong alarm.
        30 | 31 => 0.1,
        80 | 81 => 0.9,
        20..50 => 0.9,
        _ => 0.1,
    };
    let boxes = frames(120, |frame| {
        let mut boxes = vec![square(0, scores(frame), [0.0, 0.0])];
        // Somewhere else something that lasts for three frames only.
        boxes.extend((40..43).contains(&frame).then_some(square(0, 0.99, [200.0, 0.0])));
        boxes
    });
    let told = link(&boxes, TubeRule::default());
    let spans: Vec<_> = told.iter().map(|(_, one)| (one.tube.start_frame, one.tube.end_frame())).collect();
    assert_eq!(spans, [(20, 50)]);
    // As long as that one is, it is told to whoever asks for three frames.
    let told = link(&boxes, TubeRule { min_frames: 3, ..TubeRule::default() });
    let spans: Vec<_> = told.iter().map(|(_, one)| (one.tube.start_frame, one.tube.end_frame())).collect();
    assert_eq!(spans, [(40, 43), (20, 50)]);
}

#[test]
fn frames_that_are_not_looked_at_do_not_end_a_tube() {
    let every = 8;
    let boxes: Vec<_> = (0..6).map(|at| (at * every, vec![square(0, 0.9, [at as f32 * 8.0, 0.0])])).collect();
    let told = link(&boxes, TubeRule::default());
    assert_eq!(told.len(), 1);
    let found = &told[0].1;
    assert_eq!((found.tube.start_frame, found.tube.boxes.len()), (0, 41));
    assert!(found.tube.boxes.iter().enumerate().all(|(frame, corners)| (corners[0] - frame as f32).abs() < 1e-4));
}

#[test]
fn boxes_that_are_not_numbers_are_dropped() {
    let boxes = frames(20, |_| {
        let good = square(0, 0.9, [0.0, 0.0]);
        vec![LabelledBox { score: f32::NAN, ..good }, good, square(0, 0.9, [f32::INFINITY, 0.0])]
    });
    let told = link(&boxes, TubeRule::default());
    assert!(told.len() == 1 && told[0].1.scores.iter().all(|score| *score == 0.9), "{told:?}");
    assert_eq!(link(&[], TubeRule::default()), []);
}

#[test]
#[should_panic(expected = "frame 3 after frame 3")]
fn frames_come_in_their_order() {
    let mut linker = TubeLinker::new(TubeRule::default());
    linker.push(3, &[]);
    linker.push(3, &[]);
}

/// However long it lasts: background is forgotten, and doubt is settled.
#[test]
fn what_is_held_is_bounded() {
    let rule = TubeRule { most_boxes: 3, delay_frames: 12, ..TubeRule::default() };
    let mut linker = TubeLinker::new(rule);
    let mut rng = Pcg64::seed_from_u64(8);
    let (mut most, mut longest) = (0, 0);
    for frame in 0..2000 {
        // One that is never clear, one that shows nothing, and boxes anywhere that nothing follows.
        let mut boxes = vec![square(0, [0.25, 0.75][frame % 2], [0.0, 0.0]), square(1, 0.1, [0.0, 0.0])];
        boxes.extend((0..20).map(|_| square(1, 0.4, [rng.random_range(0..9000) as f32, 500.0])));
        linker.push(frame, &boxes);
        for tubes in linker.live.values() {
            assert!(tubes.len() <= rule.most_boxes * rule.max_missed, "{}", tubes.len());
            most = most.max(tubes.len());
        }
        let held = |label: usize| linker.live[&label].iter().map(|tube| tube.trimmer.held()).max().unwrap();
        assert!(held(0).max(held(1)) <= rule.delay_frames, "{} {}", held(0), held(1));
        longest = longest.max(held(0));
    }
    assert!(most > 10 && longest == rule.delay_frames, "{most} {longest}");
}

/// A tube as it grows in [`whole`]: its boxes by frame.
type Found = Vec<(usize, LabelledBox)>;

/// All tubes of one class, slowly: every tube that ever was is kept as the boxes that it found, everything else is
/// computed from them.
fn whole(label: usize, frames: &[(usize, Vec<LabelledBox>)], rule: &TubeRule) -> Vec<Found> {
    let mut tubes: Vec<Found> = vec![];
    for (at, (frame, boxes)) in frames.iter().enumerate() {
        let mut ranked: Vec<LabelledBox> = boxes.iter().filter(|one| one.label == label).copied().collect();
        ranked.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap());
        ranked.truncate(rule.most_boxes);
        let mut is_free = vec![true; ranked.len()];
        let mean = |tube: &Found| tube.iter().map(|(_, one)| f64::from(one.score)).sum::<f64>() / tube.len() as f64;
        // Ended: no box in any of so many frames before this one.
        let is_live = |tube: &Found| {
            frames[at.saturating_sub(rule.max_missed)..at].iter().any(|(f, _)| *f == tube.last().unwrap().0)
        };
        let mut order: Vec<usize> = (0..tubes.len()).filter(|&tube| is_live(&tubes[tube])).collect();
        order.sort_by(|&a, &b| mean(&tubes[b]).partial_cmp(&mean(&tubes[a])).unwrap());
        for tube in order {
            let last = tubes[tube].last().unwrap().1;
            let fits = |&n: &usize| is_free[n] && iou(&last.corners, &ranked[n].corners) >= rule.min_iou;
            if let Some(n) = (0..ranked.len()).find(fits) {
                is_free[n] = false;
                tubes[tube].push((*frame, ranked[n]));
            }
        }
        tubes.extend((0..ranked.len()).filter(|&n| is_free[n]).map(|n| vec![(*frame, ranked[n])]));
    }
    tubes
}

/// The stretches of a tube: boxes and scores of all frames, then labels of all frames, then what lies between changes.
fn stretches(label: usize, found: &Found, rule: &TubeRule) -> Vec<DetectedTube> {
    let (first, last) = (found[0].0, found[found.len() - 1].0);
    let all: Vec<LabelledBox> = (first..=last)
        .map(|frame| {
            let (before, from) = found.iter().rev().find(|(at, _)| *at <= frame).unwrap();
            let (after, to) = found.iter().find(|(at, _)| *at >= frame).unwrap();
            let part = if before == after { 0.0 } else { (frame - before) as f32 / (after - before) as f32 };
            let between = |from: f32, to: f32| from * (1.0 - part) + to * part;
            let corners = std::array::from_fn(|side| between(from.corners[side], to.corners[side]));
            LabelledBox { label, score: between(from.score, to.score), corners }
        })
        .collect();
    let scores: Vec<f32> = all.iter().map(|one| one.score).collect();
    let (labels, _) = slowly(&scores, rule.change_cost, rule.delay_frames);
    let starts = (0..all.len()).filter(|&at| labels[at] && (at == 0 || !labels[at - 1]));
    let stretch = |start: usize| {
        let end = (start..all.len()).find(|&at| !labels[at]).unwrap_or(all.len());
        let scores = scores[start..end].to_vec();
        let mut best = scores.clone();
        best.sort_by(|a, b| b.partial_cmp(a).unwrap());
        let best = &best[..best.len().min(40)];
        let score = best.iter().sum::<f32>() / best.len() as f32;
        let boxes = all[start..end].iter().map(|one| one.corners).collect();
        DetectedTube { tube: Tube { label, start_frame: first + start, boxes }, score, scores }
    };
    starts.map(stretch).filter(|one| one.scores.len() >= rule.min_frames).collect()
}

#[test]
fn tubes_that_grow_are_those_of_the_whole_video() {
    let mut rng = Pcg64::seed_from_u64(11);
    let (mut told_early, mut count, mut filled) = (0, 0, 0);
    for round in 0..60 {
        let every = [1, 1, 2, 4][round % 4];
        let rule = TubeRule {
            most_boxes: [10, 4][round % 2],
            max_missed: [5, 1, 2][round % 3],
            change_cost: [3.0, 1.0][round % 2],
            delay_frames: [100, 6][round % 2],
            min_frames: [1, 10][round % 2],
            ..TubeRule::default()
        };
        let (looked, actors) = (100, 4);
        let ways: Vec<(usize, [f32; 4], Vec<f32>)> = (0..actors)
            .map(|_| {
                let way = std::array::from_fn(|n| rng.random_range(if n < 2 { 0..120 } else { -12..13 }) as f32);
                (rng.random_range(0..2), way, random_scores(&mut rng, looked))
            })
            .collect();
        let boxes: Vec<(usize, Vec<LabelledBox>)> = (0..looked)
            .map(|at| {
                let mut boxes = vec![];
                for (label, [x, y, right, down], scores) in &ways {
                    let time = at as f32 / 10.0;
                    let mut jitter = || rng.random_range(-3..4) as f32;
                    let place = [x + right * time + jitter(), y + down * time + jitter()];
                    if rng.random_range(0..6) > 0 {
                        boxes.push(square(*label, scores[at], place));
                    }
                }
                let noise = rng.random_range(0..4);
                boxes.extend((0..noise).map(|_| {
                    let place = [0; 2].map(|_| rng.random_range(0..200) as f32);
                    square(rng.random_range(0..2), rng.random_range(0..17) as f32 / 16.0, place)
                }));
                (at * every, boxes)
            })
            .collect();
        let mut expected: Vec<DetectedTube> = vec![];
        for label in 0..2 {
            for tube in whole(label, &boxes, &rule) {
                filled += tube.windows(2).filter(|pair| pair[1].0 > pair[0].0 + every).count();
                expected.extend(stretches(label, &tube, &rule));
            }
        }
        let told = link(&boxes, rule);
        told_early += told.iter().filter(|(when, _)| *when != usize::MAX).count();
        let mut found: Vec<DetectedTube> = told.into_iter().map(|(_, tube)| tube).collect();
        count += found.len();
        for list in [&mut found, &mut expected] {
            list.sort_by(|a, b| {
                let key = |one: &DetectedTube| (one.tube.label, one.tube.start_frame, one.tube.boxes.len());
                key(a).cmp(&key(b)).then(a.tube.boxes[0][0].total_cmp(&b.tube.boxes[0][0]))
            });
        }
        assert_eq!(found, expected, "round {round}");
    }
    assert!(count > 300 && told_early > 100 && filled > 300, "{count} {told_early} {filled}");
}
