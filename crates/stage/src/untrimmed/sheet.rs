//! A few videos over time in one picture, for people.

use unscene_draw::{Canvas, Rgb};

use super::Part;
use super::plan::{Plan, Video};
use super::shot::Shot;
use super::timeline::Beat;
use crate::figure::hsv;

/// Pictures of a video.
const COLUMNS: u32 = 16;
/// The least width of a picture, in pixels.
const LEAST_WIDTH: u32 = 96;
/// Height of a line of text, of the bar of a video's time, and of the space between videos, in pixels.
const TEXT: u32 = 15;
const BAR: u32 = 14;
const SPACE: u32 = 12;
const BACKGROUND: Rgb = [0.1, 0.1, 0.12];

/// Draws videos of every part: pictures, and below them the time, with what happens in colour.
pub(super) fn contact_sheet(plan: &Plan) -> Canvas {
    let format = &plan.settings.format;
    let enlarge = LEAST_WIDTH.div_ceil(format.width);
    let (width, height) = (format.width * enlarge, format.height * enlarge);
    let videos: Vec<&Video> =
        Part::ALL.into_iter().flat_map(|part| plan.part(part).take(if part == Part::Train { 4 } else { 2 })).collect();
    let row = TEXT + height + BAR + 2 * TEXT + SPACE;
    let mut sheet = Canvas::new(width * COLUMNS, row * videos.len() as u32);
    let unit = sheet.pixmap.height() as f32;
    let pixels = |px: f32| px / unit;
    sheet.rect(0.0, 0.0, sheet.width(), 1.0, BACKGROUND);
    for (number, video) in videos.into_iter().enumerate() {
        let top = number as u32 * row;
        let timeline = &video.timeline;
        let per_frame = (width * COLUMNS) as f32 / timeline.frames as f32;
        let title = format!("{} / {} / {:.1} s", video.id(), video.scene.name(), timeline.duration_s());
        sheet.text(pixels(4.0), pixels((top + TEXT - 4) as f32), pixels(TEXT as f32 * 0.8), [0.95; 3], &title);
        // Each picture shows the moment above whose place on the bar its middle is.
        let mut shot = Shot::new(video, &plan.settings);
        for column in 0..COLUMNS {
            let frame = (f64::from(2 * column + 1) / f64::from(2 * COLUMNS) * timeline.frames as f64) as usize;
            sheet.paste(column * width, top + TEXT, shot.frame(frame), format.width, enlarge);
            let edge = (column * width) as f32;
            sheet.rect(pixels(edge), pixels((top + TEXT) as f32), pixels(1.0), pixels(height as f32), BACKGROUND);
        }
        let bar = (top + TEXT + height) as f32;
        sheet.rect(0.0, pixels(bar), sheet.width(), pixels(BAR as f32), [0.25, 0.25, 0.27]);
        for (index, beat) in timeline.beats.iter().enumerate() {
            let (start, end) = (beat.start as f32 * per_frame, beat.end as f32 * per_frame);
            sheet.rect(pixels(start), pixels(bar), pixels(end - start), pixels(BAR as f32), color(beat));
            // Neighbours would write over each other on one line.
            let line = bar + (BAR + TEXT * (index as u32 % 2 + 1)) as f32 - 4.0;
            let name = if beat.is_broken_off { "ambiguous" } else { beat.action.name() };
            sheet.text(pixels(start), pixels(line), pixels(TEXT as f32 * 0.75), color(beat), name);
        }
        for second in 0..=timeline.duration_s() as usize {
            let x = (second as u32 * timeline.fps) as f32 * per_frame;
            let high = if second % 5 == 0 { 6.0 } else { 3.0 };
            sheet.rect(pixels(x), pixels(bar), pixels(1.0), pixels(high), [0.95; 3]);
        }
    }
    sheet
}

fn color(beat: &Beat) -> Rgb {
    match beat.is_broken_off {
        true => [0.6; 3],
        false => hsv(beat.action as usize as f32 / 10.0, 0.65, 0.95),
    }
}
