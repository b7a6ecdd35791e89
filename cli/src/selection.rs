//! The options of a command that lists something of the organizations.

/// What to list, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct Selection {
    /// Only this organization: its name in the configuration, or its ID.
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    pub(crate) json: bool,
}
