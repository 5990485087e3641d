//! What the readers of untrimmed datasets have in common: parts in the making, and annotations that cannot be right.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{ActionSegment, Doubt, Untrimmed, UntrimmedPart, UntrimmedVideo};
use crate::dataset::Media;
use crate::error::{DataError, Result};
use crate::formats::files::Files;
use crate::formats::part::{check_labels, format_error};

/// By how much a segment may overrun the end of its video, in seconds. THUMOS14 rounds times to 0.1 s, ActivityNet's last
/// segments overrun by hundredths, sound lasts longer than pictures, and a video that was encoded again loses frames at its
/// end: that is no reason to lose an action. The annotations of THUMOS14 that are known to be wrong begin a second and more
/// behind the end.
pub const OVERRUN_S: f64 = 0.5;

/// Names by which lists and folders call the same part.
const ALIASES: [&[&str]; 3] = [&["train", "training"], &["val", "validation", "validate"], &["test", "testing"]];

/// Where an annotation stands.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub path: &'a Path,
    pub line: Option<u64>,
    pub part: &'a str,
    pub video: &'a str,
}

/// What is annotated.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An action, by the index of its label.
    Action(usize),
    /// Moments of which nobody can say what they show.
    Ambiguous,
}

/// Part, video, kind, and the times' bits.
type Annotated = (String, String, Kind, [u64; 2]);

/// Annotations in the making.
pub struct Collected {
    labels: Vec<String>,
    class_ids: Vec<u32>,
    parts: BTreeMap<String, BTreeMap<String, UntrimmedVideo>>,
    /// Where each annotation stands.
    seen: HashMap<Annotated, (PathBuf, Option<u64>)>,
    doubts: Vec<Doubt>,
}

impl Collected {
    /// Without a video.
    pub fn new(path: &Path, labels: Vec<String>, class_ids: Vec<u32>) -> Result<Self> {
        check_labels(path, &labels)?;
        let (parts, seen) = (BTreeMap::new(), HashMap::new());
        Ok(Collected { labels, class_ids, parts, seen, doubts: vec![] })
    }

    /// A part; it is there even when no video is.
    pub fn part(&mut self, name: &str) -> &mut BTreeMap<String, UntrimmedVideo> {
        self.parts.entry(name.to_string()).or_default()
    }

    /// A video of a part; it is there even when no annotation of it can be right.
    pub fn video(&mut self, part: &str, id: &str) -> &mut UntrimmedVideo {
        let video = || UntrimmedVideo {
            id: id.to_string(),
            media: None,
            duration_s: None,
            segments: vec![],
            ambiguous: vec![],
        };
        self.part(part).entry(id.to_string()).or_insert_with(video)
    }

    /// An annotation that cannot be right.
    pub fn doubt(&mut self, place: &Place<'_>, problem: impl Into<String>) {
        let (path, line, video) = (place.path.to_path_buf(), place.line, place.video.to_string());
        self.doubts.push(Doubt { path, line, video, problem: problem.into() });
    }

    /// Adds an annotation with its times as they are written.
    pub fn add(&mut self, place: &Place<'_>, kind: Kind, times: [&str; 2]) {
        let duration_s = self.video(place.part, place.video).duration_s;
        let (start_s, end_s) = match seconds(times, duration_s) {
            Ok(times) => times,
            Err(problem) => return self.doubt(place, problem),
        };
        // Zero has two signs.
        let bits = [start_s, end_s].map(|time_s| (time_s + 0.0).to_bits());
        let key = (place.part.to_string(), place.video.to_string(), kind, bits);
        if let Some((path, line)) = self.seen.get(&key) {
            let at = line.map(|line| format!(" line {line}")).unwrap_or_default();
            let problem = format!("the segment {start_s} to {end_s} s is there already, in {}{at}", path.display());
            return self.doubt(place, problem);
        }
        self.seen.insert(key, (place.path.to_path_buf(), place.line));
        let video = self.video(place.part, place.video);
        match kind {
            Kind::Action(label) => video.segments.push(ActionSegment { label, start_s, end_s }),
            Kind::Ambiguous => video.ambiguous.push((start_s, end_s)),
        }
    }

