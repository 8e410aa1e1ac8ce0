//! Objects written straight into etcd: with a status, which no client may give them, and thousands of them in seconds. The
//! API server reads them as it reads its own, and sees them come.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// Where it listens in every namespace that a test starts one in.
pub const ADDRESS: &str = "127.0.0.1:2379";

/// Stores objects by their keys below `/registry/`. `curl` runs curl with these arguments where etcd is.
///
/// # Panics
/// Where a file cannot be written.
pub fn store(objects: &[(String, Value)], curl: impl Fn(&str)) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    objects.chunks(100).for_each(|some| curl(&transaction(some, file.path())));
}

fn transaction(objects: &[(String, Value)], file: &Path) -> String {
    let put = |(key, object): &(String, Value)| {
        let key = BASE64.encode(format!("/registry/{key}"));
        json!({"requestPut": {"key": key, "value": BASE64.encode(object.to_string())}})
    };
    let transaction = json!({"success": objects.iter().map(put).collect::<Vec<_>>()});
    fs::write(file, transaction.to_string()).expect("write a transaction");
    format!("--silent --show-error --fail --data @{} http://{ADDRESS}/v3/kv/txn", file.display())
}
