//! The files of `torch.save`: the zip archive of PyTorch 1.6 and later, and the stream of pickles before it.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use unscene_pickle::{Id, Object, Pickle};

use crate::weights::{DType, Found};

/// First bytes of a zip archive.
pub(crate) const ZIP: &[u8] = b"PK\x03\x04";
/// First bytes of the older format: protocol 2, then the magic number 0x1950a86a20f9469cfc6c.
pub(crate) const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Raw storages by key.
type Storages = HashMap<String, Vec<u8>>;

/// Where a tensor's values are.
struct TensorRef {
    /// [`Object::Persistent`].
    storage: Id,
    /// Elements before the first value.
    offset: usize,
    shape: Vec<usize>,
    /// Elements from one position to the next, for each dimension.
    strides: Vec<usize>,
}

impl TensorRef {
    /// The meaning of the calls by which PyTorch writes a tensor.
    fn of(pickle: &Pickle, mut id: Id) -> Option<Self> {
        loop {
            let Object::Call { callable, arguments, .. } = pickle.get(id) else { return None };
            id = match (callable.as_str(), arguments.as_slice()) {
                // What a call takes was read before it: this ends.
                ("torch._utils._rebuild_parameter", &[tensor, ..]) if tensor < id => tensor,
                (
                    "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                    &[storage, offset, shape, strides, ..],
                ) => return Self::from_arguments(pickle, [storage, offset, shape, strides]),
                _ => return None,
            };
        }
    }

    fn from_arguments(pickle: &Pickle, [storage, offset, shape, strides]: [Id; 4]) -> Option<Self> {
        let int = |id: Id| match pickle.get(id) {
            Object::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        };
        let ints = |id: Id| match pickle.get(id) {
            Object::Tuple(items) => items.iter().map(|&item| int(item)).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let tensor = TensorRef { storage, offset: int(offset)?, shape: ints(shape)?, strides: ints(strides)? };
        (tensor.shape.len() == tensor.strides.len()).then_some(tensor)
    }
}

/// Reads the zip format.
pub(crate) fn read_zip(bytes: &[u8]) -> Result<Found, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("damaged archive: {error}"))?;
    let names: Vec<String> = archive.file_names().map(str::to_string).collect();
    // The folder in the archive has the name that the file had when it was written.
    let Some(prefix) = names.iter().find_map(|name| name.strip_suffix("data.pkl")).map(str::to_string) else {
        return Err("a zip archive without data.pkl, not a PyTorch checkpoint".into());
    };
    if names.iter().any(|name| *name == format!("{prefix}constants.pkl")) {
        return Err("a TorchScript model, not a checkpoint; save model.state_dict() with torch.save instead".into());
    }
    let limit = bytes.len() as u64;
    let mut entry = |name: &str| -> Result<Vec<u8>, String> {
        let file = archive.by_name(name).map_err(|error| format!("{name}: {error}"))?;
        // PyTorch stores without compression, so that no entry is larger than the archive.
        if file.size() > limit {
            return Err(format!("{name}: compressed entries are not what torch.save writes"));
        }
        let mut data = Vec::with_capacity(file.size() as usize);
        file.take(limit).read_to_end(&mut data).map_err(|error| format!("{name}: {error}"))?;
        Ok(data)
    };
    let byteorder = format!("{prefix}byteorder");
    if names.contains(&byteorder) && entry(&byteorder)? != b"little" {
        return Err("big-endian checkpoints are not supported; save it again on a little-endian machine".into());
    }
    let data = entry(&format!("{prefix}data.pkl"))?;
    let pickle = Pickle::read(&mut data.as_slice()).map_err(|problem| format!("damaged data.pkl: {problem}"))?;
    let folder = format!("{prefix}data/");
    collect(&pickle, |key| entry(&format!("{folder}{key}")))
}

/// Reads the format before PyTorch 1.6: five pickles, then the storages.
pub(crate) fn read_legacy(bytes: &[u8]) -> Result<Found, String> {
    let mut rest = bytes;
    let mut next = || Pickle::read(&mut rest).map_err(|problem| format!("damaged checkpoint: {problem}"));
    let (_magic, _protocol, system) = (next()?, next()?, next()?);
    if let Object::Dict(entries) = system.root() {
        let big = |&(key, value): &(Id, Id)| {
            system.text(key) == Some("little_endian") && *system.get(value) == Object::Bool(false)
        };
        if entries.iter().any(big) {
            return Err("big-endian checkpoints are not supported; save it again on a little-endian machine".into());
        }
    }
    let (pickle, keys) = (next()?, next()?);
    let kinds = storage_kinds(&pickle);
    let Object::List(keys_in_order) = keys.root() else { return Err("damaged checkpoint: no list of storages".into()) };
    let mut storages = Storages::new();
    for &key in keys_in_order {
        let key = keys.text(key).ok_or("damaged checkpoint: a storage without a name")?;
        let kind = kinds.get(key).ok_or_else(|| format!("damaged checkpoint: storage {key} is of an unknown type"))?;
        let (count, after) = rest.split_first_chunk::<8>().ok_or("the checkpoint ends too early")?;
        let size = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(kind.bytes()));
        let (data, after) =
            size.and_then(|size| after.split_at_checked(size)).ok_or("the checkpoint ends too early; copy it again")?;
        storages.insert(key.to_string(), data.to_vec());
        rest = after;
    }
    collect(&pickle, |key| storages.get(key).cloned().ok_or_else(|| format!("storage {key} is missing")))
}

