//! The videos of jobs that have not ended, a file for each, by its job's name.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What a video is called while it arrives: its job's name, and this.
const PARTIAL: &str = ".part";

/// A folder of videos.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder `uploads` in the folder of jobs; makes both where they are not there.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(jobs: &Path) -> io::Result<Self> {
        let folder = Self(jobs.join("uploads"));
        fs::create_dir_all(&folder.0)?;
        // That it can be written to is found out now.
        tempfile::tempfile_in(&folder.0)?;
        Ok(folder)
    }

    /// Where a job's video arrives.
    pub fn arriving(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}{PARTIAL}"))
    }

    /// Gives a video that has arrived its name. It is on the disk then, and not only on its way.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn arrived(&self, id: &str) -> io::Result<()> {
        let partial = self.arriving(id);
        File::open(&partial)?.sync_all()?;
        fs::rename(&partial, self.0.join(id))?;
        File::open(&self.0)?.sync_all()
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

    /// Removes every video but those of these jobs.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep(&self, ids: &HashSet<String>) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if !ids.contains(&*entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_is_there_when_it_has_arrived_and_until_it_is_removed() {
        let jobs = tempfile::tempdir().unwrap();
        let folder = Folder::open(jobs.path()).unwrap();
        for id in ["one", "two", "three"] {
            fs::write(folder.arriving(id), id).unwrap();
        }
        assert_eq!(folder.video("one").unwrap_err().kind(), ErrorKind::NotFound);
        folder.arrived("one").unwrap();
        folder.arrived("two").unwrap();
        assert_eq!(io::read_to_string(folder.video("one").unwrap()).unwrap(), "one");
        // What was on its way when the process ended, and what no job needs, goes.
        folder.keep(&HashSet::from(["one".to_owned()])).unwrap();
        assert_eq!(fs::read_dir(jobs.path().join("uploads")).unwrap().count(), 1);
        folder.remove("one");
        folder.remove("one");
        assert!(folder.video("one").is_err());
    }
}
