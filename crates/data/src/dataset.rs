//! What a dataset is, whatever its format: labels, and parts made of labelled videos.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the pictures of an item are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// A video file.
    Video(PathBuf),
    /// A folder of JPEG or PNG pictures in the order of the numbers in their names, or one picture.
    Frames(PathBuf),
}

/// The part of a video that belongs to an item.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// All of it.
    #[default]
    Whole,
    /// From one time to another, in seconds from the first frame.
    Between {
        /// The first moment.
        start_s: f64,
        /// The moment after the last.
        end_s: f64,
    },
    /// As `Between` in a video that is longer than that; a shorter one has been cut already, and counts whole.
    BetweenUnlessCut {
        /// The first moment.
        start_s: f64,
        /// The moment after the last.
        end_s: f64,
    },
}

/// One labelled video, or a labelled part of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The name by which caches and results know it: as the list writes it, without the file's extension; unique within
    /// a part. An item that is a part of a video has its times in it.
    pub id: String,
    /// Its pictures.
    pub media: Media,
    /// The part of them that it is.
    pub span: Span,
    /// Index of its label.
    pub label: usize,
}

/// One part of a dataset, such as the training videos.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    /// Such as `train`, `val`, `test`.
    pub name: String,
    /// What is there, in the order of the list.
    pub items: Vec<Item>,
    /// Paths that the list names and the disk lacks, in the order of the list.
    pub missing: Vec<PathBuf>,
}

impl Part {
    /// What is doubtful about a part of which the disk lacks some videos; nothing when all are there.
    pub fn absent(&self) -> Option<String> {
        let first = self.missing.first()?;
        let (name, count, of) = (&self.name, self.missing.len(), self.missing.len() + self.items.len());
        Some(format!("{count} of {of} listed videos of {name:?} are not on disk, {} for one", first.display()))
    }
}

/// Labelled videos in parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Names of the labels.
    pub labels: Vec<String>,
    /// The parts, `train` first.
    pub parts: Vec<Part>,
}

impl Dataset {
    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// What is doubtful about training on one part and testing on another: videos that are in both, labels without a video
    /// to test on. Nothing where one of them is not there.
    pub fn doubts(&self, train: &str, test: &str) -> Vec<String> {
        let (Some(trained), Some(tested)) = (self.part(train), self.part(test)) else { return vec![] };
        if train == test {
            return vec![format!("{train:?} is both trained and tested on: what is measured is memory")];
        }
        let mut doubts = Vec::new();
        let seconds = |span: Span| match span {
            Span::Whole => None,
            Span::Between { start_s, end_s } | Span::BetweenUnlessCut { start_s, end_s } => {
                Some((start_s.to_bits(), end_s.to_bits()))
            }
        };
        let known: HashSet<_> = trained.items.iter().map(|item| (&item.media, seconds(item.span))).collect();
        let both: Vec<&Item> =
            tested.items.iter().filter(|item| known.contains(&(&item.media, seconds(item.span)))).collect();
        if let Some(first) = both.first() {
            let (count, of) = (both.len(), tested.items.len());
            doubts.push(format!("{count} of the {of} videos of {test:?} are in {train:?} too, {:?} for one", first.id));
        }
        let mut counts = vec![0usize; self.labels.len()];
        tested.items.iter().for_each(|item| counts[item.label] += 1);
        let empty: Vec<&String> =
            self.labels.iter().zip(counts).filter(|(_, count)| *count == 0).map(|(label, _)| label).collect();
        if let Some(first) = empty.first() {
            let (count, of) = (empty.len(), self.labels.len());
            doubts.push(format!(
                "{count} of {of} labels have no video in {test:?}, {first:?} for one, and count nowhere"
            ));
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_both_parts_and_what_is_in_none_is_counted() {
        let item = |id: &str, span, label| Item { id: id.into(), media: Media::Video(id.into()), span, label };
        let between = |start_s, end_s| Span::Between { start_s, end_s };
        let part = |name: &str, items| Part { name: name.into(), items, missing: vec![] };
        let train = vec![item("a", Span::Whole, 0), item("b", between(0.0, 1.0), 1), item("c", Span::Whole, 2)];
        // Another moment of the same video is another item.
        let test = vec![item("a", Span::Whole, 0), item("b", between(1.0, 2.0), 1)];
        let labels = ["x", "y", "z"].map(String::from).to_vec();
        let dataset = Dataset { labels, parts: vec![part("train", train), part("test", test)] };
        let doubts = dataset.doubts("train", "test");
        assert_eq!(doubts.len(), 2, "{doubts:?}");
        assert!(doubts[0].contains("1 of the 2 videos") && doubts[0].contains("\"a\""), "{doubts:?}");
        assert!(doubts[1].contains("1 of 3 labels") && doubts[1].contains("\"z\""), "{doubts:?}");
        assert_eq!(dataset.doubts("train", "val"), Vec::<String>::new());
        assert!(dataset.doubts("train", "train")[0].contains("memory"));
    }

    #[test]
    fn what_the_disk_lacks_is_counted() {
        let item = Item { id: "a".into(), media: Media::Video("a".into()), span: Span::Whole, label: 0 };
        let part = Part { name: "train".into(), items: vec![item], missing: vec!["b.mp4".into(), "c.mp4".into()] };
        assert_eq!(part.absent().unwrap(), "2 of 3 listed videos of \"train\" are not on disk, b.mp4 for one");
        assert_eq!(Part { missing: vec![], ..part }.absent(), None);
    }
}
