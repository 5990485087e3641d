//! Reads the pickles that `torch.save` writes, and executes nothing.
//!
//! A pickle is a program that may name any Python callable. Here a callable is only ever a name: the handful that state
//! dictionaries are made of get their meaning from [`Object::Tensor`] and [`Object::Dict`], and the result of any other is [`Object::Opaque`].

use std::collections::HashMap;

/// A position in [`Pickle::objects`]. Objects point to each other by position, so that no nesting is too deep and
/// cycles are harmless.
pub(crate) type Id = usize;

/// What a pickle can hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Object {
    /// Something without a meaning here: None, a float, the result of an unknown callable.
    Opaque,
    Bool(bool),
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// `module.name`.
    Global(String),
    /// A reference to something outside the pickle: for PyTorch, a storage.
    Persistent(Id),
    Tensor(TensorRef),
}

/// Where a tensor's values are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TensorRef {
    /// [`Object::Persistent`].
    pub storage: Id,
    /// Elements before the first value.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// Elements from one position to the next, for each dimension.
    pub strides: Vec<usize>,
}

/// An unpickled object and all it refers to.
#[derive(Debug)]
pub(crate) struct Pickle {
    objects: Vec<Object>,
    root: Id,
}

impl Pickle {
    pub(crate) fn root(&self) -> &Object {
        &self.objects[self.root]
    }

