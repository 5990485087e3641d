//! Arrays of MATLAB's files: as much of the format (MAT-File Level 5, which MATLAB saves as version 6 and 7) as JHMDB's masks
//! need.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Kinds of elements.
const INTEGERS: u32 = 5;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Bytes of an element at most, once it is not compressed any more: a mask of 1920 x 1080 and 500 frames.
const MOST_BYTES: u64 = 1 << 30;

/// An array of numbers.
#[derive(Debug)]
pub struct Array {
    /// Rows, columns, and what follows.
    pub shape: Vec<usize>,
    /// Its numbers as bytes, the first column first.
    data: Vec<u8>,
    /// Bytes of a number.
    width: usize,
}

impl Array {
    /// Whether each of its numbers is not 0, by columns.
    pub fn nonzero(&self) -> impl Iterator<Item = bool> {
        self.data.chunks_exact(self.width).map(|number| number.iter().any(|byte| *byte != 0))
    }
}

/// The array of this name in a file, or what is wrong with the file.
pub fn read(bytes: &[u8], name: &str) -> Result<Array, String> {
    let Some((header, mut rest)) = bytes.split_at_checked(128) else { return Err(short()) };
    match &header[124..] {
        [0, 1, b'I', b'M'] => {}
        [0, 2, b'I', b'M'] => return Err("it is of version 7.3; save it in MATLAB with -v7".into()),
        other => return Err(format!("found the version {other:?}, expected [0, 1, 73, 77] of a MATLAB file")),
    }
    let mut others = vec![];
    while !rest.is_empty() {
        let (mut kind, mut content) = element(&mut rest)?;
        let mut inflated = vec![];
        if kind == COMPRESSED {
            let read = ZlibDecoder::new(content).take(MOST_BYTES + 1).read_to_end(&mut inflated);
            let size = read.map_err(|error| format!("a compressed element cannot be read: {error}"))?;
            if size as u64 > MOST_BYTES {
                return Err(format!("a compressed element has more than {MOST_BYTES} bytes, which no masks need"));
            }
            (kind, content) = element(&mut &inflated[..])?;
        }
        if kind != MATRIX {
            continue;
        }
        let _flags = element(&mut content)?;
        let (shape_kind, shape) = element(&mut content)?;
        let (_, found) = element(&mut content)?;
        if found != name.as_bytes() {
            others.push(String::from_utf8_lossy(found).into_owned());
            continue;
        }
        if shape_kind != INTEGERS {
            return Err(format!("{name}: found a shape of kind {shape_kind}, expected integers"));
        }
        let side = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let shape: Vec<usize> = shape.chunks_exact(4).map(side).collect();
        let (kind, data) = element(&mut content)?;
        let width: usize = match kind {
            1 | 2 => 1,
            3 | 4 => 2,
            5..=7 => 4,
            9 | 12 | 13 => 8,
            _ => return Err(format!("{name}: found elements of kind {kind}, expected numbers")),
        };
        let expected = shape.iter().try_fold(width, |count, side| count.checked_mul(*side));
        if expected != Some(data.len()) {
            return Err(format!("{name}: found {} bytes for an array of {shape:?}", data.len()));
        }
        return Ok(Array { shape, data: data.to_vec(), width });
    }
    Err(format!("found no {name}, but [{}]", others.join(", ")))
}

/// Takes the next element off: its kind and content.
fn element<'a>(rest: &mut &'a [u8]) -> Result<(u32, &'a [u8]), String> {
    let number = |at: usize| {
        let bytes = rest.get(at..at + 4).ok_or_else(short)?;
        Ok::<_, String>(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let kind = number(0)?;
    // Four bytes and fewer lie in the tag, and its upper half says how many.
    let (kind, start, length) =
        if kind >> 16 > 0 { (kind & 0xffff, 4, (kind >> 16) as usize) } else { (kind, 8, number(4)? as usize) };
    let content = rest.get(start..).and_then(|rest| rest.get(..length)).ok_or_else(short)?;
    let end = if kind == COMPRESSED { start + length } else { (start + length).next_multiple_of(8) };
    // The last element of some files is not filled up.
    *rest = rest.get(end..).unwrap_or_default();
    Ok((kind, content))
}

fn short() -> String {
    "it ends too early; get it again".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../../tests/fixtures/actors/mat/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    /// What SciPy wrote: an array of 3 x 4 x 2 that is not 0 where row + 2 * column + 3 * frame is a multiple of 5.
    #[test]
    fn arrays_are_read_compressed_or_not_whatever_their_numbers() {
        for name in ["plain.mat", "compressed.mat", "double.mat", "logical.mat", "int16.mat"] {
            let array = read(&fixture(name), "part_mask").unwrap();
            assert_eq!(array.shape, [3, 4, 2], "{name}");
            let expected = (0..2).flat_map(|frame| {
                (0..4).flat_map(move |column| (0..3).map(move |row| (row + 2 * column + 3 * frame) % 5 == 0))
            });
            assert!(array.nonzero().eq(expected), "{name}");
        }
        // A name of four letters lies in its tag.
        assert_eq!(read(&fixture("plain.mat"), "tiny").unwrap().shape, [1, 2]);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let good = fixture("plain.mat");
        assert_eq!(read(&good, "mask").unwrap_err(), "found no mask, but [other, tiny, part_mask]");
        for end in 0..good.len() {
            assert!(read(&good[..end], "part_mask").is_err(), "{end}");
        }
        let compressed = fixture("compressed.mat");
        for end in 128..compressed.len() {
            assert!(read(&compressed[..end], "part_mask").is_err(), "{end}");
        }
        let mut newer = good.clone();
        newer[125] = 2;
        assert!(read(&newer, "part_mask").unwrap_err().contains("save it in MATLAB with -v7"));
        newer[126] = b'M';
        assert!(read(&newer, "part_mask").unwrap_err().contains("found the version"));
        assert!(read(&fixture("text.mat"), "part_mask").unwrap_err().contains("elements of kind"));
        // Every byte in turn is something else: whatever comes of it, nothing breaks.
        for at in 128..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                let _ = read(&bad, "part_mask");
            }
        }
    }
}
