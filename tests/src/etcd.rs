//! Objects written straight into etcd: with a status, which no client may give them, and thousands of them in seconds. The
//! API server reads them as it reads its own, and sees them come.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// Where it listens in every namespace that a test starts one in.
pub const ADDRESS: &str = "127.0.0.1:2379";

/// What etcd takes at once: 128 operations, and 1.5 MiB where it is not told otherwise (`--max-request-bytes`).
const MOST_OBJECTS: usize = 100;
const MOST_BYTES: usize = 1 << 20;

/// Stores objects by their keys below `/registry/`. `curl` runs curl with these arguments where etcd is.
///
/// # Panics
/// Where a file cannot be written.
pub fn store(objects: &[(String, Value)], curl: impl Fn(&str)) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (mut puts, mut bytes) = (Vec::new(), 0);
    for (key, object) in objects {
        let object = object.to_string();
        if puts.len() == MOST_OBJECTS || !puts.is_empty() && bytes + object.len() > MOST_BYTES {
            curl(&transaction(&std::mem::take(&mut puts), file.path()));
            bytes = 0;
        }
        bytes += object.len();
        let key = BASE64.encode(format!("/registry/{key}"));
        puts.push(json!({"requestPut": {"key": key, "value": BASE64.encode(object)}}));
    }
    curl(&transaction(&puts, file.path()));
}

fn transaction(puts: &[Value], file: &Path) -> String {
    let transaction = json!({"success": puts});
    fs::write(file, transaction.to_string()).expect("write a transaction");
    format!("--silent --show-error --fail --data @{} http://{ADDRESS}/v3/kv/txn", file.display())
}
