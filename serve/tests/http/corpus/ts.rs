//! MPEG-TS by hand, with what no writer writes.

use super::{Named, video};

/// Bytes of a packet.
const PACKET: usize = 188;

/// The pids of the streams of the good file: its one programme, and the video in it.
const PROGRAMME: u16 = 0x1000;
const VIDEO: u16 = 0x100;

/// A packet that begins a section or a stretch of a stream, filled up.
fn packet(pid: u16, control: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = pid.to_be_bytes();
    let mut packet = [&[0x47, 0x40 | high, low, control], content].concat();
    packet.resize(PACKET, 0xff);
    packet
}

/// The check of sections: CRC-32 as MPEG counts it.
fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8)
            .fold(sum ^ u32::from(*byte) << 24, |sum, _| if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 })
    })
}

/// A packet with a table, whose length is right or not.
fn table(pid: u16, id: u8, length: Option<u16>, content: &[u8]) -> Vec<u8> {
    let length = length.unwrap_or(content.len() as u16 + 9);
    let [high, low] = length.to_be_bytes();
    let section = [&[id, 0xb0 | high, low, 0, 1, 0xc1, 0, 0], content].concat();
    packet(pid, 0x10, &[&[0], &section[..], &check(&section).to_be_bytes()].concat())
}

/// Programmes, each with the pid of its table.
fn programmes(pids: &[u16]) -> Vec<u8> {
    let entries =
        pids.iter().zip(1_u16..).flat_map(|(pid, number)| [number.to_be_bytes(), (0xe000 | pid).to_be_bytes()]);
    table(0, 0, None, entries.collect::<Vec<_>>().as_flattened())
}

/// A programme of streams, each with its kind, its pid and what is said of it.
fn programme(streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let entry = |(kind, pid, said): &(u8, u16, &[u8])| {
        let length = 0xf000 | said.len() as u16;
        [&[*kind][..], &(0xe000 | pid).to_be_bytes(), &length.to_be_bytes(), said].concat()
    };
    let head = [0xe1, 0, 0xf0, 0];
    table(PROGRAMME, 2, None, &[&head, &streams.iter().flat_map(entry).collect::<Vec<u8>>()[..]].concat())
}

/// A beginning of a stretch of video, of so many bytes and at a time of 33 bits.
fn stretch(length: u16, time: u64, head_length: u8) -> Vec<u8> {
    let time = [
        0x31 | (time >> 29) as u8 & 0x0e,
        (time >> 22) as u8,
        (time >> 14) as u8 | 1,
        (time >> 7) as u8,
        (time << 1) as u8 | 1,
    ];
    let length = length.to_be_bytes();
    packet(VIDEO, 0x10, &[&[0, 0, 1, 0xe0], &length[..], &[0x80, 0xc0, head_length], &time, &time].concat())
}

/// A copy of a good file with something done to each packet.
fn each(change: impl Fn(usize, &mut [u8])) -> Vec<u8> {
    let mut data = video("h264.ts");
    data.chunks_exact_mut(PACKET).enumerate().for_each(|(at, packet)| change(at, packet));
    data
}

/// As it was written.
pub fn good() -> Named {
    ("ts".into(), video("h264.ts"))
}

