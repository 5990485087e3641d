//! A picture of what caches say, for people: frames with boxes, the same frames masked, and the likeliest scenes.

use unscene_data::{
    Annotation, ClipForm, Fill, Found, Item, Look, Looks, People, PeopleFrame, Result as DataResult, Sample, look,
    mask_people,
};
use unscene_draw::{Canvas, Rgb};
use unscene_media::{Region, View};

/// Frames of each video.
const FRAMES: usize = 3;
/// Width of a frame in pixels.
const CELL: u32 = 256;
/// Height of a line of text in pixels.
const TEXT: u32 = 20;
const BOX: Rgb = [1.0, 0.85, 0.1];

/// A video and what is known about it.
pub struct PreviewItem<'a> {
    /// The video.
    pub item: &'a Item,
    /// Labels and their probabilities, likeliest first.
    pub scenes: Vec<(String, f32)>,
    /// The people in it.
    pub people: Option<Annotation>,
}

struct Row {
    cells: Vec<(Vec<u8>, f64)>,
    /// The same frames without people, one after the other; empty where people are not known.
    masked: Vec<u8>,
    size: (u32, u32),
    picture: (u32, u32),
}

/// Draws one row per video: three frames with boxes and scores, then, where people are known, the same frames masked
/// as training would mask them with this fill. Boxes below `min_score` are left out. Videos that cannot be read say so.
///
/// # Errors
/// Never for a single video; what is wrong with it is written in its row.
pub fn preview(items: &[PreviewItem<'_>], min_score: f32, fill: &Fill) -> Canvas {
    let rows: Vec<DataResult<Row>> = items.iter().map(|preview| read(preview, min_score, fill)).collect();
    let has_people = items.iter().any(|preview| preview.people.is_some());
    let columns = FRAMES as u32 * if has_people { 2 } else { 1 };
    let height_of = |row: &DataResult<Row>| row.as_ref().map_or(0, |row| row.size.1) + TEXT;
    let height = rows.iter().map(height_of).sum::<u32>().max(1);
    let mut canvas = Canvas::new(CELL * columns, height);
    canvas.rect(0.0, 0.0, canvas.width(), 1.0, [0.1, 0.1, 0.12]);
    let mut y = 0;
    for (preview, row) in items.iter().zip(&rows) {
        let mut caption = preview.item.id.clone();
        match row {
            Ok(row) => {
                let frames = frames_of(preview);
                let people = People::new(frames.to_vec(), min_score);
                draw_row(&mut canvas, y, row, &people);
                caption += &describe(preview, frames, &people);
                y += row.size.1;
            }
            Err(error) => caption = error.to_string(),
        }
        let unit = canvas.pixmap.height() as f32;
        let baseline = (y + TEXT - TEXT / 3) as f32 / unit;
        canvas.text(4.0 / unit, baseline, TEXT as f32 * 0.7 / unit, [0.9; 3], &caption);
        y += TEXT;
    }
    canvas
}

fn frames_of<'a>(preview: &'a PreviewItem<'_>) -> &'a [PeopleFrame] {
    match &preview.people {
        Some(Annotation { found: Found::People(frames), .. }) => frames,
        _ => &[],
    }
}

fn describe(preview: &PreviewItem<'_>, frames: &[PeopleFrame], people: &People) -> String {
    let scenes = preview.scenes.iter().take(3).map(|(label, score)| format!("{label} {score:.2}"));
    let mut text = scenes.collect::<Vec<_>>().join(", ");
    if preview.people.is_some() {
        let looked = frames.len();
        let share = people.share_of_frames() * 100.0;
        text += &format!("   people in {share:.0} % of {looked} frames");
    }
    if text.is_empty() { text } else { format!("   {text}") }
}

/// Frames at equal distances, as large as a cell, and the same masked.
fn read(preview: &PreviewItem<'_>, min_score: f32, fill: &Fill) -> DataResult<Row> {
    let item = preview.item;
    let size = |(width, height): (u32, u32)| {
        let scaled = (u64::from(height) * u64::from(CELL)).div_ceil(u64::from(width.max(1)));
        (CELL, (scaled as u32).clamp(1, 4 * CELL))
    };
    let view = |picture| {
        let (width, height) = size(picture);
        View::Resize { width, height }
    };
    let mut row = Row { cells: vec![], masked: vec![], size: (CELL, 1), picture: (1, 1) };
    look(item, Looks::Spread(FRAMES), &view, &mut |Look { time_s, picture_size, rgb }| {
        row.size = size(picture_size);
        row.picture = picture_size;
        row.cells.push((rgb.to_vec(), time_s));
        row.cells.len() < FRAMES
    })?;
    if preview.people.is_some() {
        let (width, height) = row.picture;
        let mut sample = Sample {
            rgb: row.cells.iter().flat_map(|(rgb, _)| rgb).copied().collect(),
            times_s: row.cells.iter().map(|(_, time_s)| *time_s).collect(),
            part: Region { x: 0, y: 0, width, height },
            mirror: false,
            picture_size: row.picture,
        };
        let form = ClipForm { width: row.size.0 as usize, height: row.size.1 as usize, ..ClipForm::default() };
        let people = People::new(frames_of(preview).to_vec(), min_score);
        mask_people(&mut sample, &people, item, &form, fill)?;
        row.masked = sample.rgb;
    }
    Ok(row)
}

fn draw_row(canvas: &mut Canvas, y: u32, row: &Row, people: &People) {
    let unit = canvas.pixmap.height() as f32;
    let (width, height) = row.size;
    let scale = (width as f32 / row.picture.0 as f32, height as f32 / row.picture.1 as f32);
    for (column, (rgb, time_s)) in row.cells.iter().enumerate() {
        let x = column as u32 * CELL;
        canvas.paste(x, y, rgb, width, 1);
        for person in people.at(*time_s) {
            let [x1, y1, x2, y2] = person.corners;
            let (left, top) = ((x as f32 + x1 * scale.0) / unit, (y as f32 + y1 * scale.1) / unit);
            let (wide, high) = ((x2 - x1) * scale.0 / unit, (y2 - y1) * scale.1 / unit);
            canvas.frame(left, top, wide, high, 2.0 / unit, BOX);
            canvas.text(left + 3.0 / unit, top + 13.0 / unit, 13.0 / unit, BOX, &format!("{:.2}", person.score));
        }
        canvas.text(
            (x + 4) as f32 / unit,
            (y + height - 5) as f32 / unit,
            13.0 / unit,
            [1.0; 3],
            &format!("{time_s:.2} s"),
        );
        if let Some(masked) = row.masked.chunks_exact(rgb.len()).nth(column) {
            canvas.paste(x + FRAMES as u32 * CELL, y, masked, width, 1);
        }
    }
}
