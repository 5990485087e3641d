//! Where files say how large their parts are, and other numbers that they are read by.

use std::ops::Range;

/// Places in a file.
#[derive(Default)]
pub struct Fields {
    /// Sizes of parts.
    pub sizes: Vec<Range<usize>>,
    /// Counts, times, sides and places.
    pub numbers: Vec<Range<usize>>,
}

/// Finds them, as far as the file is what it begins as.
pub fn find(data: &[u8]) -> Fields {
    let mut found = Fields::default();
    match data {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => elements(data, 0..data.len(), &mut found),
        [b'R', b'I', b'F', b'F', ..] => chunks(data, 0..data.len(), &mut found),
        [0x47, ..] => packets(data, &mut found),
        _ => boxes(data, 0..data.len(), &mut found),
    }
    found
}

/// The boxes of MP4 and MOV, and the words of those that are tables or headers.
fn boxes(data: &[u8], within: Range<usize>, found: &mut Fields) {
    const PARENTS: [&[u8]; 12] =
        [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"udta", b"moof", b"traf", b"mvex", b"mfra"];
    let mut at = within.start;
    while at + 8 <= within.end {
        let size = u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]) as usize;
        let end = if size < 8 { within.end } else { (at + size).min(within.end) };
        found.sizes.push(at..at + 4);
        match &data[at + 4..at + 8] {
            kind if PARENTS.contains(&kind) => boxes(data, at + 8..end, found),
            // A description of samples is boxes after a header of two words.
            b"stsd" => {
                found.numbers.push(at + 12..(at + 16).min(end).max(at + 12));
                boxes(data, at + 16..end, found);
            }
            b"mdat" | b"free" => {}
            _ => found.numbers.extend((at + 8..end.saturating_sub(3)).step_by(4).map(|word| word..word + 4)),
        }
        at = end;
    }
}

/// The elements of Matroska and WebM.
fn elements(data: &[u8], within: Range<usize>, found: &mut Fields) {
    const PARENTS: [&[u8]; 13] = [
        &[0x1a, 0x45, 0xdf, 0xa3],
        &[0x18, 0x53, 0x80, 0x67],
        &[0x11, 0x4d, 0x9b, 0x74],
        &[0x4d, 0xbb],
        &[0x15, 0x49, 0xa9, 0x66],
        &[0x16, 0x54, 0xae, 0x6b],
        &[0xae],
        &[0xe0],
        &[0x1f, 0x43, 0xb6, 0x75],
        &[0xa0],
        &[0x1c, 0x53, 0xbb, 0x6b],
        &[0xbb],
        &[0xb7],
    ];
    // The length of a number lies in the zeros before its first bit.
    let length = |at: usize| data[at].leading_zeros() as usize + 1;
    let mut at = within.start;
    while at < within.end {
        let size_at = at + length(at);
        if size_at >= within.end {
            return;
        }
        let (id, start) = (&data[at..size_at], size_at + length(size_at));
        if start > within.end || start - size_at > 8 {
            return;
        }
        found.sizes.push(size_at..start);
        let marker = 0xff_u64.checked_shr((start - size_at) as u32).unwrap_or(0);
        let first = u64::from(data[size_at]) & marker;
        let size = data[size_at + 1..start].iter().fold(first, |size, byte| size << 8 | u64::from(*byte));
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
        let end = end.unwrap_or(within.end).min(within.end);
        if PARENTS.contains(&id) {
            elements(data, start..end, found);
        } else if end - start <= 8 {
            found.numbers.push(start..end);
        }
        at = end;
    }
}

/// The chunks of AVI, and the words of its headers and index.
fn chunks(data: &[u8], within: Range<usize>, found: &mut Fields) {
    let mut at = within.start;
    while at + 8 <= within.end {
        let size = u32::from_le_bytes([data[at + 4], data[at + 5], data[at + 6], data[at + 7]]) as usize;
        let end = (at + 8).saturating_add(size).min(within.end);
        found.sizes.push(at + 4..at + 8);
        match &data[at..at + 4] {
            b"RIFF" | b"LIST" => chunks(data, (at + 12).min(end)..end, found),
            b"avih" | b"strh" | b"strf" | b"idx1" | b"indx" => {
                found.numbers.extend((at + 8..end.saturating_sub(3)).step_by(4).map(|word| word..word + 4));
            }
            _ => {}
        }
        at = end + end % 2;
    }
}

/// The packets of MPEG-TS: whose they are, what they begin with, and the lengths of sections.
fn packets(data: &[u8], found: &mut Fields) {
    for at in (0..data.len().saturating_sub(187)).step_by(188) {
        found.numbers.extend([at + 1..at + 3, at + 3..at + 4, at + 4..at + 5, at + 12..at + 16]);
        found.sizes.extend([at + 5..at + 8, at + 8..at + 12]);
    }
}
