//! The options of a command that shows what it would delete before it deletes it.

/// Whether to delete, and how to print the result.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Confirmation {
    /// Only show what would be deleted, which is the default without --confirm.
    #[arg(long, conflicts_with = "confirm")]
    dry_run: bool,
    /// Delete it.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Print a JSON line.
    #[arg(long)]
    pub(crate) json: bool,
}
