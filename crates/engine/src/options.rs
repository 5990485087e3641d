//! Which engine, on which device, with how many threads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// Which inference engine runs the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EngineChoice {
    /// ONNX Runtime when its library loads, otherwise tract.
    #[default]
    Auto,
    /// ONNX Runtime; an error when its library does not load.
    Ort,
    /// tract: pure Rust, built in, CPU only.
    Tract,
}

/// Which device the model runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device when ONNX Runtime can use one, otherwise the CPU. The model's `device_name` says which.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by number, through ONNX Runtime; an error when it cannot be used.
    Cuda(u32),
    /// A CUDA device by number, through ONNX Runtime's TensorRT provider; an error when it cannot be used.
    TensorRt(u32),
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Ort => "ort",
            Self::Tract => "tract",
        })
    }
}

impl FromStr for EngineChoice {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, EngineError> {
        match text {
            "auto" => Ok(Self::Auto),
            "ort" => Ok(Self::Ort),
            "tract" => Ok(Self::Tract),
            _ => Err(EngineError::Argument {
                what: "engine",
                found: format!("{text:?}"),
                expected: "auto, ort or tract".into(),
            }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::TensorRt(index) => write!(f, "tensorrt:{index}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, EngineError> {
        let wrong = || EngineError::Argument {
            what: "device",
            found: format!("{text:?}"),
            expected: "auto, cpu, cuda:N or tensorrt:N".into(),
        };
        let (kind, index) = text.split_once(':').unwrap_or((text, ""));
        // A bare `cuda` is the first device; the number must fit the engine's 32-bit signed one.
        let number = || match index {
            "" if !text.contains(':') => Ok(0),
            _ => index.parse::<u32>().ok().filter(|n| i32::try_from(*n).is_ok()).ok_or_else(wrong),
        };
        match kind {
            "auto" if text == "auto" => Ok(Self::Auto),
            "cpu" if text == "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(number()?)),
            "tensorrt" => Ok(Self::TensorRt(number()?)),
            _ => Err(wrong()),
        }
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = EngineError;

            fn try_from(text: String) -> Result<Self, EngineError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(choice: $name) -> String {
                choice.to_string()
            }
        }
    )*};
}
serde_as_text!(EngineChoice, DeviceChoice);

/// How a model is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineOptions {
    /// The engine.
    pub engine: EngineChoice,
    /// The device.
    pub device: DeviceChoice,
    /// CPU threads for inference; 0 (the default) is one per core.
    pub threads: usize,
    /// Clips per run at most, of one video or several; 0 (the default) is the engine's own choice.
    pub batch: usize,
    /// Milliseconds that a batch with room is held back for clips of other videos that are at work. 0 by default: what comes
    /// while one batch is run is the next one.
    pub max_wait_ms: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { engine: EngineChoice::Auto, device: DeviceChoice::Auto, threads: 0, batch: 0, max_wait_ms: 0 }
    }
}

impl EngineOptions {
    /// The number of threads, with 0 resolved to the cores this process may use.
    pub(crate) fn resolved_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_written_as_they_are_read() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "tensorrt:1"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["auto", "ort", "tract"] {
            assert_eq!(text.parse::<EngineChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        assert_eq!(serde_json::to_string(&DeviceChoice::Cuda(1)).unwrap(), "\"cuda:1\"");
    }

    #[test]
    fn an_unknown_choice_lists_the_known_ones() {
        for text in ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:4294967295", "cpu:0", "auto:1", ""] {
            let message = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert_eq!(message, format!("device: found {text:?}, expected auto, cpu, cuda:N or tensorrt:N"));
        }
        assert!("onnx".parse::<EngineChoice>().is_err());
    }
}
