//! How a video becomes a job: all at once with its request, or in parts with several.

use unscene_media::{DecodeWorkers, Limits};
use uuid::Uuid;

use super::Jobs;
use super::store::{Job, Partial, StoreError};
use crate::error::ApiError;
use crate::upload::{Upload, not_written};

/// Jobs that have not ended, at most: those whose video is fetched take no space until then.
const MOST_WAITING: u64 = 10_000;

/// A name for a job. Later ones are greater.
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// A video that is on its way with its request. What has arrived goes when it is dropped, unless its job was accepted.
pub struct Arriving {
    jobs: Jobs,
    /// The name of the job.
    pub id: String,
    is_accepted: bool,
}

impl Arriving {
    /// One of which nothing has come.
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs, id: new_id(), is_accepted: false }
    }

    /// Makes a job of a video that has arrived, unless those that wait would take more than so many bytes.
    ///
    /// # Errors
    ///
    /// [`ApiError::TooLarge`], [`ApiError::Exhausted`], or of the database.
    pub fn accept(mut self, owner: &str, parameters: &str, size: u64, most: u64) -> Result<Job, ApiError> {
        self.jobs.check_room(size, most)?;
        self.jobs.folder().arrived(&self.id).map_err(not_written)?;
        let job = self.jobs.store().accept(&self.id, owner, parameters, size, None)?;
        self.is_accepted = true;
        Ok(job)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.is_accepted {
            self.jobs.folder().remove(&self.id);
        }
    }
}

/// A part of an upload that comes; there is one at a time.
pub struct Coming {
    jobs: Jobs,
    id: String,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.jobs.coming().remove(&self.id);
    }
}

impl Jobs {
    /// An error when a video of so many bytes would have those that wait take more than `most`.
    fn check_room(&self, size: u64, most: u64) -> Result<(), ApiError> {
        let (jobs, bytes) = self.store().waiting()?;
        if jobs >= MOST_WAITING {
            return Err(ApiError::Exhausted(format!("{jobs} jobs wait, the most that may")));
        }
        if size > most {
            return Err(ApiError::TooLarge(format!(
                "the video has {size} bytes, and the videos of all jobs may take {most} (--jobs-max-mib); send less"
            )));
        }
        if size > 0 && bytes.saturating_add(size) > most {
            return Err(ApiError::Exhausted(
                "the videos of jobs that wait take all the space that they may".to_owned(),
            ));
        }
        Ok(())
    }

    /// Makes a job of a video that is to be fetched when its turn has come, unless too many wait.
    ///
    /// # Errors
    ///
    /// [`ApiError::Exhausted`], or of the database.
    pub fn accept_url(&self, owner: &str, parameters: &str, url: &str) -> Result<Job, ApiError> {
        self.check_room(0, 0)?;
        Ok(self.store().accept(&new_id(), owner, parameters, 0, Some(url))?)
    }

    /// Begins an upload in parts, unless all videos would take more than so many bytes.
    ///
    /// # Errors
    ///
    /// As [`Arriving::accept`].
    pub fn begin_upload(&self, upload: &Partial, most: u64) -> Result<(), ApiError> {
        self.check_room(upload.bytes, most)?;
        let path = self.folder().arriving(&upload.id);
        std::fs::File::create_new(path).map_err(not_written)?;
        self.store().begin_upload(upload).inspect_err(|_| self.folder().remove(&upload.id))?;
        Ok(())
    }

    /// The right to add to an upload; none while somebody else has it.
    pub fn come(&self, id: &str) -> Option<Coming> {
        self.coming().insert(id.to_owned()).then(|| Coming { jobs: self.clone(), id: id.to_owned() })
    }

    /// Makes a job of a complete upload. What is no video is forgotten.
    ///
    /// # Errors
    ///
    /// That it is no video, or of the database; [`ApiError::UnknownUpload`] when it was deleted meanwhile.
    pub fn end_upload(&self, id: &str, workers: &DecodeWorkers, limits: &Limits) -> Result<Job, ApiError> {
        let file = self.folder().part(id).map_err(|_| ApiError::UnknownUpload(id.to_owned()))?;
        let looked = workers.probe(&Upload::kept(file.into()).source(), limits).map_err(ApiError::from);
        match looked {
            Err(error @ ApiError::Internal(_)) => return Err(error),
            Err(error) => {
                self.forget_upload(id)?;
                return Err(error);
            }
            Ok(_) => {}
        }
        self.folder().arrived(id).map_err(not_written)?;
        let job = self.store().accept_upload(id)?.ok_or_else(|| ApiError::UnknownUpload(id.to_owned()))?;
        self.note_change();
        Ok(job)
    }

    /// Forgets an upload and what has come of it.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub fn forget_upload(&self, id: &str) -> Result<(), ApiError> {
        self.store().forget_upload(id)?;
        self.folder().remove(id);
        Ok(())
    }

    /// Forgets uploads of which nothing has come for long. How many there were.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub fn expire_uploads(&self) -> Result<usize, StoreError> {
        let expired = self.store().expire_uploads()?;
        expired.iter().for_each(|id| self.folder().remove(id));
        Ok(expired.len())
    }
}
