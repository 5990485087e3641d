use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use sha2::{Digest, Sha256};

use tch::Tensor;

use crate::{TrainError, checkpoint};

/// Tensors by name, out of a file. Names are without `module.`, values are float32.
#[derive(Debug)]
pub struct Weights {
    pub(crate) path: PathBuf,
    pub(crate) tensors: BTreeMap<String, HostTensor>,
    /// What was done to them.
    pub report: ImportReport,
}

/// What reading weights found and changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// `"safetensors"`, `"torch zip"` or `"torch legacy"`.
    pub format: String,
    /// Number of tensors taken.
    pub tensors: usize,
    /// Number of values taken.
    pub values: usize,
    /// Tensors that were not float32, by type.
    pub converted: BTreeMap<String, usize>,
    /// Names that lost a `module.` in front.
    pub stripped: usize,
    /// Entries that are not weights: `epoch`, `optimizer`, `bn1.num_batches_tracked`.
    pub ignored: Vec<String>,
    /// Tensors of heads that the model does not have and no task here needs: `place_mlp.p_last_fc.weight` of the paper's release,
    /// `classifier.6.weight` of torchvision's `vgg16`.
    pub heads: Vec<String>,
    /// What became of tensors of which only a part was taken: `vgg.33.weight: 1024 x 1024 x 1 x 1 of 4096 x 4096`.
    pub reduced: Vec<String>,
    /// Parameters of heads that the file of a backbone does not have; they begin with random weights.
    pub new: Vec<String>,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// A tensor in row-major order.
#[derive(Debug)]
pub(crate) struct HostTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl HostTensor {
    /// On the CPU.
    pub fn to_tensor(&self) -> Result<Tensor, TrainError> {
        let sides: Vec<i64> = self.shape.iter().map(|&side| side as i64).collect();
        Ok(Tensor::from_slice(&self.values).f_reshape(sides)?)
    }

    /// Into a parameter of the same shape, on any device.
    pub fn copy_to(&self, parameter: &Tensor) -> Result<(), TrainError> {
        let value = self.to_tensor()?;
        tch::no_grad(|| parameter.shallow_clone().f_copy_(&value))?;
        Ok(())
    }
}

/// The heads that the paper's release keeps in the state dictionary of the model (github.com/vt-vl-lab/SDN, models/resnet.py): the
/// adversary of scenes, and one of masked clips that no loss uses.
const RELEASE_HEADS: [&str; 2] = ["place_mlp.", "hm_mlp."];

/// Element types of checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DType {
    F64,
    F32,
    F16,
    BF16,
    /// Not a floating type; its size in bytes.
    Other(usize),
}

impl DType {
    pub(crate) fn bytes(self) -> usize {
        match self {
            DType::F64 => 8,
            DType::F32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::Other(bytes) => bytes,
        }
    }

    fn decode(self, bytes: &[u8]) -> Option<Vec<f32>> {
        fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
            Some(bytes.as_chunks::<N>().0.iter().map(|&chunk| value(chunk)).collect())
        }
        match self {
            DType::F64 => each(bytes, |chunk| f64::from_le_bytes(chunk) as f32),
            DType::F32 => each(bytes, f32::from_le_bytes),
            DType::F16 => each(bytes, |chunk| half::f16::from_le_bytes(chunk).to_f32()),
            DType::BF16 => each(bytes, |chunk| half::bf16::from_le_bytes(chunk).to_f32()),
            DType::Other(_) => None,
        }
    }
}

/// Collects the tensors of a file, whatever its format.
#[derive(Default)]
pub(crate) struct Found {
    pub tensors: BTreeMap<String, HostTensor>,
    pub converted: BTreeMap<String, usize>,
    pub stripped: usize,
    pub ignored: Vec<String>,
}

