//! Where the kernel's structures have their fields: read from its BTF (`Documentation/bpf/btf.rst`).

use std::fs;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

const FOLDER: &str = "/sys/kernel/btf";
const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
/// Bytes of a type in front of what its kind adds, and of a member.
const HEAD: usize = 12;
const MEMBER: usize = 12;

/// The types of the kernel, and of one of its modules where those asked for are in there. Only their places are noted:
/// a kernel has 150,000, and a few are asked for.
pub(super) struct Types {
    /// The kernel's, then the module's.
    sections: Vec<Section>,
}

impl Types {
    /// # Errors
    /// The kernel does not describe its types, or in a way that this does not read.
    pub(super) fn of_kernel() -> Result<Self> {
        Ok(Self { sections: vec![Section::read("vmlinux", None)?] })
    }

    /// # Errors
    /// As [`Self::of_kernel`].
    pub(super) fn of_kernel_with(module: &str) -> Result<Self> {
        let mut types = Self::of_kernel()?;
        // Built in, it has no types of its own.
        if fs::exists(format!("{FOLDER}/{module}"))? {
            types.sections.push(Section::read(module, types.sections.first())?);
        }
        Ok(types)
    }

    /// The offset in bytes of a field, which may lie in a nameless part.
    ///
    /// # Errors
    /// There is no such structure or field, or the field is no whole number of bytes.
    pub(super) fn offset(&self, structure: &str, field: &str) -> Result<u32> {
        let (offset, bits) = self.bits(structure, field)?;
        ensure!(bits == 0, "{field} of the kernel's {structure} is no whole number of bytes");
        Ok(offset)
    }

    /// The offset of a bit field: in bytes, and in bits from the lowest of that byte.
    ///
    /// # Errors
    /// There is no such structure or field.
    pub(super) fn bits(&self, structure: &str, field: &str) -> Result<(u32, u32)> {
        for found in self.named(structure) {
            if let Some(bits) = self.find(found?, field)? {
                return Ok((bits / 8, bits % 8));
            }
        }
        bail!("the kernel's {structure} has no field {field}")
    }

    /// # Errors
    /// There is no such structure.
    pub(super) fn size(&self, structure: &str) -> Result<u32> {
        let found = self.named(structure).next().with_context(|| format!("the kernel has no {structure}"))??;
        Ok(found.size)
    }

    fn named(&self, structure: &str) -> impl Iterator<Item = Result<Type>> {
        let count = self.sections.last().map_or(0, Section::end);
        (1..count).filter_map(move |number| match self.structure(number) {
            Ok(found) => found.filter(|it| self.says(it.name, structure)).map(Ok),
            Err(error) => Some(Err(error)),
        })
    }

    /// A structure or union by its number; none where that is another kind of type.
    fn structure(&self, number: u32) -> Result<Option<Type>> {
        let Some(section) = self.sections.iter().rev().find(|section| section.first <= number) else {
            return Ok(None);
        };
        let place = section.places.get((number - section.first) as usize);
        section.structure(*place.context("the kernel's types are cut")? as usize)
    }

    /// The offset in bits.
    fn find(&self, Type { at, count, has_bit_fields, .. }: Type, field: &str) -> Result<Option<u32>> {
        for member in 0..count {
            let section = &self.sections[at.0];
            let [name, kind, offset] = section.words(at.1 + HEAD + member * MEMBER)?;
            let offset = if has_bit_fields { offset & 0x00ff_ffff } else { offset };
            if self.says(name, field) {
                return Ok(Some(offset));
            }
            if name == 0
                && let Some(part) = self.structure(kind)?
                && let Some(inner) = self.find(part, field)?
            {
                return Ok(Some(offset + inner));
            }
        }
        Ok(None)
    }

    /// Whether the string at a place is this one. A module's go on where the kernel's end.
    fn says(&self, at: u32, text: &str) -> bool {
        let section = self.sections.iter().rev().find(|section| section.first_string <= at);
        section.is_some_and(|section| {
            let from = section.strings.start + (at - section.first_string) as usize;
            let bytes = section.file.get(from..section.strings.end).unwrap_or_default();
            bytes.strip_prefix(text.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
        })
    }
}

/// A structure or union.
#[derive(Clone, Copy)]
struct Type {
    /// The number of its section, and its place there.
    at: (usize, usize),
    name: u32,
    size: u32,
    count: usize,
    has_bit_fields: bool,
}

/// A file of types.
struct Section {
    file: Vec<u8>,
    /// Its number.
    number: usize,
    strings: Range<usize>,
    first_string: u32,
    /// The number of its first type: 0 is `void`, which has no place.
    first: u32,
    /// Of each type, in the file.
    places: Vec<u32>,
}

impl Section {
    /// Those of a module go on where those of its base end.
    fn read(name: &str, base: Option<&Self>) -> Result<Self> {
        let path = format!("{FOLDER}/{name}");
        let file = fs::read(&path).with_context(|| format!("cannot read {path}"))?;
        let header: Vec<u32> = (0..6).map(|word| word_at(&file, word * 4)).collect::<Result<_>>()?;
        ensure!(header[0] as u16 == MAGIC, "the kernel's types are in a format that is not known");
        let [length, type_at, type_length, string_at, string_length] = [1, 2, 3, 4, 5].map(|at| header[at] as usize);
        let (types, strings) = (length + type_at, length + string_at);
        let strings = strings..strings + string_length;
        ensure!(strings.end <= file.len() && types + type_length <= file.len(), "the kernel's types are cut");
        let places = places(&file, types..types + type_length)?;
        Ok(Self {
            file,
            number: base.map_or(0, |base| base.number + 1),
            strings,
            first_string: base.map_or(0, |base| base.first_string + base.strings.len() as u32),
            first: base.map_or(1, Self::end),
            places,
        })
    }

    /// The number behind that of its last type.
    fn end(&self) -> u32 {
        self.first + self.places.len() as u32
    }

    fn structure(&self, at: usize) -> Result<Option<Type>> {
        let [name, info, size] = self.words(at)?;
        let found = Type {
            at: (self.number, at),
            name,
            size,
            count: (info & 0xffff) as usize,
            has_bit_fields: info >> 31 == 1,
        };
        // Without members it is a name that is described elsewhere.
        Ok((matches!(kind(info), STRUCT | UNION) && found.count > 0).then_some(found))
    }

    fn words(&self, at: usize) -> Result<[u32; 3]> {
        Ok([word_at(&self.file, at)?, word_at(&self.file, at + 4)?, word_at(&self.file, at + 8)?])
    }
}

fn places(file: &[u8], types: Range<usize>) -> Result<Vec<u32>> {
    let mut places = Vec::new();
    let mut at = types.start;
    while at < types.end {
        places.push(u32::try_from(at)?);
        let info = word_at(file, at + 4)?;
        at += HEAD + trailer(kind(info), (info & 0xffff) as usize)?;
    }
    Ok(places)
}

const fn kind(info: u32) -> u32 {
    info >> 24 & 31
}

/// Bytes behind the first twelve of a type.
fn trailer(kind: u32, count: usize) -> Result<usize> {
    Ok(match kind {
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7 | 8 | 9 | 10 | 11 | 12 | 16 | 18 => 0,
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => count * 12,
        // ENUM, FUNC_PROTO
        6 | 13 => count * 8,
        _ => bail!("the kernel's types have the kind {kind}, which is not known"),
    })
}

fn word_at(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).context("the kernel's types are cut")?;
    Ok(u32::from_le_bytes(word))
}