    /// The dataset, its videos looked for on disk. Annotations that cannot be right are left out or an error.
    pub fn finish(self, path: &Path, mut files: Option<&mut Files>, skip_bad: bool) -> Result<Untrimmed> {
        if !skip_bad {
            refuse(&self.doubts)?;
        }
        if self.parts.is_empty() {
            return Err(format_error(path, None, "the annotations name no video, expected at least one"));
        }
        let mut parts = Vec::with_capacity(self.parts.len());
        for (name, videos) in self.parts {
            if videos.is_empty() {
                let problem = format!("the annotations name no video for {name}, expected at least one");
                return Err(format_error(path, None, problem));
            }
            let mut part = UntrimmedPart { videos: videos.into_values().collect(), missing: vec![], name };
            if let Some(files) = files.as_deref_mut() {
                for video in &mut part.videos {
                    video.media = find(files, &part.name, &video.id);
                }
                let missing = part.videos.iter().filter(|video| video.media.is_none());
                part.missing = missing.map(|video| video.id.clone()).collect();
            }
            parts.push(part);
        }
        // Parts to train on first; names that mean nothing here keep the order of the alphabet.
        parts.sort_by_key(|part| aliases(&part.name).map_or(ALIASES.len(), |(rank, _)| rank));
        Ok(Untrimmed { labels: self.labels, class_ids: self.class_ids, parts, skipped: self.doubts })
    }
}

/// The first doubt as an error, with the number of all.
pub fn refuse(doubts: &[Doubt]) -> Result<()> {
    let Some(Doubt { path, line, video, problem }) = doubts.first() else { return Ok(()) };
    let more = match doubts.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more annotations cannot be right)"),
    };
    let problem =
        format!("{video}: {problem}{more}; correct the annotations, or leave such ones out with skip_bad (--skip-bad)");
    Err(DataError::Format { path: path.clone(), line: *line, problem })
}

/// Times in seconds, or why they cannot be right.
fn seconds(times: [&str; 2], duration_s: Option<f64>) -> Result<(f64, f64), String> {
    let number = |text: &str| text.trim().parse().ok().filter(|time_s: &f64| time_s.is_finite());
    let [Some(start_s), Some(end_s)] = times.map(number) else {
        return Err(format!("found the times {:?} and {:?}, expected two numbers of seconds", times[0], times[1]));
    };
    if start_s < 0.0 {
        return Err(format!("the segment begins at {start_s} s, expected 0 or later"));
    }
    if end_s <= start_s {
        return Err(format!("the segment ends at {end_s} s, expected later than its begin at {start_s} s"));
    }
    match duration_s.and_then(|duration_s| past_the_end(start_s, end_s, duration_s)) {
        Some(problem) => Err(problem),
        None => Ok((start_s, end_s)),
    }
}

/// What is wrong with a segment in a video of this length, if anything.
pub fn past_the_end(start_s: f64, end_s: f64, duration_s: f64) -> Option<String> {
    let is_past = start_s >= duration_s || end_s > duration_s + OVERRUN_S;
    is_past.then(|| format!("the segment {start_s} to {end_s} s is past the end of the video at {duration_s:.3} s"))
}

/// The names of folders that mean the same part, and its place among parts.
fn aliases(part: &str) -> Option<(usize, &'static [&'static str])> {
    let part = part.to_ascii_lowercase();
    ALIASES.into_iter().enumerate().find(|(_, names)| names.contains(&&*part))
}

/// Looks for a video below the folder, in a folder of its part there, and in `videos/PART`.
fn find(files: &mut Files, part: &str, id: &str) -> Option<Media> {
    // ActivityNet's own videos are `v_ID`, and lists name them with and without.
    let bare = id.strip_prefix("v_").unwrap_or(id);
    let ids = [id.to_string(), format!("v_{bare}"), bare.to_string()];
    let mut folders = vec![PathBuf::new(), part.into()];
    folders.extend(aliases(part).into_iter().flat_map(|(_, names)| names).map(PathBuf::from));
    let below: Vec<PathBuf> = folders.iter().map(|folder| Path::new("videos").join(folder)).collect();
    folders.extend(below);
    let mut tried = HashSet::new();
    let mut find = |path: PathBuf| if tried.insert(path.clone()) { files.find(&path) } else { None };
    folders.iter().find_map(|folder| ids.iter().find_map(|id| find(folder.join(id))))
}
