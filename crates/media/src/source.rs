//! Where the bytes of a video come from, and how FFmpeg gets at them.
//!
//! FFmpeg never opens anything by name: it reads through callbacks over a file opened here or a buffer. Containers are
//! recognised by content and only a short list is accepted, every URL protocol is refused, and the hook that demuxers
//! use to open further files refuses too. A playlist or a script that points elsewhere is therefore just "not a video".

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Once};

use bytes::Bytes;
use ffmpeg_next as ff;
use ffmpeg_next::ffi;
use ffmpeg_next::format::context::{Input, StreamIo};

use crate::error::MediaError;
use crate::probe::{Limits, check_header};

/// FFmpeg's names of the demuxers that may run. "mov" covers MP4 and MOV, "matroska" covers MKV and WebM.
const CONTAINERS: &CStr = c"mov,matroska,avi,mpegts";

/// Microseconds of a video that comes, at most, that are looked at to find out what it is: nothing is told before.
const LIVE_ANALYSIS_US: &str = "500000";

/// The bytes of one video.
#[derive(Debug, Clone)]
pub enum Source {
    /// A regular file. Its path is the name used in errors.
    Path(PathBuf),
    /// A file that is open, read from its start; or the end of a pipe through which a video comes while it is decoded. The latter cannot be
    /// sought in, and its container must not need that: fragmented MP4, WebM, Matroska, MPEG-TS.
    File {
        /// What to call it in errors.
        name: String,
        /// The file, which may be read by others too.
        file: Arc<File>,
    },
    /// A file already in memory, such as an upload.
    Bytes {
        /// What to call it in errors.
        name: String,
        /// The whole file.
        data: Bytes,
    },
}

impl Source {
    /// The name used in errors.
    pub fn name(&self) -> String {
        match self {
            Source::Path(path) => path.display().to_string(),
            Source::File { name, .. } | Source::Bytes { name, .. } => name.clone(),
        }
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Source::Path(path.to_path_buf())
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Source::Path(path)
    }
}

/// Opens the container, checks its header against the limits, and reads stream parameters.
pub(crate) fn open(source: &Source, limits: &Limits) -> Result<Input, MediaError> {
    start_ffmpeg();
    let name = source.name();
    let mut io = stream_io(source, &name)?;

    // SAFETY: `io` holds a valid read context; the format found is a static of FFmpeg.
    let format = unsafe { recognise(&mut io, &name)? };
    let mut options = ff::Dictionary::new();
    options.set("protocol_whitelist", "none");
    options.set("format_whitelist", &CONTAINERS.to_string_lossy());
    let is_coming = source.is_coming();
    if is_coming {
        options.set("analyzeduration", LIVE_ANALYSIS_US);
    }

    // SAFETY: the context is allocated here and handed to `Input`, which frees it and keeps `io` alive as long. Until
    // then every early return goes through `avformat_open_input` (frees it on failure) or happens after the hand-over.
    let mut input = unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(ffmpeg_error(&name, "out of memory"));
        }
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        (*context).io_open = Some(refuse_open);
        let mut raw_options = options.disown();
        let status = ffi::avformat_open_input(&mut context, c"".as_ptr(), format, &mut raw_options);
        drop(ff::Dictionary::own(raw_options));
        if status < 0 {
            return Err(open_error(&name, format, ff::Error::from(status)));
        }
        Input::wrap_with_custom_io(context, io)
    };

    // Matroska's index may lie before its frames and tell of them all.
    if is_coming && input.format().name().contains("mov") && has_passed_frames(&mut input) {
        return Err(MediaError::IndexAtEnd { name });
    }
    // Reading stream parameters may decode a frame, so the header has to be acceptable first.
    check_header(&input, &name, limits)?;
    read_stream_info(&mut input, &name, limits)?;
    check_header(&input, &name, limits)?;
    Ok(input)
}

/// Whether frames that the index tells of lie before where the header ended.
fn has_passed_frames(input: &mut Input) -> bool {
    // SAFETY: the input has an I/O context, which lives as long as it does.
    let read = unsafe { ffi::avio_seek((*input.as_ptr()).pb, 0, libc::SEEK_CUR) };
    input.streams_mut().any(|mut stream| {
        // SAFETY: the stream is valid while the input is borrowed, and so is the entry until more is read.
        unsafe { ffi::avformat_index_get_entry(stream.as_mut_ptr(), 0).as_ref() }.is_some_and(|entry| entry.pos < read)
    })
}

/// FFmpeg's set-up, once: silent, because errors are returned and uploads must not write to the log at will.
pub(crate) fn start_ffmpeg() {
    static START: Once = Once::new();
    START.call_once(|| {
        // The only failure `init` can report is of devices and filters, which are not compiled in.
        let _ = ff::init();
        ff::log::set_level(ff::log::Level::Quiet);
    });
}

fn stream_io(source: &Source, name: &str) -> Result<StreamIo, MediaError> {
    let io_error = |error| MediaError::Io { name: name.to_string(), error: Arc::new(error) };
    let empty = || not_a_video(name, "the file is empty");
    let io = match source {
        Source::Path(path) => {
            // Before opening: opening a named pipe would wait for a writer.
            let metadata = std::fs::metadata(path).map_err(io_error)?;
            if !metadata.is_file() {
                return Err(not_a_video(name, "this is not a regular file"));
            }
            if metadata.len() == 0 {
                return Err(empty());
            }
            StreamIo::from_read_seek(File::open(path).map_err(io_error)?)
        }
        // What comes through a pipe is there once, and not before it is written.
        Source::File { file, .. } if is_pipe(file) => StreamIo::from_read(Pipe(file.clone())),
        Source::File { file, .. } => {
            if file.metadata().map_err(io_error)?.len() == 0 {
                return Err(empty());
            }
            StreamIo::from_read_seek(SharedFile { file: file.clone(), at: 0 })
        }
        Source::Bytes { data, .. } => {
            if data.is_empty() {
                return Err(empty());
            }
            StreamIo::from_read_seek(Cursor::new(data.clone()))
        }
    };
    io.map_err(|error| ffmpeg_error(name, error))
}

