//! The options of a command that shows what it deletes before it does.

/// Whether to do it, and how to tell.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Confirmation {
    /// Show what would be deleted and do nothing; so it is without --confirm too.
    #[arg(long, conflicts_with = "confirm")]
    dry_run: bool,
    /// Do it.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// As a JSON line.
    #[arg(long)]
    pub(crate) json: bool,
}
