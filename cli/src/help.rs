//! The program's help with its commands in groups, which clap does not support.

use std::fmt::Write as _;

/// The groups, and the commands of each.
const GROUPS: [(&str, &[&str]); 3] = [
    ("Questions", &["who-can", "access", "changes", "status", "dead-letters", "console"]),
    ("Decisions", &["holds", "sync", "forget"]),
    ("Operations", &["verify", "replay", "reset", "acls", "completions", "man"]),
];

/// clap's template with the groups instead of its list of commands.
pub(crate) fn template(commands: &clap::Command) -> String {
    let longest = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or(0);
    let mut groups = String::new();
    for (group, names) in GROUPS {
        let _ = writeln!(groups, "{group}:");
        for name in names {
            let about = commands.find_subcommand(name).and_then(clap::Command::get_about);
            let _ = writeln!(groups, "  {name:<longest$}  {}", about.cloned().unwrap_or_default());
        }
        groups.push('\n');
    }
    format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}\n\n\
         `anthropic-graph COMMAND --help` explains a command.\n"
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::GROUPS;
    use crate::arguments::Arguments;

    /// Longest line of the help (columns).
    const COLUMNS: usize = 96;

    #[test]
    fn each_command_is_in_one_group_on_one_line() {
        let help = Arguments::command().render_help().to_string();
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            let groups = GROUPS.iter().filter(|(_, names)| names.contains(&name)).count();
            assert_eq!(groups, 1, "{name} is in {groups} groups");
            let about = command.get_about().expect("each command says what it does").to_string();
            let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
            let line = line.unwrap_or_else(|| panic!("{name} is not in the help:\n{help}"));
            assert!(line.ends_with(&about) && line.chars().count() <= COLUMNS, "{line:?}");
        }
    }
}