pub fn files() -> Vec<Named> {
    let good = video("h264.ts");
    let (pat, pmt) = (programmes(&[PROGRAMME]), programme(&[(0x1b, VIDEO, &[])]));
    let kinds: Vec<(u8, u16, &[u8])> = (0..32).map(|kind| (kind * 8 + 3, VIDEO + u16::from(kind), &[][..])).collect();
    let with = |packets: &[Vec<u8>]| [&pat[..], &pmt, &packets.concat()].concat();
    let again = |packet: Vec<u8>| packet.repeat(200);
    // Descriptors that say they are longer than all, and one that registers a format.
    let (long, many) = ([0x05, 0xff, b'H', b'D', b'M', b'V'], [0x0a, 4, b'e', b'n', b'g', 0].repeat(20));
    let in_192: Vec<u8> = good.chunks_exact(PACKET).flat_map(|packet| [&[0; 4], packet].concat()).collect();
    let in_204: Vec<u8> = good.chunks_exact(PACKET).flat_map(|packet| [packet, &[0; 16]].concat()).collect();
    let files = [
        ("sync_bytes_alone", vec![0x47; 100 * PACKET]),
        ("sync_bytes_and_zeros", packet(0, 0, &[0; 184]).repeat(100)),
        ("packets_of_nothing", again(packet(0x1fff, 0x10, &[]))),
        ("table_alone", again(pat.clone())),
        ("tables_alone", again([&pat[..], &pmt].concat())),
        ("programme_in_the_list_of_programmes", again([programmes(&[0]), pmt.clone()].concat())),
        ("programmes_of_one_table", again([programmes(&[PROGRAMME; 40]), pmt.clone()].concat())),
        ("programmes_that_are_not_there", again(programmes(&(0x20..0x48).collect::<Vec<_>>()))),
        ("section_longer_than_all", again(table(0, 0, Some(0xfff), &[0xff; 150]))),
        ("section_of_0_bytes", again(table(0, 0, Some(0), &[]))),
        ("section_of_3_bytes", again([&pat[..], &table(PROGRAMME, 2, Some(3), &[0; 20])].concat())),
        ("streams_of_all_kinds", again([&pat[..], &programme(&kinds)].concat())),
        ("streams_of_one_pid", again([&pat[..], &programme(&[(0x1b, VIDEO, &[][..]); 30])].concat())),
        ("stream_on_the_pid_of_its_table", again([&pat[..], &programme(&[(0x1b, PROGRAMME, &[])])].concat())),
        ("descriptor_longer_than_all", again([&pat[..], &programme(&[(6, VIDEO, &long)])].concat())),
        ("descriptors_of_languages", again([&pat[..], &programme(&[(6, VIDEO, &many)])].concat())),
        ("stretches_of_0_bytes", with(&[again(stretch(0, 0, 10))])),
        ("stretches_of_65535_bytes", with(&[again(stretch(u16::MAX, 0, 10))])),
        ("stretches_at_the_end_of_time", with(&[again(stretch(180, (1 << 33) - 1, 10))])),
        ("stretches_backwards", with(&(0..200).rev().map(|n| stretch(180, n << 24, 10)).collect::<Vec<_>>())),
        ("heads_of_255_bytes", with(&[again(stretch(180, 0, 255))])),
        ("heads_of_0_bytes", with(&[again(stretch(180, 0, 0))])),
        (
            "clocks_everywhere",
            with(&(0..200_u8).map(|n| packet(VIDEO, 0x20, &[183, 0x10, n, !n, n, !n, 0xff, 0xff])).collect::<Vec<_>>()),
        ),
        ("fields_of_255_bytes", each(|_, packet| (packet[3], packet[4]) = (packet[3] | 0x20, 255))),
        ("fields_of_0_bytes", each(|_, packet| (packet[3], packet[4]) = (packet[3] | 0x20, 0))),
        ("one_pid", each(|_, packet| (packet[1], packet[2]) = (0x40, 0))),
        ("many_pids", each(|at, packet| packet[2] = at as u8)),
        ("all_begin", each(|_, packet| packet[1] |= 0x40)),
        ("none_begins", each(|_, packet| packet[1] &= !0x40)),
        ("scrambled", each(|_, packet| packet[3] |= 0xc0)),
        ("marked_as_wrong", each(|_, packet| packet[1] |= 0x80)),
        ("counted_wrongly", each(|at, packet| packet[3] = packet[3] & 0xf0 | (at * 7 % 16) as u8)),
        ("sync_bytes_gone", each(|at, packet| packet[0] = if at % 3 == 0 { 0x47 } else { 0x46 })),
        ("packets_of_192_bytes", in_192),
        ("packets_of_204_bytes", in_204),
        ("one_byte_missing", [&good[..PACKET * 3 + 7], &good[PACKET * 3 + 8..]].concat()),
        ("many_times", good.repeat(40)),
        ("behind_noise", [&[0x55; 3000], &good[..]].concat()),
    ];
    files.into_iter().map(|(name, data)| (format!("{name}.ts"), data)).collect()
}
