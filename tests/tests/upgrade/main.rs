//! Versions that meet on one set of topics (docs/upgrade.md).

mod later;
