//! Both ends as loopback servers: an Anthropic organization that lives, and JupiterOne's ingestion API.

pub mod anthropic;
pub mod jupiterone;
pub mod oracle;
