//! Maps over frames: a picture of each clip, and a video of all.

use std::path::Path;

use anyhow::{Context, Result};
use unscene_data::{Item, People, Sample, Views, test_clips};
use unscene_draw::{Canvas, Rgb, heat_over};
use unscene_media::{EncodeOptions, Encoder};
use unscene_vision::ClassMap;

use super::Look;
use crate::files::{Partial, whole};
use crate::subject::Subject;

/// About this wide is a frame in a picture, in pixels.
const CELL: usize = 224;
/// Height of a line of text in pixels.
const TEXT: u32 = 20;
const PAPER: Rgb = [1.0; 3];
const INK: Rgb = [0.13, 0.13, 0.13];
const BOX: Rgb = [1.0, 0.85, 0.1];

/// Reads the video's clips again, and writes `clip-NNN.png` for each, and `clips.mp4`, into a folder: the frame as it is, then
/// with each model's map.
pub fn draw(
    dir: &Path,
    item: &Item,
    models: &[Subject],
    looks: &[Look],
    people: Option<&People>,
    most_clips: usize,
) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let form = models[0].form();
    let captions: Vec<String> = models.iter().zip(looks).map(|(model, look)| caption(model, look)).collect();
    let enlarge = (CELL / form.width).max(1);
    let (cell_px, picture_px) = ((form.width * enlarge) as u32, (form.height * enlarge) as u32);
    let size = (cell_px * (1 + looks.len() as u32), picture_px + TEXT);
    let video = Partial::of(&dir.join("clips.mp4"));
    let mut writer: Option<Encoder> = None;
    let (mut number, mut failed) = (0, None);
    let mut draw_clip = |sample: &Sample, number: usize| -> Result<()> {
        let step_s = match sample.times_s.as_slice() {
            [first, .., last] if last > first => (last - first) / (sample.times_s.len() - 1) as f64,
            _ => 1.0,
        };
        let frames = sample.times_s.len();
        let maps: Vec<ClassMap> =
            looks.iter().map(|look| look.maps[number].resized([form.frames, form.height, form.width])).collect();
        let mut rgb = vec![0; size.0 as usize * size.1 as usize * 3];
        for frame in 0..frames {
            let canvas = page(sample, frame, &maps, &captions, people, (size, enlarge));
            if frame == frames / 2 {
                whole(&dir.join(format!("clip-{number:03}.png")), &canvas.png()?)?;
            }
            canvas.read(&mut rgb, 1.0);
            let encoder = match &mut writer {
                Some(encoder) => encoder,
                None => {
                    let fps = (1.0 / step_s).round().clamp(1.0, 60.0) as u32;
                    let (width, height) = size;
                    let options = EncodeOptions { width, height, fps, crf: 18, keyframe_every: 50 };
                    writer.insert(Encoder::create(video.path(), &options)?)
                }
            };
            encoder.write(&rgb)?;
        }
        Ok(())
    };
    test_clips(item, form, Views::Paper, &mut |sample| {
        if number < most_clips.min(looks[0].maps.len()) {
            failed = draw_clip(&sample, number).err();
            number += 1;
        }
        failed.is_none() && number < most_clips
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(writer) = writer {
        writer.finish()?;
        video.keep()?;
    }
    Ok(())
}

fn caption(model: &Subject, look: &Look) -> String {
    format!("{} ({:.0} %)", model.labels()[look.class], look.probability * 100.0)
}

/// A frame, and beside it the same with each map over it.
fn page(
    sample: &Sample,
    frame: usize,
    maps: &[ClassMap],
    captions: &[String],
    people: Option<&People>,
    (size, enlarge): ((u32, u32), usize),
) -> Canvas {
    let mut canvas = Canvas::new(size.0, size.1);
    let unit = 1.0 / size.1 as f32;
    canvas.rect(0.0, 0.0, canvas.width(), 1.0, PAPER);
    let [_, height, width] = maps[0].sides;
    let bytes = width * height * 3;
    let rgb = &sample.rgb[frame * bytes..][..bytes];
    let cell_px = (width * enlarge) as u32;
    let mut cell = |column: usize, rgb: &[u8], text: &str| {
        let left_px = column as u32 * cell_px;
        canvas.paste(left_px, TEXT, rgb, width as u32, enlarge as u32);
        canvas.text((left_px as f32 + 4.0) * unit, 15.0 * unit, 14.0 * unit, INK, text);
        for person in people.map_or(&[][..], |people| people.at(sample.times_s[frame])) {
            let [left, top, right, bottom] =
                within(sample, person.corners, (width, height)).map(|side| side * enlarge as f32);
            if right > left && bottom > top {
                let (x, y) = (left_px as f32 + left, TEXT as f32 + top);
                canvas.frame(x * unit, y * unit, (right - left) * unit, (bottom - top) * unit, 1.5 * unit, BOX);
            }
        }
    };
    cell(0, rgb, &format!("{:.2} s", sample.times_s[frame]));
    for (column, (map, caption)) in maps.iter().zip(captions).enumerate() {
        cell(column + 1, &heat_over(rgb, map.frame(frame), map.peak()), caption);
    }
    canvas
}

/// Corners in the displayed picture, in pixels of a clip's frame.
fn within(sample: &Sample, corners: [f32; 4], (width, height): (usize, usize)) -> [f32; 4] {
    let part = &sample.part;
    let place = |side: f32, start: u32, length: u32, size: usize| {
        ((side - start as f32) * size as f32 / length as f32).clamp(0.0, size as f32)
    };
    let x = |side: f32| place(side, part.x, part.width, width);
    let y = |side: f32| place(side, part.y, part.height, height);
    [x(corners[0]), y(corners[1]), x(corners[2]), y(corners[3])]
}
