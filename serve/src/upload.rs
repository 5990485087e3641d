//! From a request body to a [`Source`]: an unlinked file, in memory when it is small.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_multipart::{Field, Multipart};
use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use actix_web::web::{self, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use prometheus::IntCounter;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::time::Instant;
use unscene_media::Source;

use crate::error::{ApiError, shorten};
use crate::params::Params;
use crate::routes::video::thread_failed;
use crate::routes::waiting::Wanted;
use crate::state::State;

/// Uploads up to this size stay in memory.
const IN_MEMORY: usize = 4 << 20;
/// What is gathered before each write to the file, so that a write is worth a trip to a blocking thread.
const WRITE: usize = 1 << 20;
/// Largest value of a form field other than the video.
const MAX_FIELD: usize = 1024;
/// Most fields in a form; POST /v1/predict knows as many.
const MAX_FIELDS: usize = 16;
/// An upload has to bring some bytes in some time, over and over: one that trickles would keep its place from others.
const PACE: Pace = Pace { bytes: 10 << 10, within: Duration::from_secs(10) };
/// What the upload is called in messages, whatever the client called it.
const NAME: &str = "the uploaded video";

/// A complete upload: a file without a name, gone when this is dropped. A small one is in memory.
#[derive(Debug)]
pub struct Upload(Arc<File>);

impl Upload {
    /// A file that was kept.
    pub fn kept(file: Arc<File>) -> Self {
        Self(file)
    }

    /// What the decoder opens.
    pub fn source(&self) -> Source {
        Source::File { name: NAME.to_owned(), file: self.0.clone() }
    }

    /// The bytes themselves.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// How many there are.
    ///
    /// # Errors
    ///
    /// [`ApiError::Internal`] when the system does not say.
    pub fn size(&self) -> Result<usize, ApiError> {
        let file = self.0.metadata();
        let length =
            file.map(|file| file.len()).map_err(|error| ApiError::Internal(format!("an upload is lost: {error}")))?;
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }
}

/// Where uploads go and how large they may be.
#[derive(Clone, Debug)]
pub struct UploadRules {
    /// Largest body in bytes.
    pub max_bytes: u64,
    /// Folder for the files; the system's own when `None`.
    pub spool_dir: Option<PathBuf>,
    /// Where the upload is to stay, for a job; it goes with its request otherwise.
    pub kept: Option<PathBuf>,
    /// Counts what arrives.
    pub received: IntCounter,
    /// How slowly it may come.
    pub pace: Pace,
}

/// The fewest bytes that have to come in a time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    bytes: u64,
    within: Duration,
}

impl Pace {
    /// Anything in such a time.
    pub fn any_within(within: Duration) -> Self {
        Self { bytes: 1, within }
    }
}

impl UploadRules {
    /// As the service was told.
    pub fn of(state: &State) -> Self {
        Self {
            max_bytes: state.options.max_body_bytes(),
            spool_dir: state.options.spool_dir.clone(),
            kept: None,
            received: state.metrics.received_bytes.clone(),
            pace: PACE,
        }
    }
}

/// Reads a raw or multipart body. Form fields other than `video` are set on `params`.
///
/// # Errors
///
/// [`ApiError::TooLarge`] over the limit, [`ApiError::BadUpload`] for an empty, cut or malformed body or a field that
/// is not known, [`ApiError::BadParameter`] for a wrong value, [`ApiError::Exhausted`] when the file cannot be written.
pub async fn receive(
    request: &HttpRequest,
    payload: web::Payload,
    rules: &UploadRules,
    params: &mut impl Params,
) -> Result<Upload, ApiError> {
    let form = header(request, CONTENT_TYPE)
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/"));
    let upload = if form {
        check_encoding(request)?;
        check_length(request, rules)?;
        let counted = count(payload, rules.clone());
        from_form(Multipart::new(request.headers(), counted), rules, params).await?
    } else {
        receive_body(request, payload, rules).await?
    };
    if upload.size()? == 0 {
        return Err(ApiError::BadUpload(
            "the upload is empty; send the video as the body or as the form field `video`".to_owned(),
        ));
    }
    Ok(upload)
}

/// Reads a raw body.
///
/// # Errors
///
/// As [`receive`], but for an empty one.
pub async fn receive_body(
    request: &HttpRequest,
    payload: web::Payload,
    rules: &UploadRules,
) -> Result<Upload, ApiError> {
    check_encoding(request)?;
    check_length(request, rules)?;
    receive_stream(payload, rules).await
}

