//! NumPy's arrays in pickles, and `.npy` files that hold pickles.

use crate::{Id, Object, Pickle};

/// An array of numbers, whatever their type was.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its sides.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    pub values: Vec<f64>,
}

/// Reads an `.npy` file of Python objects, as `numpy.save` writes dictionaries, and returns the position of the object
/// in it.
///
/// # Errors
/// What the file is instead, or what is wrong with it.
pub fn read_npy(bytes: &[u8]) -> Result<(Pickle, Id), String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("not an .npy file")?;
    let too_short = || "the file ends too early; copy it again".to_string();
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(too_short)?;
    let (size, rest) = match version[0] {
        1 => rest.split_first_chunk::<2>().map(|(size, rest)| (u16::from_le_bytes(*size) as usize, rest)),
        _ => rest.split_first_chunk::<4>().map(|(size, rest)| (u32::from_le_bytes(*size) as usize, rest)),
    }
    .ok_or_else(too_short)?;
    let (header, mut rest) = rest.split_at_checked(size).ok_or_else(too_short)?;
    let header = String::from_utf8_lossy(header);
    if !header.contains("'|O'") {
        return Err(format!("its values are plain numbers ({}), expected a saved dictionary", header.trim()));
    }
    let pickle = Pickle::read(&mut rest)?;
    // A dictionary is saved as an array of no dimensions that holds it.
    let root = pickle.root_id();
    let inner = match objects(&pickle, root) {
        Some(items) if items.len() == 1 => items[0],
        Some(items) => return Err(format!("it holds {} objects, expected one dictionary", items.len())),
        None => root,
    };
    Ok((pickle, inner))
}

/// The numbers of an array, a NumPy scalar, a number, or a list of numbers; nothing for other objects.
pub fn array(pickle: &Pickle, id: Id) -> Option<Array> {
    match pickle.get(id) {
        Object::Int(value) => Some(Array { shape: vec![], values: vec![*value as f64] }),
        Object::Float(value) => Some(Array { shape: vec![], values: vec![*value] }),
        Object::List(items) | Object::Tuple(items) => {
            let values: Vec<f64> = items.iter().map(|&item| number(pickle, item)).collect::<Option<_>>()?;
            Some(Array { shape: vec![values.len()], values })
        }
        Object::Call { callable, arguments, .. } if callable.ends_with("multiarray.scalar") => {
            let &[kind, data] = arguments.as_slice() else { return None };
            let values = decode(&Kind::of(pickle, kind)?, &bytes(pickle, data)?)?;
            (values.len() == 1).then_some(Array { shape: vec![], values })
        }
        _ => {
            let parts = state(pickle, id)?;
            let shape = ints(pickle, parts[1])?;
            let values = decode(&Kind::of(pickle, parts[2])?, &bytes(pickle, parts[4])?)?;
            let count = shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side))?;
            if values.len() != count {
                return None;
            }
            let is_fortran = matches!(pickle.get(parts[3]), Object::Bool(true) | Object::Int(1));
            let values = if is_fortran && shape.len() > 1 { by_rows(&values, &shape) } else { values };
            Some(Array { shape, values })
        }
    }
}

/// The objects of an array of objects.
pub fn objects(pickle: &Pickle, id: Id) -> Option<&[Id]> {
    match pickle.get(state(pickle, id)?[4]) {
        Object::List(items) => Some(items),
        _ => None,
    }
}

/// A text: one of Python's, or a scalar of NumPy's types of text, `U` of four bytes a character and `S` of one.
pub fn text(pickle: &Pickle, id: Id) -> Option<String> {
    match pickle.get(id) {
        Object::Text(text) => Some(text.clone()),
        Object::Call { callable, arguments, .. } if callable.ends_with("multiarray.scalar") => {
            let &[kind, data] = arguments.as_slice() else { return None };
            let (kind, bytes) = (Kind::of(pickle, kind)?, bytes(pickle, data)?);
            let text = match kind.name.chars().next()? {
                'U' => {
                    let (characters, rest) = bytes.as_chunks::<4>();
                    let code = if kind.is_big { u32::from_be_bytes } else { u32::from_le_bytes };
                    let text =
                        characters.iter().map(|&bytes| char::from_u32(code(bytes))).collect::<Option<String>>()?;
                    rest.is_empty().then_some(text)?
                }
                'S' => String::from_utf8(bytes).ok()?,
                _ => return None,
            };
            // What is shorter than the type is filled up.
            Some(text.trim_end_matches('\0').to_string())
        }
        _ => None,
    }
}