impl Source {
    /// Whether it comes while it is read, and cannot be read again.
    pub(crate) fn is_coming(&self) -> bool {
        matches!(self, Source::File { file, .. } if is_pipe(file))
    }
}

fn is_pipe(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// The end of a pipe at which it is read.
struct Pipe(Arc<File>);

impl Read for Pipe {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        (&*self.0).read(bytes)
    }
}

/// An open file, read from a place of its own: others may read it too.
struct SharedFile {
    file: Arc<File>,
    at: u64,
}

impl Read for SharedFile {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, position: SeekFrom) -> std::io::Result<u64> {
        let to = match position {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = to.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Finds the container by content alone, and accepts only those on the list.
///
/// # Safety
/// `io` must be a read context at its start.
unsafe fn recognise(io: &mut StreamIo, name: &str) -> Result<*const ffi::AVInputFormat, MediaError> {
    let mut format: *const ffi::AVInputFormat = ptr::null();
    // SAFETY: all pointers are valid; FFmpeg rewinds the context to where it was. 1 MiB is FFmpeg's own default bound.
    let status =
        unsafe { ffi::av_probe_input_buffer2(io.as_mut_ptr(), &mut format, c"".as_ptr(), ptr::null_mut(), 0, 1 << 20) };
    if status < 0 || format.is_null() {
        return Err(not_a_video(name, "the content is not a known media format"));
    }
    // SAFETY: `format` is a static of FFmpeg with a valid name; the list is a literal.
    let (found, accepted) = unsafe {
        let found = CStr::from_ptr((*format).name);
        let accepted = ffi::av_match_list(found.as_ptr(), CONTAINERS.as_ptr(), b',' as c_char);
        (found.to_string_lossy(), accepted > 0)
    };
    if accepted { Ok(format) } else { Err(not_a_video(name, &describe(&found))) }
}

/// Says in words what a refused demuxer reads.
fn describe(demuxer: &str) -> String {
    match demuxer {
        "hls" | "dash" => "this is a playlist, which only points to other files".into(),
        "concat" => "this is a concat script, which only points to other files".into(),
        image if image.ends_with("_pipe") => {
            format!("this is a picture ({})", image.trim_end_matches("_pipe"))
        }
        other => format!("this is in the format {other}"),
    }
}

/// The hook by which demuxers open further files: never.
unsafe extern "C" fn refuse_open(
    _: *mut ffi::AVFormatContext,
    _: *mut *mut ffi::AVIOContext,
    _: *const c_char,
    _: c_int,
    _: *mut *mut ffi::AVDictionary,
) -> c_int {
    ffi::AVERROR(ff::util::error::EPERM)
}

/// Fills in what the header leaves open (sizes in AVI and MPEG-TS, frame rates), with the size limit on the decoders
/// that FFmpeg may open for it.
fn read_stream_info(input: &mut Input, name: &str, limits: &Limits) -> Result<(), MediaError> {
    let max_pixels = CString::new(codec_max_pixels(limits).to_string()).unwrap_or_default();
    let streams = input.nb_streams() as usize;
    let mut options: Vec<*mut ffi::AVDictionary> = vec![ptr::null_mut(); streams];
    // SAFETY: there is one dictionary per stream, as FFmpeg requires; FFmpeg may replace them, and each is freed once.
    let status = unsafe {
        for dictionary in &mut options {
            ffi::av_dict_set(dictionary, c"max_pixels".as_ptr(), max_pixels.as_ptr(), 0);
        }
        let status = ffi::avformat_find_stream_info(input.as_mut_ptr(), options.as_mut_ptr());
        for dictionary in &mut options {
            ffi::av_dict_free(dictionary);
        }
        status
    };
    if status < 0 {
        return Err(MediaError::Corrupt {
            name: name.to_string(),
            detail: format!("reading the stream headers: {}", ff::Error::from(status)),
        });
    }
    Ok(())
}

/// The bound given to FFmpeg's decoders. They count padded sizes, so it is twice the limit: a backstop against huge
/// allocations, while the exact limit is checked on every frame.
pub(crate) fn codec_max_pixels(limits: &Limits) -> i64 {
    i64::try_from(limits.max_pixels.saturating_mul(2)).unwrap_or(i64::MAX).max(1 << 16)
}

fn open_error(name: &str, format: *const ffi::AVInputFormat, error: ff::Error) -> MediaError {
    // SAFETY: `format` comes from `recognise`.
    let format = unsafe { CStr::from_ptr((*format).name) }.to_string_lossy();
    if format.contains("mov") && matches!(error, ff::Error::InvalidData | ff::Error::Eof) {
        return MediaError::Truncated {
            name: name.to_string(),
            detail: "an MP4 or MOV file without its index (the moov box)".into(),
        };
    }
    match error {
        ff::Error::Eof => {
            MediaError::Truncated { name: name.to_string(), detail: format!("the {format} header is incomplete") }
        }
        error => {
            MediaError::Corrupt { name: name.to_string(), detail: format!("reading the {format} header: {error}") }
        }
    }
}

fn not_a_video(name: &str, found: &str) -> MediaError {
    MediaError::NotAVideo { name: name.to_string(), found: found.to_string() }
}

pub(crate) fn ffmpeg_error(name: &str, detail: impl std::fmt::Display) -> MediaError {
    MediaError::Ffmpeg { name: name.to_string(), detail: detail.to_string() }
}
