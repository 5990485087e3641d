//! Good files, changed by chance.

#![expect(clippy::ptr_arg, reason = "changes are of one type, and some change the length")]

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{Named, sizes, video};

/// A video of each container and codec.
const SEEDS: [&str; 25] = [
    "h264.mp4",
    "faststart.mp4",
    "fragmented.mp4",
    "hevc.mp4",
    "vp9.mp4",
    "av1.mp4",
    "mpeg4.mp4",
    "vfr.mp4",
    "rotate90.mp4",
    "h264.mov",
    "mjpeg.mov",
    "h264.mkv",
    "hevc.mkv",
    "av1.mkv",
    "vfr.mkv",
    "vp8.webm",
    "vp9.webm",
    "av1.webm",
    "mpeg4.avi",
    "mjpeg.avi",
    "msmpeg4v3.avi",
    "h264.ts",
    "hevc.ts",
    "mpeg1.ts",
    "mpeg2.ts",
];

/// Files that are made of each.
const OF_EACH: usize = 84;

/// What is done to a file, which may take from another.
type Mutation = (&'static str, fn(&mut Pcg64, &mut Vec<u8>, &[u8]));

const MUTATIONS: [Mutation; 12] = [
    ("bits", bits),
    ("bytes", bytes),
    ("noise", noise),
    ("cut", cut),
    ("gone", gone),
    ("twice", twice),
    ("swapped", swapped),
    ("size", size),
    ("sizes", sizes_of_all_kinds),
    ("number", number),
    ("spliced", spliced),
    ("several", several),
];

/// Changes every seed in every way, several times.
pub fn mutated(seed: u64) -> impl Iterator<Item = Named> {
    let files: Vec<Vec<u8>> = SEEDS.iter().map(|name| video(name)).collect();
    (0..SEEDS.len() * OF_EACH).map(move |number| {
        let (at, round) = (number / OF_EACH, number % OF_EACH);
        let (name, change) = MUTATIONS[round % MUTATIONS.len()];
        // A file is the same whatever comes before it.
        let mut rng = Pcg64::seed_from_u64(seed.wrapping_add(number as u64));
        let other = &files[rng.random_range(0..files.len())];
        let mut data = files[at].clone();
        change(&mut rng, &mut data, other);
        (format!("{round:02}.{name}.{}", SEEDS[at]), data)
    })
}

/// A place in a file. Half of them are near its ends, where headers and indices lie.
fn place(rng: &mut Pcg64, data: &[u8]) -> usize {
    let (near, last) = (data.len().min(1024), data.len().saturating_sub(1));
    match rng.random_range(0..4) {
        0 => rng.random_range(0..=near.min(last)),
        1 => last - rng.random_range(0..=near.min(last)),
        _ => rng.random_range(0..=last),
    }
}

/// A piece of a file of up to so many bytes.
fn piece(rng: &mut Pcg64, data: &[u8], most: usize) -> Range<usize> {
    let start = place(rng, data).min(data.len());
    start..(start + rng.random_range(1..=most)).min(data.len())
}

fn bits(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    for _ in 0..1 << rng.random_range(0..7) {
        let at = place(rng, data);
        if let Some(byte) = data.get_mut(at) {
            *byte ^= 1 << rng.random_range(0..8);
        }
    }
}

/// Numbers at their bounds: what is added to them overflows, what is taken from them too.
fn bound(rng: &mut Pcg64) -> [u8; 8] {
    const BOUNDS: [u64; 12] = [
        0,
        1,
        2,
        0x7f,
        0xff,
        0x7fff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        u64::MAX,
    ];
    let bound = BOUNDS[rng.random_range(0..BOUNDS.len())];
    if rng.random() { bound.to_be_bytes() } else { bound.to_le_bytes() }
}

/// Writes a number at its bounds over a field; of one with its high byte first, the low bytes.
fn overwrite(rng: &mut Pcg64, field: &mut [u8]) {
    let bytes = bound(rng);
    let from = if rng.random() { bytes.len().saturating_sub(field.len()) } else { 0 };
    for (byte, new) in field.iter_mut().zip(&bytes[from..]) {
        *byte = *new;
    }
}

fn bytes(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    for _ in 0..rng.random_range(1..=8) {
        let width = 1 << rng.random_range(0..4);
        let range = piece(rng, data, width);
        overwrite(rng, &mut data[range]);
    }
}

fn noise(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    let range = piece(rng, data, 256);
    rng.fill(&mut data[range]);
}

fn cut(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    let at = place(rng, data);
    if rng.random_ratio(1, 4) { drop(data.drain(..at)) } else { data.truncate(at) }
}

fn gone(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    let range = piece(rng, data, 2048);
    data.drain(range);
}

fn twice(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    let range = piece(rng, data, 2048);
    let copy = data[range.clone()].repeat(1 << rng.random_range(0..5));
    let to = if rng.random() { range.end } else { place(rng, data).min(data.len()) };
    data.splice(to..to, copy);
}

fn swapped(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    let (one, other) = (piece(rng, data, 512), piece(rng, data, 512));
    let (first, second) = if one.start <= other.start { (one, other) } else { (other, one) };
    if first.end <= second.start {
        let copy = data[second.clone()].to_vec();
        let moved = data.splice(first.clone(), copy).collect::<Vec<u8>>();
        let shift = second.len() as isize - first.len() as isize;
        let second = second.start.saturating_add_signed(shift)..second.end.saturating_add_signed(shift);
        data.splice(second, moved);
    }
}

/// Lies about what a file says of its own parts.
fn lie(rng: &mut Pcg64, data: &mut [u8], fields: &[Range<usize>], lies: usize) {
    for _ in 0..lies.min(fields.len()) {
        let field = &mut data[fields[rng.random_range(0..fields.len())].clone()];
        match rng.random_range(0..3) {
            // A little wrong: what follows is read from the wrong place.
            0 => {
                if let Some(last) = field.last_mut() {
                    *last = last.wrapping_add(rng.random_range(0..=16)).wrapping_sub(8);
                }
            }
            _ => overwrite(rng, field),
        }
    }
}

fn size(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    let found = sizes::find(data);
    lie(rng, data, &found.sizes, 1);
}

fn sizes_of_all_kinds(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    let found = sizes::find(data);
    lie(rng, data, &[found.sizes, found.numbers].concat(), 6);
}

fn number(rng: &mut Pcg64, data: &mut Vec<u8>, _: &[u8]) {
    let found = sizes::find(data);
    lie(rng, data, &found.numbers, 2);
}

/// The beginning of one and the end of another.
fn spliced(rng: &mut Pcg64, data: &mut Vec<u8>, other: &[u8]) {
    data.truncate(place(rng, data));
    data.extend_from_slice(&other[place(rng, other)..]);
}

fn several(rng: &mut Pcg64, data: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(2..=4) {
        let (_, change) = MUTATIONS[rng.random_range(0..MUTATIONS.len() - 1)];
        change(rng, data, other);
    }
}
