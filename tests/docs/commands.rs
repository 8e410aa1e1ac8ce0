//! The commands, as clap knows them.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

use super::{code, row};

/// A section for each command that can be run.
pub fn write(text: &mut String, root: &mut Command) {
    // What is declared for all subcommands reaches them now.
    root.build();
    section(text, root);
}

fn section(text: &mut String, command: &Command) {
    let subcommands: Vec<&Command> = command.get_subcommands().filter(|command| command.get_name() != "help").collect();
    if !subcommands.is_empty() {
        subcommands.into_iter().for_each(|command| section(text, command));
        return;
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(text, "\n### {}\n\n{about}: `{}`\n", name(command), usage.trim_start_matches("Usage: "));
    row(text, ["argument", "", "default"]);
    row(text, ["---", "---", "---"]);
    for argument in command.get_arguments().filter(|argument| !is_common(argument)) {
        let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = if default.is_empty() { String::new() } else { code(default.join(" ")) };
        row(text, [&code(form(argument)), &meaning(argument), &default]);
    }
}

fn name(command: &Command) -> &str {
    command.get_bin_name().unwrap_or(command.get_name())
}

/// `--help` and `--version` are everywhere.
fn is_common(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
}

/// `-f, --filename PATH`, or `NAME` for what has no flag.
fn form(argument: &Arg) -> String {
    let short = argument.get_short().map(|letter| format!("-{letter}"));
    let long = argument.get_long().map(|word| format!("--{word}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    let value = argument.get_value_names().unwrap_or_default().join(" ");
    [flags.join(", "), value].join(" ").trim().to_owned()
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string);
    let choices = argument.get_possible_values();
    let choices: Vec<String> = choices.iter().map(|choice| code(choice.get_name())).collect();
    let choices = if choices.is_empty() { None } else { Some(choices.join(", ")) };
    help.into_iter().chain(choices).collect::<Vec<_>>().join(": ")
}
