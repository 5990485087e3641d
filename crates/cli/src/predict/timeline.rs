//! Segments over time as an SVG: pictures of the video above, a lane for each label, and an axis below.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use unscene_draw::Canvas;
use unscene_engine::{FoundSegment, Localization};
use unscene_media::{DecodeOptions, Decoder, Source, View, probe};

use super::COLOURS;

/// Sizes in pixels.
const WIDTH: f64 = 1200.0;
const LABELS: f64 = 170.0;
const MARGIN: f64 = 16.0;
const HEADING: f64 = 44.0;
const LANE: f64 = 30.0;
const AXIS: f64 = 28.0;
/// Room for a score beside which a segment is too short.
const SCORE: f64 = 34.0;

/// Key frames in a row, each the picture in the middle of its part of the video.
const KEY_FRAMES: usize = 10;
/// Drawn this much finer than it is shown, for screens with small pixels.
const FINER: f64 = 2.0;

/// Draws what was found in a video, which is read again for its pictures.
pub fn draw(source: &Source, found: &Localization) -> Result<String> {
    let pictures = key_frames(source, found)?;
    let name = source.name();
    let file = std::path::Path::new(&name).file_name().map_or(name.as_str().into(), |name| name.to_string_lossy());
    Ok(markup(&file, found, &pictures).into_string())
}

/// A picture of the video, as PNG, with its sides in the drawing.
struct KeyFrame {
    png: Vec<u8>,
    width: f64,
    height: f64,
}

fn key_frames(source: &Source, found: &Localization) -> Result<Vec<KeyFrame>> {
    let info = probe(source, &Default::default())?;
    let slot = (WIDTH - LABELS - MARGIN) / KEY_FRAMES as f64;
    let shape = f64::from(info.width) / f64::from(info.height);
    // Tall pictures leave room at their sides.
    let height = ((slot - 4.0) / shape).min(120.0);
    let width = height * shape;
    let pixels = |side: f64| ((side * FINER).round() as u32).max(2);
    let view = View::Resize { width: pixels(width), height: pixels(height) };
    let mut decoder = Decoder::open(source, &DecodeOptions { view, ..DecodeOptions::default() })?;
    let mut rgb = vec![0; decoder.frame_bytes()];
    let mut pictures = Vec::new();
    for index in 0..KEY_FRAMES {
        decoder.seek((index as f64 + 0.5) / KEY_FRAMES as f64 * found.video.duration_s)?;
        // A header may claim more than there is.
        if decoder.next_frame(&mut rgb)?.is_none() {
            break;
        }
        let (columns, rows) = decoder.frame_size();
        let mut canvas = Canvas::new(columns, rows);
        canvas.paste(0, 0, &rgb, columns, 1);
        pictures.push(KeyFrame { png: canvas.png()?, width, height });
    }
    Ok(pictures)
}

/// The labels that have segments, in the order of their first.
fn lanes(found: &Localization) -> Vec<(&str, Vec<&FoundSegment>)> {
    let mut in_time: Vec<&FoundSegment> = found.segments.iter().collect();
    in_time.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let mut lanes: Vec<(&str, Vec<&FoundSegment>)> = Vec::new();
    for segment in in_time {
        match lanes.iter_mut().find(|(label, _)| *label == segment.label) {
            Some((_, lane)) => lane.push(segment),
            None => lanes.push((&segment.label, vec![segment])),
        }
    }
    lanes
}

fn markup(name: &str, found: &Localization, pictures: &[KeyFrame]) -> Markup {
    let lanes = lanes(found);
    let duration_s = found.video.duration_s.max(1e-3);
    let right = WIDTH - MARGIN;
    let x = |second: f64| LABELS + (right - LABELS) * (second / duration_s).clamp(0.0, 1.0);
    let strip = pictures.iter().map(|picture| picture.height).fold(0.0, f64::max);
    let top = HEADING + strip + if strip > 0.0 { 12.0 } else { 0.0 };
    // Without a segment, a lane says so.
    let bottom = top + LANE * lanes.len().max(1) as f64;
    let height = bottom + AXIS;
    let place = |value: f64| format!("{value:.1}");
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {}", place(height))) width=(WIDTH)
            height=(place(height)) font-family="sans-serif" font-size="13" fill="#222" {
            rect width="100%" height="100%" fill="#fff" {}
            text x=(MARGIN) y="26" font-size="16" font-weight="bold" { (short(name, 80)) }
            text x=(right) y="26" text-anchor="end" fill="#666" {
                (found.segments.len()) " segments · " (short(&found.model, 40)) " · " (clock(duration_s, 1.0))
            }
            @for (index, picture) in pictures.iter().enumerate() {
                @let middle = x((index as f64 + 0.5) / KEY_FRAMES as f64 * duration_s);
                image x=(place(middle - picture.width / 2.0)) y=(HEADING) width=(place(picture.width))
                    height=(place(picture.height)) href=(format!("data:image/png;base64,{}", STANDARD.encode(&picture.png))) {}
            }
            @for (row, (label, segments)) in lanes.iter().enumerate() {
                @let y = top + LANE * row as f64;
                @let [red, green, blue] = COLOURS[row % COLOURS.len()];
                rect x=(LABELS) y=(place(y + 2.0)) width=(right - LABELS) height=(LANE - 4.0) fill="#f3f3f3" {}
                text x=(LABELS - 10.0) y=(place(y + LANE / 2.0 + 4.5)) text-anchor="end" {
                    title { (label) } (short(label, 22))
                }
                @for one in segments {
                    @let (from, to) = (x(one.start_s), x(one.end_s));
                    @let score = (one.score * 100.0).round();
                    g {
                        title { (label) ", " (clock(one.start_s, 0.1)) " to " (clock(one.end_s, 0.1)) ", " (score) " %" }
                        rect x=(place(from)) y=(place(y + 4.0)) width=(place((to - from).max(1.5))) height=(LANE - 8.0) rx="3"
                            fill=(format!("#{red:02x}{green:02x}{blue:02x}")) stroke="#fff" fill-opacity=(place(f64::from(one.score.clamp(0.15, 1.0)))) {}
                        @if to - from >= SCORE {
                            text x=(place((from + to) / 2.0)) y=(place(y + LANE / 2.0 + 4.5)) text-anchor="middle"
                                font-size="12" fill=(if one.score > 0.55 { "#fff" } else { "#222" }) { (score) " %" }
                        }
                    }
                }
            }
            @if lanes.is_empty() {
                text x=(LABELS) y=(place(top + LANE / 2.0 + 4.5)) fill="#666" { "nothing found" }
            }
            line x1=(LABELS) x2=(right) y1=(place(bottom + 2.0)) y2=(place(bottom + 2.0)) stroke="#888" {}
            @let step = tick(duration_s);
            @for number in 0..=(duration_s / step + 1e-9) as usize {
                @let second = number as f64 * step;
                line x1=(place(x(second))) x2=(place(x(second))) y1=(place(bottom + 2.0)) y2=(place(bottom + 7.0)) stroke="#888" {}
                text x=(place(x(second))) y=(place(bottom + 20.0)) text-anchor="middle" font-size="11" fill="#666" {
                    (clock(second, step))
                }
            }
        }
        (PreEscaped("\n"))
    }
}

