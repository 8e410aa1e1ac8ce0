//! The objects of a list one by one, while its text comes: a page of 500 policies may be half a gigabyte, and is never
//! held as a whole.

use std::io::{Error, ErrorKind};

/// An object of more JSON than this is no object: etcd holds 1.5 MiB of one, which is a few times as much as JSON.
const LARGEST: usize = 16 << 20;

/// Takes a list apart: what is in `items` object by object, and the rest as a list without items.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// Open brackets and braces around the next byte.
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// The list `items` is open.
    in_items: bool,
    /// The newest text at the first depth: the name of what comes.
    name: Vec<u8>,
    /// The object that is open.
    item: Vec<u8>,
    rest: Vec<u8>,
}

impl Splitter {
    /// Reads on, and hands every object over that ends here.
    ///
    /// # Errors
    /// An object, or what is around them, has no end.
    pub fn read(&mut self, text: &[u8], mut take: impl FnMut(Vec<u8>)) -> Result<(), Error> {
        for &byte in text {
            let in_object = self.in_items && self.depth > 2;
            let ends = self.follow(byte);
            let begins = self.in_items && self.depth > 2;
            let into = if in_object || begins { &mut self.item } else { &mut self.rest };
            // Commas between objects belong to nothing.
            if !(self.in_items && byte == b',' && !in_object) {
                into.push(byte);
            }
            if into.len() > LARGEST {
                let problem = format!("the API server sends more than {LARGEST} bytes of one object");
                return Err(Error::new(ErrorKind::InvalidData, problem));
            }
            if ends {
                take(std::mem::take(&mut self.item));
            }
        }
        Ok(())
    }

    /// The list without its objects.
    pub fn into_rest(self) -> Vec<u8> {
        self.rest
    }

    /// Follows a byte of JSON. True where it ends an object of the list.
    fn follow(&mut self, byte: u8) -> bool {
        if self.in_text {
            self.follow_text(byte);
            return false;
        }
        match byte {
            b'"' => {
                self.in_text = true;
                if self.depth == 1 {
                    self.name.clear();
                }
            }
            b'{' | b'[' => {
                self.in_items |= self.depth == 1 && byte == b'[' && self.name == b"items";
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.in_items &= self.depth >= 2;
                return self.in_items && self.depth == 2;
            }
            _ => {}
        }
        false
    }

    fn follow_text(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_text = false,
            // No name that matters is longer.
            _ if self.depth == 1 && self.name.len() < 16 => self.name.push(byte),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn split(text: &str, pieces: usize) -> (Vec<Value>, Value) {
        let (mut splitter, mut items) = (Splitter::default(), Vec::new());
        for piece in text.as_bytes().chunks(pieces) {
            splitter.read(piece, |item| items.push(serde_json::from_slice(&item).unwrap())).unwrap();
        }
        (items, serde_json::from_slice(&splitter.into_rest()).unwrap())
    }

    #[test]
    fn a_list_comes_apart_wherever_its_text_is_cut() {
        let items = [
            json!({"a": "}],{\"\\", "items": [{"b": [[], {}]}], "c": {"items": []}}),
            json!({}),
            json!({"metadata": {"continue": "not the list's"}}),
        ];
        for list in [
            json!({"kind": "L", "metadata": {"continue": "x", "items": [1]}, "items": items, "z": [{"items": [2]}]}),
            json!({"items": items, "metadata": {"continue": "items"}}),
        ] {
            let text = serde_json::to_string(&list).unwrap();
            let mut rest = list.clone();
            rest["items"] = json!([]);
            for pieces in [1, 2, 3, 7, text.len()] {
                assert_eq!(split(&text, pieces), (items.to_vec(), rest.clone()), "in pieces of {pieces}");
            }
            assert_eq!(split(&serde_json::to_string_pretty(&list).unwrap(), 5).0, items);
        }
        assert_eq!(split(r#"{"metadata":{},"items":null}"#, 4).0, Vec::<Value>::new());
        assert_eq!(split(r#"{"metadata":{},"items":[]}"#, 4).0, Vec::<Value>::new());
    }

    #[test]
    fn what_has_no_end_is_refused() {
        for start in [r#"{"items":[{"a":""#, r#"{"metadata":""#] {
            let mut splitter = Splitter::default();
            splitter.read(start.as_bytes(), |_| {}).unwrap();
            let more = vec![b'x'; 1 << 20];
            let read = (0..17).try_for_each(|_| splitter.read(&more, |_| panic!("no object has ended")));
            assert!(read.unwrap_err().to_string().contains("of one object"));
        }
    }
}
