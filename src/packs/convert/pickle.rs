//! Reads the pickle inside a PyTorch weight file as data. Nothing a pickle says is ever run.
//!
//! Opcodes outside the list below end the reading. A global is only a name; calling it builds a tensor description or a
//! dictionary for the handful of names that PyTorch uses, and an inert node for every other; names that exist only to
//! run code end the reading. Values live in one flat list and refer to each other by number, so that neither depth nor
//! sharing nor cycles cost stack or time. Each opcode adds at most one value, every length is held against the bytes that
//! remain, texts are shared and never copied, and what calls copy of other values is counted ([`Reader::spend`]), so that
//! memory and time stay proportional to the file.

use std::collections::HashMap;
use std::sync::Arc;

/// The number of a value in [`Pickle::nodes`].
pub(super) type Id = usize;

/// The most values one pickle may build.
const MAX_NODES: usize = 4_000_000;

/// The most values that one pickle may keep for later, and the most that may wait on its stack.
const MAX_KEPT: usize = 4_000_000;

/// The longest name of a module or class, in bytes.
const MAX_NAME: usize = 1024;

/// The most dimensions a tensor may have.
const MAX_DIMENSIONS: usize = 8;

/// A value of a pickle.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A plain value that no weight depends on: none, a truth value, a fraction, bytes, a set.
    Plain,
    Int(i64),
    Text(Arc<str>),
    /// A tuple or a list.
    Row(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name, `module.name`.
    Global(Arc<str>),
    /// What an unknown class or function would have made; its name.
    Inert(Arc<str>),
    Storage(Storage),
    Tensor(Tensor),
}

/// One storage of the archive.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// `FloatStorage` and so on.
    pub(super) kind: Arc<str>,
    /// The name of its entry below `data/`.
    pub(super) key: Arc<str>,
}

/// A tensor as a view of a storage, counted in elements.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
}

/// Modules and functions that no weights need and that exist to run code or reach the system.
const DANGEROUS_MODULES: [&str; 39] = [
    "os",
    "posix",
    "nt",
    "sys",
    "subprocess",
    "pty",
    "runpy",
    "socket",
    "shutil",
    "importlib",
    "ctypes",
    "code",
    "codeop",
    "webbrowser",
    "commands",
    "popen2",
    "asyncio",
    "multiprocessing",
    "threading",
    "signal",
    "tempfile",
    "pathlib",
    "io",
    "pickle",
    "dill",
    "cloudpickle",
    "marshal",
    "types",
    "timeit",
    "pdb",
    "bdb",
    "pip",
    "requests",
    "urllib",
    "http",
    "ftplib",
    "smtplib",
    "xmlrpc",
    "httpx",
];
const DANGEROUS_BUILTINS: [&str; 13] = [
    "eval",
    "exec",
    "execfile",
    "compile",
    "open",
    "input",
    "__import__",
    "globals",
    "locals",
    "vars",
    "apply",
    "breakpoint",
    "help",
];

impl Pickle {
    /// Reads `bytes`.
    ///
    /// # Errors
    /// A clause saying what is wrong, to be put after the file's name.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader {
            bytes,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            left: bytes.len().saturating_mul(16).saturating_add(1 << 20),
        };
        reader.run()
    }

    /// The value `id`.
    pub(super) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id).unwrap_or(&Node::Plain)
    }

    /// The value under the text key `key` of the dictionary `id`.
    pub(super) fn entry(&self, id: Id, key: &str) -> Option<Id> {
        let Node::Dict(entries) = self.node(id) else { return None };
        let matches = |name: Id| matches!(self.node(name), Node::Text(text) if **text == *key);
        entries.iter().rev().find(|(name, _)| matches(*name)).map(|(_, value)| *value)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// How much calls may still copy, in values and bytes of names.
    left: usize,
}

type Step<T> = Result<T, String>;

