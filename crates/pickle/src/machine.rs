//! The machine that pickles are programs for.

use std::collections::HashMap;

use crate::{Id, Object, Pickle};

/// Reads one pickle from the front of `bytes` and moves past it.
pub(crate) fn run(bytes: &mut &[u8]) -> Result<Pickle, String> {
    let room = bytes.len().saturating_mul(16);
    let mut machine =
        Machine { bytes, objects: vec![Object::Opaque], stack: vec![], marks: vec![], memo: HashMap::new(), room };
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { objects: machine.objects, root });
        }
        machine.step(opcode)?;
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
    /// What calls may still copy of what they take, which may be the same again and again.
    room: usize,
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
                let value = f64::from_be_bytes(self.array()?);
                self.push(Object::Float(value));
            }
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
                self.raw(size.into())?;
            }
            b'B' => {
                let size = self.size32()?;
                self.raw(size)?;
            }
            0x8e | 0x96 => {
                let size = self.size64()?;
                self.raw(size)?;
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
                self.call(callable, arguments)?;
            }
            0x92 => {
                for _ in 0..3 {
                    self.pop()?;
                }
                self.stack.push(OPAQUE);
            }
            b'b' => {
                let (new, target) = (self.pop()?, self.top()?);
                if let Object::Call { state, .. } = &mut self.objects[target] {
                    *state = Some(new);
                }
            }
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
            other => return Err(format!("pickle opcode {other:#04x} is not one that PyTorch and NumPy write")),
        }
        Ok(())
    }

    /// Dictionaries and bytes are understood, whatever makes them; other calls are kept.
    fn call(&mut self, callable: Id, arguments: Id) -> Result<(), String> {
        let (Object::Global(name), Object::Tuple(arguments)) = (&self.objects[callable], &self.objects[arguments])
        else {
            self.stack.push(OPAQUE);
            return Ok(());
        };
        let size = match arguments.first().map(|&first| &self.objects[first]) {
            Some(Object::Text(text)) => text.len(),
            Some(Object::List(items)) => items.len(),
            _ => 0,
        };
        let room = self.room.checked_sub(name.len() + arguments.len() + size);
        self.room = room.ok_or("its calls take the same again and again, more than PyTorch and NumPy would")?;
        let made = match (name.as_str(), arguments.as_slice()) {
            ("collections.OrderedDict", []) | ("collections.defaultdict", _) => Some(Object::Dict(vec![])),
            // Python 2 gives the items as a list of pairs.
            ("collections.OrderedDict", &[items]) => self.pairs(items).map(Object::Dict),
            // How protocol 2 writes the bytes of Python 3.
            ("_codecs.encode", &[text, ..]) => self.latin1(text).map(Object::Bytes),
            ("__builtin__.bytes" | "builtins.bytes", []) => Some(Object::Bytes(vec![])),
            _ => None,
        };
        let kept = || Object::Call { callable: name.clone(), arguments: arguments.clone(), state: None };
        let object = made.unwrap_or_else(kept);
        self.push(object);
        Ok(())
    }

    fn latin1(&self, text: Id) -> Option<Vec<u8>> {
        let Object::Text(text) = &self.objects[text] else { return None };
        text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
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
        let object = match String::from_utf8(self.take(size)?.to_vec()) {
            Ok(text) => Object::Text(text),
            Err(bytes) => Object::Bytes(bytes.into_bytes()),
        };
        self.push(object);
        Ok(())
    }

    fn raw(&mut self, size: usize) -> Result<(), String> {
        let bytes = self.take(size)?.to_vec();
        self.push(Object::Bytes(bytes));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A tuple of a thousand numbers, and calls that take it.
    fn calls(count: usize) -> Result<Pickle, String> {
        let parts: [&[u8]; 4] = [b"(", &b"K\x01".repeat(1000), b"tq\x000cm\nf\nq\x010", &b"h\x01h\x00R0".repeat(count)];
        run(&mut &[&parts.concat()[..], b"N."].concat()[..])
    }

    #[test]
    fn a_small_pickle_does_not_become_a_large_one() {
        assert_eq!(calls(5).unwrap().objects().filter(|object| matches!(object, Object::Call { .. })).count(), 5);
        assert!(calls(1000).unwrap_err().contains("again and again"));
    }
}
