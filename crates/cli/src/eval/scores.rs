//! What `unscene eval action --files` leaves: the scores of every video, and which classes are taken for which.

use std::path::Path;

use anyhow::{Context, Result};
use unscene_data::Item;
use unscene_draw::{Canvas, Rgb};
use unscene_eval::VideoScores;

use crate::files::whole;

/// Writes `NAME.csv`, a line per video, and `NAME.confusion.png` into a folder.
pub fn write(dir: &Path, name: &str, videos: &[VideoScores], items: &[Item], labels: &[String]) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    // The name of a part may come from a path.
    let name = name.replace(['/', '\\'], "_");
    whole(&dir.join(format!("{name}.csv")), &scores(videos, items, labels)?)?;
    whole(&dir.join(format!("{name}.confusion.png")), &picture(&confusion(videos, items, labels.len()), labels).png()?)
}

/// The likeliest class; of those that are equally likely the first.
fn likeliest(probabilities: &[f64]) -> usize {
    (0..probabilities.len()).rev().max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).unwrap_or(0)
}

fn scores(videos: &[VideoScores], items: &[Item], labels: &[String]) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(vec![]);
    let header = ["video", "label", "predicted", "clips"].into_iter().chain(labels.iter().map(String::as_str));
    table.write_record(header)?;
    for video in videos {
        let item = &items[video.item];
        let predicted = &labels[likeliest(&video.probabilities)];
        let fields = [item.id.clone(), labels[item.label].clone(), predicted.clone(), video.clips.to_string()];
        let probabilities = video.probabilities.iter().map(|p| format!("{p:.6}"));
        table.write_record(fields.into_iter().chain(probabilities))?;
    }
    table.into_inner().context("a table in memory")
}

/// Videos by label and likeliest class: `classes` rows of as many columns.
fn confusion(videos: &[VideoScores], items: &[Item], classes: usize) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; classes]; classes];
    for video in videos {
        counts[items[video.item].label][likeliest(&video.probabilities)] += 1;
    }
    counts
}

const WHITE: Rgb = [1.0; 3];
const INK: Rgb = [0.13, 0.13, 0.13];
const FULL: Rgb = [0.03, 0.19, 0.42];
/// With more classes, names would be too small to read.
const NAMED: usize = 60;

/// A row for each label, a column for each class that it is taken for; the darker, the larger the share of the row.
fn picture(counts: &[Vec<usize>], labels: &[String]) -> Canvas {
    let classes = counts.len().max(1);
    let cell_px = (720 / classes).clamp(2, 48) as f32;
    let is_named = classes <= NAMED;
    let line_px = cell_px.min(18.0);
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let number = |class: usize| (class + 1).to_string();
    let (left_px, top_px) = match is_named {
        true => ((longest + number(classes).len() + 3) as f32 * line_px * 0.55, line_px * 1.8),
        false => (8.0, 8.0),
    };
    let side_px = cell_px * classes as f32;
    let (width_px, height_px) = ((left_px + side_px + 8.0).ceil(), (top_px + side_px + 8.0).ceil());
    let mut canvas = Canvas::new(width_px as u32, height_px as u32);
    let unit = 1.0 / height_px;
    canvas.rect(0.0, 0.0, canvas.width(), 1.0, WHITE);
    for (row, counts) in counts.iter().enumerate() {
        let all = counts.iter().sum::<usize>().max(1) as f32;
        let y_px = top_px + row as f32 * cell_px;
        for (column, &count) in counts.iter().enumerate() {
            let share = count as f32 / all;
            let x_px = left_px + column as f32 * cell_px;
            let color = [0, 1, 2].map(|channel| WHITE[channel] + share * (FULL[channel] - WHITE[channel]));
            canvas.rect(x_px * unit, y_px * unit, cell_px * unit, cell_px * unit, color);
            if cell_px >= 24.0 && count > 0 {
                let ink = if share > 0.5 { WHITE } else { INK };
                let text = count.to_string();
                let indent_px = (cell_px - text.len() as f32 * 7.0) / 2.0;
                canvas.text((x_px + indent_px) * unit, (y_px + cell_px / 2.0 + 4.0) * unit, 13.0 * unit, ink, &text);
            }
        }
        if is_named {
            let baseline_px = y_px + cell_px / 2.0 + line_px * 0.3;
            let name = format!("{:>1$} {2}", row + 1, number(classes).len(), labels[row]);
            canvas.text(4.0 * unit, baseline_px * unit, line_px * unit, INK, &name);
            let x_px = left_px + row as f32 * cell_px + (cell_px - number(row).len() as f32 * line_px * 0.5) / 2.0;
            canvas.text(x_px * unit, (top_px - line_px * 0.5) * unit, line_px * unit, INK, &number(row));
        }
    }
    canvas.frame(left_px * unit, top_px * unit, side_px * unit, side_px * unit, unit, INK);
    canvas
}

#[cfg(test)]
mod tests {
    use unscene_data::{Media, Span};

    use super::*;

    #[test]
    fn what_is_taken_for_what_is_counted_listed_and_drawn() {
        let labels = ["bow".to_string(), "wave, twice".to_string()];
        let item = |id: &str, label| Item { id: id.into(), media: Media::Video("v".into()), span: Span::Whole, label };
        let items = [item("a", 0), item("b", 1), item("c", 1)];
        let video = |item, probabilities: [f64; 2]| VideoScores {
            item,
            clips: 3,
            probabilities: probabilities.to_vec(),
            entropy: 0.0,
            features: vec![],
        };
        // Equally likely: the first, as top-1 counts it.
        let videos = [video(0, [0.5, 0.5]), video(1, [0.25, 0.75]), video(2, [1.0, 0.0])];
        let counts = confusion(&videos, &items, 2);
        assert_eq!(counts, [[1, 0], [1, 1]]);

        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/b", &videos, &items, &labels).unwrap();
        let table = std::fs::read_to_string(folder.path().join("a_b.csv")).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "video,label,predicted,clips,bow,\"wave, twice\"");
        assert_eq!(lines[3], "c,\"wave, twice\",bow,3,1.000000,0.000000");
        assert!(folder.path().join("a_b.confusion.png").is_file());

        // The first row is full in its first column and empty in its second.
        let canvas = picture(&counts, &labels);
        let (width, height) = (canvas.pixmap.width(), canvas.pixmap.height());
        let at = |x: u32, y: u32| canvas.pixmap.pixel(x, y).unwrap().blue();
        let (left, top) = (width - 8 - 96, height - 8 - 96);
        assert_eq!((at(left + 5, top + 5), at(left + 53, top + 5)), (107, 255));
        assert_eq!(picture(&vec![vec![0; 400]; 400], &[]).pixmap.width(), 816);
    }
}