    pub(crate) fn get(&self, id: Id) -> &Object {
        &self.objects[id]
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Reads one pickle from the front of `bytes` and moves past it.
    pub(crate) fn read(bytes: &mut &[u8]) -> Result<Self, String> {
        let mut machine =
            Machine { bytes, objects: vec![Object::Opaque], stack: vec![], marks: vec![], memo: HashMap::new() };
        loop {
            let opcode = machine.byte()?;
            if opcode == b'.' {
                let root = machine.pop()?;
                return Ok(Self { objects: machine.objects, root });
            }
            machine.step(opcode)?;
        }
    }
}

/// The always present first object.
const OPAQUE: Id = 0;

struct Machine<'a, 'b> {
    bytes: &'b mut &'a [u8],
    objects: Vec<Object>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a, '_> {
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(OPAQUE),
            0x88 | 0x89 => self.push(Object::Bool(opcode == 0x88)),
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Object::Int(value.into()));
            }
            b'K' => {
                let value = self.byte()?;
                self.push(Object::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Object::Int(value.into()));
            }
            0x8a => {
                let size = self.byte()?;
                self.long(size.into())?;
            }
            0x8b => {
                let size = self.size32()?;
                self.long(size)?;
            }
            b'G' => {
                self.take(8)?;
                self.stack.push(OPAQUE);
            }
            // Python 2 wrote its byte strings where names are meant, so that these two are text as well.
            0x8c | b'U' => {
                let size = self.byte()?;
                self.string(size.into())?;
            }
            b'X' | b'T' => {
                let size = self.size32()?;
                self.string(size)?;
            }
            0x8d => {
                let size = self.size64()?;
                self.string(size)?;
            }
            b'C' => {
                let size = self.byte()?;
                self.skip(size.into())?;
            }
            b'B' => {
                let size = self.size32()?;
                self.skip(size)?;
            }
            0x8e | 0x96 => {
                let size = self.size64()?;
                self.skip(size)?;
            }
            b']' => self.push(Object::List(vec![])),
            b')' => self.push(Object::Tuple(vec![])),
            b'}' => self.push(Object::Dict(vec![])),
            0x8f => self.stack.push(OPAQUE),
            0x90 => drop(self.pop_mark()?),
            0x91 => {
                self.pop_mark()?;
                self.stack.push(OPAQUE);
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.insert(&items)?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Object::Tuple(items));
            }
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Object::List(items));
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Object::Dict(vec![]));
                self.insert(&items)?;
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let start = self.stack.len().checked_sub(count).filter(|&start| start >= self.floor());
                let items = self.stack.split_off(start.ok_or_else(underflow)?);
                self.push(Object::Tuple(items));
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Global(format!("{module}.{name}")));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let full = match (&self.objects[module], &self.objects[name]) {
                    (Object::Text(module), Object::Text(name)) => format!("{module}.{name}"),
                    _ => return Err("a global without a name".into()),
                };
                self.push(Object::Global(full));
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments);
            }
            0x92 => {
                for _ in 0..3 {
                    self.pop()?;
                }
                self.stack.push(OPAQUE);
            }
            // The state of an object: attributes, which do not matter for dictionaries and tensors.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id));
            }
            b'q' => {
                let key = self.byte()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let key = self.byte()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?;
            }
            other => return Err(format!("pickle opcode {other:#04x} is not one that torch.save writes")),
        }
        Ok(())
    }

    /// The meaning of the callables that state dictionaries are made of.
    fn call(&mut self, callable: Id, arguments: Id) {
        let (Object::Global(name), Object::Tuple(arguments)) = (&self.objects[callable], &self.objects[arguments])
        else {
            return self.stack.push(OPAQUE);
        };
        let result = match (name.as_str(), arguments.as_slice()) {
            ("collections.OrderedDict", []) | ("collections.defaultdict", _) => Some(Object::Dict(vec![])),
            // Python 2 gives the items as a list of pairs.
            ("collections.OrderedDict", &[items]) => self.pairs(items).map(Object::Dict),
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                &[storage, offset, shape, strides, ..],
            ) => self.tensor(storage, offset, shape, strides).map(Object::Tensor),
            ("torch._utils._rebuild_parameter", &[tensor, ..]) => return self.stack.push(tensor),
            _ => None,
        };
        self.push(result.unwrap_or(Object::Opaque));
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Option<TensorRef> {
        let int = |id: Id| match self.objects[id] {
            Object::Int(value) => usize::try_from(value).ok(),
            _ => None,
        };
        let ints = |id: Id| match &self.objects[id] {
            Object::Tuple(items) => items.iter().map(|&item| int(item)).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let tensor = TensorRef { storage, offset: int(offset)?, shape: ints(shape)?, strides: ints(strides)? };
        (tensor.shape.len() == tensor.strides.len()).then_some(tensor)
    }

    fn pairs(&self, items: Id) -> Option<Vec<(Id, Id)>> {
        let Object::List(items) = &self.objects[items] else { return None };
        let pair = |&item: &Id| match &self.objects[item] {
            Object::Tuple(pair) | Object::List(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
            _ => None,
        };
        items.iter().map(pair).collect()
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        let target = self.top()?;
        if let Object::List(list) = &mut self.objects[target] {
            list.extend_from_slice(items);
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<(), String> {
        let target = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err("a dictionary entry without a value".into());
        }
        if let Object::Dict(entries) = &mut self.objects[target] {
            entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        }
        Ok(())
    }

    fn push(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(self.objects.len() - 1);
    }

    /// Nothing below the newest mark may be taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, String> {
        match self.stack.len() > self.floor() {
            true => self.stack.last().copied().ok_or_else(underflow),
            false => Err(underflow()),
        }
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = self.memo.get(&key).ok_or_else(|| format!("memo {key} is used before it is set"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("the pickle ends too early")?;
        *self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "the pickle ends too early".to_string())
    }

    fn size32(&mut self) -> Result<usize, String> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn size64(&mut self) -> Result<usize, String> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| "the pickle ends too early".into())
    }

    fn string(&mut self, size: usize) -> Result<(), String> {
        let text = String::from_utf8_lossy(self.take(size)?).into_owned();
        self.push(Object::Text(text));
        Ok(())
    }

    fn skip(&mut self, size: usize) -> Result<(), String> {
        self.take(size)?;
        self.stack.push(OPAQUE);
        Ok(())
    }

    /// A little-endian two's complement integer; what does not fit 64 bits (the format's magic number) has no meaning here.
    fn long(&mut self, size: usize) -> Result<(), String> {
        let bytes = self.take(size)?;
        if size > 8 {
            self.stack.push(OPAQUE);
            return Ok(());
        }
        let fill = if bytes.last().is_some_and(|&high| high >= 0x80) { 0xff } else { 0 };
        let mut full = [fill; 8];
        full[..size].copy_from_slice(bytes);
        self.push(Object::Int(i64::from_le_bytes(full)));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.bytes.iter().position(|&byte| byte == b'\n').ok_or("the pickle ends too early")?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }
}

fn underflow() -> String {
    "the pickle takes more than it has".into()
}