fn number(pickle: &Pickle, id: Id) -> Option<f64> {
    match pickle.get(id) {
        Object::Int(value) => Some(*value as f64),
        Object::Float(value) => Some(*value),
        Object::Call { .. } => array(pickle, id).filter(|array| array.values.len() == 1).map(|array| array.values[0]),
        _ => None,
    }
}

/// Version, shape, type, order, values of an array.
fn state(pickle: &Pickle, id: Id) -> Option<&[Id]> {
    let Object::Call { callable, state: Some(state), .. } = pickle.get(id) else { return None };
    if !callable.ends_with("multiarray._reconstruct") {
        return None;
    }
    match pickle.get(*state) {
        Object::Tuple(parts) if parts.len() == 5 => Some(parts),
        _ => None,
    }
}

fn ints(pickle: &Pickle, id: Id) -> Option<Vec<usize>> {
    let Object::Tuple(items) = pickle.get(id) else { return None };
    let int = |&item: &Id| match pickle.get(item) {
        Object::Int(value) => usize::try_from(*value).ok(),
        _ => None,
    };
    items.iter().map(int).collect()
}

fn bytes(pickle: &Pickle, id: Id) -> Option<Vec<u8>> {
    match pickle.get(id) {
        Object::Bytes(bytes) => Some(bytes.clone()),
        // Python 2's byte strings may happen to be text.
        Object::Text(text) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

/// A type such as `f4`, and its byte order.
struct Kind {
    name: String,
    is_big: bool,
}

impl Kind {
    fn of(pickle: &Pickle, id: Id) -> Option<Self> {
        let Object::Call { callable, arguments, state } = pickle.get(id) else { return None };
        if callable != "numpy.dtype" {
            return None;
        }
        let name = pickle.text(*arguments.first()?)?.to_string();
        let order = state.and_then(|state| match pickle.get(state) {
            Object::Tuple(parts) => pickle.text(*parts.get(1)?),
            _ => None,
        });
        Some(Kind { name, is_big: order == Some(">") })
    }
}

fn decode(kind: &Kind, bytes: &[u8]) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], is_big: bool, to: impl Fn([u8; N]) -> f64) -> Option<Vec<f64>> {
        let (chunks, rest) = bytes.as_chunks::<N>();
        let value = |chunk: &[u8; N]| {
            let mut chunk = *chunk;
            if is_big {
                chunk.reverse();
            }
            to(chunk)
        };
        rest.is_empty().then(|| chunks.iter().map(value).collect())
    }
    let big = kind.is_big;
    match kind.name.as_str() {
        "f4" => each(bytes, big, |b| f64::from(f32::from_le_bytes(b))),
        "f8" => each(bytes, big, f64::from_le_bytes),
        "i8" => each(bytes, big, |b| i64::from_le_bytes(b) as f64),
        "u8" => each(bytes, big, |b| u64::from_le_bytes(b) as f64),
        "i4" => each(bytes, big, |b| f64::from(i32::from_le_bytes(b))),
        "u4" => each(bytes, big, |b| f64::from(u32::from_le_bytes(b))),
        "i2" => each(bytes, big, |b| f64::from(i16::from_le_bytes(b))),
        "u2" => each(bytes, big, |b| f64::from(u16::from_le_bytes(b))),
        "i1" => each(bytes, big, |b: [u8; 1]| f64::from(b[0] as i8)),
        "u1" | "b1" => each(bytes, big, |b: [u8; 1]| f64::from(b[0])),
        _ => None,
    }
}

/// From columns first to rows first.
fn by_rows(values: &[f64], shape: &[usize]) -> Vec<f64> {
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    let at = |mut index: usize| {
        let mut at = 0;
        for axis in (0..shape.len()).rev() {
            at += index % shape[axis] * strides[axis];
            index /= shape[axis];
        }
        at
    };
    (0..values.len()).map(|index| values[at(index)]).collect()
}
