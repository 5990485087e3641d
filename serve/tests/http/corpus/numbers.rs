//! Numbers as files have them, and data that is much when it is unpacked.

/// Numbers of 32 bits, the high byte first.
pub fn be(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Numbers of 32 bits, the low byte first.
pub fn le(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A zlib stream of so many zeros, 159 to a byte: one zero, and then copies of 258 (RFC 1951, the fixed code).
pub fn zlib_bomb(zeros: usize) -> Vec<u8> {
    let copies = zeros / 258;
    let codes = [(0b011, 3), (0b0000_1100, 8)].into_iter();
    // Codes come with the high bit first: 285 is 1100_0101, and the distance of 1 is 0_0000.
    let codes = codes.chain(std::iter::repeat_n((0b0_0000_1010_0011, 13), copies)).chain([(0, 7)]);
    let (mut out, mut held, mut bits) = (vec![0x78, 0x9c], 0_u32, 0);
    for (code, length) in codes {
        held |= code << bits;
        bits += length;
        while bits >= 8 {
            out.push(held as u8);
            (held, bits) = (held >> 8, bits - 8);
        }
    }
    // The last bits, and a check that nobody gets to.
    out.push(held as u8);
    out.extend([0; 4]);
    out
}
