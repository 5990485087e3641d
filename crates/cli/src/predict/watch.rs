//! Videos that appear in a folder, one after the other until Ctrl-C.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use unscene_media::{Limits, MediaError, Source, probe};

use crate::interrupt;

/// How often the folder is looked at. Asking works everywhere; file systems of the network tell nobody of changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a file must not have changed: one that grows is being copied.
const STILL: Duration = Duration::from_secs(2);
/// How soon Ctrl-C is heard.
const POLL: Duration = Duration::from_millis(50);
/// Ends of the names of files that are being written, and of results.
const NO_VIDEOS: [&str; 5] = [".part", ".partial", ".tmp", ".crdownload", ".json"];

/// The videos of a folder that have no result yet, in the order in which they came.
pub struct Watch<'a> {
    folder: &'a Path,
    /// Where results are, if they are kept.
    results: Option<&'a Path>,
    seen: HashMap<PathBuf, Seen>,
    /// Counts files.
    came: u64,
}

/// A file of the folder.
struct Seen {
    /// When it came, among others.
    came: u64,
    bytes: u64,
    changed: SystemTime,
    /// Since when it has been like this.
    since: Instant,
    is_taken: bool,
}

impl<'a> Watch<'a> {
    /// # Errors
    ///
    /// When the folder of results cannot be made. One that cannot be watched is told of by the iterator.
    pub fn new(folder: &'a Path, results: Option<&'a Path>) -> Result<Self> {
        if let Some(results) = results {
            std::fs::create_dir_all(results).with_context(|| format!("--out: cannot make {}", results.display()))?;
        }
        Ok(Self { folder, results, seen: HashMap::new(), came: 0 })
    }

    /// Notes what the folder has now.
    fn look(&mut self) -> Result<()> {
        let found = files(self.folder).with_context(|| {
            format!("--watch: cannot read {}; expected a folder with videos", self.folder.display())
        })?;
        self.seen.retain(|path, _| found.iter().any(|(_, _, there)| there == path));
        for (changed, bytes, path) in found {
            match self.seen.get_mut(&path) {
                Some(seen) if (seen.bytes, seen.changed) == (bytes, changed) => {}
                Some(seen) => {
                    *seen = Seen { came: seen.came, bytes, changed, since: Instant::now(), is_taken: false };
                }
                None => {
                    let came = self.came;
                    self.came += 1;
                    self.seen.insert(path, Seen { came, bytes, changed, since: Instant::now(), is_taken: false });
                }
            }
        }
        Ok(())
    }

    /// The first file that is whole and was not taken.
    fn next_ready(&mut self) -> Option<PathBuf> {
        let is_ready = |seen: &Seen| !seen.is_taken && seen.bytes > 0 && seen.since.elapsed() >= STILL;
        let ready = self.seen.iter_mut().filter(|(_, seen)| is_ready(seen));
        let (path, seen) = ready.min_by_key(|(_, seen)| seen.came)?;
        seen.is_taken = true;
        Some(path.clone())
    }

    /// Whether there is a result of a video that is newer than the video.
    fn is_done(&self, path: &Path) -> bool {
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        let result = self.results.and_then(|results| changed(&result_of(results, path)));
        result.is_some() && result >= changed(path)
    }
}

impl Iterator for Watch<'_> {
    type Item = Result<PathBuf>;

    /// Waits for the next video; none after Ctrl-C.
    fn next(&mut self) -> Option<Result<PathBuf>> {
        while interrupt::control().is_continue() {
            if let Err(error) = self.look() {
                return Some(Err(error));
            }
            while let Some(path) = self.next_ready() {
                if !self.is_done(&path) && is_video(&path) {
                    return Some(Ok(path));
                }
            }
            let looked = Instant::now();
            while interrupt::control().is_continue() && looked.elapsed() < LOOK_EVERY {
                sleep(POLL);
            }
        }
        None
    }
}

/// The result of a video in a folder of results.
pub fn result_of(results: &Path, video: &Path) -> PathBuf {
    results.join(video.file_name().unwrap_or(video.as_os_str())).with_added_extension("json")
}

/// Files that may be videos, the oldest first: when each was changed, its size in bytes, its path.
fn files(folder: &Path) -> std::io::Result<Vec<(SystemTime, u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.starts_with('.') || NO_VIDEOS.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        // One that has gone since is none.
        let Ok(metadata) = path.metadata() else { continue };
        if metadata.is_file() {
            found.push((metadata.modified()?, metadata.len(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file is a video; what is none is told of, and nothing else happens.
fn is_video(path: &Path) -> bool {
    match probe(&Source::Path(path.to_path_buf()), &Limits::default()) {
        Err(error @ (MediaError::NotAVideo { .. } | MediaError::NoVideoStream { .. })) => {
            eprintln!("warning: {error}; it is left out");
            false
        }
        // What else is wrong is an error, of a video.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(watch: &mut Watch, seconds: u64) {
        watch.seen.values_mut().for_each(|seen| seen.since -= Duration::from_secs(seconds));
    }

    #[test]
    fn files_are_taken_once_each_in_their_order_when_they_no_longer_grow() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in [".hidden.mp4", "a.mp4.part", "b.MP4.TMP", "c.crdownload", "d.mp4.json", "empty.mp4"] {
            std::fs::write(path(name), if name == "empty.mp4" { "" } else { "bytes" }).unwrap();
        }
        std::fs::create_dir(path("folder.mp4")).unwrap();
        let mut watch = Watch::new(folder.path(), None).unwrap();
        let look = |watch: &mut Watch, seconds| {
            watch.look().unwrap();
            later(watch, seconds);
            watch.next_ready()
        };
        assert_eq!(look(&mut watch, 10), None);
        std::fs::write(path("z.mp4"), "one").unwrap();
        assert_eq!(look(&mut watch, 0), None);
        std::fs::write(path("a.mp4"), "one").unwrap();
        // Each look finds it larger.
        for length in 2..5 {
            std::fs::write(path("z.mp4"), "one".repeat(length)).unwrap();
            watch.look().unwrap();
            later(&mut watch, 1);
        }
        later(&mut watch, 1);
        assert_eq!(watch.next_ready(), Some(path("z.mp4")), "it came first");
        assert_eq!(watch.next_ready(), Some(path("a.mp4")));
        assert_eq!(look(&mut watch, 10), None);
        // Another file of the name.
        std::fs::write(path("a.mp4"), "other").unwrap();
        assert_eq!(look(&mut watch, 2), Some(path("a.mp4")));
        // Gone and back.
        std::fs::remove_file(path("a.mp4")).unwrap();
        assert_eq!(look(&mut watch, 2), None);
        std::fs::write(path("a.mp4"), "other").unwrap();
        assert_eq!(look(&mut watch, 2), Some(path("a.mp4")));
    }

    #[test]
    fn a_result_is_one_of_the_video_that_is_there() {
        let (folder, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let video = folder.path().join("a.mp4");
        let result = result_of(results.path(), &video);
        assert_eq!(result, results.path().join("a.mp4.json"));
        std::fs::write(&video, "bytes").unwrap();
        let watch = Watch::new(folder.path(), Some(results.path())).unwrap();
        assert!(!watch.is_done(&video));
        std::fs::write(&result, "{}").unwrap();
        assert!(watch.is_done(&video));
        let newer = SystemTime::now() + Duration::from_secs(60);
        std::fs::File::options().write(true).open(&video).unwrap().set_modified(newer).unwrap();
        assert!(!watch.is_done(&video));
        assert!(!Watch::new(folder.path(), None).unwrap().is_done(&video));
    }
}
