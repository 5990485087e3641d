//! Folders of pictures, as datasets that were unpacked into frames have them, and single pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ffmpeg_next as ff;
use ffmpeg_next::codec::Id;
use ffmpeg_next::{Packet, frame};

use crate::decode::FrameTime;
use crate::error::MediaError;
use crate::frames::{Frames, SeekFrames};
use crate::probe::Limits;
use crate::source::{codec_max_pixels, ffmpeg_error, start_ffmpeg};
use crate::view::{Scaler, View};

/// The JPEG and PNG pictures of a folder in the order of their names, the numbers in them as numbers, at a constant rate.
///
/// A picture is decoded only when its pixels are asked for.
pub struct Pictures {
    name: String,
    files: Vec<PathBuf>,
    fps: f64,
    limits: Limits,
    picture_size: (u32, u32),
    scaler: Scaler,
    /// The next picture.
    next: usize,
    decoded: Option<(usize, frame::Video)>,
}

impl Pictures {
    /// Lists a folder, or takes a single picture, and reads the size of the first.
    ///
    /// # Errors
    /// [`MediaError::Io`] when the folder cannot be read, [`MediaError::NotAVideo`] when it holds no picture, and those
    /// of decoding the first.
    pub fn open(path: &Path, fps: f64, limits: &Limits) -> Result<Self, MediaError> {
        let name = path.display().to_string();
        let io_error = |error| MediaError::Io { name: name.clone(), error: Arc::new(error) };
        let mut files = Vec::new();
        if fs::metadata(path).map_err(io_error)?.is_dir() {
            for entry in fs::read_dir(path).map_err(io_error)? {
                let file = entry.map_err(io_error)?.path();
                if is_picture(&file) {
                    files.push(file);
                }
            }
            files.sort_by_cached_key(|file| by_numbers(file));
        } else {
            files.push(path.to_path_buf());
        }
        let found = || MediaError::NotAVideo { name: name.clone(), found: "the folder holds no JPEG or PNG".into() };
        let first = decode(files.first().ok_or_else(found)?, limits)?;
        let picture_size = (first.width(), first.height());
        let scaler = Scaler::new(&name, View::Full, picture_size, 0)?;
        Ok(Pictures { name, files, fps, limits: *limits, picture_size, scaler, next: 0, decoded: Some((0, first)) })
    }

    /// Its pictures, in their order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The picture that [`Frames::advance`] moved to.
    fn current(&self) -> usize {
        self.next.saturating_sub(1)
    }
}

impl Frames for Pictures {
    fn name(&self) -> &str {
        &self.name
    }

    fn picture_size(&self) -> (u32, u32) {
        self.picture_size
    }

    fn fps(&self) -> f64 {
        self.fps
    }

    fn duration_s(&self) -> Option<f64> {
        Some(self.files.len() as f64 / self.fps)
    }

    fn set_view(&mut self, view: View) -> Result<(), MediaError> {
        self.scaler = Scaler::new(&self.name, view, self.picture_size, 0)?;
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        self.scaler.size()
    }

    fn advance(&mut self) -> Result<Option<FrameTime>, MediaError> {
        if self.next == self.files.len() {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(FrameTime { time_s: self.current() as f64 / self.fps, duration_s: 1.0 / self.fps }))
    }

    fn write_current(&mut self, rgb: &mut [u8]) -> Result<(), MediaError> {
        let index = self.current();
        if self.decoded.as_ref().is_none_or(|(decoded, _)| *decoded != index) {
            self.decoded = Some((index, decode(&self.files[index], &self.limits)?));
        }
        let Some((_, picture)) = &self.decoded else { return Ok(()) };
        if (picture.width(), picture.height()) != self.picture_size {
            return Err(MediaError::View {
                name: self.files[index].display().to_string(),
                detail: format!(
                    "the picture is {} x {}, the first of its folder {} x {}; all must have one size",
                    picture.width(),
                    picture.height(),
                    self.picture_size.0,
                    self.picture_size.1
                ),
            });
        }
        self.scaler.scale(&self.name, picture, rgb)
    }

    fn tolerance_s(&self) -> f64 {
        1e-3 / self.fps
    }

    fn errors(&self) -> u64 {
        0
    }
}

impl SeekFrames for Pictures {
    fn seek(&mut self, time_s: f64) -> Result<(), MediaError> {
        let index = (time_s.max(0.0) + self.tolerance_s()) * self.fps;
        self.next = (index as usize).min(self.files.len());
        Ok(())
    }

    fn is_steady(&self) -> bool {
        true
    }
}

/// A name such that 2 comes before 10: numbers are filled up with zeros. Of equal ones the name itself decides.
fn by_numbers(path: &Path) -> (String, PathBuf) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (mut key, mut number) = (String::new(), String::new());
    for letter in name.chars().chain(['\0']) {
        if letter.is_ascii_digit() {
            number.push(letter);
            continue;
        }
        if !number.is_empty() {
            key += &format!("{:0>20}", number.trim_start_matches('0'));
            number.clear();
        }
        key.push(letter);
    }
    (key, path.to_path_buf())
}

/// Whether a file's name is that of a picture that is read.
pub fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png"))
}

fn decode(path: &Path, limits: &Limits) -> Result<frame::Video, MediaError> {
    start_ffmpeg();
    let name = path.display().to_string();
    let data = fs::read(path).map_err(|error| MediaError::Io { name: name.clone(), error: Arc::new(error) })?;
    let codec = match data.get(..4) {
        Some([0xff, 0xd8, 0xff, _]) => Id::MJPEG,
        Some([0x89, b'P', b'N', b'G']) => Id::PNG,
        _ => return Err(MediaError::Corrupt { name, detail: "this is neither a JPEG nor a PNG".into() }),
    };
    let corrupt = |error: ff::Error| MediaError::Corrupt { name: name.clone(), detail: error.to_string() };
    let codec = ff::decoder::find(codec).ok_or_else(|| ffmpeg_error(&name, "built without this decoder"))?;
    let mut context = ff::codec::Context::new_with_codec(codec);
    // SAFETY: the context was allocated above and is not open yet.
    unsafe { (*context.as_mut_ptr()).max_pixels = codec_max_pixels(limits) };
    let mut decoder = context.decoder().video().map_err(corrupt)?;
    let mut picture = frame::Video::empty();
    decoder.send_packet(&Packet::copy(&data)).map_err(corrupt)?;
    decoder.send_eof().map_err(corrupt)?;
    decoder.receive_frame(&mut picture).map_err(corrupt)?;
    limits.check_pixels(&name, picture.width(), picture.height())?;
    Ok(picture)
}
