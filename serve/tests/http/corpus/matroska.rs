//! Matroska and WebM by hand, with what no writer writes.

use super::numbers::{le, zlib_bomb};
use super::{Named, picture};

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const TAGS: u32 = 0x1254_c367;
const TAG: u32 = 0x7373;

/// An element: its id, its size in eight bytes, and what is in it.
pub fn element(id: u32, content: &[u8]) -> Vec<u8> {
    sized(id, 0x0100_0000_0000_0000 | content.len() as u64, content)
}

/// An element that claims another size, as it is written.
fn sized(id: u32, size: u64, content: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let zeros = id.iter().take_while(|byte| **byte == 0).count();
    [&id[zeros..], &size.to_be_bytes(), content].concat()
}

/// An element whose end is where something begins that cannot be in it.
fn endless(id: u32, content: &[u8]) -> Vec<u8> {
    sized(id, 0x01ff_ffff_ffff_ffff, content)
}

/// A number.
fn number(id: u32, number: u64) -> Vec<u8> {
    element(id, &number.to_be_bytes())
}

/// An element within itself, again and again.
fn nested(id: u32, depth: usize, make: fn(u32, &[u8]) -> Vec<u8>) -> Vec<u8> {
    (0..depth).fold(vec![], |inside, _| make(id, &inside))
}

/// A film of one track, whose pictures are JPEG files.
#[derive(Clone)]
pub struct Film {
    pub doc_type: &'static [u8],
    pub limits: Vec<u8>,
    pub scale_ns: u64,
    pub duration: f64,
    /// Further elements of the information, the track, its picture, and the segment.
    pub info: Vec<u8>,
    pub track: Vec<u8>,
    pub picture: Vec<u8>,
    pub more: Vec<u8>,
    pub number: u64,
    pub codec: &'static [u8],
    pub sides: [u64; 2],
    pub clusters: Vec<u8>,
}

impl Default for Film {
    fn default() -> Self {
        let blocks = (0..20).flat_map(|frame| block(frame * 40, 0, &picture()));
        Self {
            doc_type: b"matroska",
            limits: vec![],
            scale_ns: 1_000_000,
            duration: 800.0,
            info: vec![],
            track: vec![],
            picture: vec![],
            more: vec![],
            number: 1,
            codec: b"V_MJPEG",
            sides: [64, 48],
            clusters: element(CLUSTER, &[number(0xe7, 0), blocks.collect()].concat()),
        }
    }
}

/// A block at a time, with its flags.
fn block(time: i16, flags: u8, data: &[u8]) -> Vec<u8> {
    element(0xa3, &[&[0x81][..], &time.to_be_bytes(), &[0x80 | flags], data].concat())
}

impl Film {
    /// The whole file.
    pub fn file(&self) -> Vec<u8> {
        [self.head(), element(SEGMENT, &self.segment())].concat()
    }

    fn head(&self) -> Vec<u8> {
        let parts = [number(0x4286, 1), self.limits.clone(), element(0x4282, self.doc_type), number(0x4287, 4)];
        element(0x1a45_dfa3, &parts.concat())
    }

    fn segment(&self) -> Vec<u8> {
        let duration = element(0x4489, &self.duration.to_be_bytes());
        let info = element(0x1549_a966, &[number(0x002a_d7b1, self.scale_ns), duration, self.info.clone()].concat());
        let [width, height] = self.sides;
        let picture = element(0xe0, &[number(0xb0, width), number(0xba, height), self.picture.clone()].concat());
        let numbers = [number(0xd7, self.number), number(0x73c5, 1), number(0x83, 1)].concat();
        let track = [numbers, element(0x86, self.codec), picture, self.track.clone()].concat();
        [info, element(0x1654_ae6b, &element(0xae, &track)), self.more.clone(), self.clusters.clone()].concat()
    }
}

/// One that is as it should be.
pub fn good() -> Named {
    ("mkv".into(), Film::default().file())
}

