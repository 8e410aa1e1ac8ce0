//! The options of `cargo xtask cluster`, as the scripts in tests/cluster/env read them.

use anyhow::{Context, Result, bail};

/// Each option, and the variable that the scripts know it by. They say what is wrong with a value.
const OPTIONS: [(&str, &str); 4] =
    [("--name", "CLUSTER_NAME"), ("--nodes", "CLUSTER_NODES"), ("--cni", "CLUSTER_CNI"), ("--proxy", "CLUSTER_PROXY")];

/// What was asked for, options first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Variables for the scripts.
    pub variables: Vec<(&'static str, String)>,
    pub capsule: bool,
    /// Of `test`: optimised, as what is shipped.
    pub release: bool,
    /// What is no option: for `exec`, where and what; for `test`, which tests.
    pub rest: Vec<String>,
}

impl Options {
    /// Options end where the first word begins that is none: a command's own options are left to it.
    ///
    /// # Errors
    /// An option that does not exist, or one without its value.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if let Some((_, variable)) = OPTIONS.iter().find(|(name, _)| name == word) {
                let value = words.next().with_context(|| format!("{word} needs a value"))?;
                options.variables.push((variable, value.clone()));
            } else if word == "--capsule" {
                options.capsule = true;
            } else if word == "--release" {
                options.release = true;
            } else if word.starts_with('-') {
                bail!("there is no option {word}");
            } else {
                options.rest.push(word.clone());
                options.rest.extend(words.cloned());
                break;
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_commands_own_options_are_left_to_it() {
        let options = parse("--name x node1 kubectl get --nodes 3").unwrap();
        assert_eq!(options.variables, [("CLUSTER_NAME", "x".to_owned())]);
        assert_eq!(options.rest, ["node1", "kubectl", "get", "--nodes", "3"]);
    }

    #[test]
    fn what_is_no_option_and_what_lacks_its_value_is_refused() {
        assert!(parse("--node 3").is_err() && parse("--nodes").is_err());
    }
}