/// A raw body while it comes.
///
/// # Errors
///
/// When it is compressed; its own are those of [`receive_body`].
pub fn arriving(
    request: &HttpRequest,
    payload: web::Payload,
    rules: &UploadRules,
) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + Unpin + 'static, ApiError> {
    check_encoding(request)?;
    let told = rules.clone();
    Ok(count(payload, rules.clone()).map_err(move |error| body_error(&error, &told)))
}

/// Reads what comes from elsewhere.
///
/// # Errors
///
/// As [`receive_body`].
pub async fn receive_stream(
    body: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    rules: &UploadRules,
) -> Result<Upload, ApiError> {
    let counted = count(body, rules.clone());
    spool(counted.map_err(|error| body_error(&error, rules)), rules).await
}

/// Writes a part of an upload into its file from byte `at` on, until it ends or nobody waits any more. What has come of it is written, whatever
/// ends it: how much, and what.
pub async fn write_part(
    mut body: impl Stream<Item = Result<Bytes, ApiError>> + Unpin,
    file: Arc<File>,
    at: u64,
    wanted: &Wanted,
) -> (u64, Result<(), ApiError>) {
    let (mut buffer, mut written, mut ended) = (BytesMut::new(), 0, None);
    while ended.is_none() {
        match tokio::time::timeout_at(wanted.deadline().into(), body.next()).await {
            Ok(Some(Ok(chunk))) => buffer.extend_from_slice(&chunk),
            Ok(Some(Err(error))) => ended = Some(Err(error)),
            Ok(None) => ended = Some(Ok(())),
            Err(_) => ended = Some(Err(wanted.told(ApiError::Cancelled))),
        }
        if buffer.len() > WRITE || ended.is_some() {
            let (file, data, at) = (file.clone(), buffer.split().freeze(), at + written);
            let (length, is_last) = (data.len() as u64, ended.is_some());
            let write = move || {
                file.write_all_at(&data, at)?;
                if is_last { file.sync_data() } else { Ok(()) }
            };
            let write = web::block(write);
            match write.await {
                Ok(Ok(())) => written += length,
                Ok(Err(error)) => return (written, Err(not_written(error))),
                Err(error) => return (written, Err(thread_failed(error))),
            }
        }
    }
    (written, ended.unwrap_or(Ok(())))
}

/// An error for a body that is compressed: bodies are taken as they are.
fn check_encoding(request: &HttpRequest) -> Result<(), ApiError> {
    match request.headers().get(CONTENT_ENCODING).map(|encoding| encoding.to_str().unwrap_or("?").trim()) {
        Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => Err(ApiError::Encoded(shorten(encoding))),
        _ => Ok(()),
    }
}

