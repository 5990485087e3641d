//! AVI by hand, with what no writer writes.

use super::numbers::le;
use super::{Named, picture};

/// Pictures of the clips here.
const FRAMES: u32 = 20;

/// A chunk, filled up to an even size.
pub fn chunk(id: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&id[..], &le(&[content.len() as u32]), content, &[0][..content.len() % 2]].concat()
}

/// A list of chunks.
pub fn list(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    chunk(b"LIST", &[kind, content].concat())
}

/// A clip of one stream, whose pictures are JPEG files.
#[derive(Clone)]
pub struct Clip {
    /// Scale and rate: frames per second are the second by the first.
    pub rate: [u32; 2],
    pub frames: u32,
    pub start: u32,
    pub sample_size: u32,
    pub sides: [u32; 2],
    pub codec: [u8; 4],
    pub bits: u16,
    pub header_size: u32,
    /// Further chunks of the stream, the header, and after the pictures.
    pub stream: Vec<u8>,
    pub header: Vec<u8>,
    pub after: Vec<u8>,
    pub movie: Vec<u8>,
}

impl Default for Clip {
    fn default() -> Self {
        Self {
            rate: [1, 25],
            frames: FRAMES,
            start: 0,
            sample_size: 0,
            sides: [64, 48],
            codec: *b"MJPG",
            bits: 24,
            header_size: 40,
            stream: vec![],
            header: vec![],
            after: vec![],
            movie: chunk(b"00dc", &picture()).repeat(FRAMES as usize),
        }
    }
}

impl Clip {
    /// The whole file.
    pub fn file(&self) -> Vec<u8> {
        let ([scale, rate], [width, height]) = (self.rate, self.sides);
        let main = le(&[40_000, 0, 0, 0x10, self.frames, 0, 1, 0, width, height, 0, 0, 0, 0]);
        let kind = [&b"vids"[..], &self.codec].concat();
        let stream =
            [kind, le(&[0, 0, 0, scale, rate, self.start, self.frames, 0, 0, self.sample_size, 0, 0])].concat();
        let planes = [&[1, 0][..], &self.bits.to_le_bytes(), &self.codec].concat();
        let format = [le(&[self.header_size, width, height]), planes, le(&[0, 0, 0, 0, 0])].concat();
        let stream = [chunk(b"strh", &stream), chunk(b"strf", &format), self.stream.clone()].concat();
        let header = [chunk(b"avih", &main), list(b"strl", &stream), self.header.clone()].concat();
        let parts = [b"AVI ".to_vec(), list(b"hdrl", &header), list(b"movi", &self.movie), self.after.clone()];
        chunk(b"RIFF", &parts.concat())
    }
}

/// One that is as it should be.
pub fn good() -> Named {
    ("avi".into(), Clip::default().file())
}

/// Lists within each other.
fn nested(depth: u32) -> Vec<u8> {
    (1..=depth).rev().flat_map(|level| [b"LIST".to_vec(), le(&[level * 12]), b"rec ".to_vec()].concat()).collect()
}

/// An index of places in the file, or of indices.
fn index(id: &[u8; 4], kind: u8, count: u32, entries: &[u32]) -> Vec<u8> {
    let words_of_entry = if kind == 0 { 4 } else { 2 };
    chunk(id, &[&[words_of_entry, 0, 0, kind][..], &le(&[count]), b"00dc", &le(&[0, 0, 0]), &le(entries)].concat())
}

/// The older index: kind, flags, place and size of each chunk.
fn old_index(place: u32, size: u32, count: usize) -> Vec<u8> {
    chunk(b"idx1", &[&b"00dc"[..], &le(&[0x10, place, size])].concat().repeat(count))
}