impl Reader<'_> {
    fn take(&mut self, count: u64) -> Step<&[u8]> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let piece = end.and_then(|end| self.bytes.get(self.at..end)).ok_or("its pickle ends early")?;
        self.at += piece.len();
        Ok(piece)
    }

    /// A little-endian number of `count` ≤ 8 bytes.
    fn number(&mut self, count: u64) -> Step<u64> {
        Ok(self.take(count)?.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }

    fn line(&mut self) -> Step<String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length =
            rest.iter().take(MAX_NAME + 1).position(|&byte| byte == b'\n').ok_or("its pickle holds an endless name")?;
        let text = String::from_utf8_lossy(self.take(length as u64)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    fn push(&mut self, node: Node) -> Step<()> {
        if self.nodes.len() >= MAX_NODES {
            return Err(format!("its pickle builds more than {MAX_NODES} values"));
        }
        self.nodes.push(node);
        self.push_again(self.nodes.len() - 1)
    }

    /// Puts a value that is there already on the stack.
    fn push_again(&mut self, id: Id) -> Step<()> {
        if self.stack.len() >= MAX_KEPT {
            return Err(format!("its pickle stacks more than {MAX_KEPT} values"));
        }
        self.stack.push(id);
        Ok(())
    }

    /// Counts what a call copies: a few bytes of pickle can name a large value again and again.
    fn spend(&mut self, amount: usize) -> Step<()> {
        self.left = self.left.checked_sub(amount).ok_or("its pickle copies its own values over and over")?;
        Ok(())
    }

    fn pop(&mut self) -> Step<Id> {
        if self.marks.last().is_some_and(|&mark| mark == self.stack.len()) {
            return Err("its pickle takes a value that is not there".into());
        }
        self.stack.pop().ok_or_else(|| "its pickle takes a value that is not there".into())
    }

    fn top(&self) -> Step<Id> {
        self.stack.last().copied().ok_or_else(|| "its pickle looks at a value that is not there".into())
    }

    /// The values above the last mark.
    fn above_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("its pickle lacks a mark")?;
        if mark > self.stack.len() {
            return Err("its pickle lost a mark".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn text(&mut self, length: u64) -> Step<()> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "its pickle holds a text that is not UTF-8")?;
        let text = Arc::from(text);
        self.push(Node::Text(text))
    }

    fn row(&mut self, count: usize) -> Step<()> {
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            ids.push(self.pop()?);
        }
        ids.reverse();
        self.push(Node::Row(ids))
    }

    fn remember(&mut self, key: u64) -> Step<()> {
        let top = self.top()?;
        if self.memo.len() >= MAX_KEPT {
            return Err(format!("its pickle keeps more than {MAX_KEPT} values for later"));
        }
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Step<()> {
        let id = *self.memo.get(&key).ok_or("its pickle recalls a value it never kept")?;
        self.push_again(id)
    }

    fn set_items(&mut self, items: &[Id]) -> Step<()> {
        let target = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err("its pickle has a key without a value".into());
        }
        if let Some(Node::Dict(entries)) = self.nodes.get_mut(target) {
            entries.extend(items.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))));
        }
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Step<()> {
        let target = self.top()?;
        if let Some(Node::Row(row)) = self.nodes.get_mut(target) {
            row.extend_from_slice(items);
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Step<()> {
        if module.len() > MAX_NAME || name.len() > MAX_NAME {
            return Err("its pickle holds an endless name".into());
        }
        self.spend(module.len() + name.len())?;
        let root = module.split('.').next().unwrap_or(module);
        let builtin = matches!(root, "builtins" | "__builtin__" | "__builtins__");
        if DANGEROUS_MODULES.contains(&root) || (builtin && DANGEROUS_BUILTINS.contains(&name)) {
            return Err(format!(
                "it names {module}.{name}, which runs code or reaches the system and which no weights need"
            ));
        }
        self.push(Node::Global(format!("{module}.{name}").into()))
    }

    fn run(&mut self) -> Step<Pickle> {
        loop {
            let code = self.number(1)?;
            match u8::try_from(code).unwrap_or_default() {
                0x80 => {
                    let version = self.number(1)?;
                    if version > 5 {
                        return Err(format!("its pickle has the unknown version {version}"));
                    }
                }
                0x95 => drop(self.take(8)?), // a frame's length: a hint only
                b'.' => {
                    let root = self.pop()?;
                    return Ok(Pickle { nodes: std::mem::take(&mut self.nodes), root });
                }
                b'(' => {
                    if self.marks.len() >= MAX_KEPT {
                        return Err(format!("its pickle sets more than {MAX_KEPT} marks"));
                    }
                    self.marks.push(self.stack.len());
                }
                b'0' => drop(self.pop()?),
                b'1' => drop(self.above_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.push_again(top)?;
                }
                b'N' | 0x88 | 0x89 | 0x8f => self.push(Node::Plain)?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                b']' | b')' => self.push(Node::Row(Vec::new()))?,
                b't' | b'l' => {
                    let row = self.above_mark()?;
                    self.push(Node::Row(row))?;
                }
                0x85 => self.row(1)?,
                0x86 => self.row(2)?,
                0x87 => self.row(3)?,
                b'd' => {
                    let items = self.above_mark()?;
                    self.push(Node::Dict(Vec::new()))?;
                    self.set_items(&items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.above_mark()?;
                    self.set_items(&items)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let items = self.above_mark()?;
                    self.append(&items)?;
                }
                0x90 => drop(self.above_mark()?),
                0x91 => {
                    self.above_mark()?;
                    self.push(Node::Plain)?;
                }
                b'K' => self.int(1)?,
                b'M' => self.int(2)?,
                b'J' => {
                    let number = self.number(4)?;
                    self.push(Node::Int(i64::from(number as u32 as i32)))?;
                }
                0x8a => {
                    let length = self.number(1)?;
                    if length > 8 {
                        self.take(length)?;
                        self.push(Node::Plain)?;
                    } else {
                        let number = self.number(length)?;
                        let spare = 64 - 8 * length as u32;
                        let signed = if length == 0 { 0 } else { ((number << spare) as i64) >> spare };
                        self.push(Node::Int(signed))?;
                    }
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Node::Plain)?;
                }
                b'X' => {
                    let length = self.number(4)?;
                    self.text(length)?;
                }
                0x8c => {
                    let length = self.number(1)?;
                    self.text(length)?;
                }
                0x8d => {
                    let length = self.number(8)?;
                    self.text(length)?;
                }
                b'T' | b'B' => self.skip(4)?,
                b'U' | b'C' => self.skip(1)?,
                0x8e => self.skip(8)?,
                b'q' => {
                    let key = self.number(1)?;
                    self.remember(key)?;
                }
                b'r' => {
                    let key = self.number(4)?;
                    self.remember(key)?;
                }
                0x94 => self.remember(self.memo.len() as u64)?,
                b'h' => {
                    let key = self.number(1)?;
                    self.recall(key)?;
                }
                b'j' => {
                    let key = self.number(4)?;
                    self.recall(key)?;
                }
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.global(&module, &name)?;
                }
                0x93 => {
                    let name = self.pop()?;
                    let module = self.pop()?;
                    match (self.nodes.get(module).cloned(), self.nodes.get(name).cloned()) {
                        (Some(Node::Text(module)), Some(Node::Text(name))) => self.global(&module, &name)?,
                        _ => return Err("its pickle names a class by something that is no text".into()),
                    }
                }
                b'R' => {
                    let arguments = self.pop()?;
                    let callee = self.pop()?;
                    self.call(callee, arguments)?;
                }
                0x81 => {
                    self.pop()?;
                    let class = self.pop()?;
                    let name = self.name(class);
                    self.push(Node::Inert(name))?;
                }
                // An object's state: attributes of dictionaries and tensors, which no weight depends on.
                b'b' => drop(self.pop()?),
                b'Q' => self.persistent()?,
                other => {
                    return Err(format!("its pickle uses the instruction {other:#04x}, which PyTorch does not write"));
                }
            }
        }
    }

    fn int(&mut self, bytes: u64) -> Step<()> {
        let number = self.number(bytes)?;
        self.push(Node::Int(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn skip(&mut self, length_bytes: u64) -> Step<()> {
        let length = self.number(length_bytes)?;
        self.take(length)?;
        self.push(Node::Plain)
    }

    fn name(&self, id: Id) -> Arc<str> {
        match self.nodes.get(id) {
            Some(Node::Global(name) | Node::Inert(name)) => Arc::clone(name),
            _ => "something unnamed".into(),
        }
    }

    /// A row's items.
    fn items(&mut self, id: Id) -> Step<Vec<Id>> {
        let Some(Node::Row(items)) = self.nodes.get(id) else {
            return Err("its pickle calls something without arguments".into());
        };
        let count = items.len();
        self.spend(count)?;
        Ok(match self.nodes.get(id) {
            Some(Node::Row(items)) => items.clone(),
            _ => Vec::new(),
        })
    }

    /// What calling `callee` stands for.
    fn call(&mut self, callee: Id, arguments: Id) -> Step<()> {
        let name = self.name(callee);
        let arguments = self.items(arguments)?;
        match (&*name, arguments.as_slice()) {
            ("collections.OrderedDict", []) => self.push(Node::Dict(Vec::new())),
            ("collections.OrderedDict", [pairs]) => {
                let mut items = Vec::new();
                for pair in self.items(*pairs)? {
                    items.extend(self.items(pair)?);
                }
                self.push(Node::Dict(Vec::new()))?;
                self.set_items(&items)
            }
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                [storage, offset, shape, strides, ..],
            ) => {
                let tensor = self.tensor(*storage, *offset, *shape, *strides)?;
                self.push(Node::Tensor(tensor))
            }
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", [data, ..])
            | ("torch.Size", [data]) => self.push_again(*data),
            _ => self.push(Node::Inert(name)),
        }
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Step<Tensor> {
        let Some(Node::Storage(storage)) = self.nodes.get(storage) else {
            return Err("its pickle makes a tensor of something that is no storage".into());
        };
        let natural = |id: Id| match self.nodes.get(id) {
            Some(Node::Int(number)) => {
                u64::try_from(*number).map_err(|_| "its pickle holds a tensor with a negative size".to_string())
            }
            _ => Err("its pickle holds a tensor whose size is no number".to_string()),
        };
        let row = |id: Id| match self.nodes.get(id) {
            Some(Node::Row(items)) if items.len() <= MAX_DIMENSIONS => {
                items.iter().map(|item| natural(*item)).collect::<Step<Vec<u64>>>()
            }
            _ => Err("its pickle holds a tensor whose shape contradicts itself".to_string()),
        };
        let tensor =
            Tensor { storage: storage.clone(), offset: natural(offset)?, shape: row(shape)?, strides: row(strides)? };
        if tensor.shape.len() != tensor.strides.len() {
            return Err("its pickle holds a tensor whose shape contradicts itself".into());
        }
        Ok(tensor)
    }

    /// A reference to a storage: `('storage', type, key, location, count)`.
    fn persistent(&mut self) -> Step<()> {
        let id = self.pop()?;
        let items = self.items(id)?;
        let part = |index: usize| items.get(index).and_then(|&id| self.nodes.get(id));
        match (part(0), part(1), part(2)) {
            (Some(Node::Text(tag)), Some(Node::Global(kind)), Some(Node::Text(key))) if **tag == *"storage" => {
                let (kind, key) = (Arc::clone(kind), Arc::clone(key));
                let kind = match kind.strip_prefix("torch.") {
                    Some(plain) => {
                        self.spend(plain.len())?;
                        Arc::from(plain)
                    }
                    None => kind,
                };
                self.push(Node::Storage(Storage { kind, key }))
            }
            _ => Err("its pickle refers to something outside that is no storage".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> String {
        Pickle::read(bytes).unwrap_err()
    }

    /// `head`, then `piece` so many times, then the end.
    fn repeated(head: &[u8], piece: &[u8], times: usize) -> Vec<u8> {
        let mut bytes = head.to_vec();
        (0..times).for_each(|_| bytes.extend_from_slice(piece));
        bytes.push(b'.');
        bytes
    }

    #[test]
    fn calls_that_copy_a_large_value_again_and_again_are_stopped() {
        // A row of a thousand pairs, kept as 1, then made into dictionaries by five bytes each.
        let mut head = b"\x80\x02K\x01K\x02\x86q\x00]q\x01(".to_vec();
        (0..1000).for_each(|_| head.extend_from_slice(b"h\x00"));
        head.extend_from_slice(b"eccollections\nOrderedDict\nq\x02");
        let call = b"h\x02h\x01\x85R";
        assert!(Pickle::read(&repeated(&head, call, 10)).is_ok());
        assert!(fault(&repeated(&head, call, 3000)).contains("over and over"));
    }

    #[test]
    fn a_name_is_short_and_texts_are_shared() {
        let text = |count: usize| {
            let mut bytes = b"\x80\x04X".to_vec();
            bytes.extend_from_slice(&(count as u32).to_le_bytes());
            bytes.resize(bytes.len() + count, b'a');
            bytes.extend_from_slice(b"\x94");
            bytes
        };
        let name = b"h\x00h\x00\x93";
        assert!(fault(&repeated(&text(4000), name, 1)).contains("endless name"));
        assert!(Pickle::read(&repeated(&text(1000), name, 10)).is_ok());
        assert!(fault(&repeated(&text(1000), name, 3000)).contains("over and over"));
        assert!(fault(&repeated(b"c", b"a", 2000)).contains("endless name"));
        let shared = Pickle::read(&repeated(&text(4000), b"h\x00", 10)).unwrap();
        assert_eq!(shared.nodes.len(), 1);
    }

    #[test]
    fn what_is_kept_and_stacked_has_an_end() {
        assert!(fault(&repeated(b"N", b"\x94", MAX_KEPT + 1)).contains("for later"));
        assert!(fault(&repeated(b"N", b"2", MAX_KEPT + 1)).contains("stacks more"));
        assert!(fault(&repeated(b"N", b"(", MAX_KEPT + 1)).contains("marks"));
        assert!(fault(&repeated(b"", b"N0", MAX_NODES + 1)).contains("builds more"));
    }

    #[test]
    fn long_shapes_are_no_shapes() {
        let reference = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ";
        let tensor = |sides: usize| {
            let mut bytes = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
            bytes.extend_from_slice(reference);
            bytes.extend_from_slice(b"K\0(");
            (0..sides).for_each(|_| bytes.extend_from_slice(b"K\x01"));
            bytes.extend_from_slice(b"tq\x07h\x07\x89NtR.");
            bytes
        };
        let read = Pickle::read(&tensor(8)).unwrap();
        assert!(matches!(read.node(read.root), Node::Tensor(tensor) if &*tensor.storage.kind == "FloatStorage"));
        assert!(fault(&tensor(9)).contains("contradicts itself"));
    }
}
