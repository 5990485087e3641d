//! Which part of the picture is wanted at what size, and the one swscale pass that makes it.

use std::ptr;

use ffmpeg_next::ffi;
use ffmpeg_next::{color, format::Pixel, frame};

use crate::error::MediaError;
use crate::interleave::interleave;
use crate::source::ffmpeg_error;

/// What part of the displayed picture a decoder gives, and at what size.
///
/// Pixels are taken as square, as the training sets of video models do. Scaling is bilinear with support that grows
/// with the reduction, so small pictures are not aliased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// The whole picture at its own size.
    #[default]
    Full,
    /// The whole picture, stretched to a size.
    Resize {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The picture scaled so that its short side has a size, then the middle of it.
    CenterCrop {
        /// Size of the short side after scaling, in pixels.
        short_side: u32,
        /// Width of the part kept, in pixels.
        width: u32,
        /// Height of the part kept, in pixels.
        height: u32,
    },
    /// Any part of the picture, stretched to a size, mirrored or not: the augmentation of training.
    Part {
        /// The part, in pixels of the displayed picture.
        part: Region,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Whether left and right are swapped.
        mirror: bool,
    },
}

/// A rectangle of a picture, in pixels. Where colours are stored at half size, odd corners move by one pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Columns to its left.
    pub x: u32,
    /// Rows above it.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Region {
    /// Where a rectangle of the displayed picture is in the stored one, which display turns clockwise.
    fn stored(self, degrees: i32, stored_width: u32, stored_height: u32) -> Region {
        let Region { x, y, width, height } = self;
        let from_right = stored_width.saturating_sub(if degrees == 180 { x + width } else { y + height });
        let from_bottom = stored_height.saturating_sub(if degrees == 180 { y + height } else { x + width });
        match degrees {
            90 => Region { x: y, y: from_bottom, width: height, height: width },
            180 => Region { x: from_right, y: from_bottom, width, height },
            270 => Region { x: from_right, y: x, width: height, height: width },
            _ => self,
        }
    }
}

impl View {
    /// Width and height of the frames that this view of a `width x height` picture gives.
    pub(crate) fn output_size(&self, name: &str, width: u32, height: u32) -> Result<(u32, u32), MediaError> {
        // Larger than any frame a model takes, and small enough that sizes in bytes fit 32 bits.
        const LONGEST: u32 = 65_536;
        const LARGEST: u64 = 16_384 * 16_384;
        let (w, h) = match *self {
            View::Full => (width, height),
            View::Resize { width, height } => (width, height),
            View::CenterCrop { short_side, width: crop_width, height: crop_height } => {
                let short = u64::from(width.min(height));
                let scaled = |side: u32| (u64::from(side) * u64::from(short_side)) / short.max(1);
                if u64::from(crop_width) > scaled(width) || u64::from(crop_height) > scaled(height) {
                    return Err(MediaError::View {
                        name: name.to_string(),
                        detail: format!(
                            "a crop of {crop_width} x {crop_height} does not fit a {width} x {height} video scaled to \
                             {} x {}; raise the short side or shrink the crop",
                            scaled(width),
                            scaled(height)
                        ),
                    });
                }
                (crop_width, crop_height)
            }
            View::Part { part, width: w, height: h, .. } => {
                let fits =
                    |from: u32, size: u32, whole: u32| size > 0 && from.checked_add(size).is_some_and(|to| to <= whole);
                if !fits(part.x, part.width, width) || !fits(part.y, part.height, height) {
                    return Err(MediaError::View {
                        name: name.to_string(),
                        detail: format!(
                            "a part of {} x {} at ({}, {}) does not lie within a {width} x {height} picture",
                            part.width, part.height, part.x, part.y
                        ),
                    });
                }
                (w, h)
            }
        };
        if w == 0 || h == 0 || w.max(h) > LONGEST || u64::from(w) * u64::from(h) > LARGEST {
            return Err(MediaError::View {
                name: name.to_string(),
                detail: format!(
                    "a view of {w} x {h} pixels cannot be made; sides must be from 1 to {LONGEST}, and their product at most {LARGEST}"
                ),
            });
        }
        Ok((w, h))
    }

    /// The part of a displayed picture of `width x height` that the view shows.
    pub fn part(&self, width: u32, height: u32) -> Region {
        self.region(width, height, 0)
    }

