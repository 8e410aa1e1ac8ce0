//! Writes docs/reference.md from what the program itself knows: its commands, the fields of its configuration file,
//! its reasons and its metrics. Run it with `cargo xtask docs`.

mod commands;
#[cfg(test)]
mod threat_model;

use std::fmt::{Display, Write};
use std::path::{Path, PathBuf};

use agent::cli::MANIFEST_RULE;
use agent::config::{FIELDS, Field};
use agent::kernel::MapCapacities;
use agent::serve::{METRICS, Metric};
use anyhow::{Context, Result};
use common::abi::{AllowReason, DropReason};
use policy::ask::{LINT_RULES, LintRule};

fn main() -> Result<()> {
    let path = path();
    std::fs::write(&path, reference()?).with_context(|| format!("cannot write {}", path.display()))
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md")
}

fn reference() -> Result<String> {
    let mut text = String::from(
        "# Reference\n\nWritten by `cargo xtask docs` from the program itself; a test says when it is out of date.\n\n\
         ## Commands\n\nExit codes: 0 yes or done, 1 no (a drop, a difference), 2 an error.\n",
    );
    commands::write(&mut text, &mut agent::cli::commands());
    text.push_str(
        "\n## Configuration file\n\nYAML, given with `--config`. Every field may be left out; one that is not listed \
         is an error.\n\n",
    );
    fields(&mut text)?;
    text.push_str("\n## Lint\n\nWhat `bulkhead policy lint` looks for.\n\n");
    lint(&mut text);
    text.push_str(
        "\n## Reasons\n\nThe same in JSON, events and counters. An end that is not \
                   judged, an address or a pod in its node's network, is `not_judged`.\n\n",
    );
    row(&mut text, ["allowed because", ""]);
    row(&mut text, ["---", "---"]);
    for reason in AllowReason::ALL {
        row(&mut text, [code(reason.name()).as_str(), reason.about()]);
    }
    text.push('\n');
    row(&mut text, ["dropped because", ""]);
    row(&mut text, ["---", "---"]);
    for reason in DropReason::ALL {
        row(&mut text, [code(reason.name()).as_str(), reason.about()]);
    }
    text.push_str(
        "\n## Metrics\n\nAt `/metrics` of every agent, by default on port 9469 of its node. A tenant is empty for the \
         platform and for what is outside the cluster.\n\n",
    );
    row(&mut text, ["metric", "kind", "labels", ""]);
    row(&mut text, ["---", "---", "---", "---"]);
    for Metric { name, kind, labels, about } in METRICS {
        let labels: Vec<String> = labels.iter().map(code).collect();
        row(&mut text, [&code(format_args!("bulkhead_{name}")), kind.name(), &labels.join(" "), about]);
    }
    Ok(text)
}

fn lint(text: &mut String) {
    row(text, ["rule", ""]);
    row(text, ["---", "---"]);
    let (manifest, about) = MANIFEST_RULE;
    row(text, [code(manifest).as_str(), about]);
    for LintRule { name, about, .. } in &LINT_RULES {
        row(text, [code(name).as_str(), about]);
    }
}

fn fields(text: &mut String) -> Result<()> {
    let sizes = MapCapacities::defaults()?;
    row(text, ["field", "values", "default", ""]);
    row(text, ["---", "---", "---", "---"]);
    for Field { path, values, default, about } in FIELDS {
        let default = match default {
            Some(default) => default.to_owned(),
            None => sizes.get(path).with_context(|| format!("no map has the size {path}"))?.to_string(),
        };
        row(text, [code(path).as_str(), values, &code(&default), about]);
    }
    Ok(())
}

fn code(text: impl Display) -> String {
    format!("`{text}`")
}

/// A row of a table; bars in the cells do not end them.
fn row<const N: usize>(text: &mut String, cells: [&str; N]) {
    let _ = writeln!(text, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_current() {
        let written = std::fs::read_to_string(path()).expect("docs/reference.md");
        assert!(written == reference().expect("the reference"), "docs/reference.md is not: run `cargo xtask docs`");
    }

    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_are_served() {
        for file in ["alerts.yaml", "dashboard.json"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/bulkhead/files").join(file);
            let text = std::fs::read_to_string(path).expect(file);
            let read: serde_json::Value = serde_yaml_ng::from_str(&text).expect(file);
            assert!(read.is_object(), "{file}");
            let asked: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let asked = asked.iter().filter_map(|word| word.strip_prefix("bulkhead_")).collect::<Vec<_>>();
            assert!(asked.len() > 5, "{file}: {asked:?}");
            for name in asked {
                let name = name.strip_suffix("_bucket").unwrap_or(name);
                assert!(METRICS.iter().any(|metric| metric.name == name), "{file}: bulkhead_{name} is not served");
            }
        }
    }
}
