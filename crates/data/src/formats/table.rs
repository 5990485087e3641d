//! Tables of comma-separated values with a header.

use std::path::Path;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};
use serde::de::DeserializeOwned;

use super::part::{format_error, read};
use crate::error::{DataError, Result};

/// A table whose header was read.
pub struct Table<'a> {
    path: &'a Path,
    text: String,
    header: StringRecord,
    /// The columns that errors name.
    expected: &'a str,
}

impl<'a> Table<'a> {
    /// Reads the file and its header.
    pub fn open(path: &'a Path, expected: &'a str) -> Result<Self> {
        let text = read(path)?;
        let header = reader(&text).headers().cloned();
        let header = header.map_err(|error| format_error(path, Some(1), format!("{error}; expected {expected}")))?;
        Ok(Table { path, text, header, expected })
    }

    /// Whether there is such a column.
    pub fn has(&self, column: &str) -> bool {
        self.header.iter().any(|found| found == column)
    }

    /// All of these columns must be there.
    pub fn need(&self, columns: &[&str]) -> Result<()> {
        let Some(column) = columns.iter().find(|column| !self.has(column)) else { return Ok(()) };
        let found = self.header.iter().collect::<Vec<_>>().join(",");
        let problem = format!("found the header {found:?} without {column}, expected {}", self.expected);
        Err(format_error(self.path, Some(1), problem))
    }

    /// The rows with their lines.
    pub fn rows<T: DeserializeOwned>(&self) -> Result<Vec<(u64, T)>> {
        let mut rows = Vec::new();
        let mut reader = reader(&self.text);
        let mut record = StringRecord::new();
        let (mut line, mut counted) = (1, 0);
        loop {
            // The reader's own lines are wrong behind \r\n and behind empty lines; its bytes are right.
            let at = reader.position().byte() as usize;
            let rest = self.text.get(at..).unwrap_or_default();
            let start = self.text.len() - rest.trim_start_matches(['\r', '\n']).len();
            line += self.text[counted..start].matches('\n').count() as u64;
            counted = start;
            if !reader.read_record(&mut record).map_err(|error| self.failed(line, error))? {
                return Ok(rows);
            }
            rows.push((line, record.deserialize(Some(&self.header)).map_err(|error| self.failed(line, error))?));
        }
    }

    fn failed(&self, line: u64, error: csv::Error) -> DataError {
        let found = match error.kind() {
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("found {len} fields under a header of {expected_len}")
            }
            ErrorKind::Deserialize { err, .. } => {
                let column = err.field().and_then(|field| self.header.get(field as usize)).unwrap_or("a column");
                format!("{column}: {}", err.kind())
            }
            _ => error.to_string(),
        };
        format_error(self.path, Some(line), format!("{found}; expected {}", self.expected))
    }
}

fn reader(text: &str) -> Reader<&[u8]> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    // Errors in the header show when it is asked for.
    let _ = reader.headers();
    reader
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_those_of_an_editor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        for newline in ["\n", "\r\n"] {
            let text = "\u{feff}a,b\nä,1\n\n\n\"x\ny\",2\nz,3".replace('\n', newline);
            fs::write(&path, &text).unwrap();
            let rows = Table::open(&path, "a,b").unwrap().rows::<(String, u8)>().unwrap();
            let rows: Vec<_> = rows.into_iter().map(|(line, (_, number))| (line, number)).collect();
            assert_eq!(rows, [(2, 1), (5, 2), (7, 3)], "{newline:?}");
            for (last, expected) in [
                ("z", "line 7: found 1 fields under a header of 2; expected a,b"),
                ("z,q", "line 7: b: invalid digit found in string; expected a,b"),
            ] {
                fs::write(&path, text.replace("z,3", last)).unwrap();
                let error = Table::open(&path, "a,b").unwrap().rows::<(String, u8)>().unwrap_err().to_string();
                assert!(error.contains(expected), "{error}");
            }
        }
        fs::write(&path, "").unwrap();
        let error = Table::open(&path, "columns").unwrap().need(&["a"]).unwrap_err().to_string();
        assert!(error.contains("line 1: found the header \"\" without a, expected columns"), "{error}");
    }
}
