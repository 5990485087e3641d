//! Uploads: as one body, or through the tus protocol (1.0.0), where one that breaks goes on from where it was.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use unscene_engine::EngineError;
use unscene_media::MediaError;
use ureq::http::Response;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, LOCATION};
use ureq::http::request::Builder;
use ureq::{Body, SendBody};

use super::super::bar::{Bar, Unit};
use super::link::{Link, Patience, SILENCE, ServerError, header};
use crate::interrupt;

/// What the service wants to hear with every request about an upload.
const VERSION: (&str, &str) = ("Tus-Resumable", "1.0.0");
const OFFSET: &str = "Upload-Offset";
const LENGTH: &str = "Upload-Length";
/// Silence after the last byte: the service looks at the header of the video when it is its turn.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(300);

/// A video file that is sent.
pub struct Video<'a> {
    path: &'a Path,
    /// Its size in bytes when it was opened; so many are sent.
    pub bytes: u64,
}

impl<'a> Video<'a> {
    /// # Errors
    ///
    /// When the file is not there.
    pub fn of(path: &'a Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        Ok(Self { path, bytes: metadata.len() })
    }

    /// Sends what begins at an offset, as the body of a request.
    ///
    /// # Errors
    ///
    /// As [`Link::send`]; when the file cannot be read, or is shorter than it was.
    pub fn send(
        &self,
        link: &Link,
        request: Builder,
        offset: u64,
        silence: Duration,
        bar: &mut Bar,
    ) -> Result<Response<Body>> {
        let left = self.bytes.saturating_sub(offset);
        let open = || {
            let mut file = File::open(self.path)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file.take(left))
        };
        let file = open().map_err(|error| unreadable(self.path, error))?;
        let mut rest = Rest { file, bytes: self.bytes, bar, failed: None };
        let sent = link.send(request.header(CONTENT_LENGTH, left), SendBody::from_reader(&mut rest), silence);
        match rest.failed.take() {
            Some(error) => Err(unreadable(self.path, error)),
            None => sent,
        }
    }
}

fn unreadable(path: &Path, error: io::Error) -> anyhow::Error {
    EngineError::from(MediaError::Io { name: path.display().to_string(), error: Arc::new(error) }).into()
}

/// What is left to send of a file; shows how far it is.
struct Rest<'a> {
    file: io::Take<File>,
    bytes: u64,
    bar: &'a mut Bar,
    /// The file's own failure, which is not one of the connection.
    failed: Option<io::Error>,
}

impl Read for Rest<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let ControlFlow::Break(()) = interrupt::control() {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let read = self.file.read(buffer).and_then(|read| match read {
            0 if self.file.limit() > 0 && !buffer.is_empty() => {
                Err(io::Error::new(ErrorKind::UnexpectedEof, "the file became shorter while it was sent"))
            }
            read => Ok(read),
        });
        match read {
            Ok(read) => {
                match self.file.limit() {
                    0 => self.bar.wait("sent, waits for an answer"),
                    left => self.bar.set(Unit::Bytes, self.bytes - left, Some(self.bytes)),
                }
                Ok(read)
            }
            Err(error) => {
                self.failed = Some(error);
                Err(ErrorKind::ConnectionAborted.into())
            }
        }
    }
}

/// Announces an upload whose end makes a job, and gives its path.
///
/// # Errors
///
/// As [`Link::send`], when the service does not want it soon either.
pub fn announce(link: &Link, query: &str, video: &Video, bar: &mut Bar) -> Result<String> {
    let mut patience = Patience::default();
    loop {
        let request = with_version(link.request("POST", &format!("/v1/uploads?{query}"))).header(LENGTH, video.bytes);
        match link.send(request, &[] as &[u8], SILENCE) {
            Ok(response) => return named(link, "/v1/uploads", header(response.headers(), LOCATION.as_str())),
            Err(error) => patience.wait(error, bar)?,
        }
    }
}

/// Sends a video that was announced, over as many connections as it takes, and gives the path of its job.
///
/// # Errors
///
/// As [`Video::send`], when nothing comes of it for a while.
pub fn resumable(link: &Link, upload: &str, video: &Video, bar: &mut Bar) -> Result<String> {
    let mut patience = Patience::default();
    let (mut arrived, mut is_known) = (0, true);
    loop {
        let before = arrived;
        let mut go_on = || {
            if !is_known {
                arrived = arrived_of(link, upload)?;
            }
            let request = with_version(link.request("PATCH", upload))
                .header(OFFSET, arrived)
                .header(CONTENT_TYPE, "application/offset+octet-stream");
            let response = video.send(link, request, arrived, LOOKED_AT_WITHIN, bar)?;
            match header(response.headers(), CONTENT_LOCATION.as_str()) {
                Some(job) => named(link, "/v1/jobs", Some(job)),
                // Not all of it came.
                None => Err(link.lost(ErrorKind::UnexpectedEof.into())),
            }
        };
        let came = go_on();
        if arrived > before {
            patience = Patience::default();
        }
        match came {
            Ok(job) => return Ok(job),
            // It took longer than a request may; the rest goes with the next.
            Err(error) if is_timeout(&error) => patience.wait(link.lost(ErrorKind::TimedOut.into()), bar)?,
            Err(error) => patience.wait(error, bar)?,
        }
        is_known = false;
    }
}

fn is_timeout(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ServerError::Refused { status: 504, .. }))
}

/// Forgets an upload, and the job that it may have become: it has the same name.
pub fn forget(link: &Link, upload: &str) {
    link.forget(with_version(link.request("DELETE", upload)));
    if let Ok(job) = named(link, "/v1/jobs", Some(upload)) {
        link.forget(link.request("DELETE", &job));
    }
}

/// How many bytes of an upload have arrived.
fn arrived_of(link: &Link, upload: &str) -> Result<u64> {
    let response = link.send(with_version(link.request("HEAD", upload)), (), SILENCE)?;
    let offset = header(response.headers(), OFFSET).and_then(|text| text.parse().ok());
    offset.ok_or_else(|| link.foreign(format!("no header {OFFSET}")))
}

/// A request about an upload.
fn with_version(request: Builder) -> Builder {
    request.header(VERSION.0, VERSION.1)
}

/// The path of what a header names. A proxy may serve under other paths than the service knows of, so that only the name counts.
fn named(link: &Link, under: &str, location: Option<&str>) -> Result<String> {
    let name = location.and_then(|location| location.trim_end_matches('/').rsplit('/').next());
    let name = name.filter(|name| !name.is_empty() && !name.contains(['?', '#']));
    name.map(|name| format!("{under}/{name}"))
        .ok_or_else(|| link.foreign("an answer without the address of what it made".to_owned()))
}
