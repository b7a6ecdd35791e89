//! docs/commands.md is what the programs say of themselves.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use crate::generated::check_behind_mark;

#[test]
fn the_page_of_commands_is_what_the_programs_say() {
    let mut page = String::new();
    for mut program in programs() {
        program.build();
        let name = program.get_name().to_owned();
        document(&mut page, &program, &name);
    }
    check_behind_mark("docs/commands.md", page.trim_start(), None);
}

/// The command lines of the programs that people use.
pub(crate) fn programs() -> [Command; 4] {
    [
        cli::arguments::Arguments::command(),
        producer::cli::Arguments::command(),
        processor::cli::Arguments::command(),
        sink::cli::Arguments::command(),
    ]
}

/// A section for the command, then one for each of its commands.
fn document(page: &mut String, command: &Command, name: &str) {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let (first, rest) = about.split_once("\n\n").unwrap_or((&about, ""));
    let commands: Vec<&Command> = command.get_subcommands().collect();
    let mut text = |line: &str| writeln!(page, "{line}").expect("writing to a String cannot fail");
    text(&format!(
        "\n{} {name}\n\n{}.",
        if name.contains(' ') { "###" } else { "##" },
        first.trim_end_matches('.')
    ));
    let arguments: Vec<&Arg> = command.get_arguments().filter(|it| is_its_own(it)).collect();
    if commands.is_empty() {
        text(&format!("\n    {name}{}", arguments.iter().map(|it| used(it)).collect::<String>()));
    }
    if !rest.is_empty() {
        text(&format!("\n{rest}"));
    }
    if !arguments.is_empty() {
        text("\n| option | meaning |\n|---|---|");
        for argument in arguments {
            let help =
                argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
            let help = help.replace("\n\n", " ").replace('|', "\\|");
            text(&format!("| `{}` | {help} |", shown(argument).replace('|', "\\|")));
        }
    }
    for command in commands {
        document(page, command, &format!("{name} {}", command.get_name()));
    }
}

/// Arguments of all commands and hidden ones are left out.
fn is_its_own(argument: &Arg) -> bool {
    !argument.is_hide_set() && !["help", "version", "config"].contains(&argument.get_id().as_str())
}

fn used(argument: &Arg) -> String {
    let shown = shown(argument);
    if argument.is_required_set() { format!(" {shown}") } else { format!(" [{shown}]") }
}

fn shown(argument: &Arg) -> String {
    let names: Vec<String> =
        argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let values = if argument.get_action().takes_values() { names.join(" ") } else { String::new() };
    match argument.get_long() {
        Some(long) if values.is_empty() => format!("--{long}"),
        Some(long) => format!("--{long} {values}"),
        None => values,
    }
}
