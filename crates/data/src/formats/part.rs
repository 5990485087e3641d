//! What the readers have in common: building a part, and reading lists line by line.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::files::{Files, id};
use crate::dataset::{Item, Media, Part, Span};
use crate::error::{DataError, Result};

/// A part in the making.
pub struct PartBuilder {
    part: Part,
    /// The file that errors are about.
    pub list: PathBuf,
    /// What the list names so far, with its path and line.
    ids: HashMap<String, (PathBuf, Option<u64>)>,
}

impl PartBuilder {
    /// A part without videos; `list` is the file that errors are about.
    pub fn new(name: &str, list: &Path) -> Self {
        let part = Part { name: name.into(), ..Part::default() };
        PartBuilder { part, list: list.to_path_buf(), ids: HashMap::new() }
    }

    /// Adds what the list names by a path.
    pub fn add(&mut self, files: &mut Files, path: &str, span: Span, label: usize, line: Option<u64>) -> Result<()> {
        let mut id = id(path);
        if let Span::Between { start_s, end_s } = span {
            id += &format!("#{start_s}-{end_s}");
        }
        let media = files.find(Path::new(path));
        self.add_found(id, media, Path::new(path), span, label, line)
    }

    /// Adds an item whose medium was looked for already; without one, its path is missing.
    pub fn add_found(
        &mut self,
        id: String,
        media: Option<Media>,
        path: &Path,
        span: Span,
        label: usize,
        line: Option<u64>,
    ) -> Result<()> {
        if let Some((first, first_line)) = self.ids.insert(id.clone(), (path.to_path_buf(), line)) {
            let at = first_line.map(|line| format!(" in line {line}")).unwrap_or_default();
            let problem = format!(
                "{path:?} is {id:?}, which {} has already as {first:?}{at}; every video counts once: take one out",
                self.part.name
            );
            return Err(format_error(&self.list, line, problem));
        }
        match media {
            Some(media) => self.part.items.push(Item { id, media, span, label }),
            None => self.part.missing.push(path.to_path_buf()),
        }
        Ok(())
    }

    /// A path that is known to be missing.
    pub fn add_missing(&mut self, path: &str) {
        self.part.missing.push(path.into());
    }

    /// The part. A list without a video is an error.
    pub fn finish(self) -> Result<Part> {
        if self.ids.is_empty() && self.part.missing.is_empty() {
            let problem = format!("the list names no video for {}, expected at least one", self.part.name);
            return Err(format_error(&self.list, None, problem));
        }
        Ok(self.part)
    }
}

/// An error in a list.
pub fn format_error(path: &Path, line: Option<u64>, problem: impl Into<String>) -> DataError {
    DataError::Format { path: path.to_path_buf(), line, problem: problem.into() }
}

/// A whole text file, without the mark that some editors put in front.
pub fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|source| DataError::Io { path: path.to_path_buf(), source })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format_error(path, None, format!("found bytes that are not UTF-8 at {at}; save the file as UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

/// The lines of a text that say something, with their numbers.
pub fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    text.lines().enumerate().map(|(index, line)| (index as u64 + 1, line.trim())).filter(|(_, line)| !line.is_empty())
}

/// Labels must be there, and differ: a network has one output for each.
pub fn check_labels(path: &Path, labels: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    if let Some(label) = labels.iter().find(|label| !seen.insert(label.as_str())) {
        return Err(format_error(path, None, format!("label {label:?} is there twice; give every label once")));
    }
    if labels.is_empty() { Err(format_error(path, None, "found no label, expected at least one")) } else { Ok(()) }
}

/// Parses JSON.
pub fn read_json<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T> {
    serde_json::from_str(&read(path)?)
        .map_err(|error| format_error(path, Some(error.line() as u64), format!("{error}; expected {expected}")))
}

/// The entries of a JSON map in the order of the file, repeated ones too.
pub struct Entries<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from videos to what is known about them")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries<T>, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Map(PhantomData))
    }
}
