//! `bulkhead policy template`: policies that most tenants need, written for the namespaces or the tenant that they are
//! asked for.

mod automation;
mod catalogue;
mod parameters;

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::builder::PossibleValuesParser;
use policy::ask::Proposal;
use policy::model::NetworkPolicy;

use crate::cli::print;
use crate::cli::wrap::wrap;
use catalogue::{TEMPLATES, Template};
use parameters::{COMMON, Given, Parameter};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which one
    #[arg(value_parser = PossibleValuesParser::new(TEMPLATES.iter().map(|template| template.name)))]
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    name: Option<String>,
    /// Parameter of the template; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print every template with its parameters
    #[arg(long)]
    list: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let template = TEMPLATES.iter().find(|template| args.name.as_deref() == Some(template.name));
    let Some(template) = template else {
        print(list())?;
        return Ok(ExitCode::SUCCESS);
    };
    print(render(template, &args.set)?)?;
    Ok(ExitCode::SUCCESS)
}

/// YAML: a NetworkPolicy for each namespace that is named, or one object with which Capsule puts it into all.
fn render(template: &Template, set: &[String]) -> anyhow::Result<String> {
    let given = Given::parse(template.name, template.parameters, set)?;
    let policy = (template.build)(&given)?;
    let mut text = String::new();
    let command = set.iter().fold(template.name.to_owned(), |command, set| format!("{command} --set {set}"));
    let _ = writeln!(text, "# {}", wrap(template.about, 0).replace('\n', "\n# "));
    let _ = writeln!(text, "# Written by: bulkhead policy template {}", command.replace(['\n', '\r'], " "));
    let namespaces = given.namespaces()?;
    if namespaces.is_empty() {
        let Some(tenant) = given.tenant()? else {
            bail!(
                "{}: name the namespaces with --set namespaces=A,B, or a Capsule Tenant with --set tenant=NAME",
                template.name
            );
        };
        text += &automation::global_tenant_resource(&tenant, &policy)?;
        return Ok(text);
    }
    for (number, namespace) in namespaces.into_iter().enumerate() {
        let policy = NetworkPolicy { namespace, ..policy.clone() };
        let yaml = serde_yaml_ng::to_string(&Proposal::NetworkPolicy(policy)).context("cannot write YAML")?;
        text += if number == 0 { "" } else { "---\n" };
        text += &yaml;
    }
    Ok(text)
}

fn list() -> String {
    let mut text = String::new();
    for template in &TEMPLATES {
        let _ = writeln!(text, "{}", template.name);
        let _ = writeln!(text, "{}", wrap(&format!("  {}", template.about), 2));
        template.parameters.iter().for_each(|parameter| text.push_str(&parameter_line(parameter)));
        text.push('\n');
    }
    let _ = writeln!(text, "every template");
    COMMON.iter().for_each(|parameter| text.push_str(&parameter_line(parameter)));
    text
}

fn parameter_line(Parameter { name, default, about }: &Parameter) -> String {
    let default = match default {
        None => " (required)".to_owned(),
        Some("") => String::new(),
        Some(default) => format!(" [default: {default}]"),
    };
    format!("{}\n", wrap(&format!("    {name:<12} {about}{default}"), 17))
}
