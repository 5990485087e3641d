//! Average recall of proposals against their number (AR-AN), as ActivityNet measures it (`eval_proposal.py`).

use std::collections::HashMap;

use serde::Serialize;
use unscene_data::untrimmed::UntrimmedPart;

use super::evaluate::Protocol;
use super::segment::{Proposal, Scored, Span, rank, tiou};
use crate::error::{EvalError, Result};

/// Points of the curve, as in the official program.
const POINTS: usize = 100;

/// How many of the actions are among the proposals, whatever their class. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProposalReport {
    /// Videos with actions.
    pub videos: usize,
    /// Their actions.
    pub actions: usize,
    /// Proposals in these videos; others cannot find anything, and do not count.
    pub proposals: usize,
    /// Proposals left out before scoring; whoever left them out says how many.
    pub skipped: usize,
    /// The area below the curve over its width.
    pub auc: f64,
    /// From a hundredth of the most proposals to all of them.
    pub curve: Vec<ProposalPoint>,
}

/// A point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProposalPoint {
    /// Mean number of proposals per video. Each video gives the same share of its own, the best first.
    pub per_video: f64,
    /// Share of the actions that a proposal overlaps by the threshold or more, mean over the thresholds 0.5 to 0.95.
    pub recall: f64,
}

/// Measures proposals, up to `most` per video on average.
///
/// # Errors
/// When the part has no action, `most` is not above 0, or a proposal has a number that is not finite.
pub fn proposal_recall(part: &UntrimmedPart, proposals: &[Proposal], most: f64) -> Result<ProposalReport> {
    if !(most.is_finite() && most > 0.0) {
        return Err(EvalError::Outputs(format!("found {most} proposals per video, expected a number above 0")));
    }
    let mut found: HashMap<&str, Vec<Scored>> = HashMap::new();
    for Proposal { video, start_s, end_s, score } in proposals {
        if let Some(number) = [start_s, end_s, score].into_iter().find(|number| !number.is_finite()) {
            let problem = format!("{video}: a proposal with the number {number}, expected finite times and scores");
            return Err(EvalError::Outputs(problem));
        }
        found.entry(video).or_default().push(Scored { span: (*start_s, *end_s), score: *score });
    }
    let videos: Vec<Video> = part
        .videos
        .iter()
        .filter(|video| !video.segments.is_empty())
        .map(|video| Video {
            actions: video.segments.iter().map(|action| (action.start_s, action.end_s)).collect(),
            found: found.remove(video.id.as_str()).unwrap_or_default(),
        })
        .collect();
    if videos.is_empty() {
        return Err(EvalError::TooFew(format!("the part {:?} has no action for proposals to find", part.name)));
    }
    Ok(measure(videos, most))
}

struct Video {
    actions: Vec<Span>,
    found: Vec<Scored>,
}

/// Sums and products are those of the official program, in its order: what is cut off after a fraction depends on it.
fn measure(mut videos: Vec<Video>, most: f64) -> ProposalReport {
    let proposals: usize = videos.iter().map(|video| video.found.len()).sum();
    let actions: usize = videos.iter().map(|video| video.actions.len()).sum();
    let count = videos.len() as f64;
    let ratio = most * count / proposals.max(1) as f64;
    for Video { found, .. } in &mut videos {
        rank(found);
        found.truncate((found.len() as f64 * ratio) as usize);
    }
    let kept: usize = videos.iter().map(|video| video.found.len()).sum();
    let firsts: Vec<(usize, Vec<usize>)> = videos.iter().map(|video| (video.found.len(), first_found(video))).collect();
    let thresholds = Protocol::ActivityNet.thresholds().len();
    let share = |step: usize| step as f64 / POINTS as f64 * (most * count / kept.max(1) as f64);
    let point = |step: usize| {
        let reached = |(found, firsts): &(usize, Vec<usize>)| {
            let shown = ((*found as f64 * share(step)) as usize).min(*found);
            firsts.iter().filter(|first| **first < shown).count()
        };
        let reached: usize = firsts.iter().map(reached).sum();
        let per_video = most * step as f64 / POINTS as f64;
        ProposalPoint { per_video, recall: reached as f64 / (actions * thresholds) as f64 }
    };
    let curve: Vec<ProposalPoint> = (1..=POINTS).map(point).collect();
    let between = |pair: &[ProposalPoint]| (pair[1].per_video - pair[0].per_video) * (pair[0].recall + pair[1].recall);
    let auc = curve.windows(2).map(between).sum::<f64>() / 2.0 / most;
    ProposalReport { videos: videos.len(), actions, proposals, skipped: 0, auc, curve }
}