    /// The part of a stored picture that the view shows, when display turns it clockwise.
    fn region(&self, stored_width: u32, stored_height: u32, degrees: i32) -> Region {
        let whole = Region { x: 0, y: 0, width: stored_width, height: stored_height };
        let (short_side, width, height) = match *self {
            View::Full | View::Resize { .. } => return whole,
            View::Part { part, .. } => {
                // Frames that changed their size within a video are shown whole where the part does not fit.
                let part = part.stored(degrees, stored_width, stored_height);
                let fits = part.x + part.width <= stored_width && part.y + part.height <= stored_height;
                return if fits { part } else { whole };
            }
            View::CenterCrop { short_side, width, height } => (short_side, width, height),
        };
        let turned = matches!(degrees, 90 | 270);
        let (width, height) = if turned { (height, width) } else { (width, height) };
        let short = stored_width.min(stored_height);
        let unscaled = |side: u32, whole: u32| {
            let pixels = f64::from(side) * f64::from(short) / f64::from(short_side);
            (pixels.round() as u32).clamp(1, whole)
        };
        let (width, height) = (unscaled(width, stored_width), unscaled(height, stored_height));
        Region { x: (stored_width - width) / 2, y: (stored_height - height) / 2, width, height }
    }
}

/// What a swscale context was made for; frames that differ need another.
#[derive(Clone, Copy, PartialEq)]
struct Input {
    format: Pixel,
    width: u32,
    height: u32,
    space: color::Space,
    range: color::Range,
}

/// Turns decoded frames into RGB pictures: crop, scale and convert in one pass, then interleave and rotate the small
/// result.
///
/// swscale writes planes: for them it has vector code, which a picture of interleaved bytes does not get. It takes three
/// fifths of the time (a quarter where the width is odd), and keeps the colours at full width where interleaved output
/// halves them.
pub(crate) struct Scaler {
    view: View,
    rotation_degrees: i32,
    /// Of the displayed result.
    size: (u32, u32),
    /// The stored picture after scaling, before rotation; its rows are aligned as swscale's vector code wants them.
    scaled: frame::Video,
    context: *mut ffi::SwsContext,
    input: Option<(Input, Region)>,
}

// SAFETY: the context is owned, not tied to a thread, and used through `&mut self` only.
unsafe impl Send for Scaler {}

impl Scaler {
    /// `picture` is the width and height as displayed.
    ///
    /// # Errors
    /// [`MediaError::View`] when the view does not fit the picture.
    pub(crate) fn new(name: &str, view: View, picture: (u32, u32), rotation_degrees: i32) -> Result<Self, MediaError> {
        let size = view.output_size(name, picture.0, picture.1)?;
        let turned = matches!(rotation_degrees, 90 | 270);
        let (width, height) = if turned { (size.1, size.0) } else { size };
        let scaled = frame::Video::new(Pixel::GBRP, width, height);
        Ok(Scaler { view, rotation_degrees, size, scaled, context: ptr::null_mut(), input: None })
    }

    /// Width and height of the displayed result.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Its bytes: width times height times 3.
    pub(crate) fn bytes(&self) -> usize {
        self.size.0 as usize * self.size.1 as usize * 3
    }

    /// Writes the view of `frame` into `rgb`.
    ///
    /// # Errors
    /// [`MediaError::View`] when `rgb` has not the bytes of the displayed result; [`MediaError::Ffmpeg`].
    pub(crate) fn scale(&mut self, name: &str, frame: &frame::Video, rgb: &mut [u8]) -> Result<(), MediaError> {
        if rgb.len() != self.bytes() {
            let ((width, height), needed) = (self.size, self.bytes());
            let found = rgb.len();
            let detail = format!("the buffer has {found} bytes, a frame of {width} x {height} needs {needed}");
            return Err(MediaError::View { name: name.to_string(), detail });
        }
        let region = self.prepare(name, frame)?;
        self.run(name, frame, region)?;
        let mirror = matches!(self.view, View::Part { mirror: true, .. });
        interleave(&self.scaled, self.rotation_degrees, mirror, rgb);
        Ok(())
    }

