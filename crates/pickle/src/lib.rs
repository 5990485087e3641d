//! Reads Python's pickles, as `torch.save` and NumPy write them, and executes nothing.
//!
//! A pickle is a program that may name any Python callable. Here a callable is only ever a name: its call is kept as
//! [`Object::Call`], and whoever knows the name gives it a meaning, as [`numpy`] does for arrays.

mod machine;
pub mod numpy;

/// A position in [`Pickle::objects`]. Objects point to each other by position, so that no nesting is too deep and
/// cycles are harmless.
pub type Id = usize;

/// What a pickle can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// Something without a meaning here, such as None or a set.
    Opaque,
    /// True or False.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string; or bytes of Python 2 that are UTF-8, because it wrote its byte strings where names are meant.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list.
    List(Vec<Id>),
    /// A dictionary, ordered or not.
    Dict(Vec<(Id, Id)>),
    /// `module.name`.
    Global(String),
    /// A reference to something outside the pickle: for PyTorch, a storage.
    Persistent(Id),
    /// What a callable made, or would have.
    Call {
        /// `module.name`.
        callable: String,
        /// Its arguments.
        arguments: Vec<Id>,
        /// What was set on the result.
        state: Option<Id>,
    },
}

/// An unpickled object and all it refers to.
#[derive(Debug)]
pub struct Pickle {
    objects: Vec<Object>,
    root: Id,
}

impl Pickle {
    /// The object.
    pub fn root(&self) -> &Object {
        &self.objects[self.root]
    }

    /// Position of the object.
    pub fn root_id(&self) -> Id {
        self.root
    }

    /// The object at a position that another object names.
    pub fn get(&self, id: Id) -> &Object {
        &self.objects[id]
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// The text at a position.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entry of a dictionary.
    pub fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Object::Dict(entries) = self.get(dict) else { return None };
        // A later entry of the same key replaces an earlier one.
        entries.iter().rev().find(|(found, _)| self.text(*found) == Some(key)).map(|(_, value)| *value)
    }

    /// Reads one pickle from the front of `bytes` and moves past it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &mut &[u8]) -> Result<Self, String> {
        machine::run(bytes)
    }
}
