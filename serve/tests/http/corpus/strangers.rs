//! Files that are no videos, or none that the service takes.

use super::numbers::{be, le, zlib_bomb};
use super::{Named, picture, video};

/// Text of many kinds.
const TEXTS: [(&str, &str); 16] = [
    ("txt", "This is a letter, not a video.\n"),
    (
        "html",
        "<!DOCTYPE html><html><head><script>alert(1)</script></head><body><video src=\"a.mp4\"></video></body></html>\n",
    ),
    ("sh", "#!/bin/sh\nrm -rf \"$HOME\"\n"),
    ("py", "#!/usr/bin/env python3\nimport os\nos.system('id')\n"),
    ("json", "{\"video\": [[[[[[[[[[]]]]]]]]]], \"task\": \"classify\"}\n"),
    (
        "pdf",
        "%PDF-1.7\n1 0 obj\n<</Type/Catalog/OpenAction<</S/Launch/F(/bin/sh)>>>>\nendobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
    ),
    ("ps", "%!PS-Adobe-3.0\n(%pipe%id) (r) file\n"),
    (
        "laughs.xml",
        "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>\n",
    ),
    ("vtt", "WEBVTT\n\n00:00.000 --> 00:02.000\nHello\n"),
    ("ass", "[Script Info]\nScriptType: v4.00+\n\n[Events]\nDialogue: 0,0:00:00.00,0:00:02.00,Default,,0,0,0,,Hello\n"),
    ("smi", "<SAMI><BODY><SYNC Start=0><P>Hello</BODY></SAMI>\n"),
    ("ffmeta", ";FFMETADATA1\ntitle=a\n[CHAPTER]\nTIMEBASE=1/0\nSTART=0\nEND=9223372036854775807\n"),
    ("csv", "path,label\n../../../etc/passwd,a\n"),
    (
        "multipart",
        "--x\r\nContent-Disposition: form-data; name=\"video\"; filename=\"../../a.mp4\"\r\n\r\n\r\n--x--\r\n",
    ),
    ("http", "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"),
    ("yuv4mpeg", "YUV4MPEG2 W60000 H60000 F0:0 Ip A0:0 C420\nFRAME\n"),
];

/// What formats begin with.
const HEADS: [(&str, &[u8]); 33] = [
    ("elf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0>\0\x01\0\0\0"),
    ("exe", b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0"),
    ("class", b"\xca\xfe\xba\xbe\0\0\0\x34"),
    ("wasm", b"\0asm\x01\0\0\0"),
    ("zip", b"PK\x03\x04\x14\0\0\0\x08\0"),
    ("7z", b"7z\xbc\xaf\x27\x1c\0\x04"),
    ("rar", b"Rar!\x1a\x07\x01\0"),
    ("gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
    ("xz", b"\xfd7zXZ\0\0\x04"),
    ("sqlite", b"SQLite format 3\0\x10\0\x01\x01"),
    ("gif", b"GIF89a\xff\xff\xff\xff\xf7\0\0"),
    ("bmp", b"BM\xff\xff\xff\xff\0\0\0\0\x36\0\0\0\x28\0\0\0\xff\xff\xff\x7f\xff\xff\xff\x7f\x01\0\x18\0"),
    ("tif", b"II*\0\x08\0\0\0\xff\xff"),
    ("webp", b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\x02\0\0\0\xff\xff\xff\xff\xff\xff"),
    ("ico", b"\0\0\x01\0\xff\xff"),
    ("jp2", b"\0\0\0\x0cjP  \r\n\x87\x0a"),
    ("wav", b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\xff\xff\xff\xff\xff\xff"),
    ("mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f\xff\xfb\x90\x64"),
    ("ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\xff\x01vorbis"),
    ("flac", b"fLaC\0\xff\xff\xff"),
    ("flv", b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x09\xff\xff\xff\0\0\0\0\0\0\0"),
    ("asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("rm", b".RMF\0\0\0\x12\0\x01"),
    ("mpg", b"\0\0\x01\xba\x44\0\x04\0\x04\x01\x01\x89\xc3\xf8\0\0\x01\xbb\xff\xff"),
    ("m2v", b"\0\0\x01\xb3\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("h264", b"\0\0\0\x01\x67\x64\0\x1e\xac\xb4\x05\x01\xed\x80\0\0\0\x01\x68\xee\x3c\x80\0\0\x01\x65"),
    ("hevc", b"\0\0\0\x01\x40\x01\x0c\x01\xff\xff\x01\x60\0\0\0\x01\x42\x01"),
    ("obu", b"\x12\0\x0a\x0b\0\0\0\x04\x3c\xff\xbf\xff\xfc"),
    ("ivf", b"DKIF\0\0\x20\0VP80\xff\xff\xff\xff\0\0\0\0\0\0\0\0\xff\xff\xff\xff"),
    ("swf", b"CWS\x0a\xff\xff\xff\xff\x78\x9c"),
    ("mxf", b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02\x04\0"),
    ("nut", b"nut/multimedia container\0"),
    ("amv", b"RIFF\0\0\0\0AMV LIST"),
];

pub fn files() -> Vec<Named> {
    let texts = TEXTS.iter().map(|(kind, text)| (format!("text.{kind}"), text.repeat(60).into_bytes()));
    let noise = |length: u32| -> Vec<u8> { (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect() };
    let heads = HEADS.iter().flat_map(|(kind, head)| {
        let (zeros, noise) = ([head, &[0; 5000][..]].concat(), [head, &noise(5000)[..]].concat());
        [(format!("head.{kind}"), head.to_vec()), (format!("zeros.{kind}"), zeros), (format!("noise.{kind}"), noise)]
    });
    let single = [0_u8, b'#', 0x1a, 0x47, b'R', 0xff].map(|byte| (format!("byte_{byte:02x}"), vec![byte]));
    let filled = [0_u8, 0x20, 0x47, 0x55, 0xff]
        .into_iter()
        .flat_map(|byte| [188, 5000, 1 << 20].map(|length| (format!("bytes_{byte:02x}_{length}"), vec![byte; length])));
    let noises = [1, 16, 300, 4096, 300_000].map(|length| (format!("noise_{length}"), noise(length)));
    let others = [
        ("nothing", vec![]),
        ("picture.jpg", picture()),
        ("pictures.mjpeg", picture().repeat(50)),
        ("picture.png", video("picture.png")),
        ("picture_of_a_bomb.png", png(60_000, 60_000, &zlib_bomb(100 << 20))),
        ("sound.mp4", video("audio.mp4")),
        ("bomb.zz", zlib_bomb(100 << 20)),
        (
            "video_in_a_zip",
            [&be(&[0x504b_0304])[..], &le(&[20, 0, 0, 0, 0, 0, 5]), b"a.mp4", &video("h264.mp4")].concat(),
        ),
        ("long_line.m3u8", [&b"#EXTM3U\n"[..], &[b'a'; 1 << 20]].concat()),
        ("many_lines.m3u8", [&b"#EXTM3U\n"[..], &b"#EXTINF:1,\n".repeat(50_000)].concat()),
        ("deep.json", b"[".repeat(200_000)),
    ];
    let others = others.map(|(name, data)| (name.to_string(), data));
    texts.chain(heads).chain(single).chain(filled).chain(noises).chain(others).collect()
}

/// A PNG of such sides, with some data and no right checks.
fn png(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], content: &[u8]| [&be(&[content.len() as u32])[..], kind, content, &[0; 4]].concat();
    let head = [be(&[width, height]), vec![8, 2, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &head), chunk(b"IDAT", data), chunk(b"IEND", &[])].concat()
}
