//! MP4 and MOV by hand, with what no writer writes.

use super::numbers::{be, zlib_bomb};
use super::{Named, picture};

/// Pictures of the movies here.
const FRAMES: u32 = 20;

/// A box.
pub fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&be(&[content.len() as u32 + 8])[..], kind, content].concat()
}

/// A box with version and flags.
pub fn full(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    boxed(kind, &[&[0; 4], content].concat())
}

/// A box that is a list: a count, and its entries.
fn list(kind: &[u8; 4], count: u32, entries: &[u32]) -> Vec<u8> {
    full(kind, &[be(&[count]), be(entries)].concat())
}

/// A movie of one track, whose pictures are JPEG files.
#[derive(Clone)]
pub struct Movie {
    pub timescale: u32,
    pub duration: u32,
    pub sides: [u16; 2],
    pub codec: [u8; 4],
    /// Boxes within the description of the samples.
    pub description: Vec<u8>,
    /// The tables of the samples, each a box.
    pub times: Vec<u8>,
    pub chunks: Vec<u8>,
    pub sizes: Vec<u8>,
    pub offsets: Vec<u8>,
    /// Where the data is: the entries of `dref`.
    pub references: Vec<u8>,
    /// Further boxes in the track, in the movie, and beside it.
    pub in_track: Vec<u8>,
    pub in_movie: Vec<u8>,
    pub beside: Vec<u8>,
}

impl Default for Movie {
    fn default() -> Self {
        Self {
            timescale: 1000,
            duration: 40 * FRAMES,
            sides: [64, 48],
            codec: *b"jpeg",
            description: vec![],
            times: list(b"stts", 1, &[FRAMES, 40]),
            chunks: list(b"stsc", 1, &[1, FRAMES, 1]),
            sizes: full(b"stsz", &be(&[picture().len() as u32, FRAMES])),
            // After `ftyp` and the head of `mdat`.
            offsets: list(b"stco", 1, &[28]),
            references: boxed(b"url ", &be(&[1])),
            in_track: vec![],
            in_movie: vec![],
            beside: vec![],
        }
    }
}

impl Movie {
    /// The whole file.
    pub fn file(&self) -> Vec<u8> {
        let data = picture().repeat(FRAMES as usize);
        [boxed(b"ftyp", b"qt  \0\0\0\0qt  "), boxed(b"mdat", &data), self.moov(), self.beside.clone()].concat()
    }

    /// The movie without its data.
    pub fn moov(&self) -> Vec<u8> {
        const MATRIX: [u32; 9] = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];
        let sides = be(&self.sides.map(|side| u32::from(side) << 16));
        let times = be(&[0, 0, self.timescale, self.duration]);
        let mvhd = [&times[..], &be(&[0x10000, 0x0100_0000, 0, 0]), &be(&MATRIX), &be(&[0; 6]), &be(&[2])].concat();
        let tkhd = [&be(&[0, 0, 1, 0, self.duration, 0, 0, 0, 0]), &be(&MATRIX), &sides[..]].concat();
        let mdhd = [&times[..], &[0; 4]].concat();
        let dinf = boxed(b"dinf", &full(b"dref", &[be(&[1]), self.references.clone()].concat()));
        let [width, height] = self.sides.map(u16::to_be_bytes);
        let entry = [
            &[0; 6][..],
            &[0, 1],
            &[0; 16],
            &width,
            &height,
            &be(&[0x48_0000, 0x48_0000, 0]),
            &[0, 1],
            &[0; 32],
            &[0, 24, 0xff, 0xff],
            &self.description,
        ];
        let stsd = full(b"stsd", &[be(&[1]), boxed(&self.codec, &entry.concat())].concat());
        let stbl =
            boxed(b"stbl", &[&stsd, &self.times, &self.chunks, &self.sizes, &self.offsets].map(|b| &b[..]).concat());
        let minf = boxed(b"minf", &[full(b"vmhd", &[0; 8]), dinf, stbl].concat());
        let hdlr = full(b"hdlr", b"mhlrvide\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let mdia = boxed(b"mdia", &[full(b"mdhd", &mdhd), hdlr, minf].concat());
        let trak = boxed(b"trak", &[full(b"tkhd", &tkhd), self.in_track.clone(), mdia].concat());
        boxed(b"moov", &[full(b"mvhd", &mvhd), trak, self.in_movie.clone()].concat())
    }
}

