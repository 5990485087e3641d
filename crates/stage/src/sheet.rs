//! One picture of the whole set, for people.

use crate::actions::Action;
use crate::plan::{Plan, Split, Video};
use crate::scenes::Scene;
use crate::take::{backdrop, render};
use unscene_draw::Canvas;

const COLUMNS: usize = 8;
/// Height of a line of text, in pixels.
const TEXT: u32 = 18;
/// The least width of a picture, in pixels: words have to fit below.
const LEAST_WIDTH: u32 = 128;

/// Draws every action as two training videos of four frames each, and every scene as four views.
pub(crate) fn contact_sheet(plan: &Plan) -> Canvas {
    let format = &plan.settings.format;
    let enlarge = LEAST_WIDTH.div_ceil(format.width);
    let (width, height) = (format.width * enlarge, format.height * enlarge + TEXT);
    let scenes: Vec<Scene> = Scene::all().collect();
    let rows = Action::ALL.len() + scenes.len().div_ceil(2);
    let mut sheet = Canvas::new(width * COLUMNS as u32, height * rows as u32);
    sheet.rect(0.0, 0.0, sheet.width(), 1.0, [0.1, 0.1, 0.12]);
    let unit = sheet.pixmap.height() as f32;

    let mut place = |row: usize, column: usize, rgb: &[u8], text: &str| {
        let (x, y) = (column as u32 * width, row as u32 * height);
        sheet.paste(x, y, rgb, format.width, enlarge);
        let baseline = (y + height - TEXT / 3) as f32 / unit;
        sheet.text((x + 4) as f32 / unit, baseline, TEXT as f32 * 0.62 / unit, [0.9, 0.9, 0.9], text);
    };
    for (row, action) in Action::ALL.into_iter().enumerate() {
        let train = plan.videos.iter().filter(|video| video.split == Split::Train && video.take.action == action);
        for (half, video) in train.take(2).enumerate() {
            for (at, frame) in four_frames(plan, video).iter().enumerate() {
                let text =
                    if at == 0 { format!("{} / {}", action.name(), video.take.scene.name()) } else { String::new() };
                place(row, half * 4 + at, frame, &text);
            }
        }
    }
    for (index, scene) in scenes.into_iter().enumerate() {
        let (row, half) = (Action::ALL.len() + index / 2, index % 2);
        for view in 0..4 {
            let rgb = backdrop(scene, view, plan.settings.seed, format.width, format.height);
            let unseen = if Scene::UNSEEN.contains(&scene) { " (unseen)" } else { "" };
            let text = if view == 0 { format!("{}{unseen}", scene.name()) } else { String::new() };
            place(row, half * 4 + view as usize, &rgb, &text);
        }
    }
    sheet
}

/// Frames from the start, one third, two thirds and the end.
fn four_frames(plan: &Plan, video: &Video) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let keep = |rgb: &[u8], _| -> Result<(), std::convert::Infallible> {
        frames.push(rgb.to_vec());
        Ok(())
    };
    let Ok(()) = render(&video.take, &plan.settings.format, plan.settings.seed, true, keep);
    let last = frames.len() - 1;
    (0..4).map(|at| std::mem::take(&mut frames[last * at / 3])).collect()
}