pub fn files() -> Vec<Named> {
    let clip = Clip::default;
    let huge = u32::MAX;
    let lies = [
        ("rate_0", Clip { rate: [1, 0], ..clip() }),
        ("scale_0", Clip { rate: [0, 25], ..clip() }),
        ("rate_and_scale_0", Clip { rate: [0, 0], ..clip() }),
        ("rate_max", Clip { rate: [1, huge], ..clip() }),
        ("scale_max", Clip { rate: [huge, 1], ..clip() }),
        ("rate_negative", Clip { rate: [1, 1 << 31], ..clip() }),
        ("frames_max", Clip { frames: huge, ..clip() }),
        ("frames_0", Clip { frames: 0, ..clip() }),
        ("start_max", Clip { start: huge, ..clip() }),
        ("sample_size_max", Clip { sample_size: huge, ..clip() }),
        ("sample_size_1", Clip { sample_size: 1, ..clip() }),
        ("sides_0", Clip { sides: [0, 0], ..clip() }),
        ("sides_large", Clip { sides: [60_000, 60_000], ..clip() }),
        ("sides_negative", Clip { sides: [huge, huge], ..clip() }),
        ("height_least", Clip { sides: [64, 1 << 31], ..clip() }),
        ("bits_max", Clip { bits: u16::MAX, ..clip() }),
        ("palette", Clip { bits: 8, codec: *b"MRLE", ..clip() }),
        ("codec_raw", Clip { codec: [0; 4], sides: [3000, 3000], ..clip() }),
        ("codec_unknown", Clip { codec: *b"????", ..clip() }),
        ("codec_another", Clip { codec: *b"H264", ..clip() }),
        ("codec_of_sound", Clip { codec: *b"auds", ..clip() }),
        ("header_size_max", Clip { header_size: huge, ..clip() }),
        ("header_size_0", Clip { header_size: 0, ..clip() }),
        ("name_long", Clip { stream: chunk(b"strn", &[0xff; 5000]), ..clip() }),
        ("private_data", Clip { stream: chunk(b"strd", &[0xff; 5000]), ..clip() }),
        ("shape_0", Clip { stream: chunk(b"vprp", &le(&[0; 17])), ..clip() }),
        ("shape_max", Clip { stream: chunk(b"vprp", &le(&[huge; 17])), ..clip() }),
        ("super_index_absurd", Clip { stream: index(b"indx", 0, huge, &[0, 0, huge, huge]), ..clip() }),
        ("super_index_to_itself", Clip { stream: index(b"indx", 0, 100, &[230, 0, 32, 20].repeat(100)), ..clip() }),
        ("super_index_to_the_start", Clip { stream: index(b"indx", 0, 2, &[0, 0, 64, 20].repeat(2)), ..clip() }),
        ("index_absurd", Clip { stream: index(b"indx", 1, huge, &[huge, huge]), ..clip() }),
        ("index_of_chunks_absurd", Clip { after: index(b"ix00", 1, huge, &[huge; 64]), ..clip() }),
        ("old_index_beyond", Clip { after: old_index(huge, huge, 20), ..clip() }),
        ("old_index_of_one_place", Clip { after: old_index(4, 242, 50_000), ..clip() }),
        ("old_index_of_nothing", Clip { after: chunk(b"idx1", &[]), ..clip() }),
        (
            "old_index_of_other_streams",
            Clip { after: chunk(b"idx1", &[&b"99dc"[..], &le(&[0, 4, 242])].concat().repeat(99)), ..clip() },
        ),
        ("streams_of_hundreds", Clip { header: list(b"strl", &chunk(b"strh", &[b'v'; 56])).repeat(500), ..clip() }),
        ("frames_of_dmlh_max", Clip { header: list(b"odml", &chunk(b"dmlh", &[0xff; 248])), ..clip() }),
        ("lists_nested_in_the_header", Clip { header: nested(5000), ..clip() }),
        ("lists_nested_in_the_movie", Clip { movie: nested(5000), ..clip() }),
        ("chunks_of_no_stream", Clip { movie: chunk(b"99dc", &picture()).repeat(30), ..clip() }),
        ("chunks_empty", Clip { movie: chunk(b"00dc", &[]).repeat(20_000), ..clip() }),
        ("chunks_of_palettes", Clip { movie: chunk(b"00pc", &[0xff, 0xff, 0, 0, 1, 2, 3, 4]).repeat(500), ..clip() }),
        ("chunk_of_4_gb", Clip { movie: [&b"00dc"[..], &le(&[huge]), &picture()].concat(), ..clip() }),
        ("junk_of_4_gb", Clip { movie: [&b"JUNK"[..], &le(&[huge])].concat(), ..clip() }),
        (
            "movie_of_noise",
            Clip { movie: (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(), ..clip() },
        ),
        ("movie_of_zeros", Clip { movie: vec![0; 1 << 20], ..clip() }),
        ("times_of_a_camera", Clip { after: chunk(b"IDIT", &[b'9'; 3000]), ..clip() }),
        ("facts_long", Clip { header: list(b"INFO", &chunk(b"INAM", &[0xff; 9000])), ..clip() }),
    ];
    let lies = lies.into_iter().map(|(name, clip)| (name, clip.file()));
    lies.chain(parts()).map(|(name, data)| (format!("{name}.avi"), data)).collect()
}

/// What is no whole file.
fn parts() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let good = Clip::default().file();
    let with_size = |size: u32| [b"RIFF", &le(&[size])[..], &good[8..]].concat();
    [
        ("head_alone", good[..12].to_vec()),
        ("size_0", with_size(0)),
        ("size_max", with_size(u32::MAX)),
        ("movie_gone", good[..good.len() / 3].to_vec()),
        ("clip_twice", good.repeat(2)),
        ("clip_in_clip", chunk(b"RIFF", &[b"AVI ", &good[..]].concat())),
        ("riff_of_avix", [&good[..], &chunk(b"RIFF", &[b"AVIX", &list(b"movi", &[0xff; 999])[..]].concat())].concat()),
        ("zeros_after_the_head", [&good[..12], &vec![0; 1 << 18]].concat()),
    ]
    .into_iter()
}
