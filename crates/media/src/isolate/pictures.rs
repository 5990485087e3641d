//! Decoded pictures in memory that two processes share.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use ffmpeg_next::{ffi, frame};
use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};

use super::wire::Picture;

/// Where rows begin, in bytes: as vector code wants them.
const ALIGN: i32 = 64;
/// Bytes after a picture, which vector code may read.
const PADDING: usize = 64;
/// Pictures of one video that may be in use: more than all its readers hold.
const MAX_PICTURES: usize = 16;

/// The worker's side: memory that it puts pictures into.
#[derive(Default)]
pub(super) struct Written {
    free: Vec<(u32, MmapMut)>,
    lent: HashMap<u32, MmapMut>,
}

impl Written {
    /// Takes back pictures that are not needed any more. Numbers that are not lent are of a video before this one.
    pub fn take_back(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.free.extend(self.lent.remove(number).map(|memory| (*number, memory)));
        }
    }

    /// Copies a frame; gives its number, how it lies there, and the memory where that is new.
    pub fn write(&mut self, frame: &frame::Video) -> io::Result<(u32, Picture, Option<OwnedFd>)> {
        // SAFETY: the frame is valid, and FFmpeg's names are statics.
        let (raw, picture) = unsafe {
            let raw = &*frame.as_ptr();
            let name = |name: *const std::ffi::c_char| {
                (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
            };
            let format = name(ffi::av_get_pix_fmt_name(frame.format().into()));
            let (space, range) = (ffi::av_color_space_name(raw.colorspace), ffi::av_color_range_name(raw.color_range));
            let format = format.ok_or_else(|| io::Error::other("a frame without a format"))?;
            let (width, height) = (frame.width(), frame.height());
            (raw, Picture { format, width, height, space: name(space), range: name(range) })
        };
        let size = picture.bytes().ok_or_else(|| io::Error::other("a frame that has no size"))?;
        let is_large = |(_, memory): &(u32, MmapMut)| memory.len() >= size + PADDING;
        let place = self.free.iter().position(is_large).or(self.free.len().checked_sub(1));
        let (number, memory) = match place.map(|place| self.free.swap_remove(place)) {
            Some((number, memory)) => (number, Some(memory).filter(|memory| memory.len() >= size + PADDING)),
            None if self.lent.len() >= MAX_PICTURES => return Err(io::Error::other("too many pictures are in use")),
            None => (self.lent.len() as u32, None),
        };
        let (mut memory, file) = match memory {
            Some(memory) => (memory, None),
            // Under the number of one that was too small, so that the other side lets go of that.
            None => {
                let file = shared_memory((size + PADDING) as u64)?;
                // SAFETY: it cannot shrink, and who reads it knows that it is written.
                (unsafe { MmapOptions::new().map_mut(&file)? }, Some(file))
            }
        };
        // SAFETY: the memory has room for a picture of this layout; the frame's planes are valid for its size.
        let copied = unsafe {
            ffi::av_image_copy_to_buffer(
                memory.as_mut_ptr(),
                size as i32,
                raw.data.as_ptr().cast(),
                raw.linesize.as_ptr(),
                frame.format().into(),
                picture.width as i32,
                picture.height as i32,
                ALIGN,
            )
        };
        self.lent.insert(number, memory);
        if copied < 0 { Err(io::Error::other("a frame cannot be copied")) } else { Ok((number, picture, file)) }
    }
}

/// Memory that can be given to another process, and keeps its size.
fn shared_memory(bytes: u64) -> io::Result<OwnedFd> {
    let file = memfd_create("picture", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, bytes)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file)
}

/// The other side: memory that a worker has written.
#[derive(Default)]
pub(super) struct Read {
    known: HashMap<u32, Arc<Mmap>>,
    given_back: Arc<Mutex<Vec<u32>>>,
}