/// For each action and threshold, the place of the first proposal that finds it; without end where none does.
fn first_found(video: &Video) -> Vec<usize> {
    let mut firsts = Vec::new();
    for &action in &video.actions {
        let overlaps: Vec<f64> = video.found.iter().map(|one| tiou(one.span, action)).collect();
        let first = |threshold: &f64| overlaps.iter().position(|overlap| overlap >= threshold).unwrap_or(usize::MAX);
        firsts.extend(Protocol::ActivityNet.thresholds().iter().map(first));
    }
    firsts
}

#[cfg(test)]
mod tests {
    use unscene_data::untrimmed::{ActionSegment, UntrimmedVideo};

    use super::*;

    fn part() -> UntrimmedPart {
        let video = |id: &str, starts: &[f64]| UntrimmedVideo {
            id: id.into(),
            media: None,
            duration_s: None,
            segments: starts
                .iter()
                .map(|&start_s| ActionSegment { label: 0, start_s, end_s: start_s + 10.0 })
                .collect(),
            ambiguous: vec![],
        };
        let videos = vec![video("a", &[0.0, 20.0]), video("b", &[0.0]), video("idle", &[])];
        UntrimmedPart { name: "test".into(), videos, missing: vec![] }
    }

    fn proposal(video: &str, start_s: f64, end_s: f64, score: f64) -> Proposal {
        Proposal { video: video.into(), start_s, end_s, score }
    }

    #[test]
    fn each_video_gives_a_share_of_its_proposals() {
        // a: wrong, right, of three quarters; b: right.
        let found = [
            proposal("a", 20.0, 27.5, 0.1),
            proposal("a", 40.0, 50.0, 0.9),
            proposal("a", 0.0, 10.0, 0.5),
            proposal("b", 0.0, 10.0, 0.2),
            proposal("idle", 0.0, 10.0, 1.0),
        ];
        let report = proposal_recall(&part(), &found, 2.0).unwrap();
        assert_eq!((report.videos, report.actions, report.proposals), (2, 3, 4));
        assert_eq!((report.curve.len(), report.curve[0].per_video, report.curve[99].per_video), (100, 0.02, 2.0));
        let at = |step: usize| report.curve[step - 1].recall;
        assert_eq!((at(33), at(66)), (0.0, 0.0));
        // Two thirds of a's three: one action of three. All: 0.75 is six of the ten thresholds.
        assert_eq!(at(67), 1.0 / 3.0);
        assert!((at(100) - 2.6 / 3.0).abs() < 1e-12);
        // Of half a proposal per video, a quarter of each video's, nothing whole is left.
        assert_eq!(proposal_recall(&part(), &found, 0.5).unwrap().curve[99].recall, 0.0);
    }

    #[test]
    fn nothing_is_found_by_nothing() {
        let report = proposal_recall(&part(), &[], 10.0).unwrap();
        assert_eq!((report.proposals, report.auc, report.curve[99].recall), (0, 0.0, 0.0));
        let error = proposal_recall(&part(), &[proposal("a", 0.0, f64::INFINITY, 1.0)], 10.0).unwrap_err();
        assert!(error.to_string().contains("a: a proposal with the number inf"), "{error}");
        assert!(proposal_recall(&part(), &[], f64::NAN).is_err());
        assert!(proposal_recall(&UntrimmedPart::default(), &[], 1.0).is_err());
    }
}
