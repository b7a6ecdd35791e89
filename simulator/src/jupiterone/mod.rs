//! The JupiterOne end: the persister of sync jobs.
