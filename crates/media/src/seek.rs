//! Going to a time without decoding all that lies before it.

use std::sync::Arc;

use ffmpeg_next::{Discard, Packet, ffi};

use crate::decode::{Decoder, FrameTime};
use crate::error::MediaError;

/// How far before the wanted time a key frame is looked for, in seconds, one after the other: containers find the key
/// frame by decoding time, which may lie after the wanted time in presentation.
const BACK_S: [f64; 4] = [0.0, 1.0, 8.0, 64.0];
/// Pictures shown earlier than this before the wanted time are decoded only as far as others need them.
const NEAR_S: f64 = 0.5;

impl Decoder {
    /// Moves so that the next frame is the one on screen at `time_s`, counted as in [`FrameTime`]. Decodes from the key
    /// frame before it, and gives the same frames as reading from the start. After the end, there is no next frame.
    ///
    /// A file without an index is read from its start. Where timestamps do not rise ([`SeekFrames::is_steady`](crate::SeekFrames::is_steady))
    /// times are not those of reading from the start.
    ///
    /// # Errors
    /// As [`Decoder::next_frame`].
    pub fn seek(&mut self, time_s: f64) -> Result<(), MediaError> {
        let time_s = time_s.max(0.0);
        self.pending = None;
        if self.clock.first_tick().is_none() {
            // The time of the first frame is what all others are counted from; the header is not always right about it.
            let first = self.decode_ahead();
            self.ahead = Some(first);
            if time_s == 0.0 {
                return Ok(());
            }
        }
        for back_s in BACK_S.into_iter().take_while(|back_s| time_s > *back_s) {
            for near_s in [time_s - NEAR_S, f64::NEG_INFINITY] {
                // A damaged place is no reason to give up: from the start, all that can be decoded is found.
                if !self.jump(time_s - back_s, near_s) || !self.skip_to(time_s).unwrap_or(false) {
                    break;
                }
                // A picture that stays for long may have been passed over; then all are decoded.
                if self.pending.is_none_or(|found| found.time_s >= near_s) {
                    return Ok(());
                }
            }
        }
        if !self.jump(f64::NEG_INFINITY, f64::NEG_INFINITY) {
            return Err(MediaError::Io {
                name: self.name().to_string(),
                error: Arc::new(std::io::Error::other("the container cannot go back to its start")),
            });
        }
        self.skip_to(time_s).map(|_| ())
    }

    /// Lets the container continue at the key frame before a time; what is shown before `near_s` will not be wanted.
    /// False when it cannot.
    fn jump(&mut self, to_s: f64, near_s: f64) -> bool {
        let tick = match to_s.is_finite() {
            true => self.clock.first_tick().unwrap_or(0).saturating_add((to_s / self.tick_s + 1e-6).floor() as i64),
            false => self.clock.first_tick().unwrap_or(0),
        };
        // SAFETY: the context is owned and open; the stream is one of its own.
        let status = unsafe {
            let context = self.input.as_mut_ptr();
            let stream = self.stream as i32;
            match to_s.is_finite() {
                true => ffi::avformat_seek_file(context, stream, i64::MIN, tick, tick, 0),
                // MPEG-TS has no index to find its start by, but it starts at its first byte.
                false if self.info().container == "mpegts" => {
                    ffi::av_seek_frame(context, stream, 0, ffi::AVSEEK_FLAG_BYTE)
                }
                false => ffi::avformat_seek_file(context, stream, i64::MIN, tick, i64::MAX, 0),
            }
        };
        if status < 0 {
            return false;
        }
        let anywhere = to_s.is_finite();
        let near = |first: i64| first.saturating_add((near_s / self.tick_s) as i64);
        self.near_tick = self.clock.first_tick().map(near).filter(|_| near_s > 0.0);
        self.wants_key_frame = anywhere;
        self.sent_tick = anywhere.then_some(i64::MIN);
        self.errors_before = self.errors;
        self.clock.jump(anywhere);
        self.decoder.flush();
        self.discard(Discard::Default);
        self.input_ended = false;
        self.errors_in_a_row = 0;
        self.ahead = None;
        true
    }

    /// Decodes up to the frame on screen at a time. False when decoding starts after it, or the times are not known.
    fn skip_to(&mut self, time_s: f64) -> Result<bool, MediaError> {
        let tolerance_s = self.tolerance_s();
        let mut first = true;
        while let Some(frame) = self.advance()? {
            if !frame.time_s.is_finite() || (first && frame.time_s > time_s + tolerance_s) {
                return Ok(false);
            }
            first = false;
            if frame.time_s + frame.duration_s > time_s + tolerance_s {
                self.pending = Some(frame);
                return Ok(true);
            }
        }
        // Past the end: the last frame was seen, unless nothing could be decoded at all.
        Ok(!first)
    }

    /// Before a packet is decoded: whether it may be passed over after a jump.
    pub(crate) fn passes_over(&mut self, packet: &Packet) -> bool {
        if self.wants_key_frame && !packet.is_key() {
            return true;
        }
        self.wants_key_frame = false;
        self.sent_tick = self.sent_tick.map(|latest| packet.pts().map_or(latest, |pts| latest.max(pts)));
        if let Some(near) = self.near_tick {
            let is_before = packet.pts().is_some_and(|pts| pts < near);
            self.discard(if is_before { Discard::NonReference } else { Discard::Default });
        }
        false
    }

    /// At the end after a jump: whether a picture was sent that never came out. FFmpeg's H.264 decoder (5.1) keeps the last
    /// pictures for itself when few follow the key frame that it was flushed before.
    pub(crate) fn has_lost_frames(&self) -> bool {
        let (Some(sent), Some(first)) = (self.sent_tick, self.clock.first_tick()) else { return false };
        let sent_s = sent.saturating_sub(first) as f64 * self.tick_s;
        // Where pictures are damaged, they are missing for another reason.
        self.errors == self.errors_before && sent_s > self.clock.last_s + self.tolerance_s()
    }

    /// Decodes from the start up to the first frame that the end has lost.
    pub(crate) fn find_lost_frames(&mut self) -> Result<Option<f64>, MediaError> {
        let last_s = self.clock.last_s;
        if !self.jump(f64::NEG_INFINITY, f64::NEG_INFINITY) {
            return Ok(None);
        }
        loop {
            match self.decode_ahead()? {
                Some(time_s) if time_s <= last_s + self.tolerance_s() => {}
                found => return Ok(found),
            }
        }
    }

    /// Which pictures the codec leaves out from now on.
    fn discard(&mut self, pictures: Discard) {
        // SAFETY: the codec context is open and owned; the field may change between packets.
        unsafe { (*self.decoder.as_mut_ptr()).skip_frame = pictures.into() };
    }

    /// The frame that a jump has found, to be given next.
    pub(crate) fn take_pending(&mut self) -> Option<FrameTime> {
        self.pending.take()
    }
}
