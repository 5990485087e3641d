//! How long the videos of a part are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use unscene_media::Frames;

use super::UntrimmedPart;
use crate::clip::{ClipForm, Opened, open};
use crate::dataset::Media;
use crate::error::Result;
use crate::loader::{Failure, guarded, threads};

/// Reads the lengths of the videos that are there, on all cores, and keeps them in the part: where annotations say more than
/// there is, as of a download that was broken off, what there is counts, and otherwise what they say. Gives the videos that
/// could not be read.
///
/// Lengths are those of the headers. A video whose header does not say is decoded to its end.
pub fn measure(part: &mut UntrimmedPart) -> Vec<Failure> {
    let there = part.videos.iter().enumerate();
    let there: Vec<(usize, &Media)> = there.filter_map(|(at, video)| Some((at, video.media.as_ref()?))).collect();
    let lengths = each(&there, 0, |(at, media)| (*at, duration_s(media)));
    let mut failures = Vec::new();
    for (at, length) in lengths {
        let video = &mut part.videos[at];
        match length {
            Ok(there_s) => video.duration_s = Some(video.duration_s.map_or(there_s, |said_s| said_s.min(there_s))),
            Err(error) => failures.push(Failure { id: video.id.clone(), reason: error.to_string() }),
        }
    }
    failures
}

fn duration_s(media: &Media) -> Result<f64> {
    fn of(frames: &mut impl Frames) -> Result<f64> {
        if let Some(duration_s) = frames.duration_s() {
            return Ok(duration_s);
        }
        let mut end_s = 0.0;
        while let Some(frame) = frames.advance()? {
            end_s = frame.time_s + frame.duration_s;
        }
        Ok(end_s)
    }
    guarded(|| match open(media, &ClipForm::default(), 1)? {
        Opened::Video(mut frames) => of(&mut *frames),
        Opened::Pictures(mut frames) => of(&mut *frames),
    })
}

/// Does the same with each, on some threads (0 is one per core), and gives what came out in order.
pub fn each<T: Sync, R: Send>(items: &[T], workers: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let (sender, results) = crossbeam_channel::unbounded();
    thread::scope(|scope| {
        for _ in 0..threads(workers).min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let _ = sender.send((at, work(item)));
                }
            });
        }
    });
    let mut results: Vec<(usize, R)> = results.try_iter().collect();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