impl Found {
    /// Takes a tensor given as little-endian bytes in row-major order.
    pub(crate) fn add(&mut self, name: &str, dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<(), String> {
        // A counter that PyTorch keeps beside the running statistics; nothing is computed from it.
        if name.ends_with("num_batches_tracked") {
            self.ignored.push(name.to_string());
            return Ok(());
        }
        // torch.nn.DataParallel puts it in front of every name.
        let bare = name.strip_prefix("module.").unwrap_or(name);
        self.stripped += usize::from(bare != name);
        let Some(values) = dtype.decode(bytes) else {
            return Err(format!("tensor {name}: found integers, expected float32 or float16 weights"));
        };
        if dtype != DType::F32 {
            *self.converted.entry(format!("{dtype:?}").to_lowercase()).or_default() += 1;
        }
        match self.tensors.insert(bare.to_string(), HostTensor { shape: shape.to_vec(), values }) {
            None => Ok(()),
            Some(_) => Err(format!("tensor {bare} is there twice, with and without 'module.' in front")),
        }
    }
}

/// Reads a PyTorch checkpoint (zip or the format before PyTorch 1.6; a state dictionary, bare or under `"state_dict"`) or a
/// safetensors file; the content decides, not the name. Pickles are interpreted without executing anything.
///
/// # Errors
/// A file that cannot be read, is something else, is damaged, or holds integers where weights are expected.
pub fn read_weights(path: &Path) -> Result<Weights, TrainError> {
    let bytes = std::fs::read(path).map_err(TrainError::io(path))?;
    let (format, found) = if bytes.starts_with(checkpoint::ZIP) {
        ("torch zip", checkpoint::read_zip(&bytes))
    } else if bytes.starts_with(checkpoint::LEGACY) {
        ("torch legacy", checkpoint::read_legacy(&bytes))
    } else if bytes.get(8) == Some(&b'{') {
        ("safetensors", read_safetensors(&bytes))
    } else {
        let problem = "neither a PyTorch checkpoint nor a safetensors file; \
                       an unfinished download or a Git LFS pointer often looks like this";
        ("", Err(problem.to_string()))
    };
    let mut found = found.map_err(|problem| TrainError::format(path, problem))?;
    let is_head = |name: &String, _: &mut HostTensor| RELEASE_HEADS.iter().any(|head| name.starts_with(head));
    let heads = found.tensors.extract_if(.., is_head).map(|(name, _)| name).collect();
    if found.tensors.is_empty() {
        return Err(TrainError::format(path, "no weights in it; expected a state dictionary"));
    }
    let report = ImportReport {
        format: format.into(),
        tensors: found.tensors.len(),
        values: found.tensors.values().map(|tensor| tensor.values.len()).sum(),
        converted: found.converted,
        stripped: found.stripped,
        ignored: found.ignored,
        heads,
        reduced: vec![],
        new: vec![],
        sha256: sha256(&bytes),
    };
    Ok(Weights { path: path.to_path_buf(), tensors: found.tensors, report })
}

fn read_safetensors(bytes: &[u8]) -> Result<Found, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| format!("damaged safetensors file: {error}"))?;
    let mut found = Found::default();
    for (name, view) in file.iter() {
        let dtype = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => DType::Other(other.bitsize() / 8),
        };
        found.add(name, dtype, view.shape(), view.data())?;
    }
    Ok(found)
}

/// Serialises float32 tensors.
pub(crate) fn to_safetensors<'a>(
    tensors: impl IntoIterator<Item = (&'a str, Vec<usize>, Vec<f32>)>,
    metadata: BTreeMap<String, String>,
) -> Result<Vec<u8>, String> {
    let raw: Vec<_> = tensors
        .into_iter()
        .map(|(name, shape, values)| (name, shape, values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>()))
        .collect();
    let views = raw
        .iter()
        .map(|(name, shape, bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| error.to_string())?;
    let metadata = (!metadata.is_empty()).then(|| metadata.into_iter().collect());
    safetensors::serialize(views, metadata).map_err(|error| error.to_string())
}

/// Writes a file that is there whole or not at all: beside, to disk, then renamed.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".partial-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|source| {
        let _ = std::fs::remove_file(&beside);
        TrainError::Io { path: path.to_path_buf(), source }
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
