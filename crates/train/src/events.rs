//! TensorBoard's event files, as far as curves need them.
//!
//! The crates that write them are abandoned (`tensorboard-rs`) or need a protobuf compiler to build (`tboard`); the two
//! messages are declared here instead. Format: records of length, masked CRC-32C of the length, an `Event` message, masked
//! CRC-32C of it (TensorFlow, `record_writer.h` and `event.proto`).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::TrainError;

/// `tensorflow.Event`.
#[derive(Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `tensorflow.Summary.Value`.
#[derive(Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

/// Appends numbers to a file of its own in a folder that TensorBoard looks at.
pub(crate) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Makes the folder and a new file in it. TensorBoard shows the files of a folder as one run, later ones first where
    /// steps repeat.
    pub fn create(dir: &Path) -> Result<Self, TrainError> {
        std::fs::create_dir_all(dir).map_err(TrainError::io(dir))?;
        let started = now_s();
        let path = dir.join(format!("events.out.tfevents.{started:.0}.unscene.{}", std::process::id()));
        let file = File::create(&path).map_err(TrainError::io(&path))?;
        let mut events = EventFile { path, file };
        let version = Some("brain.Event:2".to_string());
        events.write(&Event { wall_time: started, step: 0, file_version: version, summary: None })?;
        Ok(events)
    }

    /// Writes numbers of a step.
    pub fn scalars(&mut self, step: usize, values: &[(String, f64)]) -> Result<(), TrainError> {
        let value = values.iter().map(|(tag, value)| Value { tag: tag.clone(), simple_value: *value as f32 }).collect();
        let summary = Some(Summary { value });
        self.write(&Event { wall_time: now_s(), step: step as i64, file_version: None, summary })
    }

    fn write(&mut self, event: &Event) -> Result<(), TrainError> {
        let data = event.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        // In one call, so that a killed program leaves whole records or a last one that readers pass over.
        let record =
            [&length[..], &masked_crc(&length).to_le_bytes(), &data, &masked_crc(&data).to_le_bytes()].concat();
        self.file.write_all(&record).map_err(TrainError::io(&self.path))
    }
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A checksum that is not itself the checksum of data that holds checksums.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_tensorflow() {
        // "123456789" is the check value of CRC-32C: 0xe3069283.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(&folder.path().join("tb")).unwrap();
        events.scalars(7, &[("train/loss".into(), 1.5), ("val/loss".into(), 2.0)]).unwrap();
        let bytes = std::fs::read(&events.path).unwrap();
        let mut rest = &bytes[..];
        let mut read = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes());
            let data = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked_crc(data).to_le_bytes());
            read.push(Event::decode(data).unwrap());
            rest = &rest[16 + length..];
        }
        assert_eq!(read[0].file_version.as_deref(), Some("brain.Event:2"));
        let values = &read[1].summary.as_ref().unwrap().value;
        assert_eq!((read[1].step, values[0].tag.as_str(), values[1].simple_value), (7, "train/loss", 2.0));
    }
}
