//! How a video becomes a job: all at once with its request, or in parts with several.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;

use unscene_media::{DecodeWorkers, Limits, MediaError};
use uuid::Uuid;

use super::Jobs;
use super::store::{Job, Partial, StoreError};
use crate::error::{ApiError, shorten};
use crate::upload::{Upload, not_written};

/// Jobs that have not ended and uploads, at most: some take no space.
const MOST_WAITING: u64 = 10_000;

/// A name for a job.
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// A video that is on its way with its request. What has arrived goes when it is dropped, unless a job needs it.
pub struct Arriving {
    jobs: Jobs,
    /// The name of the job.
    pub id: String,
    is_needed: bool,
}

impl Arriving {
    /// One of which nothing has come.
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs, id: new_id(), is_needed: false }
    }

    /// Makes a job of a video that has arrived, unless those that wait would take more than so many bytes.
    ///
    /// # Errors
    ///
    /// [`ApiError::TooLarge`], [`ApiError::Exhausted`], or of the database.
    pub fn accept(mut self, owner: &str, parameters: &str, size: u64, most: u64) -> Result<Job, ApiError> {
        // Before others have to wait for it.
        self.jobs.folder().settle(&self.id).map_err(not_written)?;
        let accepted = self.jobs.within(size, most, |jobs| {
            jobs.folder().arrived(&self.id).map_err(not_written)?;
            Ok(jobs.store().accept(&self.id, owner, parameters, size, None))
        })?;
        // A job that was accepted without our hearing of it needs its video.
        self.is_needed = matches!(accepted, Ok(_) | Err(StoreError::Unreachable(_)));
        Ok(accepted?)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.is_needed {
            self.jobs.folder().remove(&self.id);
        }
    }
}

impl Jobs {
    /// Takes on a video of so many bytes, unless those that wait would take more than `most` then. One at a time: none must be taken on
    /// for space that another has taken meanwhile.
    fn within<T>(
        &self,
        size: u64,
        most: u64,
        take_on: impl FnOnce(&Self) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        if size > most {
            return Err(ApiError::TooLarge(format!(
                "the video has {size} bytes, and the videos of all jobs may take {most} (--jobs-max-mib); send less"
            )));
        }
        let _alone = self.folder().alone().map_err(|error| {
            tracing::error!(%error, "the folder of jobs cannot be had alone");
            ApiError::JobsAway
        })?;
        let (waiting, bytes) = self.store().waiting()?;
        if waiting >= MOST_WAITING {
            return Err(ApiError::Exhausted(format!("{waiting} jobs and uploads wait, the most that may")));
        }
        if size > 0 && bytes.saturating_add(size) > most {
            return Err(ApiError::Exhausted(
                "the videos of jobs that wait take all the space that they may".to_owned(),
            ));
        }
        take_on(self)
    }

    /// Makes a job of a video that is to be fetched when its turn has come, unless too many wait.
    ///
    /// # Errors
    ///
    /// [`ApiError::Exhausted`], or of the database.
    pub fn accept_url(&self, owner: &str, parameters: &str, url: &str) -> Result<Job, ApiError> {
        self.within(0, 0, |jobs| Ok(jobs.store().accept(&new_id(), owner, parameters, 0, Some(url))?))
    }

    /// Begins an upload in parts, unless all videos would take more than so many bytes.
    ///
    /// # Errors
    ///
    /// As [`Arriving::accept`].
    pub fn begin_upload(&self, upload: &Partial, most: u64) -> Result<(), ApiError> {
        self.within(upload.bytes, most, |jobs| {
            File::create_new(jobs.folder().arriving(&upload.id)).map_err(not_written)?;
            jobs.store().begin_upload(upload).inspect_err(|_| jobs.folder().remove(&upload.id))?;
            Ok(())
        })
    }

    /// The right to change an upload; none while somebody else has it.
    ///
    /// # Errors
    ///
    /// When the folder is in a file system without locks.
    pub fn come(&self, id: &str) -> Result<Option<Coming>, ApiError> {
        // What has another name was not begun here. Of one that is gone there is nothing to be locked.
        let found = Uuid::try_parse(id).ok().map(|_| self.folder().part(id)).transpose();
        let file = found.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) });
        let locked = file.map_err(TryLockError::Error).and_then(|file| {
            file.as_ref().map_or(Ok(()), File::try_lock)?;
            Ok(file)
        });
        match locked {
            Ok(file) => Ok(Some(Coming { jobs: self.clone(), id: id.to_owned(), file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(ApiError::Internal(format!("what has come of an upload cannot be opened and locked: {error}")))
            }
        }
    }

    /// Forgets uploads of which nothing has come for long. How many there were.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub fn expire_uploads(&self) -> Result<usize, ApiError> {
        let mut gone = 0;
        for upload in self.store().uploads()?.iter().filter(|upload| upload.is_expired()) {
            // Something comes just now.
            let Some(coming) = self.come(&upload.id)? else { continue };
            // Something has come since.
            if self.store().upload(&upload.id)?.is_some_and(|upload| upload.is_expired()) {
                coming.forget()?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

/// The right to change an upload: to add to it, to end it, to forget it. Whoever does any of that has it, from the first look at what has come to
/// the last write, whether or not the client is still there. It is a lock on the file of what has come, which ends with the processes that have it.
pub struct Coming {
    jobs: Jobs,
    id: String,
    file: Option<File>,
}

impl Coming {
    /// What has come, to be added to.
    ///
    /// # Errors
    ///
    /// [`ApiError::UnknownUpload`].
    pub fn file(&self) -> Result<File, ApiError> {
        let file = self.file.as_ref().ok_or_else(|| self.unknown())?;
        file.try_clone().map_err(not_written)
    }

    /// Notes that something has come.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub fn note(&self) -> Result<(), StoreError> {
        self.jobs.store().note_part(&self.id)
    }

    /// Makes a job of a complete upload. What is no video is forgotten.
    ///
    /// # Errors
    ///
    /// That it is no video, or of the database.
    pub fn end(&self, workers: &DecodeWorkers, limits: &Limits) -> Result<Job, ApiError> {
        let looked = workers.probe(&Upload::kept(self.file()?.into()).source(), limits);
        if let Err(error) = looked {
            // Another look would say the same.
            if is_of_the_video(&error) {
                self.forget()?;
            }
            return Err(error.into());
        }
        self.jobs.folder().arrived(&self.id).map_err(not_written)?;
        let job = self.jobs.store().accept_upload(&self.id)?.ok_or_else(|| self.unknown())?;
        self.jobs.note_change();
        Ok(job)
    }

    /// Forgets the upload, and what has come of it.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub fn forget(&self) -> Result<(), StoreError> {
        self.jobs.store().forget_upload(&self.id)?;
        self.jobs.folder().remove(&self.id);
        Ok(())
    }

    fn unknown(&self) -> ApiError {
        ApiError::UnknownUpload(shorten(&self.id))
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        // Whoever was given the file, such as a process that decodes, may have it for longer.
        if let Some(Err(error)) = self.file.as_ref().map(File::unlock) {
            tracing::warn!(upload = self.id, %error, "what has come of an upload stays locked until the service ends");
        }
    }
}

/// Whether what is wrong is wrong with the video, and not with who looks.
fn is_of_the_video(error: &MediaError) -> bool {
    matches!(
        error,
        MediaError::NotAVideo { .. }
            | MediaError::NoVideoStream { .. }
            | MediaError::UnsupportedCodec { .. }
            | MediaError::Truncated { .. }
            | MediaError::Corrupt { .. }
            | MediaError::Limit { .. }
    )
}