/// One that is as it should be.
pub fn good() -> Named {
    ("mov".into(), Movie::default().file())
}

/// Boxes of this kind within each other.
fn nested(kind: &[u8; 4], depth: u32) -> Vec<u8> {
    (1..=depth).rev().flat_map(|level| [be(&[level * 8]), kind.to_vec()].concat()).collect()
}

pub fn files() -> Vec<Named> {
    let movie = Movie::default;
    let huge = u32::MAX;
    let lies = [
        ("timescale_0", Movie { timescale: 0, ..movie() }),
        ("timescale_max", Movie { timescale: huge, ..movie() }),
        ("timescale_negative", Movie { timescale: 1 << 31, ..movie() }),
        ("duration_0", Movie { duration: 0, ..movie() }),
        ("duration_of_a_century", Movie { timescale: 1, duration: huge, ..movie() }),
        ("sides_max", Movie { sides: [u16::MAX; 2], ..movie() }),
        ("sides_0", Movie { sides: [0, 0], ..movie() }),
        ("one_line", Movie { sides: [u16::MAX, 1], ..movie() }),
        ("another_size_than_its_pictures", Movie { sides: [1000, 800], ..movie() }),
        ("times_without_entries", Movie { times: list(b"stts", 0, &[]), ..movie() }),
        ("times_of_all_samples", Movie { times: list(b"stts", 1, &[huge, 1]), ..movie() }),
        ("times_0", Movie { times: list(b"stts", 1, &[FRAMES, 0]), ..movie() }),
        ("times_negative", Movie { times: list(b"stts", 1, &[FRAMES, huge]), ..movie() }),
        ("times_max", Movie { times: list(b"stts", 2, &[1, huge >> 1, FRAMES, huge >> 1]), ..movie() }),
        ("times_many", Movie { times: list(b"stts", huge, &[1, 40]), ..movie() }),
        ("times_of_thousands", Movie { times: list(b"stts", 5000, &[huge, huge].repeat(5000)), ..movie() }),
        ("chunks_many", Movie { chunks: list(b"stsc", huge, &[1, 1, 1]), ..movie() }),
        ("chunk_0", Movie { chunks: list(b"stsc", 1, &[0, FRAMES, 1]), ..movie() }),
        ("chunk_of_all_samples", Movie { chunks: list(b"stsc", 1, &[1, huge, 1]), ..movie() }),
        ("chunks_backwards", Movie { chunks: list(b"stsc", 3, &[9, 1, 1, 5, 1, 1, 1, 1, 1]), ..movie() }),
        ("chunk_of_no_description", Movie { chunks: list(b"stsc", 1, &[1, FRAMES, huge]), ..movie() }),
        ("sizes_0", Movie { sizes: full(b"stsz", &be(&[0, FRAMES])), ..movie() }),
        ("sizes_max", Movie { sizes: full(b"stsz", &be(&[huge, FRAMES])), ..movie() }),
        ("sizes_of_all_samples", Movie { sizes: full(b"stsz", &be(&[1, huge])), ..movie() }),
        ("sizes_of_millions", Movie { sizes: full(b"stsz", &be(&[1, 50_000_000])), ..movie() }),
        ("sizes_absurd", Movie { sizes: full(b"stsz", &be(&[0, huge, 242])), ..movie() }),
        ("sizes_in_half_bytes", Movie { sizes: full(b"stz2", &be(&[4, huge])), ..movie() }),
        ("offset_beyond", Movie { offsets: list(b"stco", 1, &[huge]), ..movie() }),
        ("offset_0", Movie { offsets: list(b"stco", 1, &[0]), ..movie() }),
        ("offsets_many", Movie { offsets: list(b"stco", huge, &[28]), ..movie() }),
        ("offsets_the_same", Movie { offsets: list(b"stco", 20_000, &[28; 20_000]), ..movie() }),
        ("offsets_of_64_bits_negative", Movie { offsets: list(b"co64", 1, &[huge, huge]), ..movie() }),
        ("edit_negative", Movie { in_track: edits(1, &[800, huge - 5, 0x10000]), ..movie() }),
        ("edit_rate_0", Movie { in_track: edits(1, &[800, 0, 0]), ..movie() }),
        ("edit_max", Movie { in_track: edits(1, &[huge, huge >> 1, 0x10000]), ..movie() }),
        ("edits_of_thousands", Movie { in_track: edits(5000, &[800, 0, 0x10000].repeat(5000)), ..movie() }),
        ("edits_many", Movie { in_track: edits(huge, &[800, 0, 0x10000]), ..movie() }),
        ("chapters_of_itself", Movie { in_track: boxed(b"tref", &boxed(b"chap", &be(&[1]))), ..movie() }),
        ("codec_unknown", Movie { codec: *b"\0\0\0\0", ..movie() }),
        ("codec_raw", Movie { codec: *b"raw ", sides: [2000, 2000], ..movie() }),
        ("codec_rtp", Movie { codec: *b"rtp ", ..movie() }),
        ("codec_another", Movie { codec: *b"avc1", ..movie() }),
        ("codec_av1", Movie { codec: *b"av01", description: boxed(b"av1C", &[0x81, 0, 0, 0, 0x0a, 0xff]), ..movie() }),
        ("parameters_too_long", Movie { codec: *b"avc1", description: boxed(b"avcC", &AVC), ..movie() }),
        (
            "descriptors_nested",
            Movie { codec: *b"mp4v", description: full(b"esds", &[3, 0x80, 0x80].repeat(400)), ..movie() },
        ),
        ("extension_of_extensions", Movie { description: nested(b"wave", 3000), ..movie() }),
        ("palette", Movie { codec: *b"rle ", description: vec![0xff; 200], ..movie() }),
        ("tracks_of_thousands", Movie { in_movie: boxed(b"trak", &full(b"tkhd", &[0; 80])).repeat(3000), ..movie() }),
        ("movie_in_movie", Movie { in_movie: nested(b"moov", 5000), ..movie() }),
        ("tracks_nested", Movie { in_movie: nested(b"trak", 5000), ..movie() }),
        ("metadata_nested", Movie { in_movie: nested(b"udta", 5000), ..movie() }),
        ("title_max", Movie { in_movie: boxed(b"udta", &boxed(b"\xa9nam", &[0xff; 5000])), ..movie() }),
        ("cover_that_is_none", Movie { in_movie: cover(), ..movie() }),
        ("random_access_absurd", Movie { beside: boxed(b"mfra", &list(b"tfra", 1, &[0x3f, huge, huge])), ..movie() }),
        ("fragment_absurd", Movie { in_movie: fragments(), beside: fragment(huge, &[]), ..movie() }),
        (
            "fragments_of_thousands",
            Movie { in_movie: fragments(), beside: fragment(2, &[242, 242]).repeat(2000), ..movie() },
        ),
        ("segments_absurd", Movie { beside: full(b"sidx", &be(&[1, 0, 0, 0, 0xffff, huge, huge, huge])), ..movie() }),
        ("sample_secrets_absurd", Movie { in_track: list(b"senc", huge, &[1, 2, 3, 4]), ..movie() }),
    ];
    let lies = lies.into_iter().map(|(name, movie)| (name, movie.file()));
    let all = lies.chain(parts());
    all.map(|(name, data)| (format!("{name}.mov"), data)).collect()
}