pub fn files() -> Vec<Named> {
    let film = Film::default;
    let huge = u64::MAX;
    let cluster = |blocks: &[u8]| element(CLUSTER, &[&number(0xe7, 0), blocks].concat());
    let laced = |flags, data: &[u8]| cluster(&block(0, flags, data));
    let lies = [
        ("scale_0", Film { scale_ns: 0, ..film() }),
        ("scale_max", Film { scale_ns: huge, ..film() }),
        ("duration_nan", Film { duration: f64::NAN, ..film() }),
        ("duration_infinite", Film { duration: f64::INFINITY, ..film() }),
        ("duration_negative", Film { duration: -1e300, ..film() }),
        ("duration_of_a_century", Film { duration: 3e12, ..film() }),
        ("sides_0", Film { sides: [0, 0], ..film() }),
        ("sides_max", Film { sides: [huge, huge], ..film() }),
        ("sides_large", Film { sides: [60_000, 60_000], ..film() }),
        ("shown_larger", Film { picture: [number(0x54b0, huge), number(0x54ba, huge)].concat(), ..film() }),
        ("cropped_to_nothing", Film { picture: [number(0x54bb, huge), number(0x54aa, 5000)].concat(), ..film() }),
        ("frame_of_0_ns", Film { track: number(0x0023_e383, 0), ..film() }),
        ("frame_of_1_ns", Film { track: number(0x0023_e383, 1), ..film() }),
        ("track_0", Film { number: 0, ..film() }),
        ("track_max", Film { number: huge, ..film() }),
        ("doc_type_unknown", Film { doc_type: b"hostile", ..film() }),
        ("doc_type_webm", Film { doc_type: b"webm", ..film() }),
        ("doc_type_long", Film { doc_type: &[b'm'; 4096], ..film() }),
        ("ids_of_100_bytes", Film { limits: [number(0x42f2, 100), number(0x42f3, 100)].concat(), ..film() }),
        ("codec_none", Film { codec: b"", ..film() }),
        ("codec_another", Film { codec: b"V_VP9", ..film() }),
        ("codec_text", Film { codec: b"S_TEXT/UTF8", ..film() }),
        ("codec_raw", Film { codec: b"V_UNCOMPRESSED", sides: [3000, 3000], ..film() }),
        ("codec_of_windows", Film { codec: b"V_MS/VFW/FOURCC", track: element(0x63a2, &bitmap_header()), ..film() }),
        (
            "codec_of_quicktime",
            Film { codec: b"V_QUICKTIME", track: element(0x63a2, &[0, 0, 0, 8].repeat(200)), ..film() },
        ),
        (
            "private_of_avc",
            Film { codec: b"V_MPEG4/ISO/AVC", track: element(0x63a2, &[1, 100, 0, 30, 0xff, 0xff, 0xff]), ..film() },
        ),
        ("packed_bomb", Film { track: encoding(0), clusters: laced(0, &zlib_bomb(200 << 20)), ..film() }),
        ("packed_by_bzip2", Film { track: encoding(1), ..film() }),
        ("packed_by_lzo", Film { track: encoding(2), clusters: laced(0, &[0x11; 4000]), ..film() }),
        ("packed_by_head", Film { track: encoding(3), ..film() }),
        ("packed_unknown", Film { track: encoding(huge), ..film() }),
        ("lacing_of_255_max", Film { clusters: laced(2, &[0xff; 3000]), ..film() }),
        ("lacing_of_differences", Film { clusters: laced(6, &[0x40; 3000]), ..film() }),
        ("lacing_of_equal_parts", Film { clusters: laced(4, &[0xff; 7]), ..film() }),
        ("lacing_of_nothing", Film { clusters: laced(2, &[]), ..film() }),
        (
            "times_backwards",
            Film {
                clusters: cluster(&(0..200).flat_map(|n| block(-n * 100, 0, &picture())).collect::<Vec<_>>()),
                ..film()
            },
        ),
        ("times_the_same", Film { clusters: cluster(&block(0, 0, &picture()).repeat(300)), ..film() }),
        (
            "cluster_at_the_end_of_time",
            Film {
                clusters: element(CLUSTER, &[number(0xe7, huge), block(i16::MAX, 0, &picture())].concat()),
                ..film()
            },
        ),
        ("clusters_of_thousands", Film { clusters: cluster(&[]).repeat(20_000), ..film() }),
        ("clusters_endless", Film { clusters: nested(CLUSTER, 500, endless), ..film() }),
        ("clusters_nested", Film { clusters: nested(CLUSTER, 500, element), ..film() }),
        ("block_groups_nested", Film { clusters: cluster(&nested(0xa0, 500, element)), ..film() }),
        (
            "block_of_another_track",
            Film {
                clusters: cluster(&element(0xa3, &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x80, 1])),
                ..film()
            },
        ),
        ("block_without_data", Film { clusters: cluster(&element(0xa3, &[]).repeat(300)), ..film() }),
        ("tags_nested", Film { more: element(TAGS, &element(TAG, &nested(0x67c8, 3000, element))), ..film() }),
        ("tags_endless", Film { more: endless(TAGS, &nested(0x67c8, 3000, endless)), ..film() }),
        (
            "chapters_nested",
            Film { more: element(0x1043_a770, &element(0x45b9, &nested(0xb6, 3000, element))), ..film() },
        ),
        (
            "tracks_of_thousands",
            Film { more: element(0x1654_ae6b, &element(0xae, &number(0xd7, 1)).repeat(5000)), ..film() },
        ),
        (
            "attachment_max",
            Film { more: element(0x1941_a469, &sized(0x61a7, 0x01ff_ffff_ffff_fff0, &[0; 100])), ..film() },
        ),
        ("index_to_itself", Film { more: seek(0x114d_9b74, 0), ..film() }),
        ("index_of_clusters_everywhere", Film { more: element(0x1c53_bb6b, &cue(huge, huge).repeat(2000)), ..film() }),
        ("index_of_one_place", Film { more: element(0x1c53_bb6b, &cue(1, 0).repeat(20_000)), ..film() }),
        ("void_of_2_pow_55", Film { more: sized(0xec, 0x0180_0000_0000_0000, &[]), ..film() }),
        (
            "number_of_9_bytes",
            Film { more: element(0x1549_a966, &sized(0x002a_d7b1, 0x0100_0000_0000_0009, &[1; 9])), ..film() },
        ),
        (
            "colour_nan",
            Film { picture: element(0x55b0, &element(0x55d0, &element(0x55d1, &f64::NAN.to_be_bytes()))), ..film() },
        ),
        (
            "projection",
            Film { picture: element(0x7670, &[number(0x7671, huge), element(0x7675, &[0xff; 8])].concat()), ..film() },
        ),
    ];
    let lies = lies.into_iter().map(|(name, film)| (name, film.file()));
    lies.chain(parts()).map(|(name, data)| (format!("{name}.mkv"), data)).collect()
}

