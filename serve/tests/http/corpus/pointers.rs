//! Files that point to other files and addresses: playlists of every kind, and containers that can name where their data is.

use super::mp4::{Movie, boxed, full};
use super::numbers::be;
use super::{Bait, Named, avi, matroska, picture, video};

/// What a player may follow. `{}` is what it points to.
const LISTS: [(&str, &str); 27] = [
    ("m3u8", "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"),
    ("master.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.4d001f\"\n{}\n"),
    ("map.m3u8", "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"{}\"\n#EXTINF:2,\na.m4s\n"),
    ("key.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"{}\"\n#EXTINF:2,\n{}\n"),
    (
        "media.m3u8",
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"v\",NAME=\"v\",URI=\"{}\"\n#EXT-X-STREAM-INF:VIDEO=\"v\"\n{}\n",
    ),
    ("concat.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nconcat:{}|{}\n#EXT-X-ENDLIST\n"),
    ("subfile.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsubfile,,start,0,end,64,,:{}\n#EXT-X-ENDLIST\n"),
    ("crypto.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ncrypto+{}\n#EXT-X-ENDLIST\n"),
    ("m3u", "#EXTM3U\n#EXTINF:2,a\n{}\n"),
    ("ffconcat", "ffconcat version 1.0\nfile '{}'\nduration 2\n"),
    ("options.ffconcat", "ffconcat version 1.0\nfile '{}'\noption safe 0\noption protocol_whitelist file,http,tcp\n"),
    (
        "mpd",
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"><Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"0\" bandwidth=\"1\"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    ),
    (
        "list.mpd",
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT2S\"><Period><AdaptationSet><Representation id=\"0\" bandwidth=\"1\"><SegmentList duration=\"1\"><Initialization sourceURL=\"{}\"/><SegmentURL media=\"{}\"/></SegmentList></Representation></AdaptationSet></Period></MPD>",
    ),
    (
        "entity.mpd",
        "<?xml version=\"1.0\"?><!DOCTYPE MPD [<!ENTITY e SYSTEM \"{}\">]><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\">&e;</MPD>",
    ),
    (
        "sdp",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{}\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ),
    ("rtsp", "RTSPtext\n{}\n"),
    ("asx", "<asx version=\"3.0\"><entry><ref href=\"{}\"/></entry></asx>"),
    ("smil", "<smil><body><video src=\"{}\"/></body></smil>"),
    ("pls", "[playlist]\nFile1={}\nNumberOfEntries=1\nVersion=2\n"),
    (
        "xspf",
        "<?xml version=\"1.0\"?><playlist version=\"1\" xmlns=\"http://xspf.org/ns/0/\"><trackList><track><location>{}</location></track></trackList></playlist>",
    ),
    ("qtl", "<?xml version=\"1.0\"?><?quicktime type=\"application/x-quicktime-media-link\"?><embed src=\"{}\"/>"),
    (
        "imf.xml",
        "<?xml version=\"1.0\"?><CompositionPlaylist xmlns=\"http://www.smpte-ra.org/schemas/2067-3/2016\"><Id>{}</Id></CompositionPlaylist>",
    ),
    (
        "svg",
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\"><image xlink:href=\"{}\"/></svg>",
    ),
    ("avs", "AviSource(\"{}\")\n"),
    ("vpy", "import vapoursynth\nvapoursynth.core.ffms2.Source('{}').set_output()\n"),
    (
        "idx",
        "# VobSub index file, v7 (do not modify this line!)\nsize: 720x576\nid: en, index: 0\n# {}\ntimestamp: 00:00:01:000, filepos: 000000000\n",
    ),
    ("srt", "1\n00:00:00,000 --> 00:00:02,000\n<img src=\"{}\"/>\n"),
];

pub fn files(bait: &Bait) -> Vec<Named> {
    let path = bait.file.display().to_string();
    let name = bait.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ways = [
        ("path", path.clone()),
        ("file", format!("file://{path}")),
        ("name", name.clone()),
        ("url", bait.url.clone()),
        ("pattern", path.replace(&name, "%*")),
    ];
    ways.iter().flat_map(|(way, to)| to_one(way, to)).collect()
}

/// All that can point to something.
fn to_one(way: &str, to: &str) -> Vec<Named> {
    let lists = LISTS.iter().map(|(kind, text)| (kind.to_string(), text.replace("{}", to).into_bytes()));
    let playlist = LISTS[0].1.replace("{}", to);
    let others = [
        ("alias.mov", Movie { references: alias(to), ..Movie::default() }.file()),
        ("url.mov", Movie { references: full(b"url ", &[to.as_bytes(), &[0]].concat()), ..Movie::default() }.file()),
        ("reference.mov", [boxed(b"ftyp", b"qt  \0\0\0\0qt  "), reference_movie(to)].concat()),
        ("subtitles.avi", avi::Clip { movie: subtitles(&playlist), ..two_streams() }.file()),
        ("real_subtitles.avi", avi::Clip { movie: subtitles(&LISTS[26].1.replace("{}", to)), ..two_streams() }.file()),
        ("linked.mkv", matroska::Film { info: linked(to), ..matroska::Film::default() }.file()),
        ("chapters.mkv", matroska::Film { more: chapters(to), ..matroska::Film::default() }.file()),
        ("playlist_in_front.mp4", [playlist.as_bytes(), &video("h264.mp4")].concat()),
        ("playlist_behind.mp4", [&video("h264.mp4"), playlist.as_bytes()].concat()),
        ("playlist_within.mp4", [&boxed(b"free", playlist.as_bytes())[..], &video("h264.mp4")].concat()),
        ("playlist_behind_a_head.m3u8", [&boxed(b"ftyp", b"isom")[..], playlist.as_bytes()].concat()),
        ("playlist_with_a_sync_byte.ts", [&b"\x47"[..], playlist.as_bytes(), &video("h264.ts")].concat()),
    ];
    let others = others.map(|(kind, data)| (kind.to_string(), data));
    lists.chain(others).map(|(kind, data)| (format!("to_{way}.{kind}"), data)).collect()
}

/// Where a MOV's data is, as an alias of the Macintosh: a volume, a name, and the whole path.
fn alias(to: &str) -> Vec<u8> {
    let length = (to.len() as u16).to_be_bytes();
    let path = [&[0, 2][..], &length, to.as_bytes(), &[0][..to.len() % 2], &[0xff, 0xff, 0, 0]].concat();
    let (volume, name) = ([&[1][..], &[b'/'; 27]].concat(), [&[1][..], &[b'x'; 63]].concat());
    full(b"alis", &[&[0; 10][..], &volume, &[0; 12], &name, &[0; 16], &[0, 1, 0, 1], &[0; 16], &path].concat())
}

/// A movie that is somewhere else.
fn reference_movie(to: &str) -> Vec<u8> {
    let place = full(b"rdrf", &[b"url ", &be(&[to.len() as u32 + 1])[..], to.as_bytes(), &[0]].concat());
    boxed(b"moov", &boxed(b"rmra", &boxed(b"rmda", &place)))
}

/// A clip with a second stream, of text.
fn two_streams() -> avi::Clip {
    let stream = [avi::chunk(b"strh", &[&b"txts\0\0\0\0"[..], &[0; 48]].concat()), avi::chunk(b"strf", &[])].concat();
    avi::Clip { header: avi::list(b"strl", &stream), ..avi::Clip::default() }
}

/// Pictures, and in the second stream a file of subtitles as DivX has it.
fn subtitles(file: &str) -> Vec<u8> {
    let length = (file.len() as u32).to_le_bytes();
    let content = [b"GAB2\0\x02\0", &2_u32.to_le_bytes()[..], b"a\0", &[4, 0], &length, file.as_bytes()].concat();
    [avi::chunk(b"01tx", &content), avi::chunk(b"00dc", &picture()).repeat(20)].concat()
}

/// What comes before and after a film in other files.
fn linked(to: &str) -> Vec<u8> {
    let uid = matroska::element(0x003c_b923, &[7; 16]);
    [matroska::element(0x003c_83ab, to.as_bytes()), matroska::element(0x003e_83bb, to.as_bytes()), uid].concat()
}

/// A chapter that is in another file.
fn chapters(to: &str) -> Vec<u8> {
    let title = matroska::element(0x80, &matroska::element(0x85, to.as_bytes()));
    let atom =
        [matroska::element(0x73c4, &[1]), matroska::element(0x91, &[0]), matroska::element(0x6e67, &[7; 16]), title];
    matroska::element(0x1043_a770, &matroska::element(0x45b9, &matroska::element(0xb6, &atom.concat())))
}
