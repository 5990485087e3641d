//! Boxes: overlap, and choosing among many that mean the same.

/// A box with the certainty that it holds what was looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Left, top, right, bottom in pixels; a pixel's edges are whole numbers.
    pub corners: [f32; 4],
    /// From 0 to 1.
    pub score: f32,
}

/// Area shared by two boxes as a part of the area of both together, from 0 to 1. Boxes without area share nothing.
pub fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let area = |[x1, y1, x2, y2]: [f32; 4]| (x2 - x1).max(0.0) * (y2 - y1).max(0.0);
    let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let both = area(*a) + area(*b) - shared;
    if shared > 0.0 && both > 0.0 { shared / both } else { 0.0 }
}

/// Non-maximum suppression: keeps a box when no kept box of a higher score overlaps it by more than `max_iou`, as
/// torchvision does. The result is in falling order of score; equal scores keep their order. Boxes that are not numbers
/// are dropped.
pub fn nms(mut detections: Vec<Detection>, max_iou: f32) -> Vec<Detection> {
    detections.retain(|found| found.score.is_finite() && found.corners.iter().all(|side| side.is_finite()));
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for found in detections {
        if kept.iter().all(|better| iou(&better.corners, &found.corners) <= max_iou) {
            kept.push(found);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(corners: [f32; 4], score: f32) -> Detection {
        Detection { corners, score }
    }

    #[test]
    fn overlap_is_shared_area_by_all_area() {
        let square = [0.0, 0.0, 10.0, 10.0];
        assert_eq!(iou(&square, &square), 1.0);
        assert_eq!(iou(&square, &[5.0, 0.0, 15.0, 10.0]), 50.0 / 150.0);
        assert_eq!(iou(&square, &[5.0, 5.0, 15.0, 15.0]), 25.0 / 175.0);
        assert_eq!(iou(&square, &[10.0, 0.0, 20.0, 10.0]), 0.0);
        assert_eq!(iou(&square, &[5.0, 5.0, 5.0, 9.0]), 0.0);
        assert_eq!(iou(&[3.0; 4], &[3.0; 4]), 0.0);
        assert!(!iou(&square, &[f32::NAN, 0.0, 10.0, 10.0]).is_nan());
    }

    #[test]
    fn the_best_of_those_that_overlap_is_kept() {
        let kept = nms(
            vec![
                found([0.0, 0.0, 10.0, 10.0], 0.6),
                found([1.0, 0.0, 11.0, 10.0], 0.9),
                found([20.0, 0.0, 30.0, 10.0], 0.6),
                found([0.0, 0.0, f32::NAN, 10.0], 0.99),
                found([0.0, 0.0, 10.0, 10.0], f32::NAN),
            ],
            0.5,
        );
        assert_eq!(kept, [found([1.0, 0.0, 11.0, 10.0], 0.9), found([20.0, 0.0, 30.0, 10.0], 0.6)]);
        // Exactly as much as allowed is allowed.
        let half = vec![found([0.0, 0.0, 10.0, 10.0], 0.6), found([0.0, 0.0, 10.0, 5.0], 0.5)];
        assert_eq!(nms(half.clone(), 0.5).len(), 2);
        assert_eq!(nms(half, 0.49).len(), 1);
    }

    /// By the definition: a box stays if and only if no box that stays and comes before it overlaps it too much.
    #[test]
    fn agrees_with_the_definition_on_many_boxes() {
        let mut state = 1u32;
        let mut random = move |below: f32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 * below
        };
        for _ in 0..50 {
            let boxes: Vec<Detection> = (0..60)
                .map(|_| {
                    let (x, y) = (random(50.0), random(50.0));
                    found([x, y, x + random(30.0), y + random(30.0)], (random(10.0).round()) / 10.0)
                })
                .collect();
            let mut order: Vec<usize> = (0..boxes.len()).collect();
            order.sort_by(|&a, &b| boxes[b].score.partial_cmp(&boxes[a].score).unwrap().then(a.cmp(&b)));
            let mut stays = vec![true; boxes.len()];
            for later in 0..order.len() {
                stays[order[later]] = (0..later).all(|earlier| {
                    !stays[order[earlier]] || iou(&boxes[order[earlier]].corners, &boxes[order[later]].corners) <= 0.4
                });
            }
            let expected: Vec<Detection> = order.iter().filter(|&&at| stays[at]).map(|&at| boxes[at]).collect();
            assert_eq!(nms(boxes, 0.4), expected);
        }
    }
}