/// A description by which blocks are packed in one of four ways.
fn encoding(way: u64) -> Vec<u8> {
    let compression = element(0x5034, &[number(0x4254, way), element(0x4255, &[0xff; 500])].concat());
    element(0x6d80, &element(0x6240, &compression))
}

/// The header of a picture in Windows' way, with sides and colours that cannot be.
fn bitmap_header() -> Vec<u8> {
    [le(&[u32::MAX, i32::MAX as u32, i32::MIN as u32]), b"\xff\xff\xff\xffMJPG".to_vec(), le(&[u32::MAX; 5])].concat()
}

/// A list of one place in the segment.
fn seek(id: u32, at: u64) -> Vec<u8> {
    let entry = [element(0x53ab, &id.to_be_bytes()), number(0x53ac, at)].concat();
    element(0x114d_9b74, &element(0x4dbb, &entry))
}

/// An entry of the index.
fn cue(time: u64, at: u64) -> Vec<u8> {
    element(0xbb, &[number(0xb3, time), element(0xb7, &[number(0xf7, 1), number(0xf1, at)].concat())].concat())
}

/// What is no whole file.
fn parts() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let film = Film::default();
    let (head, segment, good) = (film.head(), film.segment(), film.file());
    [
        ("head_alone", head.clone()),
        ("head_of_2_pow_55", [&sized(0x1a45_dfa3, 0x0180_0000_0000_0000, &[])[..], &good].concat()),
        ("head_endless", [endless(0x1a45_dfa3, &head[12..]), segment.clone()].concat()),
        ("heads_of_thousands", [head.repeat(2000), element(SEGMENT, &segment)].concat()),
        ("segment_endless", [&head[..], &endless(SEGMENT, &segment)].concat()),
        ("segment_empty", [&head[..], &element(SEGMENT, &[])].concat()),
        ("segments_nested", [&head[..], &nested(SEGMENT, 1000, element)].concat()),
        ("segments_nested_endless", [&head[..], &nested(SEGMENT, 1000, endless)].concat()),
        ("segment_of_zeros", [&head[..], &element(SEGMENT, &vec![0; 1 << 20])].concat()),
        ("segment_of_ff", [&head[..], &element(SEGMENT, &vec![0xff; 1 << 20])].concat()),
        ("size_0_everywhere", [&head[..], &[0x18, 0x53, 0x80, 0x67, 0x80].repeat(5000)].concat()),
        ("film_twice", good.repeat(2)),
    ]
    .into_iter()
}