    /// Makes the context on the first frame and whenever size, format or colours change within a video.
    fn prepare(&mut self, name: &str, frame: &frame::Video) -> Result<Region, MediaError> {
        let input = Input {
            format: frame.format(),
            width: frame.width(),
            height: frame.height(),
            space: frame.color_space(),
            range: frame.color_range(),
        };
        if let Some((known, region)) = self.input
            && known == input
        {
            return Ok(region);
        }
        let mut region = self.view.region(input.width, input.height, self.rotation_degrees);
        if let Some(descriptor) = input.format.descriptor() {
            // Chroma planes are smaller: only offsets that are whole chroma pixels can be cut without a shift.
            region.x &= !((1 << descriptor.log2_chroma_w()) - 1);
            region.y &= !((1 << descriptor.log2_chroma_h()) - 1);
        }
        self.input = None;
        // SAFETY: the old context is freed once and replaced; sizes are positive and bounded by the limits.
        unsafe {
            ffi::sws_freeContext(self.context);
            self.context = ffi::sws_getContext(
                region.width as i32,
                region.height as i32,
                input.format.into(),
                self.scaled.width() as i32,
                self.scaled.height() as i32,
                ffi::AVPixelFormat::AV_PIX_FMT_GBRP,
                ffi::SWS_BILINEAR,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            if self.context.is_null() {
                return Err(ffmpeg_error(
                    name,
                    format!("cannot convert {:?} frames of {} x {} to RGB", input.format, input.width, input.height),
                ));
            }
            let matrix = ffi::sws_getCoefficients(matrix(&input));
            // Fails for sources that are RGB or grey already, which need no matrix.
            ffi::sws_setColorspaceDetails(
                self.context,
                matrix,
                i32::from(is_full_range(&input)),
                matrix,
                1,
                0,
                1 << 16,
                1 << 16,
            );
        }
        self.input = Some((input, region));
        Ok(region)
    }

    fn run(&mut self, name: &str, frame: &frame::Video, region: Region) -> Result<(), MediaError> {
        // SAFETY: `prepare` made the context for exactly this size and format. The frame's planes are valid for its
        // size, the region lies within it, and offsets are whole chroma pixels. `scaled` was made with the size and
        // format that the context writes.
        let rows = unsafe {
            let raw = &*frame.as_ptr();
            let planes = region_planes(raw, frame.format(), region);
            let target = &mut *self.scaled.as_mut_ptr();
            ffi::sws_scale(
                self.context,
                planes.as_ptr(),
                raw.linesize.as_ptr(),
                0,
                region.height as i32,
                target.data.as_ptr(),
                target.linesize.as_ptr(),
            )
        };
        if rows == self.scaled.height() as i32 { Ok(()) } else { Err(ffmpeg_error(name, "scaling a frame failed")) }
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: owned, freed once; null is allowed.
        unsafe { ffi::sws_freeContext(self.context) }
    }
}

/// Pointers to the region's first pixel in each plane.
///
/// # Safety
/// `raw` must be a video frame in `format` that contains the region.
unsafe fn region_planes(raw: &ffi::AVFrame, format: Pixel, region: Region) -> [*const u8; 4] {
    let mut planes = [ptr::null(); 4];
    // SAFETY: the descriptor is a static of FFmpeg, null only for formats that no frame has.
    let descriptor = unsafe { ffi::av_pix_fmt_desc_get(format.into()).as_ref() };
    for (plane, pointer) in planes.iter_mut().enumerate() {
        let start: *const u8 = raw.data[plane];
        let component =
            descriptor.and_then(|d| (0..usize::from(d.nb_components)).find(|&c| d.comp[c].plane as usize == plane));
        let (Some(descriptor), Some(component)) = (descriptor, component) else {
            *pointer = start;
            continue;
        };
        let is_chroma = matches!(component, 1 | 2);
        let (shift_x, shift_y) = if is_chroma { (descriptor.log2_chroma_w, descriptor.log2_chroma_h) } else { (0, 0) };
        let x = (region.x >> shift_x) as isize * descriptor.comp[component].step as isize;
        let y = (region.y >> shift_y) as isize * raw.linesize[plane] as isize;
        // SAFETY: by this function's contract the region is inside the plane.
        *pointer = unsafe { start.offset(y + x) };
    }
    planes
}

/// The matrix from YUV to RGB. Files that do not say get what players use: BT.709 for HD, BT.601 below.
fn matrix(input: &Input) -> i32 {
    use color::Space;
    match input.space {
        Space::BT709 => ffi::SWS_CS_ITU709,
        Space::FCC => ffi::SWS_CS_FCC,
        Space::BT470BG | Space::SMPTE170M => ffi::SWS_CS_ITU601,
        Space::SMPTE240M => ffi::SWS_CS_SMPTE240M,
        Space::BT2020NCL | Space::BT2020CL => ffi::SWS_CS_BT2020,
        _ if is_high_definition(input.width, input.height) => ffi::SWS_CS_ITU709,
        _ => ffi::SWS_CS_ITU601,
    }
}

/// Whether a picture of that size has the colours of HD (BT.709), where its file does not say.
pub(crate) fn is_high_definition(width: u32, height: u32) -> bool {
    width >= 1280 || height > 576
}

fn is_full_range(input: &Input) -> bool {
    let full_by_format =
        matches!(input.format, Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P | Pixel::YUVJ411P);
    full_by_format || input.range == color::Range::JPEG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_may_be_long_and_not_larger_than_bytes_can_be_counted() {
        let size = |width, height| View::Full.output_size("a.png", width, height);
        for (width, height) in [(1, 1), (20_000, 400), (16_384, 16_384), (400, 65_536)] {
            assert_eq!(size(width, height).unwrap(), (width, height));
        }
        for (width, height) in [(0, 4), (65_537, 1), (16_385, 16_384)] {
            let message = size(width, height).unwrap_err().to_string();
            assert!(message.contains(&format!("a view of {width} x {height} pixels cannot be made")), "{message}");
        }
    }
}