/// An error for a body that says itself that it is too long.
fn check_length(request: &HttpRequest, rules: &UploadRules) -> Result<(), ApiError> {
    let announced = header(request, CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let is_too_long = announced.is_some_and(|length| length > rules.max_bytes);
    if is_too_long { Err(too_large(rules.max_bytes)) } else { Ok(()) }
}

fn header(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

/// The body, counted, and ended by [`PayloadError::Overflow`] at the limit and by [`ErrorKind::TimedOut`] when it comes too slowly.
fn count(
    payload: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    rules: UploadRules,
) -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin {
    let UploadRules { max_bytes, received, pace, .. } = rules;
    let begin = (payload, 0_u64, Instant::now() + pace.within, 0_u64);
    let counted = stream::unfold(begin, move |(mut payload, mut total, mut until, mut came)| {
        let received = received.clone();
        async move {
            loop {
                let chunk = match tokio::time::timeout_at(until, payload.next()).await {
                    Ok(None) => return None,
                    Ok(Some(Ok(chunk))) => chunk,
                    Ok(Some(Err(error))) => return Some((Err(error), (payload, total, until, came))),
                    Err(_) if came < pace.bytes => {
                        let slow = PayloadError::Io(ErrorKind::TimedOut.into());
                        return Some((Err(slow), (payload, total, until, came)));
                    }
                    Err(_) => {
                        (until, came) = (Instant::now() + pace.within, 0);
                        continue;
                    }
                };
                let length = chunk.len() as u64;
                received.inc_by(length);
                (total, came) = (total + length, came + length);
                let chunk = if total > max_bytes { Err(PayloadError::Overflow) } else { Ok(chunk) };
                return Some((chunk, (payload, total, until, came)));
            }
        }
    });
    // Those who read it look once more after the end.
    Box::pin(counted.fuse())
}

async fn from_form<P: Params>(mut form: Multipart, rules: &UploadRules, params: &mut P) -> Result<Upload, ApiError> {
    let form_error = |error| multipart_error(&error, rules);
    let mut upload = None;
    let mut fields = 0;
    while let Some(field) = form.try_next().await.map_err(form_error)? {
        fields += 1;
        if fields > MAX_FIELDS {
            return Err(ApiError::BadUpload(format!("the form has more than {MAX_FIELDS} fields")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        if name == "video" {
            if upload.is_some() {
                return Err(ApiError::BadUpload("the form has more than one field `video`; send one".to_owned()));
            }
            upload = Some(spool(field.map_err(form_error), rules).await?);
        } else if P::NAMES.contains(&name.as_str()) {
            params.set(&name, &text(field, &name, rules).await?)?;
        } else {
            return Err(ApiError::BadUpload(format!(
                "the form has a field `{}`; the video goes into the field `video`, and the others are {}",
                shorten(&name),
                P::NAMES.join(", ")
            )));
        }
    }
    upload.ok_or_else(|| {
        ApiError::BadUpload("the form has no field `video`; send the video in a field of that name".to_owned())
    })
}

/// A short text field.
async fn text(mut field: Field, name: &str, rules: &UploadRules) -> Result<String, ApiError> {
    let mut value = Vec::new();
    while let Some(chunk) = field.try_next().await.map_err(|error| multipart_error(&error, rules))? {
        value.extend_from_slice(&chunk);
        if value.len() > MAX_FIELD {
            return Err(ApiError::BadParameter(format!("the field `{name}` is longer than {MAX_FIELD} bytes")));
        }
    }
    String::from_utf8(value).map_err(|_| ApiError::BadParameter(format!("the field `{name}` is not UTF-8 text")))
}

/// Gathers a stream in memory, and moves it to a file when it outgrows that.
async fn spool(
    mut body: impl Stream<Item = Result<Bytes, ApiError>> + Unpin,
    rules: &UploadRules,
) -> Result<Upload, ApiError> {
    let mut buffer = BytesMut::new();
    let mut file: Option<File> = None;
    while let Some(chunk) = body.next().await {
        buffer.extend_from_slice(&chunk?);
        let full = if file.is_some() { WRITE } else { IN_MEMORY };
        if buffer.len() > full {
            file = Some(append(file, buffer.split().freeze(), rules).await?);
        }
    }
    let file = match file {
        None if rules.kept.is_none() => in_memory(&buffer).map_err(not_written)?,
        file => append(file, buffer.freeze(), rules).await?,
    };
    Ok(Upload(Arc::new(file)))
}

/// Writes on a blocking thread, making the file first when there is none.
async fn append(file: Option<File>, data: Bytes, rules: &UploadRules) -> Result<File, ApiError> {
    let (kept, folder) = (rules.kept.clone(), rules.spool_dir.clone());
    let write = move || -> std::io::Result<File> {
        let mut file = match (file, kept, folder) {
            (Some(file), ..) => file,
            (None, Some(path), _) => File::options().read(true).write(true).create_new(true).open(path)?,
            (None, None, Some(folder)) => tempfile::tempfile_in::<&Path>(&folder)?,
            (None, None, None) => tempfile::tempfile()?,
        };
        file.write_all(&data)?;
        Ok(file)
    };
    web::block(write).await.map_err(thread_failed)?.map_err(not_written)
}

/// A file in memory.
fn in_memory(data: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("upload", MemfdFlags::CLOEXEC)?);
    file.write_all(data)?;
    Ok(file)
}

/// The error of an upload that the system has no room for.
pub fn not_written(error: std::io::Error) -> ApiError {
    tracing::error!(%error, "an upload cannot be written");
    // The kind of error has no path in it.
    ApiError::Exhausted(error.kind().to_string())
}

fn too_large(max_bytes: u64) -> ApiError {
    ApiError::TooLarge(format!(
        "the request body is larger than {max_bytes} bytes, the most this service takes; send less"
    ))
}

fn body_error(error: &PayloadError, rules: &UploadRules) -> ApiError {
    match error {
        PayloadError::Overflow => too_large(rules.max_bytes),
        PayloadError::Io(error) if error.kind() == ErrorKind::TimedOut => {
            ApiError::SlowUpload { bytes: rules.pace.bytes, seconds: rules.pace.within.as_secs_f64() }
        }
        other => ApiError::BadUpload(format!("the request body ended early or cannot be read: {other}")),
    }
}

fn multipart_error(error: &actix_multipart::MultipartError, rules: &UploadRules) -> ApiError {
    match error {
        actix_multipart::MultipartError::Payload(error) => body_error(error, rules),
        other => ApiError::BadUpload(format!("the multipart form cannot be read: {other}")),
    }
}

#[cfg(test)]
mod tests;
