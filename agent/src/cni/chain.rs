//! The plugin in the node's network configuration: put behind the others, and taken out again.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::PLUGIN;
use crate::files::{remove, replace};

/// Where the node's container runtime looks for networks and for plugins.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Folders {
    /// Chain the CNI plugin: folder of the node's network configuration (`/etc/cni/net.d`)
    #[arg(long = "cni-conf-dir", value_name = "DIR", requires = "plugins", required = false)]
    pub configuration: PathBuf,
    /// Where the plugin is put then (`/opt/cni/bin`)
    #[arg(long = "cni-bin-dir", value_name = "DIR", requires = "configuration", required = false)]
    pub plugins: PathBuf,
}

/// Names the plugin last in the list that the runtime uses, which is the first file by name, once this program is among
/// the plugins. `is_put`: an earlier call has put it there, so that what is there is no other version. Returns the file of
/// the list where it has been changed.
///
/// # Errors
/// There is no list, it cannot be read, or a folder cannot be written.
pub fn chain(folders: &Folders, is_put: bool) -> Result<Option<PathBuf>> {
    let Some(path) = networks(&folders.configuration)?.into_iter().next() else {
        bail!("{} holds no network configuration yet: install a CNI", folders.configuration.display());
    };
    let mut network = read(&path)?;
    let Some(plugins) = network.get_mut("plugins").and_then(Value::as_array_mut) else {
        bail!("{} holds a plugin and no list of them: write it as a .conflist with `plugins`", path.display());
    };
    // A runtime that meets the name must find the program.
    if !is_put || !folders.plugins.join(PLUGIN).exists() {
        put_program(folders)?;
    }
    if plugins.iter().any(is_ours) {
        return Ok(None);
    }
    plugins.push(json!({"type": PLUGIN}));
    write(&path, &network)?;
    Ok(Some(path))
}

/// Takes the plugin out of every list, and then away.
///
/// # Errors
/// A file cannot be read or written.
pub fn unchain(folders: &Folders) -> Result<()> {
    for path in networks(&folders.configuration)? {
        let mut network = read(&path)?;
        let Some(plugins) = network.get_mut("plugins").and_then(Value::as_array_mut) else { continue };
        let before = plugins.len();
        plugins.retain(|plugin| !is_ours(plugin));
        if plugins.len() != before {
            write(&path, &network)?;
        }
    }
    remove(&folders.plugins.join(PLUGIN))
}

/// What a runtime takes for networks, in its order.
fn networks(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = paths.with_context(|| format!("cannot read {}", folder.display()))?;
    let is_network =
        |path: &PathBuf| path.extension().is_some_and(|it| it == "conflist" || it == "conf" || it == "json");
    paths.retain(is_network);
    paths.sort();
    Ok(paths)
}

fn is_ours(plugin: &Value) -> bool {
    plugin["type"] == PLUGIN
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}

fn write(path: &Path, network: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(network).context("cannot write a network as JSON")?;
    replace(path, text.as_bytes())
}

/// Puts this very program among the plugins; a runtime that starts it meanwhile finds the old file or the new one.
///
/// # Errors
/// The folder cannot be written.
fn put_program(folders: &Folders) -> Result<()> {
    let own = std::env::current_exe().context("cannot find this program's file")?;
    let program = folders.plugins.join(PLUGIN);
    let new = program.with_extension("new");
    let put = || {
        fs::copy(&own, &new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
        fs::rename(&new, &program)
    };
    put().with_context(|| format!("cannot write {}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp"}, {"type": "portmap"}]}"#;

    struct Node {
        folder: tempfile::TempDir,
        folders: Folders,
    }

    fn node(files: &[(&str, &str)]) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let [configuration, plugins] = ["net.d", "bin"].map(|name| folder.path().join(name));
        for path in [&configuration, &plugins] {
            fs::create_dir(path).unwrap();
        }
        for (name, text) in files {
            fs::write(configuration.join(name), text).unwrap();
        }
        Node { folder, folders: Folders { configuration, plugins } }
    }

    impl Node {
        fn types(&self, file: &str) -> Vec<String> {
            let network = read(&self.folders.configuration.join(file)).unwrap();
            let plugins = network["plugins"].as_array().unwrap();
            plugins.iter().map(|plugin| plugin["type"].as_str().unwrap().to_owned()).collect()
        }
    }

    #[test]
    fn the_plugin_is_last_in_the_list_that_counts_and_nowhere_else() {
        let node = node(&[("10-pods.conflist", LIST), ("99-other.conflist", LIST), ("00-notes.txt", "no network")]);
        let chained = chain(&node.folders, false).unwrap();
        assert_eq!(chained, Some(node.folders.configuration.join("10-pods.conflist")));
        assert_eq!(node.types("10-pods.conflist"), ["ptp", "portmap", PLUGIN]);
        assert_eq!(node.types("99-other.conflist"), ["ptp", "portmap"]);
        let program = node.folders.plugins.join(PLUGIN);
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(chain(&node.folders, true).unwrap(), None, "it is there already");

        // A CNI that writes its file again leaves us out.
        fs::write(node.folders.configuration.join("10-pods.conflist"), LIST).unwrap();
        assert!(chain(&node.folders, true).unwrap().is_some());
        assert_eq!(node.types("10-pods.conflist"), ["ptp", "portmap", PLUGIN]);
    }

    #[test]
    fn the_program_is_put_where_another_version_is_and_where_it_has_gone() {
        let node = node(&[("10-pods.conflist", LIST)]);
        let program = node.folders.plugins.join(PLUGIN);
        let own = fs::metadata(std::env::current_exe().unwrap()).unwrap().len();
        let size = || fs::metadata(&program).unwrap().len();
        fs::write(&program, "another version").unwrap();
        chain(&node.folders, false).unwrap();
        assert_eq!(size(), own);
        fs::remove_file(&program).unwrap();
        chain(&node.folders, true).unwrap();
        assert_eq!(size(), own);
    }

    #[test]
    fn taken_out_it_leaves_what_was_there() {
        let node = node(&[("10-pods.conflist", LIST)]);
        chain(&node.folders, false).unwrap();
        unchain(&node.folders).unwrap();
        let now = read(&node.folders.configuration.join("10-pods.conflist")).unwrap();
        assert_eq!(now, serde_json::from_str::<Value>(LIST).unwrap());
        assert_eq!(fs::read_dir(&node.folders.plugins).unwrap().count(), 0);
        assert_eq!(fs::read_dir(&node.folders.configuration).unwrap().count(), 1);
        unchain(&node.folders).expect("twice");
        drop(node.folder);
        unchain(&node.folders).expect("no folders");
    }

    #[test]
    fn what_is_no_list_is_refused_and_left_alone() {
        let plugin = r#"{"cniVersion": "1.0.0", "name": "pods", "type": "ptp"}"#;
        for (files, what) in [
            (&[("10-pods.conf", plugin)][..], "write it as a .conflist"),
            (&[("10-pods.conflist", "{")], "is no JSON"),
            (&[], "no network configuration yet"),
        ] {
            let node = node(files);
            let refused = format!("{:#}", chain(&node.folders, false).unwrap_err());
            assert!(refused.contains(what), "{refused}");
            for (name, text) in files {
                assert_eq!(fs::read_to_string(node.folders.configuration.join(name)).unwrap(), *text);
            }
            assert_eq!(fs::read_dir(&node.folders.plugins).unwrap().count(), 0);
        }
    }
}