impl Read {
    /// Numbers of pictures that nobody looks at any more.
    pub fn take_given_back(&self) -> Vec<u32> {
        std::mem::take(&mut *self.given_back.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A picture as a frame, without a copy. Nothing that the worker says of it is trusted.
    ///
    /// # Errors
    /// When it does not lie in the memory.
    pub fn frame(&mut self, number: u32, picture: &Picture, file: Option<OwnedFd>) -> io::Result<frame::Video> {
        if let Some(file) = file {
            if number as usize >= MAX_PICTURES {
                return Err(io::Error::other("too many pictures"));
            }
            self.known.insert(number, Arc::new(map(&file)?));
        }
        let memory = self.known.get(&number).ok_or_else(|| io::Error::other("a picture in no memory"))?.clone();
        let size = picture.bytes().filter(|size| size + PADDING <= memory.len());
        let size = size.ok_or_else(|| io::Error::other("a picture larger than its memory"))?;
        let mut frame = frame::Video::empty();
        let start = memory.as_ptr().cast_mut();
        let lent = Box::new(Lent { number, _memory: memory, given_back: self.given_back.clone() });
        // SAFETY: the layout was checked to lie within the memory, which lives until FFmpeg calls `give_back`. Nothing writes to it
        // here: the buffer is marked as read-only.
        unsafe {
            let lent = Box::into_raw(lent).cast::<c_void>();
            let buffer = ffi::av_buffer_create(start, size, Some(give_back), lent, ffi::AV_BUFFER_FLAG_READONLY);
            if buffer.is_null() {
                drop(Box::from_raw(lent.cast::<Lent>()));
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            let raw = &mut *frame.as_mut_ptr();
            raw.buf[0] = buffer;
            raw.format = picture.pixel_format() as i32;
            (raw.width, raw.height) = (picture.width as i32, picture.height as i32);
            let named = |name: &Option<String>, find: unsafe extern "C" fn(*const std::ffi::c_char) -> i32| {
                let name = name.as_deref().and_then(|name| CString::new(name).ok());
                name.map(|name| find(name.as_ptr())).filter(|found| *found >= 0)
            };
            // Numbers that FFmpeg itself has just given.
            if let Some(space) = named(&picture.space, ffi::av_color_space_from_name) {
                raw.colorspace = std::mem::transmute::<i32, ffi::AVColorSpace>(space);
            }
            if let Some(range) = named(&picture.range, ffi::av_color_range_from_name) {
                raw.color_range = std::mem::transmute::<i32, ffi::AVColorRange>(range);
            }
            let (data, lines) = (raw.data.as_mut_ptr(), raw.linesize.as_mut_ptr());
            let format = picture.pixel_format();
            if ffi::av_image_fill_arrays(data, lines, start, format, raw.width, raw.height, ALIGN) < 0 {
                return Err(io::Error::other("a picture that cannot be laid out"));
            }
        }
        Ok(frame)
    }
}

/// Maps a worker's memory to be read.
fn map(file: &OwnedFd) -> io::Result<Mmap> {
    // Were it cut off later, reading would end this process.
    if !fcntl_get_seals(file)?.contains(SealFlags::SHRINK) || fstat(file)?.st_size <= 0 {
        return Err(io::Error::other("memory that could be taken away"));
    }
    // SAFETY: it cannot shrink. The worker may write to it at any time: pictures may come out wrong by that, and nothing else.
    unsafe { MmapOptions::new().map(file) }
}

/// What a frame holds of a picture.
struct Lent {
    number: u32,
    _memory: Arc<Mmap>,
    given_back: Arc<Mutex<Vec<u32>>>,
}

/// Called by FFmpeg when the last frame of a picture is gone.
unsafe extern "C" fn give_back(lent: *mut c_void, _: *mut u8) {
    // SAFETY: it was made by `Read::frame` and is given here once.
    let lent = unsafe { Box::from_raw(lent.cast::<Lent>()) };
    lent.given_back.lock().unwrap_or_else(PoisonError::into_inner).push(lent.number);
}

impl Picture {
    fn pixel_format(&self) -> ffi::AVPixelFormat {
        let name = CString::new(self.format.as_str()).unwrap_or_default();
        // SAFETY: the name ends with a zero; an unknown one gives NONE.
        unsafe { ffi::av_get_pix_fmt(name.as_ptr()) }
    }

    /// Bytes of its planes, if it has any.
    fn bytes(&self) -> Option<usize> {
        let (width, height) = (i32::try_from(self.width).ok()?, i32::try_from(self.height).ok()?);
        // Those whose pixels are no whole bytes, or lie on a device, cannot be cut as other pictures are.
        let unfit = u64::from(ffi::AV_PIX_FMT_FLAG_BITSTREAM as u32 | ffi::AV_PIX_FMT_FLAG_HWACCEL as u32);
        // SAFETY: the descriptor is a static of FFmpeg, or null.
        let flags = unsafe { ffi::av_pix_fmt_desc_get(self.pixel_format()).as_ref() }?.flags;
        if flags & unfit != 0 {
            return None;
        }
        // SAFETY: takes any numbers; negative is an error.
        let bytes = unsafe { ffi::av_image_get_buffer_size(self.pixel_format(), width, height, ALIGN) };
        usize::try_from(bytes).ok().filter(|&bytes| bytes > 0)
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::format::Pixel;

    use super::*;

    fn frame(width: u32, height: u32, value: u8) -> frame::Video {
        let mut frame = frame::Video::new(Pixel::YUV420P, width, height);
        for plane in 0..3 {
            frame.data_mut(plane).fill(value + plane as u8);
        }
        frame
    }

    #[test]
    fn a_picture_is_read_as_it_was_written_and_its_memory_used_again() {
        let (mut written, mut read) = (Written::default(), Read::default());
        let mut known = vec![];
        for value in 0..20 {
            let (number, picture, memory) = written.write(&frame(35, 21, value)).unwrap();
            assert_eq!(memory.is_some(), !known.contains(&number));
            known.push(number);
            let shown = read.frame(number, &picture, memory).unwrap();
            assert_eq!((shown.width(), shown.height(), shown.format()), (35, 21, Pixel::YUV420P));
            for (plane, width, height) in [(0, 35, 21), (1, 18, 11), (2, 18, 11)] {
                let rows = shown.data(plane).chunks(shown.stride(plane)).take(height);
                assert!(rows.flat_map(|row| &row[..width]).all(|&byte| byte == value + plane as u8));
            }
            drop(shown);
            written.take_back(&read.take_given_back());
        }
        assert_eq!(known.iter().max(), Some(&0), "one memory is enough for one picture at a time");
        // However they grow, there is one memory for each number.
        for side in (40..400).step_by(20) {
            let (number, picture, memory) = written.write(&frame(side, side, 1)).unwrap();
            assert!(number == 0 && memory.is_some());
            drop(read.frame(number, &picture, memory).unwrap());
            written.take_back(&read.take_given_back());
        }
        assert_eq!((read.known.len(), written.free.len(), written.lent.len()), (1, 1, 0));
    }

    #[test]
    fn pictures_in_use_are_bounded() {
        let mut written = Written::default();
        for _ in 0..MAX_PICTURES {
            written.write(&frame(8, 8, 0)).unwrap();
        }
        assert!(written.write(&frame(8, 8, 0)).is_err());
        written.take_back(&[3, 3, 999]);
        assert!(written.write(&frame(8, 8, 0)).is_ok());
        assert!(written.write(&frame(8, 8, 0)).is_err());
    }

    #[test]
    fn nothing_that_is_said_of_a_picture_is_trusted() {
        let (number, picture, memory) = Written::default().write(&frame(64, 48, 7)).unwrap();
        let mut read = Read::default();
        assert!(read.frame(number, &picture, None).is_err(), "memory that never came");
        drop(read.frame(number, &picture, memory).unwrap());
        for wrong in [
            Picture { width: 65, height: 96, ..picture.clone() },
            Picture { format: "yuv444p16le".into(), ..picture.clone() },
            Picture { format: "nothing".into(), ..picture.clone() },
            Picture { format: "vaapi".into(), ..picture.clone() },
            Picture { format: "monob".into(), ..picture.clone() },
            Picture { width: 0, ..picture.clone() },
            Picture { width: u32::MAX, height: u32::MAX, ..picture.clone() },
        ] {
            assert!(read.frame(number, &wrong, None).is_err(), "{wrong:?}");
        }
        // Memory that could shrink under who reads it.
        let file = memfd_create("picture", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&file, 1 << 20).unwrap();
        assert!(read.frame(9, &picture, Some(file)).is_err());
    }
}
