//! A few videos over time in one picture, with the boxes of actors, for people.

use unscene_draw::{Canvas, Rgb};

use super::plan::{Plan, Video};
use super::shot::Shot;
use crate::figure::hsv;
use crate::untrimmed::Part;

/// Pictures of a video.
const COLUMNS: u32 = 8;
/// The least width of a picture, in pixels.
const LEAST_WIDTH: u32 = 192;
/// Height of a line of text, in pixels.
const TEXT: u32 = 15;
const BACKGROUND: Rgb = [0.1, 0.1, 0.12];

/// Draws videos of every part: pictures in the order of time, and around everybody who acts a box with what they do.
pub(super) fn contact_sheet(plan: &Plan) -> Canvas {
    let format = &plan.settings.format;
    let enlarge = LEAST_WIDTH.div_ceil(format.width);
    let (width, height) = (format.width * enlarge, format.height * enlarge);
    let shown = |part: Part| {
        let (all, most) = (plan.part(part).count(), if part == Part::Train { 6 } else { 2 });
        // From all over the part: neighbours have as many people.
        plan.part(part).step_by(all.div_ceil(most).max(1))
    };
    let videos: Vec<&Video> = Part::ALL.into_iter().flat_map(shown).collect();
    let row = TEXT + height;
    let mut sheet = Canvas::new(width * COLUMNS, row * videos.len() as u32);
    let unit = sheet.pixmap.height() as f32;
    let pixels = |px: f32| px / unit;
    sheet.rect(0.0, 0.0, sheet.width(), 1.0, BACKGROUND);
    for (number, video) in videos.into_iter().enumerate() {
        let top = number as u32 * row;
        let title = format!(
            "{} / {} / {} of {} act",
            video.id(),
            video.scene.name(),
            video.beats().count(),
            video.actors.len()
        );
        sheet.text(pixels(4.0), pixels((top + TEXT - 4) as f32), pixels(TEXT as f32 * 0.8), [0.95; 3], &title);
        let mut shot = Shot::new(video, &plan.settings);
        for column in 0..COLUMNS {
            let frame = ((2 * column + 1) as usize * video.frames) / (2 * COLUMNS) as usize;
            let (rgb, boxes) = shot.frame(frame);
            sheet.paste(column * width, top + TEXT, rgb, format.width, enlarge);
            for (place, beat) in video.beats().filter(|(_, beat)| (beat.start..beat.end).contains(&frame)) {
                let [x1, y1, x2, y2] = boxes[place];
                let at = |side: f32| side * enlarge as f32;
                let (left, above) = ((column * width) as f32 + at(x1), (top + TEXT) as f32 + at(y1));
                let color = hsv(beat.action as usize as f32 / 10.0, 0.65, 0.95);
                sheet.frame(pixels(left), pixels(above), pixels(at(x2 - x1)), pixels(at(y2 - y1)), pixels(1.5), color);
                sheet.text(pixels(left), pixels(above - 2.0), pixels(TEXT as f32 * 0.7), color, beat.action.name());
            }
        }
    }
    sheet
}
