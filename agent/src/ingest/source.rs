//! Files, folders and standard input to documents.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{IngestError, Place};

/// The path that stands for standard input.
const STDIN: &str = "-";
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// One object's text as a value.
#[derive(Debug)]
pub(super) struct Document {
    pub place: Place,
    pub value: Value,
}

/// Reads every document of `paths`; what cannot be read goes to `errors`.
pub(super) fn read(paths: &[PathBuf], errors: &mut Vec<IngestError>) -> Vec<Document> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path, errors) {
            match text(&file) {
                Ok(text) => split(&file, &text, &mut documents, errors),
                Err(error) => errors.push(IngestError::new(name(&file), format!("cannot be read: {error}"))),
            }
        }
    }
    documents
}

fn name(path: &Path) -> String {
    if path.as_os_str() == STDIN { "standard input".to_owned() } else { path.display().to_string() }
}

fn text(path: &Path) -> std::io::Result<String> {
    if path.as_os_str() == STDIN {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

/// The path itself, or the files below a folder with one of the [`EXTENSIONS`], in the order of their names.
fn files(path: &Path, errors: &mut Vec<IngestError>) -> Vec<PathBuf> {
    if path.as_os_str() == STDIN || !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    if let Err(error) = walk(path, &mut files) {
        errors.push(IngestError::new(path.display(), format!("cannot be read: {error}")));
    } else if files.is_empty() {
        errors.push(IngestError::new(path.display(), "the folder holds no .yaml, .yml or .json file"));
    }
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for path in entries.iter().map(std::fs::DirEntry::path) {
        // Folders that are symbolic links are left out: they may lead back here.
        if path.is_dir() && !path.is_symlink() {
            walk(&path, files)?;
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| EXTENSIONS.contains(&e)) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// JSON is read as JSON: YAML knows no surrogate pairs. Both go through the YAML value, which refuses a key that is
/// there twice.
fn split(file: &Path, text: &str, documents: &mut Vec<Document>, errors: &mut Vec<IngestError>) {
    let mut take = |number: usize, parsed: Result<serde_yaml_ng::Value, String>| {
        let place = Place { file: name(file), document: number + 1, item: None };
        match parsed.and_then(|value| json(value).map_err(|problem| format!("not valid YAML: {problem}"))) {
            Ok(Value::Null) => {}
            Ok(value) => unlist(Document { place, value }, documents, errors),
            Err(problem) => errors.push(IngestError::new(place, problem)),
        }
    };
    if file.extension().is_some_and(|extension| extension == "json") {
        let stream = serde_json::Deserializer::from_str(text).into_iter::<serde_yaml_ng::Value>();
        for (number, parsed) in stream.enumerate() {
            let failed = parsed.is_err();
            take(number, parsed.map_err(|error| format!("not valid JSON: {error}")));
            if failed {
                break;
            }
        }
        return;
    }
    for (number, document) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let parsed = serde_yaml_ng::Value::deserialize(document).and_then(|mut value| {
            value.apply_merge()?;
            Ok(value)
        });
        let failed = parsed.is_err();
        take(number, parsed.map_err(|error| format!("not valid YAML: {error}")));
        // The parser does not find its way behind a syntax error: it would report that one without end.
        if failed {
            break;
        }
    }
}

/// Takes a `kind: List` (or `PodList` and the like) apart.
fn unlist(document: Document, documents: &mut Vec<Document>, errors: &mut Vec<IngestError>) {
    let Document { place, mut value } = document;
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    let Some(item_kind) = kind.strip_suffix("List") else {
        documents.push(Document { place, value });
        return;
    };
    let api_version = value["apiVersion"].clone();
    let items = match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        None | Some(Value::Null) => Vec::new(),
        Some(_) => {
            errors.push(IngestError::new(place, format!("{kind}: items: must be a list of objects")));
            return;
        }
    };
    for (number, mut value) in items.into_iter().enumerate() {
        let place = Place { item: Some(number + 1), ..place.clone() };
        // The items of a typed list need not repeat what they are.
        if let (Some(object), false) = (value.as_object_mut(), item_kind.is_empty()) {
            object.entry("kind").or_insert_with(|| item_kind.into());
            object.entry("apiVersion").or_insert_with(|| api_version.clone());
        }
        unlist(Document { place, value }, documents, errors);
    }
}

/// YAML to the JSON that a client would send: keys become strings, and what JSON cannot say is an error.
fn json(value: serde_yaml_ng::Value) -> Result<Value, String> {
    use serde_yaml_ng::Value as Yaml;
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(bool) => bool.into(),
        Yaml::String(text) => text.into(),
        Yaml::Number(number) => {
            let json = number
                .as_i64()
                .map(Into::into)
                .or_else(|| number.as_u64().map(Into::into))
                .or_else(|| number.as_f64().and_then(serde_json::Number::from_f64));
            Value::Number(json.ok_or_else(|| format!("{number} is no number that JSON knows"))?)
        }
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(json).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = key_text(&key)?;
                let value = json(value)?;
                if object.insert(key.clone(), value).is_some() {
                    return Err(format!("the key \"{key}\" is there twice, keep one"));
                }
            }
            Value::Object(object)
        }
        Yaml::Tagged(tagged) => return Err(format!("the tag {} is not known, leave it out", tagged.tag)),
    })
}

fn key_text(key: &serde_yaml_ng::Value) -> Result<String, String> {
    match key {
        serde_yaml_ng::Value::String(text) => Ok(text.clone()),
        serde_yaml_ng::Value::Bool(bool) => Ok(bool.to_string()),
        serde_yaml_ng::Value::Number(number) => Ok(number.to_string()),
        _ => Err("a key must be a string".to_owned()),
    }
}
