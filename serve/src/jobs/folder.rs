//! The videos of jobs that have not ended, a file for each, by its job's name.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// What a video is called while it arrives: its job's name, and this.
const PARTIAL: &str = ".part";

/// How long somebody waits for the folder that others have.
const ALONE_WITHIN: Duration = Duration::from_secs(10);

/// A folder of videos.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Opens it; makes it where it is not there.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let folder = Self(path);
        fs::create_dir_all(&folder.0)?;
        // That it can be written to is found out now.
        tempfile::tempfile_in(&folder.0)?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it is there: a file system that is shared may go.
    pub fn is_there(&self) -> bool {
        self.0.is_dir()
    }

    /// Waits until nobody else has it, in this service or in another, and keeps others away until what is given is dropped.
    ///
    /// # Errors
    ///
    /// What the system says, or that somebody has it for long.
    pub fn alone(&self) -> io::Result<File> {
        let lock = File::options().create(true).append(true).open(self.0.with_extension("lock"))?;
        let until = Instant::now() + ALONE_WITHIN;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(ErrorKind::TimedOut, "others have it for long"));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Where a job's video arrives.
    pub fn arriving(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}{PARTIAL}"))
    }

    /// Waits until what has arrived is on the disk.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn settle(&self, id: &str) -> io::Result<()> {
        File::open(self.arriving(id))?.sync_all()
    }

    /// Gives a video that has arrived its name, unless it has it. It is on the disk then, and not only on its way.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn arrived(&self, id: &str) -> io::Result<()> {
        let (partial, whole) = (self.arriving(id), self.0.join(id));
        match File::open(&partial) {
            Err(error) if error.kind() == ErrorKind::NotFound && whole.exists() => return Ok(()),
            opened => opened?.sync_all()?,
        }
        fs::rename(&partial, whole)?;
        File::open(&self.0)?.sync_all()
    }

    /// What there is of a video that comes in parts, to be read and to be written to.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn part(&self, id: &str) -> io::Result<File> {
        let open = |path| File::options().read(true).write(true).open(path);
        // It has its whole name already when the process ended before its job was accepted.
        open(self.arriving(id))
            .or_else(|error| if error.kind() == ErrorKind::NotFound { open(self.0.join(id)) } else { Err(error) })
    }

    /// A job's video.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn video(&self, id: &str) -> io::Result<File> {
        File::open(self.0.join(id))
    }

    /// Removes a job's video, whether it has arrived or not. One that cannot be removed goes with the next start.
    pub fn remove(&self, id: &str) {
        for path in [self.0.join(id), self.arriving(id)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(job = id, %error, "the video of a job cannot be removed");
                }
                _ => {}
            }
        }
    }

    /// Removes every video but those of these jobs and those of uploads, which come in parts, and but for what was changed so short a time ago.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep(&self, jobs: &HashSet<String>, uploads: &HashSet<String>, young: Duration) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_kept = jobs.contains(&*name) || uploads.contains(name.strip_suffix(PARTIAL).unwrap_or(&name));
            let remove = || {
                let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
                if age < young { Ok(()) } else { fs::remove_file(entry.path()) }
            };
            match if is_kept { Ok(()) } else { remove() } {
                // Other services have files that come and go.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_folder_is_had_alone() {
        let jobs = tempfile::tempdir().unwrap();
        let [one, other] = [0, 1].map(|_| Folder::open(jobs.path().join("uploads")).unwrap());
        let (sender, receiver) = mpsc::channel();
        let held = one.alone().unwrap();
        let waiting = thread::spawn(move || sender.send(other.alone().unwrap()));
        assert!(receiver.recv_timeout(Duration::from_millis(200)).is_err());
        drop(held);
        receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_video_is_there_when_it_has_arrived_and_until_it_is_removed() {
        let jobs = tempfile::tempdir().unwrap();
        let folder = Folder::open(jobs.path().join("uploads")).unwrap();
        for id in ["one", "two", "three", "four"] {
            fs::write(folder.arriving(id), id).unwrap();
        }
        assert_eq!(folder.video("one").unwrap_err().kind(), ErrorKind::NotFound);
        folder.arrived("one").unwrap();
        folder.arrived("two").unwrap();
        assert_eq!(io::read_to_string(folder.video("one").unwrap()).unwrap(), "one");
        folder.arrived("two").unwrap();
        assert!(folder.arrived("five").is_err());
        assert_eq!(io::read_to_string(folder.part("two").unwrap()).unwrap(), "two");
        // What was on its way when the process ended, and what no job needs, goes; but for what comes in parts.
        let [jobs_kept, uploads] = ["one", "four"].map(|id| HashSet::from([id.to_owned()]));
        folder.keep(&jobs_kept, &uploads, Duration::from_secs(60)).unwrap();
        assert_eq!(
            fs::read_dir(jobs.path().join("uploads")).unwrap().count(),
            4,
            "another service may bring them just now"
        );
        folder.keep(&jobs_kept, &uploads, Duration::ZERO).unwrap();
        assert_eq!(fs::read_dir(jobs.path().join("uploads")).unwrap().count(), 2);
        folder.part("four").unwrap().write_all_at(b" parts", 4).unwrap();
        assert_eq!(io::read_to_string(folder.part("four").unwrap()).unwrap(), "four parts");
        folder.remove("one");
        folder.remove("one");
        assert!(folder.video("one").is_err());
    }
}
