//! Where the kernel's structures have their fields: read from its BTF (`Documentation/bpf/btf.rst`).

use std::fs;

use anyhow::{Context, Result, bail, ensure};

const FOLDER: &str = "/sys/kernel/btf";
const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;

/// The types of the kernel, and of one of its modules where those asked for are in there.
pub(super) struct Types {
    types: Vec<Type>,
}

/// A structure or union; any other type has no name here.
#[derive(Clone, Default)]
struct Type {
    name: String,
    size: u32,
    members: Vec<Member>,
}

#[derive(Clone)]
struct Member {
    name: String,
    kind: u32,
    /// In bits.
    offset: u32,
}

impl Types {
    /// # Errors
    /// The kernel does not describe its types, or in a way that this does not read.
    pub(super) fn of_kernel() -> Result<Self> {
        Self::read(None)
    }

    /// # Errors
    /// As [`Self::of_kernel`].
    pub(super) fn of_kernel_with(module: &str) -> Result<Self> {
        Self::read(Some(module))
    }

    fn read(module: Option<&str>) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("{FOLDER}/{name}");
            fs::read(&path).with_context(|| format!("cannot read {path}"))
        };
        let kernel = read("vmlinux")?;
        let base = Section::of(&kernel)?;
        let mut types = vec![Type::default()];
        base.read_types(&base, &mut types)?;
        // Built in, it has no types of its own.
        if let Some(module) = module
            && fs::exists(format!("{FOLDER}/{module}"))?
        {
            let module = read(module)?;
            Section::of(&module)?.read_types(&base, &mut types)?;
        }
        Ok(Self { types })
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
        let of = |structure: &Type| self.find(structure, field);
        let bits = self.named(structure).find_map(of);
        let bits = bits.with_context(|| format!("the kernel's {structure} has no field {field}"))?;
        Ok((bits / 8, bits % 8))
    }

    /// # Errors
    /// There is no such structure.
    pub(super) fn size(&self, structure: &str) -> Result<u32> {
        let found = self.named(structure).next().with_context(|| format!("the kernel has no {structure}"))?;
        Ok(found.size)
    }

    fn named(&self, structure: &str) -> impl Iterator<Item = &Type> {
        self.types.iter().filter(move |it| it.name == structure)
    }

    fn find(&self, structure: &Type, field: &str) -> Option<u32> {
        structure.members.iter().find_map(|member| {
            if member.name == field {
                return Some(member.offset);
            }
            let part = self.types.get(member.kind as usize).filter(|_| member.name.is_empty())?;
            Some(member.offset + self.find(part, field)?)
        })
    }
}

/// A file's section of types, and its strings.
struct Section<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Section<'a> {
    fn of(file: &'a [u8]) -> Result<Self> {
        let header: Vec<u32> = (0..6).map(|word| word_at(file, word * 4)).collect::<Result<_>>()?;
        ensure!(header[0] as u16 == MAGIC, "the kernel's types are in a format that is not known");
        let [length, type_at, type_length, string_at, string_length] = [1, 2, 3, 4, 5].map(|at| header[at] as usize);
        let part =
            |at: usize, size: usize| file.get(length + at..length + at + size).context("the kernel's types are cut");
        Ok(Self { types: part(type_at, type_length)?, strings: part(string_at, string_length)? })
    }

    /// Appends the section's types. A module's numbers and strings go on where the kernel's end.
    fn read_types(&self, base: &Section<'_>, into: &mut Vec<Type>) -> Result<()> {
        let mut at = 0;
        while at < self.types.len() {
            let [name, info, size] = [0, 4, 8].map(|field| word_at(self.types, at + field));
            let (name, info, size) = (name?, info?, size?);
            at += 12;
            let count = (info & 0xffff) as usize;
            let kind = info >> 24 & 31;
            let mut members = Vec::new();
            if matches!(kind, STRUCT | UNION) {
                for member in 0..count {
                    members.push(self.member(base, at + member * 12, info >> 31 == 1)?);
                }
            }
            at += trailer(kind, count)?;
            let name = if members.is_empty() { String::new() } else { self.text(base, name)? };
            into.push(Type { name, size, members });
        }
        Ok(())
    }

    fn member(&self, base: &Section<'_>, at: usize, has_bit_fields: bool) -> Result<Member> {
        let (name, kind, offset) =
            (word_at(self.types, at)?, word_at(self.types, at + 4)?, word_at(self.types, at + 8)?);
        let offset = if has_bit_fields { offset & 0x00ff_ffff } else { offset };
        Ok(Member { name: self.text(base, name)?, kind, offset })
    }

    fn text(&self, base: &Section<'_>, at: u32) -> Result<String> {
        let at = at as usize;
        let bytes = match at.checked_sub(base.strings.len()) {
            Some(own) if !std::ptr::eq(self.strings, base.strings) => self.strings.get(own..),
            _ => base.strings.get(at..),
        };
        let bytes = bytes.context("the kernel's types are cut")?;
        let end = bytes.iter().position(|&byte| byte == 0).context("the kernel's types are cut")?;
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
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