/// A record of H.264 whose parameters are longer than it is.
const AVC: [u8; 9] = [1, 100, 0, 30, 0xff, 0xff, 0xff, 0xff, 0x67];

fn edits(count: u32, entries: &[u32]) -> Vec<u8> {
    boxed(b"edts", &list(b"elst", count, entries))
}

fn cover() -> Vec<u8> {
    let data = boxed(b"data", &[&be(&[13, 0])[..], &[0xff; 64]].concat());
    let items = boxed(b"ilst", &boxed(b"covr", &data).repeat(200));
    boxed(b"udta", &full(b"meta", &[full(b"hdlr", b"\0\0\0\0mdir\0\0\0\0\0\0\0\0\0\0\0\0\0"), items].concat()))
}

fn fragments() -> Vec<u8> {
    boxed(b"mvex", &full(b"trex", &be(&[1, 1, 40, 242, 0])))
}

fn fragment(count: u32, sizes: &[u32]) -> Vec<u8> {
    let run = boxed(b"trun", &[be(&[0x201, count, 28]), be(sizes)].concat());
    boxed(b"moof", &[full(b"mfhd", &be(&[1])), boxed(b"traf", &[full(b"tfhd", &be(&[1])), run].concat())].concat())
}

/// What is no whole file.
fn parts() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let (good, moov) = (Movie::default().file(), Movie::default().moov());
    let ftyp = boxed(b"ftyp", b"isom\0\0\0\0isom");
    let sized = |size: u32, kind: &[u8; 4], rest: &[u8]| [&ftyp, &be(&[size])[..], kind, rest].concat();
    let packed = |claimed: u32, data: Vec<u8>| {
        let inside = [boxed(b"dcom", b"zlib"), boxed(b"cmvd", &[be(&[claimed]), data].concat())].concat();
        [&ftyp[..], &boxed(b"moov", &boxed(b"cmov", &inside))].concat()
    };
    [
        ("type_alone", ftyp.clone()),
        ("movie_alone", moov.clone()),
        ("movie_first_of_nothing", [&ftyp[..], &moov].concat()),
        ("movie_twice", [&good[..], &moov].concat()),
        ("movie_of_thousands", [&ftyp[..], &moov.repeat(200)].concat()),
        ("type_of_4_gb", [&be(&[u32::MAX]), &ftyp[4..], &good[..]].concat()),
        ("type_with_many_brands", [boxed(b"ftyp", &b"isom".repeat(20_000)), good.clone()].concat()),
        ("box_without_end", sized(0, b"mdat", &good)),
        ("box_of_7_bytes", sized(7, b"moov", &moov[8..])),
        ("box_of_1_byte_with_64_bits", sized(1, b"moov", &[0; 8])),
        ("box_of_64_bits_max", sized(1, b"moov", &[0xff; 40])),
        ("box_of_64_bits_almost_max", sized(1, b"mdat", &[&be(&[0x7fff_ffff, 0xffff_fff0]), &moov[..]].concat())),
        ("boxes_of_8_bytes", [&ftyp[..], &boxed(b"free", &[]).repeat(50_000)].concat()),
        ("data_of_zeros", [&ftyp[..], &boxed(b"mdat", &vec![0; 1 << 20]), &moov].concat()),
        ("packed_movie_bomb", packed(u32::MAX, zlib_bomb(100 << 20))),
        ("packed_movie_of_100_mb", packed(100 << 20, zlib_bomb(100 << 20))),
        ("packed_movie_of_nothing", packed(1 << 20, vec![])),
        ("items_absurd", [&ftyp[..], &full(b"meta", &list(b"iloc", 0x4444_ffff, &[u32::MAX; 64]))].concat()),
        ("unique_box", [&ftyp[..], &boxed(b"uuid", &[0xa5; 16]), &moov].concat()),
    ]
    .into_iter()
}