/// The element type of each storage that a pickle mentions.
fn storage_kinds(pickle: &Pickle) -> HashMap<String, DType> {
    let mentioned = pickle.objects().filter_map(|object| match object {
        Object::Persistent(id) => storage(pickle, *id).ok(),
        _ => None,
    });
    mentioned.map(|(key, kind)| (key.to_string(), kind)).collect()
}

/// Key and element type out of `('storage', torch.FloatStorage, key, device, count, ...)`.
fn storage(pickle: &Pickle, id: Id) -> Result<(&str, DType), String> {
    let unknown = || "a tensor whose storage is not one that torch.save writes".to_string();
    let Object::Tuple(parts) = pickle.get(id) else { return Err(unknown()) };
    let &[_, kind, key, ..] = parts.as_slice() else { return Err(unknown()) };
    let (Object::Global(kind), Some(key)) = (pickle.get(kind), pickle.text(key)) else { return Err(unknown()) };
    let kind = match kind.as_str() {
        "torch.FloatStorage" => DType::F32,
        "torch.DoubleStorage" => DType::F64,
        "torch.HalfStorage" => DType::F16,
        "torch.BFloat16Storage" => DType::BF16,
        "torch.LongStorage" => DType::Other(8),
        "torch.IntStorage" => DType::Other(4),
        "torch.ShortStorage" => DType::Other(2),
        "torch.CharStorage" | "torch.ByteStorage" | "torch.BoolStorage" => DType::Other(1),
        other => return Err(format!("a tensor of type {other}; save the weights as float32")),
    };
    Ok((key, kind))
}

/// Takes the tensors of the state dictionary.
fn collect(pickle: &Pickle, mut read: impl FnMut(&str) -> Result<Vec<u8>, String>) -> Result<Found, String> {
    let Object::Dict(root) = pickle.root() else {
        return Err(
            "a saved object that is not a dictionary, such as a whole model; save model.state_dict() instead".into()
        );
    };
    let nested = root.iter().find_map(|&(key, value)| match (pickle.text(key), pickle.get(value)) {
        (Some("state_dict"), Object::Dict(entries)) => Some(entries),
        _ => None,
    });
    let mut found = Found::default();
    if nested.is_some() {
        let names = root.iter().filter_map(|&(key, _)| pickle.text(key));
        found.ignored.extend(names.filter(|&name| name != "state_dict").map(str::to_string));
    }
    let mut cache = Storages::new();
    for &(key, value) in nested.unwrap_or(root) {
        let Some(name) = pickle.text(key) else { return Err("a state dictionary with a key that is not text".into()) };
        let Some(tensor) = TensorRef::of(pickle, value) else {
            // A bare state dictionary with an epoch beside the tensors.
            found.ignored.push(name.to_string());
            continue;
        };
        let Object::Persistent(id) = *pickle.get(tensor.storage) else {
            return Err(format!("tensor {name}: its values are not in the file"));
        };
        let (key, kind) = storage(pickle, id).map_err(|problem| format!("tensor {name}: {problem}"))?;
        if !cache.contains_key(key) {
            // Rarely shared, and never across many tensors: one at a time keeps memory low.
            cache =
                HashMap::from([(key.to_string(), read(key).map_err(|problem| format!("tensor {name}: {problem}"))?)]);
        }
        let bytes =
            gather(&tensor, kind.bytes(), &cache[key]).map_err(|problem| format!("tensor {name}: {problem}"))?;
        found.add(name, kind, &tensor.shape, &bytes)?;
    }
    Ok(found)
}

/// The values of a tensor in row-major order.
fn gather(tensor: &TensorRef, width: usize, storage: &[u8]) -> Result<Vec<u8>, String> {
    let outside = || "its values lie outside its storage; the file is damaged".to_string();
    let count = tensor.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size)).ok_or_else(outside)?;
    let available = storage.len() / width;
    if count == 0 {
        return Ok(vec![]);
    }
    // Also keeps a few bytes from standing for a huge tensor through strides of 0.
    if count > available {
        return Err(outside());
    }
    let last = tensor.shape.iter().zip(&tensor.strides).try_fold(tensor.offset, |last, (&size, &stride)| {
        (size - 1).checked_mul(stride).and_then(|step| last.checked_add(step))
    });
    if last.is_none_or(|last| last >= available) {
        return Err(outside());
    }
    let mut values = Vec::with_capacity(count * width);
    let mut position = vec![0; tensor.shape.len()];
    let mut at = tensor.offset;
    for _ in 0..count {
        values.extend_from_slice(&storage[at * width..(at + 1) * width]);
        for axis in (0..position.len()).rev() {
            position[axis] += 1;
            at += tensor.strides[axis];
            if position[axis] < tensor.shape[axis] {
                break;
            }
            at -= tensor.strides[axis] * tensor.shape[axis];
            position[axis] = 0;
        }
    }
    Ok(values)
}