/// Seconds between marks of the axis: about ten of them, at round times.
fn tick(duration_s: f64) -> f64 {
    const ROUND: [f64; 14] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
    ROUND.into_iter().find(|step| duration_s / step <= 12.0).unwrap_or(3600.0)
}

/// `1:02:03`, `2:03` or, where steps are shorter than a second, `3.5`.
fn clock(second: f64, step: f64) -> String {
    let tenths = (second * 10.0).round() as u64;
    let (whole, tenth) = match step < 1.0 {
        true => (tenths / 10, format!(".{}", tenths % 10)),
        false => (second.round() as u64, String::new()),
    };
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) if step < 1.0 => format!("{seconds}{tenth} s"),
        (0, _) => format!("{minutes}:{seconds:02}{tenth}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}{tenth}"),
    }
}

/// The end of a text that is too long: names of files differ there.
fn short(text: &str, most: usize) -> String {
    match text.chars().count() {
        count if count > most => "…".chars().chain(text.chars().skip(count + 1 - most)).collect(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unscene_engine::{Timing, VideoSummary};
    use unscene_models::manifest::Task;

    fn found(segments: &[(&str, f32, f64, f64)], duration_s: f64) -> Localization {
        let segment = |&(label, score, start_s, end_s): &(&str, f32, f64, f64)| FoundSegment {
            label: label.into(),
            index: 0,
            score,
            start_s,
            end_s,
        };
        Localization {
            model: "m".into(),
            task: Task::Localize,
            engine: "e".into(),
            device: "cpu".into(),
            video: VideoSummary {
                duration_s,
                width: 320,
                height: 240,
                fps: 25.0,
                frames: 100,
                clips: 1,
                damaged_packets: 0,
            },
            segments: segments.iter().map(segment).collect(),
            proposals: vec![],
            timing: Timing::default(),
        }
    }

    #[test]
    fn each_label_has_a_lane_and_each_segment_a_bar_at_its_time() {
        let segments = [("jump & run", 0.9, 50.0, 75.0), ("bow", 0.3, 10.0, 12.0), ("jump & run", 0.5, 0.0, 25.0)];
        let svg = markup("a<b>.mp4", &found(&segments, 100.0), &[]).into_string();
        assert!(svg.contains("a&lt;b&gt;.mp4") && svg.contains("jump &amp; run, 50.0 s to 1:15.0, 90 %"), "{svg}");
        assert_eq!(svg.matches("rx=\"3\"").count(), 3);
        // The lane of the earlier label is first; half of 1014 pixels is where the first bar begins.
        assert_eq!(
            lanes(&found(&segments, 100.0)).iter().map(|lane| lane.0).collect::<Vec<_>>(),
            ["jump & run", "bow"]
        );
        assert!(svg.contains("x=\"677.0\" y=") && svg.contains("fill-opacity=\"0.9\""), "{svg}");
    }

    #[test]
    fn a_video_without_segments_says_so() {
        let svg = markup("v.mp4", &found(&[], 0.0), &[]).into_string();
        assert!(svg.contains("nothing found") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn times_are_written_as_long_as_they_must_be() {
        let found =
            [(3.5, 0.5), (63.0, 1.0), (7384.0, 600.0), (0.0, 60.0), (59.96, 0.1)].map(|(s, step)| clock(s, step));
        assert_eq!(found, ["3.5 s", "1:03", "2:03:04", "0:00", "1:00.0"]);
        assert_eq!([2.0, 60.0, 1800.0, 14_400.0].map(tick), [0.2, 5.0, 300.0, 1800.0]);
        assert_eq!(short("abcdef", 4), "…def");
    }
}
