//! How often a model names the action.

use serde::Serialize;
use unscene_data::Item;

use crate::score::VideoScores;

/// Accuracy on the videos of a part. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActionReport {
    /// Videos scored.
    pub videos: usize,
    /// Videos that could not be read, and count nowhere.
    pub skipped: usize,
    /// Share of videos whose likeliest class is right.
    pub top1: f64,
    /// Share of videos whose class is among the five likeliest.
    pub top5: f64,
    /// Mean over the classes that have videos of their top-1.
    pub mean_class: f64,
    /// Mean entropy of the class distribution, in nats; at most the logarithm of the number of classes.
    pub entropy: f64,
    /// Classes that have videos, in the order of the labels.
    pub classes: Vec<ClassAccuracy>,
}

/// Accuracy on the videos of a class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassAccuracy {
    /// Its name.
    pub label: String,
    /// Its videos.
    pub videos: usize,
    /// Share whose likeliest class is right.
    pub top1: f64,
}

impl ActionReport {
    /// Counts. Where classes are equally likely, the one with the smaller index comes first.
    pub fn new(videos: &[VideoScores], items: &[Item], labels: &[String], skipped: usize) -> Self {
        let (mut top1, mut top5, mut entropy) = (0, 0, 0.0);
        let mut classes = vec![(0usize, 0usize); labels.len()];
        for video in videos {
            let label = items[video.item].label;
            let own = video.probabilities[label];
            let before = |(class, p): &(usize, &f64)| **p > own || (**p == own && *class < label);
            let rank = video.probabilities.iter().enumerate().filter(before).count();
            top1 += usize::from(rank == 0);
            top5 += usize::from(rank < 5);
            entropy += video.entropy;
            classes[label].0 += 1;
            classes[label].1 += usize::from(rank == 0);
        }
        let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
        let classes: Vec<ClassAccuracy> = labels
            .iter()
            .zip(classes)
            .filter(|(_, (videos, _))| *videos > 0)
            .map(|(label, (videos, right))| ClassAccuracy { label: label.clone(), videos, top1: share(right, videos) })
            .collect();
        ActionReport {
            videos: videos.len(),
            skipped,
            top1: share(top1, videos.len()),
            top5: share(top5, videos.len()),
            mean_class: classes.iter().map(|class| class.top1).sum::<f64>() / classes.len().max(1) as f64,
            entropy: entropy / videos.len().max(1) as f64,
            classes,
        }
    }
}

#[cfg(test)]
mod tests {
    use unscene_data::{Media, Span};

    use super::*;

    #[test]
    fn videos_classes_and_ranks_are_counted() {
        // Seven classes, of which two have videos: three of class 0, one of class 6.
        let labels: Vec<String> = (0..7).map(|n| format!("c{n}")).collect();
        let item = |label| Item { id: String::new(), media: Media::Video("v".into()), span: Span::Whole, label };
        let items = [item(0), item(0), item(0), item(6)];
        let video = |item, probabilities: [f64; 7], entropy| VideoScores {
            item,
            clips: 1,
            probabilities: probabilities.to_vec(),
            entropy,
            features: vec![],
        };
        let videos = [
            video(0, [0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0], 1.0),
            video(1, [0.1, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0], 2.0),
            video(2, [0.0, 0.1, 0.2, 0.2, 0.2, 0.3, 0.0], 0.0),
            // All alike: the last class is not the first.
            video(3, [1.0 / 7.0; 7], 1.0),
        ];
        let report = ActionReport::new(&videos, &items, &labels, 2);
        assert_eq!((report.videos, report.skipped, report.top1, report.top5, report.entropy), (4, 2, 0.25, 0.5, 1.0));
        assert!((report.mean_class - (1.0 / 3.0 + 0.0) / 2.0).abs() < 1e-12);
        let classes: Vec<_> = report.classes.iter().map(|class| (class.label.as_str(), class.videos)).collect();
        assert_eq!(classes, [("c0", 3), ("c6", 1)]);
        assert_eq!(ActionReport::new(&[], &items, &labels, 4).top1, 0.0);
    }
}
