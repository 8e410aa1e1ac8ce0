//! Bad input, file by file: `bad-input/NAME.yaml` (or `.json`) is refused with exactly what `bad-input/NAME.error` says.

use std::path::{Path, PathBuf};

use agent::ingest::load;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("worlds/bad-input")
}

#[test]
fn every_bad_file_is_refused_in_its_own_words() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the folder of bad files")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "error"))
        .collect();
    files.sort();
    assert!(files.len() >= 25, "only {} bad files are left", files.len());
    let wrong: Vec<String> = files.iter().filter_map(|file| difference(file)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What was said, and what should have been; `None` where they agree.
fn difference(file: &Path) -> Option<String> {
    let expected = std::fs::read_to_string(file.with_extension("error")).unwrap_or_default();
    let said = match load(&[file.to_owned()]) {
        Ok(_) => "nothing was wrong".to_owned(),
        Err(errors) => errors.to_string().replace(&format!("{}/", folder().display()), ""),
    };
    (said != expected.trim_end()).then(|| format!("{} says:\n{said}\ninstead of:\n{expected}", file.display()))
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let empty = folder.path().to_owned();
    let missing = empty.join("none.yaml");
    let errors = load(&[empty.clone(), missing.clone()]).expect_err("nothing to read").to_string();
    let expected = format!(
        "{}: the folder holds no .yaml, .yml or .json file\n{}: cannot be read: No such file or directory (os error 2)",
        empty.display(),
        missing.display()
    );
    assert_eq!(errors, expected);
}

#[test]
fn the_same_object_twice_names_both_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["a.yaml", "b.yaml"] {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: p}}";
        std::fs::write(folder.path().join(name), text).expect("a file that can be written");
    }
    let errors = load(&[folder.path().to_owned()]).expect_err("a pod twice").to_string();
    let at = folder.path().display();
    let expected =
        format!("{at}/b.yaml: document 1: Pod default/p: is also in {at}/a.yaml: document 1, keep one of them");
    assert_eq!(errors, expected);
}

#[test]
fn annotations_have_a_size() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("a.json");
    let pod = |size: usize| {
        let value = "x".repeat(size);
        serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": {"a": value}}})
    };
    std::fs::write(&file, pod(262_143).to_string()).expect("a file that can be written");
    assert!(load(std::slice::from_ref(&file)).is_ok());
    std::fs::write(&file, pod(262_144).to_string()).expect("a file that can be written");
    let errors = load(&[file]).expect_err("one byte too many").to_string();
    assert!(errors.ends_with("metadata.annotations: hold 262145 bytes, 262144 are possible"), "{errors}");
}
